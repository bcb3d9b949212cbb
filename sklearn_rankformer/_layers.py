"""Layers of members side by side: what they multiply, draw and drop.

A network has ``n_members`` members, trained side by side on the same batches and
averaged at prediction: a small ensemble for the overhead of one. They share the
matrices of wide maps, and each scales their inputs and outputs in its own way
(Gorishniy et al. 2025, "TabM"). Every parameter has a leading axis of members, of size
1 where they share it, and activations have the shape
``(n_members, n_lists, list_size, width)``.

Everything random comes from the generator of `drawing_from`, and wide products run in
the precision of `fast_products`.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


# Whether wide products run in bfloat16; see `fast_products`.
_fast: ContextVar[bool] = ContextVar("fast", default=False)


@contextmanager
def fast_products(fast: bool) -> Iterator[None]:
    """Let networks run in this block multiply matrices in bfloat16, on a CPU.

    All else stays in float32. Where a CPU has matrix units (AMX) they do such products
    faster, wide ones with one thread above all; what autocast gains by them it loses in
    attention, whose backward pass is slow in bfloat16.
    """
    token = _fast.set(fast)
    try:
        yield
    finally:
        _fast.reset(token)


class _FastProduct(torch.autograd.Function):
    """``x @ weight + bias`` of float32 matrices, multiplied in bfloat16."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x, weight = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x, weight)
        if bias is None:
            return (x @ weight).float()
        return torch.baddbmm(bias.bfloat16(), x, weight).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_bias = grad.sum(-2, keepdim=True) if ctx.needs_input_grad[2] else None
        grad = grad.bfloat16()
        of_x = (grad @ weight.mT).float() if ctx.needs_input_grad[0] else None
        return of_x, (x.mT @ grad).float(), of_bias


class _FeedForward(torch.autograd.Function):
    """``relu(x @ widen + bias) * kept @ narrow + bias``, in `dtype`.

    As one function it saves two matrices where the single steps would save five, and
    passes over memory are what a step of training waits for.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        widen: Tensor,
        bias: Tensor,
        narrow: Tensor,
        narrow_bias: Tensor,
        kept: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        x, widen, narrow = x.to(dtype), widen.to(dtype), narrow.to(dtype)
        h = torch.baddbmm(bias.to(dtype), x, widen).clamp_(min=0).mul_(kept)
        ctx.save_for_backward(x, h, widen, narrow)
        return torch.baddbmm(narrow_bias.to(dtype), h, narrow).to(bias.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, h, widen, narrow = ctx.saved_tensors
        of_bias = grad.sum(-2, keepdim=True)
        low = grad.to(h.dtype)
        # Where h is 0, the rectifier closed or the element was dropped.
        of_h = torch.ops.aten.threshold_backward(low @ narrow.mT, h, 0)
        parts = (
            of_h @ widen.mT,
            x.mT @ of_h,
            of_h.sum(-2, keepdim=True),
            h.mT @ low,
            of_bias,
        )
        return *(part.to(grad.dtype) for part in parts), None, None


# Narrower maps give scores and logits: always exact, as there is nothing to gain.
NARROW = 8


def map_members(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map the vectors of each member by a matrix of its own.

    Shape
    -----
    x : (n_members or 1, ..., n_in); weight : (n_members, n_in, n_out)
    bias : (n_members, 1, n_out), or None
    returns : (n_members, ..., n_out)
    """
    n_members, n_in, n_out = weight.shape
    flat = x.flatten(1, -2)
    fast = _fast.get() and n_out > NARROW
    if len(flat) != n_members:
        # One input for all members: a single, wide product is the faster one.
        wide = weight.transpose(0, 1).reshape(n_in, n_members * n_out)
        x0 = flat[0]
        product = _FastProduct.apply(x0, wide, None) if fast else x0 @ wide
        out = product.view(-1, n_members, n_out).transpose(0, 1)
        out = out if bias is None else out + bias
    elif fast:
        out = _FastProduct.apply(flat, weight, bias)
    elif bias is None:
        out = flat @ weight
    else:
        out = torch.baddbmm(bias, flat, weight)
    return out.reshape(n_members, *x.shape[1:-1], n_out)


def draw_normal(*shape: int) -> Tensor:
    """Standard normal numbers of this shape."""
    return torch.randn(shape, dtype=FLOAT, generator=_generator.get())


def draw_matrices(n: int, n_in: int, n_out: int) -> nn.Parameter:
    """Weights as a linear layer starts from: (n, n_in, n_out)."""
    bound = 1 / math.sqrt(max(n_in, 1))
    weight = torch.empty(n, n_in, n_out, dtype=FLOAT)
    return nn.Parameter(weight.uniform_(-bound, bound, generator=_generator.get()))


