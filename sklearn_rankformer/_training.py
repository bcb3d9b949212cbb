"""The training loop: skorch runs it, this file gives it network, loss and plan.

A `Net` is made for each fit and lasts as long as it does. A `TrainingConfig` says how
to train, a `Plan` how far to go; `_callbacks` holds what happens around the steps.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.exceptions import SkorchException
from skorch.history import History
from torch import Tensor, nn

from ._batching import BatchIterator, ListDataset, ordered_batches
from ._callbacks import (
    ClipGradients,
    HoldOut,
    MeanLoss,
    SeedEpoch,
    StopDiverged,
    SumGradients,
)
from ._inference import predict_items, run_network
from ._layers import drawing_from
from ._losses import ItemLoss, ordinal_loss
from ._processes import process_rank
from ._rows import Rows

CLIP_NORM = 1.0  # per member


class FlatAdamW(torch.optim.AdamW):
    """AdamW on all weights as one vector: a few passes a step, not a few a weight.

    The weights of the network become views of the vector, and their gradients views
    of its gradient.

    Attributes
    ----------
    gradient : Tensor of shape (n_weights,)
        Gradients of all weights, in the order of ``module.parameters()``.
    """

    def __init__(self, params, **options):
        weights = [weight for group in params for weight in group["params"]]
        sizes = [weight.numel() for weight in weights]
        flat = nn.Parameter(torch.cat([w.detach().flatten() for w in weights]))
        flat.grad = self.gradient = torch.zeros_like(flat)
        values, gradients = flat.detach().split(sizes), self.gradient.split(sizes)
        for weight, value, gradient in zip(weights, values, gradients, strict=True):
            weight.data = value.view_as(weight)
            weight.grad = gradient.view_as(weight)
        super().__init__([flat], **options)

    def zero_grad(self, set_to_none=True):
        """Set the gradients to zero; None would cut the views off."""
        self.gradient.zero_()


class RankingLoss(nn.Module):
    """Item loss plus weighted listwide losses, averaged over the members.

    Parameters
    ----------
    item_loss : callable
        ``(scores, gains, mask, weights) -> loss per list``, see `_losses`.
    listwide_weight : float
        Factor of the listwide loss of [CLS] and items, which share their weights with
        the order. The aggregates have weights of their own, and factor 1.
    """

    def __init__(self, item_loss: ItemLoss, listwide_weight: float):
        super().__init__()
        self.item_loss = item_loss
        self.factors = (listwide_weight, 1.0)

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
            each_member(target["counted"]),
            each_member(target["weights"]),
        ).sum()
        # Every list counts here, those whose items teach no order too.
        if logits is not None:
            grades = each_member(target["grades"])
            weights = each_member(target["list_weights"])
            for factor, view in zip(self.factors, logits.unbind(-2), strict=True):
                value_loss = ordinal_loss(view.flatten(0, 1), grades)
                loss = loss + factor * (weights * value_loss).sum()
        return loss / n_members


@torch.inference_mode()
def measure_loss(
    criterion: nn.Module, dataset: ListDataset, precision: str, module: nn.Module
) -> np.ndarray:
    """Mean loss over the lists of a dataset and its peers: one number, shape (1,)."""
    module.eval()
    total = 0.0
    items = predict_items(dataset.features.device)
    for batch in ordered_batches(dataset.lists, dataset.chosen, items):
        taken = dataset.features.take(batch)
        output = run_network(module, taken["x"], taken["mask"], precision)
        total += float(criterion(output, dataset.targets.take(batch)))
    return np.array([dataset.peers.total(total) / dataset.targets.n_batches])


@dataclass(frozen=True)
class TrainingConfig:
    """How to train, apart from the network itself.

    Attributes
    ----------
    loss : ItemLoss
        Loss on the order of items.
    gain : {"exp", "linear"} or callable
        Gain of held-out labels.
    listwide_weight, learning_rate, weight_decay, max_epochs, batch_items
        As in `RankFormerRanker`.
    more_epochs : tuple of int
        Numbers of epochs to try in place of `max_epochs`, rising; see `_fit`.
    validation_fraction, n_iter_no_change, calibration_folds
        As in `RankFormerRanker`.
    callbacks : sequence of Callback
        The user's.
    show_progress : bool
        Whether to show a progress bar.
    device, precision
        Where and how the network runs.
    seed : int
        Everything random follows from it.
    parameters : dict
        The ranker's own, by which a checkpoint knows its fit.
    """

    loss: ItemLoss
    gain: str | Callable
    listwide_weight: float
    learning_rate: float
    weight_decay: float
    max_epochs: int
    more_epochs: tuple[int, ...]
    batch_items: int
    validation_fraction: float | None
    n_iter_no_change: int | None
    calibration_folds: int | None
    callbacks: Sequence[Callback]
    show_progress: bool
    device: torch.device
    precision: str
    seed: int
    parameters: dict[str, object]


@dataclass(frozen=True)
class Origin:
    """What a fit was given; its result follows from this and the starting weights.

    Attributes
    ----------
    parameters : dict
        Parameters of the ranker.
    rows, held : Rows
        Training rows, and those given to measure on, or None.
    """

    parameters: dict[str, object]
    rows: Rows
    held: Rows | None


@dataclass
class Plan:
    """How far a training is to go, and what is known of it on the way.

    Attributes
    ----------
    n_epochs : int
        Epochs of the net's history when the training is over.
    n_lists : int
        Lists trained on in each, by all processes.
    origin : Origin or None
        None of a training that cannot be resumed.
    hold_out : HoldOut or None
        The callback that measures held-out lists.
    user_callbacks : sequence of Callback
        Those that the user gave; only these may stop a training by KeyboardInterrupt.
    stopped : bool
        Whether held-out lists ended it early.
    interrupted : bool
        Whether the user's callbacks or the user ended it early.
    interrupt : KeyboardInterrupt or None
        What the user's key press raised, to be raised again once all is stored.
    """

    n_epochs: int
    n_lists: int
    origin: Origin | None = None
    hold_out: HoldOut | None = None
    user_callbacks: Sequence[Callback] = ()
    stopped: bool = False
    interrupted: bool = False
    interrupt: KeyboardInterrupt | None = field(default=None, repr=False)

    def came_to_its_end(self, history: History) -> bool:
        """Whether all epochs were run, none cut short."""
        ended_early = self.stopped or self.interrupted
        return len(history) >= self.n_epochs and not ended_early

    def end_by(self, interrupt: KeyboardInterrupt) -> None:
        """Note the end; the user's key press is raised again once all is stored."""
        self.interrupted = True
        if not _raised_by(interrupt, self.user_callbacks):
            self.interrupt = interrupt

    def goes_on(self, history: History) -> bool:
        """Whether there is another epoch to run."""
        return len(history) < self.n_epochs and not self.stopped


