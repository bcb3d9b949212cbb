"""
Evaluate a new ranker on an old log
===================================

A log shows what users clicked in the order of the old ranker, so raw clicks favour
rankers that agree with it. Weighted by the inverse probability of having been seen, the
clicks estimate how good a new order would be, with an interval, before any user sees
it.

Guide: :doc:`/offline_evaluation`.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_rankformer.counterfactual import off_policy_difference, off_policy_score
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.interleaving import interleave, interleaving_test
from sklearn_rankformer.metrics import dcg_score
from sklearn_rankformer.simulation import (
    rank_positions,
    simulate_position_biased_clicks,
)

# %%
# A log, and two rankers
# ----------------------
# The new ranker is better than the old one, which produced the log. Users look at
# position p with probability 1 / p. The data are simulated, so the truth is known.

rng = np.random.default_rng(0)
_, y, groups, utility = make_ranking(
    4000, list_size=(5, 15), return_utility=True, random_state=0
)
old = utility + rng.normal(scale=2.0, size=len(y))
new = utility + rng.normal(scale=1.0, size=len(y))

log = simulate_position_biased_clicks(y, rank_positions(old, groups), rng=rng)
relevance = log.click_probabilities

# %%
# How good is a ranking?
# ----------------------
# DCG is linear in relevance, so clicks divided by propensities estimate it without
# bias. By raw clicks, the old ranker looks better.


def judge(scores, propensities):
    """Estimated DCG@5."""
    return off_policy_score(log.labels, scores, groups, propensities=propensities, k=5)


def true_dcg(scores):
    """DCG@5 of the true probabilities of a click, which no log shows."""
    return dcg_score(relevance, scores, groups, k=5, gain="linear", empty="zero")


chances = {"clicks as they are": np.ones(len(y)), "weighed": log.propensities}
rankers = {"old": old, "new": new}
results = {
    (name, how): judge(scores, propensities)
    for name, scores in rankers.items()
    for how, propensities in chances.items()
}
for (name, how), found in results.items():
    print(
        f"{name}, {how}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}], "
        f"true {true_dcg(rankers[name]):.3f}"
    )

# %%
# Is the new one better?
# ----------------------
# Both are evaluated on the same clicks, so look at the difference, not at two
# intervals. Its interval narrows as the log grows.

sizes = [250, 500, 1000, 2000, 4000]
gains = []
for n_lists in sizes:
    part = groups < n_lists
    gains.append(
        off_policy_difference(
            log.labels[part],
            new[part],
            old[part],
            groups[part],
            propensities=log.propensities[part],
            k=5,
        )
    )
print(
    f"new less old: {gains[-1].value:.3f} [{gains[-1].low:.3f}, {gains[-1].high:.3f}]"
)

# %%
# Interleaving
# ------------
# Interleaving shows users a mix of both rankings, and each click is a vote.

shown = interleave(new, old, groups, k=10, random_state=0)
votes = simulate_position_biased_clicks(y[shown.rows], shown.positions, rng=rng)
result = interleaving_test(shown.teams, votes.labels, groups[shown.rows])
print(
    f"the new one wins {result.wins_a} lists, the old one {result.wins_b}: preference "
    f"{result.preference:.2f} [{result.low:.2f}, {result.high:.2f}]"
)

# %%
# The figure
# ----------

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for place, ((name, _), found) in enumerate(results.items()):
    spread = [[found.value - found.low], [found.high - found.value]]
    left.errorbar(found.value, place, xerr=spread, fmt="o")
    left.plot(true_dcg(rankers[name]), place, "kx")
left.set(yticks=range(4), yticklabels=[", ".join(key) for key in results])
left.set(xlabel="DCG@5 (cross: truth)", title="One ranking")
low, value, high = np.transpose([[one.low, one.value, one.high] for one in gains])
right.fill_between(sizes, low, high, alpha=0.3)
right.plot(sizes, value, marker="o")
right.axhline(true_dcg(new) - true_dcg(old), color="k", linestyle=":")
right.axhline(0, color="grey", linewidth=0.8)
right.set(xscale="log", xticks=sizes, xticklabels=sizes)
right.minorticks_off()
right.set(xlabel="lists in the log", title="DCG@5, new less old")
plt.show()
