"""Scorers hand the right groups to predict, through every wrapper."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sklearn_rankformer import RankerMixin
from sklearn_rankformer.adapters import RankerAdapter
from sklearn_rankformer.metrics import METRICS, kendall_tau, ndcg_score
from sklearn_rankformer.preprocessing import WithinListScaler
from sklearn_rankformer.scoring import (
    get_scorer,
    get_scorer_names,
    make_ranking_scorer,
)


class ListCentred(RankerMixin, BaseEstimator):
    """Score of a row: distance of its first feature from the mean of its list.

    Without groups it raises; with groups that are not those of the rows it ranks
    otherwise.
    """

    def __init__(self, sign=1.0, group_column=None):
        self.sign = sign
        self.group_column = group_column

    def fit(self, X, y, groups=None, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X, groups=None):
        if self.group_column is not None:
            groups = self.get_groups(X)
        if groups is None:
            raise ValueError("toy ranker without groups")
        groups = np.asarray(groups)
        means = {id_: X[groups == id_, 0].mean() for id_ in np.unique(groups)}
        return -self.sign * np.abs(X[:, 0] - [means[id_] for id_ in groups])


class ListShift(TransformerMixin, BaseEstimator):
    """Transformer that wants groups at transform."""

    __metadata_request__fit = {"groups": True}
    __metadata_request__transform = {"groups": True}

    def fit(self, X, y=None, groups=None):
        self.fitted_ = True
        return self

    def fit_transform(self, X, y=None, groups=None):
        return self.fit(X).transform(X, groups)

    def transform(self, X, groups=None):
        if groups is None:
            raise ValueError("toy transformer without groups")
        out = X.copy()
        for id_ in np.unique(groups):
            out[groups == id_] -= X[groups == id_].mean(axis=0)
        return out


@pytest.fixture
def data():
    """Rows in random order whose label depends on the rest of their list."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(30), 5))
    price = rng.normal(size=150) + 10 * groups
    centre = np.bincount(groups, price) / np.bincount(groups)
    distance = np.abs(price - centre[groups])
    y = np.zeros(150)
    for id_ in range(30):
        rows = np.flatnonzero(groups == id_)
        y[rows[np.argsort(distance[rows])]] = [3, 2, 1, 0, 0]
    return np.column_stack([price, groups]), y, groups


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def pipeline(**params):
    return make_pipeline(StandardScaler(), ListCentred(**params))


@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: make_pipeline(e)])
@pytest.mark.parametrize("on", [True, False])
def test_score_equals_metric_of_predictions_with_groups(data, wrap, on):
    X, y, groups = data
    with sklearn.config_context(enable_metadata_routing=on):
        estimator = wrap(ListCentred()).fit(X, y)
        assert get_scorer("ndcg@2")(estimator, X, y, groups=groups) == 1
        worst = wrap(ListCentred(sign=-1.0)).fit(X, y)
        y_score = worst.predict(X, groups=groups)
        expected = ndcg_score(y, y_score, groups, k=2)
        assert get_scorer("ndcg@2")(worst, X, y, groups=groups) == expected < 0.9


def test_cross_validate_with_several_scorers(data, routing):
    X, y, groups = data
    scoring = {name: get_scorer(name) for name in ("ndcg@10", "map", "err@5", "mrr")}
    result = cross_validate(
        pipeline(), X, y, scoring=scoring, cv=GroupKFold(3), params={"groups": groups}
    )
    np.testing.assert_array_equal(result["test_ndcg@10"], [1, 1, 1])
    np.testing.assert_array_equal(result["test_mrr"], [1, 1, 1])
    assert (result["test_map"] == 1).all()
    assert (result["test_err@5"] < 1).all()


