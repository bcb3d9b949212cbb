"""A fast student that learns what a slow teacher says, rather than the labels.

A RankFormer sees whole lists and takes its time. The paper puts it into production by
letting a GBDT learn its scores: the student scores items one by one, as cheaply as
before.

>>> from sklearn.linear_model import Ridge
>>> from sklearn_rankformer import DistilledRanker, MLPRanker
>>> from sklearn_rankformer.datasets import make_ranking
>>> X, y, groups = make_ranking(n_lists=30, random_state=0)
>>> teacher = MLPRanker(max_epochs=1, n_members=1, random_state=0)
>>> ranker = DistilledRanker(teacher, Ridge()).fit(X, y, groups=groups)
>>> ranker.student_
RankerAdapter(estimator=Ridge())

The student also learns from lists without labels, which the teacher labels:
``fit(..., X_unlabelled=..., groups_unlabelled=...)``.
"""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._checks import refuse_without_X
from ._groups import refuse_foreign_names, resolve_groups, resolve_other_rows
from ._lists import Lists, digest_lists, lists_of, one_list
from ._mixin import RankerMixin, unchanged_by_errors
from ._models import (
    check_estimator_given,
    check_features,
    clone_with_parts,
    is_library_ranker,
    predict_scores,
    refuse_hidden_ranker,
    refuse_own_column,
    takes_groups,
    unwrap,
)
from ._warnings import warn_missing_groups
from .adapters import RankerAdapter, as_ranker, fit_ranker, takes_validation_lists


