"""From rows and lists to padded batches of bounded size.

A batch holds whole lists of similar length, at most `batch_items` padded items (one
list longer than that is a batch of its own), so that cost follows the items and not the
longest list. Training batches are drawn for each epoch from jittered lengths. Rows
are gathered from the caller's X batch by batch: X itself is never copied or reordered.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._lists import Lists, cut_batches
from ._processes import ALONE, Peers, everyone

# Up to this many bytes of transformed features are computed once and kept; beyond it
# rows are transformed batch by batch, so that fit needs no second copy of X.
KEEP_BYTES = 512 * 2**20

# Lengths are multiplied by up to this before sorting: neighbours change each epoch, at
# the price of some padding.
JITTER = 1.1


@dataclass(frozen=True)
class Batch:
    """Lists padded to one size.

    Attributes
    ----------
    lists : ndarray of shape (n_lists,)
        Positions of the lists.
    rows : ndarray of shape (n_lists, list_size)
        Row index of each item; padding repeats a row of the same list.
    mask : ndarray of shape (n_lists, list_size), bool
        True at real items.
    """

    lists: np.ndarray
    rows: np.ndarray
    mask: np.ndarray


class Features:
    """Rows of X as transformed float32 tensors.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_rows, n_features)
        Anything that ``X[rows]`` gathers rows from, memory-mapped arrays included.
    transform : callable
        Maps gathered rows to a float32 array of shape (len(rows), n_columns).
    n_columns : int
        Width of the transformed rows.
    device : torch.device
        Where batches are wanted.
    """

    def __init__(
        self, X: Any, transform: Callable, n_columns: int, device: torch.device
    ):
        self.X = X
        self.transform = transform
        self.device = device
        n_rows = X.shape[0]
        self.kept: Tensor | None = None
        if 4 * n_rows * n_columns <= _keep_bytes(device):
            step = max(1, 2**22 // max(n_columns, 1))
            kept = np.empty((n_rows, n_columns), dtype=np.float32)
            for start in range(0, n_rows, step):
                kept[start : start + step] = transform(X[start : start + step])
            self.kept = torch.from_numpy(kept).to(device)

    def take(self, batch: Batch) -> dict[str, Tensor]:
        """Gather one padded batch: the network's ``x`` and ``mask``."""
        mask = torch.from_numpy(batch.mask)
        if self.kept is not None:
            x = self.kept[torch.from_numpy(batch.rows).to(self.device)]
        else:
            # Each row is transformed once; the running count repeats it as padding.
            rows = self.transform(self.X[batch.rows[batch.mask]])
            place = np.cumsum(batch.mask).reshape(batch.mask.shape) - 1
            gathered = torch.from_numpy(rows[place])
            if self.device.type == "cuda":
                gathered = gathered.pin_memory()  # so that the copy need not be awaited
            x = gathered.to(self.device, non_blocking=True)
        return {"x": x, "mask": mask.to(self.device, non_blocking=True)}


