"""RankerAdapter: every library through one door, and scikit-learn none the wiser."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_rankformer import DistilledRanker, VotingRanker, WithinListScaler
from sklearn_rankformer._warnings import MissingGroupsWarning
from sklearn_rankformer.adapters import RankerAdapter
from sklearn_rankformer.metrics import ndcg_score

from .factories import rankformer

LIBRARIES = {
    "lightgbm": ("LGBMRanker", {"verbosity": -1, "n_jobs": 1, "min_child_samples": 2}),
    "xgboost": ("XGBRanker", {"n_jobs": 1}),
    "catboost": (
        "CatBoostRanker",
        {"verbose": 0, "allow_writing_files": False, "thread_count": 1},
    ),
}
RANKERS = list(LIBRARIES)
EVERYONE = [*RANKERS, "ridge"]


def make(library, **params):
    """One small, quiet estimator of the library."""
    if library == "ridge":
        return Ridge(**params)
    name, quiet = LIBRARIES[library]
    trees = {"catboost": "iterations"}.get(library, "n_estimators")
    module = pytest.importorskip(library)
    return getattr(module, name)(**{trees: 8, **quiet, **params})


@pytest.fixture
def data():
    """30 lists of 3 to 8 rows, scattered: X, y in 0..3, groups."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30) * 7 % 30, rng.integers(3, 9, 30))
    X = rng.normal(size=(len(groups), 4))
    y = np.digitize(X[:, 0] + 0.3 * rng.normal(size=len(X)), [-0.7, 0.3, 1.2])
    rows = rng.permutation(len(X))
    return X[rows], y[rows], groups[rows]


@pytest.fixture
def split(data):
    """The same lists as training and validation data."""
    X, y, groups = data
    val = groups >= 20
    return (X[~val], y[~val], groups[~val]), (X[val], y[val], groups[val])


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def sorted_fit(library, X, y, groups, weight=None):
    """What a user does by hand: sort by list, count, fit."""
    order = np.argsort(groups, kind="stable")
    X, y, groups = X[order], y[order], groups[order]
    sizes = np.unique(groups, return_counts=True)[1]
    first = np.cumsum(sizes) - sizes
    if weight is not None:
        weight = weight[order]
    ranker = make(library)
    if library == "lightgbm":
        return ranker.fit(X, y, group=sizes, sample_weight=weight)
    if library == "xgboost":
        weight = None if weight is None else weight[first]
        return ranker.fit(X, y, qid=groups, sample_weight=weight)
    if library == "catboost":
        return ranker.fit(X, y, group_id=groups, group_weight=weight)
    return ranker.fit(X, y, sample_weight=weight)


# -- the same model as by hand --------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("library", EVERYONE)
def test_fit_equals_the_library_fitted_by_hand(library, weighted, data):
    X, y, groups = data
    weight = 1.0 + groups % 3 if weighted else None
    adapter = RankerAdapter(make(library))
    adapter.fit(X, y, groups, sample_weight=weight)
    by_hand = sorted_fit(library, X, y, groups, weight)
    np.testing.assert_allclose(adapter.predict(X), by_hand.predict(X), rtol=1e-6)


@pytest.mark.parametrize("library", RANKERS)
def test_weights_of_lists_change_the_model(library, data):
    X, y, groups = data
    weight = np.where(groups < 5, 20.0, 0.01)
    plain = RankerAdapter(make(library)).fit(X, y, groups).predict(X)
    weighted = RankerAdapter(make(library)).fit(X, y, groups, sample_weight=weight)
    assert not np.allclose(plain, weighted.predict(X))


@pytest.mark.parametrize("library", RANKERS)
def test_lists_in_one_piece_may_come_in_any_order(library, data):
    X, y, groups = data
    order = np.argsort((groups * 11) % 30, kind="stable")
    adapter = RankerAdapter(make(library)).fit(X[order], y[order], groups[order])
    assert adapter.score(X, y, groups) > 0.85


@pytest.mark.parametrize("library", EVERYONE)
def test_names_of_lists_change_nothing(library, data):
    X, y, groups = data
    names = np.array([f"query {one:03d}" for one in groups], dtype=object)
    by_number = RankerAdapter(make(library)).fit(X, y, groups).predict(X)
    by_name = RankerAdapter(make(library)).fit(X, y, groups=names).predict(X)
    np.testing.assert_array_equal(by_number, by_name)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_importances_are_those_of_the_library(library, data):
    X, y, groups = data
    adapter = RankerAdapter(make(library))
    assert not hasattr(adapter, "feature_importances_")
    adapter.fit(X, y, groups)
    found = adapter.feature_importances_
    np.testing.assert_array_equal(found, adapter.estimator_.feature_importances_)
    assert found.shape == (4,)


@pytest.mark.parametrize("library", ["catboost", "ridge"])
def test_importances_are_absent_where_the_library_has_none(library, data):
    X, y, groups = data
    adapter = RankerAdapter(make(library)).fit(X, y, groups)
    with pytest.raises(AttributeError, match=r"has no (.* )?'?feature_importances_"):
        _ = adapter.feature_importances_


@pytest.mark.parametrize("library", EVERYONE)
def test_scores_come_in_the_order_of_the_rows_and_ignore_groups(library, data):
    X, y, groups = data
    adapter = RankerAdapter(make(library)).fit(X, y, groups)
    scores = adapter.predict(X)
    rows = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_allclose(adapter.predict(X[rows], groups[rows]), scores[rows])
    assert scores.shape == (len(X),)
    assert scores.dtype == np.float64


@pytest.mark.parametrize("library", EVERYONE)
def test_nothing_given_is_changed(library, data):
    X, y, groups = data
    estimator = make(library)
    before = copy.deepcopy(estimator.get_params())
    given = [X.copy(), y.copy(), groups.copy()]
    RankerAdapter(estimator).fit(X, y, groups).predict(X, groups)
    assert repr(estimator.get_params()) == repr(before)
    for one, kept in zip([X, y, groups], given, strict=True):
        np.testing.assert_array_equal(one, kept)


# -- validation data ------------------------------------------------------------------


def rounds_kept(library, fitted):
    attribute = {"catboost": "best_iteration_", "lightgbm": "best_iteration_"}
    return getattr(fitted, attribute.get(library, "best_iteration"))


