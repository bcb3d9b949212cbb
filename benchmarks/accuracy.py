r"""How good is the default beside tuned GBDTs, on real lists?

Protocol: five folds by list (MQ2008's official ones); fold k tests, the next one stops
and chooses, the other three train. One metric for all: NDCG@5 and @10, gain
``2**label - 1``, tied scores averaged, lists without a positive label left out; the
mean of the folds' means. Networks are single fits, averaged over seeds. GBDTs are tuned
over the settings of `_rivals.GRIDS`, the best per fold by its validation lists; on the
sets of `FEWER_GBDTS`, where that takes hours, LightGBM alone. The difference to the
best GBDT is paired list by list. Over all sets, the differences of each network to the
best tuned GBDT with list features are averaged; models are ranked over sets with all.

    python benchmarks/accuracy.py --quick                        # synthetic, seconds
    python benchmarks/accuracy.py --data DIR --publish           # the table
    python benchmarks/accuracy.py --data DIR --publish --ablation
    python benchmarks/accuracy.py --data DIR --publish --sets lightgbm_example \
        --name accuracy_lightgbm_example
"""

import time
from itertools import product

import numpy as np
from _compare import paired_interval, per_list_ndcg
from _data import find_data, folds_of, list_folds, load_lists, one_fold, parts_of
from _report import markdown_table, write_results
from _rivals import GRIDS, fit_with_val, grid_of, with_list_features
from _run import add_runs, parse, parser_of, run_jobs
from sklearn.utils import Bunch

from sklearn_rankformer import MLPRanker, RankFormerRanker

SETS = ("mq2008", "expedia", "mslr", "wikiqa", "trecdl", "clueweb09")
ABLATED_ON = ("mq2008", "expedia", "mslr", "wikiqa")
# Sets whose publishers say which lists to test.
ONE_SPLIT = ("lightgbm_example", "wikiqa")

BY_HAND = "with list features"

# GBDTs that are tried where tuning all of them would take hours.
FEWER_GBDTS = {"trecdl": ("LightGBM",), "clueweb09": ("LightGBM",)}

# Small grid for the network that is tuned on the validation fold.
NETWORK_GRID = [{}, {"n_bins": 0}, {"learning_rate": 1e-3}]

# The default with one ingredient taken away.
ABLATION = {
    "default": {},
    "without attention and [CLS] (MLPRanker)": None,
    "without the listwide loss": {"listwide_weight": 0.0},
    "without list features": {"list_features": False},
    "without bins": {"n_bins": 0},
    "without feature dropout": {"feature_dropout": 0.0},
    "without dropout": {"dropout": 0.0},
    "one member": {"n_members": 1},
    "lambda loss": {"loss": "lambda"},
    "nothing held out": {"validation_fraction": None},
}


def data_set(name, data_dir, quick):
    """X, y, groups and folds of one data set."""
    if name == "synthetic":
        lists = load_lists(
            name, n_lists=150 if quick else 1000, context_strength=2.0, random_state=0
        )
    elif name == "lightgbm_example":
        return given_split(data_dir)
    else:
        lists = load_lists(name, data_dir)
    return Bunch(X=lists.X, y=lists.y, groups=lists.groups, fold=folds_of(lists))


def given_split(data_dir):
    """Fold 0 is the test part as given; a fifth of the training lists validates."""
    with np.load(find_data("lightgbm_example.npz", data_dir)) as file:
        parts = {key: file[key] for key in file.files}
    X = np.concatenate([parts["X_test"], parts["X_train"]])
    y = np.concatenate([parts["y_test"], parts["y_train"]]).astype(np.int64)
    n_test = len(parts["y_test"])
    later = parts["qid_train"] + parts["qid_test"].max() + 1
    groups = np.concatenate([parts["qid_test"], later])
    return Bunch(
        X=X,
        y=y,
        groups=groups,
        fold=np.append(np.zeros(n_test, dtype=int), 1 + list_folds(later)),
    )


