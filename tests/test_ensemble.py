"""Ensembles of rankers: the promised mean, held-out scores, scikit-learn's contract."""

import pickle
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import _num_samples

from sklearn_rankformer import (
    CutListsWarning,
    MissingGroupsWarning,
    RankerAdapter,
    StackingRanker,
    VotingRanker,
    WithinListScaler,
)
from sklearn_rankformer._models import unwrap
from sklearn_rankformer.comparison import compare_rankers
from sklearn_rankformer.ensemble import rankformer_lightgbm
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.model_selection import ListKFold

from .conftest import make_lists
from .factories import TINY, mlp, rankformer


class Column(RegressorMixin, BaseEstimator):
    """Scores by one column: a member known exactly. Keeps what fit was given."""

    def __init__(self, column=0, shift=0.0, factor=1.0):
        self.column = column
        self.shift = shift
        self.factor = factor

    def fit(self, X, y, groups=None, sample_weight=None):
        self.seen_ = {"n_rows": len(y), "groups": groups, "weight": sample_weight}
        return self

    def predict(self, X, groups=None):
        scores = np.asarray(X)[:, self.column].astype(float)
        number = np.unique(groups, return_inverse=True)[1]
        return self.factor * scores + self.shift * number


TWO = [("a", Column(0)), ("b", Column(1))]

# Whole lists of items with two scores each; ties, and lists in which all are equal.
items = st.tuples(st.integers(-5, 5), st.integers(-5, 5))
ragged = st.lists(
    st.one_of(
        st.lists(items, min_size=1, max_size=6),
        items.map(lambda one: [one] * 3),
    ),
    min_size=1,
    max_size=5,
)


def flat(lists):
    X = np.array([item for one in lists for item in one], dtype=float)
    return X, np.repeat(np.arange(len(lists)), [len(one) for one in lists])


def relative(scores, scale):
    """Scores of one list on the scale of a vote, by the definition."""
    if np.ptp(scores) == 0:
        return np.zeros(len(scores))
    if scale == "standard":
        return (scores - scores.mean()) / scores.std()
    return (rankdata(scores) - 1) / (len(scores) - 1) - 0.5


def vote(X, groups, **params):
    ranker = VotingRanker(clone(TWO, safe=False), **params)
    return ranker.fit(X, np.zeros(len(X)), groups=groups)


# -- the vote -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["standard", "rank"])
@given(lists=ragged, weight=st.sampled_from([0.5, 1.0, 3.0]))
@pytest.mark.filterwarnings("ignore:None of")
def test_vote_is_the_weighted_mean_of_scores_relative_to_their_list(
    scale, lists, weight
):
    X, groups = flat(lists)
    found = vote(X, groups, scale=scale, weights=[1.0, weight]).predict(X, groups)
    for one in np.unique(groups):
        a, b = X[groups == one].T
        expected = relative(a, scale) + weight * relative(b, scale)
        np.testing.assert_allclose(
            found[groups == one], expected / (1 + weight), atol=1e-12
        )


@pytest.mark.parametrize("scale", ["standard", "rank"])
@given(lists=ragged, seed=st.integers(0, 999))
def test_order_of_rows_lists_and_items_and_other_lists_never_change_a_score(
    scale, lists, seed
):
    X, groups = flat(lists)
    ranker = vote(X, groups, scale=scale)
    scores = ranker.predict(X, groups=groups)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(X))
    names = rng.permutation(np.array([f"list {i}" for i in range(len(lists))]))
    mixed = ranker.predict(X[rows], groups=names[groups][rows])
    np.testing.assert_allclose(mixed, scores[rows], atol=1e-12)
    for one in np.unique(groups):
        alone = ranker.predict(X[groups == one], groups=groups[groups == one])
        np.testing.assert_allclose(alone, scores[groups == one], atol=1e-12)


@given(ragged, st.sampled_from([1e-3, 1.0, 1e6]), st.sampled_from([-1e3, 0.0, 10.0]))
def test_scale_of_a_member_and_what_it_adds_to_a_list_change_nothing(
    lists, factor, shift
):
    X, groups = flat(lists)
    y = np.zeros(len(X))
    plain = vote(X, groups).predict(X, groups=groups)
    members = [("a", Column(0, shift * factor, factor)), TWO[1]]
    moved = VotingRanker(members).fit(X, y, groups=groups).predict(X, groups=groups)
    np.testing.assert_allclose(moved, plain, atol=1e-6)


