"""Other people's rankers behind this package's interface: list ids in, scores out.

Each library wants its lists in a form of its own: LightGBM sizes, XGBoost sorted ids,
CatBoost ids in one piece. `RankerAdapter` takes ids, rows in any order, and gives each
what it wants.

>>> from sklearn.linear_model import Ridge
>>> from sklearn_rankformer import RankerAdapter
>>> X, y, groups = [[0.1], [0.9], [0.3], [0.2]], [0, 2, 1, 0], [7, 5, 7, 5]
>>> ranker = RankerAdapter(Ridge()).fit(X, y, groups=groups)  # or LGBMRanker(), ...
>>> ranker.rank(X, groups=groups, k=1).tolist()
[1, 2]
>>> ranker.score(X, y, groups=groups)
1.0

A library is found by the name of the estimator's class, and none of them is imported
before one of its own estimators is fitted.
"""

import copy
import re
from dataclasses import dataclass
from inspect import signature
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    _fit_context,
    is_classifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import (
    check_is_fitted,
    has_fit_parameter,
)

from ._checks import (
    check_labels,
    check_length,
    check_list_weights,
    check_weights,
    refuse_without_X,
    warn_no_order,
)
from ._frames import frame_library
from ._groups import refuse_foreign_names, resolve_groups, resolve_other_rows
from ._lists import Lists, digest_lists, lists_of
from ._mixin import RankerMixin, unchanged_by_errors
from ._models import (
    check_estimator_given,
    check_features,
    clone_with_parts,
    fresh,
    groups_for,
    is_library_ranker,
    learns_from_lists,
    libraries_inside,
    library_of,
    predict_scores,
    refuse_hidden_ranker,
    takes_groups,
    transforms_its_input,
)
from ._tables import refuse_times
from ._warnings import warn_missing_groups

# LightGBM 4.7 and CatBoost 1.2 end the process when they read other columns of polars
# than these, such as categories and decimals.
_READ_PANDAS = {"lightgbm", "catboost"}
# By what names regressors take rows to validate on.
_VALIDATION = ("X_val", "eval_X", "eval_set")
_PLAIN_KINDS = re.compile("Boolean|U?Int(8|16|32|64)|Float(32|64)")


