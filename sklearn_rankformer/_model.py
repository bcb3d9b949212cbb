"""A trained model: all that predicting needs, and what is stored of it.

It says what the network says of lists, and turns that into chances. As plain values it
is a config and arrays: `model_to_arrays`, `model_from_arrays`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ._batching import Features
from ._categories import Categories
from ._chances import (
    Calibration,
    Grades,
    calibrate_items,
    calibrate_lists,
    guess,
    item_chances,
    list_chances,
    list_logits,
    match_logits,
    to_proba,
    value_logits,
)
from ._columns import Columns
from ._config import NetworkConfig, RankFormerConfig
from ._device import ordinary_torch, use_threads_that_exist
from ._inference import Predictions, member_scores, predict_lists
from ._lists import Lists
from ._network import PositionBias, build
from ._positions import positions_from_arrays, positions_to_arrays
from ._rows import Levels
from ._training import (
    OptimizerState,
    optimizer_from_arrays,
    optimizer_to_arrays,
    prefixed,
    weights_from_arrays,
    weights_to_arrays,
    without,
)


@dataclass(frozen=True)
class Model:
    """All that predicting needs, and what a training can go on from.

    Attributes
    ----------
    columns : Columns
        From raw features to the network's.
    levels : Levels
        The values a list may have.
    item_levels : Levels
        The labels an item may have.
    positions : Categories or None
        The positions shown in training and their codes, as of a single column.
    config : RankFormerConfig or MLPConfig
        The shape of the network.
    calibration : Calibration
        From what the network says to chances.
    module : nn.Module
        The network, on its device.
    optimizer : dict
        State of the optimiser, empty where it was not kept.
    device, precision
        Where and how the network runs.
    """

    columns: Columns
    levels: Levels
    item_levels: Levels
    positions: Categories | None
    config: NetworkConfig
    calibration: Calibration
    module: nn.Module
    optimizer: OptimizerState
    device: torch.device
    precision: str

    @property
    def has_list_value(self) -> bool:
        """Whether the value of a list is known, be it the same for all."""
        return self.config.n_thresholds is not None

    def features(self, X: Any) -> Features:
        """Rows as `Categories.encode` gives them, as the network's columns."""
        return Features(X, self.columns.transform, self.columns.n_columns, self.device)

    def predict(self, X: Any, lists: Lists, values: bool) -> Predictions:
        """What the network says of all lists: scores, and the logits of `values`."""
        use_threads_that_exist()
        everything = np.arange(lists.n_lists)
        features = self.features(X)
        return predict_lists(
            self.module, features, lists, everything, self.precision, values
        )

    def position_bias(self) -> np.ndarray | None:
        """What each of the positions adds to a score, or None without any."""
        part = self.module.position_bias
        if not isinstance(part, PositionBias):
            return None
        return part.values()[1:].numpy(force=True)  # the first is for unknown ones

    def member_scores(self, X: Any, lists: Lists) -> np.ndarray:
        """Scores by each member of the network: (n_members, n_rows), float32."""
        use_threads_that_exist()
        return member_scores(self.module, self.features(X), lists, self.precision)

    def list_proba(self, predictions: Predictions, lists: Lists) -> np.ndarray:
        """Chance of each level of list value: (n_lists, n_levels), float64."""
        logits = value_logits(predictions.logits, lists.n_lists)
        return to_proba(list_chances(logits, self.calibration.lists))

    def item_proba(self, predictions: Predictions, lists: Lists) -> np.ndarray:
        """Chance of each level of an item's label: (n_rows, n_levels), float64."""
        weights = self.calibration.items
        logits = self._item_value_logits(predictions, lists)
        return to_proba(item_chances(predictions.scores, logits, lists, weights))

    def calibrated(
        self, predictions: Predictions, lists: Lists, grades: Grades
    ) -> "Model":
        """The same model, its chances fitted on these held-out lists."""
        logits = value_logits(predictions.logits, lists.n_lists)
        # Lists first: the chances of items follow from those of their lists.
        of_lists = calibrate_lists(logits, grades.of_lists, grades.list_shares)
        halfway = replace(self.calibration, lists=of_lists, n_lists=lists.n_lists)
        model = replace(self, calibration=halfway)
        of_items = calibrate_items(
            predictions.scores,
            model._item_value_logits(predictions, lists),
            lists,
            grades.of_items,
            grades.counted,
            grades.item_shares,
        )
        return replace(model, calibration=replace(halfway, items=of_items))

    def _item_value_logits(self, predictions: Predictions, lists: Lists) -> np.ndarray:
        """The list's logit for each threshold of the items; 0 where there is none."""
        views = value_logits(predictions.logits, lists.n_lists)
        joined = list_logits(views, self.calibration.lists)
        return match_logits(joined, self.item_levels, self.levels)


# Models as plain arrays ---------------------------------------------------------------


