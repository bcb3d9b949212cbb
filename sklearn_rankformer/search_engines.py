"""A GBDT as the JSON that a search engine takes: Elasticsearch, OpenSearch, Solr.

The engines' learning-to-rank plugins score with sums of trees over features that they
compute themselves, in float32. Both libraries' trees are read into one form, which
keeps the largest float32 that goes left: "x < 0.5" and "x <= 0.5" are then exact in
engines that know only the other. What an engine cannot express is refused.

>>> from lightgbm import LGBMRanker  # doctest: +SKIP
>>> from sklearn_rankformer import DistilledRanker  # doctest: +SKIP
>>> from sklearn_rankformer.search_engines import elasticsearch_model
>>> ranker = DistilledRanker(teacher, LGBMRanker()).fit(X, y, groups)  # doctest: +SKIP
>>> body = elasticsearch_model(ranker, "my_ranker")  # doctest: +SKIP
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._models import library_of, unwrap

__all__ = ["elasticsearch_model", "solr_model"]

LARGEST = float(np.finfo(np.float32).max)
# Solr adds this to each threshold, in float32.
SOLR_SLACK = np.float32(1e-6)
# LightGBM takes numbers no further from 0 than this for 0 when it predicts.
LIGHTGBM_ZERO = float(np.float32(1e-35))
# Objectives whose scores are the plain sum of the trees.
PLAIN_SUMS = {
    "xgboost": (
        *("rank:ndcg", "rank:pairwise", "rank:map"),
        *("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"),
    ),
    "lightgbm": (
        *("lambdarank", "rank_xendcg", "regression", "regression_l1"),
        *("huber", "fair", "quantile", "mape"),
    ),
}


def elasticsearch_model(student, name, *, feature_names=None):
    """Return a model for the LTR plugin of Elasticsearch or OpenSearch.

    Parameters
    ----------
    student : LightGBM or XGBoost ranker or regressor, or one in a ranker
        Fitted. A `DistilledRanker` gives its student, a `RankerAdapter` its estimator.
    name : str
        Name of the model in the engine.
    feature_names : list of str, default=None
        Names of the features in the engine's feature set, in the order of the columns
        of X. None takes the names that the student was fitted with. LightGBM turns
        their spaces into "_", unless it lies in a `RankerAdapter` or the like.

    Returns
    -------
    body : dict
        Body of the request ``POST _ltr/_featureset/<feature set>/_createmodel``, with
        the trees as text of type ``model/xgboost+json``.

    Raises
    ------
    TypeError
        If the student is of another kind.
    ValueError
        If its names are not known, or its scores are not a plain sum of trees on
        numeric features.

    Notes
    -----
    On features in float32 the engine's scores equal the student's to float32's
    rounding. XGBoost's base score, which its own dump leaves out, is a tree of one
    leaf. Whether a missing feature follows the field ``missing`` depends on the
    version of the plugin; see the page on search engines.

    The plugins' readers of the format are ``XGBoostJsonParser`` in
    https://github.com/o19s/elasticsearch-learning-to-rank and
    https://github.com/opensearch-project/opensearch-learning-to-rank-base.
    """
    trees, names = _read(student, feature_names)
    definition = json.dumps([_numbered(tree, names) for tree in trees], allow_nan=False)
    model = {"type": "model/xgboost+json", "definition": definition}
    return {"model": {"name": name, "model": model}}


def solr_model(student, name, *, feature_names=None, store=None):
    """Return a ``MultipleAdditiveTreesModel`` for Solr.

    Parameters
    ----------
    student : LightGBM or XGBoost ranker or regressor, or one in a ranker
        As in `elasticsearch_model`.
    name : str
        Name of the model in Solr.
    feature_names : list of str, default=None
        As in `elasticsearch_model`.
    store : str, default=None
        Solr's feature store that holds these features; None is its default.

    Returns
    -------
    body : dict
        Body of the request ``PUT <collection>/schema/model-store``.

    Raises
    ------
    TypeError, ValueError
        As `elasticsearch_model`; also if a LightGBM student learned from missing
        values, which Solr does not know.

    Notes
    -----
    Solr adds 1e-6 to each threshold, in float32. The slack is taken off before; where
    no float32 leads back to the threshold, the next lower one that can be reached is
    taken. It is at most 1.2e-7 of the threshold away, or 1.2e-13 near zero.

    Source of the format: ``MultipleAdditiveTreesModel`` in
    https://github.com/apache/solr.
    """
    trees, names = _read(student, feature_names)
    for tree in trees:
        _refuse_missing(tree, names)
    body = {
        "class": "org.apache.solr.ltr.model.MultipleAdditiveTreesModel",
        "name": name,
        "features": [{"name": feature} for feature in names],
        "params": {
            "trees": [{"weight": "1", "root": _solr_node(t, names)} for t in trees]
        },
    }
    return body if store is None else {**body, "store": store}


# Trees --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """A numeric split; a leaf is its value, a float.

    Attributes
    ----------
    feature : int
        Column of X.
    last_left : float
        Largest float32 that goes left.
    missing_left : bool
        Whether NaN goes left.
    learned_missing : bool
        Whether that is known to have been learned from missing values.
    left, right : Split or float
        The subtrees.
    """

    feature: int
    last_left: float
    missing_left: bool
    learned_missing: bool
    left: "Split | float"
    right: "Split | float"


def _read(student: Any, feature_names: Any) -> tuple[list[Split | float], list[str]]:
    """Trees of a student, and the names of its features."""
    model = _tree_model(student)
    library = library_of(model)
    if library not in READERS:
        raise TypeError(
            f"student must be a fitted ranker or regressor of LightGBM or XGBoost, or "
            f"a DistilledRanker or RankerAdapter that holds one, got "
            f"{type(model).__name__}."
        )
    check_is_fitted(model)
    trees, own_names = READERS[library](model)
    if own_names is not None:  # LightGBM changes them, what lies around it does not
        own_names = getattr(student, "feature_names_in_", own_names)
    return trees, _check_names(feature_names, own_names, model.n_features_in_)


def _tree_model(student: Any) -> Any:
    """What scores in the end, where nothing is done to X before."""
    while True:
        transforms, student = unwrap(student)
        if transforms:
            raise TypeError(
                "student is a pipeline that transforms X before its model, which the "
                "engine would not do. Give it as features what the engine computes, "
                "and fit the model alone."
            )
        inside = [n for n in ("student_", "estimator_") if hasattr(student, n)]
        if not inside or library_of(student) is not None:
            return student
        student = getattr(student, inside[0])


def _check_names(given: Any, own: list[str] | None, n_features: int) -> list[str]:
    if given is None and own is None:
        raise ValueError(
            "The student was fitted without names of features. Pass feature_names, "
            "the names in the engine's feature set in the order of the columns of X."
        )
    names = [str(name) for name in (own if given is None else given)]
    if len(names) != n_features or len(set(names)) != len(names):
        raise ValueError(
            f"feature_names must hold {n_features} different names, one for each "
            f"column of X, got {names}."
        )
    return names


def _refuse_objective(library: str, objective: str) -> None:
    name, *options = objective.split()  # such as "quantile alpha:0.5"
    if name not in PLAIN_SUMS[library] or "sqrt" in options:
        raise ValueError(
            f"The student's objective {objective!r} turns the sum of its trees into "
            f"something else, which no engine does. Use one of "
            f"{', '.join(PLAIN_SUMS[library])}."
        )


def _refuse_category(name: Any) -> None:
    raise ValueError(
        f"The student splits on categories of the feature {name!r}, and engines know "
        f"numbers only. Give it numeric features, such as one column of 0 and 1 for "
        f"each category."
    )


def _refuse_missing(tree: Split | float, names: list[str]) -> None:
    if isinstance(tree, Split):
        if tree.learned_missing:
            raise ValueError(
                f"The student learned from missing values of the feature "
                f"{names[tree.feature]!r}, and Solr knows none: it has a default value "
                f"for each feature. Fill the missing values with that before fit."
            )
        _refuse_missing(tree.left, names)
        _refuse_missing(tree.right, names)


# Libraries ----------------------------------------------------------------------------


def _read_xgboost(model: Any) -> tuple[list[Split | float], list[str] | None]:
    booster = model.get_booster()
    stop = booster.attr("best_iteration")
    if stop is not None:  # predict uses no tree beyond it
        booster = booster[: int(stop) + 1]
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    shape, trees = learner["learner_model_param"], learner["gradient_booster"]
    _refuse_objective("xgboost", learner["objective"]["name"])
    if trees["name"] != "gbtree" or int(shape["num_target"]) > 1:
        raise ValueError(
            f"The student's booster must be 'gbtree' with one target, got "
            f"{trees['name']!r} with {shape['num_target']}."
        )
    if not (isinstance(model.missing, Real) and np.isnan(model.missing)):
        raise ValueError(
            f"The student takes missing={model.missing!r} for a missing value, which "
            f"no engine does. Leave it NaN."
        )
    names = learner["feature_names"] or None
    base = float(shape["base_score"].strip("[]"))
    read = [_xgboost_node(t, 0, names) for t in trees["model"]["trees"]]
    return [_single(base), *read], names


def _xgboost_node(tree: dict, node: int, names: list[str] | None) -> Split | float:
    left, right = tree["left_children"][node], tree["right_children"][node]
    # A leaf keeps its value where a split keeps its threshold.
    value = np.float32(tree["split_conditions"][node])
    if left == -1:
        return float(value)
    feature = tree["split_indices"][node]
    if tree["split_type"][node]:
        _refuse_category(names[feature] if names else feature)
    return Split(
        feature,
        float(_step(value, -np.inf)),
        bool(tree["default_left"][node]),
        False,  # XGBoost learns a direction whether or not anything was missing
        _xgboost_node(tree, left, names),
        _xgboost_node(tree, right, names),
    )


def _read_lightgbm(model: Any) -> tuple[list[Split | float], list[str] | None]:
    dump = model.booster_.dump_model()
    _refuse_objective("lightgbm", dump.get("objective", "none"))
    if dump["average_output"]:
        raise ValueError(
            "The student averages its trees (boosting_type='rf'), and engines add "
            "them. Use boosting_type='gbdt'."
        )
    names = dump["feature_names"]
    trees = [_lightgbm_node(t["tree_structure"], names) for t in dump["tree_info"]]
    made_up = [f"Column_{j}" for j in range(len(names))]
    return trees, None if names == made_up else names


def _lightgbm_node(node: dict, names: list[str]) -> Split | float:
    if "leaf_coeff" in node:
        raise ValueError(
            "The student has linear models in its leaves (linear_tree=True), and "
            "engines know constants only. Leave linear_tree out."
        )
    if "split_feature" not in node:
        return _single(node["leaf_value"])
    feature, missing = node["split_feature"], node["missing_type"]
    if node["decision_type"] != "<=":
        _refuse_category(names[feature])
    if missing == "Zero":
        raise ValueError(
            "The student takes 0 for a missing value (zero_as_missing=True), which no "
            "engine does. Leave zero_as_missing out."
        )
    threshold = node["threshold"]
    # Where nothing was missing in training, LightGBM takes NaN for 0.
    missing_left = node["default_left"] if missing == "NaN" else threshold >= 0
    return Split(
        feature,
        _last_left_of_lightgbm(threshold),
        missing_left,
        missing == "NaN",
        _lightgbm_node(node["left_child"], names),
        _lightgbm_node(node["right_child"], names),
    )


def _last_left_of_lightgbm(threshold: float) -> float:
    """The largest float32 that goes left, where all close to 0 go where 0 goes."""
    if threshold >= 0:
        return max(_single_below(threshold), LIGHTGBM_ZERO)
    if threshold >= -LIGHTGBM_ZERO:
        return float(_step(np.float32(-LIGHTGBM_ZERO), -np.inf))
    return _single_below(threshold)


READERS: dict[str, Callable] = {"xgboost": _read_xgboost, "lightgbm": _read_lightgbm}


# Engines ------------------------------------------------------------------------------


def _numbered(tree: Split | float, names: list[str]) -> dict:
    """The tree as nested nodes, numbered from 0 as they are met."""
    numbers = count()

    def node_of(part: Split | float, depth: int) -> dict:
        number = next(numbers)
        if not isinstance(part, Split):
            return {"nodeid": number, "leaf": part}
        left, right = (node_of(p, depth + 1) for p in (part.left, part.right))
        missing = left if part.missing_left else right
        # The readers take these fields and no others.
        return {
            "nodeid": number,
            "depth": depth,
            "split": names[part.feature],
            "split_condition": _next_single(part.last_left),
            "yes": left["nodeid"],
            "no": right["nodeid"],
            "missing": missing["nodeid"],
            "children": [left, right],
        }

    return node_of(tree, 0)


def _solr_node(part: Split | float, names: list[str]) -> dict:
    # As text, which is how Solr's own examples give numbers.
    if not isinstance(part, Split):
        return {"value": repr(part)}
    return {
        "feature": names[part.feature],
        "threshold": repr(_without_slack(part.last_left)),
        "left": _solr_node(part.left, names),
        "right": _solr_node(part.right, names),
    }


def _without_slack(last_left: float) -> float:
    """The float32 that comes closest to a threshold, not above, once Solr has it."""
    wanted = np.float32(last_left)
    guess = wanted - SOLR_SLACK
    lower, higher = _step(guess, -np.inf), _step(guess, np.inf)
    near = (_step(lower, -np.inf), lower, guess, higher, _step(higher, np.inf))
    return float(max(t for t in near if t + SOLR_SLACK <= wanted))


# Float32 ------------------------------------------------------------------------------


def _single(value: float) -> float:
    return float(np.float32(value))


def _single_below(value: float) -> float:
    """The largest float32 that is not above a number."""
    value = min(max(value, -LARGEST), LARGEST)
    nearest = np.float32(value)
    if float(nearest) > value:
        nearest = _step(nearest, -np.inf)
    return float(nearest)


def _next_single(value: float) -> float:
    # JSON has no infinity: the largest float32 of all is taken for the one before it.
    return min(float(_step(np.float32(value), np.inf)), LARGEST)


def _step(value: np.float32, toward: float) -> np.float32:
    with np.errstate(over="ignore"):
        return np.nextafter(value, np.float32(toward))
