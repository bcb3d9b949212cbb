"""From raw columns to those that a network sees: users need not scale anything.

Categories become codes (`_categories`). Numbers become normal scores: each goes through
the empirical distribution function of its column, then through the inverse normal one.
Missing values become 0, the median, with a flag. `learn_columns` learns this from
training rows; `Columns` applies it to any others, and is stored as plain arrays.
"""

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from ._categories import STORED, Categories
from ._checks import refuse_beyond_float32
from ._processes import ALONE, Peers

N_KNOTS = 256

# Tables are learned from a random sample of this many rows.
MAX_ROWS = 100_000

# Columns are shifted to below 2**MAX_EXPONENT, and knots kept 2**-MAX_EXPONENT apart,
# so that no difference and no slope between two knots leaves the range of float64.
MAX_EXPONENT = 1000

_TABLES = ("knots", "scores", "shifts")


@dataclass(frozen=True)
class Columns:
    """What was learned of the columns of X.

    Attributes
    ----------
    categories : Categories
        Categorical columns and the codes of their values.
    numeric : ndarray of shape (n_numeric,), int64
        Numeric columns kept; constant ones are dropped.
    flagged : ndarray of shape (n_flags,), int64
        Columns that have a flag for missing values.
    knots, scores : ndarray of shape (n_numeric, n_knots), float64, or None
        Values and their normal scores, padded by repeating the last; None passes
        numbers on as they are.
    shifts : ndarray of shape (n_numeric,), int64, or None
        A value is multiplied by two to this power before it is compared with `knots`;
        0 except for columns at the ends of float64's range.
    """

    categories: Categories
    numeric: np.ndarray
    flagged: np.ndarray
    knots: np.ndarray | None = None
    scores: np.ndarray | None = None
    shifts: np.ndarray | None = None

    @property
    def quantiles(self) -> bool:
        """Whether numbers become normal scores, and may be missing."""
        return self.knots is not None

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return len(self.categories.mask)

    @property
    def categorical(self) -> np.ndarray:
        """Categorical columns: ndarray of shape (n_categorical,), int64."""
        return np.flatnonzero(self.categories.mask)

    @property
    def n_columns(self) -> int:
        """Number of columns that `transform` gives."""
        return len(self.numeric) + len(self.flagged) + len(self.categorical)

    def transform(self, numbers: Any) -> np.ndarray:
        """Return the columns of the network: numeric, flags, codes.

        Parameters
        ----------
        numbers : ndarray or sparse matrix of shape (n_rows, n_features)
            Rows as `Categories.encode` gives them.

        Returns
        -------
        columns : ndarray of shape (n_rows, n_columns), float32

        Raises
        ------
        ValueError
            If a number that is passed on as it is overflows float32.
        """
        X = dense(numbers)
        n_numeric, n_flags = len(self.numeric), len(self.flagged)
        columns = np.empty((len(X), self.n_columns), dtype=np.float32)
        with np.errstate(all="ignore"):  # what overflows is refused below
            for i, j in enumerate(self.numeric):
                columns[:, i] = self._numeric_column(i, X[:, j])
        columns[:, n_numeric : n_numeric + n_flags] = np.isnan(X[:, self.flagged])
        columns[:, n_numeric + n_flags :] = X[:, self.categorical]
        refuse_beyond_float32(columns)
        return np.nan_to_num(columns, copy=False, nan=0.0)

    def _numeric_column(self, i: int, values: np.ndarray) -> np.ndarray:
        if self.knots is None or self.scores is None or self.shifts is None:
            return values
        if self.shifts[i]:
            values = np.ldexp(values.astype(np.float64), self.shifts[i])
        return np.interp(values, self.knots[i], self.scores[i])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name, text as JSON in bytes."""
        known = json.dumps(self.categories.known, allow_nan=False)
        arrays = {
            "is_category": self.categories.mask,
            "known": np.frombuffer(known.encode(), dtype=np.uint8),
            "numeric": self.numeric,
            "flagged": self.flagged,
        }
        tables = {name: getattr(self, name) for name in _TABLES}
        return arrays | {k: table for k, table in tables.items() if table is not None}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Columns":
        """Return the columns that gave these arrays by `to_arrays`.

        Raises
        ------
        ValueError
            If arrays are missing, left over, or do not fit one another.
        """
        required = {"is_category", "known", "numeric", "flagged"}
        if arrays.keys() not in (required, required | set(_TABLES)):
            raise ValueError(f"columns are given by {sorted(arrays)}")
        known = json.loads(arrays["known"].tobytes().decode())
        tables = {name: arrays.get(name) for name in _TABLES}
        columns = cls(
            Categories(arrays["is_category"], tuple(known)),
            arrays["numeric"],
            arrays["flagged"],
            **tables,
        )
        _check_stored(columns)
        return columns


def learn_columns(
    categories: Categories,
    numbers: Any,
    *,
    quantiles: bool,
    seed: int,
    peers: Peers = ALONE,
) -> Columns:
    """Learn the columns of training rows.

    Each numeric column goes through its empirical distribution function, with tied
    values at the middle of their ranks, then through the inverse normal one; beyond the
    range seen it saturates. Constant columns are dropped. A column with missing values
    gains a 0/1 flag.

    Parameters
    ----------
    categories : Categories
        As found in the same rows.
    numbers : ndarray or sparse matrix of shape (n_rows, n_features)
        Rows as ``categories.encode`` gives them, NaN where missing.
    quantiles : bool
        False passes numeric columns on as they are.
    seed : int
        Draws `MAX_ROWS` of the rows if there are more.
    peers : Peers, default=ALONE
        Processes that hold the other rows, each of which draws from its own.
    """
    X, n_rows = numbers, numbers.shape[0]
    n_drawn = peers.quota(n_rows, MAX_ROWS)
    if n_drawn < n_rows:
        random = np.random.RandomState(seed + peers.rank)
        drawn = random.choice(n_rows, n_drawn, replace=False)
        # Sorted, so that a memory-mapped X is read once, front to back.
        X = X[np.sort(drawn)]
    X = peers.join(dense(X))
    is_number = ~categories.mask
    flagged = np.flatnonzero(np.isnan(X).any(axis=0) & is_number)
    numeric = np.flatnonzero(is_number)
    if not quantiles:
        return Columns(categories, numeric, flagged)
    with np.errstate(all="ignore"):  # at the ends of float64, as intended
        curves = {j: _normal_scores(X[:, j]) for j in numeric}
    varied = [j for j in numeric if len(curves[j].knots) > 1]
    if not varied and not len(flagged) and not categories.mask.any():
        varied = list(numeric[:1])  # all are constant, but a network needs a column
    kept = [curves[j] for j in varied]
    return Columns(
        categories,
        np.array(varied, dtype=np.int64),
        flagged,
        knots=_in_one_table([curve.knots for curve in kept]),
        scores=_in_one_table([curve.scores for curve in kept]),
        shifts=np.array([curve.shift for curve in kept], dtype=np.int64),
    )


def dense(X: Any) -> np.ndarray:
    """Return a sparse matrix as an array, and an array as it is."""
    return X.toarray() if hasattr(X, "toarray") else X


class _Curve(NamedTuple):
    """Normal scores of one column; see `Columns`. Without any value it has no knot."""

    knots: np.ndarray
    scores: np.ndarray
    shift: int


def _normal_scores(values: np.ndarray) -> _Curve:
    values = np.sort(values[~np.isnan(values)].astype(np.float64))
    shift = _find_shift(values)
    values = np.ldexp(values, shift) if shift else values
    knots = np.unique(values)
    if len(knots) > N_KNOTS:
        at = np.linspace(0, len(values) - 1, N_KNOTS).round().astype(int)
        knots = np.unique(values[at])
    if shift:  # a column over the whole range: what is closer to 0 than this is 0
        apart = np.diff(knots, prepend=-np.inf) > 2.0**-MAX_EXPONENT
        knots = knots[apart]
    below = np.searchsorted(values, knots, side="left")
    up_to = np.searchsorted(values, knots, side="right")
    scores = ndtri((below + up_to) / (2 * max(len(values), 1)))
    return _Curve(knots, scores, shift)


def _find_shift(values: np.ndarray) -> int:
    """Power of two that takes sorted values away from the ends of float64's range."""
    gaps = np.diff(np.unique(values))
    if not len(gaps):
        return 0
    largest = max(abs(values[0]), abs(values[-1]))
    if largest < 2.0**MAX_EXPONENT and gaps.min() >= 2.0**-MAX_EXPONENT:
        return 0
    return MAX_EXPONENT - int(np.frexp(largest)[1])