def candidates(model, seed):
    """The models that are tried; the best on the validation lists is tested."""
    name, _, kind = model.partition(":")
    if name in GRIDS:
        rankers = grid_of(name, seed)
        return rankers if kind.startswith("tuned") else rankers[:1]
    if name == "MLP":
        return [MLPRanker(random_state=seed)]
    if name == "RankFormer":
        grid = NETWORK_GRID if kind == "tuned" else [{}]
        return [RankFormerRanker(random_state=seed, **params) for params in grid]
    params = ABLATION[model]
    if params is None:
        return [MLPRanker(random_state=seed)]
    return [RankFormerRanker(random_state=seed, **params)]


def run(data, data_dir, quick, fold, model, seed):
    """Fit, choose, test; return NDCG of each test list."""
    lists = data_set(data, data_dir, quick)
    parts = parts_of(lists, *one_fold(lists.fold, fold))
    if model.endswith("list features"):
        parts = with_list_features(parts)
    train, val, (X_test, y_test, groups_test) = parts
    tried = []
    for ranker in candidates(model, seed):
        start = time.perf_counter()
        fit_with_val(ranker, train, val)
        seconds = time.perf_counter() - start
        tried.append((ranker.score(*val), seconds, ranker))
    chosen_by, seconds, best = max(tried, key=lambda one: one[0])
    scores = best.predict(X_test, groups=groups_test)
    per_list = {k: per_list_ndcg(y_test, scores, groups_test, k) for k in (5, 10)}
    search = sum(t[1] for t in tried)
    return Bunch(val=chosen_by, seconds=seconds, search=search, ndcg=per_list)


def summarise(done):
    """Rows of the table: one per data set and model."""
    rows = []
    for data in dict.fromkeys(task["data"] for task, _ in done):
        runs = runs_of(done, data)
        per_list = {
            model: np.array([np.concatenate([r.ndcg[10] for r in f]) for f in seeds])
            for model, seeds in runs.items()
        }
        here = [
            {"data": data, "model": m, "per_list": per_list[m], **row_of(runs[m])}
            for m in runs
        ]
        compare(here, per_list)
        rows += here
    return rows


def runs_of(done, data):
    """Results on one data set: for each model, a list of seeds, each a list of folds.

    A seed that lacks folds, because time ran out, is left out.
    """
    here = [(task, result) for task, result in done if task["data"] == data]
    n_folds = len({task["fold"] for task, _ in here})
    found = {}
    for task, result in here:
        seeds = found.setdefault(task["model"], {})
        seeds.setdefault(task["seed"], []).append(result)
    whole = {
        model: [folds for folds in seeds.values() if len(folds) == n_folds]
        for model, seeds in found.items()
    }
    return {model: seeds for model, seeds in whole.items() if seeds}


def row_of(runs):
    """What the table says of one model; ``runs`` is a list of seeds' lists of folds."""
    ndcg = {
        k: [np.mean([np.nanmean(r.ndcg[k]) for r in folds]) for folds in runs]
        for k in (5, 10)
    }
    each = [result for folds in runs for result in folds]
    return {
        "NDCG@5": np.mean(ndcg[5]),
        "NDCG@10": np.mean(ndcg[10]),
        "seed sd": np.std(ndcg[10], ddof=1) if len(runs) > 1 else "",
        "validation": np.mean([r.val for r in each]),
        "fit s": np.median([r.seconds for r in each]),
        "search s": np.median([r.search for r in each]),
        "seeds": len(runs),
    }


def compare(rows, per_list):
    """Add each model's paired difference to the reference: best GBDT, or default."""
    peers = [r for r in rows if r["model"].partition(":")[0] in GRIDS]
    reference = (
        max(peers, key=lambda r: r["NDCG@10"])["model"] if peers else rows[0]["model"]
    )
    rng = np.random.default_rng(0)
    for row in rows:
        if row["model"] != reference:
            ours, theirs = per_list[row["model"]], per_list[reference]
            theirs = np.broadcast_to(theirs.mean(0), ours.shape)
            row["difference"] = paired_interval(ours, theirs, rng)
        else:
            row["difference"] = "reference"


def models_of(args):
    """The rows asked for."""
    if args.models:
        return args.models
    if args.ablation:
        return list(ABLATION)
    kinds = ("default", "tuned", "tuned, with list features")
    gbdts = [f"{name}:{kind}" for name, kind in product(GRIDS, kinds)]
    return ["RankFormer", "RankFormer:tuned", "MLP", *gbdts]