class Net(NeuralNet):
    """skorch's loop over padded batches of lists.

    Attributes
    ----------
    generator : torch.Generator
        What its layers draw from while it trains.
    plan : Plan
        Set by `train`.
    """

    plan: Plan

    def __init__(self, *args, precision="float32", **kwargs):
        self.precision = precision
        super().__init__(*args, **kwargs)
        self.generator = torch.Generator(self.device)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Loss of a batch, and the prior of the aggregates, spread over all lists."""
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        # The loss is a mean over lists, and a prior counts once for all of them,
        # however many processes share them.
        head = self.module_.pooled_head
        if head is None:
            return loss
        return loss + head.penalty() / (self.plan.n_lists * process_rank()[1])

    def infer(self, x, **fit_params):
        """Run the network on one batch."""
        return run_network(self.module_, precision=self.precision, **x)

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Run epochs until the plan is fulfilled, wherever the history stands now."""
        try:
            with drawing_from(self.generator):
                # One by one: a checkpoint may have put epochs into the history that
                # skorch has not counted, and the hold-out may end the training.
                while self.plan.goes_on(self.history):
                    super().fit_loop(X, y, epochs=1, **fit_params)
        except KeyboardInterrupt as interrupt:
            # skorch's own way to stop a fit, so it must not pass here.
            self.plan.end_by(interrupt)
        return self


def _raised_by(error: BaseException, callbacks: Sequence[Callback]) -> bool:
    """Whether it came out of one of the callbacks, as skorch's way to stop a fit."""
    # The innermost frame is where it was raised.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    names = () if trace is None else trace.tb_frame.f_code.co_varnames
    # A method's first argument, whatever it is called.
    owner = trace.tb_frame.f_locals.get(names[0]) if trace and names else None
    return any(owner is callback for callback in callbacks)


def make_net(module: nn.Module, config: TrainingConfig) -> Net:
    """Wrap a network into skorch's loop, optimiser and loss included."""
    n_members = next(module.parameters()).shape[0]
    net = Net(
        module,
        criterion=RankingLoss(config.loss, config.listwide_weight),
        optimizer=FlatAdamW,
        optimizer__weight_decay=config.weight_decay,
        optimizer__fused=config.device.type in ("cpu", "cuda"),
        lr=config.learning_rate,
        batch_size=config.batch_items,
        iterator_train=BatchIterator,
        train_split=None,
        callbacks=[
            SeedEpoch(),
            MeanLoss(),
            StopDiverged(),
            SumGradients(),
            ClipGradients(CLIP_NORM / math.sqrt(n_members)),
        ],
        callbacks__print_log=None,
        device=str(config.device),
        precision=config.precision,
        verbose=int(config.show_progress),  # by which callbacks print or do not
    )
    return net.initialize()


