"""What the network is taught: which item goes first, and how good the list is.

Pure functions of padded tensors. Each takes scores of shape (n_lists, list_size) and a
boolean mask (True = an item that counts), and returns one loss per list, zero with a
zero gradient where the list has nothing to teach. Whether a list teaches follows from
its labels and weights, never from the value of its loss. Nothing here knows a network
or scikit-learn.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class ItemLoss(Protocol):
    """A loss on the order of the items of each list."""

    def __call__(
        self, scores: Tensor, gains: Tensor, mask: Tensor, weights: Tensor
    ) -> Tensor:
        """Return one loss per list, shape (n_lists,); see `softmax_loss`."""


def softmax_loss(
    scores: Tensor, gains: Tensor, mask: Tensor, weights: Tensor | None = None
) -> Tensor:
    r"""Cross-entropy between the gains and the softmax of the scores.

    .. math:: L = -\sum_i w_i p_i \log \mathrm{softmax}(s)_i, \quad
              p_i = g_i / \textstyle\sum_j g_j

    The gains are normalised within the list, so neither the scale of the labels nor the
    length of the list changes how much a list counts. (ListNet, Cao et al. 2007; the
    RankFormer paper, section 4, weighs raw labels and divides by the list's length.)

    Parameters
    ----------
    scores : Tensor of shape (n_lists, list_size)
        Item scores; values outside the mask are ignored.
    gains : Tensor of shape (n_lists, list_size)
        Non-negative gains of the labels.
    mask : Tensor of shape (n_lists, list_size), bool
        True where an item counts.
    weights : Tensor of shape (n_lists, list_size), optional
        Weight of each item's term.

    Returns
    -------
    loss : Tensor of shape (n_lists,)
        Zero for lists without any gain.
    """
    gains = gains.masked_fill(~mask, 0.0)
    total = gains.sum(-1, keepdim=True)
    target = gains / torch.where(total > 0, total, 1.0)
    if weights is not None:
        target = target * weights
    lowest = torch.finfo(scores.dtype).min
    log_p = F.log_softmax(scores.masked_fill(~mask, lowest), dim=-1)
    return -(target * log_p.masked_fill(~mask, 0.0)).sum(-1)


def lambda_loss(
    scores: Tensor,
    gains: Tensor,
    mask: Tensor,
    weights: Tensor | None = None,
    *,
    k: int = 50,
) -> Tensor:
    r"""Pairwise logistic loss, each pair weighed by the NDCG that a swap would move.

    .. math:: L = \frac{\log_2(1 + S)}{S} \sum_{g_i > g_j} \lambda_{ij}
              \log(1 + e^{s_j - s_i}), \quad
              \lambda_{ij} = \frac{(g_i - g_j)\,|D(r_i) - D(r_j)|}{\mathrm{maxDCG}}

    with ranks :math:`r` from the current scores, :math:`D(r) = 1/\log_2(1+r)`, and
    :math:`S` the sum of the :math:`\lambda_{ij}`: without the first factor long lists,
    with their many pairs, would drown the short ones. Only pairs with at least one item
    ranked in the first `k` count, which bounds memory by ``n_lists * k * list_size``.
    (LambdaRank, Burges 2010; LambdaLoss, Wang et al. 2018; the norm is LightGBM's
    ``lambdarank_norm`` in spirit.)

    Parameters
    ----------
    scores, gains, mask, weights
        As in `softmax_loss`; a pair takes the weight of its better item.
    k : int, default=50
        How many of the first ranks take part.

    Returns
    -------
    loss : Tensor of shape (n_lists,)
        Zero for lists in which all gains are equal.
    """
    size = scores.shape[-1]
    lowest = torch.finfo(scores.dtype).min
    # No gradient flows through ranks: they are constants of the step.
    by_score = scores.detach().masked_fill(~mask, lowest).argsort(-1, descending=True)
    s = scores.masked_fill(~mask, 0.0).gather(-1, by_score)
    g = gains.masked_fill(~mask, 0.0).gather(-1, by_score)
    discount = 1.0 / torch.log2(torch.arange(size, device=s.device, dtype=s.dtype) + 2)
    best = (g.sort(-1, descending=True).values * discount).sum(-1, keepdim=True)
    # Divided first: the reciprocal of a tiny gain would overflow.
    g = g / torch.where(best > 0, best, 1.0)
    # Ranks are sorted, so this is 0 wherever i >= j: each pair is taken once.
    moved = (discount[:k, None] - discount).clamp(min=0.0)

    gain_gap = g[:, :k, None] - g[:, None, :]
    real = mask.gather(-1, by_score).to(s.dtype)
    weight = gain_gap.abs() * moved * real[:, None, :]
    total = weight.sum((-1, -2))
    if weights is not None:
        w = weights.gather(-1, by_score)
        weight = weight * torch.where(gain_gap > 0, w[:, :k, None], w[:, None, :])
    wrong_by = gain_gap.sign() * (s[:, None, :] - s[:, :k, None])
    loss = (weight * F.softplus(wrong_by)).sum((-1, -2))
    return loss * torch.log2(1 + total) / torch.where(total > 0, total, 1.0)


def ordinal_loss(logits: Tensor, levels: Tensor) -> Tensor:
    r"""Listwide loss: is the list's value above each threshold?

    .. math:: L = \frac{1}{K} \sum_{k=0}^{K-1} \mathrm{BCE}(\sigma(d_k),
              \mathbf{1}[t > k])

    where :math:`t` is the level of the list's highest label (RankFormer paper, section
    4; "A neural network approach to ordinal regression", Cheng et al. 2008). Every list
    counts, the ones without any positive label too: that is the point of the method.

    Parameters
    ----------
    logits : Tensor of shape (n_lists, n_thresholds)
        One logit per threshold; ``n_thresholds`` may be 1, and 0 gives a zero loss.
    levels : Tensor of shape (n_lists,), int64
        Level of each list, 0 to ``n_thresholds``.

    Returns
    -------
    loss : Tensor of shape (n_lists,)
    """
    n_thresholds = logits.shape[-1]
    if n_thresholds == 0:
        return logits.sum(-1)
    above = levels.unsqueeze(-1) > torch.arange(n_thresholds, device=logits.device)
    return F.binary_cross_entropy_with_logits(
        logits, above.to(logits.dtype), reduction="none"
    ).mean(-1)


def mixed_loss(
    scores: Tensor, gains: Tensor, mask: Tensor, weights: Tensor | None = None
) -> Tensor:
    """`softmax_loss` plus half of `lambda_loss`: the order of all, and of the first.

    Parameters
    ----------
    scores, gains, mask, weights
        As in `softmax_loss`.

    Returns
    -------
    loss : Tensor of shape (n_lists,)
    """
    return softmax_loss(scores, gains, mask, weights) + 0.5 * lambda_loss(
        scores, gains, mask, weights
    )


LOSSES = {"softmax": softmax_loss, "lambda": lambda_loss, "mixed": mixed_loss}


def pick_loss(loss: str | ItemLoss) -> ItemLoss:
    """Return the loss of this name, or the user's own, checked at each call.

    Raises
    ------
    ValueError
        When called, if the user's loss does not return one finite loss per list as a
        tensor through which gradients flow back to the scores.
    """
    if isinstance(loss, str):
        return LOSSES[loss]

    def checked(scores: Tensor, gains: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
        per_list = loss(scores, gains, mask, weights)
        is_tensor = isinstance(per_list, Tensor)
        if not is_tensor or per_list.shape != scores.shape[:1]:
            got = tuple(per_list.shape) if is_tensor else type(per_list).__name__
            raise ValueError(
                f"loss must return one loss per list, a tensor of shape "
                f"({len(scores)},), got {got}."
            )
        if scores.requires_grad and not per_list.requires_grad:
            raise ValueError(
                "loss returned a tensor without a gradient, which teaches nothing. "
                "Compute it from scores by operations of torch, without detach() and "
                "NumPy."
            )
        if scores.isfinite().all() and not per_list.isfinite().all():
            raise ValueError(
                "loss returned NaN or infinity for lists with finite scores. Return 0 "
                "for what teaches nothing: in some lists all gains are 0, in some all "
                "weights, and padding is False in mask."
            )
        return per_list

    return checked
