"""Sizes that are "auto" follow from the data, show after fit, and give way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from sklearn_rankformer import MLPRanker, RankFormerRanker
from sklearn_rankformer._auto import auto_batch_items, auto_dropout, longer_steps
from sklearn_rankformer.persistence import load, save

from .conftest import make_lists

numbers = st.integers(0, 10**10)
both = pytest.mark.parametrize("make", [RankFormerRanker, MLPRanker])


@given(n=numbers, m=numbers)
def test_more_lists_never_mean_more_dropout_nor_more_rows_smaller_batches(n, m):
    n, m = sorted([n, m])
    assert 0 <= auto_dropout(m) <= auto_dropout(n) <= 0.3
    assert 512 <= auto_batch_items(n) <= auto_batch_items(m) <= 1024


def test_the_rules_are_those_of_the_docstring():
    assert [auto_dropout(n) for n in (0, 300, 15_000)] == [0.3, 0.3, 0.0]
    assert auto_dropout(round(np.sqrt(300 * 15_000))) == pytest.approx(0.15, abs=1e-3)
    assert [auto_batch_items(n) for n in (0, 61_439, 61_440)] == [512, 512, 1024]
    assert auto_batch_items(10**9) == 1024


@given(n=numbers, n_processes=st.integers(1, 100))
def test_more_processes_take_larger_batches_while_an_epoch_has_enough(n, n_processes):
    items = auto_batch_items(n, n_processes)
    assert auto_batch_items(n) <= items <= max(512, 1024 * n_processes)
    assert items == 512 or n >= 60 * items
    assert items >= 512 * n_processes or n < 60 * 2 * items


def test_steps_grow_with_the_root_of_batches_that_processes_share():
    assert [longer_steps(n) for n in (512, 1024, 4096, 65_536)] == [1, 1, 2, 2]
    assert longer_steps(2048) == pytest.approx(2**0.5)


@both
def test_only_lists_that_teach_order_count(make, monkeypatch):
    monkeypatch.setattr("sklearn_rankformer._auto.FEW_LISTS", 1)
    X, y, groups = make_lists(n_lists=40)
    ordered = sum(len(set(y[groups == g])) > 1 for g in range(40))
    assert 0 < ordered < 40
    ranker = make(max_epochs=1).fit(X, y, groups=groups)
    assert ranker.dropout_ == auto_dropout(ordered) != auto_dropout(40)
    # A row of weight 0 has no label to differ from.
    weight = np.where(groups < 20, 1.0, 0.0)
    few = make(max_epochs=1).fit(X, y, groups=groups, sample_weight=weight)
    ordered = sum(len(set(y[groups == g])) > 1 for g in range(20))
    assert few.dropout_ == auto_dropout(ordered)


@both
def test_a_number_wins_over_auto(make):
    X, y, groups = make_lists()
    ranker = make(max_epochs=1, dropout=0.45, batch_items=77)
    ranker.fit(X, y, groups=groups)
    assert (ranker.dropout_, ranker.batch_items_) == (0.45, 77)


@both
def test_parameters_stay_auto_and_attributes_survive(make, tmp_path):
    X, y, groups = make_lists()
    ranker = make(max_epochs=1, random_state=0).fit(X, y, groups=groups)
    assert (ranker.dropout, ranker.batch_items) == ("auto", "auto")
    assert clone(ranker).get_params() == ranker.get_params()
    save(ranker, tmp_path / "ranker")
    stored = load(tmp_path / "ranker")
    assert (stored.dropout_, stored.batch_items_) == (0.3, 512)


@both
def test_a_ranker_that_goes_on_keeps_its_dropout(make, monkeypatch):
    X, y, groups = make_lists()
    ranker = make(max_epochs=1, warm_start=True).fit(X, y, groups=groups)
    monkeypatch.setattr("sklearn_rankformer._auto.MOST_DROPOUT", 0.1)
    assert ranker.fit(X, y, groups=groups).dropout_ == 0.3
    assert ranker.partial_fit(X, y, groups=groups).dropout_ == 0.3
    assert clone(ranker).fit(X, y, groups=groups).dropout_ == 0.1


@both
@pytest.mark.parametrize("params", [{"dropout": "much"}, {"batch_items": "all"}])
def test_other_words_are_refused(make, params):
    X, y, groups = make_lists()
    with pytest.raises(ValueError, match=next(iter(params))):
        make(**params).fit(X, y, groups=groups)
