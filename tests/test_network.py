"""The networks: shapes, what a score may depend on, and what it must not."""

import math
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from sklearn_rankformer._config import (
    InputConfig,
    MLPConfig,
    RankFormerConfig,
    config_from_dict,
)
from sklearn_rankformer._layers import (
    NARROW,
    Dropout,
    MemberLinear,
    SharedLinear,
    _FastProduct,
    _FeedForward,
    drawing_from,
    fast_products,
)
from sklearn_rankformer._losses import ordinal_loss
from sklearn_rankformer._network import (
    InputMap,
    ListHead,
    build,
    list_standardize,
)

from . import strategies  # noqa: F401, its hypothesis profile

# A different prime for each axis, so that axes mixed up cannot fit by chance.
N_MEMBERS, N_LISTS, SIZE = 2, 3, 5
N_NUMERIC, N_FLAGS, CARDINALITIES = 7, 2, (4, 3)
N_BINS, N_THRESHOLDS = 5, 11
N_COLUMNS = N_NUMERIC + N_FLAGS + len(CARDINALITIES)
SIZES = [5, 1, 3]


INPUTS = InputConfig(
    n_numeric=N_NUMERIC,
    n_flags=N_FLAGS,
    cardinalities=CARDINALITIES,
    n_bins=N_BINS,
    list_features=True,
    feature_dropout=0.0,
)
RANKFORMER = RankFormerConfig(
    INPUTS,
    n_members=N_MEMBERS,
    d_model=26,
    num_layers=2,
    nhead=2,
    dim_feedforward=17,
    dropout=0.0,
    n_thresholds=N_THRESHOLDS,
)
MLP = MLPConfig(INPUTS, n_members=N_MEMBERS, hidden_sizes=(19, 17, 23), dropout=0.0)


def make_input_map(d_model=13, n_members=N_MEMBERS, **params):
    return InputMap(replace(INPUTS, **params), n_members, d_model)


def make_rankformer(list_features=True, n_bins=N_BINS, **params):
    inputs = replace(INPUTS, list_features=list_features, n_bins=n_bins)
    return shaken(build(replace(RANKFORMER, inputs=inputs, **params)))


def make_mlp(list_features=False, **params):
    inputs = replace(INPUTS, list_features=list_features)
    return shaken(build(replace(MLP, inputs=inputs, **params)))


def shaken(network):
    """In float64, no parameter left where it starts: gates open, biases not zero."""
    torch.manual_seed(0)
    network = network.double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "gate" in name:
                parameter.fill_(1.0)
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def draw_items(n_lists=N_LISTS, size=SIZE, seed=0):
    """Columns as the input transform gives them: normal scores, flags, codes."""
    rng = np.random.default_rng(seed)
    shape = (n_lists, size)
    codes = [rng.integers(0, n, shape)[..., None] for n in CARDINALITIES]
    numeric = rng.normal(size=(*shape, N_NUMERIC))
    flags = rng.integers(0, 2, (*shape, N_FLAGS))
    return torch.from_numpy(np.concatenate([numeric, flags, *codes], -1))


def mask_of(sizes, size=None):
    return torch.arange(size or max(sizes)) < torch.tensor(sizes)[:, None]


def real(*shape):
    return torch.ones(*shape, dtype=torch.bool)


def assert_close(actual, expected, tol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=tol, atol=tol)


both = pytest.mark.parametrize("make", [make_rankformer, make_mlp])


# Shapes ------------------------------------------------------------------------------


def test_rankformer_gives_scores_of_items_and_logits_of_lists():
    scores, logits = make_rankformer()(draw_items(), mask_of(SIZES))
    assert scores.shape == (N_MEMBERS, N_LISTS, SIZE)
    assert logits.shape == (N_MEMBERS, N_LISTS, 2, N_THRESHOLDS)


def test_mlp_gives_scores_of_items_and_no_logits():
    scores, logits = make_mlp()(draw_items(), mask_of(SIZES))
    assert scores.shape == (N_MEMBERS, N_LISTS, SIZE)
    assert logits is None