class DistilledRanker(RankerMixin, BaseEstimator):
    """Fit a teacher on the labels, and a student on the teacher's scores.

    Parameters
    ----------
    teacher : ranker or regressor
        Learns the labels; a clone is fitted. One that is fitted already is used as it
        is when wrapped in `sklearn.frozen.FrozenEstimator`, and then `fit` needs no
        labels.
    student : ranker or regressor
        Learns from the teacher; a clone is fitted, behind a `RankerAdapter` if its
        ``fit`` takes no ``groups``.
    soft_labels : {"auto", "scores", "gains", "grades"}, default="auto"
        What the student is given for labels, see Notes. "auto" takes "grades" for
        LGBMRanker, XGBRanker and CatBoostRanker, "gains" for rankers of this package,
        and "scores" for everything else.
    temperature : float, default=1.0
        Divides the teacher's scores in "gains" and "grades": higher values make
        labels within a list more alike. 1 suits teachers trained with a softmax loss;
        a teacher whose scores are not in units of log-odds needs another.
    n_grades : int, default=9
        Labels of "gains" and "grades" go from 0 to ``n_grades - 1``.
    group_column : str or int, default=None
        Column of X that holds the list ids, by name in frames and by index in arrays.
        It is taken out of X before teacher and student see it.

    Attributes
    ----------
    teacher_, student_ : estimators
        The fitted teacher and student.
    n_features_in_ : int
        Number of features, without the ``group_column``.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X was a frame with names.
    fitted_with_groups_ : bool
        Whether `fit` was given list ids.

    See Also
    --------
    RankerAdapter : What library rankers and regressors are put behind.

    Notes
    -----
    With :math:`s_i` the teacher's scores in a list and T the temperature, the student
    learns

    - "scores": :math:`s_i` less their mean over the list. The constant that a listwise
      loss leaves free in every list would be noise to a regressor.
    - "gains": :math:`\\log_2(1 + (2^m - 1) e^{(s_i - \\max_j s_j) / T})`, with
      m = ``n_grades - 1``. The exponential gain :math:`2^y - 1` of these labels is in
      proportion to the softmax of the scores, so that a student trained with softmax
      loss and ``gain="exp"`` minimises the cross-entropy to the teacher's softmax.
    - "grades": the same, rounded to whole numbers, for rankers that take no others.

    The best item of each list has the highest gain or grade in every list: what the
    teacher thinks of the list as a whole is not passed on. Ask ``teacher_`` for it.

    References
    ----------
    .. [1] Buyl, Missault and Sondag, "RankFormer: Listwise Learning-to-Rank Using
       Listwide Labels", KDD 2023, https://doi.org/10.1145/3580305.3599892
    .. [2] Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network",
       2015, https://arxiv.org/abs/1503.02531

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from sklearn_rankformer import RankFormerRanker
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> from sklearn_rankformer.distillation import DistilledRanker
    >>> X, y, groups = make_ranking(n_lists=60, random_state=0)
    >>> teacher = RankFormerRanker(max_epochs=3, random_state=0)
    >>> ranker = DistilledRanker(teacher, HistGradientBoostingRegressor())
    >>> ranker.fit(X, y, groups=groups).predict(X).shape == y.shape
    True
    """

    __metadata_request__fit = {
        "qid": True,
        "X_unlabelled": True,
        "groups_unlabelled": True,
        "X_val": True,
        "y_val": True,
        "groups_val": True,
    }
    __metadata_request__predict = {"qid": True}

    _parameter_constraints: dict = {
        "teacher": [HasMethods(["fit", "predict"])],
        "student": [HasMethods(["fit", "predict"])],
        "soft_labels": [StrOptions({"auto", "scores", "gains", "grades"})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        # The table of gains of LightGBM ends at the label 30.
        "n_grades": [Interval(Integral, 2, 31, closed="both")],
        "group_column": [str, Integral, None],
    }

    def __init__(
        self,
        teacher,
        student,
        *,
        soft_labels="auto",
        temperature=1.0,
        n_grades=9,
        group_column=None,
    ):
        self.teacher = teacher
        self.student = student
        self.soft_labels = soft_labels
        self.temperature = temperature
        self.n_grades = n_grades
        self.group_column = group_column

    @refuse_foreign_names
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X,
        y=None,
        groups=None,
        *,
        sample_weight=None,
        X_unlabelled=None,
        groups_unlabelled=None,
        X_val=None,
        y_val=None,
        groups_val=None,
        qid=None,
    ):
        """Fit the teacher, then the student on what the teacher says.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features. Frames reach teacher and student as frames.
        y : array-like of shape (n_rows,), default=None
            Labels for the teacher; None only if it is frozen.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, in any order. None takes all rows for one list, with a
            warning.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the labels: they go to the teacher. To the student, all that
            the teacher says counts the same.
        X_unlabelled : like X, of shape (n_more, n_features), default=None
            Further lists for the student.
        groups_unlabelled : array-like of shape (n_more,), default=None
            Their list ids. They are lists of their own even where an id occurs in
            ``groups`` too.
        X_val, y_val, groups_val : like X, y and groups, default=None
            Lists to stop on. The teacher is measured against ``y_val``, the student
            against what the teacher says of ``X_val``.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        self : DistilledRanker
            With fitted teacher and student.

        Raises
        ------
        TypeError, ValueError
            If any argument is invalid; the message says which and how to fix it.
        """
        # All that can be refused is refused before the teacher, which takes long.
        self._check_members(y, sample_weight)
        if X_val is not None:
            self._refuse_useless_validation()
        X, groups = resolve_groups(X, groups, qid, self.group_column)
        if groups is None:
            warn_missing_groups(self, "fit")
        with unchanged_by_errors(self):
            # Before the other rows are read: they must come with ids if these do.
            self.fitted_with_groups_ = groups is not None
            X = check_features(self, X, reset=True)
            labelled = _Part(X, y, lists_of(groups, X.shape[0]))
            more = self._other_rows(
                X_unlabelled, None, groups_unlabelled, "_unlabelled"
            )
            if more is not None:
                _refuse_other_kind(X, more.X)
            val = self._other_rows(X_val, y_val, groups_val, "_val")
            teacher = self._fit_teacher(labelled, val, sample_weight)
        # It is there to be looked at even if the student cannot learn from it.
        self.teacher_ = teacher
        self.student_ = self._fit_student(labelled, more, val)
        # Of the others there are no labels, so none of them can be scored.
        self.trained_lists_ = None if groups is None else digest_lists(labelled.lists)
        return self

    def predict(self, X, groups=None, *, qid=None):
        """Score each row with the student.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        groups, qid : array-like of shape (n_rows,), default=None
            List id of each row, needed only by a student which needs them: a GBDT, a
            regressor or an `MLPRanker` does not.

        Returns
        -------
        scores : ndarray of shape (n_rows,)
            Higher is better within a list, in the order of the rows of X.
        """
        check_is_fitted(self, "student_")  # a teacher may be there alone
        X, groups = resolve_groups(X, groups, qid, self.group_column)
        X = check_features(self, X, reset=False)
        # A student that learned one list may be asked for one list again.
        if groups is None and not self.fitted_with_groups_:
            groups = one_list(X.shape[0]).codes
        return predict_scores(self.student_, X, groups)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        teacher, student = get_tags(self.teacher), get_tags(self.student)
        # Both are given the same X: what one cannot take, neither gets.
        for name in ("sparse", "allow_nan", "categorical"):
            both = getattr(teacher.input_tags, name) and getattr(
                student.input_tags, name
            )
            setattr(tags.input_tags, name, both)
        tags.target_tags.required = not _is_frozen(self.teacher)
        tags.target_tags.positive_only = teacher.target_tags.positive_only
        tags.non_deterministic = teacher.non_deterministic or student.non_deterministic
        return tags

    def __sklearn_clone__(self):
        return clone_with_parts(self, "teacher", "student")

    def _check_members(self, y, sample_weight):
        for role in ("teacher", "student"):
            member = getattr(self, role)
            check_estimator_given(member, role)
            refuse_own_column(self, member, role)
            if not _is_frozen(member):
                refuse_hidden_ranker(member)
        if _is_frozen(self.student):
            raise TypeError(
                "student is frozen and would learn nothing. Give it unfrozen."
            )
        if _is_frozen(self.teacher):
            check_is_fitted(self.teacher)
            if sample_weight is not None:
                raise ValueError(
                    "sample_weight weighs the labels, and a frozen teacher learns no "
                    "labels. Leave it out, or unfreeze the teacher."
                )
        elif y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                f"None. Give labels, or a fitted teacher as FrozenEstimator(teacher)."
            )

    def _refuse_useless_validation(self):
        for role in ("teacher", "student"):
            member = getattr(self, role)
            if not _is_frozen(member) and not takes_validation_lists(as_ranker(member)):
                raise ValueError(
                    f"X_val was given, but the {role} {type(member).__name__} cannot "
                    f"use it. Leave it out, or join it to X."
                )

    def _other_rows(self, X, y, groups, suffix):
        """Rows besides the labelled ones, or None if there are none."""
        refuse_without_X(X, y, groups, suffix)
        if X is None:
            return None
        X, groups = resolve_other_rows(
            X, groups, suffix, self.group_column, self.fitted_with_groups_
        )
        X = check_features(self, X, reset=False, name=f"X{suffix}")
        return _Part(X, y, lists_of(groups, X.shape[0]))

    def _fit_teacher(self, labelled, val, sample_weight):
        if _is_frozen(self.teacher):
            return self.teacher
        return fit_ranker(
            as_ranker(self.teacher),
            labelled.X,
            labelled.y,
            labelled.lists.codes,
            sample_weight=sample_weight,
            val=None if val is None else (val.X, val.y, val.lists.codes),
        )

    def _fit_student(self, labelled, more, val):
        soft, codes, X = self._soften(labelled), labelled.lists.codes, labelled.X
        if more is not None:
            # Under ids of their own: both may number their lists from 0.
            X = _append_rows(X, more.X)
            soft = np.concatenate([soft, self._soften(more)])
            codes = np.concatenate([codes, more.lists.codes + labelled.lists.n_lists])
        if val is not None:
            val = (val.X, self._soften(val), val.lists.codes)
        return fit_ranker(as_ranker(self.student), X, soft, codes, val=val)

    def _soften(self, rows):
        """Labels for the student, of the kind it can learn."""
        scores = predict_scores(self.teacher_, rows.X, rows.lists.codes)
        scores = scores.astype(np.float64)
        if not np.isfinite(scores).all():
            raise ValueError(
                f"The teacher {self.teacher!r} scores NaN or infinity. A student "
                f"cannot learn that; look at the teacher's training."
            )
        kind = self.soft_labels
        if kind == "auto":
            kind = _kind_of(self.student)
        if kind == "scores":
            # What the teacher adds to all scores of a list is no order.
            return _centred(scores, rows.lists)
        gains = _soft_gains(scores / self.temperature, rows.lists, self.n_grades - 1)
        return gains if kind == "gains" else np.rint(gains).astype(np.int64)


