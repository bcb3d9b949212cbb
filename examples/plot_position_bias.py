"""
Position bias: propensities from random traffic, as weights
===========================================================

Items shown first are clicked most, relevant or not. A ranker trained on such a log
learns to imitate the old ranker. If a small part of the traffic was shown in random
order, that part shows the effect of position, and weights correct for it. Without such
a part, pass the positions to `fit`, as in :doc:`/auto_examples/plot_tutorial`.

Guide: :doc:`/clicks`.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_rankformer import MLPRanker
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.simulation import (
    estimate_propensities,
    examination_propensities,
    inverse_propensity_weights,
    rank_positions,
    simulate_position_biased_clicks,
)

# %%
# A log
# -----
# The current ranker sorts by one feature that has little to do with relevance. One list
# in five is shown in random order instead. Users look at position p with probability
# 1 / p.

rng = np.random.default_rng(0)
X, y, groups = make_ranking(n_lists=900, list_size=15, random_state=0)
train = groups < 700

randomized = groups % 5 == 0
old_scores = np.where(randomized, rng.random(len(y)), -X[:, 9])
positions = rank_positions(old_scores, groups)
log = simulate_position_biased_clicks(y, positions, eta=1.0, rng=rng)
clicks = log.labels

# %%
# The effect of position
# ----------------------
# In random order, all positions are equally relevant on average, so differences in the
# click rate are differences in attention.

table = estimate_propensities(
    positions[train], clicks[train], randomized=randomized[train]
)
naive_rate = (
    np.bincount(positions[train], clicks[train])[1:] / np.bincount(positions[train])[1:]
)

# %%
# Train with and without weights
# ------------------------------
# A click at a position that few users look at counts for more, by ``sample_weight``.
# The bound on the weights limits the influence of single clicks.


def true_ndcg(labels, weight=None):
    """NDCG@10 of the true relevance, after training on these labels."""
    ranker = MLPRanker(n_members=2, max_epochs=8, random_state=0)
    ranker.fit(
        X[train],
        labels[train],
        groups=groups[train],
        sample_weight=None if weight is None else weight[train],
    )
    scores = ranker.predict(X[~train])
    return ndcg_score(y[~train], scores, groups[~train], k=10)


estimated = examination_propensities(positions, table=table)
weight = inverse_propensity_weights(clicks, estimated, max_weight=15)
results = {
    "the old ranker": ndcg_score(y[~train], -X[~train, 9], groups[~train], k=10),
    "clicks": true_ndcg(clicks),
    "clicks, weighted": true_ndcg(clicks, weight),
    "true labels": true_ndcg(y),
}
for name, value in results.items():
    print(f"{name:<18} NDCG@10 {value:.4f}")

# %%
# The figure
# ----------

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
at = np.arange(1, len(table) + 1)
left.plot(at, 1 / at, "k:", label="truth")
left.plot(at, table, marker="o", label="estimated")
left.plot(at, naive_rate / naive_rate[0], marker=".", label="click rate, all lists")
left.set(xlabel="position", ylabel="relative to position 1", title="Attention")
left.legend()
right.barh(list(results)[::-1], list(results.values())[::-1])
right.set(xlabel="NDCG@10 of the true relevance", title="Trained on")
plt.show()