@pytest.mark.parametrize(("dtype", "step"), [("float32", 1.2e-7), ("float64", 1e-15)])
def test_scores_equal_but_for_rounding_are_no_opinion(dtype, step):
    class Typed(Column):
        def predict(self, X, groups=None):
            return super().predict(X, groups).astype(dtype)

    X = np.array([[1, 0.0], [1 + step, 1.0], [1 - step, 3.0]])
    groups = np.zeros(3, dtype=int)
    alone = VotingRanker([("b", Column(1))]).fit(X, [0, 1, 2], groups=groups)
    both = VotingRanker([("a", Typed(0)), TWO[1]]).fit(X, [0, 1, 2], groups=groups)
    expected = alone.predict(X, groups=groups) / 2
    np.testing.assert_allclose(both.predict(X, groups=groups), expected)


def test_a_regressor_that_computes_in_float32_has_no_opinion_of_equal_items():
    class Rounding(RegressorMixin, BaseEstimator):
        """Scores as a network of float32 does: equal rows differ by rounding."""

        def fit(self, X, y):
            return self

        def predict(self, X):
            steps = np.arange(len(X)) % 3
            return np.float32(1) + np.float32(1.2e-7) * steps.astype(np.float32)

    X, groups = np.ones((6, 1)), np.repeat([0, 1], 3)
    for member in (Rounding(), make_pipeline(StandardScaler(), Rounding())):
        ranker = VotingRanker([("a", member)]).fit(X, np.arange(6), groups=groups)
        np.testing.assert_array_equal(ranker.predict(X, groups=groups), 0)


def test_scores_far_from_zero_are_opinions_as_far_as_their_type_tells():
    X = 1.7e9 + 60.0 * np.arange(6)[:, None]  # minutes, in seconds since 1970
    groups = np.zeros(6, dtype=int)
    newest = VotingRanker([("new", Column(0))]).fit(X, np.arange(6), groups=groups)
    assert newest.rank(X, groups=groups).tolist() == [5, 4, 3, 2, 1, 0]


def test_members_are_what_they_are_when_fitted_alone(lists):
    X, y, groups = lists
    members = [("net", mlp(**TINY)), ("line", Ridge())]
    ranker = VotingRanker(members).fit(X, y, groups=groups)
    alone = mlp(**TINY).fit(X, y, groups=groups).predict(X)
    np.testing.assert_array_equal(ranker.named_estimators_["net"].predict(X), alone)
    line = Ridge().fit(X, y).predict(X)
    np.testing.assert_allclose(ranker.named_estimators_["line"].predict(X), line)
    assert ranker.estimators_ == list(ranker.named_estimators_.values())
    assert not hasattr(members[1][1], "coef_")  # the given one stays unfitted


def test_weights_and_ids_reach_every_member(lists):
    X, y, groups = lists
    names = np.array([f"q{one:02d}" for one in groups])
    weight = 1.0 + groups
    members = [*TWO, ("line", Ridge())]
    ranker = VotingRanker(members).fit(X, y, groups=names, sample_weight=weight)
    for seen in (one.seen_ for one in ranker.estimators_[:2]):
        np.testing.assert_array_equal(seen["weight"], weight)
        np.testing.assert_array_equal(seen["groups"], names)
    line = Ridge().fit(X, y, sample_weight=weight).predict(X)
    np.testing.assert_allclose(ranker.estimators_[2].predict(X), line)


def test_weights_reach_the_last_step_of_a_pipeline_and_others_that_ask(lists):
    X, y, groups = lists
    weight = 1.0 + groups
    plain, asks = StandardScaler(), StandardScaler()
    with config_context(enable_metadata_routing=True):
        asks.set_fit_request(sample_weight=True)
    members = [
        ("plain", make_pipeline(plain, RankerAdapter(Column()))),
        ("asks", make_pipeline(asks, RankerAdapter(Column()))),
    ]
    ranker = VotingRanker(members).fit(X, y, groups=groups, sample_weight=weight)
    for (scaler, last), expected in zip(
        ranker.estimators_, (X.mean(axis=0), weight @ X / weight.sum()), strict=True
    ):
        np.testing.assert_allclose(scaler.mean_, expected)
        np.testing.assert_array_equal(last.estimator_.seen_["weight"], weight)


@pytest.mark.parametrize("kind", [VotingRanker, StackingRanker])
@pytest.mark.parametrize("scaler", [WithinListScaler(), StandardScaler()])
def test_weights_reach_regressors_at_the_end_of_pipelines(kind, scaler, lists):
    X, y, groups = lists
    weight = 1.0 + groups
    member = make_pipeline(scaler, Ridge())
    ranker = kind([("a", member)]).fit(X, y, groups=groups, sample_weight=weight)
    given = {"groups": groups} if isinstance(scaler, WithinListScaler) else {}
    inside = clone(scaler).fit(X, **given).transform(X, **given)
    by_hand = Ridge().fit(inside, y, sample_weight=weight)
    fitted = unwrap(ranker.estimators_[0])[1]
    fitted = fitted if isinstance(fitted, Ridge) else fitted.estimator_[-1]
    np.testing.assert_allclose(fitted.coef_, by_hand.coef_)


