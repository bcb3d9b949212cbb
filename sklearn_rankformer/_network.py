"""The RankFormer network, and the pointwise MLP it is compared with.

The items of a list and a learned [CLS] token attend to one another; each item is scored
from its own vector joined with the list's, and the list's value is read off the [CLS]
vector and off what its items are worth (RankFormer paper, section 3, but for the last).
`build` makes a network of a plain config. Bottom-up: random numbers, member layers,
input map, transformer block, heads, the two networks.

A network holds ``n_members`` independent copies of itself, trained side by side on the
same batches and averaged at prediction: a small ensemble for the overhead of one. Every
parameter therefore has a leading axis of members, and activations have the shape
``(n_members, n_lists, list_size, width)``.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._config import InputConfig, MLPConfig, NetworkConfig, RankFormerConfig

# Given wherever a tensor is made: torch's default may be set to another by the user.
FLOAT = torch.float32

# Layers draw from the generator of their own fit. torch's global one is shared by the
# whole process, so two fits in two threads would take each other's numbers. A context
# variable has a value of its own in each thread.
_generator: ContextVar[torch.Generator | None] = ContextVar("generator", default=None)


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let networks built or run in this block draw from the generator."""
    token = _generator.set(generator)
    try:
        yield
    finally:
        _generator.reset(token)


class MemberLinear(nn.Module):
    """One linear map per member.

    Shape
    -----
    (n_members or 1, ..., n_in) -> (n_members, ..., n_out)
    """

    def __init__(self, n_members: int, n_in: int, n_out: int, bias: bool = True):
        super().__init__()
        bound = 1 / math.sqrt(max(n_in, 1))
        weight = torch.empty(n_members, n_in, n_out, dtype=FLOAT)
        self.weight = nn.Parameter(
            weight.uniform_(-bound, bound, generator=_generator.get())
        )
        bias_value = torch.zeros(n_members, 1, n_out, dtype=FLOAT)
        self.bias = nn.Parameter(bias_value) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        n_members, n_in, n_out = self.weight.shape
        flat = x.flatten(1, -2)
        if len(flat) != n_members:
            # One input for all members: a single, wide product is the faster one.
            wide = self.weight.transpose(0, 1).reshape(n_in, n_members * n_out)
            out = (flat[0] @ wide).view(-1, n_members, n_out).transpose(0, 1)
            out = out if self.bias is None else out + self.bias
        elif self.bias is None:
            out = flat @ self.weight
        else:
            out = torch.baddbmm(self.bias, flat, self.weight)
        return out.reshape(n_members, *x.shape[1:-1], n_out)


