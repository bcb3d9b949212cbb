import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_rankformer import RankFormerRanker, persistence
from sklearn_rankformer._inference import predict_items
from sklearn_rankformer._warnings import MissingGroupsWarning
from sklearn_rankformer.inspection import TrainingCurveDisplay
from sklearn_rankformer.metrics import ndcg_score

from .conftest import make_lists
from .factories import TINY, both, mlp, rankformer


@pytest.fixture(scope="module")
def fitted():
    X, y, groups = make_lists()
    return rankformer().fit(X, y, groups=groups)


# What it learns ----------------------------------------------------------------------


@both
def test_learns_the_order_of_new_lists(make):
    X, y, groups = make_lists(n_lists=200)
    ranker = make(max_epochs=15, learning_rate=5e-3).fit(X, y, groups=groups)
    X, y, groups = make_lists(n_lists=100, seed=1)
    assert ranker.score(X, y, groups=groups) > 0.9
    assert ndcg_score(y, np.zeros(len(y)), groups, k=10) < 0.8


def test_list_value_separates_lists_with_and_without_positives():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 5)
    good = np.repeat(rng.random(200) < 0.5, 5)
    X = rng.normal(size=(1000, 3)) + 2 * good[:, None]
    y = good * rng.integers(1, 3, 1000)
    ranker = rankformer(max_epochs=15, learning_rate=5e-3).fit(X, y, groups=groups)
    value = ranker.predict_list_value(X, groups=groups).value
    assert value[good[::5]].min() > value[~good[::5]].max()


def test_lists_without_positives_change_the_model(lists):
    X, y, groups = lists
    some = y >= 0
    all_zero = np.isin(groups, [g for g in groups if not y[groups == g].any()])
    params = {"validation_fraction": None, "feature_dropout": 0, "dropout": 0}
    with_all = rankformer(**params).fit(X[some], y[some], groups=groups[some])
    without = rankformer(**params).fit(X[~all_zero], y[~all_zero], groups[~all_zero])
    assert all_zero.any()
    assert not np.allclose(
        with_all.predict(X, groups=groups), without.predict(X, groups=groups)
    )


@pytest.mark.parametrize("loss", ["mixed", "softmax", "lambda"])
@pytest.mark.parametrize(
    "labels", [[0, 1], [0, 1, 4], [0.0, 0.5, 2.5], [0, 3, 17]], ids=str
)
def test_any_non_negative_labels_work(loss, labels, lists):
    X, y, groups = lists
    y = np.asarray(labels)[np.minimum(y, len(labels) - 1)]
    ranker = rankformer(loss=loss).fit(X, y, groups=groups)
    assert np.isfinite(ranker.predict(X, groups=groups)).all()
    assert set(ranker.levels_) == set(np.unique(y))


def test_callable_loss_and_gain_are_used(lists):
    X, y, groups = lists

    def square_error(scores, gains, mask, weights):
        return (((scores - gains) ** 2) * mask * weights).sum(-1)

    ranker = rankformer(loss=square_error, gain=np.sqrt, listwide_weight=0)
    ranker.fit(X, y, groups=groups)
    default = rankformer(listwide_weight=0).fit(X, y, groups=groups)
    assert not np.allclose(
        ranker.predict(X, groups=groups), default.predict(X, groups=groups)
    )


def test_exponential_gain_that_overflows_names_the_linear_one(lists):
    X, y, groups = lists
    with pytest.raises(ValueError, match='gain="linear"'):
        rankformer().fit(X, y * 100, groups=groups)
    rankformer(gain="linear").fit(X, y * 100, groups=groups)


# What a score depends on -------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_order_of_rows_never_changes_a_score(fitted, seed):
    X, _, groups = make_lists(seed=1)
    order = np.random.default_rng(seed).permutation(len(X))
    shuffled = fitted.predict(X[order], groups=groups[order])
    np.testing.assert_allclose(
        shuffled, fitted.predict(X, groups=groups)[order], atol=2e-6
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), n_lists=st.integers(1, 20))
def test_other_lists_never_change_a_score(fitted, seed, n_lists):
    X, _, groups = make_lists(seed=1)
    chosen = np.random.default_rng(seed).choice(np.unique(groups), n_lists, False)
    rows = np.isin(groups, chosen)
    alone = fitted.predict(X[rows], groups=groups[rows])
    np.testing.assert_allclose(alone, fitted.predict(X, groups=groups)[rows], atol=2e-6)


@pytest.mark.parametrize(
    "relabel",
    [
        lambda g: g.astype(str),
        lambda g: g * 1000 - 7,
        lambda g: g.astype(float),
        lambda g: np.array([f"list {i}" for i in g], dtype=object),
        lambda g: g[:, None],
        list,
    ],
    ids=["str", "int", "float", "object", "column", "list"],
)
def test_the_names_of_lists_change_nothing(fitted, relabel):
    X, _, groups = make_lists(seed=1)
    np.testing.assert_allclose(
        fitted.predict(X, groups=relabel(groups)),
        fitted.predict(X, groups=groups),
        atol=2e-6,
    )


