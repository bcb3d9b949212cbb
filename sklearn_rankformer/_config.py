"""What the shape of a network follows from, as plain values.

A config is compared, stored and read back; `_network.build` makes the network of it.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

# Numbers of a config that may be 0; the others begin at 1.
MAY_BE_ZERO = ("n_numeric", "n_flags", "n_bins", "n_thresholds", "n_positions")


@dataclass(frozen=True)
class InputConfig:
    """The columns that a network sees, and how it sees them; see `InputMap`.

    Attributes
    ----------
    n_numeric, n_flags : int
        Numeric columns, and 0/1 flags of missing values, in this order.
    cardinalities : tuple of int
        Number of codes of each categorical column, which come last.
    n_bins, list_features, feature_dropout
        As in `RankFormerRanker`.
    """

    n_numeric: int
    n_flags: int
    cardinalities: tuple[int, ...]
    n_bins: int
    list_features: bool
    feature_dropout: float


@dataclass(frozen=True)
class RankFormerConfig:
    """All that the shape of a `RankFormer` follows from.

    ``n_thresholds`` is the number of levels of list value less one, None where list
    value is switched off; ``n_positions`` the number of codes of shown positions, 0
    without any; the others are as in `RankFormerRanker`.
    """

    inputs: InputConfig
    n_members: int
    d_model: int
    num_layers: int
    nhead: int
    dim_feedforward: int
    dropout: float
    n_thresholds: int | None
    n_positions: int = 0


@dataclass(frozen=True)
class MLPConfig:
    """All that the shape of an `MLP` follows from; as in `MLPRanker`."""

    # Scored one by one, items say nothing of their list.
    n_thresholds: ClassVar[None] = None

    inputs: InputConfig
    n_members: int
    hidden_sizes: tuple[int, ...]
    dropout: float
    n_positions: int = 0


NetworkConfig = RankFormerConfig | MLPConfig


def config_from_dict(kind: type[NetworkConfig], values: dict) -> NetworkConfig:
    """Return the config of this kind that `dataclasses.asdict` made these values of.

    Raises
    ------
    ValueError
        If names, types or ranges are not those of a config; a file may hold anything.
    """
    inputs = values.get("inputs")
    if type(inputs) is not dict:
        raise ValueError("a network without inputs")
    config = _checked(kind, {**values, "inputs": _checked(InputConfig, inputs)})
    if config.inputs.n_bins and not config.inputs.n_numeric:
        raise ValueError("bins of no column")
    if kind is RankFormerConfig and config.d_model % config.nhead:
        raise ValueError(f"nhead={config.nhead} does not divide {config.d_model}")
    if kind is MLPConfig and not config.hidden_sizes:
        raise ValueError("an MLP without a hidden layer")
    return config


def _checked(kind: type, values: dict) -> Any:
    """A dataclass of these values, which must be of the types that it names."""
    types = {field.name: field.type for field in fields(kind)}
    if values.keys() != types.keys():
        raise ValueError(f"{kind.__name__} of {sorted(values)}")
    for name, value in values.items():
        if not _is_sound(name, types[name], value):
            raise ValueError(f"{kind.__name__} with {name}={value!r}")
    return kind(**values)


def _is_sound(name: str, kind: Any, value: Any) -> bool:
    if kind is InputConfig:  # checked before
        return True
    if kind is bool:
        return type(value) is bool
    if kind is float:  # a share of 1
        return type(value) in (int, float) and 0 <= value < 1
    if kind == int | None and value is None:
        return True
    if kind in (int, int | None):
        # Not isinstance: True is an int.
        return type(value) is int and value >= (name not in MAY_BE_ZERO)
    return type(value) is tuple and all(type(n) is int and n > 0 for n in value)
