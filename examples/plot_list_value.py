"""
List value: answer, or pass the query on
========================================

Scores order the items of one list, but do not say whether the list is any good: the
best of ten bad items is still bad. `RankFormerRanker.predict_list_value` predicts how
likely the list is to hold something relevant, so that a system can answer, abstain, or
ask another source.

Guide: :doc:`/list_value`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import brier_score_loss

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.inspection import ListValueDisplay

# %%
# Lists, half of them without anything relevant
# ---------------------------------------------

X, y, groups = make_ranking(
    n_lists=1000, list_size=(5, 15), list_signal=1.0, empty_share=0.5, random_state=0
)
train = groups < 700
ranker = RankFormerRanker(n_members=2, max_epochs=15, random_state=0)
ranker.fit(X[train], y[train], groups=groups[train])

# %%
# The value of unseen lists
# -------------------------
# One row per list, in the order of ``groups`` in the result. The probability of a
# relevant item is that of a highest label above 0.

value = ranker.predict_list_value(X[~train], groups=groups[~train])
p_relevant = value.proba[:, ranker.levels_ > 0].sum(axis=1)
holds_one = np.array([y[groups == one].max() > 0 for one in value.groups])

base_rate = np.full(len(p_relevant), holds_one.mean())
print(f"Brier score {brier_score_loss(holds_one, p_relevant):.4f}")
print(f"of the base rate {brier_score_loss(holds_one, base_rate):.4f}")

# %%
# Answer only when it pays
# ------------------------
# Suppose that showing a relevant item gains 1, that showing a list without one costs 1,
# and that another source answers any query with a gain of 0.2. Then showing a list pays
# if p - (1 - p) > 0.2.

own = np.where(holds_one, 1.0, -1.0)
show = 2 * p_relevant - 1 > 0.2
print(f"always answer      {own.mean():+.3f} per query")
print("always pass on     +0.200 per query")
print(f"route by the value {np.where(show, own, 0.2).mean():+.3f} per query")

# %%
# The figure
# ----------
# Left: of the lists with some predicted probability, how many hold a relevant item? On
# the diagonal the probability is right. Right: the more lists are left unanswered,
# least promising first, the better the answers.

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
ListValueDisplay.from_estimator(
    ranker, X[~train], y[~train], groups[~train], n_bins=6, ax=left
)

order = np.argsort(-p_relevant)
answered = np.arange(1, len(order) + 1)
right.plot(answered / len(order), np.cumsum(holds_one[order]) / answered)
right.axhline(holds_one.mean(), color="grey", linewidth=0.8)
right.set(xlabel="share of queries answered", ylabel="share of them with a result")
plt.show()