def test_order_of_training_rows_changes_nothing(lists):
    X, y, groups = lists
    order = np.argsort(groups, kind="stable")
    interleaved = np.argsort(np.arange(len(X)) % 7, kind="stable")
    params = {"dropout": 0, "feature_dropout": 0}
    a = rankformer(**params).fit(X[order], y[order], groups=groups[order])
    b = rankformer(**params).fit(
        X[interleaved], y[interleaved], groups=groups[interleaved]
    )
    np.testing.assert_allclose(
        a.predict(X, groups=groups), b.predict(X, groups=groups), atol=1e-4
    )


def test_a_score_depends_on_its_list(fitted):
    X, _, groups = make_lists(seed=1)
    together = fitted.predict(X, groups=np.zeros(len(X)))
    assert np.abs(together - fitted.predict(X, groups=groups)).max() > 1e-3


def test_mlp_scores_each_item_alone(lists):
    X, y, groups = lists
    ranker = mlp().fit(X, y, groups=groups)
    np.testing.assert_allclose(
        ranker.predict(X), ranker.predict(X, groups=groups), atol=2e-6
    )


# Raw features ------------------------------------------------------------------------


def test_mlp_predicts_many_rows_in_batches_of_bounded_size(lists):
    X, y, groups = lists
    ranker = mlp().fit(X, y, groups=groups)
    many = np.random.default_rng(0).normal(size=(10_000, X.shape[1]))
    seen = []
    ranker.module_.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    scores = ranker.predict(many)
    assert max(x.shape[:2].numel() for x in seen) <= predict_items(ranker.device_)
    one_by_one = ranker.predict(many, groups=np.arange(len(many)))
    np.testing.assert_allclose(scores, one_by_one, atol=1e-6)


@both
def test_strictly_increasing_transforms_of_features_change_nothing(make, lists):
    X, y, groups = lists
    wild = np.column_stack(
        [np.exp(20 * X[:, 0]), X[:, 1] ** 3, 1e-12 * X[:, 2], 1e300 * X[:, 3] / 9]
    )
    a = make().fit(X, y, groups=groups).predict(X, groups=groups)
    b = make().fit(wild, y, groups=groups).predict(wild, groups=groups)
    np.testing.assert_allclose(a, b, atol=1e-4)


@both
def test_missing_values_and_constant_columns_are_taken(make, lists):
    X, y, groups = lists
    X = np.column_stack([X, np.full(len(X), 7.0), np.full(len(X), np.nan)])
    X[::3, 0] = np.nan
    ranker = make().fit(X, y, groups=groups)
    X[1::3, 1] = np.nan  # no missing value was seen here in training
    assert np.isfinite(ranker.predict(X, groups=groups)).all()


