import numpy as np

from ._groups import (
    groups_within,
    rank_rows,
    resolve_groups,
    split_lists,
    warn_missing_groups,
)
from .metrics import ndcg_score


class RankerMixin:
    group_column = None
    gain = "exp"
    __metadata_request__fit = {"groups": True, "qid": True}
    __metadata_request__predict = {"groups": True, "qid": True}
    __metadata_request__score = {"groups": True, "qid": True}

    def score(self, X, y, groups=None, sample_weight=None, *, qid=None):
        ids = resolve_groups(X, groups, qid, self.group_column)[1]
        y_score = self.predict(X, groups if qid is None else qid)
        if ids is None:
            warn_missing_groups(f"{type(self).__name__}.score")
            ids = np.zeros(len(y_score), dtype=np.int64)
        return ndcg_score(
            y, y_score, ids, k=10, sample_weight=sample_weight, gain=self.gain
        )

    def rank(self, X, groups=None, k=None, *, qid=None):
        ids = resolve_groups(X, groups, qid, self.group_column)[1]
        scores = self.predict(X, groups if qid is None else qid)
        return rank_rows(
            scores, split_lists(np.zeros(len(scores), int) if ids is None else ids), k
        )

    def get_groups(self, X):
        return groups_within(X, self.group_column, type(self).__name__)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
