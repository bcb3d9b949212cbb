"""Other people's estimators: whose they are, what they take, what lies inside them.

Libraries are recognised by the names of their classes, so that none is imported before
one of its own estimators is used.
"""

import copy
import inspect
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import _num_samples, validate_data

from ._mixin import RankerMixin, check_scores
from ._tables import reading, refuse_empty_table, refuse_times, two_dimensional

RANKERS = {
    "lightgbm": "LGBMRanker",
    "xgboost": "XGBRanker",
    "catboost": "CatBoostRanker",
}
# Base classes that can be fitted with list ids where their objective ranks.
BASES = {"lightgbm": "LGBMModel", "catboost": "CatBoost"}

OBJECTIVES = ("objective", "loss_function", "application", "app", "loss")
# How the names of the objectives begin that compare the items of a list.
RANKING = (
    *("lambdarank", "rank_xendcg", "xendcg", "xe_ndcg"),  # LightGBM
    "rank:",  # XGBoost
    *("YetiRank", "PairLogit", "Query", "StochasticRank", "StochasticFilter"),
    *("LambdaMart", "GroupQuantile"),  # CatBoost, as those before
)


def library_of(estimator: Any) -> str | None:
    """Return the library that an estimator comes from.

    Parameters
    ----------
    estimator : estimator
        Any, also of a class derived from a library's.

    Returns
    -------
    library : {"lightgbm", "xgboost", "catboost"} or None
        None for all others.
    """
    origins = {cls.__module__.partition(".")[0] for cls in type(estimator).__mro__}
    return next((library for library in RANKERS if library in origins), None)


def libraries_inside(estimator: Any) -> set[str]:
    """Return the libraries of an estimator and of all that lies inside it.

    Parameters
    ----------
    estimator : estimator
        Any, frozen or not.

    Returns
    -------
    libraries : set of {"lightgbm", "xgboost", "catboost"}
        Empty if there is none of them.
    """
    model = unwrap(estimator)[1]
    params = model.get_params().values() if hasattr(model, "get_params") else ()
    libraries = {library_of(part) for part in (model, *params)}
    return {library for library in libraries if library is not None}


def ranking_objective(estimator: Any) -> str | None:
    """Return the objective of a library's estimator if it compares items of a list.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    objective : str or None
        None if the objective does not rank, or the estimator is of no such library.
    """
    if library_of(estimator) is None:
        return None
    params = estimator.get_params()
    found = [value for name in OBJECTIVES if isinstance(value := params.get(name), str)]
    return next((value for value in found if value.startswith(RANKING)), None)


def is_library_ranker(estimator: Any) -> bool:
    """Return whether it is a library's ranker, or a base class with such an objective.

    Parameters
    ----------
    estimator : estimator
        Any; one inside a pipeline or search does not count.

    Returns
    -------
    is_ranker : bool
        Whether it can be fitted with list ids in its library's own way.
    """
    library = library_of(estimator)
    if library is None:
        return False
    if RANKERS[library] in {cls.__name__ for cls in type(estimator).__mro__}:
        return True
    is_base = type(estimator).__name__ == BASES.get(library)
    return is_base and ranking_objective(estimator) is not None


def takes_groups(estimator: Any, method: str) -> bool:
    """Return whether a method takes ``groups``, or routes them to a step that does.

    Parameters
    ----------
    estimator : estimator
        Any.
    method : str
        Such as ``"fit"`` or ``"predict"``.

    Returns
    -------
    takes : bool
        Whether ``groups=...`` may be passed.
    """
    if "groups" in inspect.signature(getattr(estimator, method)).parameters:
        return True
    if not get_config()["enable_metadata_routing"]:
        return False
    return bool(get_routing_for_object(estimator).consumes(method, {"groups"}))


def groups_for(estimator: Any, method: str, groups: Any) -> dict[str, Any]:
    """Return the groups as keyword argument of a method that takes them.

    Parameters
    ----------
    estimator : estimator
        Any.
    method : str
        The method that will be called.
    groups : array-like of shape (n_rows,), or None
        List ids.

    Returns
    -------
    options : dict
        ``{"groups": groups}``, or nothing.
    """
    wanted = groups is not None and takes_groups(estimator, method)
    return {"groups": groups} if wanted else {}