def test_a_last_step_that_takes_no_weights_is_named(lists):
    X, y, groups = lists
    member = make_pipeline(WithinListScaler(), KNeighborsRegressor())
    with pytest.raises(ValueError, match="KNeighborsRegressor cannot use sample_we"):
        VotingRanker([("a", member)]).fit(X, y, groups, sample_weight=1.0 + groups)


def test_dropped_members_have_no_vote(lists):
    X, y, groups = lists
    ranker = VotingRanker(list(TWO), weights=[1, 5]).set_params(b="drop")
    ranker.fit(X, y, groups=groups)
    assert len(ranker.estimators_) == 1
    assert ranker.named_estimators_["b"] == "drop"
    alone = VotingRanker(TWO[:1]).fit(X, y, groups=groups)
    np.testing.assert_array_equal(
        ranker.predict(X, groups=groups), alone.predict(X, groups=groups)
    )


def test_a_fitted_vote_keeps_its_members_and_weights_whatever_is_set_since(lists):
    X, y, groups = lists
    ranker = VotingRanker(list(TWO), weights=[1, 3]).fit(X, y, groups=groups)
    before = ranker.predict(X, groups=groups)
    for params in ({"a": "drop"}, {"weights": [1, 0]}, {"weights": None}):
        ranker.set_params(**params)
        np.testing.assert_array_equal(ranker.predict(X, groups=groups), before)
    assert not np.allclose(ranker.fit(X, y, groups).predict(X, groups), before)


def test_a_scale_that_is_none_is_refused_after_fit_too(lists):
    X, y, groups = lists
    ranker = VotingRanker(list(TWO)).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="scale must be"):
        ranker.set_params(scale="foo").predict(X, groups=groups)


def test_a_fitted_stack_passes_the_scores_of_its_members_on_after_one_is_dropped(lists):
    pd = pytest.importorskip("pandas")
    X, y, groups = lists
    X = pd.DataFrame(X).rename(columns="x{}".format)
    ranker = StackingRanker(list(TWO), Ridge(), passthrough=True)
    before = ranker.fit(X, y, groups=groups).predict(X, groups=groups)
    ranker.set_params(a="drop")
    np.testing.assert_array_equal(ranker.predict(X, groups=groups), before)


@pytest.mark.parametrize("kind", ["array", "numbered", "pandas", "polars"])
def test_the_last_ranker_of_a_stack_sees_scores_first_then_features(kind, lists):
    X, y, groups = lists
    table = X
    if kind == "numbered":
        table = pytest.importorskip("pandas").DataFrame(X)
    elif kind != "array":
        frame = pytest.importorskip(kind).DataFrame
        table = frame({f"x{j}": X[:, j] for j in range(X.shape[1])})
    stack = StackingRanker(list(TWO), Column(2), passthrough=True)
    stack.fit(table, y, groups=groups)
    np.testing.assert_array_equal(stack.predict(table, groups), X[:, 0])
    # A regressor of scikit-learn refuses names of several types.
    assert StackingRanker(list(TWO), Ridge(), passthrough=True).fit(table, y, groups)


def test_a_stack_never_replaces_a_feature_by_a_score(lists):
    X, y, groups = lists
    names = ["score of a", *(f"x{j}" for j in range(1, X.shape[1]))]
    frame = pytest.importorskip("pandas").DataFrame(X, columns=names)
    stack = StackingRanker(list(TWO), Ridge(), passthrough=True)
    with pytest.raises(ValueError, match=r"adds columns named \['score of a'\]"):
        stack.fit(frame, y, groups=groups)


@pytest.mark.parametrize("kind", [VotingRanker, StackingRanker])
def test_same_scores_from_two_processes_and_after_a_pickle(kind, lists):
    X, y, groups = lists
    members = [("net", mlp(**TINY)), ("line", Ridge())]
    one = kind(members).fit(X, y, groups=groups)
    two = kind(members, n_jobs=2).fit(X, y, groups=groups)
    scores = one.predict(X, groups=groups)
    np.testing.assert_array_equal(two.predict(X, groups=groups), scores)
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.predict(X, groups=groups), scores)


def test_clones_keep_members_that_sklearn_cannot_clone_and_requests(routing):
    catboost = pytest.importorskip("catboost")
    trees = catboost.CatBoostRanker(cat_features=["a"], verbose=0)
    members = [("trees", trees), ("line", Ridge(alpha=3)), ("none", "drop")]
    stack = StackingRanker(members, trees, passthrough=True, n_jobs=2)
    stack.set_fit_request(sample_weight=True)
    for ranker in (VotingRanker(members, weights=[1, 2, 0]), stack):
        copied = clone(clone(ranker))
        assert copied.get_params()["trees__cat_features"] == ["a"]
        assert copied.get_params()["line__alpha"] == 3
        assert copied.estimators[2] == ("none", "drop")
        for (_, one), (_, other) in zip(members[:2], copied.estimators, strict=False):
            assert one is not other
    assert copied.final_estimator.get_params()["cat_features"] == ["a"]
    assert copied.passthrough
    assert copied.get_metadata_routing().fit.requests["sample_weight"] is True
    assert clone(VotingRanker(3)).estimators == 3  # which fit refuses


