"""Chances of lists and items: they hold, they fall, they keep the order."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import Callback

from sklearn_rankformer import MLPRanker, RankFormerRanker
from sklearn_rankformer._chances import (
    LIST_GUESS,
    calibrate_items,
    calibrate_lists,
    guess,
    item_chances,
    item_thresholds,
    list_chances,
    list_logits,
    match_logits,
    to_proba,
)
from sklearn_rankformer._lists import split_lists
from sklearn_rankformer._rows import Levels
from sklearn_rankformer.persistence import load, save

from .conftest import make_lists
from .strategies import list_ids

SMALL = {
    "d_model": 16,
    "nhead": 2,
    "dim_feedforward": 16,
    "n_members": 2,
    "n_bins": 4,
    "max_epochs": 2,
    "random_state": 0,
}


def rankformer(**params):
    return RankFormerRanker(**{**SMALL, **params})


@pytest.fixture(scope="module")
def fitted():
    X, y, groups = make_lists(n_lists=120)
    return rankformer(max_epochs=6).fit(X, y, groups=groups)


def calibrate(views, grades):
    """Weights fitted on lists of which no more are known."""
    n_thresholds = views.shape[2]
    shares = [(grades > k).mean() if len(grades) else 0.5 for k in range(n_thresholds)]
    return calibrate_lists(views, grades, np.array(shares))


def draw_views(n_lists, n_thresholds=1, seed=0):
    """Two views of lists, and outcomes drawn by known weights of them."""
    rng = np.random.default_rng(seed)
    views = rng.normal(scale=2, size=(n_lists, 2, n_thresholds))
    weights = np.tile([0.3, 1.1, -0.4], (n_thresholds, 1))
    grades = rng.random((n_lists, n_thresholds)) < expit(list_logits(views, weights))
    return views, weights, grades.sum(1)


# Fitting -----------------------------------------------------------------------------


def test_with_many_lists_the_data_decide():
    views, weights, grades = draw_views(20_000)
    np.testing.assert_allclose(calibrate(views, grades), weights, atol=0.07)
    reference = LogisticRegression(C=1e9).fit(views[:, :, 0], grades)
    expected = [*reference.coef_[0], *reference.intercept_]
    np.testing.assert_allclose(calibrate(views, grades)[0], expected, atol=0.005)


def test_without_lists_the_guess_stands():
    none = calibrate(np.empty((0, 2, 3)), np.empty(0, dtype=int))
    np.testing.assert_allclose(none, np.tile(LIST_GUESS, (3, 1)), atol=1e-6)
    assert guess(3, 2).n_lists == 0


def test_a_view_that_says_the_opposite_is_ignored_not_turned_round():
    views, _, grades = draw_views(3000)
    views[:, 0] = -views[:, 1]
    weights = calibrate(views, grades)
    assert (weights[:, :-1] >= 0).all()


@pytest.mark.parametrize("n_lists", [10, 30])
def test_few_lists_move_the_guess_a_little(n_lists):
    rng = np.random.default_rng(0)
    views = rng.normal(size=(n_lists, 2, 1))
    weights = calibrate(views, np.ones(n_lists, dtype=int))[0]
    assert np.abs(weights - LIST_GUESS).max() < 1.5


def test_what_is_known_of_all_lists_corrects_the_luck_of_the_draw():
    views, _, grades = draw_views(40_000)
    held = np.flatnonzero(grades > 0)[:9000], np.flatnonzero(grades == 0)[:3000]
    held = np.concatenate(held)  # too many good ones
    share = (grades > 0).mean()
    weights = calibrate_lists(views[held], grades[held], np.array([share]))
    assert list_chances(views, weights).mean() == pytest.approx(share, abs=0.02)
    lucky = list_chances(views, calibrate(views[held], grades[held]))
    assert lucky.mean() > share + 0.1
    # The same fit by another library: each class weighs what is known of it.
    balance = {True: share / 0.75, False: (1 - share) / 0.25}
    balanced = LogisticRegression(C=1e9, class_weight=balance)
    balanced.fit(views[held, :, 0], grades[held] > 0)
    expected = [*balanced.coef_[0], *balanced.intercept_]
    np.testing.assert_allclose(weights[0], expected, atol=0.01)


@pytest.mark.parametrize("grade", [0, 1])
def test_held_out_lists_all_of_one_kind_say_so_by_themselves(grade):
    views, grades = draw_views(50)[0], np.full(50, grade)
    found = calibrate_lists(views, grades, np.array([0.4]))
    np.testing.assert_array_equal(found, calibrate(views, grades))


def test_chances_of_a_fit_agree_with_all_lists_not_with_those_held_out():
    X, y, groups = make_lists(n_lists=200)
    best = np.maximum.reduceat(y, np.flatnonzero(np.diff(groups, prepend=-1)))
    # Next to nothing is learned of them, so that chances are a share of lists.
    params = {"max_epochs": 1, "learning_rate": 1e-9, "validation_fraction": 0.2}
    for seed in range(5):
        ranker = rankformer(**params, random_state=seed).fit(X, y, groups=groups)
        of_lists = ranker.predict_list_value(X, groups=groups).proba[:, 0]
        of_items = ranker.predict_item_value(X, groups=groups).proba[:, 0]
        assert of_lists.mean() == pytest.approx((best == 0).mean(), abs=0.03)
        assert of_items.mean() == pytest.approx((y == 0).mean(), abs=0.03)


@given(ids=list_ids(), data=st.data())
def test_items_in_another_order_are_calibrated_alike(ids, data):
    rng = np.random.default_rng(0)
    ids = np.array(ids)
    order = np.array(data.draw(st.permutations(range(len(ids)))))
    scores, grades = rng.normal(size=len(ids)), rng.integers(0, 3, len(ids))
    lists, other = split_lists(ids), split_lists(ids[order])
    of_list = rng.normal(size=(lists.n_lists, 2))
    everything, shares = np.ones(len(ids), dtype=bool), np.array([0.6, 0.3])
    a = calibrate_items(scores, of_list, lists, grades, everything, shares)
    rest = other, grades[order], everything, shares
    b = calibrate_items(scores[order], of_list, *rest)
    np.testing.assert_allclose(a, b, atol=1e-4)


# Chances -----------------------------------------------------------------------------


@given(
    above=st.lists(
        st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3), min_size=1, max_size=5
    )
)
def test_chances_fall_with_the_level_and_none_is_negative(above):
    # One view with the logits of any chances, falling or not.
    views = np.zeros((len(above), 2, 3))
    views[:, 0] = logit(above)
    chances = list_chances(views, np.tile([1.0, 0.0, 0.0], (3, 1)))
    assert (np.diff(chances, axis=1) <= 0).all()
    proba = to_proba(chances)
    assert (proba >= 0).all()
    np.testing.assert_allclose(proba.sum(1), 1)
    np.testing.assert_allclose(chances[:, 0], np.array(above)[:, 0])


@given(ids=list_ids(), seed=st.integers(0, 99))
def test_chances_of_items_follow_the_formula(ids, seed):
    rng = np.random.default_rng(seed)
    ids = np.array(ids)
    lists = split_lists(ids)
    scores, of_list = rng.normal(size=len(ids)), rng.normal(size=(lists.n_lists, 1))
    chances = item_chances(scores, of_list, lists, np.array([[1.2, 0.6, -0.1, 0.3]]))
    for row, one in enumerate(ids):
        own = np.exp(scores[ids == one])
        j = np.flatnonzero(lists.ids == one)[0]
        share = np.log(np.exp(scores[row]) / own.sum())
        z = 1.2 * share + 0.6 * of_list[j, 0] - 0.1 * np.log(len(own)) + 0.3
        assert chances[row, 0] == pytest.approx(expit(z))


def test_thresholds_of_items_are_matched_to_those_of_lists_by_value():
    items, lists = (
        Levels(values, values)
        for values in (np.array([0.0, 1, 2, 4]), np.array([0.0, 2, 4]))
    )
    assert item_thresholds(items, lists).tolist() == [0, 0, 1]
    # Where all lists hold a 2, that a list is above 0 or 1 goes without saying.
    high = Levels(np.array([2.0, 4.0]), np.array([2.0, 4.0]))
    assert item_thresholds(items, high).tolist() == [-1, -1, 0]
    joined = np.array([[5.0], [7.0]])
    assert match_logits(joined, items, high).tolist() == [[0, 0, 5], [0, 0, 7]]
    one = Levels(np.array([2.0]), np.array([2.0]))
    assert match_logits(np.empty((2, 0)), items, one).tolist() == [[0, 0, 0]] * 2


# The ranker --------------------------------------------------------------------------


def test_item_value_keeps_the_order_of_predict_in_every_list(fitted):
    X, _, groups = make_lists(n_lists=60, seed=1)
    scores = fitted.predict(X, groups=groups)
    item = fitted.predict_item_value(X, groups=groups)
    assert item.proba.shape == (len(X), len(item.levels))
    assert (item.proba >= 0).all()
    np.testing.assert_allclose(item.proba.sum(1), 1)
    np.testing.assert_allclose(item.value, item.proba @ item.levels)
    for one in np.unique(groups):
        own = groups == one
        np.testing.assert_array_equal(rankdata(item.value[own]), rankdata(scores[own]))


def test_item_value_is_comparable_between_lists():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 5)
    good = np.repeat(rng.random(300) < 0.5, 5)
    X = rng.normal(size=(1500, 3)) + 2 * good[:, None]
    y = good * rng.integers(1, 3, 1500)
    ranker = rankformer(max_epochs=15, learning_rate=5e-3).fit(X, y, groups=groups)
    value = ranker.predict_item_value(X, groups=groups).value
    assert value[good].mean() > 3 * value[~good].mean()
    assert value.mean() == pytest.approx(y.mean(), abs=0.15)


def test_order_of_rows_never_changes_an_item_value(fitted):
    X, _, groups = make_lists(seed=1)
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = fitted.predict_item_value(X[order], groups=groups[order])
    expected = fitted.predict_item_value(X, groups=groups)
    np.testing.assert_allclose(shuffled.value, expected.value[order], atol=1e-5)


def test_chances_of_scores_far_apart_underflow_in_silence():
    X, y, groups = make_lists()
    ranker = rankformer(max_epochs=1).fit(X, y, groups=groups)
    ranker.module_.item_head.out.weight.data.mul_(1e4)
    with np.errstate(all="raise"):
        items = ranker.predict_all(X, groups=groups).item_value
    np.testing.assert_allclose(items.proba.sum(1), 1)


def test_one_pass_gives_what_three_calls_give(fitted):
    X, _, groups = make_lists(seed=1)
    everything = fitted.predict_all(X, groups=groups)
    np.testing.assert_array_equal(everything.scores, fitted.predict(X, groups))
    lists = fitted.predict_list_value(X, groups)
    np.testing.assert_array_equal(everything.list_value.proba, lists.proba)
    np.testing.assert_array_equal(everything.list_value.groups, lists.groups)
    items = fitted.predict_item_value(X, groups)
    np.testing.assert_array_equal(everything.item_value.proba, items.proba)


def test_chances_are_fitted_on_the_lists_held_out():
    X, y, groups = make_lists(n_lists=120)
    assert rankformer().fit(X, y, groups=groups).calibrated_on_ == 12
    alone = rankformer(validation_fraction=None).fit(X, y, groups=groups)
    assert alone.calibrated_on_ == 0
    # Nobody can ask this one for chances.
    order = rankformer(listwide_weight=0).fit(X, y, groups=groups)
    assert order.calibrated_on_ == 0
    X_val, y_val, groups_val = make_lists(n_lists=30, seed=1)
    val = {"X_val": X_val, "y_val": y_val, "groups_val": groups_val}
    held = rankformer().fit(X, y, groups=groups, **val)
    assert held.calibrated_on_ == 30
    # Held-out lists without a positive speak against all of them.
    gloomy = rankformer().fit(X, y, groups=groups, **(val | {"y_val": 0 * y_val}))
    less = gloomy.predict_list_value(X, groups).value.mean()
    assert less < held.predict_list_value(X, groups).value.mean() - 0.05


def noise(n_lists, seed):
    """Lists of which half are good, and nothing in X says which."""
    X, y, groups = make_lists(n_lists=n_lists, seed=seed)
    rng = np.random.default_rng(seed)
    good = rng.random(n_lists) < 0.5
    return X, good[groups] * rng.integers(1, 3, len(y)), groups


def test_folds_calibrate_by_networks_that_never_saw_the_list(monkeypatch):
    said = []

    def keep(model, part, predictions):
        said.append(predictions.scores)
        return model

    monkeypatch.setattr("sklearn_rankformer._fit._calibrated", keep)
    X, y, groups = make_lists(n_lists=30)
    mine = groups == np.flatnonzero(split_lists(groups).differ(y))[0]
    other = y.copy()
    other[mine] = y[mine].max() - y[mine]
    for labels in (y, other):
        rankformer(calibration_folds=3).fit(X, labels, groups=groups)
    np.testing.assert_array_equal(said[0][mine], said[1][mine])
    # Two of three networks saw it, and say something else of the lists they left out.
    differs = split_lists(groups).reduce(np.maximum, said[0] != said[1])
    assert 0.5 < differs.mean() < 0.8


def test_folds_change_nothing_but_the_chances():
    X, y, groups = make_lists(n_lists=40)
    epochs = []

    class Count(Callback):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(net)

    plain, folded = (
        rankformer(calibration_folds=folds, callbacks=[Count()]).fit(X, y, groups)
        for folds in (None, 3)
    )
    np.testing.assert_array_equal(folded.predict(X, groups), plain.predict(X, groups))
    assert [e["train_loss"] for e in folded.history_] == [
        e["train_loss"] for e in plain.history_
    ]
    assert len(epochs) == 2 * plain.n_iter_
    assert (plain.calibrated_on_, folded.calibrated_on_) == (4, 40)


def test_folds_learn_anew_where_a_fit_goes_on():
    X, y, groups = noise(60, seed=0)
    ranker = rankformer(max_epochs=5, calibration_folds=3, warm_start=True)
    first = ranker.fit(X, y, groups=groups)._model.calibration
    again = ranker.fit(X, y, groups=groups)._model.calibration
    np.testing.assert_array_equal(again.lists, first.lists)


def test_more_folds_than_lists_are_refused_before_the_training():
    def untrained(*_):
        raise AssertionError

    X, y, groups = make_lists(n_lists=12)
    with pytest.raises(ValueError, match="calibration_folds=13 needs as many lists"):
        rankformer(calibration_folds=13, loss=untrained).fit(X, y, groups=groups)


@pytest.mark.parametrize(
    ("step", "folds", "calibrated_on"),
    [
        ("_fit._untrained", 3, 0),
        ("_fit._calibrated", None, 0),
        ("_callbacks.HoldOut._beats", None, 4),
    ],
    ids=["folds learn", "chances are fitted", "the last epoch is weighed"],
)
def test_a_key_pressed_after_training_leaves_the_ranker_fitted(
    step, folds, calibrated_on, monkeypatch
):
    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"sklearn_rankformer.{step}", press)
    # So that an epoch before the last is the best, though not beyond noise.
    measured = iter([1.0, 0.5, False])
    monkeypatch.setattr(
        "sklearn_rankformer._callbacks.agreed", lambda *_: next(measured)
    )
    X, y, groups = make_lists(n_lists=40)
    ranker = rankformer(calibration_folds=folds)
    with (
        pytest.warns(UserWarning, match="interrupted"),
        pytest.raises(KeyboardInterrupt),
    ):
        ranker.fit(X, y, groups=groups)
    assert ranker.predict(X, groups).shape == y.shape
    assert ranker.n_iter_ == 2
    assert ranker.calibrated_on_ == calibrated_on


def through_pickle(ranker, path):
    return pickle.loads(pickle.dumps(ranker))


def through_file(ranker, path):
    save(ranker, path)
    return load(path)


@pytest.mark.parametrize("copied", [through_pickle, through_file])
def test_calibration_survives_copies_and_partial_fit(fitted, copied, tmp_path):
    X, y, groups = make_lists(n_lists=120)
    other = copied(fitted, tmp_path / "ranker")
    for method in ("predict_list_value", "predict_item_value"):
        np.testing.assert_array_equal(
            getattr(other, method)(X, groups).proba,
            getattr(fitted, method)(X, groups).proba,
        )
    before = other._model.calibration
    other.partial_fit(X, y, groups)
    assert other._model.calibration is before
    assert other.calibrated_on_ == fitted.calibrated_on_ > 0


@pytest.mark.parametrize("one_value", [False, True])
def test_without_listwide_heads_there_is_neither_value(one_value):
    X, y, groups = make_lists()
    if one_value:  # as of a log that keeps lists with a click alone
        y = np.append(True, np.diff(groups) != 0)
    ranker = rankformer(listwide_weight=0).fit(X, y, groups=groups)
    for method in ("predict_list_value", "predict_item_value", "predict_all"):
        assert not hasattr(ranker, method)
        assert not hasattr(MLPRanker(), method)


@pytest.mark.filterwarnings("ignore:.*no order to learn")
@pytest.mark.parametrize("value", [0, 2])
def test_labels_of_one_value_give_that_value(value):
    X, _, groups = make_lists()
    ranker = rankformer().fit(X, np.full(len(X), value), groups=groups)
    np.testing.assert_array_equal(ranker.predict_item_value(X, groups).value, value)
    np.testing.assert_array_equal(ranker.predict_list_value(X, groups).value, value)
