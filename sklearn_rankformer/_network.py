"""The RankFormer network, and the pointwise MLP it is compared with.

The items of a list and a learned [CLS] token attend to one another; each item is scored
from its own vector joined with the list's, and the list's value is read off the [CLS]
vector and off what its items are worth by themselves (RankFormer paper, section 3, but
for the last). Bottom-up: member layers, input map, transformer block, heads, the two
networks.

A network holds ``n_members`` independent copies of itself, trained side by side on the
same batches and averaged at prediction: a small ensemble for the overhead of one. Every
parameter therefore has a leading axis of members, and activations have the shape
``(n_members, n_lists, list_size, width)``.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MemberLinear(nn.Module):
    """One linear map per member.

    Shape
    -----
    (n_members or 1, ..., n_in) -> (n_members, ..., n_out)
    """

    def __init__(self, n_members: int, n_in: int, n_out: int, bias: bool = True):
        super().__init__()
        bound = 1 / math.sqrt(max(n_in, 1))
        self.weight = nn.Parameter(
            torch.empty(n_members, n_in, n_out).uniform_(-bound, bound)
        )
        bias_value = torch.zeros(n_members, 1, n_out)
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
        if x.device.type != "cpu" or not (self.training and self.rate):
            return F.dropout(x, self.rate, self.training)
        limit = min(round(256 * self.rate), 255)
        draws = torch.empty(x.numel() // 8 + 1, dtype=torch.int64).random_(
            -(2**63), None
        )
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

    Numeric columns arrive as normal scores (see `preprocessing.TabularTransform`). Each
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

    def __init__(
        self,
        n_members: int,
        n_numeric: int,
        n_flags: int,
        cardinalities: tuple[int, ...],
        d_model: int,
        *,
        n_bins: int,
        list_features: bool,
        feature_dropout: float,
    ):
        super().__init__()
        self.n_numeric = n_numeric
        self.n_flags = n_flags
        self.n_bins = n_bins
        self.list_features = list_features
        self.feature_dropout = feature_dropout
        width = n_numeric * (1 + n_bins + list_features) + n_flags
        self.linear = MemberLinear(n_members, width, d_model)
        # The tails beyond the outermost bins saturate, as the leaves of a tree do.
        inner = torch.linspace(0, 1, n_bins + 1, dtype=torch.float64)[1:-1]
        edges = torch.special.ndtri(inner).float()
        self.register_buffer("edges", F.pad(edges, (1, 0), value=-3.0))
        self.register_buffer("widths", F.pad(edges, (0, 1), value=3.0) - self.edges)
        offsets = torch.tensor((0, *cardinalities[:-1])).cumsum(0)
        self.register_buffer("offsets", offsets)
        self.embedding = (
            nn.Parameter(0.1 * torch.randn(n_members, sum(cardinalities), d_model))
            if cardinalities
            else None
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        n_categorical = x.shape[-1] - self.n_numeric - self.n_flags
        numeric, flags, codes = x.split(
            [self.n_numeric, self.n_flags, n_categorical], dim=-1
        )
        views = self._views(numeric, mask)
        if self.training and self.feature_dropout:
            # Whole features: one draw for all views of a feature of an item.
            kept = torch.rand_like(x) >= self.feature_dropout
            shown = kept[..., : self.n_numeric, None].to(x.dtype)
            views = views * shown.div_(1 - self.feature_dropout)
            codes = codes * kept[..., self.n_numeric + self.n_flags :]
        h = self.linear(torch.cat([views.flatten(-2), flags], -1).unsqueeze(0))
        if self.embedding is None:
            return h
        return h + self.embedding[:, codes.long() + self.offsets].sum(-2)

    def _views(self, numeric: Tensor, mask: Tensor) -> Tensor:
        """All forms of each feature: (n_lists, list_size, n_numeric, n_views)."""
        views = [numeric.unsqueeze(-1)]
        if self.n_bins:
            ramps = (numeric.unsqueeze(-1) - self.edges) / self.widths
            views.append(self.BIN_SCALE * ramps.clamp(0.0, 1.0))
        if self.list_features:
            views.append(list_standardize(numeric, mask).unsqueeze(-1))
        return torch.cat(views, -1)


class Block(nn.Module):
    """Pre-norm transformer block in which the items earn their context.

    What attention adds to an item is gated per channel, from `GATE`: on few lists plain
    attention overfits within epochs, while a block that starts as a pointwise network
    lets context in only as far as it pays. The [CLS] token, which has nothing but
    attention to learn from, is not gated.

    Shape
    -----
    x : (n_members, n_lists, 1 + list_size, d_model), the [CLS] token first
    attend : (n_members * n_lists, 1, 1, 1 + list_size), bool, or None for all
    """

    GATE = 0.1

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
        self.gate = nn.Parameter(torch.full((n_members, 1, 1, d_model), self.GATE))
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
        n_members, n_lists, size, width = x.shape
        heads = self.to_qkv(x).view(
            n_members * n_lists, size, 3, self.nhead, width // self.nhead
        )
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attend)
        return self.from_heads(mixed.transpose(1, 2).reshape(x.shape))


class Head(nn.Module):
    """A small MLP: (..., n_in) -> (..., n_out).

    `shift` is added to its hidden layer.
    """

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

    def forward(self, x: Tensor, shift: Tensor | float = 0.0) -> Tensor:
        return self.out(self.dropout(F.relu(self.hidden(x) + shift)))


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


class RankFormer(nn.Module):
    """Listwide transformer (RankFormer paper, section 3).

    Shape
    -----
    x : (n_lists, list_size, n_columns); mask : (n_lists, list_size), True = real item
    returns : item scores (n_members, n_lists, list_size), and list logits
        (n_members, n_lists, n_thresholds) or None without a listwide head
    """

    def __init__(
        self,
        input_map: InputMap,
        *,
        n_members: int,
        d_model: int,
        num_layers: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        n_thresholds: int,
    ):
        super().__init__()
        self.input_map = input_map
        self.dropout = Dropout(dropout)
        self.cls_token = nn.Parameter(0.02 * torch.randn(n_members, 1, 1, d_model))
        # Attention averages over items and so cannot count them; the [CLS] token is
        # told the logarithm of the list's size.
        self.size_token = nn.Parameter(torch.zeros(n_members, 1, 1, d_model))
        self.blocks = nn.ModuleList(
            Block(n_members, d_model, nhead, dim_feedforward, dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model, elementwise_affine=False)
        self.cls_gate = nn.Parameter(torch.full((n_members, 1, 1, d_model), Block.GATE))
        # Joining the list's vector to each item's and mapping both is the same as
        # mapping each by itself and adding: once a list, not once an item.
        self.from_cls = MemberLinear(n_members, d_model, d_model, bias=False)
        # No loss sees a constant added to all scores: a bias would only drift.
        self.item_head = Head(n_members, d_model, d_model, 1, dropout, bias=False)
        self.list_head = (
            ListHead(n_members, d_model, n_thresholds, dropout)
            if n_thresholds
            else None
        )

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        items = self.dropout(self.input_map(x, mask))
        log_size = mask.sum(-1).to(x.dtype).log().view(-1, 1, 1)
        cls = self.cls_token + self.size_token * log_size
        z = torch.cat([cls, items], 2)
        attend = F.pad(mask, (1, 0), value=True)[:, None, None, :]
        attend = attend.repeat(len(z), 1, 1, 1)
        for block in self.blocks:
            z = block(z, attend)
        z = self.norm(z)
        z_cls, z_items = z[:, :, :1], z[:, :, 1:]
        shift = self.from_cls(self.cls_gate * z_cls)
        scores = self.item_head(z_items, shift).squeeze(-1)
        if self.list_head is None:
            return scores, None
        worth = self.item_head(z_items).squeeze(-1)
        return scores, self.list_head(worth, mask, z_cls.squeeze(2))


class MLP(nn.Module):
    """Pointwise network: each item is scored alone (the paper's neural baseline).

    Shape
    -----
    As `RankFormer`; the list logits are always None.
    """

    def __init__(
        self,
        input_map: InputMap,
        *,
        n_members: int,
        hidden_sizes: tuple[int, ...],
        dropout: float,
    ):
        super().__init__()
        self.input_map = input_map
        self.dropout = Dropout(dropout)
        self.hidden = nn.ModuleList(
            MemberLinear(n_members, n_in, n_out)
            for n_in, n_out in pairwise(hidden_sizes)
        )
        self.out = MemberLinear(n_members, hidden_sizes[-1], 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        h = self.dropout(F.relu(self.input_map(x, mask)))
        for layer in self.hidden:
            h = self.dropout(F.relu(layer(h)))
        return self.out(h).squeeze(-1), None