def test_sparse_equals_dense(lists):
    X, y, groups = lists
    X[np.abs(X) < 0.5] = 0
    a = rankformer().fit(X, y, groups=groups)
    b = rankformer().fit(sparse.csr_matrix(X), y, groups=groups)
    np.testing.assert_array_equal(
        a.predict(X, groups=groups), b.predict(sparse.csr_matrix(X), groups=groups)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_numeric_dtypes_are_taken(dtype, lists):
    X, y, groups = lists
    X = (10 * X).astype(dtype)
    ranker = rankformer().fit(X, y, groups=groups)
    assert ranker.predict(X, groups=groups).dtype == np.float32


def test_without_transform_missing_values_are_refused(lists):
    X, y, groups = lists
    ranker = rankformer(input_transform=None).fit(X, y, groups=groups)
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        ranker.predict(X, groups=groups)


# Lists of any shape ------------------------------------------------------------------


def test_single_item_lists_get_scores(fitted):
    X, _, _ = make_lists()
    assert np.isfinite(fitted.predict(X, groups=np.arange(len(X)))).all()


def test_one_long_list_beside_short_ones(lists):
    X, y, groups = lists
    rng = np.random.default_rng(0)
    X = np.vstack([X, rng.normal(size=(3000, X.shape[1]))])
    y = np.append(y, rng.integers(0, 3, 3000))
    groups = np.append(groups, np.full(3000, 999))
    ranker = rankformer(max_epochs=1).fit(X, y, groups=groups)
    assert np.isfinite(ranker.predict(X, groups=groups)).all()


@pytest.mark.parametrize("value", [0, 2], ids=["all zero", "all equal"])
def test_labels_that_teach_no_order_still_fit(value, lists):
    X, _, groups = lists
    with pytest.warns(UserWarning, match="no order to learn"):
        ranker = rankformer().fit(X, np.full(len(X), value), groups=groups)
    assert np.isfinite(ranker.predict(X, groups=groups)).all()
    result = ranker.predict_list_value(X, groups=groups)
    np.testing.assert_array_equal(result.value, value)


@pytest.mark.parametrize("by", ["gain", "sample_weight"])
def test_labels_whose_difference_counts_nothing_are_warned_of(by, lists):
    X, y, groups = lists
    options = {"gain": lambda labels: 0 * labels} if by == "gain" else {}
    weight = None if by == "gain" else (y == 0) + 0.0
    with pytest.warns(UserWarning, match="no order to learn. Change gain="):
        rankformer(**options).fit(X, y, groups=groups, sample_weight=weight)


def test_more_list_values_than_levels_are_binned(lists):
    X, _, groups = lists
    X, _, groups = make_lists(n_lists=100)
    y = np.random.default_rng(0).random(len(X))
    ranker = rankformer(gain="linear").fit(X, y, groups=groups)
    assert len(ranker.levels_) == 32
    assert (np.diff(ranker.levels_) > 0).all()


def test_chance_of_any_relevance_survives_the_binning_of_many_labels():
    X, y, groups = make_lists(n_lists=150)
    y = y * np.random.default_rng(0).gamma(2, size=len(y))
    ranker = rankformer(gain="linear").fit(X, y, groups=groups)
    everything = ranker.predict_all(X, groups=groups)
    good = np.maximum.reduceat(y, np.unique(groups, return_index=True)[1]) > 0
    for levels, proba, share in (
        (ranker.levels_, everything.list_value.proba, good.mean()),
        (everything.item_value.levels, everything.item_value.proba, (y > 0).mean()),
    ):
        assert len(levels) == 32
        assert levels[0] == 0
        assert (np.diff(levels) > 0).all()
        assert proba[:, levels > 0].sum(axis=1).mean() == pytest.approx(share, abs=0.1)


def test_levels_are_the_labels_themselves_fractions_included(lists):
    X, y, groups = lists
    y = np.array([0, 0.1, 0.3, 0.7])[np.minimum(y, 3).astype(int)]
    ranker = rankformer().fit(X, y, groups=groups)
    of_lists = np.maximum.reduceat(y, np.unique(groups, return_index=True)[1])
    assert ranker.levels_.tolist() == np.unique(of_lists).tolist()
    item = ranker.predict_item_value(X, groups=groups)
    assert item.levels.tolist() == np.unique(y).tolist()


# List values -------------------------------------------------------------------------


def test_list_values_are_distributions_in_order_of_unique_ids(fitted):
    X, _, groups = make_lists(seed=1)
    names = np.array([f"q{g}" for g in groups])
    order = np.random.default_rng(0).permutation(len(X))
    result = fitted.predict_list_value(X[order], groups=names[order])
    np.testing.assert_array_equal(result.groups, np.unique(names))
    assert result.proba.shape == (len(np.unique(names)), len(fitted.levels_))
    assert (result.proba >= 0).all()
    np.testing.assert_allclose(result.proba.sum(1), 1)
    np.testing.assert_allclose(result.value, result.proba @ fitted.levels_)


def test_list_value_is_absent_without_its_head(lists):
    X, y, groups = lists
    ranker = rankformer(listwide_weight=0).fit(X, y, groups=groups)
    assert not hasattr(ranker, "predict_list_value")
    with pytest.raises(AttributeError) as error:
        ranker.predict_list_value(X, groups=groups)
    assert "listwide_weight=0" in str(error.value.__cause__)
    with pytest.raises(AttributeError) as error:
        ranker.predict_item_value(X, groups=groups)
    assert "item value need" in str(error.value.__cause__)
    assert not hasattr(mlp(), "predict_list_value")


@pytest.mark.parametrize(("fitted_with", "set_to"), [(0, 0.25), (0.25, 0)])
def test_list_value_is_that_of_the_network_whatever_is_set_since(
    fitted_with, set_to, lists
):
    X, y, groups = lists
    ranker = rankformer(listwide_weight=fitted_with).fit(X, y, groups=groups)
    assert hasattr(ranker.set_params(listwide_weight=set_to), "predict_all") == bool(
        fitted_with
    )
    if fitted_with:
        assert ranker.predict_all(X, groups).list_value.value.shape == (groups[-1] + 1,)


def test_missing_numbers_are_refused_by_a_network_without_a_place_for_them(lists):
    X, y, groups = lists
    ranker = rankformer(input_transform=None).fit(X, y, groups=groups)
    ranker.set_params(input_transform="quantile")
    with pytest.raises(ValueError, match="NaN"):
        ranker.predict(np.where(X > 0, X, np.nan), groups)
    ranker = rankformer().fit(X, y, groups=groups).set_params(input_transform=None)
    assert np.isfinite(ranker.predict(np.where(X > 0, X, np.nan), groups)).all()


# Ranks and scores --------------------------------------------------------------------


def test_rank_gives_rows_best_first_list_by_list(fitted):
    X, _, groups = make_lists(seed=1)
    scores = fitted.predict(X, groups=groups)
    expected = [
        row
        for g in np.unique(groups)
        for row in sorted(np.flatnonzero(groups == g), key=lambda r: -scores[r])[:3]
    ]
    np.testing.assert_array_equal(fitted.rank(X, groups=groups, k=3), expected)
    assert len(fitted.rank(X, groups=groups)) == len(X)


def test_score_is_ndcg_at_10_with_list_weights(fitted):
    X, y, groups = make_lists(seed=1)
    scores = fitted.predict(X, groups=groups)
    weights = 1.0 + groups % 4
    assert fitted.score(X, y, groups) == ndcg_score(y, scores, groups, k=10)
    assert fitted.score(X, y, groups, weights) == ndcg_score(
        y, scores, groups, k=10, sample_weight=weights
    )


# Groups, given or not ----------------------------------------------------------------


@both
def test_fit_without_groups_warns_and_takes_one_list(make, lists):
    X, y, _ = lists
    with pytest.warns(MissingGroupsWarning, match=r"groups=.*group_column="):
        ranker = make().fit(X, y)
    as_one = make().fit(X, y, groups=np.zeros(len(X)))
    np.testing.assert_array_equal(
        ranker.predict(X), as_one.predict(X, groups=np.zeros(len(X)))
    )
    with pytest.warns(MissingGroupsWarning):
        ranker.score(X, y)


@both
def test_partial_fit_without_groups_warns_in_its_own_name(make, lists):
    X, y, _ = lists
    with pytest.warns(MissingGroupsWarning, match=r"Ranker\.partial_fit got no groups"):
        make().partial_fit(X, y)


@pytest.mark.parametrize("method", ["predict", "rank", "predict_list_value"])
def test_predict_without_groups_raises_after_fit_with_groups(fitted, method):
    X, _, _ = make_lists()
    with pytest.raises(ValueError, match=r"groups=np.zeros\(len\(X\)\)"):
        getattr(fitted, method)(X)


@pytest.mark.parametrize("method", ["predict", "rank", "predict_list_value"])
def test_a_single_row_without_columns_is_told_so(fitted, method):
    for row in (np.zeros(4), [0.0] * 4):
        with pytest.raises(ValueError, match=r"X must be 2-D, got shape \(4,\)"):
            getattr(fitted, method)(row, groups=[7])


def test_qid_is_another_name_for_groups(lists, fitted):
    X, y, groups = lists
    again = rankformer().fit(X, y, qid=groups)
    np.testing.assert_array_equal(
        again.predict(X, qid=groups), fitted.predict(X, groups=groups)
    )
    with pytest.raises(ValueError, match="both given"):
        fitted.predict(X, groups=groups, qid=groups)


def test_group_column_equals_groups(lists, fitted):
    X, y, groups = lists
    with_ids = np.column_stack([groups, X])
    ranker = rankformer(group_column=0).fit(with_ids, y)
    np.testing.assert_array_equal(
        ranker.predict(with_ids), fitted.predict(X, groups=groups)
    )
    np.testing.assert_array_equal(ranker.get_groups(with_ids), groups)
    with_ids[0, 0] = 0.5
    with pytest.raises(ValueError, match="fractional"):
        ranker.predict(with_ids)


# Training ----------------------------------------------------------------------------


@both
def test_same_seed_same_bits_and_torch_untouched(make, lists):
    X, y, groups = lists
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    a = make().fit(X, y, groups=groups)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    b = make().fit(X, y, groups=groups)
    np.testing.assert_array_equal(
        a.predict(X, groups=groups), b.predict(X, groups=groups)
    )
    c = make(random_state=1).fit(X, y, groups=groups)
    assert not np.array_equal(a.predict(X, groups), c.predict(X, groups))


def test_kept_epoch_is_what_the_ranker_scores_with(lists):
    X, y, groups = lists
    X_val, y_val, groups_val = make_lists(seed=1)
    ranker = rankformer(max_epochs=8, learning_rate=0.05).fit(
        X, y, groups=groups, X_val=X_val, y_val=y_val, groups_val=groups_val
    )
    kept = ranker.history_[ranker.kept_epoch_ - 1]["valid_ndcg"]
    assert ranker.kept_score_ == kept
    assert ranker.score(X_val, y_val, groups_val) == pytest.approx(kept)


def test_last_epoch_is_kept_unless_the_best_beats_it_beyond_noise(lists):
    X, y, groups = lists
    X_val, y_val, groups_val = make_lists(n_lists=300, seed=1)
    val = {"X_val": X_val, "groups_val": groups_val}
    ranker = rankformer(max_epochs=6)
    # Labels turned round: the more is learned, the worse it looks held out.
    ranker.fit(X, y, groups=groups, y_val=2 - y_val, **val)
    measured = [epoch["valid_ndcg"] for epoch in ranker.history_]
    assert ranker.kept_epoch_ == 1 + int(np.argmax(measured)) < 6
    # Labels drawn at random: the best epoch is best by luck.
    luck = np.random.default_rng(0).permutation(y_val)
    ranker.fit(X, y, groups=groups, y_val=luck, **val)
    assert ranker.kept_epoch_ == 6


def test_one_held_out_list_is_no_reason_to_take_an_epoch_back(lists):
    X, y, groups = lists
    better = []
    for seed in range(4):
        X_val, y_val, groups_val = make_lists(n_lists=2, sizes=(30, 31), seed=seed)
        one = groups_val == 1
        ranker = rankformer(max_epochs=6).fit(
            X,
            y,
            groups=groups,
            X_val=X_val[one],
            y_val=2 - y_val[one],
            groups_val=groups_val[one],
        )
        measured = [epoch["valid_ndcg"] for epoch in ranker.history_]
        better.append(max(measured) > measured[-1])
        assert ranker.kept_epoch_ == 6
    assert any(better)


def test_kept_epoch_is_restored_when_training_stops_early(lists):
    X, y, groups = lists
    ranker = rankformer(max_epochs=50, n_iter_no_change=2, learning_rate=0.05)
    ranker.fit(X, y, groups=groups)
    measured = [epoch["valid_ndcg"] for epoch in ranker.history_]
    assert ranker.kept_score_ == max(measured)


def test_training_stops_when_nothing_improves(lists):
    X, y, groups = lists
    ranker = rankformer(max_epochs=50, n_iter_no_change=2, learning_rate=0.05)
    ranker.fit(X, y, groups=groups)
    assert ranker.n_iter_ == ranker.kept_epoch_ + 2 < 50


def test_few_lists_are_all_trained_on(lists):
    X, y, groups = lists
    few = groups < 9
    ranker = rankformer().fit(X[few], y[few], groups=groups[few])
    assert ranker.kept_score_ is None
    assert ranker.n_iter_ == 3


def test_loss_is_watched_where_no_held_out_list_has_a_positive(lists):
    X, y, groups = lists
    ranker = rankformer().fit(
        X, y, groups=groups, X_val=X, y_val=np.zeros(len(X)), groups_val=groups
    )
    watched = [epoch["valid_loss"] for epoch in ranker.history_]
    assert ranker.kept_score_ == min(watched)


def test_loss_is_watched_where_no_held_out_label_has_a_gain(lists):
    X, y, groups = lists
    ranker = rankformer(gain=lambda labels: np.maximum(labels - 1, 0))
    ranker.fit(X, y, groups=groups, X_val=X, y_val=np.minimum(y, 1), groups_val=groups)
    watched = [epoch["valid_loss"] for epoch in ranker.history_]
    assert ranker.kept_score_ == min(watched)


@pytest.mark.parametrize("batch_items", [8, 60, 10_000])
def test_losses_in_the_history_are_means_over_the_lists(batch_items):
    # Short lists come by the dozen in a batch, long ones alone.
    sizes = np.repeat([2, 50], [60, 6])
    groups = np.repeat(np.arange(len(sizes)), sizes)
    X = np.random.default_rng(0).normal(size=(len(groups), 2))
    y = np.concatenate([np.arange(size) % 2 for size in sizes])
    ranker = rankformer(
        loss="softmax",
        listwide_weight=0,
        dropout=0.0,
        feature_dropout=0.0,
        learning_rate=1e-12,
        max_epochs=1,
        batch_items=batch_items,
    )
    ranker.set_params(validation_fraction=None).fit(X, y, groups=groups)
    scores = ranker.predict(X, groups=groups)
    each = [
        -np.mean((s - np.logaddexp.reduce(s))[is_good])
        for s, is_good in (
            (scores[groups == j], y[groups == j] > 0) for j in np.unique(groups)
        )
    ]
    (epoch,) = ranker.history_
    # Averaged over the members after the softmax, not before.
    assert epoch["train_loss"] == pytest.approx(np.mean(each), rel=0.02)


def test_held_out_loss_does_not_depend_on_the_size_of_batches():
    X, y, groups = make_lists(n_lists=200, sizes=(20, 30))
    held = {"X_val": X, "y_val": 0 * y, "groups_val": groups}
    few, many = (
        rankformer(batch_items=n, learning_rate=1e-12, max_epochs=1).fit(
            X, y, groups=groups, **held
        )
        for n in (100, 10_000)
    )
    assert few.kept_score_ == pytest.approx(many.kept_score_, rel=1e-4)


def test_warm_start_goes_on(lists):
    X, y, groups = lists
    ranker = rankformer(warm_start=True, validation_fraction=None).fit(
        X, y, groups=groups
    )
    first = ranker.history_[-1]["train_loss"]
    ranker.set_params(max_epochs=20).fit(X, y, groups=groups)
    assert ranker.history_[-1]["train_loss"] < first


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("make", "params"),
    [
        (rankformer, {"d_model": 8}),
        (rankformer, {"num_layers": 2}),
        (rankformer, {"list_features": False}),
        (rankformer, {"listwide_weight": 0}),
        (mlp, {"hidden_layer_sizes": (16,)}),
        (mlp, {"n_members": 3}),
        (mlp, {"n_bins": 0}),
        (mlp, {"dropout": 0.5}),
        (mlp, {"feature_dropout": 0.5}),
        (mlp, {"input_transform": None}),
    ],
)
def test_training_that_goes_on_refuses_another_network(make, params, method, lists):
    X, y, groups = lists
    ranker = make(**TINY, warm_start=True).fit(X, y, groups=groups)
    before = ranker.predict(X, groups)
    kept = ranker.get_params()
    ranker.set_params(**params)
    with pytest.raises(ValueError, match=f"other values than {next(iter(params))}="):
        getattr(ranker, method)(X, y, groups=groups)
    np.testing.assert_array_equal(ranker.predict(X, groups), before)
    ranker.set_params(**kept)
    getattr(ranker, method)(X, y, groups=groups)
    assert clone(ranker).set_params(**params).fit(X, y, groups=groups)


