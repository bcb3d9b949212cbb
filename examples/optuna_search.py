"""
Search with Optuna
==================

Optuna draws the parameters, scikit-learn runs the folds. The objective is any function
of a trial, so list ids need no support from Optuna. Install the extra first:
``pip install -e ".[tune]"`` in a checkout. This example is not run when the pages are
built.

Guide: :doc:`/tuning`.
"""

# sphinx_gallery_thumbnail_path = "_static/thumb_optuna.svg"
import argparse

import sklearn
from sklearn.model_selection import GroupKFold, cross_validate

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.scoring import get_scorer

try:
    import optuna
except ImportError as error:
    raise SystemExit('This example needs Optuna: pip install -e ".[tune]"') from error

parser = argparse.ArgumentParser(description="Search with Optuna.")
parser.add_argument("--trials", type=int, default=8)
args = parser.parse_args()

X, y, groups = make_ranking(n_lists=120, random_state=0)
sklearn.set_config(enable_metadata_routing=True)

# %%
# One trial
# ---------
# Folds of whole lists; the scorer passes each fold's list ids to ``predict``.


def objective(trial):
    """Mean NDCG@10 over the folds."""
    ranker = RankFormerRanker(
        learning_rate=trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
        listwide_weight=trial.suggest_float("listwide_weight", 0.0, 1.0),
        d_model=32,
        n_members=2,
        max_epochs=8,
        random_state=0,
    )
    result = cross_validate(
        ranker,
        X,
        y,
        scoring=get_scorer("ndcg@10"),
        cv=GroupKFold(3),
        params={"groups": groups},
        error_score="raise",
    )
    return result["test_score"].mean()


# %%
# The study
# ---------

study = optuna.create_study(
    direction="maximize", sampler=optuna.samplers.TPESampler(seed=0)
)
study.optimize(objective, n_trials=args.trials)
print(f"best NDCG@10: {study.best_value:.4f} with {study.best_params}")