def test_frozen_members_stay_as_they_are(lists):
    X, y, groups = lists
    net = rankformer(**TINY).fit(X, y, groups=groups)
    line = Ridge().fit(X, y)
    ranker = VotingRanker(
        [(n, FrozenEstimator(m)) for n, m in (("a", net), ("b", line))]
    )
    ranker.fit(X[:60], y[:60], groups=groups[:60])
    assert ranker.estimators_[0].estimator is net
    scores = ranker.predict(X, groups=groups)
    both = [net.predict(X, groups=groups).astype(float), line.predict(X)]
    for one in np.unique(groups):
        expected = [relative(s[groups == one], "standard") for s in both]
        np.testing.assert_allclose(
            scores[groups == one], np.mean(expected, axis=0), atol=1e-3
        )
    assert ranker.predict_list_value(X, groups=groups).value == pytest.approx(
        net.predict_list_value(X, groups=groups).value
    )


# -- stacking -------------------------------------------------------------------------


def stack_by_hand(members, X, y, groups, cv, final):
    """Scores of the stack on its own rows, by loops."""
    held = np.empty((len(y), len(members)))
    inside = np.empty_like(held)
    for j, member in enumerate(members):
        for train, test in cv.split(X, y, groups):
            held[test, j] = clone(member).fit(X[train], y[train]).predict(X[test])
        inside[:, j] = clone(member).fit(X, y).predict(X)
    for scores in (held, inside):
        for one in np.unique(groups):
            for j in range(len(members)):
                scores[groups == one, j] = relative(
                    scores[groups == one, j], "standard"
                )
    return final.fit(held, y).predict(inside)


@pytest.mark.parametrize("cv", [None, GroupKFold(3)])
@pytest.mark.parametrize("final", [None, Ridge()])
def test_stack_learns_from_scores_of_lists_that_members_have_not_seen(cv, final, lists):
    X, y, groups = lists
    rows = np.random.default_rng(0).permutation(len(y))
    X, y, groups = X[rows], y[rows], groups[rows]
    members = [Ridge(), DecisionTreeRegressor(max_depth=3, random_state=0)]
    pairs = list(zip("ab", members, strict=True))
    ranker = StackingRanker(pairs, final, cv=cv).fit(X, y, groups=groups)
    expected = stack_by_hand(
        members,
        X,
        y,
        groups,
        cv or ListKFold(5, shuffle=False),
        clone(final) if final else LinearRegression(positive=True),
    )
    np.testing.assert_allclose(ranker.predict(X, groups=groups), expected, atol=1e-9)


def test_stack_does_not_believe_a_member_that_knows_its_lists_by_heart(lists):
    X, y, groups = lists
    y = X[:, 0] + np.random.default_rng(0).normal(0, 0.5, len(y))
    by_heart = DecisionTreeRegressor(max_features=1, random_state=0)
    members = [("line", Ridge()), ("by heart", by_heart)]
    ranker = StackingRanker(members).fit(X, y - y.min(), groups=groups)
    line, tree = ranker.final_estimator_.estimator_.coef_
    assert line > 5 * tree >= 0


@given(st.integers(0, 99))
def test_order_of_rows_never_changes_a_score_of_a_stack(seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(8), rng.integers(1, 6, 8))
    X, y = rng.normal(size=(len(groups), 2)), rng.integers(0, 3, len(groups))
    rows = rng.permutation(len(y))
    tree = DecisionTreeRegressor(max_depth=2, random_state=0)
    ranker = StackingRanker([("line", Ridge()), ("tree", tree)])
    plain = clone(ranker).fit(X, y, groups=groups).predict(X, groups=groups)
    mixed = ranker.fit(X[rows], y[rows], groups=groups[rows])
    np.testing.assert_allclose(mixed.predict(X, groups=groups), plain, atol=1e-8)