def unwrap(estimator: Any) -> tuple[list[Pipeline], Any]:
    """Follow pipelines, searches and frozen estimators down to the model.

    Parameters
    ----------
    estimator : estimator
        Any, fitted or not.

    Returns
    -------
    transforms : list of Pipeline
        What happens to X before the model, in this order.
    model : estimator
        What predicts in the end.
    """
    transforms = []
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator) or _is_search(estimator):
            estimator = estimator.estimator
        elif isinstance(estimator, Pipeline):
            if len(estimator) > 1:
                transforms.append(estimator[:-1])
            estimator = estimator[-1]
        else:
            return transforms, estimator


def _is_search(estimator: Any) -> bool:
    # scikit-learn has no public class for them, and other packages have their own.
    return hasattr(estimator, "refit") and hasattr(estimator, "estimator")


def model_and_its_input(estimator: Any, X: Any, groups: Any) -> tuple[Any, Any]:
    """Return the model below pipelines and searches, and what X has become there.

    A search takes no metadata at predict, and neither does a pipeline around it, so
    the model at the bottom is called directly.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    groups : array-like of shape (n_rows,), or None
        List ids, for the transformers that take them.

    Returns
    -------
    model : estimator
        As `unwrap` finds it.
    X : array-like, sparse matrix or frame of shape (n_rows, n_columns)
        Its input.
    """
    transforms, model = unwrap(estimator)
    for steps in transforms:
        X = steps.transform(X, **groups_for(steps, "transform", groups))
    return model, X


def predict_with_groups(model: Any, X: Any, groups: Any) -> np.ndarray:
    """Return a model's scores, with the groups handed on where it takes them.

    Parameters
    ----------
    model : estimator
        Fitted; as `model_and_its_input` returns it.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    groups : array-like of shape (n_rows,), or None
        List ids.

    Returns
    -------
    scores : ndarray of shape (n_rows,)
        One score per row.

    Raises
    ------
    TypeError
        If the model predicts classes.
    ValueError
        As `check_scores`.
    """
    scores = model.predict(X, **groups_for(model, "predict", groups))
    name, classes = type(model).__name__, getattr(model, "classes_", None)
    if classes is not None and np.isin(scores, classes).all():
        raise TypeError(
            f"{name} predicts classes, which cannot be ranked. Give a ranker or a "
            f"regressor, or rank by chances: "
            f"metrics.ndcg_score(y, model.predict_proba(X)[:, 1], groups)."
        )
    return check_scores(scores, _num_samples(X), name)


def predict_scores(estimator: Any, X: Any, groups: Any) -> np.ndarray:
    """Return the scores of a ranker, or of a pipeline or search that ends in one.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    groups : array-like of shape (n_rows,), or None
        List ids.

    Returns
    -------
    scores : ndarray of shape (n_rows,)
        One score per row.
    """
    model, X = model_and_its_input(estimator, X, groups)
    return predict_with_groups(model, X, groups)


def group_column_of(estimator: Any) -> int | str | None:
    """Return the column from which the ranker at the bottom takes its list ids.

    Parameters
    ----------
    estimator : estimator
        A ranker, or a pipeline or search that may end in one.

    Returns
    -------
    group_column : int, str or None
        None if there is no such ranker, or it takes ids from no column.
    """
    ranker = ranker_of(estimator)
    return None if ranker is None else ranker.group_column


def ranker_of(estimator: Any) -> Any:
    """Return the ranker at the bottom, also that of a `TransformedTargetRegressor`.

    Parameters
    ----------
    estimator : estimator
        A ranker, or a pipeline or search that may end in one.

    Returns
    -------
    ranker : RankerMixin or None
        None if there is none. It sees the X that the model at the bottom sees.
    """
    model = unwrap(estimator)[1]
    if isinstance(model, TransformedTargetRegressor):
        model = getattr(model, "regressor_", model.regressor)
    return model if isinstance(model, RankerMixin) else None


