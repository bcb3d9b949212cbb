"""Running a network over lists: padded batches in, one score per row out."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ._batching import Batch, Features, make_batch, ordered_batches
from ._layers import fast_products
from ._lists import Lists, one_list
from ._network import RankFormer

AFTER_DIVERGENCE = (
    "Lower learning_rate, or look for extreme values in X if input_transform=None."
)
_DIVERGED = f"Training diverged: scores are not finite. {AFTER_DIVERGENCE}"


class Predictions(NamedTuple):
    """What a network says of lists, averaged over its members.

    Attributes
    ----------
    scores : ndarray of shape (n_rows,), float32
        NaN at rows of lists that were not asked for.
    logits : ndarray of shape (n_lists, n_views, n_thresholds), float32, or None
        Whether the list's value lies above each level but the last, by each view of
        the list; None of a network without a listwide head.
    """

    scores: np.ndarray
    logits: np.ndarray | None


def predict_items(device: torch.device) -> int:
    """Most padded items of a batch in prediction.

    On a CPU larger ones leave the caches, and hold more padding; a GPU must be kept
    busy, and without a backward pass there is room.
    """
    return 1024 if device.type == "cpu" else 4096


def run_network(
    module: nn.Module,
    x: Tensor,
    mask: Tensor,
    precision: str,
    position: Tensor | None = None,
    values: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Run the network, in bfloat16 where that is asked for.

    Without `values` the listwide heads are left out, and with them the logits.
    On a CPU these are the products of training alone: what is predicted there does not
    depend on the kind of CPU.
    """
    low, on_cpu = precision == "bfloat16", x.device.type == "cpu"
    with (
        fast_products(on_cpu and low and module.training),
        # Off, rather than as the caller has set it.
        torch.autocast(x.device.type, torch.bfloat16, enabled=low and not on_cpu),
    ):
        scores, logits = module(x, mask, position, values)
    return scores.float(), None if logits is None else logits.float()


@torch.inference_mode()
def predict_lists(
    module: nn.Module,
    features: Features,
    lists: Lists,
    chosen: np.ndarray,
    precision: str,
    values: bool = True,
) -> Predictions:
    """Score the items of the chosen lists, and say how high their values are.

    Without `values` they are only scored, which takes less time.

    Raises
    ------
    ValueError
        If a score or a logit is not finite.
    """
    scores = np.full(lists.n_rows, np.nan, dtype=np.float32)
    found = None
    outputs = _outputs(module, features, lists, chosen, precision, values)
    for batch, s, logits in outputs:
        scores[batch.rows[batch.mask]] = s.mean(0).cpu().numpy()[batch.mask]
        if logits is not None:
            if found is None:
                shape = (lists.n_lists, *logits.shape[2:])
                found = np.full(shape, np.nan, np.float32)
            found[batch.lists] = logits.mean(0).cpu().numpy()
    finite = np.isfinite(scores[lists.rows(chosen)]).all()
    if not finite or (found is not None and not np.isfinite(found[chosen]).all()):
        raise ValueError(_DIVERGED)
    return Predictions(scores, found)


@torch.inference_mode()
def member_scores(
    module: nn.Module, features: Features, lists: Lists, precision: str
) -> np.ndarray:
    """Score the items of all lists by each member: (n_members, n_rows), float32.

    Raises
    ------
    ValueError
        If a score is not finite.
    """
    n_members = len(next(module.parameters()))
    found = np.empty((n_members, lists.n_rows), dtype=np.float32)
    everything = np.arange(lists.n_lists)
    outputs = _outputs(module, features, lists, everything, precision, values=False)
    for batch, scores, _ in outputs:
        found[:, batch.rows[batch.mask]] = scores.cpu().numpy()[:, batch.mask]
    if not np.isfinite(found).all():
        raise ValueError(_DIVERGED)
    return found


def _outputs(
    module: nn.Module,
    features: Features,
    lists: Lists,
    chosen: np.ndarray,
    precision: str,
    values: bool,
) -> Iterator[tuple[Batch, Tensor, Tensor | None]]:
    """What every member says of the chosen lists, batch by batch."""
    if module.training:  # to walk through all layers takes longer than to ask
        module.eval()
    for batch in ordered_batches(lists, chosen, predict_items(features.device)):
        taken = features.take(batch)
        x, mask = taken["x"], taken["mask"]
        yield batch, *run_network(module, x, mask, precision, values=values)


@torch.inference_mode()
def attention_of_list(
    module: RankFormer, features: Features, n_rows: int
) -> np.ndarray:
    """What each position of one list, [CLS] first, looks at.

    Returns
    -------
    weights : ndarray, (n_members, n_layers, n_heads, 1 + n_rows, 1 + n_rows), float32
    """
    batch = make_batch(one_list(n_rows), np.arange(1))
    x = features.take(batch)["x"]
    with torch.autocast(x.device.type, enabled=False):
        weights = module.eval().attention_weights(x)
    return weights[:, :, 0].transpose(0, 1).numpy(force=True)
