"""The RankFormer network, and the pointwise MLP it is compared with.

The items of a list and a learned [CLS] token attend to one another; each item is scored
from its own vector joined with the list's, and the list's value is read off the [CLS]
vector (RankFormer paper, section 3) and off what its items are worth. `build` makes a
network of a plain config. Bottom-up: input map, transformer block, heads, the two
networks. All are made of `_layers`, which says what members are.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._config import InputConfig, MLPConfig, NetworkConfig, RankFormerConfig
from ._layers import (
    FLOAT,
    Dropout,
    MemberLinear,
    SharedLinear,
    draw_normal,
    drawing_from,
    feed_forward,
    map_members,
)


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

    Each member learns how much a column counts, in all its forms alike, and faster than
    all else: columns without use are turned down before their noise is learned
    (Holzmüller et al. 2024, "Better by default", has such a layer). The last of several
    members counts all columns alike: a column that matters only beside another seems
    without use at first, and what this member finds in it teaches the others, too,
    through the matrices they share.

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
    # Steps of what a column counts are this many times the network's. A third of it
    # brings half as much, three times of it loses on few lists; see docs/notes.md.
    IMPORTANCE_SCALE = 60.0

    slopes: Tensor
    shifts: Tensor
    offsets: Tensor
    columns_of_inputs: Tensor
    importance_scale: Tensor

    def __init__(self, config: InputConfig, n_members: int, d_model: int):
        super().__init__()
        self.config = config
        self.dropout = Dropout(config.feature_dropout)
        self.splits = (config.n_numeric, config.n_flags, len(config.cardinalities))
        n_views = 1 + config.n_bins + config.list_features
        columns = torch.arange(config.n_numeric + config.n_flags)
        of_numbers, of_flags = columns.split(self.splits[:2])
        columns_of_inputs = torch.cat([of_numbers.repeat(n_views), of_flags])
        width = len(columns_of_inputs)
        self.linear = SharedLinear(n_members, width, d_model, signs=True)
        importance = torch.zeros(n_members, len(columns), dtype=FLOAT)
        self.importance = nn.Parameter(importance)
        scale = torch.full((n_members, 1), self.IMPORTANCE_SCALE, dtype=FLOAT)
        scale[1:][-1:] = 0  # of the last of several
        self.register_buffer("importance_scale", scale, persistent=False)
        self.register_buffer("columns_of_inputs", columns_of_inputs, persistent=False)
        # The tails beyond the outermost bins saturate, as the leaves of a tree do.
        inner = torch.linspace(0, 1, config.n_bins + 1, dtype=torch.float64)[1:-1]
        edges = torch.special.ndtri(inner).to(FLOAT)
        first_codes = (0, *config.cardinalities[:-1])
        offsets = torch.tensor(first_codes, dtype=torch.int64).cumsum(0)
        lower = F.pad(edges, (1, 0), value=-3.0)
        slopes = self.BIN_SCALE / (F.pad(edges, (0, 1), value=3.0) - lower)
        # They follow from the config: stored, they could only contradict it.
        self.register_buffer("slopes", slopes.unsqueeze(-1), persistent=False)
        shifts = (-lower * slopes).unsqueeze(-1)
        self.register_buffer("shifts", shifts, persistent=False)
        self.register_buffer("offsets", offsets, persistent=False)
        self.embedding = None
        if config.cardinalities:
            vectors = draw_normal(n_members, sum(config.cardinalities), d_model)
            self.embedding = nn.Parameter(0.1 * vectors)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        numeric, flags, codes = x.split(self.splits, dim=-1)
        views = self._views(numeric, mask)
        if self.dropout.is_on:
            # Whole features: one draw for all views of a feature of an item.
            kept, share = self.dropout.draw(x.shape, x)
            kept_numeric, _, kept_codes = kept.split(self.splits, dim=-1)
            views = views.mul_(kept_numeric.unsqueeze(-2) / share)
            codes = codes * kept_codes
        h = self._map_numbers(views.flatten(-2), flags)
        if self.embedding is None:
            return h
        return h + self.embedding[:, codes.long() + self.offsets].sum(-2)

    def _map_numbers(self, views: Tensor, flags: Tensor) -> Tensor:
        n_numeric, n_flags, _ = self.splits
        if not n_numeric + n_flags:  # the exporter to ONNX fails on products of nothing
            assert self.linear.bias is not None
            return self.linear.bias.unsqueeze(1)
        numbers = torch.cat([views, flags], -1) if n_numeric else flags
        # Folded into the matrix, which is smaller than a batch.
        counts = 1 + self.importance_scale * self.importance
        weight = counts[:, self.columns_of_inputs].unsqueeze(-1) * self.linear.weight
        return map_members(numbers.unsqueeze(0), weight, self.linear.bias)

    def _views(self, numeric: Tensor, mask: Tensor) -> Tensor:
        """All forms of each feature: (n_lists, list_size, n_views, n_numeric)."""
        one = numeric.unsqueeze(-2)
        views = [one]
        if self.config.n_bins:
            ramps = torch.addcmul(self.shifts, one, self.slopes)
            views.append(ramps.clamp_(0.0, self.BIN_SCALE))
        if self.config.list_features:
            views.append(list_standardize(numeric, mask).unsqueeze(-2))
        return torch.cat(views, -2)


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
        self.to_qkv = SharedLinear(n_members, d_model, 3 * d_model)
        self.from_heads = SharedLinear(n_members, d_model, d_model)
        self.gate = closed_gate(n_members, d_model)
        self.widen = SharedLinear(n_members, d_model, dim_feedforward)
        self.narrow = SharedLinear(n_members, dim_feedforward, d_model)

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        context = self.dropout(self.attention(self.norm(x), attend))
        items = self.gate.expand(-1, -1, x.shape[2] - 1, -1)
        x = torch.addcmul(x, context, torch.cat([torch.ones_like(self.gate), items], 2))
        mapped = feed_forward(self.norm(x), self.widen, self.narrow, self.dropout)
        return x + self.dropout(mapped)

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
        q, k, _ = self._heads(self.norm(x))
        logits = q.float() @ k.float().transpose(-1, -2) / q.shape[-1] ** 0.5
        return logits.softmax(-1).unflatten(0, x.shape[:2])

    def _heads(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values: (n_members * n_lists, nhead, size, width) each."""
        # Cut along the last axis: the gradients are joined there in a single copy.
        return [
            part.flatten(0, 1).unflatten(-1, (self.nhead, -1)).transpose(1, 2)
            for part in self.to_qkv(x).chunk(3, -1)
        ]


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
        self.hidden = SharedLinear(n_members, n_in, n_hidden)
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
    [CLS] vector alone a list's value is learned without ever touching the item head;
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

    def take_scale(self, other: "PooledHead") -> None:
        """Standardise as another head does."""
        self.centre.copy_(other.centre)
        self.spread.copy_(other.spread)

    def penalty(self) -> Tensor:
        """Minus the log prior of the linear map, a mean over members and thresholds."""
        n_members, _, n_thresholds = self.linear.weight.shape
        squares = (self.linear.weight**2).sum() / (n_members * n_thresholds)
        return squares / (2 * self.PRIOR_VARIANCE)


