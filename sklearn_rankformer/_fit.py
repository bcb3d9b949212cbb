"""From checked rows and plain configs to a trained model; no estimator is known here.

`start` makes a model, `train_model` trains it, measuring held-out lists, and fits the
chances to them. What remains is a `Model`, see `_model`.
"""

import math
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from ._auto import MOST_STEPS
from ._batching import (
    Features,
    ListDataset,
    count_steps,
    make_targets,
    ordered_batches,
)
from ._callbacks import HoldOut, Progress, Schedule, beats
from ._categories import Categories
from ._chances import Grades, guess
from ._columns import Columns
from ._config import NetworkConfig
from ._device import ordinary_torch
from ._inference import Predictions, predict_items, predict_lists
from ._lists import split_lists
from ._model import Model
from ._network import MLP, PooledHead, RankFormer, build
from ._processes import Peers, agreed, process_rank
from ._rows import Levels, Rows, find_levels
from ._training import (
    Net,
    Origin,
    Plan,
    TrainingConfig,
    make_history,
    make_net,
    measure_loss,
    set_optimizer_state,
    train,
)
from ._warnings import warn_user
from .metrics import ndcg_score

# Fewer lists than this are all trained on: a hold-out would be noise.
MIN_LISTS_TO_HOLD_OUT = 10

# Aggregates of lists are standardised by those of at most this many.
LISTS_TO_SCALE_BY = 2000

# Of the test by which more epochs order left-out lists better. Where labels are noisy,
# as most are, a fit that goes on by chance is a worse one.
LEVEL_TO_GO_ON = 0.01

KEPT_IN_HISTORY = ("epoch", "train_loss", "valid_ndcg", "valid_loss", "dur")


@dataclass(frozen=True)
class Result:
    """What a training comes to.

    Attributes
    ----------
    model : Model
        The model, trained.
    history : list of dict
        One entry a whole epoch, those before this training included where it went on.
    n_planned, n_begun : int
        Epochs planned, and begun: one that was interrupted is not in the history.
    kept_epoch : int or None
        Epoch whose weights were kept, from 1; None where nothing was held out.
    kept_score : float or None
        What that epoch measured on the held-out lists.
    interrupted : bool
        Whether a callback or the user ended it.
    interrupt : KeyboardInterrupt or None
        The user's key press, to be raised once the result is stored.
    """

    model: Model
    history: list[dict]
    n_planned: int
    n_begun: int
    kept_epoch: int | None
    kept_score: float | None
    interrupted: bool
    interrupt: KeyboardInterrupt | None


@dataclass(frozen=True)
class _Part:
    """Some lists of the rows, and the rows as the network's columns.

    Attributes
    ----------
    rows : Rows
        All rows.
    features : Features
        The same, transformed; shared by parts of the same rows.
    chosen : ndarray of int
        Positions of the lists of this part.
    """

    rows: Rows
    features: Features
    chosen: np.ndarray


def start(
    rows: Rows,
    columns: Columns,
    levels: Levels,
    positions: Categories | None,
    network: NetworkConfig,
    config: TrainingConfig,
) -> Model:
    """Make a model that is yet to be trained, its weights drawn from the seed."""
    with ordinary_torch():
        module = _draw(network, config.seed)
        if module.pooled_head is not None:
            head = module.pooled_head
            head.set_scale(_pooled(rows, columns, head, config.seed))
    item_levels = find_levels(rows.y[rows.counted], rows.peers, config.seed)
    return Model(
        columns=columns,
        levels=levels,
        item_levels=item_levels,
        positions=positions,
        config=network,
        calibration=guess(network.n_thresholds or 0, len(item_levels.values) - 1),
        module=module,
        optimizer={},
        device=config.device,
        precision=config.precision,
    )


def _draw(network: NetworkConfig, seed: int) -> RankFormer | MLP:
    """A network whose weights are drawn from a seed."""
    # On the CPU whatever the device, so that a seed starts the same network everywhere.
    return build(network, torch.Generator("cpu").manual_seed(seed))


def _pooled(rows: Rows, columns: Columns, head: PooledHead, seed: int) -> torch.Tensor:
    """Aggregates of some of the lists, by which all are standardised."""
    peers, n_lists = rows.peers, rows.lists.n_lists
    everything = np.random.default_rng(peers.seed(seed)).permutation(n_lists)
    # Sorted, so that a memory-mapped X is read front to back.
    some = np.sort(everything[: peers.quota(n_lists, LISTS_TO_SCALE_BY)])
    at = rows.lists.rows(some)
    cpu = torch.device("cpu")
    features = Features(rows.X[at], columns.transform, columns.n_columns, cpu)
    lists = split_lists(rows.lists.codes[at])
    batches = ordered_batches(lists, np.arange(len(some)), predict_items(cpu))
    taken = [features.take(batch) for batch in batches]
    pooled = [head.pool(t["x"], t["mask"]) for t in taken]
    return torch.cat([one for part in peers.gather(pooled) for one in part])