class RankerAdapter(RankerMixin, MetaEstimatorMixin, BaseEstimator):
    """Give any ranker or regressor the interface of `RankFormerRanker`.

    All rankers can then go through the same pipelines, searches and metrics, and a
    search may even choose among them.

    Parameters
    ----------
    estimator : LGBMRanker, XGBRanker, CatBoostRanker or any regressor
        What is fitted, as a clone. Regressors learn the labels row by row, without
        regard to lists. An estimator whose own ``fit`` takes ``groups`` is given them.
        One that would keep list ids from what learns from lists inside it is refused.
        One that is fitted already is used as it is when wrapped in
        `sklearn.frozen.FrozenEstimator`.
    early_stopping_rounds : int, default=None
        Stop a ranker once this many rounds have brought no better validation metric
        (LightGBM: NDCG@10; the others: the metric they are set to). It needs
        ``X_val``, ``y_val`` and ``groups_val`` in ``fit``. Regressors have parameters
        of their own.
    group_column : str or int, default=None
        Column of X that holds the list ids, by name in frames and by index in
        arrays. It is taken out of X before anything else happens, so that tools
        which know nothing of ``groups`` can be used.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone of ``estimator``.
    n_features_in_ : int
        Number of features, without the ``group_column``.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X was a frame with names.
    feature_importances_ : ndarray of shape (n_features,)
        Those of ``estimator_``, as its library counts them; absent where it has none.

    See Also
    --------
    RankFormerRanker : The transformer of this package.
    RankerMixin : For rankers that you write yourself.

    Notes
    -----
    Without ``early_stopping_rounds``, LightGBM and XGBoost only record the validation
    metric, while CatBoost always keeps the best iteration.

    XGBoost takes what a sparse matrix leaves out for missing, not for 0: give its
    ``predict`` sparse rows if, and only if, ``fit`` was given such.

    Scores of library rankers and regressors do not depend on the other items of the
    list: ``predict`` checks ``groups`` and then ignores them.

    With scikit-learn's metadata routing, ``groups``, ``qid``, ``X_val``, ``y_val``
    and ``groups_val`` are requested already; ``sample_weight`` is asked for as usual,
    by ``set_fit_request(sample_weight=True)``. A search slices an ``X_val`` that has
    exactly as many rows as X; give it another number of rows.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_rankformer.adapters import RankerAdapter
    >>> X = [[0.1], [0.9], [0.3], [0.2]]
    >>> ranker = RankerAdapter(Ridge()).fit(X, [0, 2, 1, 0], groups=[7, 5, 7, 5])
    >>> ranker.rank(X, groups=[7, 5, 7, 5])
    array([1, 3, 2, 0])
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "early_stopping_rounds": [Interval(Integral, 1, None, closed="left"), None],
        "group_column": [Integral, str, None],
    }
    __metadata_request__fit = {
        "qid": True,
        "X_val": True,
        "y_val": True,
        "groups_val": True,
    }
    __metadata_request__predict = {"qid": True}

    def __init__(self, estimator, *, early_stopping_rounds=None, group_column=None):
        self.estimator = estimator
        self.early_stopping_rounds = early_stopping_rounds
        self.group_column = group_column

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
        """Fit a clone of the estimator.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features. Frames reach the estimator as frames.
        y : array-like of shape (n_rows,)
            Labels, higher is more relevant.
        groups, qid : array-like of shape (n_rows,), default=None
            List id of each row, in any order, under the one name or the other.
            Rankers warn when there are none and take all rows for one list.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights. XGBoost and CatBoost take one weight per list, the same on all of
            its rows; LightGBM and regressors take any.
        X_val, y_val, groups_val : like X, y and groups, default=None
            Validation data, for early stopping.

        Returns
        -------
        self : RankerAdapter
            The fitted adapter.

        Raises
        ------
        TypeError, ValueError
            If shapes, ids, labels or weights are not what the library can take,
            validation data are given to an estimator that cannot use them, or list
            ids do not reach what needs them.
        """
        self._check_estimator()
        ranks = learns_from_lists(self.estimator)
        X, groups = resolve_groups(X, groups, qid, self.group_column)
        if groups is None and ranks:
            warn_missing_groups(self, "fit")
        with unchanged_by_errors(self):
            X = self._check_X(X, reset=True)
            train = _bring_together(X, y, groups, sample_weight)
            if ranks:
                warn_no_order(train.y, train.lists)
            val = self._validation_rows(X_val, y_val, groups_val)
            self.estimator_ = _fit_estimator(
                fresh(self.estimator), train, val, self.early_stopping_rounds
            )
        self.trained_lists_ = None if groups is None else digest_lists(train.lists)
        return self

    def predict(self, X, groups=None, *, qid=None):
        """Score each row; only the order within a list means anything.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        groups, qid : array-like of shape (n_rows,), default=None
            List id of each row. They are checked, and handed to an estimator whose
            ``predict`` takes them, also inside a pipeline or search; all others need
            none.

        Returns
        -------
        scores : ndarray of shape (n_rows,)
            Higher is better, in the order of the rows of X.
        """
        return self._own_scores(X, groups, qid).astype(np.float64)

    def _own_scores(self, X, groups=None, qid=None):
        """As `predict`, in the type in which the estimator computes."""
        check_is_fitted(self)
        X, groups = resolve_groups(X, groups, qid, self.group_column)
        return predict_scores(self.estimator_, self._check_X(X), groups)

    @property
    def feature_importances_(self):  # numpydoc ignore=RT01
        """Importances of the features, as the estimator's library counts them."""
        check_is_fitted(self)
        found = self.estimator_.feature_importances_
        # CatBoost's are None in an array where it would need data to measure them.
        if np.ndim(found) == 0:
            raise AttributeError(
                f"{type(self.estimator_).__name__} has no feature_importances_ without "
                f"data. Use inspection.list_permutation_importance, or the library's "
                f"own function on estimator_."
            )
        return found

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = copy.deepcopy(inner.input_tags)
        tags.non_deterministic = inner.non_deterministic
        return tags

    def __sklearn_clone__(self):
        return clone_with_parts(self, "estimator")

    def _check_estimator(self):
        check_estimator_given(self.estimator, "estimator")
        if is_classifier(self.estimator):
            raise TypeError(
                f"estimator={self.estimator!r} predicts classes, which cannot be "
                f"ranked. Give a ranker or a regressor."
            )
        refuse_hidden_ranker(self.estimator)
        if self.early_stopping_rounds is not None and not is_library_ranker(
            self.estimator
        ):
            raise ValueError(
                f"early_stopping_rounds is for rankers of LightGBM, XGBoost and "
                f"CatBoost, and {type(self.estimator).__name__} is none. Set the early "
                f"stopping of the estimator itself."
            )

    def _check_X(self, X, *, reset=False, name="X"):
        X = check_features(self, X, reset=reset, name=name)
        if issparse(X):
            # LightGBM and CatBoost read no sparse arrays, CatBoost no 64-bit indices.
            return csr_matrix((X.data, X.indices, X.indptr), shape=X.shape)
        if transforms_its_input(self.estimator):  # and reads what X itself holds
            return X
        # Of frames scikit-learn makes numbers of them; LightGBM ends the process.
        refuse_times(X, name)
        if not _holds_other_than_plain(X):
            return X
        # Asked last: it looks at every parameter, and few predictions need to know.
        reads_pandas = _READ_PANDAS & libraries_inside(self.estimator)
        return X.to_pandas() if reads_pandas else X

    def _validation_rows(self, X_val, y_val, groups_val):
        refuse_without_X(X_val, y_val, groups_val, "_val")
        if X_val is None:
            if self.early_stopping_rounds is not None:
                raise ValueError(
                    f"early_stopping_rounds={self.early_stopping_rounds} needs "
                    f"validation data. Pass X_val, y_val and groups_val to fit."
                )
            return None
        X_val, groups_val = resolve_other_rows(
            X_val,
            groups_val,
            "_val",
            self.group_column,
            learns_from_lists(self.estimator),
        )
        X_val = self._check_X(X_val, name="X_val")
        return _bring_together(
            X_val, y_val, groups_val, None, name="y_val", table="X_val"
        )


