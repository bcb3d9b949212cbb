"""What happens around the steps of skorch's loop: seeds, rates, held-out lists.

All of it is a function of the seed and of the number of epochs done, so that a fit that
was interrupted can go on where it stopped and come out the same.
"""

import math
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
import torch.distributed as dist
from scipy.special import stdtrit
from skorch import callbacks
from skorch.history import History
from torch import Tensor, nn

from ._inference import AFTER_DIVERGENCE
from ._processes import agreed, process_rank, summed

WARM_UP = 0.1  # share of all steps

# Between the seeds of two processes; a prime, and more than there are epochs.
APART = 1_000_003


class SeedEpoch(callbacks.Callback):
    """Seeds batches and random numbers of an epoch by its number."""

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        # By its number alone, so that an epoch is the same after a restart.
        dataset_train.epoch = len(net.history)
        seed = dataset_train.seed + len(net.history)
        # Peers must not drop out the same. torch takes 32 bits of a seed.
        seed += dataset_train.peers.rank * APART
        net.generator.manual_seed(seed % 2**32)


class MeanLoss(callbacks.Callback):
    """Records the mean loss of all lists, of all processes that train together.

    skorch weighs the batches by their lists, which the loss of a batch does already.
    """

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        losses = net.history[-1, "batches", :, "train_loss"]
        loss = sum(losses) / dataset_train.targets.n_batches
        net.history.record("train_loss", summed(loss, torch.device(net.device)))


class StopDiverged(callbacks.Callback):
    """Raises once the loss of an epoch is not finite."""

    def on_epoch_end(self, net, **kwargs):
        loss = net.history[-1, "train_loss"]
        if not math.isfinite(loss):
            raise ValueError(
                f"Training diverged: the loss of epoch {len(net.history)} is {loss}. "
                f"{AFTER_DIVERGENCE}"
            )


class SumGradients(callbacks.Callback):
    """Adds up the gradients of all processes that train together.

    Each has the sum over its own lists, so the total is what one process would have
    had, however many there are.
    """

    def on_grad_computed(self, net, **kwargs):
        if process_rank()[1] > 1:
            dist.all_reduce(net.optimizer_.gradient)


class ClipGradients(callbacks.Callback):
    """Bounds the norm of the gradients, apart for the aggregates of lists.

    Their head shares nothing with the rest: neither should hold the other back.
    """

    def __init__(self, limit: float):
        self.limit = limit

    def on_train_begin(self, net, **kwargs):
        head = net.module_.pooled_head
        apart = 0 if head is None else sum(p.numel() for p in head.parameters())
        # It is the last part of the network, hence of the gradient.
        self.sizes_ = (len(net.optimizer_.gradient) - apart, apart)

    def on_grad_computed(self, net, **kwargs):
        for part in net.optimizer_.gradient.split(self.sizes_):
            part.mul_((self.limit / (part.norm() + 1e-6)).clamp(max=1.0))


class Schedule(callbacks.Callback):
    """Linear warm-up, then a cosine down to zero, step by step.

    Parameters
    ----------
    learning_rate : float
        The peak.
    n_epochs, n_batches : int
        Planned epochs, and about how many batches each has.
    """

    def __init__(self, learning_rate: float, n_epochs: int, n_batches: int):
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.n_batches = n_batches

    def on_batch_begin(self, net, training=True, **kwargs):
        if not training:
            return
        epoch = len(net.history)
        # Batches are drawn for each epoch, so their number varies a little.
        in_epoch = min(len(net.history[-1, "batches"]) / self.n_batches, 1.0)
        done = min((epoch - 1 + in_epoch) / self.n_epochs, 1.0)
        step = 1 / (self.n_epochs * self.n_batches)
        rate = min(1.0, (done + step) / WARM_UP) * (1 + math.cos(math.pi * done)) / 2
        for group in net.optimizer_.param_groups:
            group["lr"] = self.learning_rate * rate


