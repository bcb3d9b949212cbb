"""Where the rows of each list lie: the arithmetic under everything else.

Rows may come in any order. Nothing is ever sorted in place, and nothing is moved when
each list already lies in one piece.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


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

    @property
    def sort_keys(self) -> np.ndarray:
        """`codes` in the smallest type that holds them: 16 bits sort by radix."""
        return self.codes.astype(np.min_scalar_type(self.n_lists))

    def reduce(self, ufunc: np.ufunc, values: np.ndarray) -> np.ndarray:
        """Reduce one value per row to one per list, e.g. ``reduce(np.maximum, y)``.

        Parameters
        ----------
        ufunc : numpy.ufunc
            Binary function with a ``reduceat``, such as ``numpy.add``.
        values : ndarray of shape (n_rows, ...)
            One value or vector per row, in the caller's order.

        Returns
        -------
        reduced : ndarray of shape (n_lists, ...)
            One per list, in the order of ``ids``.
        """
        if not self.n_lists:
            return values[:0]
        together = values[self.rows(np.arange(self.n_lists))]
        return ufunc.reduceat(together, np.cumsum(self.lengths) - self.lengths)

    def differ(
        self, values: np.ndarray, counted: np.ndarray | bool = True
    ) -> np.ndarray:
        """Whether the counted values of each list differ: these lists teach order.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            One value per row, in the caller's order.
        counted : ndarray of shape (n_rows,), bool, or True
            Rows to look at; True takes all.

        Returns
        -------
        differ : ndarray of shape (n_lists,), bool
        """
        highest = self.reduce(np.maximum, np.where(counted, values, -np.inf))
        lowest = self.reduce(np.minimum, np.where(counted, values, np.inf))
        return highest > lowest


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
    first = np.ones(n_rows, dtype=bool)
    first[1:] = groups[1:] != groups[:-1]
    run_starts = np.flatnonzero(first)
    ids, run_codes = np.unique(groups[run_starts], return_inverse=True)
    run_lengths = np.diff(run_starts, append=n_rows)
    # As many runs as ids: every list lies in one piece.
    if len(ids) == len(run_starts):
        by_id = np.argsort(run_codes)
        return Lists(ids, run_starts[by_id], run_lengths[by_id], None)
    codes = np.repeat(run_codes, run_lengths)
    lengths = np.bincount(codes, minlength=len(ids))
    starts = np.cumsum(lengths) - lengths
    small = codes.astype(np.min_scalar_type(len(ids)))  # 16 bits sort by radix
    return Lists(ids, starts, lengths, np.argsort(small, kind="stable"))


def one_list(n_rows: int) -> Lists:
    """Take all rows for one list, as is done with rows that came without ids.

    Parameters
    ----------
    n_rows : int
        Number of rows; 0 makes no list.

    Returns
    -------
    lists : Lists
        One list of all rows, of the id 0.
    """
    return split_lists(np.zeros(n_rows, dtype=np.int64))


def lists_of(groups: np.ndarray | None, n_rows: int) -> Lists:
    """Find the rows of each list, or take all rows for one list if there are no ids.

    Parameters
    ----------
    groups : ndarray of shape (n_rows,), or None
        List ids as returned by `resolve_groups`.
    n_rows : int
        Number of rows.

    Returns
    -------
    lists : Lists
        Lists in the order of ``numpy.unique(groups)``.
    """
    return one_list(n_rows) if groups is None else split_lists(groups)


def rank_rows(scores: np.ndarray, lists: Lists, k: int | None = None) -> np.ndarray:
    """Return row indices list after list, the best score of each list first.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Higher is better.
    lists : Lists
        Where the rows of each list lie.
    k : int, default=None
        How many rows of each list to keep at most, as `check_k` returns it.

    Returns
    -------
    rows : ndarray of shape (n_kept,), int64
        Row indices, lists in the order of ``lists.ids``; equal scores in the order
        of their rows.
    """
    # In float64, as unsigned integers have no negative.
    rows = np.lexsort((-np.asarray(scores, dtype=np.float64), lists.sort_keys))
    return rows if k is None else rows[places(lists.lengths) < k]


def places(lengths: np.ndarray) -> np.ndarray:
    """Count 0, 1, ... within each of consecutive lists.

    Parameters
    ----------
    lengths : ndarray of shape (n_lists,)
        Number of rows of each list.

    Returns
    -------
    places : ndarray of shape (lengths.sum(),), int64
        Place of each row in its list.
    """
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def tied_places(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Count as `places` does, with ties sharing the mean of their places.

    Parameters
    ----------
    values, codes : ndarray of shape (n_rows,)
        Value and list of each row; rows come sorted by list, then by value.

    Returns
    -------
    places : ndarray of shape (n_rows,), float64
        Place of each row in its list.
    """
    new_list = np.diff(codes, prepend=-1) != 0
    new = new_list.copy()
    new[1:] |= values[1:] != values[:-1]
    starts = np.flatnonzero(new)
    n_tied = np.diff(starts, append=len(codes))
    lengths = np.diff(np.flatnonzero(new_list), append=len(codes))
    return np.repeat(places(lengths)[starts] + (n_tied - 1) / 2, n_tied)


