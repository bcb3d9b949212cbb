"""Several rankers as one: averaged, or joined by a last ranker that learns from them.

Scores of two rankers have no common scale, and neither have those of two lists. So the
scores are made relative to their list before anything is done with them.

>>> from sklearn.linear_model import Ridge
>>> from sklearn.tree import DecisionTreeRegressor
>>> from sklearn_rankformer.datasets import make_ranking
>>> from sklearn_rankformer.ensemble import VotingRanker
>>> X, y, groups = make_ranking(n_lists=60, random_state=0)
>>> ranker = VotingRanker([("line", Ridge()), ("tree", DecisionTreeRegressor())])
>>> ranker.fit(X, y, groups=groups).predict(X, groups=groups).shape == y.shape
True

Members may be all that ranks: rankers of this package, library rankers, regressors,
pipelines and searches that end in one. They are given list ids whether metadata routing
is on or off.
"""

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.base import MetaEstimatorMixin, _fit_context
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch, _safe_indexing, get_tags
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from ._checks import (
    check_labels,
    check_length,
    check_numbers,
    check_option,
    check_weights,
    refuse_without_X,
)
from ._groups import refuse_foreign_names, resolve_groups, resolve_other_rows
from ._lists import digest_lists, lists_of, one_list, split_lists
from ._mixin import RankerMixin, unchanged_by_errors
from ._models import (
    check_estimator_given,
    check_features,
    clone_with_parts,
    model_and_its_input,
    predict_scores,
    predict_with_groups,
    refuse_own_column,
    unwrap,
)
from ._warnings import warn_missing_groups
from .adapters import RankerAdapter, as_ranker, fit_ranker, stops_on_lists
from .model_selection import ListKFold, checked_splits
from .preprocessing import WithinListScaler, rank_in_lists, standardize_in_lists

# Scores of a list that differ by less, relative to them, are equal but for rounding.
_ROUNDING = {"float16": 1e-2, "float32": 1e-6}
_ROUNDING_OTHERWISE = 1e-12
# What a vote may average.
_SCALES = ("standard", "rank")
# Parts of the lists that a stack holds out in turn.
_N_FOLDS = 5


def _has_list_value(ensemble):
    # Hides the method, so that hasattr tells what scikit-learn's tools may call.
    members = getattr(ensemble, "estimators_", None) or ensemble._kept().values()
    if not any(hasattr(unwrap(one)[1], "predict_list_value") for one in members):
        raise AttributeError(
            f"predict_list_value of {type(ensemble).__name__} needs a member that has "
            f"it, such as RankFormerRanker."
        )
    return True


