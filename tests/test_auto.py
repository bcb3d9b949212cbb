"""Sizes that are "auto" follow from the data, show after fit, and give way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from sklearn_rankformer import MLPRanker, RankFormerRanker, _auto
from sklearn_rankformer._auto import (
    DROPOUT,
    EPOCHS,
    FEATURE_DROPOUT,
    MORE_EPOCHS,
    MOST_STEPS,
    FallingRate,
    auto_batch_items,
    auto_rates,
    longer_steps,
)
from sklearn_rankformer.persistence import load, save

from .conftest import make_lists

numbers = st.integers(0, 10**10)
both = pytest.mark.parametrize("make", [RankFormerRanker, MLPRanker])


@given(n=numbers, m=numbers)
def test_more_lists_never_mean_more_dropout_nor_more_rows_smaller_batches(n, m):
    n, m = sorted([n, m])
    for rate in (DROPOUT, FEATURE_DROPOUT):
        assert 0 <= rate.at(m) <= rate.at(n) <= rate.most
    assert 512 <= auto_batch_items(n) <= auto_batch_items(m) <= 1024


def test_the_rules_are_those_of_the_docstring():
    assert [DROPOUT.at(n) for n in (0, 300, 15_000)] == [0.3, 0.3, 0.0]
    assert DROPOUT.at(round(np.sqrt(300 * 15_000))) == pytest.approx(0.15, abs=1e-3)
    assert [FEATURE_DROPOUT.at(n) for n in (0, 1000, 2000)] == [0.1, 0.1, 0.0]
    assert FEATURE_DROPOUT.at(1414) == pytest.approx(0.05, abs=1e-3)
    assert [auto_batch_items(n) for n in (0, 61_439, 61_440)] == [512, 512, 1024]
    assert auto_batch_items(10**9) == 1024
    assert (EPOCHS, MORE_EPOCHS, MOST_STEPS) == (15, (45, 135), 750)


@given(n=numbers, n_processes=st.integers(1, 100))
def test_more_processes_take_larger_batches_while_an_epoch_has_enough(n, n_processes):
    items = auto_batch_items(n, n_processes)
    assert auto_batch_items(n) <= items <= max(512, 1024 * n_processes)
    assert items == 512 or n >= 60 * items
    assert items >= 512 * n_processes or n < 60 * 2 * items


def test_steps_grow_with_the_root_of_batches_that_processes_share():
    assert [longer_steps(n) for n in (512, 1024, 4096, 65_536)] == [1, 1, 2, 2]
    assert longer_steps(2048) == pytest.approx(2**0.5)


@pytest.fixture
def early_rules(monkeypatch):
    """Rules under which rates fall between the sizes of tests."""
    monkeypatch.setattr(_auto, "DROPOUT", FallingRate(0.3, few=1, many=50))
    monkeypatch.setattr(_auto, "FEATURE_DROPOUT", FallingRate(0.1, few=1, many=50))


def rates(ranker):
    """The rates that a ranker was fitted with, as `auto_rates` gives them."""
    return ranker.dropout_, ranker.feature_dropout_


@both
@pytest.mark.usefixtures("early_rules")
def test_only_lists_that_teach_order_count(make):
    X, y, groups = make_lists(n_lists=40)
    ordered = sum(len(set(y[groups == g])) > 1 for g in range(40))
    assert 0 < ordered < 40
    ranker = make(max_epochs=1).fit(X, y, groups=groups)
    assert rates(ranker) == auto_rates(ordered) != auto_rates(40)
    # A row of weight 0 has no label to differ from.
    weight = np.where(groups < 20, 1.0, 0.0)
    few = make(max_epochs=1).fit(X, y, groups=groups, sample_weight=weight)
    ordered = sum(len(set(y[groups == g])) > 1 for g in range(20))
    assert rates(few) == auto_rates(ordered)


@both
def test_a_number_wins_over_auto(make):
    X, y, groups = make_lists()
    ranker = make(max_epochs=1, dropout=0.45, feature_dropout=0.25, batch_items=77)
    ranker.fit(X, y, groups=groups)
    found = ranker.dropout_, ranker.feature_dropout_, ranker.batch_items_
    assert found == (0.45, 0.25, 77)


@both
def test_parameters_stay_auto_and_attributes_survive(make, tmp_path):
    X, y, groups = make_lists()
    ranker = make(max_epochs=1, random_state=0).fit(X, y, groups=groups)
    given = ranker.dropout, ranker.feature_dropout, ranker.batch_items
    assert given == ("auto", "auto", "auto")
    assert clone(ranker).get_params() == ranker.get_params()
    save(ranker, tmp_path / "ranker")
    stored = load(tmp_path / "ranker")
    found = stored.dropout_, stored.feature_dropout_, stored.batch_items_
    assert found == (0.3, 0.1, 512)


@both
@pytest.mark.usefixtures("early_rules")
def test_a_ranker_that_goes_on_keeps_its_rates(make):
    X, y, groups = make_lists()
    few = groups < 5
    ranker = make(max_epochs=1, warm_start=True).fit(X[few], y[few], groups=groups[few])
    before = rates(ranker)
    assert rates(ranker.fit(X, y, groups=groups)) == before
    assert rates(ranker.partial_fit(X, y, groups=groups)) == before
    dropout, feature_dropout = rates(clone(ranker).fit(X, y, groups=groups))
    assert dropout < before[0]
    assert feature_dropout < before[1]
    with pytest.raises(ValueError, match=r"than feature_dropout=0\.5,"):
        ranker.set_params(feature_dropout=0.5).fit(X, y, groups=groups)


@both
@pytest.mark.parametrize("name", ["dropout", "feature_dropout", "batch_items"])
def test_other_words_are_refused(make, name):
    X, y, groups = make_lists()
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        make(**{name: "much"}).fit(X, y, groups=groups)
