"""Is RankFormer with LightGBM better than either of them?

Five folds by list (MQ2008's official ones): fold k tests, the next one stops and
chooses, the other three train. EBNeRD is split by time, once. LightGBM is at its best
of the settings of `_rivals.GRIDS`, each feature also given relative to its list. The
vote joins the two as they are; "the pair" is the ready-made vote of
`ensemble.rankformer_lightgbm`, whose LightGBM nobody has tuned; the stack fits both
anew, on splits of the training lists. Differences are paired list by list, and lists
and seeds are drawn.

    python benchmarks/ensemble.py --quick                 # synthetic, seconds
    python benchmarks/ensemble.py --data DIR --cache DIR --publish
"""

from itertools import product

import numpy as np
from _compare import paired_interval, per_list_ndcg
from _data import OWN_SPLITS, folds_of, load_lists, one_fold, own_split, parts_of
from _report import markdown_table, write_results
from _rivals import fit_best, fit_with_val, grid_of
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_rankformer import (
    RankFormerRanker,
    StackingRanker,
    VotingRanker,
    WithinListScaler,
)
from sklearn_rankformer.ensemble import rankformer_lightgbm

SETS = ("mq2008", "expedia", "mslr", "ebnerd clicks")
NETWORK, TREES = "RankFormer", "LightGBM, tuned, list features"


def parts(name, fold, data_dir, quick):
    """(X, y, groups) to learn, to choose by and to test on."""
    if name in OWN_SPLITS:
        return own_split(name, data_dir, quick)
    world = {"n_lists": 150, "random_state": 0} if name == "synthetic" else {}
    data = load_lists(name, data_dir, **world)
    return parts_of(data, *one_fold(folds_of(data), fold))


def fit_trees(train, val, seed, quick):
    """LightGBM with list features: a pipeline, chosen and stopped on ``val``."""
    scaler = WithinListScaler(with_rank=False)
    scaled = [
        (scaler.fit_transform(X, groups=groups), y, groups)
        for X, y, groups in (train, val)
    ]
    best = fit_best(grid_of("LightGBM", seed)[: 1 if quick else None], *scaled)
    return Pipeline([("lists", scaler), ("rank", best)])


def run(name, fold, seed, stacked, data_dir, quick):
    """NDCG@10 of each test list, of the members and the vote, or of the stack."""
    train, val, (X, y, groups) = parts(name, fold, data_dir, quick)
    network = RankFormerRanker(random_state=seed, **network_params(quick))
    trees = fit_trees(train, val, seed, quick)
    if stacked:
        members = [("rankformer", network), ("lightgbm", clone(trees))]
        models = {"StackingRanker": fit_with_val(StackingRanker(members), train, val)}
    else:
        models = {NETWORK: fit_with_val(network, train, val), TREES: trees}
        frozen = [(name, FrozenEstimator(one)) for name, one in models.items()]
        models["VotingRanker"] = VotingRanker(frozen).fit(*train)
        pair = rankformer_lightgbm(random_state=seed)
        pair.set_params(
            lightgbm__rankeradapter__estimator__n_jobs=1, rankformer=frozen[0][1]
        )
        models["the pair, untuned"] = pair.fit(*train)
    with config_context(enable_metadata_routing=True):  # ids for steps of a pipeline
        scores = {name: one.predict(X, groups=groups) for name, one in models.items()}
    return {name: per_list_ndcg(y, one, groups) for name, one in scores.items()}


def summarise(done):
    """One row per data set and model, with its gaps to both members."""
    rows = []
    for (name,), results in by_setting(done, "name"):
        tasks = [task for task, _ in done if task["name"] == name]
        values = values_by_model(tasks, results)
        for model, ours in values.items():
            row = {"data": name, "model": model, "NDCG@10": np.nanmean(ours)}
            row["seeds"] = len(ours)
            for member in (NETWORK, TREES):
                # A run cut short may lack a seed of either.
                n = min(len(ours), len(values.get(member, ())))
                if model != member and n:
                    pair = ours[:n], values[member][:n]
                    row[member] = paired_interval(*pair, np.random.default_rng(0))
            rows.append(row)
    return rows


def values_by_model(tasks, results):
    """Per-list values of whole seeds: (n_seeds, n_lists) of each model."""
    folds = {task["fold"] for task in tasks}
    found = {}
    for task, result in zip(tasks, results, strict=True):
        for model, values in result.items():
            seed = found.setdefault(model, {}).setdefault(task["seed"], [])
            seed.append(values)
    whole = {
        model: [np.concatenate(one) for one in seeds.values() if len(one) == len(folds)]
        for model, seeds in found.items()
    }
    return {model: np.array(seeds) for model, seeds in whole.items() if seeds}


def main(argv=None):
    """Run, and write the table."""
    parser = parser_of(__doc__, "ensemble")
    add_runs(parser, seeds=3)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--no-stack", action="store_true", help="the vote alone")
    args = parse(parser, argv)
    if args.quick:
        args.sets, args.folds, args.seeds = ["synthetic"], [0], 1
    stacked = [False] if args.no_stack else [False, True]
    common = {"data_dir": args.data, "quick": args.quick}
    tasks = [
        {"name": name, "fold": fold, "seed": seed, "stacked": one, **common}
        for seed, name, one, fold in product(
            range(args.seeds), args.sets, stacked, args.folds
        )
        if name not in OWN_SPLITS or fold == args.folds[0]
    ]
    done = run_jobs(run, tasks, args)
    rows = summarise(done)
    columns = {
        "data": "data",
        "model": "model",
        "NDCG@10": "NDCG@10",
        NETWORK: "less RankFormer's [95 %]",
        TREES: "less LightGBM's [95 %]",
        "seeds": "seeds",
    }
    table = markdown_table(rows, columns)
    print(table)
    write_results(args, table, {"rows": rows}, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