@pytest.mark.parametrize("library", RANKERS)
def test_early_stopping_stops_on_the_validation_lists(library, split):
    train, (X_val, y_val, groups_val) = split
    noise = np.random.default_rng(2).permutation(y_val)
    trees = {"catboost": "iterations"}.get(library, "n_estimators")
    estimator = make(library, **{trees: 150, "learning_rate": 0.3})
    adapter = RankerAdapter(estimator, early_stopping_rounds=3)
    adapter.fit(*train, X_val=X_val, y_val=noise, groups_val=groups_val)
    assert rounds_kept(library, adapter.estimator_) < 100


@pytest.mark.parametrize("library", RANKERS)
def test_early_stopping_leaves_the_given_estimator_alone(library, split):
    train, val = split
    estimator = make(library)
    before = repr(estimator.get_params())
    adapter = RankerAdapter(estimator, early_stopping_rounds=3)
    adapter.fit(*train, **dict(zip(["X_val", "y_val", "groups_val"], val, strict=True)))
    assert repr(estimator.get_params()) == before
    assert adapter.score(*val) > 0.8


@pytest.mark.parametrize("library", RANKERS)
def test_validation_data_alone_are_only_watched(library, split):
    train, val = split
    plain = RankerAdapter(make(library)).fit(*train).predict(val[0])
    adapter = RankerAdapter(make(library))
    adapter.fit(*train, X_val=val[0], y_val=val[1], groups_val=val[2])
    if library != "catboost":  # which keeps the best iteration of its own accord
        np.testing.assert_allclose(adapter.predict(val[0]), plain)
    assert adapter.score(*val) > 0.8


@pytest.mark.parametrize("library", RANKERS)
def test_validation_lists_may_be_scattered(library, split):
    train, (X_val, y_val, groups_val) = split
    order = np.argsort(groups_val, kind="stable")
    adapter = RankerAdapter(make(library), early_stopping_rounds=2)
    scores = [
        clone(adapter)
        .fit(*train, X_val=X_val[o], y_val=y_val[o], groups_val=groups_val[o])
        .predict(X_val)
        for o in (slice(None), order)
    ]
    np.testing.assert_allclose(*scores)


def test_lightgbm_stops_on_ndcg_at_ten(split):
    train, val = split
    adapter = RankerAdapter(make("lightgbm"), early_stopping_rounds=3)
    adapter.fit(*train, X_val=val[0], y_val=val[1], groups_val=val[2])
    (recorded,) = adapter.estimator_.evals_result_.values()
    assert list(recorded) == ["ndcg@10"]


@pytest.mark.parametrize(
    "regressor",
    [
        "lightgbm.LGBMRegressor",
        "xgboost.XGBRegressor",
        "catboost.CatBoostRegressor",
        "sklearn.ensemble.HistGradientBoostingRegressor",
    ],
)
def test_regressors_get_validation_data_in_their_own_way(regressor, split):
    train, val = split
    module, name = regressor.rsplit(".", 1)
    quiet = {
        "lightgbm": {"verbosity": -1, "n_estimators": 5, "n_jobs": 1},
        "xgboost": {"verbosity": 0, "n_estimators": 5, "n_jobs": 1},
        "catboost": {"verbose": 0, "iterations": 5, "allow_writing_files": False},
    }
    stopping = {"early_stopping": True, "max_iter": 5}
    estimator = getattr(pytest.importorskip(module), name)(
        **quiet.get(module, stopping)
    )
    adapter = RankerAdapter(estimator)
    adapter.fit(*train, X_val=val[0], y_val=val[1], groups_val=val[2])
    assert adapter.score(*val) > 0.8


@pytest.mark.parametrize(
    ("adapter", "given_data", "message"),
    [
        (
            {"early_stopping_rounds": 3},
            {},
            "early_stopping_rounds=3 needs validation data",
        ),
        ({}, {"y_val": [1, 0]}, "y_val was given without X_val"),
        ({}, {"groups_val": [1, 0]}, "groups_val was given without X_val"),
        ({}, {"X_val": np.zeros((2, 4)), "y_val": [1, 0]}, "without groups_val"),
        (
            {},
            {"X_val": np.zeros((2, 4)), "groups_val": [1, 1]},
            "requires y_val to be passed",
        ),
        (
            {},
            {"X_val": np.zeros((2, 3)), "y_val": [1, 0], "groups_val": [1, 1]},
            "X has 3 features, but RankerAdapter is expecting 4",
        ),
        (
            {},
            {"X_val": np.zeros((2, 4)), "y_val": [1, np.nan], "groups_val": [1, 1]},
            "y_val contains NaN",
        ),
    ],
)
def test_half_given_validation_data_raise(adapter, given_data, message, data):
    with pytest.raises(ValueError, match=message):
        RankerAdapter(make("lightgbm"), **adapter).fit(*data, **given_data)


def test_regressor_without_use_for_validation_data_raises(split):
    train, val = split
    with pytest.raises(ValueError, match="Ridge cannot use X_val"):
        RankerAdapter(Ridge()).fit(*train, X_val=val[0], y_val=val[1])
    with pytest.raises(
        ValueError, match=r"early_stopping_rounds is for .* Ridge is none"
    ):
        RankerAdapter(Ridge(), early_stopping_rounds=3).fit(*train)


# -- what cannot be learned ------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "label", "way_out"),
    [
        ("lightgbm", 31, r"from 0 to 30: .*label_gain=\[\.\.\.\]"),
        ("lightgbm", 0.5, "whole numbers.*turn fractional ones into grades"),
        ("lightgbm", -1, "-1, but labels must be whole numbers from 0"),
        ("xgboost", 32, "from 0 to 31: .*ndcg_exp_gain=False"),
        ("xgboost", 0.5, "ndcg_exp_gain=False"),
    ],
)
@pytest.mark.parametrize("where", ["y", "y_val"])
def test_labels_the_library_cannot_take_raise_with_the_way_out(
    library, label, way_out, where, split
):
    train, val = split
    bad = [np.where(np.arange(len(y)) == 4, label, y) for y in (train[1], val[1])]
    y = bad[0] if where == "y" else train[1]
    y_val = bad[1] if where == "y_val" else val[1]
    with pytest.raises(ValueError, match=f"{where} has the label .*{way_out}"):
        RankerAdapter(make(library)).fit(
            train[0], y, train[2], X_val=val[0], y_val=y_val, groups_val=val[2]
        )


