"""Reader of LETOR text, for files larger than memory as well.

Every line is parsed by one rule, whatever stands around it. What concerns whole files
(whether indices start from 0, whether ids are integers, how wide X is) is settled by a
`Reader` after the last line of the last file, so that nothing depends on where a file
is cut into blocks, and all parts of a data set come out alike.
"""

import codecs
import gzip
import math
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np

from ._warnings import warn_user

_BLOCK_CELLS = 2**18
_MOST_FEATURES = 1_000_000  # Beyond it, an index is taken for a slip of the pen.
_LARGEST_VALUE = float(np.finfo(np.float32).max)
_MOST_DIGITS = 12  # Of a list size, so that sums of them stay within 64 bits.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # Before UTF-16: its mark begins the same.
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
# gzip, zip, bzip2, xz, Zstandard.
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class RowBlock(NamedTuple):
    """Some consecutive rows of a file.

    Column k of X holds index k, whatever the first index is to be; ids are bytes.
    """

    X: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


class _Indices(NamedTuple):
    found: array
    smallest: int
    largest: int


class _Row(NamedTuple):
    number: int
    label: float
    list_id: bytes | None
    indices: _Indices
    values: array


@dataclass
class Reader:
    """Reads files one after another and settles what holds for all of them.

    Parameters
    ----------
    n_features : int or None
        Number of columns; None takes the largest index.
    zero_based : bool or "auto"
        Whether indices start from 0; "auto" says so if 0 is among them.
    dtype : dtype
        Type of the features.
    """

    n_features: int | None
    zero_based: bool | Literal["auto"]
    dtype: Any = np.float32

    has_ids: bool | None = None
    n_lists: int = 0  # That files of sizes have named so far.
    largest: int = 0
    # Where in the files this was met first, for messages.
    first_row: str = ""
    index_0: str = ""
    index_n: str = ""
    repeated: str = ""
    n_repeated: int = 0
    # Where lists end that stand in a file of sizes.
    ends: np.ndarray | None = field(default=None, compare=False)

    def read(self, path: Any, sizes: Any = None) -> Iterator[RowBlock]:
        """Parse one file block by block.

        Parameters
        ----------
        path : str or path-like
            The file; compressed with gzip if its name ends in ``.gz``.
        sizes : str or path-like, default=None
            File of list sizes; None looks for one beside the file when it has no ids.

        Yields
        ------
        block : RowBlock
            Never empty.

        Raises
        ------
        ValueError
            If the file cannot be read in whole.
        """
        path = os.fsdecode(path)
        n_rows, self.ends = 0, None
        for batch in _batches(self._rows(path, sizes)):
            if self.ends is None:
                ids = np.array([row.list_id for row in batch])
            else:
                places = np.arange(n_rows, n_rows + len(batch))
                ids = self.n_lists + np.searchsorted(self.ends, places, side="right")
            n_rows += len(batch)
            labels = np.array([row.label for row in batch])
            yield RowBlock(self._features(batch, path), labels, ids.astype("S"))
        if not n_rows:
            raise ValueError(f"{path} holds no rows like 'label qid:id index:value'.")
        if self.ends is not None:
            _check_sizes(self.ends, n_rows, path)
            self.n_lists += len(self.ends)

    def layout(self) -> tuple[int, int]:
        """Return the first index and the number of columns, once all is read.

        Returns
        -------
        first, width : int
            Columns ``first`` to ``first + width - 1`` of blocks are those of X.

        Raises
        ------
        ValueError
            If ``n_features`` leaves no room for an index.
        """
        if self.repeated:
            self._warn_repeated()
        zero_based = bool(self.index_0) or self.zero_based is True
        if zero_based and self.index_n:
            raise ValueError(
                f"{self.index_n}: feature index {self.n_features} exceeds "
                f"n_features={self.n_features} where indices start from 0, as they do "
                f"since {self.index_0}. Raise n_features, or leave it out."
            )
        first = 0 if zero_based else 1
        return first, self.n_features or max(self.largest + 1 - first, 1)

    def _warn_repeated(self) -> None:
        warn_user(
            f"{self.repeated}: a feature index stands twice in the row; such rows in "
            f"all: {self.n_repeated}. The last value is taken."
        )

    def _rows(self, path: str, sizes: Any) -> Iterator[_Row]:
        listing = _sizes_beside(path) if sizes is None else os.fsdecode(sizes)
        for number, line in enumerate(_lines(path), 1):
            words = line.partition(b"#")[0].split()
            if not words:
                continue
            try:
                label = _label(words[0])
                list_id, pairs = _list_id(words[1:])
                self._check_id(list_id, listing, _place(path, number))
                indices, values = _parse_pairs(pairs)
                self._check_indices(indices)
            except ValueError as error:
                _refuse(path, number, line, error)
            if list_id is None and self.ends is None:
                self.ends = np.cumsum(_read_sizes(listing))
            if list_id is not None and sizes is not None:
                raise ValueError(f"{path} has list ids. Leave out sizes={sizes!r}.")
            yield _Row(number, label, list_id, indices, values)

    def _check_id(self, list_id: bytes | None, listing: str, place: str) -> None:
        has_id = list_id is not None
        if self.has_ids is None:
            self.has_ids, self.first_row = has_id, place
        if has_id and not self.has_ids:
            raise ValueError(
                f"a list id stands here, but none in {self.first_row}. Give all rows "
                f"an id, or none."
            )
        if self.has_ids and not has_id:
            raise ValueError(
                f"the list id, qid:..., must follow the label, as in {self.first_row}."
            )
        if not has_id and not listing:
            raise ValueError(
                "the list id, qid:..., must follow the label. Without ids, write the "
                "number of rows of each list, one per line, to a file beside this one "
                "that is called like it with .query at the end, or give load_letor "
                "such a file as sizes=..."
            )

    def _check_indices(self, indices: _Indices) -> None:
        _, smallest, largest = indices
        if smallest < 1 and self.zero_based is False:
            raise ValueError(
                "feature index 0 where zero_based=False says that indices start from "
                "1. Give zero_based='auto' or True."
            )
        if self.n_features is None and largest > _MOST_FEATURES:
            raise ValueError(
                f"feature index {largest} is too large for a dense array. If it is no "
                f"slip, give n_features."
            )
        if self.n_features and largest > self.n_features - (self.zero_based is True):
            raise ValueError(
                f"feature index {largest} exceeds n_features={self.n_features}. Raise "
                f"it, or give n_features=None."
            )

    def _features(self, batch: list[_Row], path: str) -> np.ndarray:
        """Return X of a block, and note what is met in it for the first time."""
        lengths = [len(row.values) for row in batch]
        rows = np.repeat(np.arange(len(batch), dtype=np.int64), lengths)
        indices = _flat((row.indices.found for row in batch), np.int64)
        values = _flat((row.values for row in batch), np.float64)
        values = np.where(np.abs(values) > _LARGEST_VALUE, np.nan, values)
        largest = indices.max(initial=0)
        cells = rows * (largest + 1) + indices
        repeated = rows[:0]
        if (np.diff(cells) <= 0).any():
            # NumPy leaves open which of several values given to one cell stays.
            order = np.argsort(cells, kind="stable")
            last = np.diff(cells[order], append=-1) != 0
            repeated = np.unique(rows[order[~last]])
            cells, values = cells[order[last]], values[order[last]]

        def first(found: np.ndarray) -> str:
            return _place(path, batch[found[0]].number) if len(found) else ""

        self.largest = max(self.largest, int(largest))
        self.index_0 = self.index_0 or first(rows[indices == 0])
        self.index_n = self.index_n or first(rows[indices == (self.n_features or -1)])
        self.repeated = self.repeated or first(repeated)
        self.n_repeated += len(repeated)
        X = np.zeros((len(batch), largest + 1), self.dtype)
        with np.errstate(under="ignore"):  # A tiny value is 0 to float32.
            X.reshape(-1)[cells] = values
        return X