def train_model(
    model: Model, rows: Rows, held: Rows | None, config: TrainingConfig
) -> Result:
    """Train to the planned end, on whole lists, measuring held-out ones.

    Parameters
    ----------
    model : Model
        Where to start from; it is not changed.
    rows : Rows
        Lists to learn from.
    held : Rows or None
        Lists to measure on; None takes a part of `rows`.
    config : TrainingConfig
        How to train.
    """
    n_folds = config.calibration_folds
    if n_folds is not None:
        _refuse_too_many_folds(rows, n_folds)  # before hours of training
    with ordinary_torch():
        model = _for_training(model, config)
        part, watched = _split(model, rows, held, config)
        config = _with_epochs(model, part, config)
        if watched is None and config.n_iter_no_change is not None:
            warn_user(
                f"n_iter_no_change={config.n_iter_no_change} stops nothing, as no list "
                f"is held out to measure on. Give X_val, or set validation_fraction "
                f"and train on {MIN_LISTS_TO_HOLD_OUT} lists or more."
            )
        origin = Origin(config.parameters, rows, held)
        result = _train(model, part, watched, origin, config)
        # Of the weights that were kept, hence not before training has ended.
        if not model.has_list_value:
            return result
        try:
            if n_folds is not None and not result.interrupted:
                fitted = _cross_calibrated(result.model, part, n_folds, config)
            elif watched is not None:
                found = _predictions(result.model, watched)
                fitted = _calibrated(result.model, watched, found)
            else:
                return result
        except KeyboardInterrupt as pressed:
            if process_rank()[1] > 1:  # as in `train`
                raise
            return replace(result, interrupted=True, interrupt=pressed)
    return replace(result, model=fitted)


def _train(
    model: Model,
    part: _Part,
    watched: _Part | None,
    origin: Origin | None,
    config: TrainingConfig,
) -> Result:
    """Train to the planned end on the lists of a part, measuring those of another."""
    rows, net = part.rows, make_net(model.module, config)
    hold_out = None if watched is None else _hold_out(net, model, watched, config)
    n_batches = count_steps(rows.lists, part.chosen, config.batch_items, rows.peers)
    plan = Plan(
        config.max_epochs,
        rows.peers.total(len(part.chosen)),
        origin=origin,
        hold_out=hold_out,
        user_callbacks=config.callbacks,
    )
    # In this order: the bar shows what the hold-out has just measured, and the user's,
    # which `train` adds, see both.
    callbacks: list[Callback] = [
        Schedule(config.learning_rate, config.max_epochs, n_batches)
    ]
    callbacks += [] if hold_out is None else [hold_out]
    shows = config.show_progress and process_rank()[0] == 0
    callbacks += [Progress()] if shows else []
    train(net, _dataset(model, part, config), plan, callbacks)
    return _result(net, model)


def train_one_epoch(
    model: Model, rows: Rows, history: list[dict], config: TrainingConfig
) -> Result:
    """Train for one epoch more, at a constant rate, with nothing held out."""
    with ordinary_torch():
        model = _for_training(model, config)
        net = make_net(model.module, config)
        set_optimizer_state(net, deepcopy(model.optimizer))
        # Its length seeds the epoch: each call draws other batches and other dropout.
        net.history = make_history(history)
        part = _Part(rows, model.features(rows.X), np.arange(rows.lists.n_lists))
        plan = Plan(
            len(history) + 1, rows.lists.n_lists, user_callbacks=config.callbacks
        )
        train(net, _dataset(model, part, config), plan)
    return _result(net, model)


def _for_training(model: Model, config: TrainingConfig) -> Model:
    """A model of its own: the one that is served meanwhile keeps its weights."""
    return replace(
        model,
        module=deepcopy(model.module),
        device=config.device,
        precision=config.precision,
    )


def _result(net: Net, model: Model) -> Result:
    history = [
        {name: epoch[name] for name in KEPT_IN_HISTORY if name in epoch}
        for epoch in net.history
        if "train_loss" in epoch
    ]
    hold_out, kept_epoch, kept_score = net.plan.hold_out, None, None
    if hold_out is not None and hold_out.kept is not None:
        kept_epoch = hold_out.kept + 1
        kept_score = float(net.history[hold_out.kept, hold_out.monitor])
    optimizer = net.optimizer_.state_dict()["state"]
    # A copy: weights that are views of one vector would each be pickled with all of it.
    module = deepcopy(net.module_)
    return Result(
        model=replace(model, module=module, optimizer=optimizer),
        history=history,
        n_planned=net.plan.n_epochs,
        n_begun=len(net.history),
        kept_epoch=kept_epoch,
        kept_score=kept_score,
        interrupted=net.plan.interrupted,
        interrupt=net.plan.interrupt,
    )