@both
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_that_goes_on_refuses_other_categories(make, method, lists):
    pd = pytest.importorskip("pandas")
    X, y, groups = lists
    X = pd.DataFrame(X.round(), columns=[f"f{j}" for j in range(X.shape[1])])
    ranker = make(**TINY, warm_start=True, categorical_features=["f1"])
    ranker.fit(X, y, groups=groups)
    for other in (["f0"], ["f0", "f1"], [0], None):
        ranker.set_params(categorical_features=other)
        with pytest.raises(ValueError, match="other values than categorical_features="):
            getattr(ranker, method)(X, y, groups=groups)
    for same in (["f1"], [1], [j == 1 for j in range(X.shape[1])]):
        ranker.set_params(categorical_features=same)
        getattr(ranker, method)(X, y, groups=groups)
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            getattr(ranker, method)(X.to_numpy(), y, groups=groups)


@both
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_that_goes_on_knows_categories_by_integer_names(make, method, lists):
    pd = pytest.importorskip("pandas")
    X, y, groups = lists
    X = pd.DataFrame(X.round()).rename(columns={1: 2, 2: 30, 3: 1})
    ranker = make(**TINY, warm_start=True, categorical_features=[2, 30])
    for _ in range(2):
        getattr(ranker, method)(X, y, groups=groups)
    ranker.set_params(categorical_features=[1, 30])
    with pytest.raises(ValueError, match="other values than categorical_features="):
        getattr(ranker, method)(X, y, groups=groups)


