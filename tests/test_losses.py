"""Losses: equal to loops over lists and pairs, blind to padding, and never NaN."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklearn_rankformer._losses import LOSSES, lambda_loss, ordinal_loss, softmax_loss
from sklearn_rankformer._training import RankingLoss

from . import references
from .strategies import RankedList, batches, pad, ranked_lists

each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
REFERENCES = {
    "softmax_loss": references.softmax_loss,
    "lambda_loss": partial(references.lambda_loss, k=50),
    "mixed_loss": references.mixed_loss,
}
SPREAD = RankedList([0.3, -1.2, 2.5, 1.1, -0.4], [0.0, 3.0, 1.0, 0.0, 7.0], [1.0] * 5)
SHORT = RankedList([1.0, -1.0], [0.0, 1.0], [1.0, 2.0])


def assert_close(actual, expected, tol=1e-10):
    np.testing.assert_allclose(
        torch.as_tensor(actual).detach().numpy(), expected, rtol=tol, atol=tol
    )


def loss_and_gradient(loss, scores, *rest):
    scores = scores.clone().requires_grad_()
    value = loss(scores, *rest)
    (gradient,) = torch.autograd.grad(value.sum(), scores)
    return value.detach(), gradient


# Against loops -----------------------------------------------------------------------


@given(lists=batches())
def test_softmax_loss_equals_loop_over_items(lists):
    expected = [references.softmax_loss(*one) for one in lists]
    assert_close(softmax_loss(*pad(lists)), expected)


@given(lists=batches(distinct=True), k=st.integers(1, 8))
def test_lambda_loss_equals_loop_over_pairs(lists, k):
    expected = [references.lambda_loss(*one, k) for one in lists]
    assert_close(lambda_loss(*pad(lists), k=k), expected)


@given(one=ranked_lists(max_size=4), k=st.integers(1, 4))
def test_lambda_loss_ranks_ties_in_one_of_their_orders(one, k):
    possible = [
        references.lambda_loss(*one, k, order)
        for order in permutations(range(len(one.scores)))
        if all(np.diff([one.scores[i] for i in order]) <= 0)
    ]
    assert np.isclose(possible, lambda_loss(*pad([one]), k=k).item()).any()


@each_loss
@given(lists=batches(distinct=True))
def test_loss_equals_its_loop(loss, lists):
    expected = [REFERENCES[loss.__name__](*one) for one in lists]
    assert_close(loss(*pad(lists)), expected)


@each_loss
@given(lists=batches(distinct=True))
def test_weights_default_to_one(loss, lists):
    scores, gains, mask, weights = pad(lists)
    expected = loss(scores, gains, mask, torch.ones_like(weights))
    assert_close(loss(scores, gains, mask), expected)


@each_loss
@given(one=ranked_lists(distinct=True, min_size=2), data=st.data())
def test_items_masked_anywhere_are_as_good_as_absent(loss, one, data):
    size = len(one.scores)
    counted = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    scores, gains, _, weights = pad([one])
    kept = [[v for v, c in zip(row, counted, strict=True) if c] for row in one]
    expected = REFERENCES[loss.__name__](*kept) if any(counted) else 0.0
    assert_close(loss(scores, gains, torch.tensor([counted]), weights), [expected])


@given(
    table=st.integers(1, 6).flatmap(
        lambda n_thresholds: st.lists(
            st.tuples(
                st.lists(
                    st.floats(-1e4, 1e4), min_size=n_thresholds, max_size=n_thresholds
                ),
                st.integers(0, n_thresholds),
            ),
            min_size=1,
            max_size=4,
        )
    )
)
def test_ordinal_loss_equals_loop_over_thresholds(table):
    logits = torch.tensor([row for row, _ in table], dtype=torch.float64)
    levels = torch.tensor([level for _, level in table])
    expected = [references.ordinal_loss(row, level) for row, level in table]
    assert_close(ordinal_loss(logits, levels), expected)


def test_ordinal_loss_without_thresholds_is_zero():
    assert (
        ordinal_loss(torch.empty(3, 0), torch.zeros(3, dtype=int)).tolist() == [0] * 3
    )


# Gradients ---------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("weights", [[1.0] * 5, [0.5, 2.0, 1.5, 0.1, 3.0]])
def test_lambda_gradient_equals_finite_differences(k, weights):
    scores, gains, mask, w = pad([SPREAD._replace(weights=weights), SHORT])
    torch.autograd.gradcheck(
        lambda s: lambda_loss(s, gains, mask, w, k=k), scores.requires_grad_()
    )


@pytest.mark.parametrize("weights", [[1.0] * 5, [0.5, 2.0, 1.5, 0.1, 3.0]])
def test_softmax_gradient_equals_finite_differences(weights):
    scores, gains, mask, w = pad([SPREAD._replace(weights=weights), SHORT])
    torch.autograd.gradcheck(
        lambda s: softmax_loss(s, gains, mask, w), scores.requires_grad_()
    )


def test_ordinal_gradient_equals_finite_differences():
    logits = torch.tensor([[0.3, -1.0, 2.0], [-0.7, 0.1, 0.0]], dtype=torch.float64)
    levels = torch.tensor([0, 2])
    torch.autograd.gradcheck(lambda d: ordinal_loss(d, levels), logits.requires_grad_())


@each_loss
def test_gradient_raises_the_better_of_two_items(loss):
    _, gradient = loss_and_gradient(loss, *pad([SHORT]))
    assert gradient[0, 1] < 0 < gradient[0, 0]


# What must not matter ----------------------------------------------------------------


@each_loss
@given(lists=batches(), rubbish=st.sampled_from([-1e4, 1e4, np.inf, np.nan]))
def test_padding_changes_neither_loss_nor_gradient(loss, lists, rubbish):
    value, gradient = loss_and_gradient(loss, *pad(lists))
    padded = pad(lists, extra=3, rubbish=rubbish)
    more_value, more_gradient = loss_and_gradient(loss, *padded)
    mask = padded[2]
    assert_close(more_value, value)
    assert_close(more_gradient[:, : gradient.shape[1]], gradient)
    assert not more_gradient[~mask].any()


@each_loss
@given(lists=batches())
def test_lists_of_a_batch_do_not_touch_each_other(loss, lists):
    alone = [loss(*pad([one])).item() for one in lists]
    assert_close(loss(*pad(lists)), alone)


@each_loss
@given(one=ranked_lists(distinct=True), data=st.data())
def test_order_of_items_does_not_matter(loss, one, data):
    order = data.draw(st.permutations(range(len(one.scores))))
    shuffled = RankedList(*([row[i] for i in order] for row in one))
    assert_close(loss(*pad([shuffled])), loss(*pad([one])))


@each_loss
@given(lists=batches(), scale=st.sampled_from([1e-3, 0.5, 1e6]))
def test_scale_of_the_gains_does_not_matter(loss, lists, scale):
    scores, gains, mask, weights = pad(lists)
    expected = loss(scores, gains, mask, weights)
    assert_close(loss(scores, scale * gains, mask, weights), expected)


@each_loss
@given(lists=batches(distinct=True), shift=st.sampled_from([-7.0, 100.0]))
def test_a_constant_added_to_all_scores_does_not_matter(loss, lists, shift):
    scores, gains, mask, weights = pad(lists)
    expected = loss(scores, gains, mask, weights)
    assert_close(loss(scores + shift, gains, mask, weights), expected, tol=1e-8)


@pytest.mark.parametrize("n_copies", [2, 5])
def test_softmax_loss_of_equal_scores_grows_only_with_the_log_of_the_size(n_copies):
    once = softmax_loss(torch.zeros(1, 4), torch.ones(1, 4), torch.ones(1, 4) > 0)
    size = (1, 4 * n_copies)
    many = softmax_loss(torch.zeros(size), torch.ones(size), torch.ones(size) > 0)
    assert_close(many - once, [np.log(n_copies)], tol=1e-6)


# Lists that teach nothing ------------------------------------------------------------


NOTHING = {
    "all masked": ([1e4, -1e4, 0.0], [3.0, 0.0, 1.0], [False] * 3),
    "no gain": ([1e4, -1e4, 0.0], [0.0] * 3, [True] * 3),
    "one item": ([-1e4, 0.0, 0.0], [3.0, 1.0, 0.0], [True, False, False]),
}


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", NOTHING.values(), ids=NOTHING)
def test_a_list_without_a_lesson_has_no_loss_and_no_gradient(loss, dtype, case):
    scores, gains, mask = (torch.tensor([values]) for values in case)
    value, gradient = loss_and_gradient(loss, scores.to(dtype), gains.to(dtype), mask)
    assert value.tolist() == [0.0]
    assert gradient.tolist() == [[0.0] * 3]


def test_lambda_loss_of_equal_gains_is_zero():
    value, gradient = loss_and_gradient(
        lambda_loss, *pad([SPREAD._replace(gains=[7.0] * 5)])
    )
    assert not value.any()
    assert not gradient.any()


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(lists=batches())
def test_loss_and_gradient_stay_finite(loss, dtype, lists):
    value, gradient = loss_and_gradient(loss, *pad(lists, extra=1, dtype=dtype))
    assert value.isfinite().all()
    assert (value >= 0).all()
    assert gradient.isfinite().all()


# The criterion of training -----------------------------------------------------------


def make_targets(lists, levels, list_weights):
    _, gains, mask, weights = pad(lists)
    return {
        "gains": gains,
        "counted": mask,
        "weights": weights,
        "grades": torch.tensor(levels),
        "list_weights": torch.tensor(list_weights, dtype=torch.float64),
    }


@each_loss
@given(lists=batches(distinct=True), seed=st.integers(0, 9))
def test_criterion_adds_all_losses_and_averages_the_members(loss, lists, seed):
    rng = np.random.default_rng(seed)
    n_lists, n_members, n_thresholds = len(lists), 3, 2
    levels = rng.integers(0, n_thresholds + 1, n_lists).tolist()
    list_weights = rng.uniform(0, 2, n_lists).tolist()
    # Two views of each list: by [CLS] and items, and by aggregates.
    logits = rng.normal(size=(n_members, n_lists, 2, n_thresholds))
    scores = torch.stack([pad(lists)[0] * (1 + m) for m in range(n_members)])

    expected = 0.0
    for m in range(n_members):
        for j, one in enumerate(lists):
            spread = [s * (1 + m) for s in one.scores]
            expected += REFERENCES[loss.__name__](spread, one.gains, one.weights)
            for factor, view in zip((0.3, 1.0), logits[m, j].tolist(), strict=True):
                value = references.ordinal_loss(view, levels[j])
                expected += factor * list_weights[j] * value
    actual = RankingLoss(loss, 0.3)(
        (scores, torch.from_numpy(logits)), make_targets(lists, levels, list_weights)
    )
    assert_close(actual, expected / n_members)


def test_criterion_without_list_head_is_the_item_loss():
    lists = [SPREAD, SHORT]
    actual = RankingLoss(softmax_loss, 0.3)(
        (pad(lists)[0][None], None), make_targets(lists, [1, 2], [5.0, 5.0])
    )
    assert_close(actual, sum(references.softmax_loss(*one) for one in lists))
