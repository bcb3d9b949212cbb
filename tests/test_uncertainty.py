"""Chances of pairs and intervals of ranks are those of the model, and hold."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rankformer import RankerAdapter
from sklearn_rankformer._uncertainty import _draw_ranks, _member_scores
from sklearn_rankformer.ensemble import VotingRanker
from sklearn_rankformer.inspection import rank_uncertainty
from sklearn_rankformer.model_selection import ListKFold

from .conftest import make_lists
from .factories import both, mlp, rankformer


class Column:
    """Scores are a column, times a number."""

    def __init__(self, column=0, scale=1.0):
        self.column, self.scale = column, scale

    def predict(self, X):
        return self.scale * np.asarray(X)[:, self.column]


def luce_world(n_lists=400, size=6, temperature=0.7, seed=0):
    """Lists of two columns whose labels are ranks drawn from the first."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_lists * size, 2))
    groups = np.repeat(np.arange(n_lists), size)
    noisy = X[:, 0] + temperature * rng.gumbel(size=len(X))
    y = np.argsort(np.argsort(noisy.reshape(-1, size), axis=1), axis=1).ravel()
    return X, y, groups


def held_out(X, y, groups, chosen=slice(None)):
    return {"X_val": X[chosen], "y_val": y[chosen], "groups_val": groups[chosen]}


def test_chances_of_one_member_are_logistic_in_the_lead():
    X = np.array([[0.3], [2.0], [-1.0], [5.0]])
    found = rank_uncertainty(Column(), X, [0, 0, 0, 1], 0, temperature=0.5)
    assert_array_equal(found.rows, [1, 0, 2])
    scores = np.array([2.0, 0.3, -1.0])
    assert_allclose(found.proba, expit((scores[:, None] - scores) / 0.5))
    assert found.temperature == [0.5]


def test_ranks_are_drawn_as_plackett_and_luce_have_them():
    scores = np.array([1.0, 0.2, -0.5])
    drawn = _draw_ranks([scores[None]], np.random.RandomState(0))
    worth = np.exp(scores)
    for order in permutations(range(3)):
        first, second, _ = order
        chance = worth[first] / worth.sum()
        chance *= worth[second] / (worth.sum() - worth[first])
        ranks = np.argsort(order) + 1
        share = (drawn == ranks).all(axis=1).mean()
        assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / len(drawn))


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=12),
    st.floats(0.1, 10),
    st.floats(0.0, 1.0),
)
@settings(max_examples=20)
def test_chances_ranks_and_intervals_fit_one_another(scores, temperature, coverage):
    n = len(scores)
    found = rank_uncertainty(
        Column(),
        np.array(scores)[:, None],
        np.zeros(n),
        0,
        temperature=temperature,
        coverage=coverage,
        random_state=0,
    )
    assert_allclose(found.proba + found.proba.T, 1)
    assert_allclose(found.expected_rank.sum(), n * (n + 1) / 2)
    assert (np.diff(found.expected_rank) >= -1e-9).all()
    assert (found.low >= 1).all()
    assert (found.low <= found.high).all()
    assert (found.high <= n).all()


def test_order_of_rows_never_matters():
    X, y, groups = luce_world(n_lists=30)
    order = np.random.default_rng(1).permutation(len(X))
    val = held_out(X, y, groups)
    moved = held_out(X[order], y[order], groups[order])
    one = rank_uncertainty(Column(), X, groups, 3, **val)
    other = rank_uncertainty(Column(), X[order], groups[order], 3, **moved)
    assert_array_equal(order[other.rows], one.rows)
    assert_allclose(other.proba, one.proba)
    assert_allclose(other.temperature, one.temperature)


def test_temperature_of_the_world_is_found_whatever_the_unit_of_scores():
    X, y, groups = luce_world()
    found = rank_uncertainty(Column(), X, groups, 0, **held_out(X, y, groups))
    assert_allclose(found.temperature, 0.7, rtol=0.06)
    scaled = rank_uncertainty(
        Column(scale=100.0), X, groups, 0, **held_out(X, y, groups)
    )
    assert_allclose(scaled.temperature, 100 * found.temperature, rtol=1e-3)
    assert_allclose(scaled.proba, found.proba, atol=1e-4)


