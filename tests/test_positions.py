"""Shown positions explain their part of the clicks, and are left out of the scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rankformer import MLPRanker, RankFormerRanker
from sklearn_rankformer._positions import MAX_POSITIONS
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.persistence import load, save

both = pytest.mark.parametrize("make", [RankFormerRanker, MLPRanker])
PARAMS = {"max_epochs": 4, "n_members": 1, "random_state": 0}


def click_log(n_lists=300, size=8, strength=1.5, seed=0, skill=0.5):
    """X, clicks, groups, position and relevance; a fair ranker of its time showed."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_lists), size)
    X = rng.normal(size=(len(groups), 3))
    relevance = 1 / (1 + np.exp(1 - 1.5 * X[:, 0]))
    shown_by = skill * X[:, 0] + rng.normal(size=len(groups))
    order = np.argsort(-shown_by.reshape(n_lists, size), axis=1)
    position = np.argsort(order, axis=1).ravel() + 1
    seen = position ** -float(strength)
    clicks = (rng.random(len(groups)) < seen * relevance).astype(int)
    return X, clicks, groups, position, relevance


@both
def test_the_bias_of_positions_is_learned(make):
    X, y, groups, position, _ = click_log(n_lists=1500)
    ranker = make(max_epochs=10, n_members=1, batch_items=128, random_state=0)
    ranker.fit(X, y, groups=groups, position=position)
    assert ranker.positions_.tolist() == list(range(1, 9))
    true = -1.5 * np.log(np.arange(1, 9))
    # Few steps leave it closer to 0 than the truth, by one factor for all.
    slope, _ = np.polyfit(true, ranker.position_bias_, 1)
    assert 0.4 < slope < 1.2
    assert np.corrcoef(true, ranker.position_bias_)[0, 1] > 0.98
    assert ranker.position_bias_.mean() == pytest.approx(0, abs=1e-6)


def test_positions_that_misled_no_longer_do():
    """What was shown first followed from a column that says nothing of relevance."""
    X, _, groups, _, relevance = click_log(n_lists=600, seed=1)
    rng = np.random.default_rng(0)
    shown_by = 2 * X[:, 1] + rng.normal(size=len(X))
    order = np.argsort(-shown_by.reshape(-1, 8), axis=1)
    position = np.argsort(order, axis=1).ravel() + 1
    y = (rng.random(len(X)) < relevance / position**1.5).astype(int)
    new = click_log(n_lists=200, seed=2)

    def quality(**given):
        params = {"max_epochs": 8, "n_members": 1, "batch_items": 128}
        ranker = RankFormerRanker(**params, random_state=0)
        ranker.fit(X, y, groups=groups, **given)
        scores = ranker.predict(new[0], groups=new[2])
        return ndcg_score(new[4] > 0.5, scores, new[2])

    assert quality(position=position) > quality() + 0.03


@both
def test_scores_do_not_ask_for_positions_and_survive_a_file(make, tmp_path):
    X, y, groups, position, _ = click_log()
    ranker = make(**PARAMS).fit(X, y, groups=groups, position=position)
    scores = ranker.predict(X, groups=groups)
    save(ranker, tmp_path / "ranker", optimizer=True)
    stored = load(tmp_path / "ranker")
    np.testing.assert_array_equal(stored.predict(X, groups=groups), scores)
    np.testing.assert_array_equal(stored.position_bias_, ranker.position_bias_)
    assert stored.positions_.tolist() == ranker.positions_.tolist()
    more = [
        one.partial_fit(X, y, groups, position=position) for one in (ranker, stored)
    ]
    np.testing.assert_array_equal(more[0].position_bias_, more[1].position_bias_)
    assert (more[0].predict(X, groups=groups) != scores).any()


