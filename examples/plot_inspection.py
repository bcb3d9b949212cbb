"""
Explain a ranking: importance, pairs, attention
===============================================

A ranker scores an item in the context of its list, so an explanation has to look at
whole lists. This example trains RankFormer on synthetic lists and shows which features
separate items and which separate lists, why one item is above another, which items
attend to which, and whether the predicted list value is calibrated.

Guide: :doc:`/inspection`.
"""

# %%
# A ranker to explain
# -------------------
# In lists of ``make_ranking``, the meaning of features depends on the other items. We
# add one feature of the list that hints at how good it is, and one without information.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.inspection import (
    AttentionDisplay,
    ListValueDisplay,
    NDCGPerListDisplay,
    PermutationImportanceDisplay,
    TrainingCurveDisplay,
    explain_pair,
)
from sklearn_rankformer.model_selection import train_test_split

X, y, groups = make_ranking(n_lists=600, n_features=10, random_state=0)
rng = np.random.default_rng(0)
list_max = np.zeros(groups.max() + 1)
np.maximum.at(list_max, groups, y)
hint = (list_max + rng.normal(size=len(list_max)))[groups]
X = pd.DataFrame(X, columns=[f"item {j}" for j in range(X.shape[1])])
X["list hint"], X["noise"] = hint, rng.normal(size=len(X))

X_train, X_test, y_train, y_test, g_train, g_test = train_test_split(
    X, y, groups, random_state=0
)
ranker = RankFormerRanker(d_model=32, n_members=2, max_epochs=12, random_state=0)
ranker.fit(X_train, y_train, groups=g_train)
TrainingCurveDisplay.from_estimator(ranker)

# %%
# Feature importance
# ------------------
# Shuffled *within* lists, a feature loses its information about items; shuffled
# *between* lists, its information about lists. The hint is the same for all items of a
# list, so it cannot order them and has no importance for NDCG. Its importance for the
# value of the list shows if that is scored instead.

PermutationImportanceDisplay.from_estimator(
    ranker, X_test, y_test, g_test, n_repeats=3, random_state=0
)


def value_score(ranker, X, y, groups):
    """Minus the mean squared error of the predicted list value."""
    value = ranker.predict_list_value(X, groups=groups)
    best = np.array([y[groups == one].max() for one in value.groups])
    return -np.mean((value.value - best) ** 2)


display = PermutationImportanceDisplay.from_estimator(
    ranker, X_test, y_test, g_test, scoring=value_score, n_repeats=3, random_state=0
)
display.ax_.set_title("what the list value loses")

# %%
# Why is this item above that one?
# --------------------------------
# The first two items of a list. Positive numbers support the present order: how much of
# the lead is lost if the two exchange their values of a feature, or if another item is
# removed. They do not add up to the lead.

first, second = ranker.rank(X_test, groups=g_test, k=2)[:2]
why = explain_pair(ranker, X_test, g_test, above=first, below=second)
print(f"Row {first} leads row {second} by {why.difference:.3f}.")
for name, lost in zip(why.feature_names, why.swap, strict=True):
    print(f"  {name:<10} exchanged: {lost:+.3f} of it lost")
for row, lost in zip(why.rows, why.removal, strict=True):
    print(f"  row {row:<6} removed: {lost:+.3f} of it lost")

# %%
# Which items attend to which
# ---------------------------

fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for head, ax in enumerate(axes):
    AttentionDisplay.from_estimator(ranker, X_test, g_test, g_test[0], head=head, ax=ax)
    ax.set_title(f"head {head}")

# %%
# NDCG per list, and calibration of list values
# ---------------------------------------------

fig, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
NDCGPerListDisplay.from_estimator(ranker, X_test, y_test, g_test, ax=axes[0])
NDCGPerListDisplay.from_estimator(
    ranker, X_test, y_test, g_test, kind="list", ax=axes[1]
)
ListValueDisplay.from_estimator(ranker, X_test, y_test, g_test, n_bins=6, ax=axes[2])
plt.show()