def test_without_thresholds_there_is_no_list_head():
    network = make_rankformer(n_thresholds=0)
    scores, logits = network(draw_items(), mask_of(SIZES))
    assert logits is None
    assert scores.shape == (N_MEMBERS, N_LISTS, SIZE)
    assert not [name for name, _ in network.named_parameters() if "list_head" in name]


def test_input_map_gives_one_vector_per_member_and_item():
    h = make_input_map(d_model=13).double()(draw_items(), mask_of(SIZES))
    assert h.shape == (N_MEMBERS, N_LISTS, SIZE, 13)


@pytest.mark.parametrize("kind", [MemberLinear, SharedLinear])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_map_is_one_product_per_member(kind, shared, bias):
    layer = shaken(kind(3, 5, 7, bias))
    x = torch.randn(1 if shared else 3, 2, 11, 5, dtype=torch.float64)
    for m, out in enumerate(layer(x)):
        expected = x[0 if shared else m] @ layer.weight[m]
        if bias:
            expected = expected + layer.bias[m, 0]
        assert_close(out, expected)


# What must not change a score --------------------------------------------------------


@both
@given(seed=st.integers(0, 99), extra=st.integers(0, 4))
def test_padding_and_batch_mates_never_change_a_score(make, seed, extra):
    network = make()
    x = draw_items(size=max(SIZES) + extra, seed=seed)
    mask = mask_of(SIZES, max(SIZES) + extra)
    x[..., :N_NUMERIC][~mask] *= 100.0
    scores, logits = network(x, mask)
    for j, size in enumerate(SIZES):
        alone, value = network(x[j : j + 1, :size], real(1, size))
        assert_close(scores[:, j, :size], alone[:, 0])
        if logits is not None:
            assert_close(logits[:, j], value[:, 0])


@both
@given(order=st.permutations(range(SIZE)))
def test_scores_follow_their_items(make, order):
    network, x, mask = make(), draw_items(), real(N_LISTS, SIZE)
    scores, logits = network(x, mask)
    moved, value = network(x[:, order], mask)
    assert_close(moved, scores[:, :, order])
    assert (value is None) == (logits is None)
    if logits is not None:
        assert_close(value, logits)


@both
@given(order=st.permutations(range(N_LISTS)))
def test_scores_follow_their_lists(make, order):
    network, x, mask = make(), draw_items(), mask_of(SIZES)
    scores, logits = network(x, mask)
    moved, value = network(x[order], mask[order])
    assert_close(moved[:, mask[order]], scores[:, order][:, mask[order]])
    if logits is not None:
        assert_close(value, logits[:, order])


@pytest.mark.parametrize("size", [1, 5])
def test_two_equal_items_of_a_list_score_the_same(size):
    x = draw_items(1, size)
    scores, _ = make_rankformer()(torch.cat([x, x], 1), real(1, 2 * size))
    assert_close(scores[..., :size], scores[..., size:])


# What must change a score ------------------------------------------------------------


def changed_items(network):
    """Which items' scores differ once the numbers of item 0 are others: (size,)."""
    x, mask = draw_items(1), real(1, SIZE)
    before, _ = network(x, mask)
    x = x.clone()
    x[0, 0, :N_NUMERIC] += 1.0
    after, _ = network(x, mask)
    return ((after - before).abs() > 1e-6).all(0)[0].tolist()


def test_mlp_scores_each_item_alone():
    assert changed_items(make_mlp()) == [True, False, False, False, False]


def test_features_within_the_list_give_the_mlp_context():
    assert all(changed_items(make_mlp(list_features=True)))


def test_rankformer_scores_each_item_in_its_list():
    assert all(changed_items(make_rankformer(list_features=False)))


def test_rankformer_starts_close_to_pointwise():
    network = make_rankformer(list_features=False)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "gate" in name:
                parameter.zero_()
    assert changed_items(network) == [True, False, False, False, False]
    fresh = build(replace(RANKFORMER, n_thresholds=0))
    gates = [p for name, p in fresh.named_parameters() if "gate" in name]
    assert len(gates) == 3
    assert all((0 < gate).all() and (gate < 0.5).all() for gate in gates)


