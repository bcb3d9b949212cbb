"""
RankFormer and a GBDT as context grows
======================================

If the relevance of an item depends on what it is shown with, a ranker has to see the
whole list. This example increases the weight of that context from zero and compares
RankFormer, the pointwise network, and a GBDT without and with features relative to the
list (`WithinListScaler`), which gives a GBDT some context.

Each weight has only one small data set, so expect noise.
`benchmarks/context_crossing.py` uses more lists, a tuned LightGBM and intervals.

Guide: :doc:`/context`.
"""

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline

from sklearn_rankformer import (
    MLPRanker,
    RankerAdapter,
    RankFormerRanker,
    WithinListScaler,
)
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.metrics import ndcg_score

sklearn.set_config(enable_metadata_routing=True)

# %%
# The rankers
# -----------


def rankers():
    """Fresh rankers; a pipeline hands the list ids to its scaler by itself."""
    gbdt = RankerAdapter(HistGradientBoostingRegressor(random_state=0))
    return {
        "RankFormer": RankFormerRanker(n_members=1, random_state=0),
        "MLP": MLPRanker(n_members=1, random_state=0),
        "GBDT": gbdt,
        "GBDT, list features": make_pipeline(WithinListScaler(), gbdt),
    }


# %%
# From no context to strong context
# ---------------------------------

strengths = np.array([0.0, 0.5, 1.0, 2.0])
ndcg = {name: [] for name in rankers()}
for strength in strengths:
    X, y, groups = make_ranking(1200, context_strength=strength, random_state=0)
    test = groups % 3 == 0
    for name, ranker in rankers().items():
        ranker.fit(X[~test], y[~test], groups=groups[~test])
        scores = ranker.predict(X[test], groups=groups[test])
        ndcg[name].append(ndcg_score(y[test], scores, groups[test], k=10))

for name, values in ndcg.items():
    print(f"{name:20}", "  ".join(f"{v:.3f}" for v in values))

# %%
# The figure
# ----------

fig, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, values in ndcg.items():
    axis.plot(strengths, values, marker="o", label=name)
axis.set(xlabel="context strength", ylabel="NDCG@10 on new lists")
axis.legend()
plt.show()