def _holds_other_than_plain(X):
    """Whether it is a frame of polars with columns such as categories."""
    library = frame_library(X)
    if library is None or library.name != "polars DataFrame":
        return False
    return not all(_PLAIN_KINDS.fullmatch(str(kind)) for kind in X.dtypes)


def as_ranker(estimator):
    """Return an unfitted copy whose ``fit`` takes groups.

    Parameters
    ----------
    estimator : ranker or regressor
        Whatever a user calls a ranker.

    Returns
    -------
    ranker : estimator
        A clone, behind a `RankerAdapter` if its own ``fit`` takes no groups; one that
        is frozen stays as it is.
    """
    if isinstance(estimator, FrozenEstimator):
        return estimator
    copied = fresh(estimator)
    return copied if takes_groups(copied, "fit") else RankerAdapter(copied)


def stops_on_lists(ranker):
    """Return whether a ranker makes use of validation lists.

    Parameters
    ----------
    ranker : ranker
        As `as_ranker` returns it.

    Returns
    -------
    stops : bool
        Whether ``fit`` takes ``X_val``, ``y_val`` and ``groups_val``; of adapters,
        whether they stop early; of pipelines, whether their last step does; of
        ensembles, whether a member does.
    """
    if isinstance(ranker, Pipeline):
        return stops_on_lists(ranker[-1])
    if isinstance(ranker, RankerAdapter):
        return ranker.early_stopping_rounds is not None
    if isinstance(getattr(ranker, "estimators", None), list):
        return any(stops_on_lists(member) for _, member in ranker.estimators)
    return hasattr(ranker, "fit") and has_fit_parameter(ranker, "groups_val")


def takes_validation_lists(ranker):
    """Return whether `fit_ranker` can hand validation lists to a ranker.

    Parameters
    ----------
    ranker : ranker
        As `as_ranker` returns it.

    Returns
    -------
    takes : bool
        Whether it stops on them or only records how it does on them.
    """
    if isinstance(ranker, Pipeline):
        return takes_validation_lists(ranker[-1])
    if isinstance(ranker, RankerAdapter):
        inner = ranker.estimator
        return is_library_ranker(inner) or _validation_name(inner) is not None
    return _fit_takes(ranker, "X_val")


