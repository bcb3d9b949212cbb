"""
Distil RankFormer into a GBDT
=============================

`DistilledRanker` trains a RankFormer and lets a GBDT learn its scores; predictions then
need only the GBDT. The student also learns from lists without labels, which the teacher
labels.

Guide: :doc:`/distillation`.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator

from sklearn_rankformer import RankerAdapter, RankFormerRanker
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.distillation import DistilledRanker

# %%
# Few and noisy labels, many lists
# --------------------------------
# With many clean labels, a GBDT needs no teacher. Here labels are few and noisy, which
# averaged networks handle better.

X, y, groups = make_ranking(
    n_lists=1500, list_size=(5, 20), context_strength=0.0, noise=2.0, random_state=0
)
labelled, unlabelled, test = (
    groups < 200,
    (groups >= 200) & (groups < 1100),
    groups >= 1100,
)

# %%
# Teacher and students
# --------------------
# The teacher is fitted once and wrapped in `FrozenEstimator`; otherwise `fit` would
# train it together with the student.

teacher = RankFormerRanker(n_members=2, max_epochs=10, random_state=0)
teacher.fit(X[labelled], y[labelled], groups=groups[labelled])

gbdt = HistGradientBoostingRegressor(learning_rate=0.1, max_iter=200, random_state=0)
on_labels = RankerAdapter(gbdt).fit(X[labelled], y[labelled], groups=groups[labelled])
distilled = DistilledRanker(FrozenEstimator(teacher), gbdt)
distilled.fit(X[labelled], groups=groups[labelled])
with_more = DistilledRanker(FrozenEstimator(teacher), gbdt)
with_more.fit(
    X[labelled],
    groups=groups[labelled],
    X_unlabelled=X[unlabelled],
    groups_unlabelled=groups[unlabelled],
)

# %%
# Quality and speed
# -----------------


def milliseconds(ranker):
    """Median time to score one list."""
    rows = groups == groups[test][0]
    times = []
    for _ in range(20):
        start = time.perf_counter()
        ranker.predict(X[rows], groups=groups[rows])
        times.append(time.perf_counter() - start)
    return 1000 * np.median(times)


models = {
    "teacher": teacher,
    "GBDT on labels": on_labels,
    "GBDT distilled": distilled,
    "GBDT distilled, unlabelled lists added": with_more,
}
results = {
    name: (ranker.score(X[test], y[test], groups=groups[test]), milliseconds(ranker))
    for name, ranker in models.items()
}
for name, (ndcg, ms) in results.items():
    print(f"{name:<40} NDCG@10 {ndcg:.4f}   {ms:6.2f} ms a list")

# %%
# The figure
# ----------

fig, (left, right) = plt.subplots(
    1, 2, figsize=(9, 2.6), sharey=True, layout="constrained"
)
names = list(results)[::-1]
left.barh(names, [results[name][0] for name in names])
left.set(xlabel="NDCG@10", title="How good")
right.barh(names, [results[name][1] for name in names])
right.set(xlabel="milliseconds a list", title="How slow")
plt.show()
