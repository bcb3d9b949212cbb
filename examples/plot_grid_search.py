"""
One grid search over RankFormer and LightGBM
============================================

RankFormer and LightGBM in a single ``GridSearchCV``: the last step of the pipeline is
one of the parameters. Folds keep lists whole, and the scorer passes the list ids to
``predict`` and to NDCG.

Guide: :doc:`/pipelines`.
"""

import matplotlib.pyplot as plt
import sklearn
from lightgbm import LGBMRanker
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rankformer import RankerAdapter, RankFormerRanker
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.model_selection import (
    ListKFold,
    check_group_cv,
    train_test_split,
)
from sklearn_rankformer.scoring import get_scorer

# %%
# Lists for the search and for testing
# ------------------------------------
# The split keeps lists whole. Rows may come in any order.

X, y, groups = make_ranking(n_lists=120, random_state=0)
X, X_test, y, y_test, groups, groups_test = train_test_split(
    X, y, groups, test_size=0.25, random_state=0
)

# %%
# The search
# ----------
# With metadata routing on, pass ``groups`` once, to ``fit`` of the search; the rankers
# and scorers of this package and the splitters request it by default.
#
# A list of grids allows different parameters for each ranker. ``ranker`` is the name of
# the step: its values replace the step, and ``ranker__...`` sets its parameters.

sklearn.set_config(enable_metadata_routing=True)

pipeline = Pipeline(
    [
        ("scale", StandardScaler()),
        ("select", SelectKBest(f_regression)),
        ("ranker", RankFormerRanker()),
    ]
)
small = {"d_model": 32, "n_members": 2, "max_epochs": 8, "random_state": 0}
lightgbm = LGBMRanker(n_estimators=50, n_jobs=1, verbosity=-1, random_state=0)
grid = [
    {
        "select__k": [4, "all"],
        "ranker": [RankFormerRanker(**small)],
        "ranker__learning_rate": [1e-3, 5e-3],
    },
    {
        "select__k": [4, "all"],
        "ranker": [RankerAdapter(lightgbm)],
        "ranker__estimator__num_leaves": [7, 31],
    },
]
cv = check_group_cv(ListKFold(3, random_state=0), X, y, groups)
search = GridSearchCV(pipeline, grid, scoring=get_scorer("ndcg@10"), cv=cv)
search.fit(X, y, groups=groups)

# %%
# Results
# -------

results = search.cv_results_
for i in results["rank_test_score"].argsort():
    params = {k: v for k, v in results["params"][i].items() if k != "ranker"}
    name = type(results["params"][i]["ranker"]).__name__
    mean, std = results["mean_test_score"][i], results["std_test_score"][i]
    print(f"{mean:.4f} +- {std:.4f}  {name:<17} {params}")

# %%
# On new lists
# ------------
# ``score`` of the search takes the list ids. Its ``predict`` does not, so use the best
# pipeline.

print(f"NDCG@10 on test lists: {search.score(X_test, y_test, groups=groups_test):.4f}")
scores = search.best_estimator_.predict(X_test, groups=groups_test)
print(f"the same by hand:      {ndcg_score(y_test, scores, groups_test, k=10):.4f}")

# %%
# The figure
# ----------
# Mean and standard deviation over the folds. With so few lists they overlap.

_, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for row, i in enumerate(results["rank_test_score"].argsort()[::-1]):
    name = type(results["params"][i]["ranker"]).__name__
    color = "C0" if name == "RankFormerRanker" else "C1"
    mean, std = results["mean_test_score"][i], results["std_test_score"][i]
    axis.errorbar(mean, row, xerr=std, fmt="o", color=color)
axis.set(xlabel="NDCG@10", yticks=[], title="RankFormer blue, LightGBM orange")
plt.show()