def test_list_logits_follow_from_the_items():
    network, x, mask = make_rankformer(), draw_items(1), real(1, SIZE)
    _, before = network(x, mask)
    _, after = network(x + 0.1 * (torch.arange(N_COLUMNS) < N_NUMERIC), mask)
    assert ((after - before).abs() > 1e-6).any(-1).all()


def test_list_value_starts_as_the_log_odds_of_choosing_anything():
    head = ListHead(N_MEMBERS, 26, N_THRESHOLDS, dropout=0.0).double()
    worth = torch.randn(N_MEMBERS, N_LISTS, SIZE, dtype=torch.float64)
    z_cls = torch.randn(N_MEMBERS, N_LISTS, 26, dtype=torch.float64)
    logits = head(worth, mask_of(SIZES), z_cls)
    for m, j in np.ndindex(N_MEMBERS, N_LISTS):
        expected = worth[m, j, : SIZES[j]].exp().mean().log()
        assert_close(logits[m, j], expected.expand(N_THRESHOLDS))


def test_a_list_without_labels_teaches_what_its_items_are_worth():
    network, x, mask = make_rankformer(), draw_items(), mask_of(SIZES)
    by_items = network(x, mask)[1][:, :, 0]
    none = torch.zeros(N_MEMBERS * N_LISTS).long()
    ordinal_loss(by_items.flatten(0, 1), none).sum().backward()
    gradients = {n: p.grad for n, p in network.named_parameters() if "item_head" in n}
    assert set(gradients) == {
        "item_head.hidden.of_inputs",
        "item_head.hidden.matrix",
        "item_head.hidden.of_outputs",
        "item_head.hidden.bias",
        "item_head.out.weight",
    }
    for gradient in gradients.values():
        assert (gradient.abs().flatten(1).amax(1) > 1e-8).all()


def test_list_token_knows_the_size_of_the_list():
    network, x = make_rankformer(), draw_items()
    knowing, _ = network(x, mask_of(SIZES))
    with torch.no_grad():
        network.size_token.zero_()
    unknowing, _ = network(x, mask_of(SIZES))
    differs = ((knowing - unknowing).abs() > 1e-6).any(-1).all(0)
    assert differs.tolist() == [size > 1 for size in SIZES]  # log 1 = 0


# Members -----------------------------------------------------------------------------


def member(network, single, m):
    """Copy member `m` of a network into one that has a single member."""
    own = dict(network.named_parameters())
    with torch.no_grad():
        for name, parameter in single.named_parameters():
            one = own[name]
            parameter.copy_(one[m : m + 1] if len(one) == N_MEMBERS else one)
            if name.endswith("importance") and m == N_MEMBERS - 1:
                parameter.zero_()  # the last of several counts columns alike
    return single


@both
@pytest.mark.parametrize("m", range(N_MEMBERS))
def test_a_member_equals_the_network_of_it_alone(make, m):
    network, x, mask = make(), draw_items(), mask_of(SIZES)
    single = member(network, make(n_members=1), m)
    for all_members, alone in zip(network(x, mask), single(x, mask), strict=True):
        if alone is None:
            assert all_members is None
        else:
            assert_close(all_members[m], alone[0])


@both
def test_members_do_not_touch_each_other(make):
    network, x, mask = make(), draw_items(), mask_of(SIZES)
    before, _ = network(x, mask)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.endswith("matrix"):  # which members share
                parameter[1] += 0.5
    after, _ = network(x, mask)
    assert torch.equal(after[0], before[0])
    assert not torch.isclose(after[1], before[1]).any()


@both
def test_members_start_apart(make):
    torch.manual_seed(0)
    scores, _ = make()(draw_items(), mask_of(SIZES))
    assert not torch.isclose(scores[0], scores[1]).any()


@both
def test_every_parameter_has_an_axis_of_members(make):
    shapes = {name: p.shape for name, p in make().named_parameters()}
    for name, shape in shapes.items():
        assert shape[0] == (1 if name.endswith("matrix") else N_MEMBERS), name


