"""
Train on lists that nobody clicked
==================================

A loss that compares the items of a list learns nothing from lists without clicks. The
listwide loss can: such a list shows what bad items look like. Here users simulated by
the RankFormer paper's model click on synthetic lists. The number of lists with clicks
stays the same, while more and more lists without clicks are added.

There are only three seeds with small settings, so expect noise. The benchmark of the
same name uses more seeds and data sets, with intervals, and finds little gain.

Guide: :doc:`/implicit_feedback`.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.simulation import simulate_implicit_feedback

# %%
# Users and their clicks
# ----------------------

X, y, groups = make_ranking(
    n_lists=700,
    list_size=(8, 16),
    context_strength=0.0,
    list_signal=1.0,
    random_state=0,
)
test = groups >= 400
shown = simulate_implicit_feedback(
    y[~test], groups[~test], n_repeats=3, max_label=2, rng=0
)
starts = np.unique(shown.groups, return_index=True)[1]
clicked = np.maximum.reduceat(shown.labels, starts) > 0
print(f"{len(clicked)} lists shown, {1 - clicked.mean():.0%} of them without a click")

# %%
# Train with and without the listwide loss
# ----------------------------------------

n_clicked = 60
with_clicks, without = np.flatnonzero(clicked), np.flatnonzero(~clicked)


def true_ndcg(share, weight, seed):
    """NDCG@10 of the true relevance, given this share of lists without clicks."""
    n_empty = round(n_clicked * share / (1 - share))
    clicked_part = np.roll(with_clicks, -n_clicked * seed)[:n_clicked]
    kept = np.isin(shown.groups, np.r_[clicked_part, without[:n_empty]])
    ranker = RankFormerRanker(
        loss="softmax",
        listwide_weight=weight,
        d_model=32,
        num_layers=1,
        n_members=1,
        max_epochs=15,
        validation_fraction=None,
        random_state=seed,
    )
    ranker.fit(X[shown.rows[kept]], shown.labels[kept], groups=shown.groups[kept])
    scores = ranker.predict(X[test], groups=groups[test])
    return ndcg_score(y[test], scores, groups[test], k=10)


shares = np.array([0.0, 0.5, 0.8])
ndcg = {
    weight: [np.mean([true_ndcg(s, weight, seed) for seed in range(3)]) for s in shares]
    for weight in (0.0, 2.0)
}
for weight, values in ndcg.items():
    print(f"listwide weight {weight}:", "  ".join(f"{v:.4f}" for v in values))

# %%
# The figure
# ----------

fig, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
for weight, values in ndcg.items():
    axis.plot(shares, values, marker="o", label=f"listwide weight {weight}")
axis.set(xlabel="share of training lists without clicks", ylabel="NDCG@10, true labels")
axis.legend()
plt.show()
