"""Rows to learn from or to be measured on: checked, and never changed again."""

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ._lists import Lists, split_lists
from ._processes import ALONE, Peers
from .metrics import label_gains

# More distinct list values than this are binned by their quantiles.
MAX_LEVELS = 32

# Where processes each hold a part of the values, bins are those of this many at most.
MAX_VALUES = 100_000

# Arrays are hashed in pieces of this many numbers.
DIGEST_STEP = 2**22


@dataclass(frozen=True)
class Rows:
    """Rows with their labels and lists.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Numbers, codes in place of categories; memory-mapped arrays stay on disk.
    y : ndarray of shape (n_rows,), float64
        Labels, not negative.
    lists : Lists
        Where the rows of each list lie.
    weight : ndarray of shape (n_rows,), float64, or None
        Weight of each row, not negative; no list is all 0.
    gains : ndarray of shape (n_rows,), float64
        Gain of each label, of label 0 at rows of no weight.
    position : ndarray of shape (n_rows,), int64, or None
        Code of each row's shown position.
    peers : Peers
        Processes that hold the other rows of the same data.
    """

    X: Any
    y: np.ndarray
    lists: Lists
    weight: np.ndarray | None
    gains: np.ndarray
    position: np.ndarray | None
    peers: Peers = ALONE

    @property
    def counted(self) -> np.ndarray:
        """Which rows have weight: ndarray of shape (n_rows,), bool."""
        return np.ones(len(self.y), bool) if self.weight is None else self.weight > 0

    @cached_property
    def list_values(self) -> np.ndarray:
        """Highest label of each list among its rows of weight: (n_lists,), float64."""
        return self.lists.reduce(np.maximum, _labels_of_weight(self.y, self.weight))

    @property
    def n_differing_lists(self) -> int:
        """Number of lists whose labels differ, rows of no weight included."""
        return int(self.lists.differ(self.y).sum())

    @property
    def n_ordered_lists(self) -> int:
        """Number of lists that teach order: gains of their rows of weight differ."""
        return int(self.lists.differ(self.gains, self.counted).sum())

    def digest(self) -> str:
        """Fingerprint of everything that a fit takes from these rows."""
        X = self.X
        parts = [X.indptr, X.indices, X.data] if hasattr(X, "indptr") else [X]
        given = [one for one in (self.weight, self.position) if one is not None]
        return digest_arrays([*parts, self.y, self.gains, self.lists.codes, *given])


def make_rows(
    X: Any,
    y: np.ndarray,
    lists: Lists,
    weight: np.ndarray | None,
    gain: str | Callable,
    position: np.ndarray | None = None,
    *,
    heaviest: float | None = None,
    peers: Peers = ALONE,
) -> Rows:
    """Put checked columns together, lists of zero weight left out.

    Parameters
    ----------
    X, y, lists, weight
        Numbers, labels, lists and weights of the same rows.
    gain : {"exp", "linear"} or callable
        As in `RankFormerRanker`.
    position : ndarray of shape (n_rows,), int64, default=None
        Codes of their shown positions.
    heaviest : float, default=None
        Largest weight of these rows and those of the peers; None takes that of these.
    peers : Peers, default=ALONE
        Processes that hold the other rows.

    Raises
    ------
    ValueError
        If no row has weight, or the gains of a list overflow float32.
    """
    if weight is not None:
        weighed = in_weighed_lists(lists, weight)
        if not weighed.all():
            X, y, weight = X[weighed], y[weighed], weight[weighed]
            position = None if position is None else position[weighed]
            kept = split_lists(lists.codes[weighed])
            lists = replace(kept, ids=lists.ids[kept.ids])
        # By a power of two, which changes no share: next to 0 floats lose digits.
        largest = weight.max() if heaviest is None else heaviest
        weight = np.ldexp(weight, -int(np.frexp(largest)[1]))
    labels = _labels_of_weight(y, weight)
    gains = label_gains(labels, gain)
    with np.errstate(over="ignore"):
        most = lists.reduce(np.add, gains).max(initial=0.0)
    if not most < np.finfo(np.float32).max:
        ways_out = {"exp": 'Set gain="linear"', "linear": "Divide the labels"}
        raise ValueError(
            f"The gains of labels as high as {labels.max():g} overflow float32. "
            f"{ways_out.get(str(gain), 'Have gain give less')}, or map the labels to "
            f"smaller ones."
        )
    return Rows(X, y, lists, weight, gains, position, peers)