def _in_one_table(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of unequal length, padded by repeating the last value of each."""
    width = max(map(len, rows), default=1)
    table = np.empty((len(rows), width))
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
        table[i, len(row) :] = row[-1]
    return table


# Arrays from a file -------------------------------------------------------------------


def _check_stored(columns: Columns) -> None:
    """Raise ValueError unless the parts fit one another; a file may hold anything."""
    mask, known = columns.categories.mask, columns.categories.known
    if mask.dtype != bool or mask.ndim != 1 or len(known) != mask.sum():
        raise ValueError("categories do not match their columns")
    plain = all(
        type(values) is list and all(type(v) in STORED for v in values)
        for values in known
    )
    if not plain:
        raise ValueError("categories that are no plain values")
    for name in ("numeric", "flagged"):
        index = getattr(columns, name)
        if index.dtype != np.int64 or index.ndim != 1:
            raise ValueError(f"{name} columns are no indices")
        if len(index) and not 0 <= index.min() <= index.max() < len(mask):
            raise ValueError(f"{name} columns beyond the {len(mask)} features")
    _check_stored_tables(columns)


def _check_stored_tables(columns: Columns) -> None:
    knots, scores, shifts = columns.knots, columns.scores, columns.shifts
    if knots is None or scores is None or shifts is None:
        return
    n_numeric = len(columns.numeric)
    if knots.ndim != 2 or not knots.shape[1] or len(knots) != n_numeric:
        raise ValueError("knots do not match the numeric columns")
    if scores.shape != knots.shape or shifts.shape != (n_numeric,):
        raise ValueError("scores or shifts do not match the knots")
    if (knots.dtype, scores.dtype, shifts.dtype) != (float, float, np.int64):
        raise ValueError("tables of another dtype")
    if (np.diff(knots) < 0).any() or (np.diff(scores) < 0).any():
        raise ValueError("knots or scores that fall")
