"""
Judge a new ranker by an old log
================================

A log says what users clicked in the order they were shown, and that order is the old
ranker's. Counted as they are, its clicks favour whoever agrees with it. Weighed by one
over the chance of having been seen, they say what a new order would be worth, and how
sure that is, before anyone is shown it.
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
# The new ranker is better than the old one, which made the log. Users look at position
# p with probability 1 / p. The data are simulated, so that the truth is at hand.

rng = np.random.default_rng(0)
_, y, groups, utility = make_ranking(
    4000, list_size=(5, 15), return_utility=True, random_state=0
)
old = utility + rng.normal(scale=2.0, size=len(y))
new = utility + rng.normal(scale=1.0, size=len(y))

log = simulate_position_biased_clicks(y, rank_positions(old, groups), rng=rng)
relevance = log.click_probabilities

# %%
# What a ranking is worth
# -----------------------
# DCG is linear in relevance, so that clicks over propensities estimate it without bias.
# Clicks as they are call the old ranker the better one.


def judge(scores, propensities):
    """Estimated DCG@5."""
    return off_policy_score(log.labels, scores, groups, propensities=propensities, k=5)


def true_dcg(scores):
    """DCG@5 of the chances of a click, which no log shows."""
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
# Both are judged by the same clicks, so look at the difference, not at two intervals.
# It settles as the log grows.

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
# Ask users
# ---------
# Interleaving shows both at once, and each click is a vote.

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
