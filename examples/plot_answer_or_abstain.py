"""
Show a list or not: a threshold with a guaranteed precision
===========================================================

`RankFormerRanker.predict_list_value` gives the probability that a list holds something
relevant. Above which threshold should a list be shown? A threshold with a precision of
80 % on the lists it was picked on has a lower one on others; `pick_threshold` accounts
for that. First, check whether the probabilities say more than which market, or device,
a list comes from.

Guide: :doc:`/list_value`.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.calibration import (
    answer_curve,
    brier_by_segment,
    pick_threshold,
)
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.inspection import AnswerCurveDisplay, ListValueDisplay

# %%
# Lists of two markets
# --------------------
# Half of the lists hold nothing relevant; most of those come from the new market. The
# market is also a feature. Some lists train the ranker, some pick the threshold, and
# the others stand for the future.

X, y, groups = make_ranking(
    n_lists=3000, list_size=(5, 15), list_signal=1.0, empty_share=0.5, random_state=0
)
holds_one = np.array([y[groups == one].max() > 0 for one in range(3000)])
rng = np.random.default_rng(0)
is_new = rng.uniform(size=3000) < np.where(holds_one, 0.3, 0.7)
X = np.column_stack([X, is_new[groups]])
market = np.where(is_new, "new", "old")[groups]

train, future = groups < 1000, groups >= 2000
held_out = ~train & ~future
ranker = RankFormerRanker(n_members=2, max_epochs=10, random_state=0)
ranker.fit(X[train], y[train], groups=groups[train])

# %%
# Is it more than the market?
# ---------------------------
# Left: the ranker. Right: predictions that are only the share of good lists of the
# market. These look skilful compared with one base rate for all lists, but not compared
# with the base rates within markets.

value = ranker.predict_list_value(X[held_out], groups=groups[held_out])
chance = value.proba[:, ranker.levels_ > 0].sum(axis=1)
good, new = holds_one[value.groups], is_new[value.groups]
of_market = [holds_one[:1000][is_new[:1000] == one].mean() for one in (False, True)]

for name, chances in [("ranker", chance), ("market", np.take(of_market, new * 1))]:
    brier = brier_by_segment(good, chances, new)
    print(
        f"{name}: Brier score {brier.total_brier:.3f}; base rate of all "
        f"{brier.total_base_brier:.3f}, of each market {brier.within_base_brier:.3f}"
    )

fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
ListValueDisplay.from_estimator(
    ranker,
    X[held_out],
    y[held_out],
    groups[held_out],
    segment=market[held_out],
    n_bins=6,
    ax=left,
)
ListValueDisplay.from_predictions(
    good, np.take(of_market, new * 1), segment=np.where(new, "new", "old"), ax=right
)
plt.show()

# %%
# The threshold
# -------------
# Of the lists that are answered, 80 % should hold something relevant. The guarantee
# fails for at most one in twenty draws of the held-out lists. A threshold that merely
# reaches 80 % on these lists answers more of them, but without a margin.

picked = pick_threshold(good, chance, precision=0.8)
curve = answer_curve(good, chance)
looks_right = curve.threshold[curve.precision >= 0.8][-1]

later = ranker.predict_list_value(X[future], groups=groups[future])
later_chance = later.proba[:, ranker.levels_ > 0].sum(axis=1)
for name, threshold in [("guaranteed", picked.threshold), ("no margin", looks_right)]:
    answered = later_chance >= threshold
    hits = holds_one[later.groups][answered]
    print(
        f"{name}: answer from {threshold:.3f} on, "
        f"{np.mean(chance >= threshold):.1%} of the held-out lists, "
        f"{good[chance >= threshold].mean():.1%} of them right; later "
        f"{answered.mean():.1%}, {hits.mean():.1%} of them right"
    )

# %%
# The curve
# ---------
# The share of lists answered against the precision. The point is the threshold picked;
# the band reaches down to the lower bound of the precision at each threshold.

AnswerCurveDisplay.from_predictions(good, chance, precision=0.8)
plt.show()
