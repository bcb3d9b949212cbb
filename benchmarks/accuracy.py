"""How good is the default beside tuned GBDTs, on real lists?

Protocol: five folds by list (MQ2008's official ones); fold k tests, the next one stops
and chooses, the other three train. One metric for all: NDCG@5 and @10, gain
``2**label - 1``, tied scores averaged, lists without a positive label left out; the
mean of the folds' means. Networks are single fits, averaged over seeds. GBDTs are tuned
over the settings below, the best per fold by its validation lists. The difference to
the best GBDT is paired list by list.

    python benchmarks/accuracy.py --data DIR                     # the table
    python benchmarks/accuracy.py --data DIR --ablation          # one thing removed
    python benchmarks/accuracy.py --data DIR --sets lightgbm_example
    python benchmarks/accuracy.py --quick                        # synthetic, minutes
"""

import argparse
import time
from functools import cache
from itertools import product

import numpy as np
from _common import (
    RESULTS,
    add_run_arguments,
    find_data,
    list_folds,
    load_lists,
    markdown_table,
    paired_interval,
    run_jobs,
    write_results,
)
from joblib import Memory
from sklearn.utils import Bunch

from sklearn_rankformer import (
    MLPRanker,
    RankerAdapter,
    RankFormerRanker,
    WithinListScaler,
)
from sklearn_rankformer.metrics import ndcg_score

# Settings tried for each GBDT; the first is the library's default.
GRIDS = {
    "LightGBM": [
        {"learning_rate": 0.1},
        {"learning_rate": 0.05, "num_leaves": 7, "colsample_bytree": 0.5},
        {"learning_rate": 0.05, "num_leaves": 15, "min_child_samples": 50},
        {"learning_rate": 0.03, "num_leaves": 31, "colsample_bytree": 0.3},
        {"learning_rate": 0.05, "num_leaves": 7, "objective": "rank_xendcg"},
        {"learning_rate": 0.05, "num_leaves": 31, "objective": "rank_xendcg"},
    ],
    "XGBoost": [
        {"learning_rate": 0.3},
        {"learning_rate": 0.05, "max_depth": 3, "colsample_bytree": 0.5},
        {"learning_rate": 0.05, "max_depth": 5, "subsample": 0.7},
        {"learning_rate": 0.05, "max_depth": 6, "min_child_weight": 20},
    ],
    "CatBoost": [
        {},
        {"learning_rate": 0.05, "depth": 4},
        {"learning_rate": 0.05, "depth": 6, "loss_function": "QuerySoftMax"},
    ],
}
N_TREES = 1000
ROUNDS = 100

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
    "without early stopping": {"early_stopping": False},
}


def gbdt(name, params, seed=0):
    """One GBDT ranker behind the adapter."""
    if name == "LightGBM":
        from lightgbm import LGBMRanker as Ranker

        own = {"n_estimators": N_TREES, "n_jobs": 1, "verbosity": -1}
    elif name == "XGBoost":
        from xgboost import XGBRanker as Ranker

        own = {"n_estimators": N_TREES, "n_jobs": 1, "objective": "rank:ndcg"}
        own |= {"eval_metric": "ndcg@10"}
    else:
        from catboost import CatBoostRanker as Ranker

        own = {"iterations": N_TREES, "thread_count": 1, "verbose": False}
        own |= {"allow_writing_files": False, "eval_metric": "NDCG:top=10;type=Exp"}
    ranker = Ranker(**{**own, **params, "random_state": seed})
    return RankerAdapter(ranker, early_stopping_rounds=ROUNDS)


@cache
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
    fold = list_folds(lists.groups) if lists.fold is None else lists.fold
    return Bunch(X=lists.X, y=lists.y, groups=lists.groups, fold=fold)


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


def one_fold(data, fold):
    """Training, validation and test rows of one fold."""
    n_folds = data.fold.max() + 1
    test, val = data.fold == fold, data.fold == (fold + 1) % n_folds
    return [
        (data.X[rows], data.y[rows], data.groups[rows])
        for rows in (~test & ~val, val, test)
    ]


def with_list_features(parts):
    """The same rows, each feature also standardised within its list."""
    scaler = WithinListScaler(with_rank=False)
    return [(scaler.fit_transform(X, groups=g), y, g) for X, y, g in parts]