class MemberLinear(nn.Module):
    """One linear map per member, each of its own: for scores and logits.

    Shape
    -----
    (n_members or 1, ..., n_in) -> (n_members, ..., n_out)
    """

    def __init__(self, n_members: int, n_in: int, n_out: int, bias: bool = True):
        super().__init__()
        self.weight = draw_matrices(n_members, n_in, n_out)
        zeros = torch.zeros(n_members, 1, n_out, dtype=FLOAT)
        self.bias = nn.Parameter(zeros) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return map_members(x, self.weight, self.bias)


class SharedLinear(nn.Module):
    """One linear map per member, of a common matrix: for all within the network.

    Member m maps by ``diag(r_m) W diag(s_m)`` and adds a bias of its own (Wen et al.
    2020, "BatchEnsemble"). The matrix is learned from the errors of all members. They
    differ as an ensemble should, because they have heads of their own and, with
    `signs`, start from the inputs with other signs.

    Shape
    -----
    (n_members or 1, ..., n_in) -> (n_members, ..., n_out)
    """

    def __init__(
        self,
        n_members: int,
        n_in: int,
        n_out: int,
        bias: bool = True,
        signs: bool = False,
    ):
        super().__init__()
        of_inputs = torch.ones(n_members, n_in, 1, dtype=FLOAT)
        if signs:
            turned = torch.empty_like(of_inputs)
            of_inputs -= 2 * turned.bernoulli_(0.5, generator=_generator.get())
        self.of_inputs = nn.Parameter(of_inputs)
        self.matrix = draw_matrices(1, n_in, n_out)
        self.of_outputs = nn.Parameter(torch.ones(n_members, 1, n_out, dtype=FLOAT))
        zeros = torch.zeros(n_members, 1, n_out, dtype=FLOAT)
        self.bias = nn.Parameter(zeros) if bias else None

    @property
    def weight(self) -> Tensor:
        """The members' matrices: (n_members, n_in, n_out)."""
        return self.of_inputs * self.matrix * self.of_outputs

    def forward(self, x: Tensor) -> Tensor:
        return map_members(x, self.weight, self.bias)


class Dropout(nn.Module):
    """Dropout whose draws are shared by all members.

    Their weights differ, so what is dropped is as different as if each drew its own;
    and drawing is most of the cost. torch draws one number per element. On a CPU eight
    elements share one 64-bit draw, a byte each, so the rate is rounded to 1/256.

    Shape
    -----
    (n_members, ...) -> the same
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    @property
    def is_on(self) -> bool:
        """Whether anything is dropped."""
        return self.training and self.rate > 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_on:
            return x
        kept, share = self.draw(x.shape[1:], x)
        return x * kept.div_(share)

    def draw(self, shape: torch.Size, like: Tensor) -> tuple[Tensor, float]:
        """Draw 1 for what is kept and 0 for the rest, and return the share kept."""
        generator = _generator.get()
        if like.device.type != "cpu":
            share = 1 - self.rate
            return like.new_empty(shape).bernoulli_(share, generator=generator), share
        limit = min(round(256 * self.rate), 255)
        n = math.prod(shape)
        draws = torch.empty(n // 8 + 1, dtype=torch.int64, device=like.device)
        draws.random_(-(2**63), None, generator=generator)
        kept = draws.view(torch.uint8)[:n].view(shape) >= limit
        return kept.to(like.dtype), 1 - limit / 256


def feed_forward(
    x: Tensor, widen: SharedLinear, narrow: SharedLinear, dropout: Dropout
) -> Tensor:
    """The pointwise part of a block: wide, rectified, dropped, narrow.

    Shape
    -----
    x : (n_members, ..., width) -> the same
    """
    # Under autocast, as on GPUs, torch picks the dtype of each step by itself.
    if not dropout.is_on or torch.is_autocast_enabled(x.device.type):
        return narrow(dropout(F.relu(widen(x))))
    flat, dtype = x.flatten(1, -2), torch.bfloat16 if _fast.get() else x.dtype
    matrix = widen.weight  # a product, made anew each time
    shape = torch.Size((flat.shape[1], matrix.shape[2]))
    kept, share = dropout.draw(shape, flat.new_empty(0, dtype=dtype))
    out = _FeedForward.apply(
        flat,
        matrix,
        widen.bias,
        # What makes up for the dropped ones, on the smaller matrix.
        narrow.weight / share,
        narrow.bias,
        kept,
        dtype,
    )
    return out.view(x.shape)