@pytest.mark.parametrize(
    ("library", "params"),
    [
        ("lightgbm", {"label_gain": list(range(41))}),
        ("xgboost", {"ndcg_exp_gain": False}),
        ("catboost", {}),
    ],
)
def test_the_way_out_for_high_labels_works(library, params, data):
    X, y, groups = data
    adapter = RankerAdapter(make(library, **params)).fit(X, y * 13, groups)
    assert ndcg_score(y, adapter.predict(X), groups) > 0.8


@pytest.mark.parametrize("library", ["xgboost", "catboost"])
def test_weights_that_differ_within_a_list_raise(library, data):
    weight = np.linspace(1, 2, len(data[1]))
    with pytest.raises(ValueError, match="sample_weight differs within the list"):
        RankerAdapter(make(library)).fit(*data, sample_weight=weight)


def test_weights_a_regressor_cannot_use_raise(data):
    weight = np.ones(len(data[1]))
    with pytest.raises(ValueError, match="KNeighborsRegressor cannot use sample_we"):
        RankerAdapter(KNeighborsRegressor()).fit(*data, sample_weight=weight)


@pytest.mark.parametrize("routed", [True, False])
def test_weights_reach_regressors_at_the_end_of_pipelines_and_searches(routed, data):
    X, y, groups = data
    weight = 1.0 + np.arange(len(y)) % 5
    by_hand = Ridge().fit(StandardScaler().fit_transform(X), y, sample_weight=weight)
    expected = by_hand.predict(StandardScaler().fit_transform(X))
    pipeline = make_pipeline(StandardScaler(), Ridge())
    with sklearn.config_context(enable_metadata_routing=routed):
        ridge = Ridge()
        if routed:
            ridge.set_fit_request(sample_weight=True)
            ridge.set_score_request(sample_weight=False)
        for inner in (pipeline, make_pipeline(StandardScaler(), pipeline)):
            adapter = RankerAdapter(inner).fit(X, y, groups, sample_weight=weight)
            np.testing.assert_allclose(adapter.predict(X), expected)
        search = RankerAdapter(GridSearchCV(ridge, {}))
        search.fit(X, y, groups, sample_weight=weight)
    plain = Ridge().fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(search.predict(X), plain.predict(X))


def test_negative_weights_raise(data):
    weight = np.where(np.arange(len(data[1])) == 3, -1.0, 1.0)
    with pytest.raises(ValueError, match="contains the negative weight -1"):
        RankerAdapter(Ridge()).fit(*data, sample_weight=weight)


@pytest.mark.parametrize(
    ("given_data", "message"),
    [
        ({"groups": [1, 2]}, "groups has 2 entries for"),
        ({"qid": [1, 2]}, "qid has 2 entries for"),
        ({"y": [1, 2]}, "y has 2 entries for .* rows"),
        ({"y": None}, "requires y to be passed, but the target y is None"),
    ],
)
def test_wrong_lengths_raise(given_data, message, data):
    X, y, _ = data
    with pytest.raises(ValueError, match=message):
        RankerAdapter(Ridge()).fit(**{"X": X, "y": y, **given_data})


def test_classifiers_are_refused(data):
    with pytest.raises(TypeError, match=r"LogisticRegression\(\) predicts classes"):
        RankerAdapter(LogisticRegression()).fit(*data)


@pytest.mark.parametrize(
    "params",
    [
        {"estimator": None},
        {"estimator": Ridge(), "early_stopping_rounds": 0},
        {"estimator": Ridge(), "group_column": 1.5},
    ],
)
def test_parameters_are_checked(params, data):
    wrong = list(params)[-1]
    with pytest.raises(ValueError, match=f"The '{wrong}' parameter of RankerAdapter"):
        RankerAdapter(**params).fit(*data)


# -- list ids -------------------------------------------------------------------------


@pytest.mark.parametrize("library", EVERYONE)
def test_only_rankers_warn_of_missing_groups_at_fit(library, data):
    X, y, _ = data
    adapter = RankerAdapter(make(library))
    if library == "ridge":
        adapter.fit(X, y)
    else:
        with pytest.warns(MissingGroupsWarning, match=r"RankerAdapter\.fit got no gr"):
            adapter.fit(X, y)
    with pytest.warns(MissingGroupsWarning, match=r"RankerAdapter\.score got no gr"):
        score = adapter.score(X, y)
    assert score == ndcg_score(y, adapter.predict(X), np.zeros(len(y), int), k=10)


class TwoQuantiles(RegressorMixin, BaseEstimator):
    """Predicts several numbers per row, as XGBoost's and CatBoost's quantiles do."""

    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return X[:, :2]


@pytest.mark.parametrize(
    "ranker",
    [
        RankerAdapter(TwoQuantiles()),
        VotingRanker([("two", TwoQuantiles())]),
        DistilledRanker(Ridge(), TwoQuantiles()),
    ],
    ids=lambda ranker: type(ranker).__name__,
)
def test_regressors_of_several_numbers_per_row_are_refused(ranker, data):
    X, y, groups = data
    fitted = ranker.fit(X, y, groups)
    with pytest.raises(ValueError, match=r"TwoQuantiles predicts .* shape \(\d+, 2\)"):
        fitted.predict(X, groups)


def test_score_is_ndcg_at_ten(data):
    X, y, groups = data
    weight = 1.0 + groups % 2
    adapter = RankerAdapter(Ridge()).fit(*data)
    scores = adapter.predict(X)
    assert adapter.score(X, y, groups) == ndcg_score(y, scores, groups, k=10)
    weighted = ndcg_score(y, scores, groups, k=10, sample_weight=weight)
    assert adapter.score(X, y, groups, sample_weight=weight) == weighted


def test_qid_is_an_alias_of_groups(data):
    X, y, groups = data
    adapter = RankerAdapter(make("lightgbm"))
    scores = clone(adapter).fit(X, y, groups).predict(X)
    adapter.fit(X, y, qid=groups)
    np.testing.assert_array_equal(adapter.predict(X, qid=groups), scores)
    assert adapter.score(X, y, qid=groups) == adapter.score(X, y, groups)
    np.testing.assert_array_equal(adapter.rank(X, qid=groups), adapter.rank(X, groups))
    for call in (
        lambda: adapter.fit(X, y, groups, qid=groups),
        lambda: adapter.predict(X, groups, qid=groups),
        lambda: adapter.score(X, y, groups, qid=groups),
        lambda: adapter.rank(X, groups, qid=groups),
    ):
        with pytest.raises(ValueError, match="groups and its alias qid were both"):
            call()