class PositionBias(nn.Module):
    """What a shown position adds to the score of whatever is shown there.

    Clicks are drawn by what an item is worth and by where it stands. In training both
    are added up; at prediction this part is left out. If an item is seen with the
    chance e of its position, its share of a list's clicks is proportional to
    ``exp(score + log e)``, so that the bias learns ``log e`` up to a constant.
    (LightGBM's ``position`` is the same; Zhao et al. 2019, "Recommending what video to
    watch next", call it a shallow tower.)

    Shape
    -----
    scores : (n_members, n_lists, list_size); position : (n_lists, list_size), int64
    returns : as the scores
    """

    # Steps five times the network's: at its own rate the bias comes too late, at ten
    # times it takes from the items what a good ranker's positions say of their worth.
    SCALE = 5.0

    def __init__(self, n_members: int, n_positions: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_members, n_positions, dtype=FLOAT))

    def forward(self, scores: Tensor, position: Tensor) -> Tensor:
        return scores + self.SCALE * self.weight[:, position]

    def values(self) -> Tensor:
        """Bias of each position, a mean over members: (n_positions,)."""
        return self.SCALE * self.weight.detach().mean(0)


class RankFormer(nn.Module):
    """Listwide transformer (RankFormer paper, section 3).

    Shape
    -----
    x : (n_lists, list_size, n_columns); mask : (n_lists, list_size), True = real item
    position : (n_lists, list_size), int64, or None to leave its bias out
    returns : item scores (n_members, n_lists, list_size), and list logits
        (n_members, n_lists, 2, n_thresholds) or None without listwide heads: by [CLS]
        and items, and by aggregates
    """

    def __init__(self, config: RankFormerConfig):
        super().__init__()
        n_members, d_model = config.n_members, config.d_model
        self.input_map = InputMap(config.inputs, n_members, d_model)
        self.dropout = Dropout(config.dropout)
        cls_token = draw_normal(n_members, 1, 1, d_model)
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
        self.from_cls = SharedLinear(n_members, d_model, d_model, bias=False)
        # No loss sees a constant added to all scores: a bias would only drift.
        self.item_head = Head(
            n_members, d_model, d_model, 1, config.dropout, bias=False
        )
        self.position_bias = None
        if config.n_positions:
            self.position_bias = PositionBias(n_members, config.n_positions)
        self.list_head = self.pooled_head = None
        if config.n_thresholds:
            n_pooled = config.inputs.n_numeric + config.inputs.n_flags
            self.list_head = ListHead(
                n_members, d_model, config.n_thresholds, config.dropout
            )
            self.pooled_head = PooledHead(n_members, n_pooled, config.n_thresholds)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        position: Tensor | None = None,
        values: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        z = self._embed(x, mask)
        attend = F.pad(mask, (1, 0), value=True)[:, None, None, :]
        attend = attend.repeat(len(z), 1, 1, 1)
        for block in self.blocks:
            z = block(z, attend)
        z = self.norm(z)
        z_cls, z_items = z.split((1, z.shape[2] - 1), 2)
        # Mapped once, and read twice: with the list's vector and without.
        h = self.item_head.hidden(z_items)
        shift = self.from_cls(self.cls_gate * z_cls)
        scores = self.item_head.from_hidden(h + shift).squeeze(-1)
        if self.position_bias is not None and position is not None:
            scores = self.position_bias(scores, position)
        if not values or self.list_head is None or self.pooled_head is None:
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
            SharedLinear(n_members, n_in, n_out) for n_in, n_out in pairwise(sizes)
        )
        self.out = MemberLinear(n_members, sizes[-1], 1, bias=False)
        self.position_bias = None
        if config.n_positions:
            self.position_bias = PositionBias(n_members, config.n_positions)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        position: Tensor | None = None,
        values: bool = False,
    ) -> tuple[Tensor, None]:
        h = self.dropout(F.relu(self.input_map(x, mask)))
        for layer in self.hidden:
            h = self.dropout(F.relu(layer(h)))
        scores = self.out(h).squeeze(-1)
        if self.position_bias is not None and position is not None:
            scores = self.position_bias(scores, position)
        return scores, None


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
