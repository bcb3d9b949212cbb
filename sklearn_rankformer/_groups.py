"""List ids, one per row, and where the rows of each list lie.

Every other module asks this one. Callers give ``groups`` in any order; nothing is
ever sorted in place, and nothing is moved when each list already lies in one piece.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_MEND = "Give one list id per row, integers or strings."


def check_groups(groups: object, n_rows: int, *, name: str = "groups") -> np.ndarray:
    """Return list ids as a 1-D array that can be compared and sorted.

    Parameters
    ----------
    groups : array-like of shape (n_rows,)
        List id of each row: integers, strings, or floats that hold whole numbers.
    n_rows : int
        How many rows there are to be grouped.
    name : str, default="groups"
        How error messages call the argument.

    Returns
    -------
    groups : ndarray of shape (n_rows,)
        Integer, string, or other sortable ids; float and all-integer object input
        comes back as int64.

    Raises
    ------
    TypeError
        If ids are of mixed or unsortable types.
    ValueError
        If the shape or the length is wrong, or an id is missing or fractional.
    """
    ids = np.asarray(groups)
    if ids.ndim == 2 and ids.shape[1] == 1:
        ids = ids[:, 0]
    if ids.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {ids.shape}. {_MEND}")
    if len(ids) != n_rows:
        sizes = ids.dtype.kind in "iu" and len(ids) and ids.sum() == n_rows
        hint = (
            " These look like list sizes; repeat each id instead: "
            f"np.repeat(np.arange(len({name})), {name})."
            if sizes
            else ""
        )
        raise ValueError(
            f"{name} has {len(ids)} entries for {n_rows} rows. {_MEND}{hint}"
        )
    if ids.dtype.kind == "O":
        ids = _from_objects(ids, name)
    if ids.dtype.kind == "f":
        ids = _from_floats(ids, name)
    if ids.dtype.kind not in "biuUSMmT":
        raise TypeError(f"{name} has dtype {ids.dtype}. {_MEND}")
    if ids.dtype.kind in "Mm" and np.isnat(ids).any():
        raise ValueError(f"{name} contains NaT. {_MEND}")
    return ids


def _from_objects(ids: np.ndarray, name: str) -> np.ndarray:
    kinds = {type(value) for value in ids.tolist()}
    if kinds <= {int, bool} and kinds:
        try:
            return ids.astype(np.int64)
        except OverflowError:
            return ids.astype(str)
    if kinds <= {float, int}:
        return ids.astype(np.float64)
    if kinds == {str}:
        return ids.astype(str)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise TypeError(f"{name} mixes or holds values of type {names}. {_MEND}")


def _from_floats(ids: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(ids).all():
        raise ValueError(f"{name} contains NaN or infinity. {_MEND}")
    whole = np.rint(ids)
    if (whole != ids).any():
        example = ids[whole != ids][0]
        raise ValueError(f"{name} contains the fractional id {example}. {_MEND}")
    if np.abs(ids).max(initial=0) > 2**53:
        raise ValueError(
            f"{name} contains floats beyond 2**53, where neighbouring ids collapse "
            f"into one. Give integers or strings."
        )
    return ids.astype(np.int64)


@dataclass(frozen=True)
class Lists:
    """Where the rows of each list lie.

    The rows of list ``j`` are ``order[starts[j] : starts[j] + lengths[j]]``, or just
    that slice when ``order`` is None: every list lies in one piece already.

    Attributes
    ----------
    ids : ndarray of shape (n_lists,)
        Distinct list ids in the order of ``numpy.unique``.
    starts, lengths : ndarray of shape (n_lists,), int64
        First position and number of rows of each list.
    order : ndarray of shape (n_rows,), int64, or None
        Stable permutation that brings the rows of each list together.
    """

    ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    order: np.ndarray | None

    @property
    def n_lists(self) -> int:
        """Number of lists."""
        return len(self.ids)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.lengths.sum())

    def rows(self, lists: np.ndarray) -> np.ndarray:
        """Return the row indices of the given lists, list after list.

        Parameters
        ----------
        lists : ndarray of shape (n_chosen,), int
            Positions of lists in ``ids``.

        Returns
        -------
        rows : ndarray of shape (lengths[lists].sum(),), int64
            Row indices into the caller's arrays.
        """
        lengths = self.lengths[lists]
        ends = np.cumsum(lengths)
        shift = self.starts[lists] - (ends - lengths)
        positions = np.arange(ends[-1] if len(ends) else 0) + np.repeat(shift, lengths)
        return positions if self.order is None else self.order[positions]

    @cached_property
    def codes(self) -> np.ndarray:
        """Position in ``ids`` of each row's list: ndarray of shape (n_rows,)."""
        codes = np.empty(self.n_rows, dtype=np.int64)
        codes[self.rows(np.arange(self.n_lists))] = np.repeat(
            np.arange(self.n_lists), self.lengths
        )
        return codes

    def reduce(self, ufunc: np.ufunc, values: np.ndarray) -> np.ndarray:
        """Reduce one value per row to one per list, e.g. ``reduce(np.maximum, y)``.

        Parameters
        ----------
        ufunc : numpy.ufunc
            Binary function with a ``reduceat``, such as ``numpy.add``.
        values : ndarray of shape (n_rows,)
            One value per row, in the caller's order.

        Returns
        -------
        reduced : ndarray of shape (n_lists,)
            One value per list, in the order of ``ids``.
        """
        if not self.n_lists:
            return values[:0]
        together = values[self.rows(np.arange(self.n_lists))]
        return ufunc.reduceat(together, np.cumsum(self.lengths) - self.lengths)


def split_lists(groups: np.ndarray) -> Lists:
    """Find the rows of each list.

    Parameters
    ----------
    groups : ndarray of shape (n_rows,)
        List ids as returned by `check_groups`.

    Returns
    -------
    lists : Lists
        Lists in the order of ``numpy.unique(groups)``.
    """
    n_rows = len(groups)
    first = np.concatenate([[True], groups[1:] != groups[:-1]]) if n_rows else []
    run_starts = np.flatnonzero(first)
    ids, run_codes = np.unique(groups[run_starts], return_inverse=True)
    run_lengths = np.diff(run_starts, append=n_rows)
    if len(ids) == len(run_starts):
        by_id = np.argsort(run_codes)
        return Lists(ids, run_starts[by_id], run_lengths[by_id], None)
    codes = np.repeat(run_codes, run_lengths)
    lengths = np.bincount(codes, minlength=len(ids))
    starts = np.cumsum(lengths) - lengths
    return Lists(ids, starts, lengths, np.argsort(codes, kind="stable"))
