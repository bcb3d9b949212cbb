"""What is found out about other people's estimators."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, VotingRegressor
from sklearn.feature_selection import RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rankformer import (
    DistilledRanker,
    RankerAdapter,
    RankerMixin,
    WithinListScaler,
)
from sklearn_rankformer._models import (
    fresh,
    group_column_of,
    is_library_ranker,
    learns_from_lists,
    library_of,
    predict_scores,
    ranking_objective,
    refuse_hidden_ranker,
    takes_groups,
    unwrap,
)
from sklearn_rankformer.comparison import compare_rankers

RANKERS = ["lightgbm.LGBMRanker", "xgboost.XGBRanker", "catboost.CatBoostRanker"]


def make(path, *args, **params):
    """An estimator by its dotted path."""
    module, name = path.split(".")
    return getattr(pytest.importorskip(module), name)(*args, **params)


class ByList(RankerMixin, BaseEstimator):
    """A ranker that keeps the ids it was given."""

    def __init__(self, group_column=None):
        self.group_column = group_column

    def fit(self, X, y, groups=None):
        self.groups_ = groups
        return self

    def predict(self, X, groups=None):
        return np.zeros(len(X)) + (-1 if groups is None else groups)


# -- whose it is ----------------------------------------------------------------------


@pytest.mark.parametrize("path", RANKERS)
def test_rankers_of_libraries_are_known_by_their_class(path):
    ranker = make(path)
    derived = type("MyRanker", (type(ranker),), {})
    for one in (ranker, derived()):
        assert library_of(one) == path.split(".")[0]
        assert is_library_ranker(one)
        assert learns_from_lists(one)


@pytest.mark.parametrize(
    ("path", "objective"),
    [
        ("lightgbm.LGBMRegressor", {"objective": "lambdarank"}),
        ("lightgbm.LGBMRegressor", {"application": "rank_xendcg"}),
        ("lightgbm.LGBMClassifier", {"objective": "lambdarank"}),
        ("xgboost.XGBRegressor", {"objective": "rank:ndcg"}),
        ("xgboost.XGBModel", {"objective": "rank:pairwise"}),
        ("xgboost.XGBRFRegressor", {"objective": "rank:map"}),
        ("catboost.CatBoostRegressor", {"loss_function": "YetiRank:mode=NDCG"}),
        ("catboost.CatBoostRegressor", {"objective": "QueryRMSE"}),
    ],
)
def test_regressors_that_rank_are_refused_and_the_ranker_named(path, objective):
    estimator = make(path, **objective)
    (value,) = objective.values()
    assert ranking_objective(estimator) == value
    assert not is_library_ranker(estimator)
    message = f"{path.split('.')[1]} has the ranking objective '{value}'.* Use .*Ranker"
    for one in (estimator, make_pipeline(StandardScaler(), estimator)):
        with pytest.raises(TypeError, match=message):
            refuse_hidden_ranker(one)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("lightgbm.LGBMRegressor", {}),
        ("lightgbm.LGBMRegressor", {"objective": "huber", "metric": "ndcg"}),
        ("xgboost.XGBRegressor", {"objective": "reg:squarederror"}),
        ("xgboost.XGBRegressor", {"objective": lambda y, p: (p - y, 1 + 0 * y)}),
        ("catboost.CatBoostRegressor", {"loss_function": "Quantile:alpha=0.1"}),
    ],
)
def test_regressors_that_regress_are_taken_for_what_they_are(path, params):
    estimator = make(path, **params)
    assert library_of(estimator) == path.split(".")[0]
    assert ranking_objective(estimator) is None
    assert not learns_from_lists(estimator)
    refuse_hidden_ranker(estimator)


def test_base_classes_rank_if_their_objective_does():
    for objective, ranks in {"lambdarank": True, "regression": False}.items():
        model = make("lightgbm.LGBMModel", objective=objective)
        assert is_library_ranker(model) == ranks
    for loss, ranks in {"YetiRank": True, "PairLogit": True, "RMSE": False}.items():
        model = make("catboost.CatBoost", {"loss_function": loss})
        assert is_library_ranker(model) == ranks


def test_everything_else_is_of_no_library():
    for estimator in (Ridge(), ByList(), object()):
        assert library_of(estimator) is None
        assert ranking_objective(estimator) is None
        assert not is_library_ranker(estimator)


# -- what it takes --------------------------------------------------------------------


def test_whoever_names_groups_takes_them():
    assert takes_groups(ByList(), "fit")
    assert takes_groups(ByList(), "predict")
    assert not takes_groups(Ridge(), "fit")


def test_pipelines_take_groups_only_where_routing_hands_them_on(routing):
    from sklearn import config_context

    of_lists = make_pipeline(WithinListScaler(), Ridge())
    assert takes_groups(of_lists, "fit")
    assert not takes_groups(make_pipeline(StandardScaler(), Ridge()), "fit")
    with config_context(enable_metadata_routing=False):
        assert not takes_groups(of_lists, "fit")


# -- what lies inside -----------------------------------------------------------------


WRAPPED = {
    "itself": lambda one: one,
    "pipeline": lambda one: make_pipeline(StandardScaler(), one),
    "nested": lambda one: Pipeline([("a", make_pipeline(StandardScaler(), one))]),
    "search": lambda one: GridSearchCV(one, {}),
    "random search": lambda one: RandomizedSearchCV(one, {}, n_iter=1),
    "frozen": FrozenEstimator,
    "all": lambda one: GridSearchCV(make_pipeline(StandardScaler(), one), {}),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_the_model_at_the_bottom_is_found_before_and_after_fit(wrap):
    ranker = ByList(group_column=1)
    wrapped = wrap(ranker)
    assert unwrap(wrapped)[1] is ranker
    assert group_column_of(wrapped) == 1
    assert group_column_of(wrap(Ridge())) is None
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20.0)
    fitted = wrap(Ridge().fit(X, y)).fit(X, y)
    assert unwrap(fitted)[1].coef_.shape == (2,)
    np.testing.assert_allclose(predict_scores(fitted, X, None), fitted.predict(X))


def test_wrappers_that_change_predictions_are_models_themselves():
    for wrap in (TransformedTargetRegressor, BaggingRegressor, RFECV):
        wrapped = wrap(Ridge())
        assert unwrap(wrapped) == ([], wrapped)


@pytest.mark.parametrize("path", RANKERS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda one: make_pipeline(StandardScaler(), one),
        lambda one: GridSearchCV(make_pipeline(StandardScaler(), one), {}),
        TransformedTargetRegressor,
        lambda one: BaggingRegressor(one, n_estimators=2),
        lambda one: VotingRegressor([("a", Ridge()), ("b", one)]),
    ],
)
def test_a_librarys_ranker_inside_is_refused(wrap, path):
    ranker = make(path)
    wrapper = type(wrap(ranker)).__name__
    message = (
        f"The {wrapper} keeps list ids from the {type(ranker).__name__} inside it.*"
        rf"RankerAdapter\({type(ranker).__name__}\(\.\.\.\)\)"
    )
    with pytest.raises(TypeError, match=message):
        refuse_hidden_ranker(wrap(ranker))


@pytest.mark.parametrize("path", RANKERS)
def test_a_librarys_ranker_behind_its_adapter_is_not_refused(path, routing):
    adapter = RankerAdapter(make(path))
    refuse_hidden_ranker(adapter)
    refuse_hidden_ranker(make_pipeline(StandardScaler(), adapter))
    refuse_hidden_ranker(GridSearchCV(make_pipeline(StandardScaler(), adapter), {}))


def test_a_ranker_inside_is_refused_until_routing_reaches_it(routing):
    from sklearn import config_context

    pipeline = make_pipeline(StandardScaler(), RankerAdapter(Ridge()))
    refuse_hidden_ranker(pipeline)
    with (
        config_context(enable_metadata_routing=False),
        pytest.raises(TypeError, match=r"ids from the RankerAdapter.*enable_metadata"),
    ):
        refuse_hidden_ranker(pipeline)


@pytest.mark.parametrize(
    "fit",
    [
        lambda *data: RankerAdapter(Ridge).fit(*data),
        lambda *data: DistilledRanker(Ridge, Ridge()).fit(*data),
        lambda *data: DistilledRanker(Ridge(), Ridge).fit(*data),
        lambda *data: compare_rankers({"a": Ridge, "b": Ridge()}, *data),
    ],
)
def test_a_class_in_place_of_an_estimator_is_named(fit):
    data = [[0.0], [1.0]], [0, 1], [0, 0]
    with pytest.raises(TypeError, match=r"the class Ridge\. Give an instance"):
        fit(*data)


def test_a_transformer_inside_is_refused_until_routing_reaches_it(routing):
    from sklearn import config_context

    pipeline = make_pipeline(WithinListScaler(), Ridge())
    refuse_hidden_ranker(pipeline)
    with (
        config_context(enable_metadata_routing=False),
        pytest.raises(TypeError, match=r"ids from the WithinListScaler.*enable_meta"),
    ):
        refuse_hidden_ranker(pipeline)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda one: one,
        lambda one: make_pipeline(StandardScaler(), one),
        TransformedTargetRegressor,
    ],
)
def test_a_splitter_by_list_inside_is_refused_until_routing_reaches_it(wrap, routing):
    from sklearn import config_context

    search = wrap(GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=GroupKFold(2)))
    refuse_hidden_ranker(search)
    rows = wrap(GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=KFold(2)))
    with config_context(enable_metadata_routing=False):
        refuse_hidden_ranker(rows)
        with pytest.raises(TypeError, match=r"ids from the GroupKFold.*enable_meta"):
            refuse_hidden_ranker(search)


def test_transformers_without_ids_and_classes_inside_are_no_rankers():
    class Holds(TransformerMixin, BaseEstimator):
        def __init__(self, kind=ByList):
            self.kind = kind

        def fit(self, X, y=None):
            return self

    refuse_hidden_ranker(make_pipeline(Holds(), StandardScaler(), Ridge()))


# -- copies ---------------------------------------------------------------------------


def test_copies_keep_parameters_of_catboosts_base_class():
    model = make("catboost.CatBoost", {"loss_function": "YetiRank", "iterations": 3})
    copied = fresh(model)
    assert copied is not model
    assert copied.get_params() == model.get_params()


def test_copies_are_not_fitted():
    assert not hasattr(fresh(Ridge().fit([[0.0]], [0.0])), "coef_")