def read_files(paths: Iterable, reader: Reader, sizes: Any = None) -> list[tuple]:
    """Read files into memory, all in the same layout and types.

    Parameters
    ----------
    paths : iterable of path-like
        The files.
    reader : Reader
        A fresh one.
    sizes : path-like, default=None
        File of list sizes, as in `Reader.read`.

    Returns
    -------
    parts : list of (X, y, groups)
        One for each file.
    """
    parts = [list(reader.read(path, sizes)) for path in paths]
    first, width = reader.layout()
    y = typed_labels([_join(block.labels for block in part) for part in parts])
    groups = typed_ids([_join(block.ids for block in part) for part in parts])
    X = (_stack_blocks(part, first, width, reader.dtype) for part in parts)
    return list(zip(X, y, groups, strict=True))


def to_layout(X: np.ndarray, first: int, width: int) -> np.ndarray:
    """Cut or widen the X of a block to the layout of all."""
    X = X[:, first : first + width]
    return np.pad(X, ((0, 0), (0, width - X.shape[1])))


def typed_labels(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Make labels int64 if those of all parts are whole."""
    whole = all((y == np.rint(y)).all() and np.abs(y).max() < 2**53 for y in parts)
    return [y.astype(np.int64) for y in parts] if whole else parts


def typed_ids(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Make ids int64 if all are written as NumPy writes integers, else strings."""
    numbers = [plain_integers(ids) for ids in parts]
    if all(ids.dtype.kind == "i" for ids in numbers):
        return numbers
    return [np.char.decode(ids, "utf-8", "backslashreplace") for ids in parts]


def plain_integers(ids: np.ndarray) -> np.ndarray:
    """Texts as int64 if all are written as NumPy writes integers, else as they are."""
    kind = ids.dtype.kind
    if kind not in "SU":
        return ids
    try:
        numbers = ids.astype(np.int64)
    except (ValueError, OverflowError):
        return ids
    # 01, +1 and 1_0 are integers to NumPy; as ids they differ from 1 and 10.
    return numbers if np.array_equal(numbers.astype(kind), ids) else ids


def _flat(rows: Iterable[array], dtype: Any) -> np.ndarray:
    return np.frombuffer(b"".join(rows), dtype)


def _join(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(arrays))


def _stack_blocks(
    blocks: list[RowBlock], first: int, width: int, dtype: Any
) -> np.ndarray:
    X = np.zeros((sum(len(block.X) for block in blocks), width), dtype)
    stop = len(X)
    while blocks:  # A block is let go as soon as it is copied.
        block = blocks.pop().X[:, first : first + width]
        X[stop - len(block) : stop, : block.shape[1]] = block
        stop -= len(block)
    return X


def _batches(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    batch: list[_Row] = []
    width = 1
    for row in rows:
        batch.append(row)
        width = max(width, len(row.values), row.indices.largest + 1)
        if len(batch) * width >= _BLOCK_CELLS:
            yield batch
            batch, width = [], 1
    if batch:
        yield batch


def _lines(path: str) -> Iterator[bytes]:
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as file:
        try:
            first = file.readline()
            _check_encoding(path, first)
            yield first.removeprefix(codecs.BOM_UTF8)
            yield from file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{path} cannot be unpacked: {error}. It is cut off, damaged, or no "
                f"gzip file."
            ) from error


def _check_encoding(path: str, line: bytes) -> None:
    for mark, name in _MARKS.items():
        if line.startswith(mark):
            raise ValueError(
                f"{_place(path, 1)}: this is {name} text. Save it as UTF-8, for "
                f"example with iconv -f {name} -t UTF-8."
            )
    if line.startswith(_PACKED):
        raise ValueError(
            f"{_place(path, 1)}: this is a packed file. Unpack it; only gzip can be "
            f"read as it is, if the name ends in .gz."
        )


def _list_id(words: list[bytes]) -> tuple[bytes | None, list[bytes]]:
    if not words or not words[0].startswith(b"qid:"):
        return None, words
    list_id = words[0].removeprefix(b"qid:")
    # Arrays of bytes lose zeros at the end, and with them the difference of two ids.
    if not list_id or b"\0" in list_id:
        raise ValueError("the list id, qid:..., is empty or holds zero bytes.")
    return list_id, words[1:]


def _parse_pairs(pairs: list[bytes]) -> tuple[_Indices, array]:
    try:
        words = zip(*[pair.split(b":") for pair in pairs], strict=True)
        indices, values = words if pairs else ((), ())
        if b"_" not in b"".join(values):  # Python would read 1_000 as a number.
            return _indices(indices), array("d", map(float, values))
    except (ValueError, OverflowError):
        pass
    raise ValueError(_damage(pairs))


@lru_cache(maxsize=1)  # In most files all rows have the same indices.
def _indices(words: tuple[bytes, ...]) -> _Indices:
    if words and not b"".join(words).isdigit():
        raise ValueError
    found = array("q", map(int, words))
    return _Indices(found, min(found, default=1), max(found, default=0))


def _damage(pairs: list[bytes]) -> str:
    """Say which pair cannot be read, and why."""
    for pair in pairs:
        index, colon, value = pair.partition(b":")
        if not colon or not index.isdigit():
            return f"{_text(pair)!r} is not of the form index:value."
        if not _is_number(value):
            return f"value of feature {_text(index)}, {_text(value)!r} is not a number."
    return "a feature index is too large for 64 bits."


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return b"_" not in word


def _label(word: bytes) -> float:
    if b"\0" in word:
        raise ValueError(
            "zero bytes, as in binary files and in UTF-16 text without its mark. Save "
            "text as UTF-8."
        )
    if not _is_number(word):
        raise ValueError(f"label {_text(word)!r} is not a number.")
    if not math.isfinite(float(word)):
        raise ValueError(f"label {_text(word)!r} is not finite.")
    return float(word)


def _sizes_beside(path: str) -> str:
    for stem in (path, path.removesuffix(".gz")):
        for ending in (".query", ".group"):
            if os.path.exists(stem + ending):
                return stem + ending
    return ""


def _read_sizes(path: str) -> np.ndarray:
    found = []
    for number, line in enumerate(_lines(path), 1):
        word = line.strip()
        if word.isdigit() and len(word) <= _MOST_DIGITS and int(word):
            found.append(int(word))
        elif word:
            error = ValueError("the size of a list must be a whole number from 1.")
            _refuse(path, number, line, error)
    return np.array(found, dtype=np.int64)


def _check_sizes(ends: np.ndarray, n_rows: int, path: str) -> None:
    total = int(ends[-1]) if len(ends) else 0
    if total == n_rows:
        return
    hint = " They look like the list id of each row." * (len(ends) == n_rows)
    raise ValueError(
        f"{path} holds {n_rows} rows, but its list sizes add up to {total}. Give the "
        f"number of rows of each list, one per line.{hint}"
    )


def _place(path: str, number: int) -> str:
    return f"{path}, line {number}"


def _text(word: bytes) -> str:
    return word[:80].decode(errors="backslashreplace")


def _refuse(path: str, number: int, line: bytes, error: Exception) -> NoReturn:
    shown = _text(line.rstrip(b"\r\n"))
    raise ValueError(f"{_place(path, number)}: {error} The line reads {shown!r}.")