class _RankerEnsemble(RankerMixin, MetaEstimatorMixin, _BaseComposition):
    """What ensembles share: their members, how they are fitted and asked."""

    _parameter_constraints: dict = {
        "estimators": [list],
        "n_jobs": [Integral, None],
        "group_column": [str, Integral, None],
    }
    _parts: tuple = ("estimators",)  # parameters that hold members
    __metadata_request__fit = {
        "qid": True,
        "X_val": True,
        "y_val": True,
        "groups_val": True,
    }
    __metadata_request__predict = {"qid": True}

    @property
    def named_estimators(self):
        """The members as they were given, by name.

        Returns
        -------
        members : Bunch
            Those that are dropped too.
        """
        return Bunch(**dict(self.estimators))

    def get_params(self, deep=True):
        """Return the parameters, those of the members included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the members by name, and their parameters.

        Returns
        -------
        params : dict
            Parameters, and ``name__parameter`` of members.
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params):
        """Set parameters, those of members included.

        Parameters
        ----------
        **params : dict
            ``name=estimator`` replaces a member, ``name="drop"`` leaves it out,
            ``name__parameter=value`` sets one of its parameters.

        Returns
        -------
        self : estimator
            The ensemble.
        """
        return self._set_params("estimators", **params)

    @refuse_foreign_names
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X,
        y,
        groups=None,
        *,
        qid=None,
        sample_weight=None,
        X_val=None,
        y_val=None,
        groups_val=None,
    ):
        """Fit clones of the members.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features. Frames reach the members as frames.
        y : array-like of shape (n_rows,)
            Labels, higher is more relevant.
        groups, qid : array-like of shape (n_rows,), default=None
            List id of each row, in any order, under the one name or the other.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights, for every member.
        X_val, y_val, groups_val : like X, y and groups, default=None
            Lists to stop on, for members that do: `RankFormerRanker`, `MLPRanker`,
            adapters with ``early_stopping_rounds``, also at the end of pipelines.

        Returns
        -------
        self : estimator
            The fitted ensemble.

        Raises
        ------
        TypeError, ValueError
            If any argument is invalid, or a member refuses its input.
        """
        self._check_members()
        X, groups = resolve_groups(X, groups, qid, self.group_column)
        if groups is None:
            self._go_without_groups()
        with unchanged_by_errors(self):
            # Before the other rows are read: they must come with ids if these do.
            self.fitted_with_groups_ = groups is not None
            X = check_features(self, X, reset=True)
            y = check_labels(y, negative=True)
            check_length(y, "y", X.shape[0])
            lists = lists_of(groups, len(y))
            weight = check_weights(sample_weight, lists)
            val = self._validation_rows(X_val, y_val, groups_val)
            # Members are given ids in whatever they are wrapped.
            with config_context(enable_metadata_routing=True):
                self._fit(X, y, _ids(groups, len(y)), weight, val)
        self.trained_lists_ = None if groups is None else digest_lists(lists)
        return self

    def predict(self, X, groups=None, *, qid=None):
        """Score each row relative to its list.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        groups, qid : array-like of shape (n_rows,)
            List id of each row, in any order, under the one name or the other.

        Returns
        -------
        scores : ndarray of shape (n_rows,)
            Higher is better within a list, in the order of the rows of X.
        """
        X, groups = self._check_new_rows(X, groups, qid, "predict")
        with config_context(enable_metadata_routing=True):
            return self._predict(X, groups)

    @available_if(_has_list_value)
    def predict_list_value(self, X, groups=None, *, qid=None):
        """Predict the value of each list, by the members that have one.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        groups, qid : array-like of shape (n_rows,)
            List id of each row, in any order, under the one name or the other.

        Returns
        -------
        result : Bunch
            As of `RankFormerRanker.predict_list_value`; the chances are the mean of
            those of the members that have them.

        Raises
        ------
        AttributeError
            If no member has a list value.
        ValueError
            If two have other levels.
        """
        X, groups = self._check_new_rows(X, groups, qid, "predict_list_value")
        levels, proba = self._common_levels(), []
        with config_context(enable_metadata_routing=True):
            for member in self._valuing():
                model, inside = model_and_its_input(member, X, groups)
                value = model.predict_list_value(inside, groups=groups)
                proba.append(value.proba)
        proba = np.mean(proba, axis=0)
        return Bunch(groups=value.groups, proba=proba, value=proba @ levels)

    @property
    def levels_(self):
        """Distinct values of a list, as the members that have a list value know them.

        Returns
        -------
        levels : ndarray of shape (n_levels,)
            See `RankFormerRanker`.

        Raises
        ------
        AttributeError
            If no member has a list value, or two have other levels.
        """
        if not self._valuing():
            raise AttributeError("levels_ needs a member that has a list value.")
        # As what is not there, which dir and displays in notebooks step over.
        try:
            return self._common_levels()
        except ValueError as error:
            raise AttributeError(str(error)) from error

    def _common_levels(self):
        first, *others = (unwrap(one)[1].levels_ for one in self._valuing())
        for other in others:
            if not np.array_equal(first, other):
                raise ValueError(
                    f"Members have a list value of unequal levels: {first} and "
                    f"{other}. Ask each one of `estimators_` by itself."
                )
        return first

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        members = [get_tags(one) for one in self._kept().values()]
        # All are given the same X: what one cannot take, none gets.
        for name in ("sparse", "categorical"):
            takes = all(getattr(one.input_tags, name) for one in members)
            setattr(tags.input_tags, name, bool(members) and takes)
        takes_nan = [_takes_nan(one) for one in self._kept().values()]
        tags.input_tags.allow_nan = bool(members) and all(takes_nan)
        tags.non_deterministic = any(one.non_deterministic for one in members)
        return tags

    def __sklearn_clone__(self):
        return clone_with_parts(self, *self._parts)

    def _kept(self):
        """Members that are not dropped, by name."""
        pairs = self.estimators if isinstance(self.estimators, list) else []
        return {n: one for n, one in pairs if not isinstance(one, str)}

    def _valuing(self):
        """Fitted members that have a list value."""
        check_is_fitted(self)
        return [
            member
            for member in self.estimators_
            if hasattr(unwrap(member)[1], "predict_list_value")
        ]

    def _check_members(self):
        given = self.estimators
        pairs = all(isinstance(one, tuple | list) and len(one) == 2 for one in given)
        if not given or not pairs:
            raise ValueError(
                f"estimators must be a list of pairs such as [('ours', "
                f"RankFormerRanker()), ('theirs', RankerAdapter(LGBMRanker()))], got "
                f"{given!r}."
            )
        self._validate_names([name for name, _ in given])
        for name, member in given:
            if isinstance(member, str):
                if member != "drop":
                    raise ValueError(
                        f"The member {name!r} is {member!r}. Give an estimator, or "
                        f"'drop' to leave it out."
                    )
                continue
            check_estimator_given(member, f"The member {name!r}")
            refuse_own_column(self, member, f"The member {name!r}")
        if not self._kept():
            raise ValueError("All members are dropped. Keep at least one.")

    def _check_new_rows(self, X, groups, qid, method):
        check_is_fitted(self)
        X, groups = resolve_groups(X, groups, qid, self.group_column)
        X = check_features(self, X, reset=False)
        if groups is None and self.fitted_with_groups_:
            raise ValueError(
                f"{type(self).__name__} was fitted with groups, so {method} needs them "
                f"too: scores are relative to their list. Pass groups=... with one "
                f"list id per row."
            )
        return X, _ids(groups, X.shape[0])

    def _validation_rows(self, X_val, y_val, groups_val):
        """Checked (X, y, groups) to stop on, or None."""
        refuse_without_X(X_val, y_val, groups_val, "_val")
        if X_val is None:
            return None
        X_val, groups_val = resolve_other_rows(
            X_val, groups_val, "_val", self.group_column, self.fitted_with_groups_
        )
        X_val = check_features(self, X_val, reset=False, name="X_val")
        y_val = check_labels(y_val, "y_val", negative=True)
        check_length(y_val, "y_val", X_val.shape[0], "X_val")
        return X_val, y_val, _ids(groups_val, len(y_val))

    def _go_without_groups(self):
        warn_missing_groups(self, "fit")

    def _fit_members(self, X, y, groups, weight, val):
        """Fitted copies of the members."""
        fit = delayed(_fit_one)
        return Parallel(n_jobs=self.n_jobs)(
            fit(as_ranker(one), X, y, groups, weight, val)
            for one in self._kept().values()
        )

    def _keep(self, fitted):
        self.estimators_ = fitted
        by_name = dict(zip(self._kept(), fitted, strict=True))
        self.named_estimators_ = Bunch(
            **{name: by_name.get(name, "drop") for name, _ in self.estimators}
        )


class VotingRanker(_RankerEnsemble):
    """Average the scores of several rankers, each relative to its list.

    Rankers that go wrong in different lists correct one another. A listwise network and
    a GBDT often do.

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        The members: rankers, library rankers or regressors, also at the end of
        pipelines and inside searches. ``"drop"`` leaves one out; one that is fitted
        already is used as it is when wrapped in `sklearn.frozen.FrozenEstimator`.
    weights : array-like of shape (n_estimators,), default=None
        Weight of each member, dropped ones included; None weighs all alike.
    scale : {"standard", "rank"}, default="standard"
        What is averaged: scores less their mean over the list, divided by their
        standard deviation in it; or ranks in the list, from -0.5 (last) to 0.5. Ranks
        forget how far ahead an item is, and are for scores with wild outliers.
    n_jobs : int, default=None
        Members fitted at the same time, as in scikit-learn.
    group_column : str or int, default=None
        Column of X that holds the list ids, by name in frames and by index in arrays.
        It is taken out of X before the members see it.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted members, without dropped ones; those that take no list ids behind a
        `RankerAdapter`.
    weights_ : ndarray of shape (n_kept,) or None
        Their weights, None for equal ones.
    named_estimators_ : Bunch
        The same by name; ``"drop"`` for dropped ones.
    n_features_in_ : int
        Number of features, without the ``group_column``.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X was a frame with names.
    fitted_with_groups_ : bool
        Whether `fit` was given list ids.

    See Also
    --------
    StackingRanker : Learns how much each member counts.

    Notes
    -----
    A member whose scores are all equal in a list has no say there.

    `predict_list_value` is there if a member has it: the mean of their chances. The
    scores themselves say nothing of the list.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from sklearn_rankformer import VotingRanker, WithinListScaler
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=60, random_state=0)
    >>> tree = DecisionTreeRegressor(max_depth=4, random_state=0)
    >>> members = [("line", Ridge()), ("tree", tree)]
    >>> ranker = VotingRanker(members, weights=[1, 2]).fit(X, y, groups=groups)
    >>> ranker.named_estimators_["line"]
    RankerAdapter(estimator=Ridge())
    >>> ranker.set_params(tree__max_depth=2, line="drop").estimators[0]
    ('line', 'drop')
    """

    _parameter_constraints: dict = {
        **_RankerEnsemble._parameter_constraints,
        "weights": ["array-like", None],
        "scale": [StrOptions(set(_SCALES))],
    }

    def __init__(
        self,
        estimators,
        *,
        weights=None,
        scale="standard",
        n_jobs=None,
        group_column=None,
    ):
        self.estimators = estimators
        self.weights = weights
        self.scale = scale
        self.n_jobs = n_jobs
        self.group_column = group_column

    def _fit(self, X, y, groups, weight, val):
        weights = self._member_weights()
        self._keep(self._fit_members(X, y, groups, weight, val))
        self.weights_ = weights

    def _predict(self, X, groups):
        check_option("scale", self.scale, _SCALES)  # it may be set since
        relative = _relative_scores(self.estimators_, X, groups, self.scale)
        return np.average(relative, axis=1, weights=self.weights_)

    def _member_weights(self):
        """Weights of the members that are not dropped, None for equal ones."""
        if self.weights is None:
            return None
        n_members = len(self.estimators)
        if np.shape(self.weights) != (n_members,):
            raise ValueError(
                f"weights must hold one number for each of the {n_members} members, "
                f"dropped ones included, got {self.weights!r}."
            )
        kept = [name in self._kept() for name, _ in self.estimators]
        weights = check_numbers(self.weights, "weights")[kept]
        if weights.min() < 0 or not weights.any():
            raise ValueError(
                f"weights must not be negative, nor all 0, got {self.weights!r}."
            )
        return weights


class StackingRanker(_RankerEnsemble):
    """Have a last ranker learn from the scores of several others.

    Members are fitted on some lists and score the others; the last ranker learns the
    labels from these scores. So it sees each member as it is on new lists.

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        The members, as of `VotingRanker`. A frozen one must have been fitted on other
        lists.
    final_estimator : estimator, default=None
        Ranker, library ranker or regressor that learns from the scores, one column
        per member, standardised within each list. None takes a linear regression
        whose weights are not negative [1]_: a weighted vote, whose weights are
        learned.
    cv : splitter, iterable of (train, test) or None, default=None
        Splits that test each list once and keep lists whole, such as `GroupKFold`.
        None takes ``ListKFold(5, shuffle=False)``.
    passthrough : bool, default=False
        Whether the last ranker is given the features too, after the scores.
    n_jobs : int, default=None
        Members fitted at the same time, as in scikit-learn.
    group_column : str or int, default=None
        Column of X that holds the list ids, by name in frames and by index in arrays.

    Attributes
    ----------
    estimators_ : list of estimators
        The members fitted on all lists, without dropped ones; those that take no list
        ids behind a `RankerAdapter`.
    named_estimators_ : Bunch
        The same by name; ``"drop"`` for dropped ones.
    final_estimator_ : estimator
        The fitted last ranker.
    n_features_in_ : int
        Number of features, without the ``group_column``.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X was a frame with names.
    fitted_with_groups_ : bool
        Whether `fit` was given list ids.

    See Also
    --------
    VotingRanker : Fits each member once, and learns no weights.

    Notes
    -----
    Each member is fitted once per split and once more on all lists.

    References
    ----------
    .. [1] Breiman (1996), "Stacked regressions".
    .. [2] Wolpert (1992), "Stacked generalization".

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from sklearn_rankformer import StackingRanker
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=60, random_state=0)
    >>> tree = DecisionTreeRegressor(max_depth=4, random_state=0)
    >>> ranker = StackingRanker([("line", Ridge()), ("tree", tree)])
    >>> ranker.fit(X, y, groups=groups).final_estimator_
    RankerAdapter(estimator=LinearRegression(positive=True))
    """

    _parameter_constraints: dict = {
        **_RankerEnsemble._parameter_constraints,
        "final_estimator": [HasMethods(["fit", "predict"]), None],
        "cv": ["cv_object"],
        "passthrough": ["boolean"],
    }
    _parts = (*_RankerEnsemble._parts, "final_estimator")

    def __init__(
        self,
        estimators,
        final_estimator=None,
        *,
        cv=None,
        passthrough=False,
        n_jobs=None,
        group_column=None,
    ):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.passthrough = passthrough
        self.n_jobs = n_jobs
        self.group_column = group_column

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.passthrough and self.final_estimator is not None:
            final = get_tags(self.final_estimator).input_tags
            for name in ("sparse", "allow_nan", "categorical"):
                both = getattr(tags.input_tags, name) and getattr(final, name)
                setattr(tags.input_tags, name, both)
        return tags

    def _check_members(self):
        super()._check_members()
        if self.final_estimator is None:
            if self.passthrough:
                raise ValueError(
                    "passthrough=True needs a final_estimator: the default only weighs "
                    "scores. Give one that suits your features, such as "
                    "MLPRanker()."
                )
        else:
            check_estimator_given(self.final_estimator, "final_estimator")
            refuse_own_column(self, self.final_estimator, "final_estimator")

    def _go_without_groups(self):
        raise ValueError(
            "StackingRanker needs list ids, as it fits on some lists and scores the "
            "others. Pass groups=... with one list id per row, or set "
            "group_column=... to name the column of X that holds the ids."
        )

    def _fit(self, X, y, groups, weight, val):
        final = self.final_estimator
        final = as_ranker(LinearRegression(positive=True) if final is None else final)
        held_out = self._held_out_scores(X, y, groups, weight, val)
        self._keep(self._fit_members(X, y, groups, weight, val))
        if val is not None:
            val = (self._columns(val[0], val[2]), *val[1:])
        self.final_estimator_ = _fit_one(
            final, self._passed(held_out, X), y, groups, weight, val
        )

    def _predict(self, X, groups):
        return predict_scores(self.final_estimator_, self._columns(X, groups), groups)

    def _held_out_scores(self, X, y, groups, weight, val):
        """Scores by members that were not fitted on the list: (n_rows, n_members)."""
        cv, n_lists = self.cv, split_lists(groups).n_lists
        if cv is None:
            cv = ListKFold(_N_FOLDS, shuffle=False)
            if n_lists < _N_FOLDS:
                raise ValueError(
                    f"cv=None splits the lists into {_N_FOLDS} parts, and there are "
                    f"only {n_lists}. Give more lists, or fewer parts such as "
                    f"cv=ListKFold({max(n_lists, 2)})."
                )
        _, splits = checked_splits(cv, X, y, groups)
        rows = np.arange(len(y))
        tests = np.concatenate([rows[test] for _, test in splits])  # also of masks
        if not np.array_equal(np.sort(tests), rows):
            raise ValueError(
                f"cv={self.cv} does not test each list once, so some would have no "
                f"scores to learn from, or several. Give a splitter such as "
                f"GroupKFold or ListKFold."
            )
        scores = np.empty((len(y), len(self._kept())))
        for train, test in splits:
            fitted = self._fit_members(
                _safe_indexing(X, train),
                _safe_indexing(y, train),
                groups[train],
                None if weight is None else weight[train],
                val,
            )
            scores[test] = _relative_scores(
                fitted, _safe_indexing(X, test), groups[test], "standard"
            )
        return scores

    def _columns(self, X, groups):
        """What the last ranker is given of these rows."""
        scores = _relative_scores(self.estimators_, X, groups, "standard")
        return self._passed(scores, X)

    def _passed(self, scores, X):
        if not self.passthrough:
            return scores
        if sparse.issparse(X):
            return sparse.hstack([sparse.csr_matrix(scores), X], format="csr")
        if not hasattr(X, "columns"):
            return np.column_stack([scores, X])
        members = self.named_estimators_.items()
        kept = [name for name, one in members if not isinstance(one, str)]
        if any(isinstance(name, str) for name in X.columns):
            return _put_before(X, [f"score of {name}" for name in kept], scores)
        # Names of both types are a mixture that scikit-learn refuses.
        return _put_before(X, [*range(-len(kept), 0)], scores)


def rankformer_lightgbm(*, random_state=None, n_jobs=None):
    """Make the vote of a RankFormer and a LightGBM that sees features by list.

    Two kinds of rankers that go wrong in different lists, at settings that want no
    tuning; ``benchmarks/ensemble.py`` measures it.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Seed of both members.
    n_jobs : int, default=None
        As of `VotingRanker`.

    Returns
    -------
    ranker : VotingRanker
        Yet to be fitted, with the members ``rankformer`` and ``lightgbm``, a pipeline
        of `WithinListScaler` and `RankerAdapter`. Numeric features only.

    Raises
    ------
    ImportError
        If LightGBM is not installed.

    Examples
    --------
    >>> from sklearn_rankformer.ensemble import rankformer_lightgbm
    >>> ranker = rankformer_lightgbm(random_state=0).set_params(weights=[2, 1])
    >>> [name for name, _ in ranker.estimators]
    ['rankformer', 'lightgbm']
    """
    from ._ranker import (
        RankFormerRanker,
    )  # loads torch, which ensembles of others spare

    try:
        from lightgbm import LGBMRanker
    except ImportError as error:
        raise ImportError(
            "rankformer_lightgbm needs LightGBM: pip install sklearn-rankformer[gbdt]"
        ) from error
    trees = LGBMRanker(
        n_estimators=200,
        learning_rate=0.05,
        num_leaves=15,
        colsample_bytree=0.5,
        random_state=random_state,
        verbosity=-1,
    )
    by_list = make_pipeline(WithinListScaler(with_rank=False), RankerAdapter(trees))
    network = RankFormerRanker(random_state=random_state)
    return VotingRanker([("rankformer", network), ("lightgbm", by_list)], n_jobs=n_jobs)


def _put_before(frame, names, columns):
    """The frame with these columns before its own."""
    taken = [name for name in names if name in list(frame.columns)]
    if taken:
        raise ValueError(
            f"passthrough=True adds columns named {taken}, which X has. Rename the "
            f"members, or the columns of X."
        )
    # By the frame's own methods: pandas and polars name them differently.
    if not hasattr(frame, "iloc"):
        new = dict(zip(names, columns.T, strict=True))
        return frame.with_columns(**new).select(*names, *frame.columns)
    joined = frame.copy()
    for j, name in enumerate(names):
        joined.insert(j, name, columns[:, j])
    return joined


def _fit_one(ranker, X, y, groups, weight, val):
    """Fit a member, which need not be one that makes use of validation lists."""
    val = val if val is not None and stops_on_lists(ranker) else None
    return fit_ranker(ranker, X, y, groups, sample_weight=weight, val=val)


def _takes_nan(member):
    """Whether missing values may be handed to a member."""
    # A pipeline never says so of itself. Its first step does, and what a later one
    # cannot take it refuses.
    steps = [step for _, step in getattr(member, "steps", ())]
    real = [step for step in steps if step not in (None, "passthrough")]
    return get_tags(real[0] if real else member).input_tags.allow_nan


def _ids(groups, n_rows):
    """List id of each row, also of rows that are taken for one list."""
    return one_list(n_rows).codes if groups is None else groups


def _own_scores(member, X, groups):
    """Scores in the type in which the member computes, which says how they round."""
    model, X = model_and_its_input(member, X, groups)
    if isinstance(model, RankerAdapter):
        return model._own_scores(X, groups)
    return predict_with_groups(model, X, groups)


def _relative_scores(members, X, groups, scale):
    """Scores of each member relative to their lists: (n_rows, n_members)."""
    by_member = [_own_scores(one, X, groups) for one in members]
    rounding = [_ROUNDING.get(one.dtype.name, _ROUNDING_OTHERWISE) for one in by_member]
    scores = np.column_stack(by_member).astype(np.float64)
    if not np.isfinite(scores).all():
        broken = members[int(np.argmin(np.isfinite(scores).all(axis=0)))]
        raise ValueError(
            f"{type(broken).__name__} scores infinity, which cannot be averaged. Look "
            f"for extreme values in X."
        )
    lists = split_lists(groups)
    highest, lowest = (lists.reduce(f, scores) for f in (np.maximum, np.minimum))
    largest = np.maximum(np.abs(highest), np.abs(lowest))
    # What is equal but for rounding would be blown up to a full opinion.
    flat = highest - lowest <= rounding * largest
    scores = np.where(flat[lists.codes], 0.0, scores)
    if scale == "rank":
        return rank_in_lists(scores, lists) - 0.5
    return standardize_in_lists(scores, lists)