# Lists to learn from, lists to measure on ---------------------------------------------


def _split(
    model: Model, rows: Rows, held: Rows | None, config: TrainingConfig
) -> tuple[_Part, _Part | None]:
    """The part to learn from and the part to measure on, if any."""
    features = model.features(rows.X)
    peers, everything = rows.peers, np.arange(rows.lists.n_lists)
    if held is not None:
        all_held = np.arange(held.lists.n_lists)
        watched = _Part(held, model.features(held.X), all_held)
        return _Part(rows, features, everything), watched
    n_lists = peers.total(len(everything))
    if config.validation_fraction is None or n_lists < MIN_LISTS_TO_HOLD_OUT:
        return _Part(rows, features, everything), None
    # Whole lists, and the rows stay where they are: both parts share the features.
    n_held = math.ceil(config.validation_fraction * n_lists)
    if n_held == n_lists:
        raise ValueError(
            f"validation_fraction={config.validation_fraction} of {n_held} lists "
            f"leaves none to learn from. Set a smaller one."
        )
    # Each of several processes must have one to learn from.
    n_held = peers.quota(len(everything) - (peers.n > 1), n_held)
    if not peers.total(n_held):
        return _Part(rows, features, everything), None
    rng = np.random.default_rng(peers.seed(config.seed))
    drawn = rng.permutation(everything)
    chosen, watched_lists = np.sort(drawn[n_held:]), np.sort(drawn[:n_held])
    return _Part(rows, features, chosen), _Part(rows, features, watched_lists)


def _with_epochs(model: Model, part: _Part, config: TrainingConfig) -> TrainingConfig:
    """The config with as many epochs as pay on lists that were left out.

    Few lists make few steps. More of them find what labels that follow from the
    features have left to be found, and where labels are mostly noise they learn that.
    So networks are trained on each half of the lists and judged on the other, and
    training is made longer as long as that gains beyond noise.
    """
    rows, peers = part.rows, part.rows.peers
    n_batches = count_steps(rows.lists, part.chosen, config.batch_items, peers)
    tried = [n for n in config.more_epochs if n * n_batches < MOST_STEPS]
    config = replace(config, more_epochs=())
    few_lists = len(part.chosen) < MIN_LISTS_TO_HOLD_OUT
    if not tried or few_lists or peers.n > 1:
        return config

    def left_out_ndcg(config: TrainingConfig) -> np.ndarray:
        scores = _left_out_predictions(model, part, 2, config).scores
        return _ndcg_of(scores, part, config)

    values = left_out_ndcg(config)
    for n_epochs in tried:
        longer = replace(config, max_epochs=n_epochs)
        others, values = values, left_out_ndcg(longer)
        gained = beats(values, others, LEVEL_TO_GO_ON)
        if not agreed(gained, config.device):
            break
        config = longer
    return config


def _dataset(model: Model, part: _Part, config: TrainingConfig) -> ListDataset:
    rows = part.rows
    targets = make_targets(
        gains=rows.gains,
        grades=model.levels.grade(rows.list_values),
        sample_weight=rows.weight,
        lists=rows.lists,
        chosen=part.chosen,
        batch_items=config.batch_items,
        device=config.device,
        peers=rows.peers,
    )
    position = None
    if rows.position is not None:
        position = torch.from_numpy(rows.position).to(config.device)
    return ListDataset(
        features=part.features,
        lists=rows.lists,
        targets=targets,
        chosen=part.chosen,
        seed=config.seed,
        position=position,
        peers=rows.peers,
    )


def _hold_out(net: Net, model: Model, part: _Part, config: TrainingConfig) -> HoldOut:
    """Measure NDCG@10 on held-out lists, or the loss if none has any gain."""
    rows = part.rows
    at = rows.lists.rows(part.chosen)
    best = rows.gains[at[rows.counted[at]]].max(initial=0)
    if rows.peers.most(best) > 0:
        monitor, measure = "valid_ndcg", partial(_ndcg, part, config)
    else:
        monitor = "valid_loss"
        dataset = _dataset(model, part, config)
        measure = partial(measure_loss, net.criterion_, dataset, config.precision)
    return HoldOut(measure, monitor, config.n_iter_no_change)


# Chances ------------------------------------------------------------------------------