def test_rank_puts_the_best_of_each_list_first(data):
    X, _, groups = data
    adapter = RankerAdapter(Ridge()).fit(*data)
    scores = adapter.predict(X)
    best = [
        rows[np.argsort(-scores[rows], kind="stable")][:2]
        for rows in (np.flatnonzero(groups == one) for one in np.unique(groups))
    ]
    np.testing.assert_array_equal(adapter.rank(X, groups, k=2), np.concatenate(best))
    np.testing.assert_array_equal(adapter.rank(X), np.argsort(-scores, kind="stable"))


@pytest.mark.parametrize("library", EVERYONE)
def test_group_column_stands_for_groups(library, data):
    X, y, groups = data
    with_ids = np.column_stack([X[:, :2], groups, X[:, 2:]])
    plain = RankerAdapter(make(library)).fit(X, y, groups)
    adapter = RankerAdapter(make(library), group_column=2).fit(with_ids, y)
    assert adapter.n_features_in_ == 4
    np.testing.assert_array_equal(adapter.predict(with_ids), plain.predict(X))
    assert adapter.score(with_ids, y) == plain.score(X, y, groups)
    np.testing.assert_array_equal(adapter.rank(with_ids, k=1), plain.rank(X, groups, 1))
    np.testing.assert_array_equal(adapter.get_groups(with_ids), groups)


def test_group_column_holds_the_ids_of_validation_data_too(split):
    train, val = [np.column_stack([X, g]) for X, _, g in split], split[1][1]
    adapter = RankerAdapter(make("xgboost"), early_stopping_rounds=2, group_column=4)
    adapter.fit(train[0], split[0][1], X_val=train[1], y_val=val)
    assert adapter.score(train[1], val) > 0.8


def test_groups_that_contradict_the_column_raise(data):
    X, y, groups = data
    with_ids = np.column_stack([X, groups])
    adapter = RankerAdapter(Ridge(), group_column=4).fit(with_ids, y, groups)
    with pytest.raises(ValueError, match="groups differs from the list ids in group_c"):
        adapter.predict(with_ids, groups + 1)


def test_get_groups_without_a_column_raises(data):
    with pytest.raises(ValueError, match=r"group_column is None\. Set it"):
        RankerAdapter(Ridge()).get_groups(data[0])


# -- rankers in disguise --------------------------------------------------------------


class OfLists(RegressorMixin, BaseEstimator):
    """Scores by the mean of the list, so that wrong ids give wrong scores."""

    def fit(self, X, y, groups=None, X_val=None, y_val=None, groups_val=None):
        self.groups_, self.groups_val_ = groups, groups_val
        return self

    def predict(self, X, groups=None):
        means = np.bincount(groups, X[:, 0]) / np.bincount(groups)
        return X[:, 0] - means[groups]


@pytest.mark.parametrize("library", RANKERS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda one: make_pipeline(StandardScaler(), one),
        lambda one: GridSearchCV(one, {}, cv=2),
        lambda one: TransformedTargetRegressor(one),
    ],
    ids=["pipeline", "search", "target"],
)
def test_a_ranker_inside_something_is_refused_and_the_way_out_works(
    wrap, library, data
):
    X, y, groups = data
    with pytest.raises(TypeError, match=r"inside it\. Use the .* itself, with"):
        RankerAdapter(wrap(make(library))).fit(X, y, groups)
    with sklearn.config_context(enable_metadata_routing=True):
        way_out = wrap(RankerAdapter(make(library)))
        if isinstance(way_out, GridSearchCV):
            way_out.set_params(cv=GroupKFold(2))
        way_out.fit(X, y, groups=groups)
    plain = RankerAdapter(make(library)).fit(X, y, groups)
    assert ndcg_score(y, way_out.predict(X), groups) == pytest.approx(
        plain.score(X, y, groups), abs=0.05
    )


@pytest.mark.parametrize(
    ("path", "params", "ranker"),
    [
        ("lightgbm.LGBMRegressor", {"objective": "lambdarank"}, "LGBMRanker"),
        ("xgboost.XGBRegressor", {"objective": "rank:ndcg"}, "XGBRanker"),
        ("xgboost.XGBModel", {"objective": "rank:pairwise"}, "XGBRanker"),
        ("catboost.CatBoostRegressor", {"loss_function": "YetiRank"}, "CatBoostRanker"),
    ],
)
def test_a_regressor_whose_objective_ranks_is_refused(path, params, ranker, data):
    module, name = path.split(".")
    estimator = getattr(pytest.importorskip(module), name)(**params)
    with pytest.raises(TypeError, match=f"{name} has the ranking .*Use {ranker} with"):
        RankerAdapter(estimator).fit(*data)


@pytest.mark.parametrize("library", ["lightgbm", "catboost"])
def test_a_base_class_with_such_an_objective_is_fitted_like_the_ranker(library, data):
    X, y, groups = data
    module = pytest.importorskip(library)
    params = {key: value for key, value in make(library).get_params().items() if value}
    if library == "lightgbm":
        base = module.LGBMModel(**{**params, "objective": "lambdarank"})
    else:
        base = module.CatBoost({**params, "loss_function": "YetiRank"})
    scores = clone(RankerAdapter(base)).fit(X, y, groups).predict(X)
    by_hand = RankerAdapter(make(library)).fit(X, y, groups).predict(X)
    np.testing.assert_allclose(scores, by_hand)


def test_a_base_class_of_lightgbm_stops_by_what_its_ranker_stops_by(split):
    lightgbm = pytest.importorskip("lightgbm")
    (X, y, groups), (X_val, y_val, groups_val) = split
    params = {"n_estimators": 40, "learning_rate": 0.5, "random_state": 0}
    params |= {"verbosity": -1, "n_jobs": 1}
    base = lightgbm.LGBMModel(objective="lambdarank", **params)
    found = [
        RankerAdapter(one, early_stopping_rounds=2)
        .fit(X, y, groups, X_val=X_val, y_val=y_val, groups_val=groups_val)
        .estimator_
        for one in (base, lightgbm.LGBMRanker(**params))
    ]
    assert found[0].best_iteration_ == found[1].best_iteration_ < 40
    assert list(found[0].evals_result_["valid_0"]) == ["ndcg@10"]