def fit_ranker(ranker, X, y, groups, *, sample_weight=None, val=None):
    """Fit a ranker, and hand it further lists to stop on or to record.

    Weights and validation lists reach the last step of a pipeline, too. For list ids
    to do so, metadata routing is to be on.

    Parameters
    ----------
    ranker : ranker or regressor
        As `as_ranker` returns it, or what lies in its adapter; is fitted itself.
    X, y, groups : of shape (n_rows, n_features), (n_rows,) and (n_rows,)
        Lists to learn.
    sample_weight : array-like of shape (n_rows,) or None, default=None
        Weights, refused if the ranker, or the last step of a pipeline, takes none.
    val : (X, y, groups) or None, default=None
        Validation lists, refused by a ranker of which neither `stops_on_lists` nor
        `takes_validation_lists` is true.

    Returns
    -------
    ranker : ranker
        The same.
    """
    # A pipeline would hand X_val to its last step as it is, and weights to none.
    if isinstance(ranker, Pipeline) and (val is not None or sample_weight is not None):
        return _fit_pipeline(ranker, X, y, groups, sample_weight, val)
    options = groups_for(ranker, "fit", groups) | _weight_for(ranker, sample_weight)
    if val is not None:
        options |= dict(zip(("X_val", "y_val", "groups_val"), val, strict=True))
    return ranker.fit(X, y, **options)


def _weight_for(estimator, weight):
    """The weight as keyword argument of ``fit``, where that takes one."""
    if weight is None:
        return {}
    if not _fit_takes(estimator, "sample_weight"):
        raise ValueError(
            f"{type(estimator).__name__} cannot use sample_weight. Leave it out."
        )
    return {"sample_weight": weight}


def _fit_takes(estimator, name):
    # Searches take any keyword, and hand it on.
    taken = signature(estimator.fit).parameters.values()
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in taken)


def _fit_pipeline(pipeline, X, y, groups, weight, val):
    """Fit step by step: all is handed to the last one, to others what they ask for."""
    if len(pipeline) > 1:
        steps = pipeline[:-1]
        options = {"groups": groups, "sample_weight": weight}
        given = {name for name, one in options.items() if one is not None}
        asked = get_routing_for_object(steps).consumes("fit_transform", given)
        X = steps.fit_transform(X, y, **{name: options[name] for name in asked})
        pipeline.steps[:-1] = steps.steps
        if val is not None:
            X_val, _, groups_val = val
            own_ids = groups_for(steps, "transform", groups_val)
            val = (steps.transform(X_val, **own_ids), *val[1:])
    fit_ranker(pipeline[-1], X, y, groups, sample_weight=weight, val=val)
    return pipeline


@dataclass(frozen=True)
class _WholeLists:
    """Rows in which each list lies in one piece.

    Attributes
    ----------
    X, y, weight : of shape (n_rows, n_features), (n_rows,) and (n_rows,) or None
        Features, labels and weights.
    lists : Lists
        The lists in the order in which they lie, under the ids that they came with.
    """

    X: Any
    y: np.ndarray
    weight: np.ndarray | None
    lists: Lists

    @property
    def sizes(self):
        """Length of each list: ndarray of shape (n_lists,)."""
        return self.lists.lengths

    @property
    def qid(self):
        """Ascending list id of each row: ndarray of shape (n_rows,)."""
        return self.lists.codes


def _bring_together(X, y, groups, sample_weight, *, name="y", table="X"):
    y = check_labels(y, name, negative=True)
    check_length(y, name, X.shape[0], table)
    lists = lists_of(groups, len(y))
    weight = check_weights(sample_weight, lists)
    # The libraries take lists in the order in which they lie, not in that of their ids.
    by_place = np.argsort(lists.starts)
    sizes = lists.lengths[by_place]
    in_place = Lists(lists.ids[by_place], np.cumsum(sizes) - sizes, sizes, None)
    rows = lists.order
    if rows is None:  # each list lies in one piece already: nothing is copied
        return _WholeLists(X, y, weight, in_place)
    weight = None if weight is None else weight[rows]
    return _WholeLists(_safe_indexing(X, rows), y[rows], weight, in_place)


def _fit_estimator(estimator, train, val, rounds):
    # First of all: a class derived from a library's may take groups besides.
    library = library_of(estimator)
    if library is not None and is_library_ranker(estimator):
        return _FIT_LIBRARY[library](estimator, train, val, rounds)
    return _fit_other(estimator, train, val)


def _fit_lightgbm(ranker, train, val, rounds):
    _check_lightgbm_labels(ranker, train.y, "y")
    options: dict = {}
    if val is not None:
        _check_lightgbm_labels(ranker, val.y, "y_val")
        # It is to stop by what `score` measures.
        options["eval_group"] = [val.sizes]
        if has_fit_parameter(ranker, "eval_at"):
            options["eval_at"] = (10,)
        else:  # LGBMModel, of any objective, takes it from its parameters alone
            ranker.set_params(eval_at=[10])
        if has_fit_parameter(ranker, "eval_X"):  # LightGBM 4.7 deprecates eval_set
            options |= {"eval_X": val.X, "eval_y": val.y}
        else:
            options |= {"eval_set": [(val.X, val.y)]}
    if rounds is not None:
        from lightgbm import early_stopping

        options["callbacks"] = [early_stopping(rounds, verbose=False)]
    return ranker.fit(
        train.X, train.y, group=train.sizes, sample_weight=train.weight, **options
    )