@pytest.mark.parametrize("kind", ["array", "sparse", "pandas", "polars"])
def test_features_follow_the_scores_if_passed_through(kind, lists):
    X, y, groups = lists
    names = [f"x{j}" for j in range(X.shape[1])]
    if kind == "sparse":
        X = sp.csr_matrix(X)
    elif kind != "array":
        X = pytest.importorskip(kind).DataFrame(dict(zip(names, X.T, strict=True)))
    members = [("line", Ridge()), ("none", DummyRegressor())]
    ranker = StackingRanker(members, mlp(**TINY), passthrough=True)
    ranker.fit(X, y, groups=groups)
    assert ranker.final_estimator_.n_features_in_ == 2 + len(names)
    if kind in ("pandas", "polars"):
        expected = [*names, "score of line", "score of none"]
        assert sorted(ranker.final_estimator_.feature_names_in_) == sorted(expected)
    assert ranker.predict(X, groups=groups).shape == y.shape


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (2, "lists on both sides of split 0"),
        ([(np.arange(8, 12), np.arange(8))], "does not test each list once"),
        ([(np.arange(6), np.arange(6, 12))] * 2, "does not test each list once"),
    ],
)
def test_splits_that_cut_lists_or_do_not_test_each_once_are_refused(cv, message):
    X, y, groups = np.eye(12), np.arange(12) % 3, np.repeat([0, 1, 2], 4)
    groups = groups if cv == 2 else np.repeat(np.arange(6), 2)
    with pytest.raises(ValueError, match=message):
        StackingRanker([("line", Ridge())], cv=cv).fit(X, y, groups=groups)


def test_splits_of_a_stack_may_be_masks_of_rows(lists):
    X, y, groups = lists
    even = groups % 2 == 0
    masks = [(even, ~even), (~even, even)]
    rows = [tuple(map(np.flatnonzero, one)) for one in masks]
    by_mask, by_row = (
        StackingRanker([("a", Ridge())], cv=cv).fit(X, y, groups=groups)
        for cv in (masks, rows)
    )
    np.testing.assert_array_equal(
        by_mask.predict(X, groups=groups), by_row.predict(X, groups=groups)
    )


def test_stack_needs_list_ids(lists):
    X, y, _ = lists
    with pytest.raises(ValueError, match="StackingRanker needs list ids"):
        StackingRanker([("line", Ridge())]).fit(X, y)


# -- lists, and who is given which ----------------------------------------------------


@pytest.mark.parametrize("kind", [VotingRanker, StackingRanker])
def test_column_and_alias_of_ids_equal_groups(kind, lists):
    X, y, groups = lists
    members = [("net", rankformer(**TINY)), ("line", Ridge())]
    scores = kind(members).fit(X, y, groups=groups).predict(X, groups=groups)
    by_alias = kind(members).fit(X, y, qid=groups)
    np.testing.assert_array_equal(by_alias.predict(X, qid=groups), scores)
    with_ids = np.column_stack([X, groups])
    by_column = kind(members, group_column=-1).fit(with_ids, y)
    np.testing.assert_array_equal(by_column.predict(with_ids), scores)
    assert by_column.n_features_in_ == X.shape[1]
    assert by_column.score(with_ids, y) == by_alias.score(X, y, groups)


@pytest.mark.parametrize("routed", [True, False])
def test_members_in_pipelines_and_searches_are_given_ids(routed, lists):
    X, y, groups = lists
    search = GridSearchCV(rankformer(**TINY), {"d_model": [8]}, cv=GroupKFold(2))
    members = [
        ("scaled", make_pipeline(WithinListScaler(), RankerAdapter(Ridge()))),
        ("net", make_pipeline(StandardScaler(), rankformer(**TINY))),
        ("search", search),
    ]
    with config_context(enable_metadata_routing=routed):
        ranker = VotingRanker(members).fit(X, y, groups=groups)
        scores = ranker.predict(X, groups=groups)
    X_scaled = WithinListScaler().fit_transform(X, groups=groups)
    X_net = StandardScaler().fit_transform(X)
    found = [
        Ridge().fit(X_scaled, y).predict(X_scaled),
        rankformer(**TINY).fit(X_net, y, groups=groups).predict(X_net, groups=groups),
        rankformer(**{**TINY, "d_model": 8}).fit(X, y, groups).predict(X, groups),
    ]
    for one in np.unique(groups):
        rows = groups == one
        by_hand = [relative(member[rows].astype(float), "standard") for member in found]
        np.testing.assert_allclose(scores[rows], np.mean(by_hand, axis=0), atol=1e-3)