@both
def test_the_gradient_reaches_every_parameter_of_every_member(make):
    network = make()
    scores, logits = network(draw_items(), mask_of(SIZES))
    loss = scores[:, mask_of(SIZES)].square().sum()
    (loss if logits is None else loss + logits.square().sum()).backward()
    for name, parameter in network.named_parameters():
        per_member = parameter.grad.abs().flatten(1).amax(1)
        if name.endswith("importance"):  # the last member counts columns alike
            assert per_member[-1] == 0
            per_member = per_member[:-1]
        assert (per_member > 1e-8).all(), name


# Input map ---------------------------------------------------------------------------


def views_of(x, mask, **params):
    """What the input map's linear layer is given, seen through an identity."""
    input_map = make_input_map(n_members=1, d_model=1, **params).double().eval()
    width = input_map.linear.weight.shape[1]
    input_map.linear = MemberLinear(1, width, width).double()
    with torch.no_grad():
        input_map.linear.weight.copy_(torch.eye(width))
        input_map.embedding.zero_()
    views = input_map(x, mask)[0].detach().numpy()
    assert views.shape == (*mask.shape, width)
    n_views = (width - N_FLAGS) // N_NUMERIC
    features, flags = np.split(views, [N_NUMERIC * n_views], axis=-1)
    return features.reshape(*mask.shape, n_views, N_NUMERIC).swapaxes(-1, -2), flags


@pytest.mark.parametrize("n_bins", [0, 1, 2, 5])
def test_each_feature_is_seen_raw_in_bins_and_within_its_list(n_bins):
    x, mask = draw_items(), mask_of(SIZES)
    x[..., :N_NUMERIC] *= 2
    inner = [norm.ppf(i / n_bins) for i in range(1, n_bins)]
    edges = [-3.0, *inner, 3.0] if n_bins else []
    features, flags = views_of(x, mask, n_bins=n_bins)
    np.testing.assert_array_equal(
        flags, x[..., N_NUMERIC : N_NUMERIC + N_FLAGS].numpy()
    )
    full, _ = views_of(
        x + 100 * (torch.arange(N_COLUMNS) < N_NUMERIC), mask, n_bins=n_bins
    )
    height = full[0, 0, 0, 1] if n_bins else 1.0
    assert 0 < height <= 1
    within = list_standardize(x[..., :N_NUMERIC], mask)
    for j, size in enumerate(SIZES):
        for i, c in np.ndindex(size, N_NUMERIC):
            value = x[j, i, c].item()
            ramps = [
                height * min(max((value - low) / (high - low), 0.0), 1.0)
                for low, high in pairwise(edges)
            ]
            expected = [value, *ramps, within[j, i, c]]
            np.testing.assert_allclose(features[j, i, c], expected, atol=1e-6)


def test_list_features_can_be_left_out():
    x, mask = draw_items(), mask_of(SIZES)
    features, _ = views_of(x, mask)
    fewer, _ = views_of(x, mask, list_features=False)
    np.testing.assert_array_equal(fewer, features[..., :-1])


@pytest.mark.parametrize("column", range(N_NUMERIC + N_FLAGS))
def test_what_a_column_counts_holds_for_all_of_its_forms_in_one_member(column):
    input_map = make_input_map().double().eval()
    x, mask = draw_items(), mask_of(SIZES)
    plain = input_map(x, mask)
    with torch.no_grad():
        input_map.importance[0, column] = -1 / InputMap.IMPORTANCE_SCALE
    without = input_map(x, mask)
    assert not torch.equal(without[0], plain[0])
    assert torch.equal(without[1:], plain[1:])
    x[..., column] = x[..., column] + 1 + torch.rand(x.shape[:2])
    changed = input_map(x, mask)
    assert_close(changed[0], without[0])
    assert not torch.allclose(changed[1], without[1])


