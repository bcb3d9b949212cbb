"""Exports parsed back: evaluators written from the engines' rules, not from ours."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rankformer import DistilledRanker, RankerAdapter
from sklearn_rankformer.search_engines import (
    _next_single,
    _single_below,
    _without_slack,
    elasticsearch_model,
    solr_model,
)

from .conftest import make_lists

lgb = pytest.importorskip("lightgbm")
xgb = pytest.importorskip("xgboost")

NAMES = ["price", "stars", "age", "title bm25"]

f32 = np.float32
single = st.floats(width=32, allow_nan=False, allow_infinity=False)


# The engines' rules -------------------------------------------------------------------


def plugin_scores(body, X):
    """What the plugins of Elasticsearch and OpenSearch make of a model."""
    model = body["model"]["model"]
    assert model["type"] == "model/xgboost+json"
    trees = json.loads(model["definition"])
    return [
        sum_of([plugin_leaf(t, dict(zip(NAMES, x, strict=True))) for t in trees])
        for x in X.astype(f32)
    ]


def plugin_leaf(node, values):
    if "leaf" in node:
        assert set(node) == {"nodeid", "leaf"}
        return f32(node["leaf"])
    # The readers are strict: these fields, and children in this order.
    assert set(node) == {
        *("nodeid", "depth", "split", "split_condition"),
        *("yes", "no", "missing", "children"),
    }
    left, right = node["children"]
    assert [left["nodeid"], right["nodeid"]] == [node["yes"], node["no"]]
    assert node["missing"] in (node["yes"], node["no"])
    value = values[node["split"]]
    if np.isnan(value):
        goes_left = node["missing"] == node["yes"]
    else:
        goes_left = f32(node["split_condition"]) > value
    return plugin_leaf(left if goes_left else right, values)


def solr_scores(body, X):
    """What Solr makes of a model."""
    assert body["class"] == "org.apache.solr.ltr.model.MultipleAdditiveTreesModel"
    names = [feature["name"] for feature in body["features"]]
    trees = body["params"]["trees"]
    return [
        sum_of(
            [
                f32(t["weight"])
                * solr_leaf(t["root"], dict(zip(names, x, strict=True)))
                for t in trees
            ]
        )
        for x in X.astype(f32)
    ]


def solr_leaf(node, values):
    if "feature" not in node:
        assert set(node) == {"value"}
        return f32(node["value"])
    threshold = f32(node["threshold"]) + f32(1e-6)
    side = "left" if values[node["feature"]] <= threshold else "right"
    return solr_leaf(node[side], values)


def sum_of(values):
    total = f32(0)
    for value in values:
        total += value
    return total


ENGINES = {
    "plugin": (elasticsearch_model, plugin_scores),
    "solr": (solr_model, solr_scores),
}
each_engine = pytest.mark.parametrize("engine", ENGINES)


def assert_same_scores(engine, student, X, model=None):
    export, evaluate = ENGINES[engine]
    body = export(student, "m", feature_names=NAMES)
    body = json.loads(json.dumps(body, allow_nan=False))
    expected = (student if model is None else model).predict(X)
    # Engines add in float32, whose rounding follows the largest numbers.
    atol = 1e-6 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(evaluate(body, X), expected, rtol=1e-5, atol=atol)


# Students -----------------------------------------------------------------------------


def lists32(seed=0, missing=False, coarse=False):
    X, y, groups = make_lists(n_lists=30, seed=seed)
    if coarse:  # ties, zeros, and values on thresholds
        X = np.round(2 * X) / 2
    if missing:
        X[np.random.default_rng(seed).random(X.shape) < 0.2] = np.nan
    return X.astype(f32), y, groups


def lightgbm(**params):
    common = {"n_estimators": 5, "num_leaves": 6, "min_child_samples": 3}
    return lgb.LGBMRanker(**{**common, "verbose": -1, "n_jobs": 1, **params})


def xgboost(**params):
    common = {"n_estimators": 5, "max_depth": 3, "n_jobs": 1}
    return xgb.XGBRanker(**{**common, **params})


def fitted(ranker, X, y, groups):
    return RankerAdapter(ranker).fit(X, y, groups=groups)


each_student = pytest.mark.parametrize("make", [lightgbm, xgboost])


@each_engine
@each_student
@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    coarse=st.booleans(),
    n_trees=st.integers(1, 8),
    rate=st.floats(0.01, 2),
)
@example(seed=3111, coarse=True, n_trees=6, rate=2.0)  # large leaves that cancel out
def test_scores_on_random_trees_equal_the_students(
    engine, make, seed, coarse, n_trees, rate
):
    X, _, groups = lists32(seed, coarse=coarse)
    y = np.random.default_rng(seed).integers(0, 4, len(X))
    student = fitted(make(n_estimators=n_trees, learning_rate=rate), X, y, groups)
    more = lists32(seed + 1, coarse=coarse)[0]
    assert_same_scores(engine, student, np.concatenate([X, more, 10 * more]))


@each_engine
def test_scores_of_lightgbms_dart_equal_the_students(engine):
    X, y, groups = lists32()
    dart = lightgbm(boosting_type="dart", drop_rate=0.5, n_estimators=30)
    assert_same_scores(engine, fitted(dart, X, y, groups), X)


@each_student
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
@example(seed=2104)  # LightGBM splits beside 0, and takes what is close to 0 for 0
def test_values_at_a_threshold_and_beside_it_go_the_students_way(make, seed):
    X, _, groups = lists32(seed)
    y = np.random.default_rng(seed).integers(0, 4, len(X))
    student = fitted(make(), X, y, groups)
    body = elasticsearch_model(student, "m", feature_names=NAMES)
    found = thresholds(json.loads(body["model"]["model"]["definition"]))
    at = f32(found)
    near = [at, np.nextafter(at, f32(-np.inf)), np.nextafter(at, f32(np.inf))]
    rows = np.repeat(np.concatenate(near)[:, None], X.shape[1], axis=1)
    assert len(rows)
    assert_same_scores("plugin", student, rows)


@pytest.mark.parametrize("centre", [0.0, 1e-36, -1e-36, 1e-34, -1e-34])
def test_numbers_close_to_zero_go_lightgbms_way(centre):
    steps = np.array([-1e-34, -2e-35, -1e-35, -1e-36, 0, 1e-36, 1e-35, 2e-35, 1e-34])
    x = np.tile((centre + steps).astype(f32), 40)
    y = (x > centre).astype(int)
    X = np.stack([x, *np.zeros((3, len(x)), f32)], axis=1)
    student = fitted(lightgbm(), X, y, np.repeat(np.arange(10), len(x) // 10))
    edges = np.array([1e-35, -1e-35], f32)
    near = [x, edges, np.nextafter(edges, f32(np.inf)), np.nextafter(edges, -f32(1))]
    rows = np.concatenate(near)[:, None] * np.array([1, 0, 0, 0], f32)
    assert_same_scores("plugin", student, rows)


def thresholds(nodes):
    """Where the trees split, whatever the feature."""
    splits = [node for node in nodes if "leaf" not in node]
    inside = [value for node in splits for value in thresholds(node["children"])]
    return [node["split_condition"] for node in splits] + inside


@each_student
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_missing_values_follow_the_field_missing(make, seed):
    X, y, groups = lists32(seed, missing=True)
    student = fitted(make(), X, y, groups)
    assert_same_scores("plugin", student, X)
    # Also where none was missing in training.
    student = fitted(make(), np.nan_to_num(X), y, groups)
    assert_same_scores("plugin", student, X)


@each_engine
@pytest.mark.parametrize(
    "student",
    [
        xgb.XGBRegressor(n_estimators=3, max_depth=3, n_jobs=1),
        xgb.XGBRegressor(n_estimators=3, objective="reg:absoluteerror", n_jobs=1),
        *(
            lgb.LGBMRegressor(
                n_estimators=3, objective=name, min_child_samples=3, verbose=-1
            )
            for name in ("regression", "huber", "fair", "quantile", "mape")
        ),
    ],
    ids=lambda model: f"{type(model).__name__} {model.objective}",
)
def test_regressors_keep_their_base_score(engine, student):
    X, y, groups = lists32()
    assert_same_scores(engine, fitted(student, X, y + 7.0, groups), X)


@each_engine
@each_student
def test_trees_after_the_best_round_are_left_out(engine, make):
    X, y, groups = lists32()
    rng = np.random.default_rng(0)
    options = {"eval_metric": "ndcg@10"} if make is xgboost else {}
    student = RankerAdapter(
        make(n_estimators=50, **options), early_stopping_rounds=2
    ).fit(X, y, groups, X_val=X, y_val=rng.permutation(y), groups_val=groups)
    model = student.estimator_
    best = model.best_iteration_ if make is lightgbm else model.best_iteration + 1
    assert best < 50
    assert_same_scores(engine, student, X)


@each_engine
def test_the_student_of_a_distilled_ranker_is_exported(engine):
    X, y, groups = lists32()
    teacher = FrozenEstimator(fitted(Ridge(), X, y, groups))
    ranker = DistilledRanker(teacher, lightgbm()).fit(X, groups=groups)
    assert_same_scores(engine, ranker, X)
    assert_same_scores(engine, ranker.student_.estimator_, X)


@each_engine
@each_student
def test_names_come_from_the_frame_of_training(engine, make):
    pd = pytest.importorskip("pandas")
    X, y, groups = lists32()
    names = [name.replace(" ", "_") for name in NAMES]  # LightGBM takes no others
    student = fitted(make(), pd.DataFrame(X, columns=names), y, groups)
    body = ENGINES[engine][0](student, "m")
    if engine == "solr":
        assert [feature["name"] for feature in body["features"]] == names
    text = json.dumps(body)
    assert sum(name in text for name in names) > 1


@each_engine
def test_names_that_lightgbm_changes_come_from_what_lies_around_it(engine):
    pd = pytest.importorskip("pandas")
    X, y, groups = lists32()
    names = ["price in euros", *NAMES[1:]]
    frame = pd.DataFrame(X, columns=names)
    student = RankerAdapter(lightgbm()).fit(frame, y, groups=groups)
    text = json.dumps(ENGINES[engine][0](student, "m"))
    assert "price in euros" in text


def test_bodies_hold_the_names_that_requests_need():
    X, y, groups = lists32()
    student = fitted(lightgbm(), X, y, groups)
    assert (
        elasticsearch_model(student, "m", feature_names=NAMES)["model"]["name"] == "m"
    )
    body = solr_model(student, "m", feature_names=NAMES)
    assert (body["name"], "store" in body) == ("m", False)
    assert solr_model(student, "m", feature_names=NAMES, store="s")["store"] == "s"


# Refusals -----------------------------------------------------------------------------


@each_engine
@each_student
def test_a_student_without_names_needs_them(engine, make):
    X, y, groups = lists32()
    student = fitted(make(), X, y, groups)
    export = ENGINES[engine][0]
    with pytest.raises(ValueError, match="Pass feature_names"):
        export(student, "m")
    for names in (NAMES[:3], ["a", "a", "b", "c"]):
        with pytest.raises(ValueError, match="4 different names"):
            export(student, "m", feature_names=names)


@each_engine
def test_others_than_trees_are_refused(engine):
    X, y, groups = lists32()
    export = ENGINES[engine][0]
    with pytest.raises(TypeError, match=r"LightGBM or XGBoost.*got Ridge"):
        export(fitted(Ridge(), X, y, groups), "m", feature_names=NAMES)
    pipeline = make_pipeline(StandardScaler(), lgb.LGBMRegressor(verbose=-1))
    with pytest.raises(TypeError, match="transforms X before"):
        export(fitted(pipeline, X, y, groups), "m", feature_names=NAMES)


@each_engine
@pytest.mark.parametrize(
    ("student", "reason"),
    [
        (lgb.LGBMRegressor(objective="poisson"), "objective 'poisson'"),
        (lgb.LGBMRegressor(reg_sqrt=True), "objective 'regression sqrt'"),
        (lgb.LGBMRegressor(linear_tree=True), "linear_tree=True"),
        (lgb.LGBMRegressor(zero_as_missing=True), "zero_as_missing=True"),
        (
            lgb.LGBMRegressor(
                boosting_type="rf", subsample=0.5, subsample_freq=1, n_estimators=2
            ),
            "boosting_type='rf'",
        ),
        (xgb.XGBRegressor(objective="count:poisson"), "objective 'count:poisson'"),
        (xgb.XGBRegressor(booster="dart", n_estimators=2), "must be 'gbtree'"),
        (xgb.XGBRegressor(missing=0.0, n_estimators=2), "missing=0.0"),
        (xgb.XGBRegressor(missing=None, n_estimators=2), "missing=None"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_engines_cannot_compute_is_refused(engine, student, reason):
    X, y, groups = lists32(coarse=True)
    if isinstance(student, lgb.LGBMRegressor):
        student.set_params(min_child_samples=3, verbose=-1)
    with pytest.raises(ValueError, match=reason):
        ENGINES[engine][0](fitted(student, X, y, groups), "m", feature_names=NAMES)


@each_engine
@pytest.mark.parametrize(
    "student",
    [
        lgb.LGBMRegressor(min_child_samples=3, min_data_per_group=1, verbose=-1),
        xgb.XGBRegressor(enable_categorical=True, max_cat_to_onehot=1),
    ],
    ids=lambda model: type(model).__name__,
)
def test_splits_on_categories_are_refused(engine, student):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 6, 300)
    frame = pd.DataFrame({"kind": pd.Categorical(kind), "x": rng.normal(size=300)})
    student.fit(frame, kind % 2)
    with pytest.raises(ValueError, match="splits on categories of the feature 'kind'"):
        ENGINES[engine][0](student, "m")


def test_solr_refuses_what_was_learned_from_missing_values():
    X, y, groups = lists32(missing=True)
    student = fitted(lightgbm(), X, y, groups)
    with pytest.raises(ValueError, match="Solr knows none"):
        solr_model(student, "m", feature_names=NAMES)


# Float32 ------------------------------------------------------------------------------


@given(single)
def test_thresholds_of_solr_come_back_or_stay_just_below(last_left):
    reached = f32(repr(_without_slack(last_left))) + f32(1e-6)
    assert reached <= f32(last_left)
    assert float(last_left) - float(reached) <= max(1.2e-7 * abs(last_left), 1.2e-13)


@given(st.floats(-3e38, 3e38), single)
def test_splits_at_most_and_below_are_one(threshold, value):
    below = _single_below(threshold)
    assert (value <= threshold) == (value <= below) == (value < _next_single(below))


@pytest.mark.parametrize("threshold", [1e300, -1e300, float(np.finfo(f32).max)])
def test_thresholds_beyond_float32_stay_numbers(threshold):
    assert np.isfinite(f32(_next_single(_single_below(threshold))))