def test_a_base_class_that_regresses_is_a_regressor(data):
    params = {**LIBRARIES["catboost"][1], "iterations": 20, "loss_function": "RMSE"}
    adapter = RankerAdapter(pytest.importorskip("catboost").CatBoost(params))
    assert adapter.fit(*data).score(*data) > 0.8


@pytest.mark.parametrize("name", ["BaseScore", "Booster"])
def test_what_cannot_be_fitted_is_named(name, data):
    booster = type(name, (), {"predict": lambda self, X: X[:, 0]})()
    with pytest.raises(ValueError, match="'estimator' parameter of RankerAdapter must"):
        RankerAdapter(booster).fit(*data)


def test_ids_are_passed_on_to_what_takes_them(split):
    (X, y, groups), (X_val, y_val, groups_val) = split
    adapter = RankerAdapter(OfLists())
    adapter.fit(X, y, groups, X_val=X_val, y_val=y_val, groups_val=groups_val)
    inner = adapter.estimator_
    for given, ids in ((inner.groups_, groups), (inner.groups_val_, groups_val)):
        np.testing.assert_array_equal(
            np.bincount(given), np.unique(ids, return_counts=True)[1]
        )
        assert (np.diff(given) >= 0).all()
    dense = np.unique(groups, return_inverse=True)[1]
    expected = OfLists().predict(X, dense)
    np.testing.assert_allclose(adapter.predict(X, dense), expected)
    assert adapter.score(X, y, groups=dense) == ndcg_score(y, expected, dense, k=10)


def test_what_takes_ids_warns_without_them(data):
    X, y, _ = data
    with pytest.warns(MissingGroupsWarning, match=r"RankerAdapter\.fit got no groups"):
        RankerAdapter(OfLists()).fit(X, y)


def test_a_transformer_that_ids_do_not_reach_is_refused(data):
    inner = make_pipeline(WithinListScaler(), Ridge())
    with pytest.raises(TypeError, match="keeps list ids from the WithinListScaler"):
        RankerAdapter(inner).fit(*data)
    with pytest.raises(TypeError, match="keeps list ids from the WithinListScaler"):
        DistilledRanker(Ridge(), inner).fit(*data)
    with sklearn.config_context(enable_metadata_routing=True):
        fitted = RankerAdapter(inner).fit(*data)
    assert fitted.estimator_[0].fitted_with_groups_


@pytest.mark.usefixtures("routing")
def test_ids_are_routed_through_a_pipeline_inside(data):
    X, y, groups = data
    groups = np.unique(groups, return_inverse=True)[1]
    inner = make_pipeline(
        WithinListScaler(),
        OfLists().set_fit_request(groups=True).set_predict_request(groups=True),
    )
    adapter = RankerAdapter(inner).fit(X, y, groups)
    assert adapter.estimator_[0].fitted_with_groups_
    by_hand = OfLists().predict(
        WithinListScaler().fit(X, groups=groups).transform(X, groups), groups
    )
    np.testing.assert_allclose(adapter.predict(X, groups), by_hand)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda ranker: GridSearchCV(ranker, {}, cv=GroupKFold(2)),
        lambda ranker: make_pipeline(
            StandardScaler(), GridSearchCV(ranker, {}, cv=GroupKFold(2))
        ),
        lambda ranker: make_pipeline(StandardScaler(), ranker),
    ],
    ids=["search", "search in a pipeline", "pipeline"],
)
def test_ids_reach_a_ranker_in_a_search_at_predict(wrap, data):
    """Searches take no ids at predict, and without routing pipelines do not either."""
    X, y, groups = data
    with sklearn.config_context(enable_metadata_routing=True):
        adapter = RankerAdapter(wrap(rankformer(max_epochs=1))).fit(X, y, groups)
    scores = adapter.predict(X, groups)
    here = np.flatnonzero(groups == groups[0])
    np.testing.assert_allclose(
        adapter.predict(X[here], groups[here]), scores[here], atol=1e-6
    )
    assert adapter.score(X, y, groups=groups) == ndcg_score(y, scores, groups, k=10)


@pytest.mark.parametrize("routed", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [lambda one: one, lambda one: make_pipeline(FunctionTransformer(), one)],
    ids=["itself", "pipeline"],
)
@pytest.mark.parametrize("library", ["lightgbm", "ridge", "rankformer"])
def test_what_is_frozen_is_used_as_it_is(library, wrap, routed, data):
    X, y, groups = data
    if library == "rankformer":
        fitted = rankformer(max_epochs=1).fit(X, y, groups=groups)
        scores = fitted.predict(X, groups=groups)
    else:
        fitted = RankerAdapter(make(library)).fit(X, y, groups).estimator_
        scores = fitted.predict(X)
    with sklearn.config_context(enable_metadata_routing=routed):
        adapter = RankerAdapter(wrap(FrozenEstimator(fitted))).fit(X, -X[:, 0], groups)
        np.testing.assert_array_equal(adapter.predict(X, groups), scores)
        assert adapter.score(X, y, groups) == ndcg_score(y, scores, groups, k=10)


# -- rows taken for lists, and lists for rows -----------------------------------------


@pytest.mark.parametrize("library", EVERYONE)
def test_one_weight_per_list_raises_with_the_way_out(library, data):
    X, y, groups = data
    weight = np.linspace(1, 2, 30)
    adapter = RankerAdapter(make(library))
    with pytest.raises(
        ValueError, match=r"30 entries for .*There are 30 lists"
    ) as caught:
        adapter.fit(X, y, groups, sample_weight=weight)
    way_out = str(caught.value).rpartition("give ")[2].rstrip(".")
    by_row = eval(way_out, {"np": np, "groups": groups, "sample_weight": weight})
    np.testing.assert_array_equal(by_row, weight[groups])
    adapter.fit(X, y, groups, sample_weight=by_row)