def check_estimator_given(estimator: Any, name: str) -> None:
    """Refuse what is no estimator, such as the class of one.

    Parameters
    ----------
    estimator : estimator
        What the caller gave.
    name : str
        How the error message calls it.

    Raises
    ------
    TypeError
        If it has no ``fit`` and ``predict``, or is a class.
    """
    if isinstance(estimator, type):
        raise TypeError(
            f"{name} is the class {estimator.__name__}. Give an instance, such as "
            f"{estimator.__name__}()."
        )
    if not (hasattr(estimator, "fit") and hasattr(estimator, "predict")):
        raise TypeError(
            f"{name} must be an estimator with fit and predict, got {estimator!r}."
        )


def refuse_own_column(owner: Any, estimator: Any, name: str) -> None:
    """Refuse a part of an estimator that takes list ids from a column of its own.

    Parameters
    ----------
    owner : estimator
        What hands the part its X, without that column.
    estimator : estimator
        The part.
    name : str
        How the error message calls it.

    Raises
    ------
    ValueError
        If the ranker at its bottom has a `group_column`.
    """
    column = group_column_of(estimator)
    if column is not None:
        raise ValueError(
            f"{name} has group_column={column!r}, but it never sees that column. Set "
            f"group_column on {type(owner).__name__}, and leave it None here."
        )


def learns_from_lists(estimator: Any) -> bool:
    """Return whether an estimator's ``fit`` makes use of list ids.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    learns : bool
        True of libraries' rankers and of all whose ``fit`` takes ``groups``.
    """
    return is_library_ranker(estimator) or takes_groups(estimator, "fit")


def refuse_hidden_ranker(estimator: Any) -> None:
    """Refuse an estimator that would keep list ids from what learns from lists.

    Parameters
    ----------
    estimator : estimator
        Any that is about to be fitted on behalf of a ranker.

    Raises
    ------
    TypeError
        If it is a regressor with a ranking objective, or a library's ranker lies
        inside it, or a ranker, transformer or splitter that the ids do not reach.
    """
    _refuse_regressor_that_ranks(estimator)
    name = type(estimator).__name__
    parts = _parts_that_learn(estimator)
    for part in parts:
        _refuse_regressor_that_ranks(part)
        if is_library_ranker(part):
            inner = type(part).__name__
            raise TypeError(
                f"The {name} keeps list ids from the {inner} inside it. Use the "
                f"{name} itself, with RankerAdapter({inner}(...)) inside in place of "
                f"{inner}(...): it hands ids on after "
                f"sklearn.set_config(enable_metadata_routing=True)."
            )
        if takes_groups(part, "fit"):
            _refuse_to_starve(estimator, part)
    for splitter in _splitters_by_list([estimator, *parts]):
        _refuse_to_starve(estimator, splitter)


def _refuse_to_starve(estimator: Any, part: Any) -> None:
    """Refuse an estimator that hands no list ids on, for a part that takes them."""
    if not takes_groups(estimator, "fit"):
        raise TypeError(
            f"The {type(estimator).__name__} keeps list ids from the "
            f"{type(part).__name__} inside it. Call "
            f"sklearn.set_config(enable_metadata_routing=True), so that it hands them "
            f"on."
        )


def _refuse_regressor_that_ranks(estimator: Any) -> None:
    objective = ranking_objective(estimator)
    if objective is not None and not is_library_ranker(estimator):
        ranker = RANKERS[str(library_of(estimator))]
        raise TypeError(
            f"{type(estimator).__name__} has the ranking objective {objective!r}, but "
            f"its fit takes no list ids. Use {ranker} with this objective."
        )


def _splitters_by_list(estimators: list[Any]) -> list[Any]:
    """Those among the estimators' splitters that ask for list ids."""
    splitters = [getattr(estimator, "cv", None) for estimator in estimators]
    return [
        cv
        for cv in splitters
        if hasattr(cv, "split")
        and get_routing_for_object(cv).consumes("split", {"groups"})
    ]