class HoldOut(callbacks.Callback):
    """Measures each epoch on held-out lists, and decides which weights to keep.

    At the end of a schedule the last weights are better than most, and the epoch that
    looks best on a few held-out lists is often so by luck. So the best epoch is kept
    only where a paired t-test over the lists, at level `LEVEL` shared among the
    epochs it was chosen from (Bonferroni), says that it beats the last one; and always
    where training ended before its time.

    What it knows is in the history and in `best_weights`, so it survives a restart.

    Parameters
    ----------
    measure : callable
        ``module -> ndarray``: NDCG of each held-out list, or their loss as one number.
    monitor : {"valid_ndcg", "valid_loss"}
        What `measure` gives; of NDCG more is better, of loss less.
    patience : int or None
        Stop after this many epochs without a better one; None never stops.

    Attributes
    ----------
    kept : int or None
        Position of the epoch whose weights were kept, once training has ended.
    best_weights : dict of Tensor
        Weights of the best epoch so far, by name; empty before the first.
    """

    LEVEL = 0.05

    def __init__(
        self,
        measure: Callable[[nn.Module], np.ndarray],
        monitor: str,
        patience: int | None,
    ):
        self.measure = measure
        self.monitor = monitor
        self.patience = patience
        self.kept: int | None = None
        self.best_weights: dict[str, Tensor] = {}

    def best_epoch(self, history: History) -> int:
        """Position of the best epoch so far, the first of equals."""
        values = np.array(history[:, self.monitor])
        return int(values.argmin() if self.monitor == "valid_loss" else values.argmax())

    def on_epoch_end(self, net, **kwargs):
        value = float(np.nanmean(self.measure(net.module_)))
        net.history.record(self.monitor, agreed(value, torch.device(net.device)))
        best = self.best_epoch(net.history)
        last = len(net.history) - 1
        if best == last:
            self.best_weights = deepcopy(net.module_.state_dict())
        elif self.patience is not None and last - best >= self.patience:
            net.plan.stopped = True

    def on_train_end(self, net, **kwargs):
        if not self.best_weights:
            return
        # Nothing to weigh where the last epoch is the best.
        best, self.kept = self.best_epoch(net.history), len(net.history) - 1
        if best == self.kept:
            return
        if not net.plan.came_to_its_end(net.history):
            net.module_.load_state_dict(self.best_weights)
            self.kept = best
            return
        # Only now are the values of single lists needed; the history holds their means.
        last_values = self.measure(net.module_)
        last_state = deepcopy(net.module_.state_dict())
        last, self.kept = self.kept, best  # of the weights in place, at any moment
        net.module_.load_state_dict(self.best_weights)
        if not self._beats(self.measure(net.module_), last_values, net):
            self.kept = last
            net.module_.load_state_dict(last_state)

    def _beats(self, values: np.ndarray, others: np.ndarray, net) -> bool:
        """Whether the values beat those of the last epoch beyond noise."""
        if self.monitor == "valid_loss":  # one number, which has no spread
            return True
        found = beats(values, others, self.LEVEL / len(net.history))
        return bool(agreed(found, torch.device(net.device)))


def beats(values: np.ndarray, others: np.ndarray, level: float) -> bool:
    """Whether lists have higher values than others, by a paired t-test of this level.

    NaN is left out, and a single list proves nothing.
    """
    gap = values - others
    gap = gap[~np.isnan(gap)]
    if len(gap) < 2:
        return False
    noise = stdtrit(len(gap) - 1, 1 - level) * gap.std(ddof=1) / math.sqrt(len(gap))
    return bool(gap.mean() > noise)


class Progress(callbacks.Callback):
    """One progress bar over the epochs, with the latest held-out measure."""

    def on_train_begin(self, net, **kwargs):
        from tqdm.auto import tqdm  # comes with skorch

        self.bar_ = tqdm(total=net.plan.n_epochs, unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        shown = ("train_loss", "valid_ndcg", "valid_loss")
        self.bar_.set_postfix({k: f"{last[k]:.4f}" for k in shown if k in last})
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        self.bar_.close()
        del self.bar_