@pytest.mark.parametrize("library", RANKERS)
def test_lists_that_teach_no_order_warn_once(library, data):
    X, y, groups = data
    # CatBoost refuses to sample where every item is a list.
    options = {"bootstrap_type": "No"} if library == "catboost" else {}
    for labels, ids, message in (
        (y, np.arange(len(y)), "has more than one item.*Give the ids of the lists"),
        (groups % 3, groups, "All labels are equal within each of 30 lists"),
    ):
        with pytest.warns(UserWarning, match=message) as caught:
            RankerAdapter(make(library, **options)).fit(X, labels, ids)
        assert len(caught) == 1
        assert caught[0].filename == __file__


def test_regressors_learn_from_rows_whatever_the_lists_are(data):
    X, y, _ = data
    RankerAdapter(Ridge()).fit(X, y, np.arange(len(y)))


@pytest.mark.parametrize("name", ["group", "group_id"])
def test_sizes_of_lists_name_the_way_out(name, data):
    X, y, groups = data
    with pytest.raises(TypeError, match=r"RankerAdapter\.fit\(\) has no argument"):
        RankerAdapter(Ridge()).fit(X, y, **{name: np.bincount(groups)})


# -- kinds of input -------------------------------------------------------------------


@pytest.mark.parametrize("library", EVERYONE)
@pytest.mark.parametrize("kind", ["list", "sparse matrix", "sparse array", "pandas"])
def test_kinds_of_X_give_the_same_scores(library, kind, data):
    X, y, groups = data
    X = np.round(np.maximum(X, 0), 3)
    plain = RankerAdapter(make(library)).fit(X, y, groups).predict(X)
    X_kind = {
        "list": X.tolist,
        "sparse matrix": lambda: sp.csc_matrix(X),
        "sparse array": lambda: sp.csr_array(X),
        "pandas": lambda: pytest.importorskip("pandas").DataFrame(X),
    }[kind]()
    scores = RankerAdapter(make(library)).fit(X_kind, y, groups).predict(X_kind)
    # XGBoost sees missing values, not zeros, in sparse input.
    others = "sparse" in kind and library == "xgboost"
    assert ndcg_score(y, scores, groups) == pytest.approx(
        ndcg_score(y, plain, groups), abs=0.05 if others else 1e-12
    )


@pytest.mark.parametrize("library", EVERYONE)
@pytest.mark.parametrize("kind", [">f8", ">f4", ">i4"])
def test_numbers_are_the_same_in_any_byte_order(library, kind, data):
    X, y, groups = data
    swapped = np.round(X * 100).astype(kind)
    X = swapped.astype(swapped.dtype.newbyteorder("="))
    plain = RankerAdapter(make(library)).fit(X, y, groups)
    np.testing.assert_array_equal(plain.predict(swapped), plain.predict(X))
    adapter = RankerAdapter(make(library)).fit(swapped, y, groups)
    np.testing.assert_array_equal(adapter.predict(X), plain.predict(X))


@pytest.mark.parametrize("library", EVERYONE)
def test_columns_of_frames_are_the_same_in_any_byte_order(library, data):
    pandas = pytest.importorskip("pandas")
    X, y, groups = data
    frame = pandas.DataFrame(X, columns=list("abcd"))
    swapped = frame.assign(a=X[:, 0].astype(">f8"), b=X[:, 1].astype(">f8"))
    plain = RankerAdapter(make(library)).fit(frame, y, groups)
    np.testing.assert_array_equal(plain.predict(swapped), plain.predict(frame))
    adapter = RankerAdapter(make(library)).fit(swapped, y, groups)
    np.testing.assert_array_equal(adapter.predict(frame), plain.predict(frame))
    assert swapped["a"].dtype == np.dtype(">f8")


@pytest.mark.parametrize("library", ["lightgbm", "catboost", "ridge"])
def test_polars_frames_stay_frames(library, data):
    polars = pytest.importorskip("polars")
    X, y, groups = data
    frame = polars.DataFrame(X, schema=list("abcd"))
    named = frame.with_columns(qid=polars.Series(groups))
    plain = RankerAdapter(make(library)).fit(X, y, groups).predict(X)
    adapter = RankerAdapter(make(library), group_column="qid").fit(named, y)
    np.testing.assert_allclose(adapter.predict(named), plain)
    assert list(adapter.feature_names_in_) == list("abcd")


@pytest.mark.parametrize("library", ["lightgbm", "catboost"])
@pytest.mark.parametrize("kind", ["Categorical", "Enum"])
def test_categories_of_polars_reach_the_library(kind, library, data):
    polars = pytest.importorskip("polars")
    pytest.importorskip("pandas")
    X, y, groups = data
    names = np.where(X[:, 0] > 0, "low", "high")
    dtype = polars.Enum(["high", "low"]) if kind == "Enum" else polars.Categorical
    frame = polars.DataFrame(X, schema=list("abcd"))
    frame = frame.with_columns(a=polars.Series(names, dtype=dtype))
    params = {"catboost": {"cat_features": ["a"]}}.get(library, {})
    adapter = RankerAdapter(make(library, **params)).fit(frame, y, groups)
    scores = adapter.predict(frame)
    plain = frame.to_pandas()
    np.testing.assert_array_equal(adapter.predict(plain), scores)
    again = RankerAdapter(make(library, **params)).fit(plain, y, groups)
    np.testing.assert_array_equal(again.predict(plain), scores)


@pytest.mark.parametrize(
    "wrap",
    [
        FrozenEstimator,
        TransformedTargetRegressor,
        make_pipeline,
        lambda model: GridSearchCV(model, {"num_leaves": [5]}, cv=2),
        lambda model: VotingRegressor([("trees", model)]),
    ],
    ids=["frozen", "target", "pipeline", "search", "vote"],
)
def test_categories_of_polars_reach_a_library_inside_another_estimator(wrap, data):
    polars = pytest.importorskip("polars")
    pytest.importorskip("pandas")
    lightgbm = pytest.importorskip("lightgbm")
    X, y, groups = data
    names = np.where(X[:, 0] > 0, "low", "high")
    frame = polars.DataFrame(X, schema=list("abcd"))
    frame = frame.with_columns(a=polars.Series(names, dtype=polars.Categorical))
    plain = frame.to_pandas()
    params = {"n_estimators": 5, "verbosity": -1, "n_jobs": 1}
    model = lightgbm.LGBMRegressor(min_child_samples=2, **params).fit(plain, y)
    # LightGBM ends the process when it reads such a frame itself.
    scores = RankerAdapter(wrap(model)).fit(frame, y, groups).predict(frame)
    again = RankerAdapter(wrap(model)).fit(plain, y, groups).predict(plain)
    np.testing.assert_array_equal(scores, again)