@dataclass(frozen=True)
class _Part:
    """Checked rows of one kind: labelled, unlabelled or for validation.

    Attributes
    ----------
    X : ndarray, sparse matrix or frame of shape (n_rows, n_features)
        Features, without the column of list ids.
    y : array-like of shape (n_rows,), or None
        Labels as they were given: the teacher checks them.
    lists : Lists
        Where the rows of each list lie.
    """

    X: Any
    y: Any
    lists: Lists


def _is_frozen(estimator):
    return isinstance(estimator, FrozenEstimator)


def _kind_of(student):
    """The soft labels that suit the student."""
    _, model = unwrap(student)
    # The fit of an adapter takes groups, whatever it adapts.
    if isinstance(model, RankerAdapter):
        return _kind_of(model.estimator)
    if is_library_ranker(model):
        return "grades"
    return "gains" if takes_groups(model, "fit") else "scores"


def _centred(scores: np.ndarray, lists: Lists) -> np.ndarray:
    return scores - (lists.reduce(np.add, scores) / lists.lengths)[lists.codes]


def _soft_gains(scores: np.ndarray, lists: Lists, highest: int) -> np.ndarray:
    # Relative to the best of the list, so that no exponential overflows.
    relative = np.exp(scores - lists.reduce(np.maximum, scores)[lists.codes])
    return np.log2(1 + (2**highest - 1) * relative)


def _refuse_other_kind(X, more):
    """Refuse unlabelled rows that cannot be joined to the labelled ones."""
    if sparse.issparse(more) and not sparse.issparse(X) and not hasattr(X, "columns"):
        raise TypeError(
            "X_unlabelled is a sparse matrix, but X is not. Give both of one kind, "
            "e.g. X_unlabelled.toarray()."
        )
    # Joined as they are, categories of unequal types would turn into text unnoticed.
    if hasattr(X, "columns") and (
        type(X) is not type(more) or list(X.dtypes) != list(more.dtypes)
    ):
        raise TypeError(
            "X_unlabelled must be a frame with the same column types as X, categories "
            "included. Convert it, e.g. X_unlabelled.astype(X.dtypes)."
        )


def _append_rows(X, more):
    """Rows of both, of the kind they are."""
    if sparse.issparse(X):
        return sparse.vstack([X, more], format="csr")
    if not hasattr(X, "columns"):
        return np.concatenate([X, more])
    if hasattr(X, "iloc"):
        import pandas as pd

        return pd.concat([X, more], ignore_index=True)
    return X.vstack(more)
