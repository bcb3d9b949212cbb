"""Rankers compared list by list: the same folds, honest intervals, nothing lost."""

from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import (
    BaseCrossValidator,
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rankformer import RankerAdapter, WithinListScaler
from sklearn_rankformer.comparison import (
    ComparisonDisplay,
    RankerComparison,
    compare_rankers,
    paired_interval,
)
from sklearn_rankformer.metrics import (
    expected_reciprocal_rank,
    mean_reciprocal_rank,
    ndcg_score,
)
from sklearn_rankformer.model_selection import ListKFold
from sklearn_rankformer.scoring import make_ranking_scorer

from .factories import TINY, mlp, rankformer

gaps = st.lists(st.integers(-8, 8).map(lambda i: i / 8), min_size=6, max_size=30)
seeds = st.integers(0, 2**32 - 1)


# -- the interval ---------------------------------------------------------------------


def p_value_by_all_flips(gap):
    """Share of all assignments of signs with a mean at least as far from 0."""
    flips = np.array(list(product([-1, 1], repeat=len(gap)))) @ gap
    return np.mean(np.abs(flips) >= abs(gap.sum()) - 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_p_value_is_that_of_all_flips_of_signs(seed):
    rng = np.random.default_rng(seed)
    gap = rng.normal(0.3, 1, 9).round(1) * rng.integers(0, 2, 9)
    found = paired_interval(gap, 0 * gap, random_state=seed, n_resamples=20_000)
    assert found.p_value == pytest.approx(p_value_by_all_flips(gap), abs=0.015)


@given(gaps, seeds, st.sampled_from([0.5, 0.8, 0.95]))
def test_interval_holds_just_the_differences_that_the_test_does_not_refuse(
    gap, seed, level
):
    gap = np.array(gap)

    def found(true):
        options = {"n_resamples": 199, "random_state": seed, "level": level}
        return paired_interval(gap, np.full(len(gap), true), **options)

    zero = found(0.0)
    assert zero.difference == pytest.approx(gap.mean())
    assert zero.low - 1e-9 <= zero.difference <= zero.high + 1e-9
    assert (zero.low <= 0 <= zero.high) == (zero.p_value > 1 - level + 1e-9)
    for bound, outwards in ((zero.low, -1), (zero.high, 1)):
        if np.isfinite(bound):
            inwards = -outwards * min(1e-6, (zero.high - zero.low) / 2)
            assert found(bound + inwards).p_value > 1 - level + 1e-9
            assert found(bound + 1e-6 * outwards).p_value <= 1 - level + 1e-9


@given(gaps, seeds)
def test_swapped_rankers_swap_the_bounds(gap, seed):
    gap = np.array(gap)
    one = paired_interval(gap, 0 * gap, n_resamples=99, random_state=seed)
    other = paired_interval(0 * gap, gap, n_resamples=99, random_state=seed)
    np.testing.assert_allclose([other.low, other.high], [-one.high, -one.low])
    assert one.p_value == other.p_value


@given(gaps, seeds)
def test_lists_that_do_not_count_in_either_are_left_out(gap, seed):
    a, b = np.array(gap), np.zeros(len(gap))
    padded_a = np.concatenate([a, [np.nan, 3.0, np.nan]])
    padded_b = np.concatenate([b, [1.0, np.nan, np.nan]])
    expected = paired_interval(a, b, n_resamples=99, random_state=seed)
    found = paired_interval(padded_a, padded_b, n_resamples=99, random_state=seed)
    assert found == expected
    assert found.n_lists == len(gap)


def test_equal_values_differ_by_nothing():
    same = np.linspace(0, 1, 30)
    found = paired_interval(same, same)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize("scale", [1, 1e6])
def test_rounding_alone_is_no_difference(scale):
    values = scale * np.linspace(0.1, 1, 60)
    rounded = np.nextafter(values, 0)
    found = paired_interval(rounded, values, random_state=0)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    values = {"dcg": {"old": values, "new": rounded}}
    row = RankerComparison(np.arange(60), values, "old").rows[1]
    assert (row.wins, row.ties, row.losses) == (0, 60, 0)


@pytest.mark.parametrize(("n_lists", "says_something"), [(1, 0), (5, 0), (6, 1)])
def test_fewer_than_six_lists_say_nothing_at_95_percent(n_lists, says_something):
    found = paired_interval(np.ones(n_lists), np.zeros(n_lists), random_state=0)
    assert np.isfinite([found.low, found.high]).all() == says_something
    assert (found.p_value <= 0.05) == says_something


@pytest.mark.parametrize("n_lists", [30, 100])
@pytest.mark.parametrize("tied", [0.0, 0.6])
def test_interval_of_equal_rankers_covers_0_in_93_to_97_percent(n_lists, tied):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(1000):
        a, b = rng.beta(3, 0.7, (2, n_lists))  # most near 1, as NDCG has it
        b = np.where(rng.random(n_lists) < tied, a, b)
        found = paired_interval(a, b, n_resamples=199, random_state=rng.integers(2**31))
        held.append(found.low <= 0 <= found.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_interval_of_many_lists_is_that_of_students_t():
    gap = np.random.default_rng(0).normal(0.1, 1, 5000)
    found = paired_interval(gap, 0 * gap, random_state=0)
    low, high = stats.t.interval(0.95, 4999, gap.mean(), stats.sem(gap))
    assert [found.low, found.high] == pytest.approx(
        [low, high], abs=0.05 * (high - low)
    )


def test_runs_that_disagree_widen_the_interval():
    rng = np.random.default_rng(0)
    gap = rng.normal(0.1, 1, 400) + 0.01 * rng.normal(size=(4, 400))
    apart = gap + np.array([[-0.3], [-0.1], [0.1], [0.3]])
    one, several, differing = (
        paired_interval(values, np.zeros_like(values), random_state=0)
        for values in (gap[0], gap, apart)
    )
    assert (one.n_runs, several.n_runs) == (1, 4)
    width = one.high - one.low
    assert several.high - several.low == pytest.approx(width, rel=0.05)
    assert differing.high - differing.low > 1.5 * width
    assert differing.difference == pytest.approx(several.difference)


def test_blocks_of_signs_change_nothing_but_the_draw(monkeypatch):
    from sklearn_rankformer import comparison

    gap = np.random.default_rng(0).normal(0.2, 1, (2, 50))
    at_once = paired_interval(gap, 0 * gap, random_state=0)
    monkeypatch.setattr(comparison, "_BLOCK_CELLS", 1000)
    in_blocks = paired_interval(gap, 0 * gap, random_state=0)
    assert in_blocks.low == pytest.approx(at_once.low, abs=0.02)
    assert in_blocks.p_value == pytest.approx(at_once.p_value, abs=0.02)


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([1, 2], [1], {}, r"a has shape \(2,\) and b has shape \(1,\)"),
        ([np.nan], [1.0], {}, "No list has a value in both"),
        ([np.inf], [1.0], {}, "a contains infinity"),
        ([1.0], ["x"], {}, "b must hold one number per list"),
        (1.0, 2.0, {}, "a must hold one number per list"),
        ([[1.0], [2.0]], [[1.0], [1.0]], {}, r"a has shape \(2, 1\).* 2 runs of one"),
        ([1.0], [1.0], {"level": 1}, "level must lie between 0 and 1"),
        ([1.0], [1.0], {"n_resamples": 18}, "n_resamples must be an integer of 19"),
    ],
)
def test_values_that_cannot_be_compared_are_named(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        paired_interval(a, b, **options)


# -- the comparison -------------------------------------------------------------------


class Witness(RegressorMixin, BaseEstimator):
    """Scores by the first column, and keeps what fit was given."""

    seen = []

    def fit(
        self,
        X,
        y,
        groups=None,
        sample_weight=None,
        X_val=None,
        y_val=None,
        groups_val=None,
    ):
        given = {"groups": groups, "weight": sample_weight, "groups_val": groups_val}
        self.seen.append({"X": X, "y": y, "X_val": X_val, "y_val": y_val, **given})
        return self

    def predict(self, X, groups=None):
        assert groups is not None
        return X[:, 0]


class NoValidation(Witness):
    """The same, which does not take validation lists."""

    seen = []

    def fit(self, X, y, groups=None):
        return super().fit(X, y, groups)


CV = ListKFold(3, random_state=0)


def by_hand(ranker, X, y, groups, metric, **options):
    """Metric of each list, fold by fold, by none of the package's comparison."""
    ids = np.unique(groups)
    values = np.full(len(ids), np.nan)
    for train, test in CV.split(X, y, groups):
        fitted = clone(ranker).fit(X[train], y[train], groups=groups[train])
        scores = fitted.predict(X[test], groups=groups[test])
        found = metric(y[test], scores, groups[test], reduction="none", **options)
        values[np.searchsorted(ids, found.groups)] = found.value
    return values


@pytest.fixture
def scattered(lists):
    """Lists whose rows are in mixed order, under names."""
    X, y, groups = lists
    rows = np.random.default_rng(1).permutation(len(y))
    return X[rows], y[rows], np.array([f"q{one}" for one in groups[rows]])


def test_values_are_those_of_folds_by_hand(scattered):
    rankers = {"listwise": rankformer(**TINY), "ridge": RankerAdapter(Ridge())}
    result = compare_rankers(rankers, *scattered, cv=CV, metrics=["ndcg@5", "mrr"])
    np.testing.assert_array_equal(result.groups, np.unique(scattered[2]))
    assert list(result.values) == ["ndcg@5", "mrr"]
    for name, ranker in rankers.items():
        for metric, function, options in (
            ("ndcg@5", ndcg_score, {"k": 5}),
            ("mrr", mean_reciprocal_rank, {}),
        ):
            expected = by_hand(ranker, *scattered, function, **options)
            assert np.isnan(expected).any()
            np.testing.assert_allclose(result.values[metric][name], expected, atol=1e-6)


def test_ids_reach_rankers_in_pipelines_and_searches_whatever_the_setting(lists):
    X, y, groups = lists
    ranker = rankformer(**TINY)
    rankers = {
        "plain": ranker,
        "pipeline": make_pipeline(StandardScaler(), ranker),
        "search": GridSearchCV(ranker, {"d_model": [16]}, cv=GroupKFold(2)),
        "scaler of lists": make_pipeline(WithinListScaler(), RankerAdapter(Ridge())),
    }
    results = []
    for routing in (False, True):
        with config_context(enable_metadata_routing=routing):
            result = compare_rankers(rankers, X, y, groups, cv=CV)
        results.append(result.values["ndcg@10"])
    plain = results[0]["plain"]
    np.testing.assert_allclose(results[0]["search"], plain, atol=1e-6)
    for name in rankers:
        np.testing.assert_array_equal(results[0][name], results[1][name])


def test_library_rankers_and_regressors_need_no_adapter(lists):
    lightgbm = pytest.importorskip("lightgbm")
    ranker = lightgbm.LGBMRanker(n_estimators=5, verbosity=-1, n_jobs=1)
    rankers = {"bare": ranker, "adapted": RankerAdapter(ranker), "ridge": Ridge()}
    values = compare_rankers(rankers, *lists, cv=CV).values["ndcg@10"]
    np.testing.assert_array_equal(values["bare"], values["adapted"])
    expected = by_hand(RankerAdapter(Ridge()), *lists, ndcg_score, k=10)
    np.testing.assert_allclose(values["ridge"], expected)


def test_column_of_ids_is_read_by_each_ranker(lists):
    X, y, groups = lists
    with_ids = np.column_stack([groups, X])
    first, last = (mlp(**TINY, random_state=i, group_column=0) for i in (0, 1))
    result = compare_rankers({"a": first, "b": last}, with_ids, y, groups, cv=CV)
    expected = by_hand(clone(last).set_params(group_column=None), *lists, ndcg_score)
    assert result.values["ndcg@10"]["b"] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("cv", [3, [([0, 1, 2, 4], [3, 5])]])
def test_splitter_that_cuts_lists_is_refused(cv):
    y, groups = np.array([0, 1, 0, 1, 1, 0]), np.array([0, 1, 1, 0, 2, 2])
    rankers = {"a": Ridge(), "b": DummyRegressor()}
    with pytest.raises(ValueError, match="lists on both sides of split 0"):
        compare_rankers(rankers, y[:, None], y, groups, cv=cv)


class DrawsAgain(BaseCrossValidator):
    """Whole lists the first time it is asked, single rows from then on."""

    asked = False

    def get_n_splits(self, X=None, y=None, groups=None):
        return 2

    def _iter_test_indices(self, X, y, groups):
        by = np.arange(len(groups)) if self.asked else np.unique(groups, False, True)[1]
        self.asked = True
        yield from (np.flatnonzero(by % 2 == one) for one in range(2))


def test_the_splits_that_are_used_are_those_that_were_checked(lists):
    X, y, groups = lists
    cv, rankers = DrawsAgain(), {"a": Ridge(), "b": DummyRegressor()}
    splits = list(DrawsAgain().split(X, y, groups))
    found, expected = (
        compare_rankers(rankers, X, y, groups, cv=one).values["ndcg@10"]["a"]
        for one in (cv, splits)
    )
    np.testing.assert_array_equal(found, expected)


def test_lists_tested_twice_count_by_their_mean_and_untested_ones_not_at_all(lists):
    X, y, groups = lists
    y = np.maximum(y, groups % 3 == 0)  # all lists count
    cv = GroupShuffleSplit(3, test_size=0.3, random_state=0)
    splits = list(cv.split(X, y, groups))
    rankers = {"ridge": Ridge(), "none": DummyRegressor()}
    together = compare_rankers(rankers, X, y, groups, cv=splits)
    alone = [compare_rankers(rankers, X, y, groups, cv=[one]) for one in splits]
    values = np.array([one.values["ndcg@10"]["ridge"] for one in alone])
    n_tests = (~np.isnan(values)).sum(axis=0)
    assert {0, 1, 2} <= set(n_tests)
    tested = n_tests > 0
    found = together.values["ndcg@10"]["ridge"]
    np.testing.assert_allclose(found[tested], np.nanmean(values[:, tested], axis=0))
    assert np.isnan(found[~tested]).all()
    assert together.rows[0].n_lists == tested.sum()


def test_same_whole_validation_lists_for_all_that_stop_on_them(lists):
    X, y, groups = lists
    Witness.seen.clear()
    NoValidation.seen.clear()
    rankers = {"a": Witness(), "b": NoValidation(), "c": Witness(), "ridge": Ridge()}
    compare_rankers(rankers, X, y, groups, cv=CV, validation_fraction=0.25)
    n_folds = CV.get_n_splits()
    for one, other, whole in zip(
        Witness.seen[:n_folds], Witness.seen[n_folds:], NoValidation.seen, strict=True
    ):
        np.testing.assert_array_equal(one["groups_val"], other["groups_val"])
        held, kept = set(one["groups_val"]), set(one["groups"])
        assert held
        assert not held & kept
        assert held | kept == set(whole["groups"])
        np.testing.assert_array_equal(
            one["y_val"], y[np.isin(groups, list(held))], strict=True
        )


def test_splits_may_be_masks_of_rows(lists):
    X, y, groups = lists
    in_test = groups % 2 == 0
    masks = [(~in_test, in_test)]
    rows = [tuple(map(np.flatnonzero, masks[0]))]
    rankers = {"line": Ridge(), "net": mlp(**TINY)}
    given = {"validation_fraction": 0.2, "random_state": 0}
    by_mask, by_row = (
        compare_rankers(rankers, X, y, groups, cv=cv, **given).values["ndcg@10"]
        for cv in (masks, rows)
    )
    for name in rankers:
        np.testing.assert_array_equal(by_mask[name], by_row[name])


def test_adapters_that_stop_early_are_given_validation_lists(lists):
    lightgbm = pytest.importorskip("lightgbm")
    ranker = lightgbm.LGBMRanker(n_estimators=5, verbosity=-1, n_jobs=1)
    rankers = {
        "stops": RankerAdapter(ranker, early_stopping_rounds=2),
        "does not": RankerAdapter(ranker),
    }
    compare_rankers(rankers, *lists, cv=CV, validation_fraction=0.25)
    with pytest.raises(ValueError, match="needs validation data"):
        compare_rankers(rankers, *lists, cv=CV)


def test_weights_reach_fit_and_leave_the_means_alone(lists):
    X, y, groups = lists
    Witness.seen.clear()
    weight = 1.0 + groups
    rankers = {"a": Witness(), "b": Ridge()}
    weighed = compare_rankers(rankers, X, y, groups, cv=CV, sample_weight=weight)
    for seen in Witness.seen:
        np.testing.assert_array_equal(seen["weight"], 1.0 + seen["groups"])
    plain = compare_rankers(rankers, X, y, groups, cv=CV)
    assert plain.rows[0].mean == weighed.rows[0].mean


def test_same_random_state_same_result_also_in_two_processes(lists):
    rankers = {"a": mlp(**TINY), "b": Ridge()}
    one, two = (
        compare_rankers(rankers, *lists, random_state=3, n_jobs=n) for n in (1, 2)
    )
    for first, second in zip(one.rows, two.rows, strict=True):
        for key in set(first) - {"fit_seconds", "predict_seconds"}:
            assert (
                first[key] == second[key] or np.isnan([first[key], second[key]]).all()
            )


def test_metric_of_ones_own_counts(lists):
    linear = make_ranking_scorer(ndcg_score, name="linear", k=3, gain="linear")
    rankers = {"a": RankerAdapter(Ridge()), "b": DummyRegressor()}
    result = compare_rankers(rankers, *lists, cv=CV, metrics=[linear, "ndcg@3"])
    expected = by_hand(rankers["a"], *lists, ndcg_score, k=3, gain="linear")
    np.testing.assert_allclose(result.values["linear"]["a"], expected)


def test_rankers_of_equal_recall_are_equal_where_one_ties_all_items():
    # The mean over ties rounds: 5 of 30 items, 30 times over, come to less than 5.
    groups, y = np.repeat(np.arange(40), 30), np.tile(np.arange(30) < 5, 40)
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    rankers = {"ridge": Ridge(), "constant": DummyRegressor()}
    result = compare_rankers(
        rankers, X, y, groups, metrics=["recall@100", "precision@100"], random_state=0
    )
    for row in (result.rows[1], result.rows[3]):
        assert (row.low, row.high, row.p_value, row.ties) == (0, 0, 1, 40)


@pytest.mark.parametrize("cut", [None, 3])
def test_err_of_all_folds_is_on_one_scale(cut, lists):
    X, y, groups = lists
    y = (y > 0).astype(int)
    y[groups == groups[0]] = np.arange((groups == groups[0]).sum()) % 2 * 4
    rankers = {"a": RankerAdapter(Ridge()), "b": DummyRegressor()}
    name = "err" if cut is None else f"err@{cut}"
    found = compare_rankers(rankers, X, y, groups, cv=CV, metrics=name).values[name]
    options = {"k": cut, "max_label": 4}
    expected = by_hand(rankers["a"], X, y, groups, expected_reciprocal_rank, **options)
    np.testing.assert_allclose(found["a"], expected)
    wider = make_ranking_scorer(expected_reciprocal_rank, name="err", max_label=5)
    found = compare_rankers(rankers, X, y, groups, cv=CV, metrics=wider).values["err"]
    expected = by_hand(
        rankers["a"], X, y, groups, expected_reciprocal_rank, max_label=5
    )
    np.testing.assert_allclose(found["a"], expected)


def mean_alone(y_true, y_score, groups):
    return 0.5


def takes_anything(y_true, y_score, groups, **options):
    return 0.5


def of_lists(y_true, y_score, groups, *, reduction="mean"):
    return ndcg_score(y_true, y_score, groups, k=2, reduction=reduction)


def test_metric_of_the_users_counts_if_it_gives_one_value_per_list(lists):
    rankers = {"a": Ridge(), "b": DummyRegressor()}
    scorers = [make_ranking_scorer(of_lists), make_ranking_scorer(partial(of_lists))]
    result = compare_rankers(rankers, *lists, cv=CV, metrics=[*scorers, "ndcg@2"])
    own, unnamed, ours = result.values.values()
    np.testing.assert_array_equal(own["a"], ours["a"])
    np.testing.assert_array_equal(unnamed["a"], ours["a"])


def of_numbered_lists(y_true, y_score, groups, *, reduction="mean"):
    found = of_lists(y_true, y_score, groups, reduction=reduction)
    found.groups = np.arange(len(found.groups))
    return found


def test_metrics_are_given_the_ids_that_the_caller_gave(lists):
    X, y, groups = lists
    names = np.char.add("search ", groups.astype(str))
    seen = []

    def noting(y_true, y_score, groups, *, reduction="mean"):
        seen.append(groups)
        return of_lists(y_true, y_score, groups, reduction=reduction)

    rankers = {"a": Ridge(), "b": DummyRegressor()}
    metrics, cv = make_ranking_scorer(noting), list(CV.split(X, y, groups))
    result = compare_rankers(rankers, X, y, names, cv=cv, metrics=metrics)
    assert set(np.concatenate(seen)) == set(names)
    by_number = compare_rankers(rankers, X, y, groups, cv=cv, metrics="ndcg@2")
    # In the order of np.unique, which is another of texts than of numbers.
    order = np.argsort(np.char.add("search ", by_number.groups.astype(str)))
    np.testing.assert_array_equal(
        result.values["noting"]["a"], by_number.values["ndcg@2"]["a"][order]
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rankers": {"a": Ridge()}}, TypeError, "dict of two rankers or more"),
        ({"rankers": [("a", Ridge()), ("b", Ridge())]}, TypeError, "must be a dict"),
        ({"reference": "c"}, ValueError, "reference='c' is none of the rankers"),
        ({"metrics": "ncdg"}, ValueError, "Did you mean 'ndcg'"),
        ({"metrics": ["mrr", "mrr"]}, ValueError, "of different names"),
        ({"metrics": []}, ValueError, "one or more"),
        ({"metrics": None}, TypeError, "metrics must be a name such as"),
        ({"metrics": 5}, TypeError, "metrics must be a name such as .* got 5"),
        ({"metrics": [ndcg_score]}, TypeError, "a scorer from make_ranking_scorer"),
        ({"metrics": make_scorer(ndcg_score)}, TypeError, "a scorer from make_rank"),
        (
            {"metrics": make_ranking_scorer(mean_alone)},
            TypeError,
            "metric mean_alone does not support: it must take reduction='none'",
        ),
        (
            {"metrics": make_ranking_scorer(takes_anything)},
            TypeError,
            "metric takes_anything does not support: .* return a Bunch",
        ),
        (
            {"metrics": make_ranking_scorer(of_numbered_lists)},
            TypeError,
            "metric of_numbered_lists does not support: .* return a Bunch",
        ),
        (
            {"rankers": {1: Ridge(), "b": Ridge()}},
            TypeError,
            "must be named by text, got the name 1",
        ),
    ],
)
def test_wrong_arguments_are_named(options, error, message, lists):
    given = {"rankers": {"a": Ridge(), "b": DummyRegressor()}, **options}
    with pytest.raises(error, match=message):
        compare_rankers(given.pop("rankers"), *lists, **given)


class Unfittable(Ridge):
    def fit(self, X, y):
        raise AssertionError("fitted before the arguments were checked")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 95}, "level == 95, must be <= 1"),
        ({"level": 1.0}, "level must lie between 0 and 1, got 1"),
        ({"n_resamples": 18}, "n_resamples must be an integer of 19 or more, got 18"),
        ({"validation_fraction": 1.5}, "validation_fraction == 1.5, must be <= 1"),
        ({"validation_fraction": 1}, "validation_fraction must lie between 0 and 1"),
    ],
)
def test_numbers_of_use_after_the_fits_are_checked_before(options, message, lists):
    rankers = {"a": Unfittable(), "b": Unfittable()}
    with pytest.raises(ValueError, match=message):
        compare_rankers(rankers, *lists, **options)