def test_validation_lists_reach_those_that_stop_on_them_also_in_pipelines(lists):
    lightgbm = pytest.importorskip("lightgbm")
    X, y, groups = lists
    y = np.maximum(y, (groups % 3 == 0) & (X[:, 0] > 0))
    val = groups >= 28
    boosted = lightgbm.LGBMRanker(
        n_estimators=40, min_child_samples=2, verbosity=-1, n_jobs=1
    )
    stopping = RankerAdapter(boosted, early_stopping_rounds=3)
    scaled = make_pipeline(WithinListScaler(), stopping)
    members = [("plain", stopping), ("scaled", scaled), ("line", Ridge())]
    train = X[~val], y[~val], groups[~val]
    held = {"X_val": X[val], "y_val": y[val], "groups_val": groups[val]}
    ranker = VotingRanker(members).fit(*train, **held)
    scaler = WithinListScaler().fit(*train)
    inside = [scaler.transform(X[rows], groups[rows]) for rows in (~val, val)]
    by_hand = clone(stopping).fit(
        inside[0], y[~val], groups[~val], **{**held, "X_val": inside[1]}
    )
    plain = clone(stopping).fit(*train, **held)
    found_plain, found_scaled, _ = ranker.estimators_
    n_trees = found_plain.estimator_.best_iteration_
    assert n_trees == plain.estimator_.best_iteration_ < 40
    scores = found_scaled[-1].predict(inside[0])
    np.testing.assert_array_equal(scores, by_hand.predict(inside[0]))
    with pytest.raises(ValueError, match="needs validation data"):
        VotingRanker(members).fit(*train)
    with pytest.raises(ValueError, match="came without groups_val"):
        VotingRanker(members).fit(*train, X_val=X[val], y_val=y[val])


def test_ensemble_in_a_comparison_is_given_validation_lists_if_a_member_stops(lists):
    lightgbm = pytest.importorskip("lightgbm")
    boosted = lightgbm.LGBMRanker(n_estimators=5, verbosity=-1, n_jobs=1)
    stopping = RankerAdapter(boosted, early_stopping_rounds=2)
    rankers = {
        "vote": VotingRanker([("tree", stopping), ("line", "drop")]),
        "line": VotingRanker([("line", Ridge())]),
        "bare": Ridge(),
    }
    result = compare_rankers(rankers, *lists, cv=GroupKFold(2), validation_fraction=0.2)
    _, line, bare = result.values["ndcg@10"].values()
    np.testing.assert_allclose(line, bare)


def test_fit_without_ids_warns_and_takes_one_list(lists):
    X, y, _ = lists
    with pytest.warns(MissingGroupsWarning, match=r"VotingRanker.fit got no groups"):
        ranker = VotingRanker(list(TWO)).fit(X, y)
    expected = (relative(X[:, 0], "standard") + relative(X[:, 1], "standard")) / 2
    np.testing.assert_allclose(ranker.predict(X, groups=np.zeros(len(y))), expected)


def test_predict_without_ids_is_refused_after_a_fit_with_some(lists):
    X, y, groups = lists
    ranker = VotingRanker(list(TWO)).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="was fitted with groups, so predict needs"):
        ranker.predict(X)


def test_folds_that_cut_lists_warn(lists, routing):
    X, y, groups = lists
    y = np.maximum(y, 1)
    ranker = VotingRanker([("line", Ridge())])
    with pytest.warns(CutListsWarning):
        cross_val_score(
            ranker, X, y, cv=KFold(3, shuffle=True), params={"groups": groups}
        )


# -- the list value -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [VotingRanker, StackingRanker])
def test_list_value_is_the_mean_of_the_members_that_have_one(kind, lists):
    X, y, groups = lists
    members = [
        ("one", rankformer(**TINY)),
        ("two", make_pipeline(StandardScaler(), rankformer(**TINY, random_state=1))),
        ("line", Ridge()),
    ]
    ranker = (
        kind(members, cv=GroupKFold(2)) if kind is StackingRanker else kind(members)
    )
    found = ranker.fit(X, y, groups=groups).predict_list_value(X, groups=groups)
    one = rankformer(**TINY).fit(X, y, groups=groups)
    X_two = StandardScaler().fit_transform(X)
    two = rankformer(**TINY, random_state=1).fit(X_two, y, groups=groups)
    values = [
        one.predict_list_value(X, groups=groups),
        two.predict_list_value(X_two, groups=groups),
    ]
    np.testing.assert_array_equal(found.groups, np.unique(groups))
    np.testing.assert_allclose(
        found.proba, np.mean([v.proba for v in values], axis=0), atol=1e-6
    )
    np.testing.assert_allclose(found.proba.sum(axis=1), 1)
    np.testing.assert_allclose(found.value, found.proba @ one.levels_)
    np.testing.assert_array_equal(ranker.levels_, one.levels_)


def test_list_value_is_hidden_where_no_member_has_one(lists):
    without = VotingRanker([("line", Ridge()), ("net", rankformer(listwide_weight=0))])
    assert not hasattr(without, "predict_list_value")
    assert hasattr(VotingRanker([("net", rankformer())]), "predict_list_value")
    fitted = VotingRanker(list(TWO)).fit(*lists)
    assert not hasattr(fitted, "predict_list_value")