class Dropout(nn.Module):
    """Dropout that is cheap on a CPU, where torch draws one number per element.

    Eight elements share one 64-bit draw, a byte each, so the rate is rounded to 1/256.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.rate):
            return x
        generator = _generator.get()
        if x.device.type != "cpu":
            kept = torch.empty_like(x).bernoulli_(1 - self.rate, generator=generator)
            return x * kept.div_(1 - self.rate)
        limit = min(round(256 * self.rate), 255)
        draws = torch.empty(x.numel() // 8 + 1, dtype=torch.int64, device=x.device)
        draws.random_(-(2**63), None, generator=generator)
        kept = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= limit
        return x * kept.to(x.dtype).mul_(256 / (256 - limit))


def list_standardize(x: Tensor, mask: Tensor) -> Tensor:
    """Standardise each feature within its list; one-item lists give 0.

    Shape
    -----
    x : (..., n_lists, list_size, n_features); mask : (n_lists, list_size)
    """
    real = mask.unsqueeze(-1).to(x.dtype)
    count = real.sum(-2, keepdim=True)
    centred = (x - (x * real).sum(-2, keepdim=True) / count) * real
    variance = (centred * centred).sum(-2, keepdim=True) / count
    # The floor keeps small differences in a nearly constant feature small.
    return centred / (variance.clamp(min=1e-12).sqrt() + 0.1)


class InputMap(nn.Module):
    """Turn transformed feature columns into one vector per item.

    Numeric columns arrive as normal scores (see `_columns`). Each
    is seen as itself, piecewise-linearly encoded over `n_bins` bins of equal
    probability (Gorishniy et al. 2022, "On embeddings for numerical features"), and, if
    `list_features`, standardised within its list. The encoding happens here, batch by
    batch, because stored it would multiply the data. Categorical columns arrive as
    codes, 0 for missing or unknown, and have learned embeddings.

    While training, each numeric feature of an item is hidden with probability
    `feature_dropout`, in all its forms, and each category likewise is made unknown.

    Shape
    -----
    x : (n_lists, list_size, n_numeric + n_flags + n_categorical)
    mask : (n_lists, list_size)
    returns : (n_members, n_lists, list_size, d_model)
    """

    # Many small steps of one feature move together; this slows them down, so that they
    # refine what the feature itself says rather than drown it.
    BIN_SCALE = 0.3

    edges: Tensor
    widths: Tensor
    offsets: Tensor

    def __init__(self, config: InputConfig, n_members: int, d_model: int):
        super().__init__()
        self.config = config
        self.splits = (config.n_numeric, config.n_flags, len(config.cardinalities))
        n_views = 1 + config.n_bins + config.list_features
        width = config.n_numeric * n_views + config.n_flags
        self.linear = MemberLinear(n_members, width, d_model)
        # The tails beyond the outermost bins saturate, as the leaves of a tree do.
        inner = torch.linspace(0, 1, config.n_bins + 1, dtype=torch.float64)[1:-1]
        edges = torch.special.ndtri(inner).to(FLOAT)
        first_codes = (0, *config.cardinalities[:-1])
        offsets = torch.tensor(first_codes, dtype=torch.int64).cumsum(0)
        lower = F.pad(edges, (1, 0), value=-3.0)
        # They follow from the config: stored, they could only contradict it.
        self.register_buffer("edges", lower, persistent=False)
        widths = F.pad(edges, (0, 1), value=3.0) - lower
        self.register_buffer("widths", widths, persistent=False)
        self.register_buffer("offsets", offsets, persistent=False)
        self.embedding = None
        if config.cardinalities:
            shape = n_members, sum(config.cardinalities), d_model
            vectors = torch.randn(shape, dtype=FLOAT, generator=_generator.get())
            self.embedding = nn.Parameter(0.1 * vectors)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        numeric, flags, codes = x.split(self.splits, dim=-1)
        views = self._views(numeric, mask)
        if self.training and self.config.feature_dropout:
            # Whole features: one draw for all views of a feature of an item.
            draws = torch.rand(
                x.shape, generator=_generator.get(), dtype=x.dtype, device=x.device
            )
            kept_numeric, _, kept_codes = (draws >= self.config.feature_dropout).split(
                self.splits, dim=-1
            )
            shown = kept_numeric.unsqueeze(-1).to(x.dtype)
            views = views * shown.div_(1 - self.config.feature_dropout)
            codes = codes * kept_codes
        h = self.linear(torch.cat([views.flatten(-2), flags], -1).unsqueeze(0))
        if self.embedding is None:
            return h
        return h + self.embedding[:, codes.long() + self.offsets].sum(-2)

    def _views(self, numeric: Tensor, mask: Tensor) -> Tensor:
        """All forms of each feature: (n_lists, list_size, n_numeric, n_views)."""
        views = [numeric.unsqueeze(-1)]
        if self.config.n_bins:
            ramps = (numeric.unsqueeze(-1) - self.edges) / self.widths
            views.append(self.BIN_SCALE * ramps.clamp(0.0, 1.0))
        if self.config.list_features:
            views.append(list_standardize(numeric, mask).unsqueeze(-1))
        return torch.cat(views, -1)


def closed_gate(n_members: int, d_model: int) -> nn.Parameter:
    """A gate per channel that starts nearly closed."""
    return nn.Parameter(torch.full((n_members, 1, 1, d_model), 0.1, dtype=FLOAT))


class Block(nn.Module):
    """Pre-norm transformer block in which the items earn their context.

    What attention adds to an item is gated per channel: on few lists plain
    attention overfits within epochs, while a block that starts as a pointwise network
    lets context in only as far as it pays. The [CLS] token, which has nothing but
    attention to learn from, is not gated.

    Shape
    -----
    x : (n_members, n_lists, 1 + list_size, d_model), the [CLS] token first
    attend : (n_members * n_lists, 1, 1, 1 + list_size), bool, or None for all
    """

    def __init__(
        self,
        n_members: int,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
    ):
        super().__init__()
        self.nhead = nhead
        self.norm = nn.LayerNorm(d_model, elementwise_affine=False)
        self.dropout = Dropout(dropout)
        self.to_qkv = MemberLinear(n_members, d_model, 3 * d_model)
        self.from_heads = MemberLinear(n_members, d_model, d_model)
        self.gate = closed_gate(n_members, d_model)
        self.widen = MemberLinear(n_members, d_model, dim_feedforward)
        self.narrow = MemberLinear(n_members, dim_feedforward, d_model)

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        context = self.dropout(self.attention(self.norm(x), attend))
        items = self.gate.expand(-1, -1, x.shape[2] - 1, -1)
        x = torch.addcmul(x, context, torch.cat([torch.ones_like(self.gate), items], 2))
        wide = self.dropout(F.relu(self.widen(self.norm(x))))
        return x + self.dropout(self.narrow(wide))

    def attention(self, x: Tensor, attend: Tensor | None) -> Tensor:
        """Multi-head attention within each list, fused by torch where it can."""
        q, k, v = self._heads(x)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attend)
        return self.from_heads(mixed.transpose(1, 2).reshape(x.shape))

    def attention_weights(self, x: Tensor) -> Tensor:
        """What each position looks at, in float32, for lists without padding.

        Shape
        -----
        x : (n_members, n_lists, size, d_model)
        returns : (n_members, n_lists, nhead, size, size); rows sum to 1
        """
        q, k, _ = self._heads(self.norm(x)).float()
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        return logits.softmax(-1).unflatten(0, x.shape[:2])

    def _heads(self, x: Tensor) -> Tensor:
        """Queries, keys and values: (3, n_members * n_lists, nhead, size, width)."""
        n_members, n_lists, size, width = x.shape
        heads = self.to_qkv(x).view(
            n_members * n_lists, size, 3, self.nhead, width // self.nhead
        )
        return heads.permute(2, 0, 3, 1, 4)


class Head(nn.Module):
    """A small MLP: (..., n_in) -> (..., n_out)."""

    def __init__(
        self,
        n_members: int,
        n_in: int,
        n_hidden: int,
        n_out: int,
        dropout: float,
        bias: bool = True,
    ):
        super().__init__()
        self.hidden = MemberLinear(n_members, n_in, n_hidden)
        self.dropout = Dropout(dropout)
        self.out = MemberLinear(n_members, n_hidden, n_out, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.from_hidden(self.hidden(x))

    def from_hidden(self, h: Tensor) -> Tensor:
        """What follows the first linear map; see `RankFormer.forward`."""
        return self.out(self.dropout(F.relu(h)))


class ListHead(nn.Module):
    """Logits of a list's value: from its items' worths, and from its [CLS] vector.

    In a model of choice with an outside option, the log-odds that anything is chosen
    are the logsumexp of the worths and a constant (McFadden 1974). With it each list,
    those without a positive label above all, teaches what items are worth. By the
    [CLS] vector alone a list's value is learnt without ever touching the item head;
    here it starts from nothing and adds what the worths leave open.

    Shape
    -----
    worth : (n_members, n_lists, list_size); mask : (n_lists, list_size)
    z_cls : (n_members, n_lists, d_model)
    returns : (n_members, n_lists, n_thresholds)
    """

    def __init__(self, n_members: int, d_model: int, n_thresholds: int, dropout: float):
        super().__init__()
        self.from_worth = MemberLinear(n_members, 1, n_thresholds)
        self.from_cls = Head(n_members, d_model, d_model, n_thresholds, dropout)
        nn.init.ones_(self.from_worth.weight)
        nn.init.zeros_(self.from_cls.out.weight)

    def forward(self, worth: Tensor, mask: Tensor, z_cls: Tensor) -> Tensor:
        lowest = torch.finfo(worth.dtype).min
        # Less the logarithm of the size, so that long lists do not start out better.
        total = worth.masked_fill(~mask, lowest).logsumexp(-1, keepdim=True)
        mean = total - mask.sum(-1, keepdim=True).to(worth.dtype).log()
        return self.from_worth(mean) + self.from_cls(z_cls)


class PooledHead(nn.Module):
    """Logits of a list's value from plain aggregates of its items.

    A classifier of whole lists is given the mean and the maximum of each column, and
    the list's size; on few lists it says better than a transformer whether a list is
    any good. So this head sees just these, through a linear map with a normal prior
    and a small MLP. It shares no weight with the rest of the network, and so takes
    nothing from the order of the items.

    Shape
    -----
    x : (n_lists, list_size, at least n_columns); mask : (n_lists, list_size)
    returns : (n_members, n_lists, n_thresholds)
    """

    HIDDEN = 32
    DROPOUT = 0.5
    PRIOR_VARIANCE = 0.003

    centre: Tensor
    spread: Tensor

    def __init__(self, n_members: int, n_columns: int, n_thresholds: int):
        super().__init__()
        self.n_columns = n_columns
        width = 2 * n_columns + 1
        self.register_buffer("centre", torch.zeros(width, dtype=FLOAT))
        self.register_buffer("spread", torch.ones(width, dtype=FLOAT))
        self.dropout = Dropout(self.DROPOUT)
        self.linear = MemberLinear(n_members, width, n_thresholds)
        self.mlp = Head(
            n_members, width, self.HIDDEN, n_thresholds, self.DROPOUT, bias=False
        )
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.mlp.out.weight)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        p = ((self.pool(x, mask) - self.centre) / self.spread).unsqueeze(0)
        # Each member drops aggregates of its own.
        own = p.expand(len(self.linear.weight), -1, -1)
        return self.linear(p) + self.mlp(self.dropout(own))

    def pool(self, x: Tensor, mask: Tensor) -> Tensor:
        """Mean, maximum and log size of each list: (n_lists, 2 * n_columns + 1)."""
        x = x[..., : self.n_columns]
        real = mask.unsqueeze(-1)
        size = mask.sum(-1, keepdim=True).to(x.dtype)
        mean = (x * real.to(x.dtype)).sum(1) / size
        highest = x.masked_fill(~real, torch.finfo(x.dtype).min).amax(1)
        return torch.cat([mean, highest, size.log()], -1)

    def set_scale(self, pooled: Tensor) -> None:
        """Standardise by these aggregates; without, few epochs would not converge."""
        self.centre.copy_(pooled.mean(0))
        # The floor keeps small differences in a nearly constant aggregate small.
        self.spread.copy_(pooled.std(0, correction=0) + 0.1)

    def penalty(self) -> Tensor:
        """Minus the log prior of the linear map, a mean over members and thresholds."""
        n_members, _, n_thresholds = self.linear.weight.shape
        squares = (self.linear.weight**2).sum() / (n_members * n_thresholds)
        return squares / (2 * self.PRIOR_VARIANCE)


class RankFormer(nn.Module):
    """Listwide transformer (RankFormer paper, section 3).

    Shape
    -----
    x : (n_lists, list_size, n_columns); mask : (n_lists, list_size), True = real item
    returns : item scores (n_members, n_lists, list_size), and list logits
        (n_members, n_lists, N_VIEWS, n_thresholds) or None without a listwide head
    """

    # A list's value is seen twice: by [CLS] and items, and by aggregates.
    N_VIEWS = 2

    def __init__(self, config: RankFormerConfig):
        super().__init__()
        n_members, d_model = config.n_members, config.d_model
        self.input_map = InputMap(config.inputs, n_members, d_model)
        self.dropout = Dropout(config.dropout)
        cls_token = torch.randn(
            (n_members, 1, 1, d_model), dtype=FLOAT, generator=_generator.get()
        )
        self.cls_token = nn.Parameter(0.02 * cls_token)
        # Attention averages over items and so cannot count them; the [CLS] token is
        # given the logarithm of the list's size.
        self.size_token = nn.Parameter(torch.zeros_like(cls_token))
        self.blocks = nn.ModuleList(
            Block(
                n_members,
                d_model,
                config.nhead,
                config.dim_feedforward,
                config.dropout,
            )
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(d_model, elementwise_affine=False)
        self.cls_gate = closed_gate(n_members, d_model)
        # Joining the list's vector to each item's and mapping both is the same as
        # mapping each by itself and adding: once a list, not once an item.
        self.from_cls = MemberLinear(n_members, d_model, d_model, bias=False)
        # No loss sees a constant added to all scores: a bias would only drift.
        self.item_head = Head(
            n_members, d_model, d_model, 1, config.dropout, bias=False
        )
        self.list_head = self.pooled_head = None
        if config.n_thresholds:
            n_pooled = config.inputs.n_numeric + config.inputs.n_flags
            self.list_head = ListHead(
                n_members, d_model, config.n_thresholds, config.dropout
            )
            self.pooled_head = PooledHead(n_members, n_pooled, config.n_thresholds)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        z = self._embed(x, mask)
        attend = F.pad(mask, (1, 0), value=True)[:, None, None, :]
        attend = attend.repeat(len(z), 1, 1, 1)
        for block in self.blocks:
            z = block(z, attend)
        z = self.norm(z)
        z_cls, z_items = z[:, :, :1], z[:, :, 1:]
        # Mapped once, and read twice: with the list's vector and without.
        h = self.item_head.hidden(z_items)
        shift = self.from_cls(self.cls_gate * z_cls)
        scores = self.item_head.from_hidden(h + shift).squeeze(-1)
        if self.list_head is None or self.pooled_head is None:
            return scores, None
        worth = self.item_head.from_hidden(h).squeeze(-1)
        views = [
            self.list_head(worth, mask, z_cls.squeeze(2)),
            self.pooled_head(x, mask),
        ]
        return scores, torch.stack(views, -2)

    def attention_weights(self, x: Tensor) -> Tensor:
        """What each position of a list looks at, layer by layer.

        Shape
        -----
        x : (n_lists, list_size, n_columns), lists of one size, without padding
        returns : (n_layers, n_members, n_lists, nhead, 1 + list_size, 1 + list_size),
            the [CLS] token first
        """
        z = self._embed(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))
        weights = []
        for block in self.blocks:
            assert isinstance(block, Block)
            weights.append(block.attention_weights(z))
            z = block(z, None)
        return torch.stack(weights)

    def _embed(self, x: Tensor, mask: Tensor) -> Tensor:
        """The [CLS] token and the items: (n_members, n_lists, 1 + list_size, d)."""
        items = self.dropout(self.input_map(x, mask))
        log_size = mask.sum(-1).to(x.dtype).log().view(-1, 1, 1)
        return torch.cat([self.cls_token + self.size_token * log_size, items], 2)


class MLP(nn.Module):
    """Pointwise network: each item is scored alone (the paper's neural baseline).

    Shape
    -----
    As `RankFormer`; the list logits are always None.
    """

    pooled_head = None

    def __init__(self, config: MLPConfig):
        super().__init__()
        n_members, sizes = config.n_members, config.hidden_sizes
        self.input_map = InputMap(config.inputs, n_members, sizes[0])
        self.dropout = Dropout(config.dropout)
        self.hidden = nn.ModuleList(
            MemberLinear(n_members, n_in, n_out) for n_in, n_out in pairwise(sizes)
        )
        self.out = MemberLinear(n_members, sizes[-1], 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        h = self.dropout(F.relu(self.input_map(x, mask)))
        for layer in self.hidden:
            h = self.dropout(F.relu(layer(h)))
        return self.out(h).squeeze(-1), None


def build(
    config: NetworkConfig,
    generator: torch.Generator | None = None,
    device: str = "cpu",
) -> RankFormer | MLP:
    """Make the network of a config, its weights drawn from the generator.

    On the device "meta" it has shapes and no memory, and nothing is drawn.
    """
    # The device is named because torch's default one may be set to another.
    with torch.device(device), drawing_from(generator):
        if isinstance(config, RankFormerConfig):
            return RankFormer(config)
        return MLP(config)