def _parts_that_learn(estimator: Any) -> list[Any]:
    """Estimators inside an estimator, at any depth, as ``get_params`` names them."""
    # What lies inside one of our rankers, such as an adapter, is that ranker's affair,
    # and what is frozen learns nothing any more.
    shut = RankerMixin | FrozenEstimator
    if isinstance(estimator, shut) or not hasattr(estimator, "get_params"):
        return []
    params = estimator.get_params(deep=True)
    closed = tuple(f"{n}__" for n, part in params.items() if isinstance(part, shut))
    return [
        part
        for name, part in params.items()
        if not name.startswith(closed)
        and hasattr(part, "fit")
        and not isinstance(part, type)
    ]


def transforms_its_input(estimator: Any) -> bool:
    """Return whether a transformer inside an estimator may come before the model.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    transforms : bool
        False of models that read X themselves.
    """
    transforms, model = unwrap(estimator)
    parts = model.get_params().values() if hasattr(model, "get_params") else ()
    return bool(transforms) or any(hasattr(part, "transform") for part in parts)


def check_features(owner: Any, X: Any, *, reset: bool, name: str = "X") -> Any:
    """Check features for an estimator that leaves the reading of them to others.

    Parameters
    ----------
    owner : estimator
        Is given, or has, the number and names of the features. Its tags say what may
        be in X.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    reset : bool
        Whether X is what `owner` is fitted on.
    name : str, default="X"
        How error messages call X.

    Returns
    -------
    X : ndarray, CSR matrix or frame of shape (n_rows, n_features)
        Frames but for their byte order as they came: what is in them is checked by
        those who read them. Numbers in the byte order of this machine.
    """
    with reading(name):
        if hasattr(X, "columns"):
            validate_data(owner, X, reset=reset, skip_check_array=True)
            refuse_empty_table(X, type(owner).__name__)
            return _in_native_order(X)
        X = two_dimensional(X, name)
        tags = get_tags(owner).input_tags
        X = validate_data(
            owner,
            X,
            reset=reset,
            dtype=None if tags.categorical else "numeric",
            accept_sparse="csr" if tags.sparse else False,
            ensure_all_finite=not tags.allow_nan,
        )
        refuse_times(X, name)
        return X.astype(X.dtype.newbyteorder("="), copy=False)


def _in_native_order(frame: Any) -> Any:
    """A frame whose numbers have this machine's byte order; only pandas has others.

    XGBoost takes the bytes of a column for numbers in this order, whatever theirs.
    """
    foreign = [
        j
        for j, kind in enumerate(frame.dtypes)
        if isinstance(kind, np.dtype) and not kind.isnative
    ]
    if not foreign:
        return frame
    frame = frame.copy(deep=False)
    for j in foreign:  # by place, as names may come twice
        column = frame.iloc[:, j]
        frame.isetitem(j, column.astype(column.dtype.newbyteorder("=")))
    return frame


def fresh(estimator: Any) -> Any:
    """Return an unfitted copy with the same parameters.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    estimator : estimator
        As `sklearn.base.clone` makes it, of CatBoost's too.
    """
    if library_of(estimator) != "catboost":
        return clone(estimator)
    # CatBoost copies its list parameters, which clone treats as a defect, and its base
    # class wants all parameters in one dict.
    params = copy.deepcopy(estimator.get_params())
    in_one_dict = "params" in inspect.signature(type(estimator)).parameters
    return type(estimator)(params) if in_one_dict else type(estimator)(**params)


def clone_with_parts(owner: BaseEstimator, *names: str) -> Any:
    """Clone an estimator whose parameters hold others, each copied by `fresh`.

    scikit-learn's own cloning would stumble over CatBoost's parameters.

    Parameters
    ----------
    owner : estimator
        What is cloned.
    *names : str
        Parameters that hold an estimator, or pairs of a name and an estimator.

    Returns
    -------
    copied : estimator
        Unfitted.
    """
    shell = copy.copy(owner)
    for name in names:
        setattr(shell, name, None)
    copied = BaseEstimator.__sklearn_clone__(shell)
    for name in names:
        setattr(copied, name, _fresh_parts(getattr(owner, name)))
    return copied


def _fresh_parts(given: Any) -> Any:
    if type(given) in (list, tuple):
        return type(given)(map(_fresh_parts, given))
    # What makes no sense is copied too, for fit to say so.
    is_one = hasattr(given, "get_params") and not isinstance(given, type)
    return fresh(given) if is_one else clone(given, safe=False)