def test_training_that_goes_on_knows_bins_of_tiny_labels():
    X, y, groups = make_lists(n_lists=150)
    y = 1e-9 * y * np.random.default_rng(0).random(len(y))
    ranker = rankformer(gain="linear").partial_fit(X, y, groups)
    ranker.partial_fit(X, 0.9 * y, groups)  # nothing to warn of


@pytest.mark.parametrize("method", ["partial_fit", "fit"])
def test_training_that_goes_on_warns_of_list_values_it_cannot_predict(method, lists):
    X, y, groups = lists
    ranker = rankformer(warm_start=True, max_epochs=1)
    getattr(ranker, method)(X, np.minimum(y, 1), groups=groups)
    getattr(ranker, method)(X, np.minimum(y, 1), groups=groups)
    message = "highest label is 2, which the first call had none of.*only 0, 1,"
    with pytest.warns(UserWarning, match=message):
        getattr(ranker, method)(X, y, groups=groups)
    in_order_only = rankformer(listwide_weight=0).partial_fit(X, y * 0 + 1, groups)
    in_order_only.partial_fit(X, y, groups)


def test_partial_fit_learns_epoch_by_epoch(lists):
    X, y, groups = lists
    ranker = rankformer(learning_rate=5e-3)
    for _ in range(20):
        ranker.partial_fit(X, y, groups=groups)
    assert ranker.n_iter_ == 20
    assert ranker.history_[-1]["train_loss"] < ranker.history_[0]["train_loss"]
    few = groups < 3
    ranker.partial_fit(X[few], y[few], groups=groups[few])
    assert ranker.n_iter_ == 21


