"""What do real lists without a positive teach about the order of items?

Few lists with a positive label stand beside ten times as many without one: questions
that no sentence of the page answers (WikiQA), pages of news where nothing clicked was
read (EBNeRD). The default ranker learns from them with several weights of the listwide
loss. At weight 0 the lists without a positive teach nothing, so what a weight gains in
NDCG@10 of the test lists is what they and the values of the others teach about order.
"chosen" takes, draw by draw, the weight that does best on the validation lists.

    python benchmarks/scarce_lists.py --data DIR --jobs 2 --publish
"""

import numpy as np
from _compare import paired_interval, per_list_ndcg
from _data import own_split
from _report import markdown_table, write_results
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs

from sklearn_rankformer import RankFormerRanker

SETS = ("wikiqa answers", "ebnerd reads")
N_POSITIVE = (50, 200, 500)
N_EMPTY = 10  # for each list with a positive, or as many as there are
WEIGHTS = (0.0, 0.25, 1.0)
CHOSEN = "chosen"


def run(name, n_positive, weight, seed, data_dir, quick):
    """NDCG@10 of each test list and of the validation lists, and how many are empty."""
    train, val, test = own_split(name, data_dir, quick)
    rows, n_empty = draw_lists(*train[1:], n_positive, np.random.default_rng(seed))
    ranker = RankFormerRanker(
        listwide_weight=weight, random_state=seed, **network_params(quick)
    )
    ranker.fit(train[0][rows], train[1][rows], groups=train[2][rows])
    scores = ranker.predict(test[0], groups=test[2])
    ndcg = per_list_ndcg(test[1], scores, test[2])
    return {"ndcg": ndcg, "chosen_by": ranker.score(*val), "n_empty": n_empty}


def draw_lists(y, groups, n_positive, rng):
    """Choose lists with and without a positive: a mask of rows, and how many without.

    The lists of a smaller number are among those of a larger one.
    """
    ids, codes = np.unique(groups, return_inverse=True)
    positive = np.bincount(codes, y) > 0
    some, none = (rng.permutation(ids[which]) for which in (positive, ~positive))
    none = none[: N_EMPTY * n_positive]
    return np.isin(groups, np.append(some[:n_positive], none)), len(none)


def summarise(done):
    """One row per data set, number of positives and weight."""
    rows = []
    by_bed = {}
    for (*bed, weight), results in by_setting(done, "name", "n_positive", "weight"):
        by_bed.setdefault(tuple(bed), {})[weight] = results
    for (name, n_positive), by_weight in by_bed.items():
        by_draw = zip(*by_weight.values(), strict=False)
        best = [max(draw, key=lambda one: one["chosen_by"]) for draw in by_draw]
        without = np.stack([result["ndcg"] for result in by_weight[0.0]])
        for weight, found in {**by_weight, CHOSEN: best}.items():
            ndcg = np.stack([result["ndcg"] for result in found])
            row = {"data": name, "n_positive": n_positive, "weight": str(weight)}
            row |= {"n_empty": found[0]["n_empty"], "draws": len(found)}
            row["ndcg"] = np.nanmean(ndcg)
            if weight != 0:
                rng = np.random.default_rng(0)
                row["gain"] = paired_interval(ndcg, without[: len(ndcg)], rng)
            rows.append(row)
    return rows


def main(argv=None):
    """Run, and write the table."""
    parser = parser_of(__doc__, "scarce_lists")
    add_runs(parser, seeds=3)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    args = parse(parser, argv)
    tasks = [
        {"name": name, "n_positive": n, "weight": weight, "seed": seed}
        | {"data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
        for name in args.sets
        for n in N_POSITIVE
        for weight in WEIGHTS
    ]
    done = run_jobs(run, tasks, args)
    rows = summarise(done)
    columns = {
        "data": "data",
        "n_positive": "lists with a positive",
        "n_empty": "without",
        "weight": "listwide weight",
        "ndcg": "NDCG@10",
        "gain": "above weight 0 [95 %]",
        "draws": "draws",
    }
    page = markdown_table(rows, columns)
    print(page)
    write_results(args, page, {"rows": rows}, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