def candidates(model, seed):
    """The models that are tried; the best on the validation lists is tested."""
    name, _, kind = model.partition(":")
    if name in GRIDS:
        settings = GRIDS[name] if kind.startswith("tuned") else GRIDS[name][:1]
        return [gbdt(name, params, seed) for params in settings]
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
    parts = one_fold(data_set(data, data_dir, quick), fold)
    if model.endswith("list features"):
        parts = with_list_features(parts)
    (X, y, groups), (X_val, y_val, groups_val), (X_test, y_test, groups_test) = parts
    tried = []
    for candidate in candidates(model, seed):
        start = time.perf_counter()
        candidate.fit(
            X, y, groups=groups, X_val=X_val, y_val=y_val, groups_val=groups_val
        )
        seconds = time.perf_counter() - start
        chosen_by = candidate.score(X_val, y_val, groups=groups_val)
        tried.append((chosen_by, seconds, candidate))
    best = max(tried, key=lambda one: one[0])
    scores = best[2].predict(X_test, groups=groups_test)
    per_list = {
        k: ndcg_score(y_test, scores, groups_test, k=k, reduction="none").value
        for k in (5, 10)
    }
    return Bunch(
        val=best[0], seconds=best[1], search=sum(t[1] for t in tried), ndcg=per_list
    )


def run_or_recall(cache, **task):
    """Run, or recall a run that the cache holds, whatever the package has become."""
    if cache is None:
        return run(**task)
    return Memory(cache, verbose=0).cache(run)(**task)


def summarise(done, sets, models, seeds):
    """Rows of the table: one per data set and model."""
    found = {
        (t["data"], t["model"], t["fold"], t["seed"]): result for t, result in done
    }
    rows = []
    for data in sets:
        per_list, here = {}, []
        for model in models:
            runs = [
                [
                    found[data, model, fold, seed]
                    for fold in range(5)
                    if (data, model, fold, seed) in found
                ]
                for seed in range(seeds)
            ]
            runs = [folds for folds in runs if folds]
            if not runs:
                continue
            mean = {
                k: [np.mean([np.nanmean(r.ndcg[k]) for r in folds]) for folds in runs]
                for k in (5, 10)
            }
            per_list[model] = np.array(
                [np.concatenate([r.ndcg[10] for r in folds]) for folds in runs]
            )
            here.append(
                {
                    "data": data,
                    "model": model,
                    "NDCG@5": np.mean(mean[5]),
                    "NDCG@10": np.mean(mean[10]),
                    "seed sd": np.std(mean[10], ddof=1) if len(runs) > 1 else "",
                    "validation": np.mean([r.val for f in runs for r in f]),
                    "fit s": np.median([r.seconds for f in runs for r in f]),
                    "search s": np.median([r.search for f in runs for r in f]),
                    "seeds": len(runs),
                }
            )
        compare(here, per_list)
        rows += here
    return rows


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


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_run_arguments(parser)
    parser.set_defaults(seeds=3)
    parser.add_argument("--sets", nargs="+", default=["mq2008", "expedia", "mslr"])
    parser.add_argument("--models", nargs="+", help="only these rows")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--ablation", action="store_true", help="one thing removed")
    parser.add_argument(
        "--cache",
        help="directory that keeps finished runs: empty it when the package changes",
    )
    parser.add_argument("--name", help="stem of the results file")
    args = parser.parse_args()
    sets = ["synthetic"] if args.quick else args.sets
    models = args.models or [
        "RankFormer",
        "RankFormer:tuned",
        "MLP",
        *[
            f"{name}:{kind}"
            for name, kind in product(
                GRIDS, ("default", "tuned", "tuned, with list features")
            )
        ],
    ]
    if args.ablation:
        models = args.models or list(ABLATION)
    if args.quick:
        models, args.seeds, args.folds = models[:3], 1, [0]
    tasks = [
        {
            "cache": args.cache,
            "data": data,
            "data_dir": args.data,
            "quick": args.quick,
            "fold": fold,
            "model": model,
            "seed": seed,
        }
        for seed, data, model, fold in product(
            range(args.seeds), sets, models, args.folds
        )
        # A search of the network is slow, and GBDTs hardly move with their seed.
        if seed == 0 or model in ("RankFormer", "MLP", *ABLATION)
        if data != "lightgbm_example" or fold == 0
    ]
    done = run_jobs(run_or_recall, tasks, n_jobs=args.jobs, minutes=args.minutes)
    rows = summarise(done, sets, models, args.seeds)
    table = markdown_table(
        rows,
        {
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
        },
    )
    print(table)
    stem = args.name or ("ablation" if args.ablation else "accuracy")
    write_results(f"{args.out or RESULTS}/{stem}", {"rows": rows}, table)


if __name__ == "__main__":
    main()
