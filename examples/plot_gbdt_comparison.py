"""
Compare RankFormer with LightGBM, XGBoost and CatBoost
======================================================

Train RankFormer, a pointwise network and every installed GBDT ranker on the same lists,
and compare them list by list.

Without arguments it runs on synthetic lists with strong context: more than half of an
item's relevance depends on the other items shown (see
`sklearn_rankformer.datasets.make_ranking`), which favours a listwise transformer. Run
it on your own lists to see how they compare there:

.. code-block:: bash

    python examples/plot_gbdt_comparison.py --data lists.npz --save figure.png

``--data`` takes an ``.npz`` file with ``X``, ``y`` and ``qid``, and ``fold`` if there
are official folds.

Guide: :doc:`/comparison`.
"""

import argparse
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import PredefinedSplit

from sklearn_rankformer import MLPRanker, RankerAdapter, RankFormerRanker
from sklearn_rankformer.comparison import ComparisonDisplay, compare_rankers
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.model_selection import ListKFold

parser = argparse.ArgumentParser(description="RankFormer beside GBDT rankers.")
parser.add_argument("--data", type=Path, help=".npz file")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--save", type=Path, help="where to save the figure")
args = parser.parse_args()

# %%
# The lists
# ---------
# All rows of a list are in the same fold.

cv = ListKFold(3, random_state=args.seed)
if args.data is None:
    X, y, groups = make_ranking(
        n_lists=600, context_strength=2.0, random_state=args.seed
    )
else:
    with np.load(args.data) as file:
        X, y, groups = file["X"], file["y"], file["qid"]
        cv = PredefinedSplit(file["fold"]) if "fold" in file else cv

# %%
# The models
# ----------
# The networks use their defaults, the GBDTs a common setting and early stopping. Each
# has one thread, so that times are comparable.

torch.set_num_threads(1)
LIBRARIES = {
    "LightGBM": ("lightgbm", "LGBMRanker", {"n_jobs": 1, "verbosity": -1}),
    "XGBoost": ("xgboost", "XGBRanker", {"n_jobs": 1, "objective": "rank:ndcg"}),
    "CatBoost": (
        "catboost",
        "CatBoostRanker",
        {"thread_count": 1, "verbose": False, "allow_writing_files": False},
    ),
}
common = {"n_estimators": 500, "learning_rate": 0.05, "random_state": args.seed}
rankers = {
    "RankFormer": RankFormerRanker(random_state=args.seed),
    "MLP": MLPRanker(random_state=args.seed),
}
for name, (module, kind, own) in LIBRARIES.items():
    try:
        ranker = getattr(import_module(module), kind)(**common, **own)
    except ImportError:
        print(f"{name} is not installed and left out.")
        continue
    rankers[name] = RankerAdapter(ranker, early_stopping_rounds=50)

# %%
# The comparison
# --------------
# All are fitted on the same folds, with the same held-out lists for early stopping.
# Lists without a positive label are left out.

result = compare_rankers(
    rankers,
    X,
    y,
    groups,
    cv=cv,
    metrics=["ndcg@10", "mrr"],
    validation_fraction=0.2,
    random_state=args.seed,
)
print(result)

# %%
# The figure
# ----------
# If an interval does not contain 0, the difference is significant.

display = ComparisonDisplay.from_comparison(result)
if args.save:
    display.figure_.savefig(args.save, dpi=150)