def _cross_calibrated(
    model: Model, part: _Part, n_folds: int, config: TrainingConfig
) -> Model:
    """The model, its chances fitted to what networks say of lists they never saw.

    Every list is left out by one of them, so that all count, however few there are.
    """
    whole = replace(part, chosen=np.arange(part.rows.lists.n_lists))
    found = _left_out_predictions(model, whole, n_folds, config)
    return _calibrated(model, whole, found)


def _refuse_too_many_folds(rows: Rows, n_folds: int) -> None:
    """Raise ValueError if there are fewer lists than folds."""
    with rows.peers.all_or_none():
        if n_folds > rows.lists.n_lists:
            raise ValueError(
                f"calibration_folds={n_folds} needs as many lists to leave out by "
                f"turns, got {rows.lists.n_lists}. Set a smaller one, or None."
            )


def _left_out_predictions(
    model: Model, part: _Part, n_folds: int, config: TrainingConfig
) -> Predictions:
    """What is said of each list by a network of the same kind that never saw it."""
    lists = part.rows.lists
    quiet = replace(config, callbacks=(), show_progress=False)
    n_lists = len(part.chosen)
    folds = np.random.default_rng(config.seed).permutation(n_lists) % n_folds
    scores = np.empty(lists.n_rows, np.float32)
    logits = None
    for fold in range(n_folds):
        learned = replace(part, chosen=part.chosen[folds != fold])
        left_out = replace(part, chosen=part.chosen[folds == fold])
        one = _train(_untrained(model, config), learned, None, None, quiet)
        if one.interrupt is not None:
            raise one.interrupt
        found = _predictions(one.model, left_out)
        at = lists.rows(left_out.chosen)
        scores[at] = found.scores[at]
        if found.logits is not None:
            logits = found.logits if logits is None else logits
            logits[left_out.chosen] = found.logits[left_out.chosen]
    return Predictions(scores, logits)


def _untrained(model: Model, config: TrainingConfig) -> Model:
    """The same model before it has learned anything of any list."""
    module, head = _draw(model.config, config.seed), model.module.pooled_head
    if module.pooled_head is not None and isinstance(head, PooledHead):
        module.pooled_head.take_scale(head)
    return replace(model, module=module, optimizer={})


def _predictions(model: Model, part: _Part) -> Predictions:
    return predict_lists(
        model.module, part.features, part.rows.lists, part.chosen, model.precision
    )


def _calibrated(model: Model, part: _Part, predictions: Predictions) -> Model:
    """The model, its chances fitted to predictions for the lists of the part."""
    rows, chosen = part.rows, part.chosen
    scores, logits = predictions.scores, predictions.logits
    # From here on only these lists, and those of all peers: scores of the others are
    # NaN. What has no listwide head gives no logits, nor does who holds out no list.
    at, join, counted = rows.lists.rows(chosen), rows.peers.join, rows.counted
    grades = Grades(
        of_lists=model.levels.grade(join(rows.list_values[chosen])),
        of_items=model.item_levels.grade(join(rows.y[at])),
        counted=join(counted[at]),
        list_shares=_shares_above(model.levels, rows.list_values, rows.peers),
        item_shares=_shares_above(model.item_levels, rows.y[counted], rows.peers),
    )
    own = None if logits is None else logits[chosen]
    found = [one for one in rows.peers.gather(own) if one is not None]
    lengths = join(rows.lists.lengths[chosen])
    return model.calibrated(
        Predictions(join(scores[at]), np.concatenate(found) if found else None),
        split_lists(np.repeat(np.arange(len(lengths)), lengths)),
        grades,
    )


def _shares_above(levels: Levels, values: np.ndarray, peers: Peers) -> np.ndarray:
    """Share of the values, of all peers, above each threshold: (n_thresholds,)."""
    counts = np.bincount(levels.grade(values), minlength=len(levels.values))
    counts = peers.total(counts)
    return 1 - counts.cumsum()[:-1] / counts.sum()


def _ndcg(part: _Part, config: TrainingConfig, module: nn.Module) -> np.ndarray:
    scores = predict_lists(
        module,
        part.features,
        part.rows.lists,
        part.chosen,
        config.precision,
        values=False,
    ).scores
    return _ndcg_of(scores, part, config)


def _ndcg_of(scores: np.ndarray, part: _Part, config: TrainingConfig) -> np.ndarray:
    """NDCG@10 of each list of the part, NaN where there is nothing to find."""
    rows, lists = part.rows, part.rows.lists
    at = lists.rows(part.chosen)
    at = at[rows.counted[at]]
    values = np.zeros(0)  # of a process that holds out no list
    if len(at):
        values = ndcg_score(
            rows.y[at],
            scores[at],
            lists.codes[at],
            k=10,
            gain=config.gain,
            reduction="none",
        ).value
    return rows.peers.join(values)