@pytest.mark.parametrize("library", ["lightgbm", "catboost"])
def test_columns_of_polars_that_would_end_the_process_are_read_or_refused(
    library, data
):
    polars = pytest.importorskip("polars")
    pytest.importorskip("pandas")
    X, y, groups = data
    frame = polars.DataFrame(np.round(X), schema=list("abcd"))
    plain = RankerAdapter(make(library)).fit(frame, y, groups).predict(frame)
    half = frame.cast({"a": polars.Float16})
    adapter = RankerAdapter(make(library)).fit(half, y, groups)
    np.testing.assert_array_equal(adapter.predict(half), plain)
    if library == "lightgbm":
        exact = frame.cast({"a": polars.Decimal(10, 2)})
        with pytest.raises(ValueError, match="must be int, float or bool"):
            adapter.fit(exact, y, groups)


@pytest.mark.parametrize("library", EVERYONE)
def test_names_of_columns_are_remembered_and_checked(library, data):
    pandas = pytest.importorskip("pandas")
    X, y, groups = data
    frame = pandas.DataFrame(X, columns=list("abcd")).assign(qid=groups)
    adapter = RankerAdapter(make(library), group_column="qid").fit(frame, y)
    assert list(adapter.feature_names_in_) == list("abcd")
    moved = frame[["qid", *"abcd"]]
    np.testing.assert_array_equal(adapter.predict(moved), adapter.predict(frame))
    for wrong in (frame.rename(columns={"a": "z"}), frame[["b", *"acd", "qid"]]):
        with pytest.raises(ValueError, match="feature names should match those"):
            adapter.predict(wrong)
    with pytest.raises(ValueError, match="group_column='qid' is not a column of X"):
        adapter.predict(frame.drop(columns="qid"))


@pytest.mark.parametrize("library", RANKERS)
def test_categorical_columns_reach_the_library(library, data):
    pandas = pytest.importorskip("pandas")
    _, y, groups = data
    label_names = np.array(["w", "z", "x", "v"])[y]
    frame = pandas.DataFrame({"kind": pandas.Categorical(label_names), "n": 0.5})
    frame["n"] = np.arange(len(frame)) % 5.0
    params = {
        "lightgbm": {"min_data_per_group": 1, "cat_smooth": 0},
        "xgboost": {"enable_categorical": True},
        "catboost": {"cat_features": ["kind"]},
    }
    adapter = RankerAdapter(make(library, **params[library]))
    adapter = clone(adapter).fit(frame, y, groups)
    assert adapter.score(frame, y, groups) > 0.95


@pytest.mark.parametrize("library", RANKERS)
def test_missing_values_reach_the_library(library, data):
    X, y, groups = data
    X = np.where(X > 1.5, np.nan, X)
    assert RankerAdapter(make(library)).fit(X, y, groups).score(X, y, groups) > 0.8
    with pytest.raises(ValueError, match="Input X contains NaN"):
        RankerAdapter(Ridge()).fit(X, y, groups)


@pytest.mark.parametrize("library", RANKERS)
def test_masked_entries_are_missing_values(library, data):
    X, y, groups = data
    masked = np.ma.masked_array(X.copy(), mask=X > 1.5)
    masked.data[masked.mask] = -999
    by_nan, by_mask = (
        RankerAdapter(make(library)).fit(one, y, groups).predict(one)
        for one in (np.where(X > 1.5, np.nan, X), masked)
    )
    np.testing.assert_array_equal(by_mask, by_nan)
    hidden = np.ma.masked_array(y, mask=np.arange(len(y)) < 2)
    with pytest.raises(ValueError, match="y has 2 masked entries"):
        RankerAdapter(make(library)).fit(X, hidden, groups)


# -- scikit-learn ---------------------------------------------------------------------


GRID = {"lightgbm": "max_depth", "xgboost": "max_depth", "catboost": "depth"}


def grid(library, prefix=""):
    name, values = (GRID[library], [1, 3]) if library in GRID else ("alpha", [1.0, 9.0])
    return {f"{prefix}estimator__{name}": values}


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("name", ["groups", "qid"])
@pytest.mark.parametrize("library", EVERYONE)
def test_routed_search_over_a_pipeline_sees_whole_lists(library, name, data):
    X, y, groups = data
    pipe = Pipeline(
        [("scale", StandardScaler()), ("rank", RankerAdapter(make(library)))]
    )
    folds = GroupKFold(3)
    if name == "qid":
        folds.set_split_request(groups="qid")
    search = GridSearchCV(pipe, grid(library, "rank__"), cv=folds)
    search.fit(X, y, **{name: groups})
    by_hand = []
    for train, test in GroupKFold(3).split(X, y, groups):
        best = clone(pipe).set_params(**search.best_params_)
        best.fit(X[train], y[train], groups=groups[train])
        scores = best.predict(X[test])
        by_hand.append(ndcg_score(y[test], scores, groups[test], k=10))
    assert search.best_score_ == pytest.approx(np.mean(by_hand))
    assert best.score(X, y, groups=groups) > 0.8


@pytest.mark.parametrize("library", EVERYONE)
def test_unrouted_search_by_group_column_equals_the_routed_one(library, data):
    X, y, groups = data
    with_ids = np.column_stack([groups, X])
    adapter = RankerAdapter(make(library), group_column=0)
    unrouted = GridSearchCV(adapter, grid(library), cv=GroupKFold(3))
    unrouted.fit(with_ids, y, groups=groups)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = GridSearchCV(
            RankerAdapter(make(library)), grid(library), cv=GroupKFold(3)
        ).fit(X, y, groups=groups)
    assert unrouted.best_score_ == pytest.approx(routed.best_score_)
    assert unrouted.score(with_ids, y) > 0.8


def test_unrouted_search_without_group_column_is_loud(data):
    X, y, groups = data
    search = GridSearchCV(
        RankerAdapter(make("lightgbm")), grid("lightgbm"), cv=GroupKFold(3)
    )
    with pytest.warns(MissingGroupsWarning) as caught:
        search.fit(X, y, groups=groups)
    methods = {str(one.message).split()[0] for one in caught}
    assert methods == {"RankerAdapter.fit", "RankerAdapter.score"}