def test_interrupted_training_keeps_what_it_has_and_warns(lists):
    from skorch.callbacks import Callback

    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    X, y, groups = lists
    with pytest.warns(UserWarning, match="interrupted in epoch 2"):
        ranker = rankformer(callbacks=[Interrupt()]).fit(X, y, groups=groups)
    assert ranker.n_iter_ == 2
    assert np.isfinite(ranker.predict(X, groups=groups)).all()


@both
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_fit_interrupted_within_an_epoch_can_be_saved_drawn_and_go_on(
    make, epoch, lists, tmp_path
):
    pytest.importorskip("matplotlib")
    from skorch.callbacks import Callback

    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == epoch:
                raise KeyboardInterrupt

    X, y, groups = lists
    with pytest.warns(UserWarning, match=f"interrupted in epoch {epoch};"):
        ranker = make(callbacks=[Interrupt()]).fit(X, y, groups=groups)
    assert ranker.n_iter_ == len(ranker.history_) == epoch - 1
    TrainingCurveDisplay.from_estimator(ranker)
    persistence.save(ranker.set_params(callbacks=None), tmp_path / "ranker")
    loaded = persistence.load(tmp_path / "ranker")
    np.testing.assert_array_equal(
        loaded.predict(X, groups=groups), ranker.predict(X, groups=groups)
    )
    assert loaded.partial_fit(X, y, groups=groups).n_iter_ == epoch


def test_print_log_prints_where_the_ranker_is_verbose(lists, capsys):
    from skorch.callbacks import PrintLog

    X, y, groups = lists
    for verbose in (0, 1):
        ranker = rankformer(callbacks=[PrintLog()], verbose=verbose)
        ranker.fit(X, y, groups=groups)
        assert ("valid_ndcg" in capsys.readouterr().out) == bool(verbose)