def test_chances_and_intervals_hold_on_new_lists_of_the_same_world():
    X, y, groups = luce_world(n_lists=500)
    val = groups < 200
    fitted = rank_uncertainty(Column(), X, groups, 0, **held_out(X, y, groups, val))
    chance, came, inside = [], [], []
    for one in range(200, 500):
        found = rank_uncertainty(
            Column(),
            X[groups == one],
            groups[groups == one],
            one,
            temperature=fitted.temperature,
            coverage=0.8,
            random_state=one,
        )
        labels = y[groups == one][found.rows]
        above, below = np.triu_indices(len(labels), 1)
        chance.append(found.proba[above, below])
        came.append(labels[above] > labels[below])
        rank = len(labels) - labels
        inside.append((found.low <= rank) & (rank <= found.high))
    chance, came = np.concatenate(chance), np.concatenate(came)
    assert (chance >= 0.5).all()
    for low in (0.5, 0.6, 0.7, 0.8, 0.9):
        here = (chance >= low) & (chance < low + 0.1)
        assert abs(came[here].mean() - chance[here].mean()) < 0.05
    # Ranks are whole numbers, so that intervals cover at least what they promise.
    assert 0.8 <= np.mean(inside) < 0.95


def test_labels_that_all_agree_leave_some_doubt():
    X = np.array([[2.0], [1.0], [0.0]])
    found = rank_uncertainty(
        Column(), X, np.zeros(3), 0, **held_out(X, np.array([2, 1, 0]), np.zeros(3))
    )
    assert 0.01 < found.proba[1, 0] < 0.4


def test_scores_without_differences_give_even_chances():
    X, y, groups = luce_world(n_lists=5)
    found = rank_uncertainty(
        Column(), 0 * X, groups, 0, **held_out(0 * X, y, groups), random_state=0
    )
    assert (found.proba == 0.5).all()
    assert_allclose(found.expected_rank, 3.5)


def test_many_pairs_of_a_long_list_are_drawn():
    X, y, groups = luce_world(n_lists=20, size=60)
    found = rank_uncertainty(Column(), X, groups, 0, **held_out(X, y, groups))
    assert_allclose(found.temperature, 0.7, rtol=0.1)


# Members and ensembles ----------------------------------------------------------------


@pytest.fixture(scope="module", params=["rankformer", "mlp"])
def fitted(request):
    X, y, groups = make_lists(n_lists=60)
    make = {"rankformer": rankformer, "mlp": mlp}[request.param]
    return make(n_members=3).fit(X, y, groups=groups), X, y, groups


def test_predict_is_the_mean_of_the_members(fitted):
    ranker, X, _, groups = fitted
    order = np.random.default_rng(0).permutation(len(X))
    scores = _member_scores(ranker, X[order], groups[order])
    assert scores.shape == (3, len(X))
    expected = ranker.predict(X[order], groups=groups[order])
    assert_allclose(scores.mean(0), expected, atol=1e-5)
    assert scores.std(0).max() > 0.01


def test_a_network_that_diverged_is_refused():
    X, y, groups = make_lists(n_lists=30)
    ranker = rankformer().fit(X, y, groups=groups)
    with torch.no_grad():
        next(ranker.module_.parameters()).fill_(np.nan)
    with pytest.raises(ValueError, match="Training diverged"):
        rank_uncertainty(ranker, X, groups, 5, temperature=1.0)


def test_chances_are_the_mean_over_members(fitted):
    ranker, X, _, groups = fitted
    largest = np.bincount(groups).argmax()
    found = rank_uncertainty(ranker, X, groups, largest, temperature=2.0)
    scores = _member_scores(ranker, X[found.rows], groups[found.rows]) / 2
    expected = expit(scores[:, :, None] - scores[:, None]).mean(0)
    assert_allclose(found.proba, expected, atol=1e-5)
    ranked = ranker.rank(X, groups=groups)
    assert_array_equal(found.rows, ranked[groups[ranked] == largest])