def test_list_values_of_unequal_levels_are_not_averaged(lists):
    X, y, groups = lists
    members = [("one", rankformer(**TINY)), ("two", rankformer(**TINY))]
    ranker = VotingRanker(members).fit(X, y, groups=groups)
    ranker.estimators_[1].fit(X, np.minimum(y, 1), groups=groups)
    with pytest.raises(ValueError, match="unequal levels"):
        ranker.predict_list_value(X, groups=groups)
    with pytest.raises(AttributeError, match="unequal levels"):
        ranker.levels_  # noqa: B018


@pytest.mark.parametrize("kind", [VotingRanker, StackingRanker])
@pytest.mark.parametrize("fitted", [True, False])
def test_notebooks_show_ensembles_without_a_list_value(kind, fitted, lists):
    ranker = kind(list(TWO))
    if fitted:
        ranker.fit(*lists)
    assert not hasattr(ranker, "levels_")
    assert "levels_" not in dir(ranker)
    assert kind.__name__ in estimator_html_repr(ranker)


# -- scikit-learn's contract ----------------------------------------------------------


def test_parameters_of_members_are_found_by_name():
    ranker = VotingRanker([("net", mlp()), ("line", Ridge())])
    assert ranker.get_params()["line__alpha"] == 1.0
    assert set(ranker.get_params(deep=False)) == {
        "estimators",
        "weights",
        "scale",
        "n_jobs",
        "group_column",
    }
    ranker.set_params(line__alpha=3.0, net="drop", scale="rank")
    assert ranker.named_estimators["line"].alpha == 3.0
    assert ranker.named_estimators["net"] == "drop"
    copied = clone(ranker)
    assert copied.get_params()["line__alpha"] == 3.0
    assert copied.named_estimators["line"] is not ranker.named_estimators["line"]
    stack = StackingRanker(list(TWO), Ridge())
    assert stack.set_params(final_estimator__alpha=2.0).final_estimator.alpha == 2.0


def test_search_over_a_members_parameter_equals_a_loop(lists, routing):
    lightgbm = pytest.importorskip("lightgbm")
    X, y, groups = lists
    boosted = lightgbm.LGBMRanker(
        n_estimators=5, min_child_samples=2, verbosity=-1, n_jobs=1
    )
    ranker = VotingRanker([("net", mlp(**TINY)), ("lightgbm", boosted)])
    rates = [0.01, 0.5]
    grid = {"lightgbm__learning_rate": rates, "weights": [[1, 2]]}
    search = GridSearchCV(ranker, grid, cv=GroupKFold(2)).fit(X, y, groups=groups)
    for i, rate in enumerate(rates):
        for k, (train, test) in enumerate(GroupKFold(2).split(X, y, groups)):
            one = clone(ranker).set_params(lightgbm__learning_rate=rate, weights=[1, 2])
            one.fit(X[train], y[train], groups=groups[train])
            scores = one.predict(X[test], groups=groups[test])
            expected = ndcg_score(y[test], scores, groups[test], k=10)
            found = search.cv_results_[f"split{k}_test_score"][i]
            assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", [VotingRanker, StackingRanker])
def test_pipeline_hands_ids_and_weights_on(kind, lists, routing):
    X, y, groups = lists
    ranker = kind([*TWO, ("line", Ridge())]).set_fit_request(sample_weight=True)
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    model = make_pipeline(scaler, ranker)
    weight = 1.0 + groups
    model.fit(X, y, groups=groups, sample_weight=weight)
    alone = clone(ranker).fit(
        StandardScaler().fit_transform(X), y, groups=groups, sample_weight=weight
    )
    scores = alone.predict(StandardScaler().fit_transform(X), groups=groups)
    np.testing.assert_allclose(model.predict(X, groups=groups), scores)
    expected = ndcg_score(y, scores, groups, k=10)
    assert model.score(X, y, groups=groups) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ranker", "error", "message"),
    [
        (VotingRanker([]), ValueError, "list of pairs such as"),
        (VotingRanker([Ridge()]), ValueError, "list of pairs such as"),
        (VotingRanker([("a", Ridge()), ("a", Ridge())]), ValueError, "not unique"),
        (VotingRanker([("scale", Ridge())]), ValueError, "conflict"),
        (VotingRanker([("a", "drop")]), ValueError, "All members are dropped"),
        (VotingRanker([("a", "drip")]), ValueError, "member 'a' is 'drip'"),
        (VotingRanker([("a", mlp(group_column=0))]), ValueError, "never sees that"),
        (VotingRanker(TWO, weights=[1]), ValueError, "each of the 2 members"),
        (VotingRanker(TWO, weights={"a": 1, "b": 2}), ValueError, "of the 2 members"),
        (VotingRanker(TWO, weights=[1, -1]), ValueError, "must not be negative"),
        (VotingRanker(TWO, weights=[0, 0]), ValueError, "nor all 0"),
        (VotingRanker(TWO, scale="z"), ValueError, "'scale' parameter"),
        (VotingRanker([("a", LogisticRegression())]), TypeError, "predicts classes"),
        (StackingRanker(TWO, passthrough=True), ValueError, "needs a final_estimator"),
        (
            StackingRanker(TWO, mlp(group_column=0)),
            ValueError,
            "final_estimator has group_column",
        ),
        (VotingRanker([("a", Ridge)]), TypeError, r"'a' is the class Ridge.*Ridge\(\)"),
        (VotingRanker([("a", None)]), TypeError, "'a' must be an estimator .* None"),
        (StackingRanker(TWO, Ridge), TypeError, "final_estimator is the class Ridge"),
    ],
)
def test_what_cannot_be_an_ensemble_is_named(ranker, error, message, lists):
    X, y, groups = lists
    with pytest.raises(error, match=message):
        ranker.fit(X, y, groups=groups)


