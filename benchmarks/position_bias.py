"""Position bias in a real log, measured and undone: Expedia's hotel searches.

A third of the searches were shown in random order (`random_bool`). There the click rate
of a position is attention alone, which gives the propensities. Rankers learn from
clicks as they are, and weighed by one over the propensity, and are judged on
random-order searches that neither the estimate nor the training has seen, where
position tells nothing of relevance.

    python benchmarks/position_bias.py --data DIR --jobs 2 --publish
"""

import numpy as np
from _compare import in_own_columns, paired_interval, per_list_ndcg
from _data import list_folds, load_lists
from _report import markdown_table, write_results
from _run import add_runs, network_params, parse, parser_of, run_jobs

from sklearn_rankformer import MLPRanker, RankFormerRanker
from sklearn_rankformer.simulation import (
    estimate_propensities,
    examination_propensities,
    inverse_propensity_weights,
)

SHOWN = (1, 2, 3, 5, 10, 20, 30)
MAX_WEIGHT = 10


def run(seed, data_dir, quick):
    """NDCG@10 of random-order test searches, trained with weights and without."""
    data = load_lists("expedia", data_dir)
    is_random = data.random_bool == 1
    test = is_random & (list_folds(data.groups, seed // 5) == seed % 5)
    table = estimate_propensities(
        data.position[~test], data.y[~test], randomized=is_random[~test]
    )
    propensities = examination_propensities(data.position[~test], table=table)
    weight = inverse_propensity_weights(
        data.y[~test], propensities, max_weight=MAX_WEIGHT
    )
    train = data.X[~test], data.y[~test], data.groups[~test]
    params = {"random_state": seed, **network_params(quick)}
    found = {}
    for name, kind in (("RankFormer", RankFormerRanker), ("MLP", MLPRanker)):
        for how, sample_weight in (("as they are", None), ("weighed", weight)):
            ranker = kind(**params).fit(*train, sample_weight=sample_weight)
            scores = ranker.predict(data.X[test], data.groups[test])
            values = per_list_ndcg(data.y[test], scores, data.groups[test])
            found[f"{name}, clicks {how}"] = values
    return found


def click_rates(data):
    """Rows of the table of positions: rates in both kinds of search, propensity."""
    is_random, clicked = data.random_bool == 1, data.y > 0
    table = estimate_propensities(data.position, data.y, randomized=is_random)
    rows = []
    for position in SHOWN:
        here = data.position == position
        row = {"position": position, "propensity": table[position - 1]}
        for name, chosen in (("random", is_random), ("ranked", ~is_random)):
            row[f"{name} rows"] = int((here & chosen).sum())
            row[name] = clicked[here & chosen].mean()
        rows.append(row)
    return rows


def summarise(done):
    """One row per model; what weighing gains."""
    results = [result for _, result in done]
    values = {m: in_own_columns([r[m] for r in results]) for m in results[0]}
    rows = []
    for model, ours in values.items():
        row = {"model": model, "NDCG@10": np.nanmean(ours), "seeds": len(results)}
        if model.endswith("weighed"):
            plain = values[model.replace("weighed", "as they are")]
            row["gain"] = paired_interval(ours, plain, np.random.default_rng(0))
        rows.append(row)
    return rows


def page(rates, rows):
    """The Markdown page."""
    by_position = {
        "position": "position",
        "random": "click rate, random order",
        "random rows": "rows",
        "ranked": "click rate, as ranked",
        "ranked rows": "rows",
        "propensity": "propensity",
    }
    by_model = {
        "model": "trained on",
        "NDCG@10": "NDCG@10",
        "seeds": "seeds",
        "gain": "gained by weights [95 %]",
    }
    return f"{markdown_table(rates, by_position)}\n{markdown_table(rows, by_model)}"


def main(argv=None):
    """Run, and write the tables."""
    parser = parser_of(__doc__, "position_bias")
    add_runs(parser)
    args = parse(parser, argv)
    tasks = [
        {"seed": seed, "data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
    ]
    done = run_jobs(run, tasks, n_jobs=args.jobs, minutes=args.minutes)
    rates, rows = click_rates(load_lists("expedia", args.data)), summarise(done)
    text = page(rates, rows)
    print(text)
    results = {"rates": rates, "rows": rows}
    write_results(args, text, results, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
