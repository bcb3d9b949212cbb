"""How long a ranker trains where lists are few, if `max_epochs` is "auto"."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from skorch.callbacks import Callback

from sklearn_rankformer import _fit, _neural_ranker
from sklearn_rankformer._auto import EPOCHS, MORE_EPOCHS
from sklearn_rankformer._callbacks import beats

from .conftest import make_clear_lists
from .factories import both, mlp


def shuffled(y, seed=0):
    """Labels that follow from nothing."""
    return np.random.default_rng(seed).permutation(y)


@pytest.fixture
def once(monkeypatch):
    """One larger number of epochs to try, which takes less time than two."""
    monkeypatch.setattr(_neural_ranker, "MORE_EPOCHS", MORE_EPOCHS[:1])


@pytest.fixture
def trials(monkeypatch, once):
    """Epochs of each network that is trained to find out how many pay."""
    seen = []
    original = _fit._left_out_predictions

    def watched(model, part, n_folds, config):
        seen.append(config.max_epochs)
        return original(model, part, n_folds, config)

    monkeypatch.setattr(_fit, "_left_out_predictions", watched)
    return seen


@both
def test_few_lists_with_clear_labels_are_trained_on_for_longer(make):
    X, y, groups = make_clear_lists()
    ranker = make(max_epochs="auto").fit(X, y, groups=groups)
    assert ranker.max_epochs_ == ranker.n_iter_ > EPOCHS
    assert ranker.max_epochs == "auto"
    # It is the fit that this number asks for, and better on other lists for it.
    asked = make(max_epochs=ranker.max_epochs_).fit(X, y, groups=groups)
    short = make(max_epochs=EPOCHS).fit(X, y, groups=groups)
    X, y, groups = make_clear_lists(300, seed=1)
    scores = ranker.predict(X, groups=groups)
    np.testing.assert_array_equal(asked.predict(X, groups=groups), scores)
    assert ranker.score(X, y, groups=groups) > short.score(X, y, groups=groups) + 0.05


@pytest.mark.usefixtures("once")
def test_noise_is_hardly_ever_trained_on_for_longer():
    X, y, groups = make_clear_lists()
    ranker = mlp(max_epochs="auto")
    longer = 0
    for seed in range(8):
        ranker.fit(X, shuffled(y, seed), groups=groups)
        assert ranker.n_iter_ == ranker.max_epochs_
        longer += ranker.max_epochs_ > EPOCHS
    assert longer <= 1  # one in a hundred by the level of the test


def test_where_steps_are_many_or_a_number_is_given_nothing_is_tried(
    monkeypatch, trials
):
    X, y, groups = make_clear_lists()
    assert mlp(max_epochs=2).fit(X, y, groups=groups).max_epochs_ == 2
    n_steps = MORE_EPOCHS[0] * 2  # 72 lists of 8 items in batches of 320
    ranker = mlp(max_epochs="auto", batch_items=320)
    monkeypatch.setattr(_fit, "MOST_STEPS", n_steps)
    assert ranker.fit(X, y, groups=groups).max_epochs_ == EPOCHS
    assert not trials
    monkeypatch.setattr(_fit, "MOST_STEPS", n_steps + 1)
    assert ranker.fit(X, y, groups=groups).max_epochs_ > EPOCHS
    assert trials


def test_fewer_than_ten_lists_are_too_few_to_try(trials):
    X, y, groups = make_clear_lists(9)
    ranker = mlp(max_epochs="auto").fit(X, y, groups=groups)
    assert ranker.max_epochs_ == EPOCHS
    assert not trials


@pytest.mark.usefixtures("once")
def test_lists_without_order_to_find_tell_nothing():
    X, y, groups = make_clear_lists()
    with pytest.warns(UserWarning, match="no order to learn"):
        ranker = mlp(max_epochs="auto").fit(X, np.zeros_like(y), groups=groups)
    assert ranker.max_epochs_ == EPOCHS


@pytest.mark.usefixtures("once")
def test_lists_held_out_have_no_part_in_the_choice():
    X, y, groups = make_clear_lists()
    held = make_clear_lists(20, seed=1)
    given = {"X_val": held[0], "y_val": shuffled(held[1]), "groups_val": held[2]}
    ranker = mlp(max_epochs="auto").fit(X, y, groups=groups, **given)
    assert ranker.max_epochs_ > EPOCHS
    ranker.fit(X, shuffled(y, 1), groups=groups, **{**given, "y_val": held[1]})
    assert ranker.max_epochs_ == EPOCHS


def test_training_that_goes_on_takes_no_more_epochs_than_at_first(trials):
    X, y, groups = make_clear_lists()
    ranker = mlp(max_epochs="auto", warm_start=True).fit(X, y, groups=groups)
    assert ranker.max_epochs_ > EPOCHS
    trials.clear()
    assert ranker.fit(X, y, groups=groups).max_epochs_ == EPOCHS
    ranker.partial_fit(X, y, groups=groups)
    assert ranker.n_iter_ == ranker.max_epochs_ == EPOCHS + 1
    assert not trials


class Witness(Callback):
    """Notes the epochs planned and seen."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(net.plan.n_epochs)


@pytest.mark.usefixtures("once")
def test_callbacks_see_the_fit_alone():
    witness = Witness()
    X, y, groups = make_clear_lists()
    ranker = mlp(max_epochs="auto", callbacks=[witness]).fit(X, y, groups=groups)
    assert ranker.max_epochs_ > EPOCHS
    assert witness.seen == [ranker.max_epochs_] * ranker.max_epochs_


def test_a_key_pressed_while_epochs_are_tried_leaves_the_ranker_as_it_was(monkeypatch):
    X, y, groups = make_clear_lists()
    ranker = mlp(max_epochs=1).fit(X, y, groups=groups)
    before = ranker.predict(X, groups=groups)

    def pressed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_fit, "_left_out_predictions", pressed)
    with pytest.raises(KeyboardInterrupt):
        ranker.set_params(max_epochs="auto").fit(X, y, groups=groups)
    np.testing.assert_array_equal(ranker.predict(X, groups=groups), before)


values = st.floats(-1, 1).map(lambda value: round(value, 2))


@given(st.lists(st.tuples(values, values), min_size=2), st.sampled_from([0.01, 0.05]))
def test_more_than_noise_is_what_scipy_calls_so(pairs, level):
    new, old = np.array(pairs).T
    if len(set(np.round(new - old, 9))) == 1:  # no spread, where scipy has no answer
        return
    p = ttest_1samp(new - old, 0, alternative="greater").pvalue
    if abs(p - level) > 1e-9:
        assert beats(new, old, level) == (p < level)
    gaps = np.array([np.nan, 0.3])
    assert beats(np.append(new, gaps), np.append(old, gaps[::-1]), level) == beats(
        new, old, level
    )


def test_a_single_list_is_no_evidence():
    assert not beats(np.array([1.0]), np.array([0.0]), 0.05)