def cut_batches(
    lengths: np.ndarray, by: np.ndarray, batch_items: int
) -> list[np.ndarray]:
    """Cut lists, in the order of the keys `by`, into batches of bounded padded size.

    Parameters
    ----------
    lengths : ndarray of shape (n_lists,)
        Length of each list.
    by : ndarray of shape (n_lists,)
        Sort key; lists of neighbouring keys share a batch.
    batch_items : int
        Most padded items in a batch.

    Returns
    -------
    batches : list of ndarray of int
        Positions of the lists of each batch; every list is in exactly one.
    """
    order = np.argsort(by, kind="stable")
    sorted_lengths = lengths[order]
    batches, start = [], 0
    while start < len(order):
        # No batch can hold more lists than its first would allow on its own.
        most = max(1, batch_items // int(sorted_lengths[start]))
        longest = np.maximum.accumulate(sorted_lengths[start : start + most])
        fits = longest * np.arange(1, len(longest) + 1) <= batch_items
        stop = start + max(1, int(fits.sum()))
        batches.append(order[start:stop])
        start = stop
    return batches


def digest_lists(lists: Lists) -> np.ndarray:
    """Condense lists to what is needed to know them again.

    Parameters
    ----------
    lists : Lists
        Lists with ids of any kind that `check_groups` returns.

    Returns
    -------
    digest : ndarray of shape (n_lists, 2), uint64
        A key made of the id, and the number of rows, in the order of the keys.
        Integers and times are their own keys; two texts share one only by chance.
    """
    digest = np.column_stack([id_keys(lists.ids), lists.lengths.astype(np.uint64)])
    return digest[np.argsort(digest[:, 0], kind="stable")]


def any_cut(digest: np.ndarray, lists: Lists) -> bool:
    """Return whether a list is known by its id, but with another number of rows.

    Parameters
    ----------
    digest : ndarray of shape (n_known, 2), uint64
        Of other lists, as `digest_lists` makes it.
    lists : Lists
        Lists that may be among them, whole or in part.

    Returns
    -------
    cut : bool
        False where the same lists are given once more, or others.
    """
    keys = id_keys(lists.ids)
    # A key beyond the last is compared with the last, and differs.
    place = np.minimum(np.searchsorted(digest[:, 0], keys), len(digest) - 1)
    known, n_rows = digest[place].T
    return bool(((known == keys) & (n_rows != lists.lengths.astype(np.uint64))).any())


def id_keys(ids: np.ndarray) -> np.ndarray:
    """Condense list ids to one unsigned integer each.

    Parameters
    ----------
    ids : ndarray of shape (n_lists,)
        Ids of any kind that `check_groups` returns.

    Returns
    -------
    keys : ndarray of shape (n_lists,), uint64
        The same in every array of ids of its kind. Integers and times are their own
        keys; two texts share one only by chance.
    """
    kind = ids.dtype.kind
    if kind not in "US":
        return ids.astype(np.uint64 if kind == "u" else np.int64).view(np.uint64)
    unit = np.uint32 if kind == "U" else np.uint8
    width = ids.dtype.itemsize // np.dtype(unit).itemsize
    letters = ids.view(unit).reshape(len(ids), width)
    # FNV-1a, without the padding: the width of the array differs from part to part.
    keys = np.full(len(ids), 0xCBF29CE484222325, dtype=np.uint64)
    for column in letters.T.astype(np.uint64):
        keys = np.where(column, (keys ^ column) * np.uint64(0x100000001B3), keys)
    return keys