@settings(max_examples=5)
@given(order=st.permutations(range(40)))
def test_rows_may_come_in_any_order(order):
    X, y, groups, position, _ = click_log(n_lists=5)
    ranker = RankFormerRanker(
        max_epochs=2,
        n_members=1,
        dropout=0.0,
        feature_dropout=0.0,
        validation_fraction=None,
        precision="float32",
        random_state=0,
    )
    ranker.fit(X, y, groups=groups, position=position)
    scores = ranker.predict(X, groups=groups)
    ranker.fit(X[order], y[order], groups=groups[order], position=position[order])
    np.testing.assert_allclose(ranker.predict(X, groups=groups), scores, atol=1e-3)


@both
def test_equal_positions_teach_as_none(make):
    X, y, groups, _, _ = click_log()
    params = PARAMS | {"precision": "float32"}
    without = make(**params).fit(X, y, groups=groups)
    with_one = make(**params).fit(X, y, groups=groups, position=np.ones(len(y)))
    np.testing.assert_allclose(
        with_one.predict(X, groups=groups), without.predict(X, groups=groups), atol=1e-4
    )


def test_positions_may_be_words_and_a_later_part_may_hold_others():
    X, y, groups, position, _ = click_log()
    slots = np.array([f"phone-{p}" for p in position])
    ranker = RankFormerRanker(**PARAMS).fit(X, y, groups=groups, position=slots)
    assert ranker.positions_[0] == "phone-1"
    before = ranker.position_bias_
    new = np.array([f"desk-{p}" for p in position])
    assert ranker.partial_fit(X, y, groups=groups, position=new).positions_.size == 8
    # Only weight decay touched what no item of this part was shown at.
    np.testing.assert_allclose(ranker.position_bias_, before, rtol=0.3, atol=0.05)


def test_pipelines_and_searches_hand_positions_on(routing):
    X, y, groups, position, _ = click_log(n_lists=60)
    pipeline = make_pipeline(StandardScaler(), RankFormerRanker(**PARAMS))
    search = GridSearchCV(
        pipeline, {"rankformerranker__learning_rate": [1e-3, 3e-3]}, cv=GroupKFold(2)
    )
    search.fit(X, y, groups=groups, position=position)
    assert search.best_estimator_[-1].positions_.size == 8


@both
@pytest.mark.parametrize(
    ("position", "message"),
    [
        ([1, 2, 3], "position has 3 entries"),
        (3, r"position must be 1-D, got shape \(\)"),
        (np.full(80, np.nan), "row 0 has no position"),
        ([None, *"ab" * 39, "a"], "row 0 has no position"),
        (np.arange(80) * 1.5, "the fractional position 1.5"),
        (np.arange(80) * 1j, "Give one position per row"),
        (np.zeros(80, "M8[D]"), r"position has dtype datetime64\[D\]"),
        (np.full(80, b"1"), r"position has dtype \|S1"),
    ],
)
def test_what_is_no_position_is_refused_as_such(make, position, message):
    X, y, groups, _, _ = click_log(n_lists=10)
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        make(**PARAMS).fit(X, y, groups=groups, position=position)
    assert "list id" not in str(caught.value)


def test_ids_in_place_of_positions_are_refused():
    X, y, groups, _, _ = click_log(n_lists=200)
    assert len(y) > MAX_POSITIONS
    with pytest.raises(ValueError, match="look like ids"):
        RankFormerRanker(**PARAMS).fit(X, y, groups=groups, position=np.arange(len(y)))


def test_positions_of_another_type_than_before_are_refused_not_unknown():
    X, y, groups, shown, _ = click_log(n_lists=20)
    ranker = MLPRanker(**PARAMS)
    ranker.partial_fit(X, y, groups=groups, position=shown.astype(str))
    with pytest.raises(TypeError, match="position holds numbers, and the ranker was f"):
        ranker.partial_fit(X, y, groups=groups, position=shown)


def test_a_ranker_fitted_without_positions_says_so():
    X, y, groups, position, _ = click_log(n_lists=20)
    ranker = RankFormerRanker(**PARAMS).fit(X, y, groups=groups)
    assert not hasattr(ranker, "position_bias_")
    assert not hasattr(ranker, "positions_")
    with pytest.raises(ValueError, match="fitted without"):
        ranker.partial_fit(X, y, groups=groups, position=position)