def pool(rows):
    """Networks beside the best tuned GBDT with list features, over all data sets.

    Sets are independent, so that the squared half-widths of their intervals add up.
    """
    best = {}
    for row in rows:
        if row["model"].endswith(BY_HAND):
            kept = best.setdefault(row["data"], row)
            best[row["data"]] = max(kept, row, key=lambda r: r["NDCG@10"])
    pooled = []
    for model in ("RankFormer", "MLP"):
        gaps = [
            paired_interval(
                row["per_list"],
                np.broadcast_to(
                    best[row["data"]]["per_list"].mean(0), row["per_list"].shape
                ),
                np.random.default_rng(0),
            )
            for row in rows
            if row["model"] == model and row["data"] in best
        ]
        if not gaps:
            continue
        mean = np.mean([gap.difference for gap in gaps])
        half = np.sqrt(sum((gap.high - gap.low) ** 2 / 4 for gap in gaps)) / len(gaps)
        pooled.append(
            {"model": model, "sets": len(gaps)}
            | {"gap": {"difference": mean, "low": mean - half, "high": mean + half}}
        )
    return pooled


def mean_ranks(rows):
    """Mean rank of each model by NDCG@10, over the sets on which all were tested."""
    sets = {}
    for row in rows:
        sets.setdefault(row["data"], {})[row["model"]] = row["NDCG@10"]
    models = {row["model"] for row in rows}
    whole = [found for found in sets.values() if found.keys() == models]
    ranks = {
        model: np.mean(
            [1 + sum(v > found[model] for v in found.values()) for found in whole]
        )
        for model in models
        if whole
    }
    return [
        {"model": model, "rank": rank, "sets": len(whole)}
        for model, rank in sorted(ranks.items(), key=lambda one: one[1])
    ]


def tasks_of(args):
    """All runs, seed after seed."""
    settings = range(args.seeds), args.sets, models_of(args), args.folds
    if args.quick:
        settings = [0], ["synthetic"], models_of(args)[:3], [0]
    common = {"data_dir": args.data, "quick": args.quick}
    return [
        {**common, "data": data, "fold": fold, "model": model, "seed": seed}
        for seed, data, model, fold in product(*settings)
        # A search of the network is slow, and GBDTs hardly move with their seed.
        if seed == 0 or model in ("RankFormer", "MLP", *ABLATION)
        if data not in ONE_SPLIT or fold == 0
        if is_tried(model, data)
    ]


def is_tried(model, data):
    """Whether a model is run on a data set: all are, but for GBDTs on some."""
    library = model.partition(":")[0]
    return library not in GRIDS or library in FEWER_GBDTS.get(data, GRIDS)


def main(argv=None):
    """Run, and write the table."""
    parser = parser_of(__doc__)
    add_runs(parser, seeds=3)
    parser.add_argument("--sets", nargs="+", help="only these (default: all)")
    parser.add_argument("--models", nargs="+", help="only these rows")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--ablation", action="store_true", help="one thing removed")
    args = parse(parser, argv)
    args.name = args.name or ("ablation" if args.ablation else "accuracy")
    args.sets = args.sets or (ABLATED_ON if args.ablation else SETS)
    tasks = tasks_of(args)
    done = run_jobs(run, tasks, args)
    rows = summarise(done)
    columns = {
        "data": "data",
        "model": "model",
        "NDCG@5": "NDCG@5",
        "NDCG@10": "NDCG@10",
        "difference": "NDCG@10 less the reference's, 95 %",
        "seed sd": "sd of seeds",
        "validation": "validation",
        "fit s": "fit s",
        "search s": "search s",
        "seeds": "seeds",
    }
    table = markdown_table(rows, columns)
    pooled, ranks = pool(rows), mean_ranks(rows)
    if pooled:
        columns = {"model": "model", "sets": "sets"}
        columns["gap"] = f"mean difference to the best tuned GBDT {BY_HAND}, 95 %"
        table += "\n" + markdown_table(pooled, columns)
        columns = {"model": "model", "rank": ("mean rank", ".2f"), "sets": "sets"}
        table += "\n" + markdown_table(ranks, columns)
    print(table)
    rows = [{k: v for k, v in row.items() if k != "per_list"} for row in rows]
    results = {"rows": rows, "pooled": pooled, "ranks": ranks}
    write_results(args, table, results, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