@pytest.mark.parametrize("n_members", [1, 2, 4])
def test_the_last_of_several_members_counts_all_columns_alike(n_members):
    input_map = make_input_map(n_members=n_members).double().eval()
    x, mask = draw_items(), mask_of(SIZES)
    plain = input_map(x, mask)
    with torch.no_grad():
        input_map.importance += 1
    changed = input_map(x, mask)
    alike = [torch.equal(*pair) for pair in zip(plain, changed, strict=True)]
    assert alike == [False] * (n_members - 1) + [n_members > 1]


def test_each_category_has_its_own_vector_and_missing_ones_a_common_one():
    input_map = make_input_map().double().eval()
    x, mask = draw_items(), real(N_LISTS, SIZE)
    h = input_map(x, mask)
    with torch.no_grad():
        table = input_map.embedding.clone()
        input_map.embedding.zero_()
    rest = input_map(x, mask)
    codes = x[..., -len(CARDINALITIES) :].long()
    assert {code.item() for code in codes.flatten()} >= {0, 1, 2}
    for j, i in np.ndindex(N_LISTS, SIZE):
        first, second = codes[j, i]
        expected = table[:, first] + table[:, CARDINALITIES[0] + second]
        assert_close((h - rest)[:, j, i], expected)
    assert table.shape[1] == sum(CARDINALITIES)


def test_categories_alone_are_enough():
    only_codes = {"n_numeric": 0, "n_flags": 0, "cardinalities": (3, 4)}
    input_map = make_input_map(**only_codes, feature_dropout=0.5)
    codes = torch.tensor([[[1.0, 2.0], [0.0, 3.0], [1.0, 0.0]]])
    assert input_map(codes, real(1, 3)).shape == (2, 1, 3, 13)


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 100.0]),
)
def test_list_standardize_shrinks_deviations_list_by_list(sizes, seed, scale):
    rng = np.random.default_rng(seed)
    x = 3 + scale * rng.normal(size=(len(sizes), max(sizes) + 1, 2))
    mask = mask_of(sizes, max(sizes) + 1)
    z = list_standardize(torch.from_numpy(x), mask).numpy()
    assert not z[~mask.numpy()].any()
    for j, size in enumerate(sizes):
        own = x[j, :size]
        deviation, std = own - own.mean(0), own.std(0)
        gain = z[j, :size].std(0) / np.where(std > 1e-9, std, 1.0)
        np.testing.assert_allclose(z[j, :size], gain * deviation, atol=1e-9)
        assert (gain * std <= 1 + 1e-9).all(), "small differences stay small"
        assert (gain * std >= np.where(std >= 1, 0.9, 0.0)).all()
        assert size == 1 or scale < 1e-3 or (gain > 0).all()


@pytest.mark.parametrize("value", [-3.0, 0.1, 1e3])
def test_list_standardize_of_a_constant_is_zero_not_noise(value):
    z = list_standardize(torch.full((1, 7, 1), value), real(1, 7))
    assert z.abs().max() < 1e-2


# Dropout -----------------------------------------------------------------------------


def within_5_sigma(hits, n_trials, rate):
    return abs(hits - n_trials * rate) <= 5 * math.sqrt(n_trials * rate * (1 - rate))


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_dropout_zeroes_at_its_rate_and_scales_up_the_rest(rate):
    torch.manual_seed(0)
    rounded = round(256 * rate) / 256
    x = torch.ones(1, 999, 1001)
    out = Dropout(rate).train()(x)
    kept = out[out != 0]
    assert within_5_sigma((out == 0).sum().item(), x.numel(), rounded)
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rounded)))


def test_dropout_is_independent_among_elements_that_share_a_draw():
    torch.manual_seed(0)
    n_draws = 100_000
    dropped = Dropout(0.25).train()(torch.ones(1, n_draws, 8))[0] == 0
    for i in range(8):
        assert within_5_sigma(dropped[:, i].sum().item(), n_draws, 0.25)
        for j in range(i):
            together = (dropped[:, i] & dropped[:, j]).sum().item()
            assert within_5_sigma(together, n_draws, 0.25**2)