@both
def test_whatever_predicts_lists_is_judged(make, routing):
    X, y, groups = make_lists(n_lists=30)
    pipeline = make_pipeline(StandardScaler(), make()).fit(X, y, groups=groups)
    search = GridSearchCV(make(), {"dropout": [0.1]}, cv=ListKFold(2))
    search.fit(X, y, groups=groups)
    adapter = RankerAdapter(LinearRegression()).fit(X, y, groups=groups)
    vote = VotingRanker([("net", make()), ("line", adapter)]).fit(X, y, groups=groups)
    for ranker, n_members in ((pipeline, 2), (search, 2), (adapter, 1), (vote, 1)):
        assert _member_scores(ranker, X, groups).shape == (n_members, len(X))
        val = held_out(X, y, groups)
        found = rank_uncertainty(ranker, X, groups, 5, **val, random_state=0)
        assert found.proba.shape == 2 * ((groups == 5).sum(),)
    with_ids = np.column_stack([groups, X])
    ranker = make(group_column=0).fit(with_ids, y)
    found = rank_uncertainty(ranker, with_ids, groups, 5, temperature=1.0)
    assert_array_equal(np.sort(found.rows), np.flatnonzero(groups == 5))


def test_several_rankers_weigh_the_same_whatever_their_units():
    X, y, groups = luce_world()
    val = held_out(X, y, groups)
    pairs = [
        rank_uncertainty([Column(0), Column(1, scale)], X, groups, 2, **val)
        for scale in (1.0, 50.0)
    ]
    assert_allclose(pairs[0].proba, pairs[1].proba, atol=1e-3)
    assert_allclose(pairs[1].temperature[1], 50 * pairs[0].temperature[1], rtol=1e-3)
    # The second says nothing of the labels, so that little of it is believed.
    assert pairs[0].temperature[1] > 5 * pairs[0].temperature[0]
    alone, twice = (
        rank_uncertainty(rankers, X, groups, 2, **val)
        for rankers in (Column(), [Column(), Column()])
    )
    assert_allclose(alone.proba, twice.proba, atol=1e-4)


def test_draws_take_the_members_of_each_ranker_in_turn():
    certain = [np.array([[90.0, 0], [0, 90]]), np.array([[90.0, 0]])]
    ranks = _draw_ranks(certain, np.random.RandomState(0))
    assert (ranks[:, 0] == 1).mean() == 0.75


def test_labels_of_a_frame_are_given_back():
    pandas = pytest.importorskip("pandas")
    X, _, groups = luce_world(n_lists=3)
    frame = pandas.DataFrame(X, index=[f"item {i}" for i in range(len(X))])
    found = rank_uncertainty(Column(), frame, groups, 1, temperature=1)
    assert list(found.labels) == [f"item {row}" for row in found.rows]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"temperature": None}, "X_val, y_val and groups_val must be given"),
        ({"temperature": None, "X_val": np.ones((2, 1))}, "groups_val must be given"),
        ({"X_val": np.ones((2, 1))}, "both given"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"temperature": np.inf}, "temperature must be above 0"),
        ({"temperature": "warm"}, "temperature must be above 0 and finite, got 'warm'"),
        (
            {"temperature": np.ma.array([1.0], mask=[True])},
            "temperature has 1 masked entries",
        ),
        ({"temperature": [1.0, 2.0]}, r"temperature has shape \(2,\) for 1 rankers"),
        ({"coverage": 1.1}, "coverage"),
        ({"list_id": 7}, "No row of groups is of the list 7"),
        ({"groups": [0]}, "groups has 1 entries"),
        ({"ranker": []}, "ranker is an empty list"),
        (
            {
                "temperature": None,
                **held_out(*map(np.array, ([[1], [2]], [1, 1], [0, 0]))),
            },
            "No list of groups_val has two items with different labels",
        ),
        (
            {
                "temperature": None,
                **held_out(*map(np.array, ([[1], [2]], [1, 0], [0]))),
            },
            "groups_val has 1 entries",
        ),
        (
            {
                "temperature": None,
                **held_out(*map(np.array, ([[1], [2]], [1], [0, 0]))),
            },
            "y_val has 1 entries for 2 rows",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(params, message):
    call = {"X": np.ones((3, 1)), "groups": [0, 0, 1], "list_id": 0, "temperature": 1.0}
    with pytest.raises(ValueError, match=message):
        rank_uncertainty(**({"ranker": Column()} | call | params))