@both
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_schedulers_that_would_change_nothing_are_refused(make, method, lists):
    from skorch.callbacks import LRScheduler

    X, y, groups = lists
    ranker = make(callbacks=[LRScheduler("StepLR", step_size=1)])
    with pytest.raises(ValueError, match="callbacks holds a LRScheduler"):
        getattr(ranker, method)(X, y, groups=groups)


@both
@pytest.mark.parametrize("why", ["none", "few"])
def test_a_stop_that_cannot_come_warns(make, why, lists):
    X, y, groups = lists
    few = groups < 9 if why == "few" else np.ones(len(y), bool)
    ranker = make(validation_fraction=None if why == "none" else 0.1)
    expected = clone(ranker).fit(X[few], y[few], groups=groups[few])
    ranker.set_params(n_iter_no_change=1)
    with pytest.warns(UserWarning, match="n_iter_no_change=1 stops nothing"):
        ranker.fit(X[few], y[few], groups=groups[few])
    np.testing.assert_array_equal(
        ranker.predict(X, groups), expected.predict(X, groups)
    )


def test_callbacks_that_would_replace_the_weights_kept_are_refused(lists):
    from skorch.callbacks import EarlyStopping

    X, y, groups = lists
    options = {"monitor": "valid_ndcg", "lower_is_better": False, "patience": 1}
    ranker = rankformer(callbacks=[EarlyStopping(**options, load_best=True)])
    with pytest.raises(ValueError, match="EarlyStopping with load_best=True"):
        ranker.fit(X, y, groups=groups)
    ranker.set_params(callbacks=[EarlyStopping(**options)], max_epochs=50)
    held = {"X_val": X, "y_val": y, "groups_val": groups}
    with pytest.warns(UserWarning, match="interrupted in epoch"):
        ranker.fit(X, y, groups=groups, **held)
    assert ranker.kept_score_ == pytest.approx(ranker.score(X, y, groups=groups))


def test_what_callbacks_may_monitor_is_said(lists):
    from skorch.callbacks import Checkpoint, EarlyStopping

    X, y, groups = lists
    for callback in (EarlyStopping(), Checkpoint()):
        ranker = rankformer(callbacks=[callback])
        with pytest.raises(Exception, match="not found in history") as raised:
            ranker.fit(X, y, groups=groups)
        assert "EarlyStopping(monitor='valid_ndcg'" in raised.value.__notes__[0]


def test_callbacks_that_call_themselves_otherwise_end_their_own_fit_alone(lists):
    from skorch.callbacks import Callback

    class Interrupt(Callback):
        def on_epoch_end(this, net, **kwargs):
            raise KeyboardInterrupt

    X, y, groups = lists
    with pytest.warns(UserWarning, match="interrupted in epoch 1"):
        rankformer(callbacks=[Interrupt()]).fit(X, y, groups=groups)


def test_diverged_training_raises_with_advice(lists):
    X, y, groups = lists
    with pytest.raises(ValueError, match="Lower learning_rate"):
        rankformer(learning_rate=1e30, max_epochs=20).fit(X, y, groups=groups)


def test_progress_bar_shows_held_out_ndcg(lists, capsys):
    X, y, groups = lists
    rankformer(verbose=1).fit(X, y, groups=groups)
    shown = capsys.readouterr()
    assert "valid_ndcg" in shown.err
    assert shown.out == ""


# Weights -----------------------------------------------------------------------------


def test_lists_of_zero_weight_equal_their_absence(lists):
    X, y, groups = lists
    weights = np.where(groups % 5 == 0, 0.0, 1.0)
    kept = weights > 0
    a = rankformer().fit(X, y, groups=groups, sample_weight=weights)
    b = rankformer().fit(X[kept], y[kept], groups=groups[kept])
    np.testing.assert_array_equal(
        a.predict(X, groups=groups), b.predict(X, groups=groups)
    )


@both
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_what_only_lists_of_zero_weight_hold_is_unknown(make, fit, lists):
    X, y, groups = lists
    weights = np.where(groups % 5 == 0, 0.0, 1.0)
    kept = weights > 0
    kind = np.where(kept, X[:, 2] > 0, -1)  # before the others in any order
    X = np.column_stack([X, kind])
    position = np.where(kept, np.arange(len(y)) % 3, -1)
    a, b = make(categorical_features=[-1]), make(categorical_features=[-1])
    getattr(a, fit)(X, y, groups, sample_weight=weights, position=position)
    getattr(b, fit)(X[kept], y[kept], groups[kept], position=position[kept])
    np.testing.assert_array_equal(a.positions_, [0, 1, 2])
    np.testing.assert_array_equal(
        a.predict(X, groups=groups), b.predict(X, groups=groups)
    )


@both
@pytest.mark.parametrize("written", [3, 999])
def test_labels_of_zero_weight_rows_do_not_matter(make, written):
    X, y, groups = make_lists(60, seed=3)
    weights = np.random.default_rng(0).integers(0, 2, len(X)).astype(float)
    weights[groups == 5] = 1  # so that every label is one of weight somewhere
    params = {"n_iter_no_change": 1, "validation_fraction": 0.3}
    a, b = (
        make(**params).fit(X, labels, groups=groups, sample_weight=weights)
        for labels in (y, np.where(weights > 0, y, written))
    )
    np.testing.assert_array_equal(a.predict(X, groups), b.predict(X, groups))
    assert (a.kept_epoch_, a.kept_score_) == (b.kept_epoch_, b.kept_score_)
    if make is rankformer:
        value, other = (one.predict_item_value(X, groups) for one in (a, b))
        np.testing.assert_array_equal(value.proba, other.proba)
        np.testing.assert_array_equal(a.levels_, b.levels_)