def test_dropout_draws_anew_each_time_and_follows_its_generator():
    x, layer = torch.ones(1, 1000), Dropout(0.5).train()
    before = torch.get_rng_state()
    with drawing_from(torch.Generator().manual_seed(0)):
        first, second = layer(x), layer(x)
    with drawing_from(torch.Generator().manual_seed(0)):
        assert torch.equal(layer(x), first)
    assert not torch.equal(second, first)
    assert torch.equal(torch.get_rng_state(), before), "torch's own is untouched"


@pytest.mark.parametrize("shape", [(1,), (7,), (8,), (3, 5, 7), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_keeps_shape_and_dtype(shape, dtype):
    out = Dropout(0.5).train()(torch.ones(shape, dtype=dtype))
    assert out.shape == shape
    assert out.dtype == dtype
    assert ((out == 0) | (out == 2)).all()


def test_gradient_of_dropout_is_zero_where_it_dropped():
    x = torch.ones(1, 1000, requires_grad=True)
    out = Dropout(0.5).train()(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_members_share_what_is_dropped():
    out = Dropout(0.5).train()(torch.ones(3, 50, 20))
    assert torch.equal(out[0], out[1])
    assert torch.equal(out[0], out[2])


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_dropout_that_is_off_changes_nothing(rate, training):
    x = torch.randn(100)
    assert torch.equal(Dropout(rate).train(training)(x), x)


def with_feature_dropout(rate, n_lists=20_000, size=2):
    """Channels that see one numeric feature and one category: (..., 2)."""
    torch.manual_seed(0)
    columns = {"n_numeric": 1, "n_flags": 0, "cardinalities": (3,)}
    input_map = make_input_map(2, 1, **columns, n_bins=4, feature_dropout=rate)
    with torch.no_grad():
        input_map.linear.of_outputs[..., 1] = 0.0
        input_map.embedding.zero_()
        input_map.embedding[0, 1:, 1] = 1.0
    x = torch.stack([torch.full((n_lists, size), 0.7), torch.ones(n_lists, size)], -1)
    return input_map.train()(x, real(n_lists, size))[0].detach()


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_feature_dropout_hides_each_feature_of_each_item_at_its_rate(rate):
    hidden = (with_feature_dropout(rate) == 0).flatten(1)
    for i in range(4):
        assert within_5_sigma(hidden[:, i].sum().item(), len(hidden), rate)
        for j in range(i):
            together = (hidden[:, i] & hidden[:, j]).sum().item()
            assert within_5_sigma(together, len(hidden), rate**2)


def test_feature_dropout_scales_up_the_numbers_it_shows_and_no_category():
    seen = with_feature_dropout(0.0, n_lists=100)
    assert (seen != 0).all()
    shown = with_feature_dropout(0.2, n_lists=100)
    rounded = round(256 * 0.2) / 256
    expected = (seen / torch.tensor([1 - rounded, 1.0])).where(shown != 0, 0.0)
    torch.testing.assert_close(shown, expected)


def draw_matrices(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


def test_gradient_of_the_feed_forward_part_is_that_of_its_steps():
    given = draw_matrices((2, 7, 3), (2, 3, 5), (2, 1, 5), (2, 5, 3), (2, 1, 3))
    kept = (torch.arange(35) % 3 > 0).view(7, 5).double()

    def as_one(*given):
        return _FeedForward.apply(*given, kept, torch.float64)

    def step_by_step(x, widen, bias, narrow, narrow_bias):
        wide = torch.relu(x @ widen + bias) * kept
        return wide @ narrow + narrow_bias

    assert_close(as_one(*given), step_by_step(*given))
    assert torch.autograd.gradcheck(as_one, given)


def test_a_network_trains_under_autocast_as_on_gpus():
    """A GPU trains under autocast; the CPU's has the same rules."""
    network = make_rankformer(dropout=0.2).float().train()
    x, mask = draw_items().float(), mask_of(SIZES)
    with torch.autocast("cpu", torch.bfloat16):
        scores, logits = network(x, mask)
    (scores.float().sum() + logits.float().sum()).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert len(gradients) > 20
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("bias", [True, False])
def test_fast_products_are_those_of_rounded_numbers(bias):
    """bfloat16 has 8 bits, and sums are taken in float32."""
    x, weight, b = draw_matrices((2, 50, 30), (2, 30, 20), (2, 1, 20))
    float32 = [t.detach().float().requires_grad_() for t in (x, weight, b)]
    exact = x @ weight + bias * b
    rounded = _FastProduct.apply(*float32[:2], float32[2] if bias else None)
    assert rounded.dtype == torch.float32
    given = [x, weight, b] if bias else [x, weight]
    upstream = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    exact.backward(upstream.double())
    rounded.backward(upstream)
    pairs = [(rounded, exact)]
    pairs += [(f.grad, t.grad) for f, t in zip(float32, given, strict=False)]
    for actual, expected in pairs:
        error = (actual.double() - expected).abs().max()
        assert 0 < error < 2**-6 * expected.abs().max()


def test_fast_products_hold_for_their_block_alone_and_never_for_scores():
    wide, narrow = (MemberLinear(1, 30, n) for n in (64, NARROW))
    x = torch.randn(1, 10, 30, generator=torch.Generator().manual_seed(0))
    exact = wide(x), narrow(x)
    with fast_products(True):
        assert not torch.equal(wide(x), exact[0])
        assert torch.equal(narrow(x), exact[1])
    assert torch.equal(wide(x), exact[0])


@both
def test_nothing_is_random_in_evaluation(make):
    network = make()
    for module in network.modules():
        if isinstance(module, Dropout):
            module.rate = 0.5
    network.input_map.feature_dropout = 0.5
    x, mask = draw_items(), mask_of(SIZES)
    scores, _ = network(x, mask)
    assert torch.equal(network(x, mask)[0], scores)
    assert not torch.equal(network.train()(x, mask)[0], scores)


def test_aggregates_share_nothing_with_the_rest_of_the_network():
    network, x, mask = make_rankformer(), draw_items(), mask_of(SIZES)
    network(x, mask)[1][:, :, 1].sum().backward()
    moved = {n for n, p in network.named_parameters() if p.grad is not None}
    moved = {n for n in moved if network.get_parameter(n).grad.abs().max() > 0}
    assert moved == {n for n, _ in network.named_parameters() if "pooled_head" in n}


def test_aggregates_are_mean_maximum_and_log_size_of_the_real_items():
    network, x = make_rankformer(), draw_items()
    pooled = network.pooled_head.pool(x, mask_of(SIZES))
    n = N_NUMERIC + N_FLAGS
    for j, size in enumerate(SIZES):
        own = x[j, :size, :n]
        assert_close(pooled[j, :n], own.mean(0))
        assert_close(pooled[j, n : 2 * n], own.amax(0))
        assert_close(pooled[j, -1], torch.tensor(size, dtype=x.dtype).log())


# Configs -----------------------------------------------------------------------------


@pytest.mark.parametrize("config", [RANKFORMER, MLP])
def test_a_config_survives_as_plain_values(config):
    assert config_from_dict(type(config), asdict(config)) == config


@pytest.mark.parametrize(
    "change",
    [
        {"d_model": "16"},
        {"d_model": 0},
        {"n_members": True},
        {"dropout": 1.0},
        {"dropout": float("nan")},
        {"n_thresholds": -1},
        {"forward": 1},
        {"inputs": None},
        {"inputs": {**asdict(INPUTS), "cardinalities": (3, "x")}},
        {"inputs": {**asdict(INPUTS), "list_features": 1}},
    ],
    ids=str,
)
def test_values_that_make_no_config_are_refused(change):
    with pytest.raises(ValueError, match=r"network|Config"):
        config_from_dict(RankFormerConfig, {**asdict(RANKFORMER), **change})


def test_the_same_generator_makes_the_same_network():
    first, second = (
        build(RANKFORMER, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_on_the_meta_device_a_network_takes_no_memory():
    network = build(replace(RANKFORMER, d_model=2**20), device="meta")
    assert {p.device.type for p in network.parameters()} == {"meta"}
