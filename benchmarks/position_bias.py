"""Position bias in a real log, measured and undone: Expedia's hotel searches.

A third of the searches were shown in random order (`random_bool`). There the click rate
of a position is attention alone, which gives the propensities. Rankers learn from
clicks as they are, and weighed by one over the propensity, and are judged on
random-order searches that neither the estimate nor the training has seen, where
position tells nothing of relevance.

    python benchmarks/position_bias.py --data DIR --jobs 2
"""

import argparse
from pathlib import Path

import numpy as np
from _common import (
    add_run_arguments,
    each_in_own_columns,
    list_folds,
    load_lists,
    markdown_table,
    network_params,
    paired_interval,
    parse_run,
    per_list_ndcg,
    run_jobs,
    write_results,
)

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
    values = {m: each_in_own_columns([r[m] for r in results]) for m in results[0]}
    rows = []
    for model, ours in values.items():
        row = {"model": model, "NDCG@10": np.nanmean(ours), "seeds": len(results)}
        if model.endswith("weighed"):
            plain = values[model.replace("weighed", "as they are")]
            row["gain"] = paired_interval(ours, plain, np.random.default_rng(0))
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_run_arguments(parser)
    args = parse_run(parser)
    tasks = [
        {"seed": seed, "data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
    ]
    done = run_jobs(run, tasks, n_jobs=args.jobs, minutes=args.minutes)
    rates = click_rates(load_lists("expedia", args.data))
    rows = summarise(done)
    columns = {
        "position": "position",
        "random": "click rate, random order",
        "random rows": "rows",
        "ranked": "click rate, as ranked",
        "ranked rows": "rows",
        "propensity": "propensity",
    }
    text = markdown_table(rates, columns) + "\n"
    columns = {"model": "trained on", "NDCG@10": "NDCG@10", "seeds": "seeds"}
    text += markdown_table(rows, columns | {"gain": "gained by weights [95 %]"})
    write_results(
        Path(args.out) / "position_bias", {"rates": rates, "rows": rows}, text
    )
    print(text)


if __name__ == "__main__":
    main()