def model_to_arrays(model: Model, *, optimizer: bool) -> dict[str, np.ndarray]:
    """All of a model but its config, as arrays by name.

    Parameters
    ----------
    model : Model
    optimizer : bool
        Whether to keep the state of the optimiser, twice as large as the weights.
    """
    return {
        **weights_to_arrays(model.module),
        **(optimizer_to_arrays(model.optimizer) if optimizer else {}),
        **prefixed("columns.", model.columns.to_arrays()),
        **positions_to_arrays(model.positions),
        "levels": model.levels.values,
        "level_starts": model.levels.starts,
        "item_levels": model.item_levels.values,
        "item_level_starts": model.item_levels.starts,
        "calibration.lists": model.calibration.lists,
        "calibration.items": model.calibration.items,
        "calibration.n_lists": np.array(model.calibration.n_lists),
    }


def model_from_arrays(
    config: NetworkConfig,
    arrays: dict[str, np.ndarray],
    device: torch.device,
    precision: str,
) -> Model:
    """Return the model that gave these arrays by `model_to_arrays`, on a device.

    Raises
    ------
    ValueError
        If the arrays do not fit the config or one another. Shapes are compared before
        memory is taken for a network, whose sizes may be huge in a damaged file.
    """
    arrays = dict(arrays)  # whatever is left over in the end is refused
    levels = _levels_from(arrays, "level")
    item_levels = _levels_from(arrays, "item_level")
    n_item_thresholds = len(item_levels.values) - 1
    calibration = _calibration_from(arrays, config.n_thresholds or 0, n_item_thresholds)
    stored = without("columns.", arrays)
    columns = Columns.from_arrays(stored)
    for name in prefixed("columns.", stored):
        del arrays[name]
    positions = positions_from_arrays(arrays)
    if config.n_positions != (0 if positions is None else positions.cardinalities[0]):
        raise ValueError("positions do not fit the network")
    _check_weights(config, columns, levels, arrays)
    with ordinary_torch():
        # With a generator of its own, so that loading draws nothing from torch's.
        module = build(config, torch.Generator("cpu"))
        weights_from_arrays(module, arrays)
        module.to(device).eval()
        optimizer = optimizer_from_arrays(module, arrays)
    return Model(
        columns=columns,
        levels=levels,
        item_levels=item_levels,
        positions=positions,
        config=config,
        calibration=calibration,
        module=module,
        optimizer=optimizer,
        device=device,
        precision=precision,
    )


def _levels_from(arrays: dict[str, np.ndarray], name: str) -> Levels:
    values, starts = arrays.pop(f"{name}s"), arrays.pop(f"{name}_starts")
    if values.ndim != 1 or not len(values) or values.shape != starts.shape:
        raise ValueError(f"{name}s do not match their starts")
    if values.dtype != np.float64 or starts.dtype != np.float64:
        raise ValueError(f"{name}s of another dtype")
    if not (np.diff(values) > 0).all() or not (np.diff(starts) > 0).all():
        raise ValueError(f"{name}s that do not rise")
    return Levels(values, starts)


def _calibration_from(
    arrays: dict[str, np.ndarray], n_thresholds: int, n_item_thresholds: int
) -> Calibration:
    expected = guess(n_thresholds, n_item_thresholds)
    tables = {name: arrays.pop(f"calibration.{name}") for name in ("lists", "items")}
    for name, table in tables.items():
        wanted = getattr(expected, name)
        if table.shape != wanted.shape or table.dtype != wanted.dtype:
            raise ValueError(f"calibration of {name} does not match their levels")
    n_lists = arrays.pop("calibration.n_lists")
    if n_lists.shape or n_lists.dtype != np.int64 or n_lists < 0:
        raise ValueError("calibration on no number of lists")
    return Calibration(**tables, n_lists=int(n_lists))


def _check_weights(
    config: NetworkConfig,
    columns: Columns,
    levels: Levels,
    arrays: dict[str, np.ndarray],
) -> None:
    inputs = config.inputs
    seen = (
        len(columns.numeric),
        len(columns.flagged),
        columns.categories.cardinalities,
    )
    if config.n_thresholds not in (None, len(levels.values) - 1):
        raise ValueError("levels do not fit the network")
    if seen != (inputs.n_numeric, inputs.n_flags, inputs.cardinalities):
        raise ValueError("the columns do not fit the network")
    if isinstance(config, RankFormerConfig):
        depth = config.num_layers
    else:
        depth = len(config.hidden_sizes)
    # A network of countless layers would take time, though no memory.
    if depth > len(arrays):
        raise ValueError("fewer weights than layers")
    module = build(config, device="meta")
    shapes = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    weights = prefixed("module.", shapes)
    found = {
        name: array.shape
        for name, array in arrays.items()
        if not name.startswith("optimizer.")
    }
    if found != weights:
        wrong = sorted(dict(found.items() ^ weights.items()))[:3]
        raise ValueError(f"weights do not fit the network, such as {wrong}")
