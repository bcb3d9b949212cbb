"""
Tutorial: from a click log to a served ranker
=============================================

A hotel search engine keeps a log: what was shown for each search, at which place, and
what was clicked. From it we train a ranker, compare it with LightGBM, correct for the
effect of the place on clicks, predict which lists are any good, explain one list, and
serve the ranker.

The log is simulated, so there is nothing to download, and the relevance behind the
clicks is known for a final check. All numbers below were computed when this page was
built, on few searches and with small settings: expect noise.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from lightgbm import LGBMRanker

from sklearn_rankformer import RankerAdapter, RankFormerRanker, persistence
from sklearn_rankformer.comparison import (
    ComparisonDisplay,
    compare_rankers,
    paired_interval,
)
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.inspection import (
    ListValueDisplay,
    PermutationImportanceDisplay,
    explain_pair,
)
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.model_selection import ListKFold, train_test_split
from sklearn_rankformer.simulation import (
    rank_positions,
    simulate_position_biased_clicks,
)

# %%
# The log
# -------
# One row per hotel shown. ``search`` is the list that a row belongs to, ``day`` the day
# it was shown. Features need no scaling; missing values and categories are fine.

rng = np.random.default_rng(0)
X, relevance, search = make_ranking(
    n_lists=1500, list_size=(5, 15), n_features=8, list_signal=1.0, random_state=0
)
names = ["price", "stars", "review", "distance", "rooms", "age", "deal", "promoted"]
hotels = pd.DataFrame(X, columns=names)
hotels.loc[rng.random(len(hotels)) < 0.1, "review"] = np.nan
device = rng.choice(["phone", "desktop"], size=search.max() + 1)[search]
hotels["device"] = pd.Categorical(device)
day = search // 10

# %%
# The current engine sorts by ``promoted``, with some randomness. Users look at place p
# with probability 1 / p, and click what they see and like.

old_scores = hotels["promoted"].rank(pct=True) + 0.5 * rng.random(len(hotels))
place = rank_positions(old_scores.to_numpy(), search)
clicks = simulate_position_biased_clicks(relevance, place, eta=1.0, rng=rng).labels
log = hotels.round(1).assign(search=search, place=place, click=clicks)
print(log.head(6).to_string())

# %%
# Split by time
# -------------
# The last days are the test set, as in production. Searches stay whole; further arrays
# are split in the same way (:doc:`/model_selection`).

X_train, X_test, clicks_train, clicks_test, search_train, search_test, *others = (
    train_test_split(hotels, clicks, search, place, relevance, times=day)
)
place_train, _, _, relevance_test = others
print(f"{len(np.unique(search_train))} searches to learn from")
print(f"{len(np.unique(search_test))} later ones to test on")

# %%
# A baseline, and a comparison
# ----------------------------
# `RankerAdapter` gives LightGBM the interface of `RankFormerRanker`. `compare_rankers`
# compares both on folds of whole searches, and shows which differences are more than
# chance. Searches without a click have no best order and are left out
# (:doc:`/comparison`).

settings = {"n_members": 2, "max_epochs": 10, "random_state": 0}
lightgbm = LGBMRanker(n_estimators=60, learning_rate=0.05, verbosity=-1, n_jobs=1)
result = compare_rankers(
    {"RankFormer": RankFormerRanker(**settings), "LightGBM": RankerAdapter(lightgbm)},
    X_train,
    clicks_train,
    search_train,
    cv=ListKFold(3, random_state=0),
    random_state=0,
)
print(result)
ComparisonDisplay.from_comparison(result)

# %%
# The effect of the place
# -----------------------
# Both rankers learned from raw clicks, and so learned to prefer what was shown on top.
# Given ``position``, `fit` learns what each place adds to the clicks, apart from how
# good the hotels are, and `predict` leaves it out (:doc:`/clicks`).

as_they_are = RankFormerRanker(**settings)
as_they_are.fit(X_train, clicks_train, groups=search_train)
ranker = RankFormerRanker(**settings)
ranker.fit(X_train, clicks_train, groups=search_train, position=place_train)

_, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
bias = ranker.position_bias_ - ranker.position_bias_[0]
axis.plot(ranker.positions_, np.exp(bias), marker="o", label="learned")
axis.plot(ranker.positions_, 1 / ranker.positions_, "k:", label="truth")
axis.set(xlabel="place", ylabel="chance to be seen, relative to place 1")
axis.legend()

# %%
# Check against the truth
# -----------------------
# In this simulation we know what users would have liked on the test days, had they seen
# everything. In production you would run an online test instead. LightGBM has its own
# correction for positions, which is not used here.

scores = {
    "current engine": X_test["promoted"].to_numpy(),
    "LightGBM": RankerAdapter(lightgbm)
    .fit(X_train, clicks_train, groups=search_train)
    .predict(X_test, groups=search_test),
    "RankFormer": as_they_are.predict(X_test, groups=search_test),
    "RankFormer, with position": ranker.predict(X_test, groups=search_test),
}
ndcg = {
    name: ndcg_score(relevance_test, s, search_test, k=10, reduction="none").value
    for name, s in scores.items()
}
for name, values in ndcg.items():
    print(f"{name:<26} NDCG@10 {np.nanmean(values):.3f}")
gain = paired_interval(ndcg["RankFormer, with position"], ndcg["RankFormer"])
print(f"position gains {gain.difference:.3f} [{gain.low:.3f}, {gain.high:.3f}]")

# %%
# Is the list any good?
# ---------------------
# `predict_list_value` gives the probability that a search ends in a click, calibrated
# on the searches that `fit` held out. The plot compares it with the share of later
# searches that were clicked: on the diagonal, it is right (:doc:`/list_value`).

value = ranker.predict_list_value(X_test, groups=search_test)
print(f"expected highest label of the first lists: {value.value[:3].round(2)}")
_, axis = plt.subplots(figsize=(5, 4), layout="constrained")
ListValueDisplay.from_estimator(
    ranker, X_test, clicks_test, search_test, n_bins=5, ax=axis
)

# %%
# Why is the list ranked like this?
# ---------------------------------
# Over all lists: how much NDCG is lost when a column is shuffled among the hotels of
# each search (within), or among searches (between). In one list: what put the first
# hotel above the second (:doc:`/inspection`).

PermutationImportanceDisplay.from_estimator(
    ranker, X_test, clicks_test, search_test, n_repeats=2, random_state=0
)
first, second = ranker.rank(X_test, groups=search_test, k=2)[:2]
why = explain_pair(ranker, X_test, search_test, above=first, below=second)
print(f"The first leads the second by {why.difference:.2f}. If they exchange their")
for i in np.argsort(-why.swap)[:3]:
    print(f"  {why.feature_names[i]:<10} {why.swap[i]:+.2f} of the lead is lost")

# %%
# Save, load, serve
# -----------------
# The file holds weights and tables, but no code. In the server, one pass gives the
# order and the probability that anything in the list is clicked. A request is a table
# of the same columns, for example from JSON; a device that was never seen before is no
# error (:doc:`/saving`, :doc:`/serving`).

with tempfile.TemporaryDirectory() as folder:
    persistence.save(ranker, Path(folder) / "hotels.safetensors")
    served = persistence.load(Path(folder) / "hotels.safetensors")


def answer(request, k=3):
    """Return the rows of the best hotels, and the probability of a click."""
    table = pd.DataFrame(request)
    result = served.predict_all(table, groups=np.zeros(len(table)))
    best = np.argsort(-result.scores, kind="stable")[:k]
    p_click = result.list_value.proba[0, served.levels_ > 0].sum()
    return best.tolist(), round(float(p_click), 2)


request = X_test[search_test == search_test[0]].to_dict(orient="list")
print(answer(request))
request["device"] = ["watch"] * len(request["device"])
print(answer(request))
plt.show()