def _check_lightgbm_labels(ranker, y, name):
    params = ranker.get_params()
    if callable(params.get("objective")):  # looks up no gains
        return
    gains = params.get("label_gain")
    n_gains = 31
    if gains is not None:
        n_gains = len(gains.split(",") if isinstance(gains, str) else gains)
    _check_grades(
        y,
        n_gains - 1,
        name,
        "LightGBM looks up the gain of each label in a table. For higher labels set "
        "label_gain=[...] on LGBMRanker, one gain per label from 0; turn fractional "
        "ones into grades",
    )


def _fit_xgboost(ranker, train, val, rounds):
    options = {}
    if rounds is not None:  # on the clone: fit no longer takes it
        ranker.set_params(early_stopping_rounds=rounds)
    if val is not None:
        options = {"eval_set": [(val.X, val.y)], "eval_qid": [val.qid]}
    params = ranker.get_params()
    # NDCG's gain 2**label limits the labels: as objective, or as validation metric.
    measures_ndcg = val is not None or params.get("objective") == "rank:ndcg"
    if measures_ndcg and params.get("ndcg_exp_gain") is not False:
        for rows, name in [(train, "y"), (val, "y_val")]:
            if rows is not None:
                _check_grades(
                    rows.y,
                    31,
                    name,
                    "XGBoost takes the gain 2**label - 1. For other labels set "
                    "ndcg_exp_gain=False on XGBRanker",
                )
    return ranker.fit(
        train.X,
        train.y,
        qid=train.qid,
        sample_weight=check_list_weights(train.weight, train.lists),
        verbose=False,
        **options,
    )


def _check_grades(y, highest, name, way_out):
    wrong = y[(y < 0) | (y > highest) | (y != np.floor(y))]
    if len(wrong):
        raise ValueError(
            f"{name} has the label {wrong[0]:g}, but labels must be whole numbers from "
            f"0 to {highest}: {way_out}."
        )


def _fit_catboost(ranker, train, val, rounds):
    return ranker.fit(
        _catboost_pool(ranker, train),
        eval_set=None if val is None else _catboost_pool(ranker, val),
        early_stopping_rounds=rounds,
    )


def _catboost_pool(ranker, rows):
    from catboost import Pool

    # A pool is built here for the ids, and has to carry what fit knows otherwise.
    params = ranker.get_params()
    kinds = ["cat_features", "text_features", "embedding_features"]
    weights = check_list_weights(rows.weight, rows.lists)
    return Pool(
        rows.X,
        rows.y,
        group_id=rows.qid,
        group_weight=None if weights is None else np.repeat(weights, rows.sizes),
        **{kind: params.get(kind) for kind in kinds},
    )


def _fit_other(estimator, train, val):
    """Fit a regressor, or whatever takes groups itself."""
    X, y, groups, weight = train.X, train.y, train.qid, train.weight
    if val is None:
        return fit_ranker(estimator, X, y, groups, sample_weight=weight)
    options = groups_for(estimator, "fit", groups) | _weight_for(estimator, weight)
    return estimator.fit(X, y, **options, **_validation_options(estimator, val))


def _validation_name(estimator):
    """By what name ``fit`` of a regressor takes rows to validate on, or None."""
    return next((n for n in _VALIDATION if has_fit_parameter(estimator, n)), None)


def _validation_options(estimator, val):
    name = _validation_name(estimator)
    if name == "X_val":
        by_list = has_fit_parameter(estimator, "groups_val")
        ids = {"groups_val": val.qid} if by_list else {}
        return {"X_val": val.X, "y_val": val.y, **ids}
    if name == "eval_X":
        return {"eval_X": val.X, "eval_y": val.y}
    if name == "eval_set":
        return {"eval_set": [(val.X, val.y)]}
    raise ValueError(
        f"{type(estimator).__name__} cannot use X_val. Leave it out, or join it to X."
    )


_FIT_LIBRARY = {
    "lightgbm": _fit_lightgbm,
    "xgboost": _fit_xgboost,
    "catboost": _fit_catboost,
}
