"""The training loop: skorch runs it, this file says what happens within.

Everything that changes from step to step is a function of the seed and the number of
epochs done: batches, dropout and the learning rate. So a fit that was interrupted can
go on where it stopped and come out the same.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from copy import deepcopy

import numpy as np
import torch
import torch.distributed as dist
from scipy.special import stdtrit
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping
from skorch.history import History
from torch import Tensor, nn

from ._batching import (
    BatchIterator,
    Features,
    ListDataset,
    ordered_batches,
    process_rank,
)
from ._lists import Lists
from ._losses import ordinal_loss

# Prediction keeps no activations for a backward pass, so its batches may be larger.
PREDICT_ITEMS = 4096

WARM_UP = 0.1  # share of all steps
CLIP_NORM = 1.0  # per member

MEND_DIVERGED = (
    "Lower learning_rate, or look for extreme values in X if input_transform=None."
)


def run_network(
    module: nn.Module, x: Tensor, mask: Tensor, precision: str
) -> tuple[Tensor, Tensor | None]:
    """Run the network, in bfloat16 where asked to."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        scores, logits = module(x, mask)
    return scores.float(), None if logits is None else logits.float()


@torch.inference_mode()
def predict_lists(
    module: nn.Module,
    features: Features,
    lists: Lists,
    chosen: np.ndarray,
    precision: str,
    batch_items: int = PREDICT_ITEMS,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Score the items of the chosen lists, and their chances of high labels.

    Returns
    -------
    scores : ndarray of shape (n_rows,), float32
        Mean over the members; NaN at rows of lists that were not chosen.
    above : ndarray of shape (n_lists, n_thresholds), float32, or None
        Probability that the list's highest label lies above each threshold.
    """
    module.eval()
    scores = np.full(lists.n_rows, np.nan, dtype=np.float32)
    above = None
    for batch in ordered_batches(lists, chosen, batch_items):
        taken = features.take(batch)
        s, logits = run_network(module, taken["x"], taken["mask"], precision)
        scores[batch.rows[batch.mask]] = s.mean(0)[taken["mask"]].cpu().numpy()
        if logits is not None:
            if above is None:
                above = np.full((lists.n_lists, logits.shape[-1]), np.nan, np.float32)
            above[batch.lists] = logits.sigmoid().mean(0).cpu().numpy()
    finite = np.isfinite(scores[lists.rows(chosen)]).all()
    if not finite or (above is not None and not np.isfinite(above[chosen]).all()):
        raise ValueError(f"Training diverged: scores are not finite. {MEND_DIVERGED}")
    return scores, above


class RankingLoss(nn.Module):
    """Item loss plus weighted listwide loss, averaged over the members.

    Parameters
    ----------
    item_loss : callable
        ``(scores, gains, mask, weights) -> loss per list``, see `_losses`.
    listwide_weight : float
        Factor of the listwide loss.
    """

    def __init__(self, item_loss: Callable, listwide_weight: float):
        super().__init__()
        self.item_loss = item_loss
        self.listwide_weight = listwide_weight

    def forward(
        self, output: tuple[Tensor, Tensor | None], target: dict[str, Tensor]
    ) -> Tensor:
        scores, logits = output
        n_members = len(scores)

        def each_member(t: Tensor) -> Tensor:
            return t.expand(n_members, *t.shape).flatten(0, 1)

        loss = self.item_loss(
            scores.flatten(0, 1),
            each_member(target["gains"]),
            each_member(target["mask"]),
            each_member(target["weights"]),
        ).sum()
        if logits is not None:
            value_loss = ordinal_loss(
                logits.flatten(0, 1), each_member(target["levels"])
            )
            weights = each_member(target["list_weights"])
            loss = loss + self.listwide_weight * (weights * value_loss).sum()
        return loss / n_members


class Net(NeuralNet):
    """skorch's loop over padded batches of lists."""

    def __init__(self, *args, precision="float32", **kwargs):
        self.precision = precision
        super().__init__(*args, **kwargs)

    def infer(self, x, **fit_params):
        """Run the network on one batch."""
        return run_network(self.module_, x["x"], x["mask"], self.precision)


@torch.inference_mode()
def measure_loss(
    criterion: nn.Module, dataset: ListDataset, precision: str, module: nn.Module
) -> np.ndarray:
    """Mean loss over the lists of a dataset: one number, shape (1,)."""
    module.eval()
    total, n_batches = 0.0, 0
    for batch in ordered_batches(dataset.lists, dataset.chosen, PREDICT_ITEMS):
        taken = dataset.features.take(batch)
        output = run_network(module, taken["x"], taken["mask"], precision)
        total += float(criterion(output, dataset.targets.take(batch)))
        n_batches += 1
    return np.array([total / n_batches])


class Epoch(Callback):
    """Seeds each epoch, and stops a training that has diverged."""

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        dataset_train.epoch = len(net.history)
        torch.manual_seed(dataset_train.seed + len(net.history))

    def on_epoch_end(self, net, **kwargs):
        if not math.isfinite(net.history[-1, "train_loss"]):
            raise ValueError(
                f"Training diverged: the loss of epoch {len(net.history)} is "
                f"{net.history[-1, 'train_loss']}. {MEND_DIVERGED}"
            )


class SumGradients(Callback):
    """Adds up the gradients of all processes that train together.

    Each has the sum over its own lists, so the total is what one process would have
    had, however many there are.
    """

    def on_grad_computed(self, net, named_parameters=None, **kwargs):
        if process_rank()[1] > 1:
            grads = [p.grad for _, p in named_parameters if p.grad is not None]
            flat = torch.cat([grad.flatten() for grad in grads])
            dist.all_reduce(flat)
            for grad, total in zip(
                grads, flat.split([grad.numel() for grad in grads]), strict=True
            ):
                grad.copy_(total.view_as(grad))


def agreed(value: float, device: torch.device) -> float:
    """Return the first process's value in all processes that train together."""
    if process_rank()[1] == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return shared.item()


class Schedule(Callback):
    """Linear warm-up, then a cosine down to zero, step by step.

    Parameters
    ----------
    learning_rate : float
        The peak.
    n_epochs, n_batches : int
        Planned epochs, and about how many batches each has.
    """

    def __init__(self, learning_rate, n_epochs, n_batches):
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.n_batches = n_batches

    def on_batch_begin(self, net, training=True, **kwargs):
        if not training:
            return
        epoch = len(net.history)
        in_epoch = min(len(net.history[-1, "batches"]) / self.n_batches, 1.0)
        done = min((epoch - 1 + in_epoch) / self.n_epochs, 1.0)
        step = 1 / (self.n_epochs * self.n_batches)
        rate = min(1.0, (done + step) / WARM_UP) * (1 + math.cos(math.pi * done)) / 2
        for group in net.optimizer_.param_groups:
            group["lr"] = self.learning_rate * rate


class KeepBest(Callback):
    """Measures each epoch on held-out lists, and decides which weights to keep.

    At the end of a schedule the last weights are better than most, and the epoch that
    looks best on a few held-out lists is often so by luck. So the best epoch is taken
    back only where a paired t-test over the lists, at level `LEVEL` shared among the
    epochs it was chosen from (Bonferroni), says that it beats the last one; and always
    where training ended before its time.

    What it knows is in the history and in `best_state`, so it survives a restart.

    Parameters
    ----------
    measure : callable
        ``module -> ndarray``: NDCG of each held-out list, or their loss as one number.
    monitor : str
        ``"valid_ndcg"`` (higher is better) or ``"valid_loss"`` (lower is better).
    patience : int or None
        Stop after this many epochs without a better one; None never stops.
    """

    LEVEL = 0.05

    def __init__(self, measure, monitor, patience):
        self.measure = measure
        self.monitor = monitor
        self.patience = patience
        self.best_state = None
        self.stopped = False
        self.kept = None

    def best_epoch(self, history):
        """Position of the best epoch so far, the first of equals."""
        values = np.array(history[:, self.monitor])
        return int(values.argmin() if self.monitor == "valid_loss" else values.argmax())

    def on_epoch_end(self, net, **kwargs):
        value = float(np.nanmean(self.measure(net.module_)))
        net.history.record(self.monitor, agreed(value, torch.device(net.device)))
        best = self.best_epoch(net.history)
        last = len(net.history) - 1
        if best == last:
            self.best_state = deepcopy(net.module_.state_dict())
        elif self.patience is not None and last - best >= self.patience:
            self.stopped = True
            raise KeyboardInterrupt  # how a skorch callback ends training

    def on_train_end(self, net, **kwargs):
        if self.best_state is None:
            return
        best, self.kept = self.best_epoch(net.history), len(net.history) - 1
        if best == self.kept:
            return
        finished = len(net.history) >= net.max_epochs and not self.stopped
        if finished:
            last_values = self.measure(net.module_)
            last_state = deepcopy(net.module_.state_dict())
        net.module_.load_state_dict(self.best_state)
        if finished and not self._surely_better(
            net, self.measure(net.module_), last_values
        ):
            net.module_.load_state_dict(last_state)
        else:
            self.kept = best

    def _surely_better(self, net, values, than):
        if self.monitor == "valid_loss":  # one number, which has no spread
            return True
        gap = values - than
        gap = gap[~np.isnan(gap)]
        if len(gap) < 2:
            return False
        width = stdtrit(len(gap) - 1, 1 - self.LEVEL / len(net.history))
        noise = width * gap.std(ddof=1) / math.sqrt(len(gap))
        return agreed(gap.mean() - noise, torch.device(net.device)) > 0


class Progress(Callback):
    """One progress bar over the epochs, with the latest held-out measure."""

    def on_train_begin(self, net, **kwargs):
        from tqdm.auto import tqdm  # comes with skorch

        self.bar_ = tqdm(total=net.max_epochs, unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        shown = ("train_loss", "valid_ndcg", "valid_loss")
        self.bar_.set_postfix({k: f"{last[k]:.4f}" for k in shown if k in last})
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        self.bar_.close()
        del self.bar_


def make_net(
    module: nn.Module,
    *,
    item_loss: Callable,
    listwide_weight: float,
    learning_rate: float,
    weight_decay: float,
    batch_items: int,
    device: torch.device,
    precision: str,
) -> Net:
    """Wrap a network into skorch's loop, optimiser and loss included."""
    n_members = next(module.parameters()).shape[0]
    net = Net(
        module,
        criterion=RankingLoss(item_loss, listwide_weight),
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=weight_decay,
        optimizer__fused=device.type in ("cpu", "cuda"),
        lr=learning_rate,
        batch_size=batch_items,
        iterator_train=BatchIterator,
        train_split=None,
        callbacks=[
            Epoch(),
            SumGradients(),
            GradientNormClipping(CLIP_NORM / math.sqrt(n_members)),
        ],
        callbacks__print_log=None,
        device=str(device),
        precision=precision,
        verbose=0,
    )
    return net.initialize()


def net_to_arrays(net: Net) -> dict[str, np.ndarray]:
    """Weights and optimiser state, under names that `net_from_arrays` knows."""
    tensors = {f"module.{k}": v for k, v in net.module_.state_dict().items()}
    for i, slots in net.optimizer_.state_dict()["state"].items():
        tensors.update({f"optimizer.{i}.{k}": v for k, v in slots.items()})
    return {name: tensor.numpy(force=True) for name, tensor in tensors.items()}


def net_from_arrays(net: Net, arrays: dict[str, np.ndarray]) -> None:
    """Fill a net of the same shape with what `net_to_arrays` gave."""
    weights: dict[str, Tensor] = {}
    optimizer = net.optimizer_.state_dict()
    optimizer["state"] = {}
    for name, array in arrays.items():
        kind, _, rest = name.partition(".")
        if kind == "module":
            weights[rest] = torch.tensor(array)
        else:
            i, slot = rest.split(".")
            slots = optimizer["state"].setdefault(int(i), {})
            slots[slot] = torch.tensor(array)
    net.module_.load_state_dict(weights)
    net.optimizer_.load_state_dict(optimizer)


def make_history(epochs: list[dict]) -> History:
    """skorch's history out of one plain dict an epoch."""
    history = History()
    for epoch in epochs:
        history.new_epoch()
        for name, value in epoch.items():
            history.record(name, value)
    return history


def train(
    net: Net, dataset: ListDataset, n_epochs: int, callbacks: Iterable[Callback]
) -> None:
    """Run `n_epochs` of training with extra callbacks that last for this run only.

    Warns when the user stopped it by hand; what was learnt so far is kept.
    """
    lasting = net.callbacks_
    extra = [(type(callback).__name__, callback) for callback in callbacks]
    for _, callback in extra:
        callback.initialize()
    net.set_params(max_epochs=n_epochs)
    net.callbacks_ = lasting + extra
    before = len(net.history)
    try:
        net.partial_fit(dataset, None)
    finally:
        net.callbacks_ = lasting
    stopped = any(getattr(callback, "stopped", False) for _, callback in extra)
    if len(net.history) - before < n_epochs and not stopped:
        warnings.warn(
            f"Training was interrupted in epoch {len(net.history)}; the ranker keeps "
            f"the best weights so far.",
            UserWarning,
            stacklevel=4,
        )
