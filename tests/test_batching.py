"""Batches: every list once, bounded, little padding; targets that stay unbiased."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sklearn_rankformer import _batching
from sklearn_rankformer._batching import (
    Batch,
    BatchIterator,
    Features,
    ListDataset,
    cut_batches,
    draw_batches,
    make_batch,
    make_targets,
    ordered_batches,
)
from sklearn_rankformer._lists import split_lists
from sklearn_rankformer._losses import softmax_loss
from sklearn_rankformer._processes import Peers

from . import references
from .strategies import list_ids
from .test_columns import learn

CPU = torch.device("cpu")
BATCH_ITEMS = 512  # the rankers' default


def padded_batches(lists, chosen, batch_items, seed):
    """Training batches of one epoch, or, without a seed, those of prediction."""
    if seed is None:
        return list(ordered_batches(lists, chosen, batch_items))
    rng = np.random.default_rng(seed)
    drawn = draw_batches(lists, chosen, batch_items, rng)
    return [make_batch(lists, one) for one in drawn]


def padding_share(batches):
    """Share of computed items that are padding."""
    padded = sum(batch.mask.size for batch in batches)
    return 1 - sum(batch.mask.sum() for batch in batches) / padded


def all_lists(lists):
    return np.arange(lists.n_lists)


def skewed_lists(n_lists=3000):
    """Lengths as in search logs: log-normal, median 20, sigma 1, from 1 to 429."""
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(np.log(20), 1.0, n_lists)).astype(int).clip(1)
    return split_lists(np.repeat(np.arange(n_lists), lengths))


seeds = st.one_of(st.none(), st.integers(0, 99))


class OneOfTwo(Peers):
    """A process whose peer has so many batches, without the peer."""

    others = 0

    def most(self, value):
        return max(value, self.others)

    def first(self, value):
        return value


@given(ids=list_ids(), batch_items=st.integers(2, 40), others=st.integers(0, 60))
def test_a_process_with_fewer_batches_than_its_peer_cuts_its_own_further(
    ids, batch_items, others
):
    lists = split_lists(np.array(ids))
    peers = OneOfTwo(0, 2)
    object.__setattr__(peers, "others", others)
    rng = np.random.default_rng(0)
    drawn = list(draw_batches(lists, all_lists(lists), batch_items, rng, peers))
    assert sorted(np.concatenate(drawn).tolist()) == list(range(lists.n_lists))
    own = [batch for batch in drawn if len(batch)]
    assert len(drawn) >= others
    # Nothing is left empty while a batch could be halved.
    assert len(own) == len(drawn) or max(map(len, own)) == 1
    for batch in own:
        padded = lists.lengths[batch].max() * len(batch)
        assert padded <= batch_items // 2 or len(batch) == 1


# Which lists go together -------------------------------------------------------------


@given(ids=list_ids(), batch_items=st.integers(1, 40), seed=seeds, data=st.data())
def test_each_chosen_list_is_in_exactly_one_batch(ids, batch_items, seed, data):
    lists = split_lists(np.array(ids))
    some = data.draw(st.sets(st.sampled_from(range(lists.n_lists))))
    chosen = np.array(sorted(some), dtype=int)
    batches = padded_batches(lists, chosen, batch_items, seed)
    assert sorted(j for batch in batches for j in batch.lists) == sorted(some)


@given(ids=list_ids(), batch_items=st.integers(1, 40), seed=seeds)
def test_only_a_single_long_list_exceeds_the_bound(ids, batch_items, seed):
    lists = split_lists(np.array(ids))
    for batch in padded_batches(lists, all_lists(lists), batch_items, seed):
        assert batch.mask.size <= batch_items or len(batch.lists) == 1
        assert batch.mask.shape == (len(batch.lists), lists.lengths[batch.lists].max())


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    batch_items=st.integers(1, 90),
    data=st.data(),
)
def test_the_bound_holds_in_whatever_order_lists_are_cut(lengths, batch_items, data):
    by = data.draw(st.permutations(range(len(lengths))))
    lengths = np.array(lengths)
    batches = cut_batches(lengths, np.array(by), batch_items)
    assert [by[j] for batch in batches for j in batch] == sorted(by)
    for batch in batches:
        assert len(batch) * lengths[batch].max() <= batch_items or len(batch) == 1


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    batch_items=st.integers(1, 60),
)
def test_batches_are_cut_only_where_one_more_list_would_not_fit(lengths, batch_items):
    lengths = np.array(lengths)
    batches = cut_batches(lengths, lengths, batch_items)
    for batch, following in pairwise(batches):
        longest = max(lengths[batch].max(), lengths[following[0]])
        assert (len(batch) + 1) * longest > batch_items


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_padding_stays_below_a_tenth_of_skewed_lists(seed):
    lists = skewed_lists()
    batches = padded_batches(lists, all_lists(lists), BATCH_ITEMS, seed)
    assert sum(batch.mask.sum() for batch in batches) == lists.n_rows
    assert 0 < padding_share(batches) < 0.1


def test_one_long_list_costs_the_short_ones_nothing():
    lists = split_lists(np.repeat(np.arange(101), [5000] + [10] * 100))
    batches = padded_batches(lists, all_lists(lists), BATCH_ITEMS, seed=0)
    assert padding_share(batches) == 0


def test_neighbours_change_from_epoch_to_epoch():
    lists = skewed_lists()

    def mates(seed):
        batches = padded_batches(lists, all_lists(lists), BATCH_ITEMS, seed)
        return {j: {*batch.lists} - {j} for batch in batches for j in batch.lists}

    first, second = mates(0), mates(1)
    kept = [len(first[j] & second[j]) / len(first[j]) for j in first if first[j]]
    assert np.mean(kept) < 0.5


def test_short_lists_do_not_always_come_first():
    lists = skewed_lists()
    batches = padded_batches(lists, all_lists(lists), BATCH_ITEMS, seed=0)
    sizes = [batch.mask.shape[1] for batch in batches]
    assert abs(np.corrcoef(sizes, np.arange(len(sizes)))[0, 1]) < 0.5


def test_batches_follow_from_seed_and_epoch_alone():
    lists = skewed_lists(200)

    def epoch(seed, number):
        data = ListDataset(
            Takes(), lists, Takes(), all_lists(lists), seed=seed, epoch=number
        )
        return [batch.lists.tolist() for batch, _ in BatchIterator(data, BATCH_ITEMS)]

    assert epoch(3, 5) == epoch(3, 5)
    assert epoch(3, 5) != epoch(3, 6)
    assert epoch(3, 5) != epoch(4, 5)


class Takes:
    """Stands in for features and targets: gives back the batch asked for."""

    def take(self, batch):
        return batch


def test_length_of_the_dataset_is_its_number_of_lists():
    lists = skewed_lists(20)
    data = ListDataset(Takes(), lists, Takes(), np.arange(7))
    assert len(data) == 7


# Rows of a batch ---------------------------------------------------------------------


@given(ids=list_ids(), data=st.data())
def test_rows_of_a_batch_are_those_of_its_lists_in_order(ids, data):
    lists = split_lists(np.array(ids))
    chosen = np.array(data.draw(st.permutations(range(lists.n_lists))))
    batch = make_batch(lists, chosen)
    for j, rows, mask in zip(batch.lists, batch.rows, batch.mask, strict=True):
        expected = [row for row, one in enumerate(ids) if one == lists.ids[j]]
        assert rows[mask].tolist() == expected
        assert mask.tolist() == [True] * len(expected) + [False] * sum(~mask)
        assert set(rows) == set(expected), "padding repeats a row of the same list"


# Features ----------------------------------------------------------------------------


def as_array(X, tmp_path):
    return X


def as_csr(X, tmp_path):
    return sparse.csr_matrix(X)


def as_memmap(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


@pytest.mark.parametrize("kept_bytes", [0, 2**20])
@pytest.mark.parametrize("convert", [as_array, as_csr, as_memmap])
def test_features_are_the_transformed_rows(convert, kept_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(_batching, "KEEP_BYTES", kept_bytes)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 7, 50)
    X = rng.normal(size=(50, 3)) * rng.integers(0, 2, (50, 3))
    transform = learn(X)
    lists = split_lists(ids)
    batch = make_batch(lists, np.array([4, 0, 6]))

    features = Features(convert(X, tmp_path), transform.transform, 3, CPU)
    taken = features.take(batch)
    assert (features.kept is None) == (kept_bytes == 0)
    assert taken["x"].dtype == torch.float32
    real = batch.mask
    np.testing.assert_array_equal(taken["mask"].numpy(), real)
    np.testing.assert_array_equal(
        taken["x"].numpy()[real], transform.transform(X)[batch.rows[real]]
    )
    assert taken["x"].isfinite().all()


@pytest.mark.parametrize(
    ("room", "kept"), [(4 * 10 * 3, True), (4 * 10 * 3 - 1, False)]
)
def test_rows_are_kept_only_if_they_fit(room, kept, monkeypatch):
    monkeypatch.setattr(_batching, "KEEP_BYTES", room)
    features = Features(np.zeros((10, 3)), lambda rows: rows.astype("f4"), 3, CPU)
    assert (features.kept is not None) == kept


def test_nothing_is_transformed_before_it_is_needed(monkeypatch):
    monkeypatch.setattr(_batching, "KEEP_BYTES", 0)
    seen = []

    def transform(rows):
        seen.extend(rows[:, 0])
        return rows.astype(np.float32)

    features = Features(np.arange(6.0)[:, None], transform, 1, CPU)
    assert not seen
    batch = Batch(
        lists=np.array([0, 1]),
        rows=np.array([[4, 1, 5], [2, 2, 2]]),
        mask=np.array([[True, True, True], [True, False, False]]),
    )
    features.take(batch)
    assert seen == [4, 1, 5, 2]


def test_wide_rows_are_transformed_in_blocks():
    n_columns = 2**20
    blocks = []

    def transform(rows):
        blocks.append(len(rows))
        return np.broadcast_to(rows.astype(np.float32), (len(rows), n_columns))

    features = Features(np.arange(9.0)[:, None], transform, n_columns, CPU)
    assert blocks == [4, 4, 1]
    assert features.kept[:, -1].tolist() == list(range(9))


# Targets -----------------------------------------------------------------------------


def targets_of(ids, gains, weights, chosen=None, batch_items=8):
    lists = split_lists(np.array(ids))
    chosen = all_lists(lists) if chosen is None else chosen
    grades = 10 + np.arange(lists.n_lists)
    made = make_targets(
        np.array(gains, dtype=float),
        grades,
        None if weights is None else np.array(weights, dtype=float),
        lists,
        chosen,
        batch_items,
        CPU,
    )
    return made, lists, chosen


def n_batches(lists, chosen, batch_items=8):
    lengths = lists.lengths[chosen]
    return len(cut_batches(lengths, lengths, batch_items))


@st.composite
def weighted_rows(draw):
    """Ids, gains and weights of rows; some weights zero, but not all of them."""
    ids = draw(list_ids())
    size = {"min_size": len(ids), "max_size": len(ids)}
    gains = draw(st.lists(st.sampled_from([0.0, 1.0, 3.0]), **size))
    weight = st.one_of(st.just(0.0), st.floats(0.25, 4.0))
    weights = draw(st.lists(weight, **size).filter(any))
    return ids, gains, weights


def rows_by_list(ids):
    return [[i for i, one in enumerate(ids) if one == j] for j in sorted(set(ids))]


def epoch_loss(made, lists, chosen, scores, seed, batch_items=8):
    """Sum of the item losses of all batches of one epoch."""
    total = 0.0
    for batch in padded_batches(lists, chosen, batch_items, seed):
        taken = made.take(batch)
        padded = scores[torch.from_numpy(batch.rows)]
        total += softmax_loss(
            padded, taken["gains"], taken["counted"], taken["weights"]
        ).sum()
    return float(total)


@given(rows=weighted_rows())
def test_weights_of_the_lists_add_up_to_the_number_of_batches(rows):
    ids, gains, weights = rows
    made, lists, chosen = targets_of(ids, gains, weights)
    expected = n_batches(lists, chosen)
    assert made.list_weights.sum().item() == pytest.approx(expected, rel=1e-5)
    means = [
        made.weights[own].sum() / made.counted[own].sum().clip(1)
        for own in rows_by_list(ids)
    ]
    teaches = bool(made.weights.any())
    assert sum(means) == pytest.approx(expected * teaches, rel=1e-5)


@given(rows=weighted_rows(), seed=seeds)
def test_an_epoch_adds_up_to_the_mean_over_all_lists(rows, seed):
    ids, gains, weights = rows
    made, lists, chosen = targets_of(ids, gains, weights)
    scores = np.random.default_rng(0).normal(size=len(ids))

    losses, list_weights = [], []
    for own in rows_by_list(ids):
        counted = [i for i in own if weights[i] > 0]
        if len({gains[i] for i in counted}) < 2:
            continue
        mean = sum(weights[i] for i in counted) / len(counted)
        one = [[float(t[i]) for i in counted] for t in (scores, gains, weights)]
        losses.append(references.softmax_loss(*one))
        list_weights.append(mean)
    expected = sum(losses) / sum(list_weights) if losses else 0.0

    total = epoch_loss(made, lists, chosen, torch.from_numpy(scores).float(), seed)
    assert total / n_batches(lists, chosen) == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )


IDS = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]
GAINS = [0, 1, 3, 3, 0, 1, 1, 1, 1, 3]
SCORES = torch.linspace(-1, 2, len(IDS))


def test_a_list_of_zero_weight_is_as_good_as_absent():
    weights = [2, 1, 1, 0, 0, 1, 1, 1, 1, 1]
    made, lists, everything = targets_of(IDS, GAINS, weights)
    others, _, without = targets_of(IDS, GAINS, weights, chosen=np.array([0, 2, 3]))
    for chosen, targets in ((everything, made), (without, others)):
        scale = 1 / n_batches(lists, chosen)
        assert epoch_loss(made, lists, everything, SCORES, 0) / n_batches(
            lists, everything
        ) == pytest.approx(epoch_loss(targets, lists, chosen, SCORES, 0) * scale)
    np.testing.assert_allclose(
        made.list_weights / n_batches(lists, everything),
        others.list_weights / n_batches(lists, without),
        rtol=1e-6,
    )
    assert made.list_weights[1] == 0
    assert not made.weights[3:5].any()


def test_the_label_of_a_row_of_zero_weight_does_not_matter():
    weights = [1, 1, 0, 1, 1, 1, 1, 1, 1, 1]
    losses = []
    for label in (0, 3, 100):
        gains = [0, 1, label, *GAINS[3:]]
        made, lists, chosen = targets_of(IDS, gains, weights)
        assert made.counted.tolist() == [w > 0 for w in weights]
        losses.append(epoch_loss(made, lists, chosen, SCORES, 0))
    assert losses[0] == losses[1] == losses[2] > 0


def test_a_row_of_zero_weight_stays_out_of_the_mask_of_the_loss_only():
    weights = [1, 1, 0, 1, 1, 1, 1, 1, 1, 1]
    made, lists, _ = targets_of(IDS, GAINS, weights)
    batch = make_batch(lists, np.array([0, 1]))
    assert made.take(batch)["counted"].tolist() == [
        [True, True, False],
        [True, True, False],
    ]
    assert batch.mask.tolist() == [[True, True, True], [True, True, False]]


def test_lists_of_equal_labels_teach_no_order_but_their_value():
    made, lists, chosen = targets_of(IDS, GAINS, None)
    assert not made.weights[5:].any()
    assert not made.gains[5:].any()
    assert made.weights[:5].all()
    share = n_batches(lists, chosen) / 4
    np.testing.assert_allclose(made.list_weights, [share] * 4, rtol=1e-6)


def test_equal_labels_of_the_counted_rows_teach_no_order():
    weights = [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    made, _, _ = targets_of(IDS, GAINS, weights)
    assert not made.weights[3:5].any()
    assert not made.gains[3:5].any()


def test_lists_that_are_not_chosen_take_no_share():
    chosen = np.array([1, 2])
    made, lists, _ = targets_of(IDS, GAINS, None, chosen=chosen)
    share = n_batches(lists, chosen)
    np.testing.assert_allclose(made.list_weights[chosen], [share / 2] * 2)
    np.testing.assert_allclose(made.weights[3:5], [share] * 2)


def test_no_list_that_teaches_order_gives_zero_weights_not_nan():
    made, _, _ = targets_of([0, 0, 1], [1, 1, 3], None)
    assert made.weights.tolist() == [0, 0, 0]
    assert made.list_weights.isfinite().all()


def test_scale_of_the_weights_does_not_matter():
    weights = np.array([2, 1, 1, 0, 3, 1, 1, 1, 1, 1])
    made, _, _ = targets_of(IDS, GAINS, weights)
    scaled, _, _ = targets_of(IDS, GAINS, 1000 * weights)
    np.testing.assert_allclose(scaled.weights, made.weights, rtol=1e-5)
    np.testing.assert_allclose(scaled.list_weights, made.list_weights, rtol=1e-5)


def test_targets_of_a_batch_lie_beside_its_rows():
    weights = np.arange(1, 11) / 10
    made, lists, _ = targets_of([2, 0, 1, 0, 2, 1, 0, 3, 3, 3], range(10), weights)
    batch = make_batch(lists, np.array([3, 0]))
    taken = made.take(batch)
    assert taken["gains"].tolist() == [[7, 8, 9], [1, 3, 6]]
    assert taken["grades"].tolist() == [13, 10]
    assert taken["list_weights"].tolist() == made.list_weights[[3, 0]].tolist()
    np.testing.assert_allclose(
        taken["weights"] / taken["weights"][0, 0],
        weights[batch.rows] / weights[7],
        rtol=1e-5,
    )