def sign_search(**options):
    """A search that finds the right sign of the scores, in a pipeline."""
    return GridSearchCV(pipeline(), {"listcentred__sign": [-1.0, 1.0]}, **options)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_over_pipeline_scores_with_groups(data, routing, n_jobs):
    X, y, groups = data
    search = sign_search(
        scoring=get_scorer("ndcg@3"),
        cv=GroupKFold(3),
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(X, y, groups=groups)
    assert search.best_params_ == {"listcentred__sign": 1.0}
    assert search.best_score_ == 1
    assert search.score(X, y, groups=groups) == 1
    assert get_scorer("ndcg@3")(search, X, y, groups=groups) == 1


def test_grid_search_with_dict_of_scorers_refits_the_named_one(data, routing):
    X, y, groups = data
    search = sign_search(
        scoring={"top": get_scorer("ndcg@1"), "tau": get_scorer("kendall_tau")},
        refit="tau",
        cv=GroupKFold(3),
        error_score="raise",
    ).fit(X, y, groups=groups)
    assert search.best_params_ == {"listcentred__sign": 1.0}
    assert search.cv_results_["mean_test_top"][1] == 1


def test_nested_cross_validation(data, routing):
    X, y, groups = data
    search = sign_search(
        scoring=get_scorer("ndcg"),
        cv=GroupKFold(2),
    )
    result = cross_validate(
        search,
        X,
        y,
        scoring=get_scorer("ndcg"),
        cv=GroupKFold(3),
        params={"groups": groups},
        error_score="raise",
    )
    np.testing.assert_array_equal(result["test_score"], [1, 1, 1])


def test_pipeline_that_ends_in_a_search(data, routing):
    X, y, groups = data
    search = GridSearchCV(
        ListCentred(), {"sign": [-1.0, 1.0]}, scoring=get_scorer("ndcg"), cv=2
    )
    search.set_params(cv=GroupKFold(2))
    model = Pipeline([("scale", StandardScaler()), ("search", search)])
    model.fit(X, y, groups=groups)
    assert get_scorer("ndcg")(model, X, y, groups=groups) == 1


def test_steps_that_want_groups_get_them(data, routing):
    X, y, groups = data
    model = make_pipeline(ListShift(), FunctionTransformer(np.abs), Ridge())
    model.fit(X, y, groups=groups)
    value = get_scorer("ndcg")(model, X, y, groups=groups)
    assert value == ndcg_score(y, model.predict(X, groups=groups), groups)
    assert value > 0.95


def test_wrapper_that_routes_predict_gets_groups(data, routing):
    X, y, groups = data
    model = TransformedTargetRegressor(ListCentred(), check_inverse=False)
    model.fit(X, y, groups=groups)
    assert get_scorer("ndcg")(model, X, y, groups=groups) == 1


@pytest.mark.parametrize("on", [True, False])
def test_plain_regressors_are_scored_by_list(data, on):
    X, y, groups = data
    with sklearn.config_context(enable_metadata_routing=on):
        for model in (Ridge(), make_pipeline(StandardScaler(), Ridge())):
            model.fit(X, y)
            expected = kendall_tau(y, model.predict(X), groups)
            assert get_scorer("kendall_tau")(model, X, y, groups) == expected


def test_predicted_classes_are_refused_and_chances_are_scored(data):
    class ByChance(DecisionTreeClassifier):
        def predict(self, X):
            return self.predict_proba(X)[:, 1]

    X, y, groups = data
    tree, by_chance = DecisionTreeClassifier(max_depth=3), ByChance(max_depth=3)
    model = make_pipeline(StandardScaler(), tree).fit(X, y > 0)
    scorer = get_scorer("ndcg@10")
    with pytest.raises(TypeError, match="DecisionTreeClassifier predicts classes"):
        scorer(model, X, y, groups=groups)
    expected = ndcg_score(y, model.predict_proba(X)[:, 1], groups, k=10)
    by_chance = make_pipeline(StandardScaler(), by_chance).fit(X, y > 0)
    assert scorer(by_chance, X, y, groups=groups) == expected


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("model", [Ridge(), pipeline(), ListCentred()])
def test_scoring_without_groups_raises_and_names_both_ways_out(data, model, on):
    X, y, _ = data
    ways_out = r"ndcg@10 got no groups.*enable_metadata_routing=True.*group_column="
    with sklearn.config_context(enable_metadata_routing=on):
        model = clone(model).fit(X, y)
        with pytest.raises(ValueError, match=ways_out):
            get_scorer("ndcg@10")(model, X, y)


def test_unrouted_search_without_groups_raises(data):
    X, y, groups = data
    search = GridSearchCV(
        Ridge(),
        {"alpha": [1.0]},
        scoring=get_scorer("ndcg"),
        cv=GroupKFold(2),
        error_score="raise",
    )
    with pytest.raises(ValueError, match="ndcg got no groups"):
        search.fit(X, y, groups=groups)


def test_group_column_works_unrouted(data):
    X, y, groups = data
    ranker = ListCentred(group_column=1)
    keep = FunctionTransformer()
    for model in (ranker, make_pipeline(ranker), make_pipeline(keep, ranker)):
        search = GridSearchCV(model, {}, scoring=get_scorer("ndcg"), cv=GroupKFold(3))
        assert search.fit(X, y, groups=groups).best_score_ == 1
    fitted = ranker.fit(X, y)
    assert get_scorer("ndcg")(fitted, X, y) == 1
    drop = permutation_importance(
        fitted, X[:, [0, 1]], y, scoring=get_scorer("ndcg"), n_repeats=2, random_state=0
    )
    assert drop.importances_mean[0] > 0.05


def test_group_column_is_found_below_a_transformed_target(data):
    X, y, _ = data
    ranker = ListCentred(group_column=1)
    wrapped = TransformedTargetRegressor(ranker, func=np.log1p, inverse_func=np.expm1)
    scorer = get_scorer("ndcg")
    expected = scorer(ranker.fit(X, y), X, y)
    assert scorer(wrapped.fit(X, y), X, y) == pytest.approx(expected)


def test_group_column_through_nested_pipelines(data):
    X, y, _ = data
    inner = make_pipeline(FunctionTransformer(), ListCentred(group_column=1))
    model = make_pipeline(FunctionTransformer(), inner).fit(X, y)
    assert get_scorer("ndcg")(model, X, y) == 1


def test_adapter_and_list_scaler_of_this_package_are_scored_by_list(data, routing):
    X, y, groups = data
    model = make_pipeline(WithinListScaler(), RankerAdapter(Ridge()))
    model.fit(X, y, groups=groups)
    expected = ndcg_score(y, model.predict(X, groups=groups), groups)
    assert get_scorer("ndcg")(model, X, y, groups=groups) == expected
    column = RankerAdapter(Ridge(), group_column=1).fit(X, y)
    expected = ndcg_score(y, column.predict(X), groups)
    assert get_scorer("ndcg")(column, X, y) == expected
    assert get_scorer("ndcg")(column, X, y, groups=groups) == expected


def test_sample_weight_raises_until_requested(data, routing):
    X, y, groups = data
    weight = 1.0 + groups
    run = partial(
        cross_validate,
        ListCentred(sign=-1.0).set_fit_request(sample_weight=True),
        X,
        y,
        cv=GroupKFold(2),
        params={"groups": groups, "sample_weight": weight},
        return_indices=True,
        error_score="raise",
    )
    scorer = make_ranking_scorer(ndcg_score)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        run(scoring=scorer)
    plain = run(scoring=scorer.set_score_request(sample_weight=False))
    weighted = run(scoring=scorer.set_score_request(sample_weight=True))
    assert (plain["test_score"] != weighted["test_score"]).any()
    test = weighted["indices"]["test"][0]
    model = ListCentred(sign=-1.0).fit(X, y)
    expected = ndcg_score(
        y[test],
        model.predict(X[test], groups=groups[test]),
        groups[test],
        sample_weight=weight[test],
    )
    assert weighted["test_score"][0] == pytest.approx(expected)


def test_groups_can_come_under_another_name(data, routing):
    X, y, groups = data
    result = cross_validate(
        ListCentred().set_fit_request(groups="qid"),
        X,
        y,
        scoring=get_scorer("ndcg").set_score_request(groups="qid"),
        cv=GroupKFold(2).set_split_request(groups="qid"),
        params={"qid": groups},
        error_score="raise",
    )
    np.testing.assert_array_equal(result["test_score"], [1, 1])


def test_unrouted_search_hands_list_weights_to_scorers_in_a_dict(data):
    X, y, groups = data
    search = GridSearchCV(
        ListCentred(sign=-1.0, group_column=1),
        {},
        scoring={"ndcg": get_scorer("ndcg"), "map": get_scorer("map")},
        refit=False,
        cv=GroupKFold(2),
        error_score="raise",
    )
    plain = search.fit(X, y, groups=groups).cv_results_["mean_test_ndcg"]
    search.fit(X, y, groups=groups, sample_weight=1.0 + groups)
    assert search.cv_results_["mean_test_ndcg"] != plain


@pytest.mark.parametrize("name", get_scorer_names())
def test_named_scorer_is_the_metric_and_survives_copies(data, name):
    X, y, groups = data
    model = Ridge().fit(X, y)
    expected = METRICS[name](y, model.predict(X), groups)
    scorer = get_scorer(name)
    for copied in (
        scorer,
        pickle.loads(pickle.dumps(scorer)),
        copy.deepcopy(scorer),
        clone(scorer, safe=False),
    ):
        assert copied(model, X, y, groups=groups) == expected
        assert repr(copied) == repr(scorer)
        request = copied.get_metadata_routing().score.requests
        assert request == {"groups": True, "sample_weight": None}


def test_requests_survive_clone_of_the_search_around(data, routing):
    scorer = get_scorer("ndcg").set_score_request(groups="qid", sample_weight=True)
    search = clone(GridSearchCV(ListCentred(), {}, scoring=scorer))
    request = search.scoring.get_metadata_routing().score.requests
    assert request == {"groups": "qid", "sample_weight": True}
    scorer.set_score_request(groups=True)
    assert request["groups"] == "qid"


def test_cutoff_in_the_name_is_the_cutoff(data):
    X, y, groups = data
    model = Ridge().fit(X, y)
    for name in ("ndcg", "precision", "recall", "err", "map", "mrr", "dcg"):
        expected = METRICS[name](y, model.predict(X), groups, k=2)
        assert get_scorer(f"{name}@2")(model, X, y, groups=groups) == expected


def test_arguments_reach_the_metric(data):
    X, y, groups = data
    model = Ridge().fit(X, y)
    scorer = make_ranking_scorer(ndcg_score, k=3, gain="linear")
    expected = ndcg_score(y, model.predict(X), groups, k=3, gain="linear")
    assert scorer(model, X, y, groups=groups) == expected
    assert repr(scorer) == "make_ranking_scorer(ndcg_score, k=3, gain='linear')"
    assert eval(repr(scorer)).kwargs == scorer.kwargs


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndgc@10", r"'ndgc@10'.*Did you mean 'ndcg'\?"),
        ("ndcg@0", "cut-off of 1 and more"),
        ("ndcg@", "cut-off of 1 and more"),
        ("ndcg@ten", "cut-off of 1 and more"),
        ("kendall_tau@5", "all but 'kendall_tau'"),
        ("accuracy", "Names are 'dcg', 'err'"),
        (None, "No scorer is called None"),
    ],
)
def test_unknown_scorer_name_raises_and_lists_names(name, message):
    with pytest.raises(ValueError, match=message):
        get_scorer(name)


def test_bad_scorer_arguments_raise_when_the_scorer_is_made():
    with pytest.raises(TypeError, match="metric must be a function, got 'ndcg'"):
        make_ranking_scorer("ndcg")
    with pytest.raises(TypeError, match="cut_off"):
        make_ranking_scorer(ndcg_score, cut_off=3)
    with pytest.raises(TypeError, match="too many positional"):
        make_ranking_scorer(lambda y_true, y_score: 0.0)
    with pytest.raises(ValueError, match="reduction='none'"):
        make_ranking_scorer(ndcg_score, reduction="none")
