"""
RankFormer beside GBDT rankers
==============================

The main job of this package: train RankFormer, a pointwise network and every GBDT
ranker that is installed on the same lists, and compare them under one metric.

Without arguments it runs on synthetic lists made to have rich context: more than half
of an item's relevance depends on the other items shown (see
`sklearn_rankformer.datasets.make_ranking`). That is where a listwise transformer
should win, and GBDTs cannot; whether your lists are like that, only your lists show:

.. code-block:: bash

    python examples/plot_gbdt_comparison.py --data lists.npz --folds 5
    python examples/plot_gbdt_comparison.py --data MSLR-WEB10K

``--data`` takes an ``.npz`` file with ``X``, ``y`` and ``qid`` (and ``fold``, if there
are official ones), or a LETOR folder with ``Fold1/train.txt`` and so on.
"""

import argparse
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from sklearn_rankformer import MLPRanker, RankerAdapter, RankFormerRanker
from sklearn_rankformer.datasets import load_letor_fold, make_ranking
from sklearn_rankformer.metrics import mean_reciprocal_rank, ndcg_score

parser = argparse.ArgumentParser(description="RankFormer beside GBDT rankers.")
parser.add_argument("--data", type=Path, help=".npz file or LETOR folder")
parser.add_argument("--folds", type=int, default=1, help="folds to average (1 to 5)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=1, help="of each model")
parser.add_argument("--save", type=Path, help="where to save the figure")
args = parser.parse_args()

# %%
# The lists
# ---------
# Each split has training lists, lists to stop on, and lists to test on. Lists are never
# cut: a row always stays with its list.


def splits_of(X, y, groups, folds):
    """Yield (train, validation, test) parts; fold k tests, the next one validates."""
    for k in range(args.folds):
        parts = np.isin(folds, [k, (k + 1) % 5]), folds == (k + 1) % 5, folds == k
        rows = ~parts[0], parts[1], parts[2]
        yield [(X[r], y[r], groups[r]) for r in rows]


def random_folds(groups):
    """Deal whole lists into five folds at random."""
    ids, codes = np.unique(groups, return_inverse=True)
    return (np.random.RandomState(args.seed).permutation(len(ids)) % 5)[codes]


def load():
    """Return the splits to run on."""
    if args.data is None:
        X, y, groups = make_ranking(
            n_lists=1000, context_strength=2.0, random_state=args.seed
        )
        return splits_of(X, y, groups, random_folds(groups))
    if args.data.is_dir():
        folds = (load_letor_fold(args.data, k + 1) for k in range(args.folds))
        return ([f.train, f.vali, f.test] for f in folds)
    with np.load(args.data) as file:
        X, y, groups = file["X"], file["y"], file["qid"]
        folds = file["fold"] - 1 if "fold" in file else random_folds(groups)
    return splits_of(X, y, groups, folds)


# %%
# The models
# ----------
# The network rankers run with their defaults, the GBDTs with a common setting and early
# stopping on the same validation lists as the networks. All have the same number of
# threads, by default one: on a busy machine several threads wait for one another, and
# their times say more about the other programs.

torch.set_num_threads(args.threads)


def gbdts():
    """Return the GBDT rankers whose libraries are installed."""
    jobs = {"n_jobs": args.threads}
    settings = {
        "LightGBM": ("lightgbm", "LGBMRanker", {**jobs, "verbosity": -1}),
        "XGBoost": ("xgboost", "XGBRanker", {**jobs, "objective": "rank:ndcg"}),
        "CatBoost": (
            "catboost",
            "CatBoostRanker",
            {
                "thread_count": args.threads,
                "verbose": False,
                "allow_writing_files": False,
            },
        ),
    }
    common = {"n_estimators": 500, "learning_rate": 0.05, "random_state": args.seed}
    found = {}
    for name, (module, cls, own) in settings.items():
        try:
            ranker = getattr(import_module(module), cls)(**common, **own)
        except ImportError:
            print(f"{name} is not installed and left out.")
            continue
        found[name] = RankerAdapter(ranker, early_stopping_rounds=50)
    return found


models = {
    "RankFormer": RankFormerRanker(random_state=args.seed),
    "MLP": MLPRanker(random_state=args.seed),
    **gbdts(),
}

# %%
# The race
# --------
# One metric for all: gain ``2**label - 1``, tied scores averaged, lists without a
# positive label left out.

COLUMNS = ["NDCG@1", "NDCG@5", "NDCG@10", "MRR", "fit s", "predict s"]


def run(model, train, val, test):
    """Fit, predict, and return one row of the table."""
    (X, y, groups), (X_val, y_val, groups_val), (X_test, y_test, groups_test) = (
        train,
        val,
        test,
    )
    start = time.perf_counter()
    model.fit(X, y, groups=groups, X_val=X_val, y_val=y_val, groups_val=groups_val)
    fitted = time.perf_counter()
    scores = model.predict(X_test, groups=groups_test)
    done = time.perf_counter()
    ndcg = [ndcg_score(y_test, scores, groups_test, k=k) for k in (1, 5, 10)]
    mrr = mean_reciprocal_rank(y_test, scores, groups_test)
    return [*ndcg, mrr, fitted - start, done - fitted]


rows = {name: [] for name in models}
for split in load():
    for name, model in models.items():
        rows[name].append(run(model, *split))
table = {name: np.mean(values, axis=0) for name, values in rows.items()}

print(f"{'':<12}" + "".join(f"{column:>11}" for column in COLUMNS))
for name, values in table.items():
    print(f"{name:<12}" + "".join(f"{value:>11.4f}" for value in values))

# %%
# The figure
# ----------

try:
    import matplotlib.pyplot as plt
except ImportError:
    print("Install sklearn-rankformer[plot] for the figure.")
else:
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    names = list(table)[::-1]
    left.barh(names, [table[name][2] for name in names])
    left.set(xlabel="NDCG@10", title="How good", xlim=(0, 1))
    right.barh(names, [table[name][4] for name in names])
    right.set(xlabel="seconds", title="Time to fit")
    if args.save:
        fig.savefig(args.save, dpi=150)
    plt.show()