def test_scale_of_weights_does_not_matter(lists):
    X, y, groups = lists
    weights = np.random.default_rng(0).random(len(X)) + 0.1
    a = rankformer().fit(X, y, groups=groups, sample_weight=weights)
    b = rankformer().fit(X, y, groups=groups, sample_weight=1024 * weights)
    np.testing.assert_allclose(a.predict(X, groups), b.predict(X, groups), atol=1e-5)


# Copies ------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_copies_score_the_same_bits(make, copied, lists):
    X, y, groups = lists
    ranker = make().fit(X, y, groups=groups)
    np.testing.assert_array_equal(
        copied(ranker).predict(X, groups=groups), ranker.predict(X, groups=groups)
    )


@both
def test_clone_is_unfitted(make, lists):
    X, y, groups = lists
    ranker = clone(make().fit(X, y, groups=groups))
    with pytest.raises(NotFittedError):
        ranker.predict(X, groups=groups)


def test_a_pickle_holds_no_training_rows(lists):
    X, y, groups = lists
    few = rankformer().fit(X, y, groups=groups)
    X, y, groups = make_lists(n_lists=4000)
    many = rankformer().fit(X, y, groups=groups)
    assert len(pickle.dumps(many)) < 1.3 * len(pickle.dumps(few)) + X.nbytes / 4


# Input that is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y, g: (X, y, g[:-1]), "groups has .* entries for"),
        (lambda X, y, g: (X, y[:-1], g), "inconsistent numbers of samples"),
        (lambda X, y, g: (X, y - 1, g), "y must not be negative"),
        (lambda X, y, g: (X, np.where(y, np.nan, y), g), "y contains NaN"),
        (lambda X, y, g: (X, np.where(y, np.inf, y), g), "y contains infinity"),
        (lambda X, y, g: (X, y.astype(str), g.astype(float) + 0.5), "fractional"),
        (lambda X, y, g: (X, np.array(["good"] * len(y)), g), "must hold numbers"),
        (lambda X, y, g: (X * np.inf, y, g), "infinity|NaN"),
        (lambda X, y, g: (X[:, :, None], y, g), "X must be 2-D"),
        (lambda X, y, g: (X, y, np.where(g, g, np.nan)), "groups contains NaN"),
        (lambda X, y, g: (X, np.column_stack([y, y]), g), "y must be 1-D"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_input_is_named_and_leaves_a_fitted_ranker_alone(change, message, lists):
    X, y, groups = lists
    ranker = rankformer().fit(X, y, groups=groups)
    before = ranker.predict(X, groups=groups)
    bad_X, bad_y, bad_groups = change(X, y, groups)
    with pytest.raises(ValueError, match=message):
        ranker.fit(bad_X, bad_y, groups=bad_groups)
    np.testing.assert_array_equal(ranker.predict(X, groups=groups), before)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "listnet"}, "loss"),
        ({"d_model": 15}, "multiple of nhead"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"dropout": 1.0}, "dropout"),
        ({"device": "tpu-9000"}, "torch device"),
        ({"max_epochs": 2.5}, "max_epochs"),
        ({"validation_fraction": 1.5}, "validation_fraction"),
        ({"categorical_features": ["colour"]}, "colour"),
        ({"group_column": "qid"}, "group_column"),
    ],
)
def test_bad_parameters_are_named(params, message, lists):
    X, y, groups = lists
    with pytest.raises((ValueError, TypeError), match=message):
        rankformer(**params).fit(X, y, groups=groups)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"X_val": "X"}, "X_val came without groups_val"),
        ({"y_val": "y"}, "y_val was given without X_val"),
        ({"X_val": "X", "y_val": "y"}, "X_val came without groups_val"),
    ],
)
def test_incomplete_validation_data_is_refused(held, message, lists):
    X, y, groups = lists
    given = {name: {"X": X, "y": y}[value] for name, value in held.items()}
    with pytest.raises(ValueError, match=message):
        rankformer().fit(X, y, groups=groups, **given)


def test_negative_or_all_zero_weights_are_refused(lists):
    X, y, groups = lists
    with pytest.raises(ValueError, match="egative"):
        rankformer().fit(X, y, groups=groups, sample_weight=-np.ones(len(X)))
    with pytest.raises(ValueError, match="zero"):
        rankformer().fit(X, y, groups=groups, sample_weight=np.zeros(len(X)))


def test_device_is_told(fitted):
    assert fitted.device_ == torch.device(
        "cuda" if torch.cuda.is_available() else fitted.device_.type
    )


def test_nothing_warns_in_ordinary_use(lists):
    X, y, groups = lists
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RankFormerRanker(max_epochs=1).fit(X, y, groups=groups).score(X, y, groups)