# -- what comes of it -----------------------------------------------------------------


@pytest.fixture
def result():
    """Three rankers on 40 lists, of which two do not count: one ahead, one alike."""
    rng = np.random.default_rng(0)
    old = rng.beta(3, 1, 40)
    alike = np.where(np.arange(40) % 2, old, old + rng.normal(0, 0.05, 40))
    ahead = old + 0.1
    for values in (old, alike, ahead):
        values[:2] = np.nan
    values = {"old": old, "alike": alike, "ahead": ahead}
    seconds = {name: np.full((2, 3), i) for i, name in enumerate(values)}
    return RankerComparison(
        np.arange(40),
        {"mrr": values},
        "old",
        seconds,
        np.repeat(np.arange(40), 3),
        random_state=0,
    )


def test_rows_count_lists_and_correct_for_their_number(result):
    old, alike, ahead = result.rows
    assert (old.wins, old.ties, old.losses) == (0, 38, 0)
    assert np.isnan([old.difference, old.p_value, old.p_holm]).all()
    assert (ahead.wins, ahead.ties, ahead.losses) == (38, 0, 0)
    assert alike.ties == 19
    assert ahead.difference == pytest.approx(0.1)
    # Holm: the smaller p-value counts twice, the other once, but never less.
    assert ahead.p_holm == pytest.approx(2 * ahead.p_value)
    assert alike.p_holm == max(alike.p_value, ahead.p_holm)
    assert [row.fit_seconds for row in result.rows] == [0, 1, 2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_corrected_p_values_are_those_of_holms_steps(p):
    from sklearn_rankformer.comparison import _holm

    found = _holm(np.array(p))
    for level in (0.01, 0.05, 0.2):
        refused = set()
        for step, i in enumerate(np.argsort(p)):
            if p[i] * (len(p) - step) > level:
                break
            refused.add(i)
        assert set(np.flatnonzero(found <= level)) == refused


def test_text_has_a_line_per_ranker_and_the_interval(result):
    head, columns, *lines = str(result).splitlines()
    assert head == "mrr of 38 lists; differences to old with 95% intervals"
    assert "better/same/worse" in columns
    assert [line.split()[0] for line in lines] == ["old", "alike", "ahead"]
    assert "+0.1000 [+0.1000, +0.1000]" in lines[2]
    assert "38/0/0" in lines[2]
    assert len({len(line) for line in (columns, *lines)}) == 1
    assert repr(result) == str(result)


def test_levels_between_two_percents_are_shown_as_they_are(result):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    for level, shown in ((0.975, "97.5%"), (0.999, "99.9%"), (0.57, "57%")):
        other = replace(result, level=level)
        assert f"with {shown} intervals" in str(other)
        label = ComparisonDisplay.from_comparison(other).ax_.get_xlabel()
        assert f", {shown} interval" in label
    plt.close("all")


def test_frame_holds_the_rows(result):
    pytest.importorskip("pandas")
    frame = result.to_frame()
    assert frame.shape == (3, len(result.rows[0]))
    assert frame["ranker"].tolist() == ["old", "alike", "ahead"]
    assert frame["wins"].dtype.kind == "i"


def test_frame_without_pandas_says_what_to_install(result, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r"sklearn-rankformer\[frames\]"):
        result.to_frame()


def test_segments_are_compared_by_themselves(result):
    of_list = np.where(np.arange(40) < 20, "phone", "desktop")
    parts = result.by_segment(of_list)
    assert set(parts) == {"phone", "desktop"}
    assert [parts[name].rows[0].n_lists for name in ("phone", "desktop")] == [18, 20]
    ahead = parts["desktop"].values["mrr"]["ahead"]
    np.testing.assert_array_equal(ahead, result.values["mrr"]["ahead"][20:])
    of_row = of_list[result.lists_of_rows]
    again = result.by_segment(of_row)["phone"].rows
    assert str(again) == str(parts["phone"].rows)


def test_segments_without_a_list_that_counts_are_left_out(result):
    assert set(result.by_segment(np.arange(40) < 2)) == {False}


def test_segments_that_differ_within_a_list_or_are_of_other_length_are_refused(result):
    of_row = np.repeat("phone", 120)
    of_row[4] = "desk"
    with pytest.raises(ValueError, match="segment differs within the list 1"):
        result.by_segment(of_row)
    with pytest.raises(ValueError, match="segment has shape"):
        result.by_segment(np.zeros(7))


@pytest.mark.parametrize("segment", [None, "phone", 5, np.zeros((40, 2))], ids=repr)
def test_what_is_no_column_of_segments_is_refused_by_name(segment, result):
    with pytest.raises(ValueError, match="segment must be 1-D, got shape"):
        result.by_segment(segment)


def test_display_shows_each_ranker_and_its_interval(result):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    display = ComparisonDisplay.from_comparison(result)
    names = [one.get_text() for one in display.ax_.get_yticklabels()]
    assert [name.split()[0] for name in names] == ["old", "alike", "ahead"]
    assert "mrr above that of old, 95% interval" in display.ax_.get_xlabel()
    axes = plt.subplots()[1]
    again = ComparisonDisplay(result, metric="mrr").plot(axes)
    assert (again.ax_, again.figure_) == (axes, axes.figure)
    with pytest.raises(ValueError, match="'ndcg' was not compared: only 'mrr'"):
        ComparisonDisplay.from_comparison(result, metric="ndcg")
    plt.close("all")
