"""A stream of frames, cut anew so that each piece holds whole lists.

Where a stream is cut into batches, whoever sends it decides: Spark, the writer of a
file. Here it is cut again, at the first list that starts so many rows after the last
cut. So the pieces depend on the rows alone, and what is computed of a piece is the same
to the bit however the rows arrived.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._frames import Library, as_rows, check_columns, frame_library, select_columns
from ._groups import check_groups
from ._lists import id_keys

# Sorted runs of keys are merged when one is no longer than this many times the next.
MERGE_UP_TO = 2


class Piece(NamedTuple):
    """Some whole lists of a stream.

    Attributes
    ----------
    frame : frame
        Their rows, in the order of the stream; record batches as a table.
    library : Library
        Of the frame.
    lengths : ndarray of shape (n_lists,), int64
        Number of rows of each list.
    """

    frame: Any
    library: Library
    lengths: np.ndarray


class ReturningListError(ValueError):
    """A list whose rows lie apart in a stream."""


class SeenLists:
    """Keys of all lists that a stream has shown so far: 8 bytes a list.

    They lie in sorted runs, each more than twice as long as the next: a look-up asks
    few of them, and a merge, during which the memory doubles, is rare.
    """

    def __init__(self) -> None:
        self.runs: list[np.ndarray] = []

    def add(self, keys: np.ndarray) -> np.ndarray:
        """Add lists; return which of them were there, or come twice among these.

        Parameters
        ----------
        keys : ndarray of shape (n_lists,), uint64
            As from `id_keys`.

        Returns
        -------
        again : ndarray of shape (n_lists,), bool
        """
        again = np.zeros(len(keys), dtype=bool)
        if not len(keys):
            return again
        for run in self.runs:
            place = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            again |= run[place] == keys
        order = np.argsort(keys, kind="stable")
        newest = keys[order]
        again[order[1:]] |= newest[1:] == newest[:-1]
        while self.runs and len(self.runs[-1]) <= MERGE_UP_TO * len(newest):
            newest = np.concatenate([self.runs.pop(), newest])
            newest.sort(kind="stable")  # which merges what is sorted in parts
        self.runs.append(newest)
        return again


def whole_lists(
    frames: Iterable,
    group_column: Any,
    length: int,
    pick: Callable[[list], Sequence] = list,
) -> Iterator[Piece]:
    """Cut a stream of frames into pieces of whole lists.

    A piece is held until a row of the next list is seen; so what is held at a time is
    one piece, one list and one frame of the stream.

    Parameters
    ----------
    frames : iterable of frames
        Of one library. The rows of a list follow one another, over the borders of
        frames as well.
    group_column : str or other name
        Column of the list ids.
    length : int
        A piece ends with the list that makes it this many rows long.
    pick : callable, default=list
        ``pick(names)``: which columns to keep, of those of the first frame.

    Yields
    ------
    piece : Piece
        Only if the stream has frames but no rows, one piece without lists.

    Raises
    ------
    ReturningListError
        If a list comes again after another: it is never given in parts.
    TypeError, ValueError
        If something is no frame, frames or list ids are of several kinds, a column is
        missing, or a list id is.
    """
    stream: _Stream | None = None
    for frame in frames:
        if stream is None:
            library = _library(frame)
            check_columns([group_column], library.names(frame), "A frame")
            wanted = pick(library.names(frame))
            stream = _Stream(type(frame), library, group_column, wanted, length)
        yield from stream.take(frame)
    if stream is not None:
        yield from stream.rest()


class _Stream:
    """What is held of a stream between two of its frames.

    Rows are counted from the beginning of the stream: `first` is the first row held,
    `end` the one after the last, and `starts` where each list begins that is held in
    whole or in part.
    """

    def __init__(
        self, kind: type, library: Library, group_column: Any, columns: Any, length: int
    ):
        self.kind = kind
        self.library = library
        self.group_column = group_column
        self.columns = columns
        self.length = length
        self.seen = SeenLists()
        self.last: Any = None  # id of the list that is open
        self.id_kind = ""  # of all frames so far; "" before the first row
        self.held: list = []
        self.first, self.end = 0, 0
        self.starts = np.zeros(0, dtype=np.int64)
        self.gave = False

    def take(self, frame: Any) -> Iterator[Piece]:
        """Hold a further frame, and give what is now complete."""
        if type(frame) is not self.kind:
            raise TypeError(
                f"The stream began with {self.library.name} and goes on with "
                f"{type(frame).__name__}. Give frames of one kind."
            )
        frame = select_columns(as_rows(frame), self.library, self.columns)
        self._find_starts(frame)
        self.held.append(frame)
        while (cut := self._next_cut()) is not None:
            yield self._cut_off(cut)

    def rest(self) -> Iterator[Piece]:
        """Give what is left when the stream is over."""
        if self.first < self.end or not self.gave:
            yield self._cut_off(self.end)

    def _next_cut(self) -> int | None:
        """Where the first list starts that is far enough from the first row held."""
        place = np.searchsorted(self.starts, self.first + self.length)
        return int(self.starts[place]) if place < len(self.starts) else None

    def _cut_off(self, cut: int) -> Piece:
        """Give away the rows up to a cut, and hold the others."""
        held = self.held[0] if len(self.held) == 1 else self.library.join(self.held)
        n_rows, n_lists = cut - self.first, np.searchsorted(self.starts, cut)
        lengths = np.diff(self.starts[:n_lists], append=cut)
        self.held = [self.library.rows(held, n_rows, self.end - self.first)]
        self.first, self.starts, self.gave = cut, self.starts[n_lists:], True
        return Piece(self.library.rows(held, 0, n_rows), self.library, lengths)

    def _find_starts(self, frame: Any) -> None:
        """Note where lists start in a further frame, whose first may be an open one."""
        name = f"group_column={self.group_column!r}"
        values = self.library.column(frame, self.group_column)
        n_missing = self.library.n_missing(frame, self.group_column)
        if values.dtype.kind == "f":  # to polars and Arrow, NaN is a value
            n_missing = int(np.isnan(values).sum())
        if n_missing:
            raise ValueError(
                f"{name} holds no list id in {n_missing} of the {len(frame)} rows that "
                f"follow row {self.end} of the stream. Drop rows without one, or give "
                f"them one."
            )
        new = np.ones(len(values), dtype=bool)
        new[1:] = values[1:] != values[:-1]
        rows = np.flatnonzero(new)
        # One id per list: texts are checked one by one, and rows are many.
        ids = check_groups(values[rows], len(rows), name=name)
        self._check_kind(ids)
        if len(ids) and self.last is not None and ids[0] == self.last:
            rows, ids = rows[1:], ids[1:]
        again = self.seen.add(id_keys(ids))
        if again.any():
            place = int(again.argmax())
            self._refuse(ids[place], self.end + int(rows[place]))
        self.last = ids[-1] if len(ids) else self.last
        self.starts = np.append(self.starts, rows + self.end)
        self.end += len(values)

    def _check_kind(self, ids: np.ndarray) -> None:
        """Refuse ids of another kind than before: the list 7 would not be known as "7".

        Readers that guess types batch by batch, as pandas does, change it midway.
        """
        kind = kind_of_ids(ids) if len(ids) else self.id_kind
        if self.id_kind and kind != self.id_kind:
            raise TypeError(
                f"group_column={self.group_column!r} holds {self.id_kind} before "
                f"row {self.end} of the stream (from 0), and {kind} from there on. "
                f"Read the column as one type, such as text: in pandas "
                f"dtype={{{self.group_column!r}: str}}, in polars schema_overrides."
            )
        self.id_kind = kind

    def _refuse(self, list_id: Any, row: int) -> None:
        raise ReturningListError(
            f"List {list_id} of group_column={self.group_column!r} comes again in row "
            f"{row} of the stream (from 0), after other lists. The rows of a list must "
            f"follow one another, as its scores depend on all of them: sort by "
            f"{self.group_column!r} first."
        )


def kind_of_ids(ids: np.ndarray) -> str:
    """Name what `check_groups` made of list ids.

    Parameters
    ----------
    ids : ndarray of shape (n_lists,)
        Ids as `check_groups` returns them.

    Returns
    -------
    kind : str
        Such as "integers" or "text"; only ids of one kind can be equal.
    """
    kind = ids.dtype.kind
    if kind in "Mm":  # counts of a unit, which may differ from frame to frame
        return str(ids.dtype)
    return {"U": "text", "S": "bytes"}.get(kind, "integers")


def _library(frame: Any) -> Library:
    library = frame_library(frame)
    if library is None:
        raise TypeError(
            f"A stream must hold frames of pandas, polars or pyarrow, got "
            f"{type(frame).__name__}."
        )
    return library
