"""
Ensembles: RankFormer and a GBDT, averaged and stacked
======================================================

Two rankers that make different mistakes can correct one another. `VotingRanker`
averages the scores of a RankFormer and a GBDT, each standardised within its list, and
`StackingRanker` learns the weight of each.

Guide: :doc:`/ensembles`.
"""

from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline

from sklearn_rankformer import (
    RankerAdapter,
    RankFormerRanker,
    StackingRanker,
    VotingRanker,
    WithinListScaler,
)
from sklearn_rankformer.comparison import ComparisonDisplay, compare_rankers
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.model_selection import ListKFold

# %%
# Lists with a little context
# ---------------------------
# Enough that reading the whole list helps, but not so much that nothing else does.

X, y, groups = make_ranking(
    n_lists=450, context_strength=0.5, noise=1.0, random_state=0
)

# %%
# Members and ensembles
# ---------------------
# The GBDT also gets each feature relative to its list.

network = RankFormerRanker(n_members=1, max_epochs=10, random_state=0)
trees = HistGradientBoostingRegressor(
    learning_rate=0.05, max_iter=150, max_leaf_nodes=8, random_state=0
)
members = [
    ("network", network),
    ("trees", make_pipeline(WithinListScaler(), RankerAdapter(trees))),
]
rankers = {
    "vote": VotingRanker(members),
    "stack": StackingRanker(members, cv=ListKFold(2, random_state=0)),
    "RankFormer": members[0][1],
    "GBDT": members[1][1],
}

# %%
# List by list
# ------------
# All are fitted on the same folds. If an interval is below 0, the vote is significantly
# better than that ranker.

result = compare_rankers(
    rankers, X, y, groups, cv=ListKFold(3, random_state=0), random_state=0
)
print(result)
ComparisonDisplay.from_comparison(result)
