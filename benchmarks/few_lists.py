"""On few lists, what should the chances be calibrated on: held-out lists, or all?

By default a tenth of the lists is held out and calibrates the chances. With
`calibration_folds` every list is left out by one of several more networks, and all of
them calibrate; the ranker itself then learns from all lists. Both learn from the same
draws of 60 and of 200 lists: right answers (WikiQA), articles read (EBNeRD). Measured
on the test lists: Brier score of the chance that a list holds a positive, log-loss of
the chance that an item is one, and NDCG@10.

    python benchmarks/few_lists.py --data DIR --jobs 2 --publish
"""

import time

import numpy as np
from _compare import log_loss_of, paired_interval, per_list_ndcg, positive_chance
from _data import own_split, some_lists
from _report import markdown_table, write_results
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer._lists import split_lists

SETS = ("wikiqa answers", "ebnerd reads")
N_LISTS = (60, 200)
WAYS = {
    "a tenth held out": {},
    "nothing": {"validation_fraction": None},
    "5 folds": {"validation_fraction": None, "calibration_folds": 5},
}
MEASURES = {"brier": "Brier score", "log_loss": "items' log-loss", "ndcg": "NDCG@10"}


def run(name, n_lists, way, seed, data_dir, quick):
    """Each measure by test list, and seconds of the fit."""
    pool, _, (X_test, y_test, groups_test) = own_split(name, data_dir, quick)
    train = some_lists(pool, n_lists, seed)
    params = {**WAYS[way], **network_params(quick)}
    start = time.perf_counter()
    ranker = RankFormerRanker(random_state=seed, **params)
    ranker.fit(*train)
    seconds = time.perf_counter() - start
    found = ranker.predict_all(X_test, groups=groups_test)
    lists = split_lists(groups_test)
    value, items = found.list_value, found.item_value
    good = lists.reduce(np.maximum, y_test) > 0
    chance = positive_chance(value.proba, ranker.levels_)
    of_items = positive_chance(items.proba, items.levels)
    loss = lists.reduce(np.add, log_loss_of(y_test > 0, of_items)) / lists.lengths
    return {
        "brier": (chance - good) ** 2,
        "log_loss": loss,
        "ndcg": per_list_ndcg(y_test, found.scores, groups_test),
        "seconds": seconds,
    }


def summarise(done):
    """One row per data set, number of lists and way, with gaps to the default."""
    rows = []
    for (name, n_lists, way), results in by_setting(done, "name", "n_lists", "way"):
        row = {"data": name, "lists": n_lists, "way": way, "draws": len(results)}
        row["seconds"] = np.median([one["seconds"] for one in results])
        values = {key: np.stack([one[key] for one in results]) for key in MEASURES}
        if way == next(iter(WAYS)):
            default = values
        for key, found in values.items():
            row[key] = np.nanmean(found)
            if found is not default[key]:
                rng = np.random.default_rng(0)
                gap = paired_interval(found, default[key][: len(found)], rng)
                row[f"{key}_gap"] = gap
        rows.append(row)
    return rows


def main(argv=None):
    """Run, and write the table."""
    parser = parser_of(__doc__, "few_lists")
    add_runs(parser, seeds=5)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    args = parse(parser, argv)
    tasks = [
        {"name": name, "n_lists": n, "way": way, "seed": seed}
        | {"data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
        for name in args.sets
        for n in (N_LISTS[:1] if args.quick else N_LISTS)
        for way in WAYS
    ]
    done = run_jobs(run, tasks, args)
    rows = summarise(done)
    columns = {"data": "data", "lists": "lists", "way": "calibrated on"}
    for key, title in MEASURES.items():
        columns |= {key: title, f"{key}_gap": "less the first's [95 %]"}
    columns |= {"seconds": ("fit s", ".1f"), "draws": "draws"}
    page = markdown_table(rows, columns)
    print(page)
    write_results(args, page, {"rows": rows}, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