def test_too_few_lists_for_the_folds_of_a_stack_name_its_cv(lists):
    X, y, groups = lists
    X, y, groups = X[groups < 3], y[groups < 3], groups[groups < 3]
    with pytest.raises(ValueError, match=r"only 3\. .* such as cv=ListKFold\(3\)"):
        StackingRanker(TWO).fit(X, y, groups)
    assert StackingRanker(TWO, cv=ListKFold(3)).fit(X, y, groups)


def test_infinite_scores_are_refused(lists):
    X, y, groups = lists
    ranker = VotingRanker([TWO[0], ("b", Column(1, factor=np.inf))])
    with pytest.raises(ValueError, match="Column scores infinity"):
        ranker.fit(X + 9, y, groups=groups).predict(X + 9, groups=groups)


class StackOfFourths(StackingRanker):
    """Takes each eighth of the rows for a list in fit, as the checks have no ids."""

    def fit(self, X, y, sample_weight=None):
        n_rows = len(X) if isinstance(X, list) else _num_samples(X)
        groups = np.arange(n_rows) * 8 // max(n_rows, 1)
        super().fit(X, y, groups, sample_weight=sample_weight)
        self.fitted_with_groups_ = False
        return self


RELATIVE = "a score is relative to its list"
REPEATED = "the check repeats rows, and so makes other lists of them"
EXPECTED = {
    "VotingRanker": {"check_methods_subset_invariance": RELATIVE},
    "StackOfFourths": {
        "check_methods_subset_invariance": RELATIVE,
        "check_sample_weight_equivalence_on_dense_data": REPEATED,
        "check_sample_weight_equivalence_on_sparse_data": REPEATED,
        "check_fit2d_1sample": "one row is one list, which cannot be split in five",
    },
}
TREE = DecisionTreeRegressor(random_state=0)


@pytest.mark.filterwarnings(
    "ignore::sklearn_rankformer.MissingGroupsWarning",
    "ignore:Can't check dok sparse matrix:UserWarning",
)
@parametrize_with_checks(
    [
        VotingRanker([("line", Ridge()), ("tree", TREE)]),
        StackOfFourths([("line", Ridge()), ("tree", TREE)]),
    ],
    expected_failed_checks=lambda ranker: EXPECTED[type(ranker).__name__],
)
def test_the_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


def test_missing_values_reach_members_that_take_them_in_pipelines_too():
    lightgbm = pytest.importorskip("lightgbm")
    X, y, groups = make_lists(n_lists=30)
    X[::7, 1] = np.nan
    trees = RankerAdapter(lightgbm.LGBMRanker(n_estimators=5, verbosity=-1))
    members = [
        ("network", mlp()),
        ("trees", make_pipeline(WithinListScaler(), trees)),
    ]
    scores = VotingRanker(members).fit(X, y, groups=groups).predict(X, groups=groups)
    assert np.isfinite(scores).all()
    with pytest.raises(ValueError, match="NaN"):
        VotingRanker([*members, ("ridge", Ridge())]).fit(X, y, groups=groups)


def test_the_pair_ranks_lists_and_knows_their_value():
    pytest.importorskip("lightgbm")
    X, y, groups = make_lists(n_lists=40)
    pair = rankformer_lightgbm(random_state=0).set_params(
        rankformer__max_epochs=2, rankformer__n_members=1
    )
    again = clone(pair).fit(X, y, groups=groups)
    scores = pair.fit(X, y, groups=groups).predict(X, groups=groups)
    np.testing.assert_array_equal(scores, again.predict(X, groups=groups))
    assert pair.score(X, y, groups=groups) > 0.8
    assert pair.predict_list_value(X, groups=groups).value.shape == (40,)
    trees = pair.named_estimators_["lightgbm"][-1].estimator_
    assert trees.n_features_in_ == 2 * X.shape[1]


def test_the_pair_asks_for_lightgbm_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ImportError, match=r"sklearn-rankformer\[gbdt\]"):
        rankformer_lightgbm()