def _keep_bytes(device: torch.device) -> int:
    """How much to keep: a third of what is free on a GPU, little on a CPU."""
    if device.type == "cuda":
        return max(KEEP_BYTES, torch.cuda.mem_get_info(device)[0] // 3)
    return KEEP_BYTES


def make_batch(lists: Lists, chosen: np.ndarray) -> Batch:
    """Pad the chosen lists to the longest of them."""
    lengths = lists.lengths[chosen]
    place = np.arange(lengths.max())
    mask = place < lengths[:, None]
    rows = lists.starts[chosen][:, None] + np.minimum(place, lengths[:, None] - 1)
    if lists.order is not None:
        rows = lists.order[rows]
    return Batch(chosen, rows, mask)


def draw_batches(
    lists: Lists,
    chosen: np.ndarray,
    batch_items: int,
    rng: np.random.Generator,
    peers: Peers = ALONE,
) -> Iterator[np.ndarray]:
    """Yield all chosen lists once, in fresh random batches of similar length.

    Each of the peers gets as many batches as the others, empty ones where it has fewer
    lists than that.
    """
    lengths = lists.lengths[chosen]
    jittered = lengths * JITTER ** rng.random(len(lengths))
    batches = cut_batches(lengths, jittered, peers.share(batch_items))
    if peers.n > 1:
        batches = _cut_further(batches, peers.most(len(batches)))
        # All in one order: in a step lists are of similar length, and none waits long.
        rng = np.random.default_rng(peers.first(int(rng.integers(2**32))))
    for i in rng.permutation(len(batches)):
        yield chosen[batches[i]]


def _cut_further(batches: list[np.ndarray], n: int) -> list[np.ndarray]:
    """Halve the batches of most lists until there are n, or fill up with empty ones."""
    starts = np.cumsum([0, *map(len, batches)]).tolist()
    heap = [
        (-len(one), start, one) for start, one in zip(starts, batches, strict=False)
    ]
    heapq.heapify(heap)
    while len(heap) < n and heap[0][0] < -1:
        _, start, batch = heapq.heappop(heap)
        for half in np.array_split(batch, 2):
            heapq.heappush(heap, (-len(half), start, half))
            start += len(half)
    in_order = [batch for _, _, batch in sorted(heap, key=lambda one: one[1])]
    return in_order + [np.zeros(0, dtype=np.int64)] * (n - len(heap))


def count_steps(
    lists: Lists, chosen: np.ndarray, batch_items: int, peers: Peers
) -> int:
    """About how many batches of the lists make an epoch, the same on all peers."""
    lengths = lists.lengths[chosen]
    return peers.most(len(cut_batches(lengths, lengths, peers.share(batch_items))))


def ordered_batches(
    lists: Lists, chosen: np.ndarray, batch_items: int
) -> Iterator[Batch]:
    """Yield all chosen lists once, shortest first: the least padding."""
    lengths = lists.lengths[chosen]
    for batch in cut_batches(lengths, lengths, batch_items):
        yield make_batch(lists, chosen[batch])


@dataclass(frozen=True)
class Targets:
    """What lists teach, as tensors on the device of the network.

    Weights are scaled so that the sum of a batch's losses estimates, without bias, the
    mean over all lists: lists in small batches count no more than others.

    Attributes
    ----------
    gains, weights : Tensor of shape (n_rows,), float32
        Gain and loss weight of each item; both 0 in lists that teach no order.
    counted : Tensor of shape (n_rows,), bool
        False at rows of zero weight: context for the others, without loss.
    grades : Tensor of shape (n_lists,), int64
        Position of the level of each list's value.
    list_weights : Tensor of shape (n_lists,), float32
        Weight of each list's listwide loss.
    n_batches : int
        By which the losses of all lists, added up, are to be divided for their mean.
    """

    gains: Tensor
    weights: Tensor
    counted: Tensor
    grades: Tensor
    list_weights: Tensor
    n_batches: int

    def take(self, batch: Batch) -> dict[str, Tensor]:
        """Gather the targets of one padded batch."""
        device = self.gains.device
        rows = torch.from_numpy(batch.rows).to(device)
        chosen = torch.from_numpy(batch.lists).to(device)
        mask = torch.from_numpy(batch.mask).to(device)
        return {
            "gains": self.gains[rows],
            "weights": self.weights[rows],
            "counted": mask & self.counted[rows],
            "grades": self.grades[chosen],
            "list_weights": self.list_weights[chosen],
        }


def make_targets(
    gains: np.ndarray,
    grades: np.ndarray,
    sample_weight: np.ndarray | None,
    lists: Lists,
    chosen: np.ndarray,
    batch_items: int,
    device: torch.device,
    peers: Peers = ALONE,
) -> Targets:
    """Prepare what the chosen lists teach.

    A list teaches order if the labels of its counted items differ. Its listwide weight
    is the mean of its non-zero row weights.

    Parameters
    ----------
    gains : ndarray of shape (n_rows,)
        Non-negative gain of each row's label.
    grades : ndarray of shape (n_lists,), int64
        Position of the level of each list's value.
    sample_weight : ndarray of shape (n_rows,), or None
        Non-negative weight of each row.
    lists, chosen
        All lists, and which of them are trained on.
    batch_items : int
        Most padded items in a batch, from which the number of batches follows.
    device : torch.device
        Where the tensors go.
    peers : Peers, default=ALONE
        Processes whose lists make up the batches with these.
    """
    w = np.ones(len(gains)) if sample_weight is None else sample_weight
    counted = w > 0
    n_counted = lists.reduce(np.add, counted.astype(np.int64))
    list_weight = lists.reduce(np.add, w) / np.maximum(n_counted, 1)
    teaches = lists.differ(gains, counted)
    n_batches = count_steps(lists, chosen, batch_items, peers)

    def share(of: np.ndarray) -> np.ndarray:
        total = peers.total(of[chosen].sum())
        return of * (n_batches / total if total > 0 else 0.0)

    order_weight = share(np.where(teaches, list_weight, 0.0))
    relative = order_weight / np.where(list_weight > 0, list_weight, 1.0)
    return Targets(
        gains=_float(np.where(teaches[lists.codes], gains, 0.0), device),
        weights=_float(w * relative[lists.codes], device),
        counted=torch.from_numpy(counted).to(device),
        grades=torch.from_numpy(grades).to(device),
        list_weights=_float(share(list_weight), device),
        n_batches=n_batches,
    )


def _float(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)


@dataclass
class ListDataset(torch.utils.data.Dataset):
    """All that training reads: features, lists, targets. One item is one list.

    Attributes
    ----------
    features, lists, targets
        Rows as tensors, where each list lies, what it teaches.
    chosen : ndarray of int
        Positions of the lists in this dataset.
    seed : int
        With `epoch`, what the batches of an epoch follow from.
    epoch : int
        Set by the training loop, so that a resumed fit draws the same batches.
    position : Tensor of shape (n_rows,), int64, or None
        Code of each row's shown position.
    peers : Peers
        Processes that train on other lists meanwhile.
    """

    features: Features
    lists: Lists
    targets: Targets
    chosen: np.ndarray
    seed: int = 0
    epoch: int = 0
    position: Tensor | None = None
    peers: Peers = ALONE

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, batch: Batch) -> dict[str, Tensor]:
        """Gather what the network is given of a batch in training."""
        x = self.features.take(batch)
        if self.position is not None:
            rows = torch.from_numpy(batch.rows).to(self.position.device)
            x["position"] = self.position[rows]
        return x


class BatchIterator:
    """Iterates over a `ListDataset` in random padded batches, as skorch expects.

    Where several processes train together (torch.distributed), they make the same
    number of steps. If all have the same lists, all draw the same batches, and each
    takes its share of the lists. If each has lists of its own, a batch is what all of
    them draw. A process without a list in a batch takes any, without weight.
    """

    def __init__(self, dataset: ListDataset, batch_size: int):
        self.dataset = dataset
        self.batch_items = batch_size

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        data, peers = self.dataset, self.dataset.peers
        # Those that share what is drawn here.
        sharing = everyone() if peers.n == 1 else ALONE
        rng = np.random.default_rng(peers.seed(data.seed, data.epoch))
        for drawn in draw_batches(
            data.lists, data.chosen, self.batch_items, rng, peers
        ):
            mine = drawn[sharing.rank :: sharing.n]
            stand_in = drawn[:1] if len(drawn) else data.chosen[:1]
            batch = make_batch(data.lists, mine if len(mine) else stand_in)
            target = data.targets.take(batch)
            if not len(mine):
                target["weights"] = 0 * target["weights"]
                target["list_weights"] = 0 * target["list_weights"]
            yield data.take(batch), target
