"""Shown positions as codes: where an item stood when its label was logged.

A position is whatever the caller gives, a place, or a device with a place: a category
of few values. Code 0 stands for one that was not seen in training.
"""

import json
from typing import Any

import numpy as np

from ._categories import Categories, find_categories
from ._groups import check_groups

# More are ids of items or lists, and no positions.
MAX_POSITIONS = 1000


def read_positions(
    position: Any,
    n_rows: int,
    known: Categories | None,
    again: bool,
    counted: np.ndarray | None,
) -> tuple[Categories | None, np.ndarray | None]:
    """Find the positions of training rows, and the code of each row.

    Parameters
    ----------
    position : array-like of shape (n_rows,), or None
        Integers, text or booleans.
    n_rows : int
        How many rows there are.
    known : Categories or None
        Positions found before.
    again : bool
        Whether training goes on, so that no others can be learned.
    counted : ndarray of shape (n_rows,), bool, or None
        Rows in which positions are found; None for all.

    Returns
    -------
    positions : Categories or None
        As of a single column.
    codes : ndarray of shape (n_rows,), int64, or None

    Raises
    ------
    TypeError, ValueError
        If they are of another type, there is not one for each row, one is missing,
        there are more than `MAX_POSITIONS`, or training goes on of a ranker that knows
        none, or knows text where these are numbers.
    """
    if position is None:
        return known, None
    if again and known is None:
        raise ValueError(
            "position was given to a ranker that was fitted without. Give it in the "
            "first fit, or start again with warm_start=False."
        )
    column = _check(position, n_rows)[:, None]
    if known is not None:
        _refuse_another_type(column, known.known[0])
    positions = find_categories(column, [0], counted) if known is None else known
    n_found = positions.cardinalities[0] - 1
    if n_found > MAX_POSITIONS:
        raise ValueError(
            f"position has {n_found} distinct values, more than {MAX_POSITIONS}: these "
            f"look like ids. Give the place at which each item was shown."
        )
    codes = positions.encode(column, allow_nan=False, owner="position")
    return positions, codes[:, 0].astype(np.int64)


def _check(position: Any, n_rows: int) -> np.ndarray:
    """Integers, booleans or text: other types would be lost in a file."""
    found = check_groups(position, n_rows, name="position", entry="position")
    if found.dtype.kind not in "biuU":
        raise TypeError(
            f"position has dtype {found.dtype}. Give one position per row, integers or "
            f"strings."
        )
    return found


def _refuse_another_type(column: np.ndarray, known: list) -> None:
    given, before = column.dtype.kind == "U", isinstance(known[0], str)
    if given != before:
        raise TypeError(
            f"position holds {'text' if given else 'numbers'}, and the ranker was "
            f"fitted with {'text' if before else 'numbers'} such as {known[0]!r}: no "
            f"position would be known. Give them as then."
        )


def positions_to_arrays(positions: Categories | None) -> dict[str, np.ndarray]:
    """Positions as an array of JSON in bytes, by name; none without."""
    if positions is None:
        return {}
    text = json.dumps(positions.known[0])
    return {"positions": np.frombuffer(text.encode(), dtype=np.uint8)}


def positions_from_arrays(arrays: dict[str, np.ndarray]) -> Categories | None:
    """Take out of the arrays what `positions_to_arrays` put there.

    Raises
    ------
    ValueError
        If they are no plain values; a file may hold anything.
    """
    stored = arrays.pop("positions", None)
    if stored is None:
        return None
    values = json.loads(stored.tobytes().decode())
    if type(values) is not list or not all(type(v) in (bool, int, str) for v in values):
        raise ValueError("positions that are no plain values")
    return Categories(np.ones(1, dtype=bool), (values,))