def _labels_of_weight(y: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Labels, and 0 at rows of no weight: whatever stands there need not be a label."""
    return y if weight is None else y * (weight > 0)


def in_weighed_lists(lists: Lists, weight: np.ndarray | None) -> np.ndarray:
    """Which rows lie in a list that has weight; one of zero weight throughout is none.

    Parameters
    ----------
    lists : Lists
        Where the rows of each list lie.
    weight : ndarray of shape (n_rows,), or None
        Weight of each row.

    Returns
    -------
    weighed : ndarray of shape (n_rows,), bool
    """
    if weight is None:
        return np.ones(lists.n_rows, dtype=bool)
    return lists.reduce(np.maximum, weight)[lists.codes] > 0


@dataclass(frozen=True)
class Levels:
    """The values a list may have, as grades.

    Attributes
    ----------
    values : ndarray of shape (n_levels,), float64
        Distinct list values, or 0 and means of quantile bins; they rise.
    starts : ndarray of shape (n_levels,), float64
        Lowest list value of each level.
    """

    values: np.ndarray
    starts: np.ndarray

    def grade(self, list_values: np.ndarray) -> np.ndarray:
        """Position of the level of each list value: ndarray of int64."""
        grades = np.searchsorted(self.starts, list_values, side="right") - 1
        return np.maximum(grades, 0)


def find_levels(list_values: np.ndarray, peers: Peers = ALONE, seed: int = 0) -> Levels:
    """Take the distinct list values as levels, or quantile bins of many.

    0 is a level of its own, as it means that nothing is relevant; bins are of what lies
    above it. Where there are peers, they are those of a sample that the seed draws.
    """
    own = np.unique(list_values)
    starts = np.unique(peers.join(own[: MAX_LEVELS + 1]))
    if len(starts) <= MAX_LEVELS:  # as they are: means of fractions would be rounded
        return Levels(starts, starts)
    zero, lowest = starts[starts == 0], starts[starts > 0][0]
    list_values = list_values[list_values > 0] if len(zero) else list_values
    if peers.n > 1:
        list_values = _sample(list_values, peers, seed)
    shares = np.arange(MAX_LEVELS - len(zero)) / (MAX_LEVELS - len(zero))
    starts = np.unique(np.quantile(list_values, shares, method="lower"))
    grades = np.searchsorted(starts, list_values, side="right") - 1
    values = np.bincount(grades, weights=list_values) / np.bincount(grades)
    # A sample of peers may lack the lowest of all.
    starts[0] = min(starts[0], lowest) if len(zero) else starts[0]
    return Levels(np.append(zero, values), np.append(zero, starts))


def _sample(values: np.ndarray, peers: Peers, seed: int) -> np.ndarray:
    """Some values of all peers, from each in proportion."""
    rng = np.random.default_rng(peers.seed(seed))
    n_drawn = peers.quota(len(values), MAX_VALUES)
    return peers.join(rng.choice(values, n_drawn, replace=False))


def digest_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Hash arrays piece by piece, so that a memory-mapped one is never all loaded."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        array = np.atleast_1d(array)
        step = max(1, DIGEST_STEP // max(1, math.prod(array.shape[1:])))
        for start in range(0, len(array), step):
            digest.update(np.array(array[start : start + step], order="C").data)
    return digest.hexdigest()