def train(
    net: Net, dataset: ListDataset, plan: Plan, callbacks: Iterable[Callback] = ()
) -> None:
    """Train until the plan is fulfilled, or stopped; what was learned is kept."""
    net.plan = plan
    extra = [*callbacks, *plan.user_callbacks]
    # skorch would initialise them with the net, which is older than they are.
    for callback in extra:
        callback.initialize()
    net.callbacks_ = net.callbacks_ + [(type(one).__name__, one) for one in extra]
    try:
        net.partial_fit(dataset, None)
    except KeyboardInterrupt as interrupt:
        if not net.history:
            raise  # nothing was learned yet
        plan.end_by(interrupt)  # while the last weights were measured
    except (KeyError, SkorchException) as error:
        if "not found in history" in str(error):
            error.add_note(
                "A callback monitors what was not measured. An epoch has train_loss "
                "and, if lists are held out, valid_ndcg, of which more is better: "
                "EarlyStopping(monitor='valid_ndcg', lower_is_better=False). If no "
                "label of these lists is above 0, it has valid_loss instead."
            )
        raise
    if plan.interrupt is not None and process_rank()[1] > 1:
        # Others may still train, and wait for what this process does no more.
        raise plan.interrupt
    net.module_.eval()


# Weights, optimiser and history as plain values ---------------------------------------


def net_to_arrays(net: Net) -> dict[str, np.ndarray]:
    """Weights and optimiser state, under names that `net_from_arrays` knows."""
    return {
        **weights_to_arrays(net.module_),
        **optimizer_to_arrays(net.optimizer_.state_dict()["state"]),
    }


def net_from_arrays(net: Net, arrays: dict[str, np.ndarray]) -> None:
    """Fill a net of the same shape with what `net_to_arrays` gave."""
    weights_from_arrays(net.module_, arrays)
    set_optimizer_state(net, optimizer_from_arrays(net.module_, arrays))


def weights_to_arrays(module: nn.Module) -> dict[str, np.ndarray]:
    """Weights of a network as arrays named ``module.<name>``."""
    state = module.state_dict()
    return prefixed("module.", {k: t.numpy(force=True) for k, t in state.items()})


def weights_from_arrays(module: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Fill a network of the same shape with what `weights_to_arrays` gave."""
    weights = without("module.", arrays)
    module.load_state_dict(
        {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    )


def prefixed(prefix: str, arrays: dict) -> dict:
    """Put a prefix before each name."""
    return {prefix + name: array for name, array in arrays.items()}


def without(prefix: str, arrays: dict) -> dict:
    """Return those whose names begin with the prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


OptimizerState = dict[int, dict[str, Tensor]]


def optimizer_to_arrays(state: OptimizerState) -> dict[str, np.ndarray]:
    """Slots of the optimiser as arrays named ``optimizer.<slot>``."""
    return {
        f"optimizer.{slot}": tensor.numpy(force=True)
        for slots in state.values()
        for slot, tensor in slots.items()
    }


def optimizer_from_arrays(
    module: nn.Module, arrays: dict[str, np.ndarray]
) -> OptimizerState:
    """Return the state that gave these arrays by `optimizer_to_arrays`.

    Raises
    ------
    ValueError
        If a slot is missing, unknown, or of another shape than the weights: the
        optimiser checks nothing, and would write beyond the end of an array.
    """
    found = without("optimizer.", arrays)
    if not found:
        return {}
    n_weights = sum(parameter.numel() for parameter in module.parameters())
    shapes = {"exp_avg": (n_weights,), "exp_avg_sq": (n_weights,), "step": ()}
    slots = {}
    for slot, shape in shapes.items():
        array = found.pop(slot, None)
        if array is None or array.shape != shape:
            raise ValueError(f"optimizer.{slot} does not fit the network")
        slots[slot] = torch.from_numpy(np.array(array))
    if found:
        raise ValueError(f"optimizer.{min(found)} is nothing that the optimiser keeps")
    return {0: slots}


def set_optimizer_state(net: Net, state: OptimizerState) -> None:
    """Let the optimiser of a net go on from a state."""
    net.optimizer_.load_state_dict({**net.optimizer_.state_dict(), "state": state})


def make_history(epochs: list[dict]) -> History:
    """skorch's history out of one plain dict an epoch."""
    history = History()
    for epoch in epochs:
        history.new_epoch()
        for name, value in epoch.items():
            history.record(name, value)
    return history