def test_unrouted_tools_work_by_group_column(data):
    X, y, groups = data
    with_ids = np.column_stack([groups, X])
    adapter = RankerAdapter(make("lightgbm"), group_column=0)
    scores = cross_val_predict(adapter, with_ids, y, groups=groups, cv=GroupKFold(3))
    assert ndcg_score(y, scores, groups, k=10) > 0.8
    adapter.fit(with_ids, y)
    importances = permutation_importance(adapter, with_ids, y, random_state=0)
    assert np.argmax(importances.importances_mean[1:]) == 0


@pytest.mark.usefixtures("routing")
def test_routed_weights_must_be_asked_for(data):
    X, y, groups = data
    given_params = {"groups": groups, "sample_weight": np.ones(len(y))}
    adapter = RankerAdapter(make("lightgbm"))
    with pytest.raises(
        sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"
    ):
        cross_validate(adapter, X, y, cv=GroupKFold(3), params=given_params)
    adapter.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    result = cross_validate(adapter, X, y, cv=GroupKFold(3), params=given_params)
    assert (result["test_score"] > 0.7).all()


@pytest.mark.usefixtures("routing")
def test_pipeline_transforms_the_validation_data(split):
    train, val = split
    adapter = RankerAdapter(make("lightgbm"), early_stopping_rounds=3)
    pipe = make_pipeline(StandardScaler(), adapter, transform_input=["X_val"])
    # A shifted validation set makes unscaled and scaled input differ.
    pipe.fit(
        train[0] + 100,
        train[1],
        groups=train[2],
        X_val=val[0] + 100,
        y_val=val[1],
        groups_val=val[2],
    )
    by_hand = clone(adapter)
    scaler = StandardScaler().fit(train[0] + 100)
    by_hand.fit(
        scaler.transform(train[0] + 100),
        *train[1:],
        X_val=scaler.transform(val[0] + 100),
        y_val=val[1],
        groups_val=val[2],
    )
    np.testing.assert_allclose(
        pipe.predict(val[0] + 100), by_hand.predict(scaler.transform(val[0] + 100))
    )


@pytest.mark.usefixtures("routing")
def test_one_search_chooses_among_libraries(data):
    X, y, groups = data
    pipe = Pipeline([("scale", StandardScaler()), ("rank", RankerAdapter(Ridge()))])
    candidates = [RankerAdapter(make(library)) for library in EVERYONE]
    search = GridSearchCV(pipe, {"rank": candidates}, cv=GroupKFold(3), n_jobs=2)
    search.fit(X, y, groups=groups)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.best_estimator_.score(X, y, groups=groups) > 0.8


@pytest.mark.parametrize("library", EVERYONE)
def test_copies_score_the_same(library, data):
    X, y, groups = data
    adapter = RankerAdapter(make(library)).fit(X, y, groups)
    expected = adapter.predict(X)
    for twin in (pickle.loads(pickle.dumps(adapter)), copy.deepcopy(adapter)):
        np.testing.assert_array_equal(twin.predict(X), expected)
    refit = clone(adapter)
    assert not hasattr(refit, "estimator_")
    np.testing.assert_array_equal(refit.fit(X, y, groups).predict(X), expected)


def test_clone_keeps_parameters_requests_and_catboosts_lists():
    adapter = RankerAdapter(
        make("catboost", cat_features=["kind"]), early_stopping_rounds=5
    )
    with sklearn.config_context(enable_metadata_routing=True):
        adapter.set_fit_request(sample_weight=True)
        twin = clone(adapter)
        assert twin.get_metadata_routing().fit.requests["sample_weight"] is True
    assert twin.early_stopping_rounds == 5
    assert twin.estimator is not adapter.estimator
    assert twin.estimator.get_params() == adapter.estimator.get_params()


def test_tags_follow_the_estimator():
    for library in EVERYONE:
        tags = sklearn.utils.get_tags(RankerAdapter(make(library)))
        inner = sklearn.utils.get_tags(make(library))
        assert tags.input_tags == inner.input_tags
        assert tags.target_tags.required
        assert tags.estimator_type is None


def test_histogram_boosting_is_a_regressor_like_any_other(data):
    adapter = RankerAdapter(HistGradientBoostingRegressor(max_iter=10))
    assert adapter.fit(*data).score(*data) > 0.8


def test_import_loads_no_library():
    code = (
        "import sys, sklearn_rankformer.adapters; "
        "print({'torch', 'skorch', 'lightgbm', 'xgboost', 'catboost'} "
        "& set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


# -- the contract ---------------------------------------------------------------------


LIST_WEIGHTS = "weights differ within a list, which this library cannot take"
REPEATS = "an item twice in a list is in more pairs; an item of weight 2 is not"
EXPECTED_FAILURES = {
    "lightgbm": {
        "check_sample_weight_equivalence_on_dense_data": REPEATS,
        "check_sample_weight_equivalence_on_sparse_data": REPEATS,
    },
    "xgboost": {
        "check_sample_weights_not_overwritten": LIST_WEIGHTS,
        "check_sample_weight_equivalence_on_dense_data": LIST_WEIGHTS,
        "check_sample_weight_equivalence_on_sparse_data": LIST_WEIGHTS,
    },
    "catboost": {
        "check_sample_weights_not_overwritten": LIST_WEIGHTS,
        "check_sample_weight_equivalence_on_dense_data": LIST_WEIGHTS,
        "check_sample_weight_equivalence_on_sparse_data": LIST_WEIGHTS,
        "check_dtype_object": "CatBoost refuses a dict among the features in words "
        "of its own",
        "check_fit2d_1sample": "CatBoost refuses a single row in words of its own",
    },
}


def contract_estimators():
    adapters = []
    for library in EVERYONE:
        try:
            adapters.append(RankerAdapter(make(library)))
        except pytest.skip.Exception:
            continue  # the tests of the library say that it is not installed
    return adapters


def expected_failures(adapter):
    library = type(adapter.estimator).__module__.split(".")[0]
    return EXPECTED_FAILURES.get(library, {})


@pytest.mark.filterwarnings(
    "ignore::sklearn_rankformer.MissingGroupsWarning",
    "ignore:None of 1 lists has more than one item",
    "ignore::sklearn.exceptions.SkipTestWarning",
)
@parametrize_with_checks(
    contract_estimators(), expected_failed_checks=expected_failures
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)
