"""What every ranker can do, once it can fit and predict."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import _num_samples

from ._checks import check_k, check_length, check_numbers, refuse_negative
from ._groups import find_groups, ids_in_column, refuse_foreign_names
from ._lists import any_cut, lists_of, one_list, rank_rows, split_lists
from ._warnings import (
    CutListsWarning,
    in_cross_validation,
    warn_missing_groups,
    warn_user,
)
from .metrics import ndcg_score


class RankerMixin:
    """Mixin that makes a ranker of an estimator with ``fit`` and ``predict``.

    It adds `score`, `rank` and `get_groups`, and has scikit-learn's metadata routing
    hand list ids to ``fit``, ``predict`` and ``score`` without being asked. Put it
    before `BaseEstimator`, and write ``fit(X, y, groups=None)`` and
    ``predict(X, groups=None)``: the ids that `score` and `rank` are given, as
    ``groups`` or ``qid``, come to ``predict`` as ``groups``.

    Attributes
    ----------
    group_column : int, str or None
        Column of X that holds the list ids; None if it holds none. A parameter of
        this name in ``__init__`` takes the place of this default.
    gain : {"exp", "linear"} or callable
        Gain of a label in `score`. A parameter of this name takes the place of the
        default ``"exp"``.
    trained_lists_ : ndarray of shape (n_lists, 2), uint64, or None
        What the rankers of this package keep of their list ids, 16 bytes a list. By
        it `score` and the scorers notice that a cross-validation cuts lists: see
        `CutListsWarning`. None if ``fit`` kept nothing, or was given no ids.

    See Also
    --------
    RankerAdapter : Makes a ranker of an existing estimator.

    Notes
    -----
    A ranker with a ``group_column`` finds the ids by `get_groups` and takes the
    column out of X, in ``fit`` and in ``predict``. Further metadata of ``fit`` and
    ``predict`` are asked for by class attributes, which add to those of the mixin:
    ``__metadata_request__fit = {"X_val": True}``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from sklearn_rankformer import RankerMixin
    >>> class OneFeatureRanker(RankerMixin, BaseEstimator):
    ...     def __init__(self, feature=0):
    ...         self.feature = feature
    ...
    ...     def fit(self, X, y, groups=None):
    ...         self.sign_ = np.sign(np.corrcoef(X[:, self.feature], y)[0, 1])
    ...         return self
    ...
    ...     def predict(self, X, groups=None):
    ...         return self.sign_ * X[:, self.feature]
    >>> X = np.array([[5, 1], [4, 2], [7, 3], [1, 6], [8, 5], [2, 4]])
    >>> y, groups = [1, 2, 3, 3, 2, 1], [7, 7, 7, 8, 8, 8]
    >>> ranker = OneFeatureRanker(feature=1).fit(X, y, groups=groups)
    >>> ranker.score(X, y, groups=groups)
    1.0
    >>> ranker.rank(X, groups=groups, k=1)
    array([2, 3])

    A search over it sees whole lists:

    >>> import sklearn
    >>> from sklearn.model_selection import GridSearchCV, GroupKFold
    >>> search = GridSearchCV(OneFeatureRanker(), {"feature": [0, 1]}, cv=GroupKFold(2))
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     search.fit(X, y, groups=groups).best_params_
    {'feature': 1}
    """

    group_column: int | str | None = None
    gain: str | Callable[..., Any] = "exp"
    trained_lists_: np.ndarray | None = None

    # With metadata routing on, pipelines and searches pass these without being asked.
    # A ranker whose own fit or predict takes qid, too, adds that in the same way.
    __metadata_request__fit = {"groups": True}
    __metadata_request__predict = {"groups": True}
    __metadata_request__score = {"groups": True, "qid": True}

    if TYPE_CHECKING:
        predict: Callable[..., Any]

    @refuse_foreign_names
    def score(self, X, y, groups=None, sample_weight=None, *, qid=None):
        """Return the mean NDCG@10 of the lists.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        y : array-like of shape (n_rows,)
            Labels, not negative.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, in any order. Without ids in any form, a warning says
            that all rows are taken for one list.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row's list, the same on all rows of a list.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        score : float
            `sklearn_rankformer.metrics.ndcg_score` at ``k=10``, with the ``gain`` of
            the ranker and otherwise its defaults.

        Raises
        ------
        ValueError
            If `predict` needs list ids and there are none, or if labels or weights are
            invalid.
        """
        # Here, under its name in this method; and before the rows are scored.
        y = check_numbers(y, "y")
        refuse_negative(y, "y")
        ids = find_groups(X, groups, qid, self.group_column)  # refuses what is no table
        check_length(y, "y", _num_samples(X))
        y_score = self.predict(X, groups=ids)
        if ids is None:
            warn_missing_groups(self, "score")
            ids = one_list(len(y_score)).codes
        else:
            warn_cut_lists(self, ids)
        return ndcg_score(
            y, y_score, ids, k=10, sample_weight=sample_weight, gain=self.gain
        )

    @refuse_foreign_names
    def rank(self, X, groups=None, k=None, *, qid=None):
        """Return row indices list after list, best first.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, in any order. Without ids in any form, X is one list.
        k : int, default=None
            How many rows of each list to return at most; None returns all.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        rows : ndarray of shape (n_returned,), int64
            Row indices into X, lists in the order of ``numpy.unique(groups)``; equal
            scores in the order of their rows.

        Raises
        ------
        ValueError
            If `predict` needs list ids and there are none, or if `k` is below 1.
        """
        k = check_k(k)
        ids = find_groups(X, groups, qid, self.group_column)
        n_rows = _num_samples(X)
        y_score = check_scores(self.predict(X, groups=ids), n_rows, type(self).__name__)
        return rank_rows(y_score, lists_of(ids, n_rows), k)

    def get_groups(self, X):
        """Return the list ids that X holds in its ``group_column``.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_columns)
            Features and list ids.

        Returns
        -------
        groups : ndarray of shape (n_rows,)
            List id of each row.

        Raises
        ------
        ValueError
            If ``group_column`` is None or not in X.
        """
        return ids_in_column(X, self.group_column, type(self).__name__)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.target_tags.required = True
        return tags


@contextmanager
def unchanged_by_errors(estimator: Any) -> Iterator[None]:
    """Give an estimator its attributes back if what follows raises.

    What it has been fitted to is else gone once scikit-learn has noted the features of
    rows that are then refused.

    Parameters
    ----------
    estimator : estimator
        Fitted or not.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise


def check_scores(scores: Any, n_rows: int, owner: str) -> np.ndarray:
    """Return the scores that a model gives to rows.

    Parameters
    ----------
    scores : array-like of shape (n_rows,) or (n_rows, 1)
        What its ``predict`` returned; infinity is first or last.
    n_rows : int
        How many rows it was given.
    owner : str
        Class of the model, for messages.

    Returns
    -------
    scores : ndarray of shape (n_rows,)
        The same.

    Raises
    ------
    ValueError
        If there is not one score per row, as of regressors that predict several
        quantiles, or a score is NaN, which has no place in any order.
    """
    scores = np.asarray(scores)
    if scores.shape not in ((n_rows,), (n_rows, 1)):
        raise ValueError(
            f"{owner} predicts an array of shape {scores.shape} for {n_rows} rows, and "
            f"a ranking needs one score per row. Have it predict a single number."
        )
    scores = scores.reshape(-1)
    if scores.dtype.kind == "f" and np.isnan(scores).any():
        raise ValueError(
            f"{owner} scores {np.isnan(scores).sum()} of {n_rows} rows as NaN. Look "
            f"for extreme values in X."
        )
    return scores


def warn_cut_lists(ranker: RankerMixin, ids: np.ndarray) -> None:
    """Warn if a cross-validation has lists both in training and in test data.

    Parameters
    ----------
    ranker : RankerMixin
        Fitted.
    ids : ndarray of shape (n_rows,)
        Checked list ids of the rows that are scored.
    """
    trained = ranker.trained_lists_
    if trained is None or not in_cross_validation():
        return
    if any_cut(trained, split_lists(ids)):
        warn_user(
            "Lists are cut: of some list, part of the rows was trained on and part is "
            "scored. Give a splitter of whole lists as cv, such as GroupKFold or "
            "ListKFold. (Or turn this check off by a scorer from "
            "make_ranking_scorer(..., check_lists=False).)",
            CutListsWarning,
        )
