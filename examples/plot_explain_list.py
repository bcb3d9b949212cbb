"""
Which features put which item where?
====================================

`explain_list` explains the ranking of a whole list: how much each feature contributes
to the lead of each item over the others, in numbers that add up. `rank_uncertainty`
then shows how sure the ranking is.

Guide: :doc:`/inspection`.
"""

# %%
# A ranker for hotels
# -------------------
# Lists of hotels whose guests like stars, good reviews, and a low price *in this list*:
# a hundred dollars is expensive next to fifty and cheap next to three hundred.
# Breakfast matters a little, the name of the street not at all.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.inspection import (
    ListExplanationDisplay,
    explain_list,
    rank_uncertainty,
)
from sklearn_rankformer.model_selection import train_test_split

rng = np.random.default_rng(0)
n_lists, size = 500, 10
groups = np.repeat(np.arange(n_lists), size)
n = len(groups)
town = np.exp(rng.normal(4.5, 0.5, n_lists))[groups]  # what a night costs there
X = pd.DataFrame(
    {
        "price": (town * np.exp(rng.normal(0, 0.3, n))).round(),
        "stars": rng.integers(1, 6, n),
        "review": rng.normal(8, 1, n).clip(0, 10).round(1),
        "breakfast": pd.Categorical(rng.choice(["none", "cold", "warm"], n)),
        "street": rng.normal(size=n),
    }
)
worth = (
    -3 * np.log(X["price"] / town)
    + 0.5 * X["stars"]
    + 0.8 * X["review"]
    + 0.5 * (X["breakfast"] == "warm")
    + rng.normal(0, 0.5, n)
)
y = (worth.groupby(groups).rank(ascending=False) <= 2).astype(int).to_numpy()

X_train, X_new, y_train, y_new, g_train, g_new = train_test_split(
    X, y, groups, test_size=0.3, random_state=0
)
ranker = RankFormerRanker(d_model=32, max_epochs=12, random_state=0)
ranker.fit(X_train, y_train, groups=g_train)
print(f"NDCG@10 on new lists: {ranker.score(X_new, y_new, groups=g_new):.3f}")

# %%
# One list, item by item
# ----------------------
# One bar per hotel, the best on top: to the right the features in its favour, to the
# left those against it. The point marks the sum, the hotel's lead over the mean of its
# list. The contribution of a feature is what is lost when all hotels of the list get
# the same value of it.

one = g_new[0]
why = explain_list(ranker, X_new, g_new, one)
print(why)
ListExplanationDisplay(why).plot()

# %%
# The same as a frame, indexed by the labels of the rows, next to the values.

table = why.to_frame().round(2)
print(table.join(X_new.loc[table.index].add_suffix(" is")).to_string())

# %%
# Why not the second instead of the first?
# ----------------------------------------
# With a reference item, all leads are relative to that item.

first, second = why.rows[:2]
print(explain_list(ranker, X_new, g_new, one, reference=second))

# %%
# How sure is it?
# ---------------
# The probability that one hotel belongs above another, and an interval for the rank of
# each. The lists for calibration must not be training lists.

asked = g_new == one
sure = rank_uncertainty(
    ranker,
    X_new[asked],
    g_new[asked],
    one,
    X_val=X_new[~asked],
    y_val=y_new[~asked],
    groups_val=g_new[~asked],
    random_state=0,
)
print(f"The first belongs above the second with chance {sure.proba[0, 1]:.2f}.")

fig, ax = plt.subplots(layout="constrained")
places = np.arange(1, len(sure.rows) + 1)
ax.hlines(places, sure.low, sure.high, linewidth=4, color="lightgrey")
ax.plot(sure.expected_rank, places, "o")
ax.set_yticks(places, sure.labels)
ax.invert_yaxis()
ax.set(xlabel="rank, 90 % interval", ylabel="hotel, in the order of the ranker")
plt.show()
