"""From files of tables to arrays on disk, in one pass of bounded memory.

`find_layout` says which column is what, and `write_tables` writes to a folder

- ``X.npy``: the numeric features, float32, NaN where missing;
- ``codes-<j>.npy``: codes of feature j if it is categorical, -1 where missing;
- ``columns.json``: names of the features, and the values that codes stand for;
- ``y.npy`` and ``groups.npy``; ``weight.npy`` and ``keys.npy`` if they are asked for.

The files are read batch by batch and cut into pieces of whole lists (`_streams`). The
features of a piece are written at once (`_numbers`), all else goes through `_Gathered`,
which holds labels, weights and list ids of all rows. If a list comes again after
others, the pass is made anew over rows that DuckDB has sorted, on disk where memory
does not suffice: Arrow and polars sort in memory only.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ._frames import check_columns
from ._groups import check_groups
from ._letor import plain_integers, typed_labels
from ._lists import id_keys
from ._streams import Piece, ReturningListError, kind_of_ids, whole_lists
from ._tablefiles import TableFiles
from ._tables import is_missing, without_decimal, without_numbers

COLUMNS = "columns.json"
WEIGHT = "weight.npy"
KEYS = "keys.npy"

# As pandas and Arrow write them.
TRUTHS = {"True": True, "true": True, "False": False, "false": False}

# Rows that are written at a time, up to the end of a list.
PIECE_ROWS = 2**15

# What DuckDB may hold, besides what it reads and hands over.
SORT_MEMORY = "512MB"
_PLACE = "place of the row"


@dataclass(frozen=True)
class Layout:
    """Which columns of the files are what.

    Attributes
    ----------
    group, label : str
        Columns of the list ids and of the labels.
    features : tuple of str
        Columns of X.
    categorical : frozenset of str
        Those of them that hold categories.
    weight : str or None
        Column of weights.
    guessed : bool
        Whether the files do not say which types their columns have, as CSV. Ids and
        categories are then read as text, and become numbers if all those of a column
        are written as plainly as "7".
    keyed : bool
        Whether the keys that `id_keys` makes of the ids take their place, and are
        written, too. If not, ids that are no integers become numbers from 0.
    """

    group: str
    label: str
    features: tuple[str, ...]
    categorical: frozenset[str]
    weight: str | None = None
    guessed: bool = False
    keyed: bool = False

    @property
    def numeric(self) -> list[str]:
        """Features that are numbers."""
        return [name for name in self.features if name not in self.categorical]

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        weight = [] if self.weight is None else [self.weight]
        return list(dict.fromkeys([self.group, self.label, *self.features, *weight]))


def find_layout(
    source: Any,
    group: str,
    label: str,
    features: Any,
    categorical: Any,
    others: Sequence[str] = (),
) -> Layout:
    """Find out which columns are what, from the first file.

    Parameters
    ----------
    source, group, label, features, categorical
        As in `datasets.convert`.
    others : sequence of str, default=()
        Further columns that are no features.

    Raises
    ------
    TypeError
        If a text is given in place of names.
    ValueError
        If a column is missing, or a feature is neither a number nor a category.
    """
    from_dtype = isinstance(categorical, str) and categorical == "from_dtype"
    check_names(features, "features")
    if not from_dtype:
        check_names(categorical, "categorical_features", ' (or "from_dtype")')
    files = TableFiles(source)
    schema = files.schema
    if features is None:
        none = {group, label, *others, *_index_of_pandas(schema)}
        features = [name for name in schema.names if name not in none]
    named = (
        [] if from_dtype or categorical is None else np.array([*categorical]).tolist()
    )
    asked = (group, label, *others, *features, *named)
    check_columns(asked, schema.names, files.paths[0])
    refuse_two_purposes([group, label, *others, *features])
    if from_dtype:
        categories = _categories_in(schema)
        named = [name for name in features if name in categories]
    numeric = [name for name in features if name not in named]
    _check_numbers(schema, numeric, files.paths[0])
    return Layout(
        group, label, tuple(features), frozenset(named), guessed=not files.typed
    )


def _index_of_pandas(schema: Any) -> set[str]:
    """Columns in which pandas has written the index of a frame."""
    noted = (schema.pandas_metadata or {}).get("index_columns", ())
    return {
        name
        for name in schema.names
        # In CSV, which has no notes, it has no name either.
        if name in noted or not name or name.startswith("__index_level_")
    }


def refuse_two_purposes(names: Sequence[str]) -> None:
    """Raise ValueError if one column is named twice, such as label and feature."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Columns given for two purposes: {', '.join(map(repr, twice))}. Write a "
            f"column under two names to use it as two of group, label, features, "
            f"position and weight."
        )


def check_names(names: Any, argument: str, otherwise: str = "") -> None:
    """Raise TypeError if one text is given in place of names of columns."""
    if isinstance(names, str):
        raise TypeError(
            f"{argument} must hold names of columns{otherwise}, got {names!r}. Give "
            f"[{names!r}]."
        )


def _categories_in(schema: Any) -> set[str]:
    """Columns that hold categories, by their type or by what pandas wrote of them."""
    columns = (schema.pandas_metadata or {}).get("columns", ())
    # Parquet keeps no dictionary of numbers.
    noted = {c.get("field_name") for c in columns if c["pandas_type"] == "categorical"}
    return noted | {field.name for field in schema if _is_dictionary(field.type)}


def write_tables(sources: list, folder: Path, layout: Layout) -> dict[str, str]:
    """Convert files to arrays in a folder.

    Parameters
    ----------
    sources : list of (str, path-like, or list of these)
        Files; a list of rows may go from file to file within a source, but not from one
        source to the next.
    folder : Path
        Where to write; it is there, and empty.
    layout : Layout
        As found in the files.

    Returns
    -------
    kinds : dict of str
        What the list ids are, as `kind_of_ids` says, each with the first source of it.

    Raises
    ------
    ImportError
        If the rows of a list lie apart, and DuckDB is not installed.
    ValueError
        If a label or a list id is missing, or a number does not fit into float32.
    """
    try:
        return _write(sources, _batches, folder, layout)
    except ReturningListError as error:
        for path in folder.iterdir():
            path.unlink()
        return _write(sources, partial(_sorted_batches, folder, error), folder, layout)


def _write(
    sources: list, read: Callable, folder: Path, layout: Layout
) -> dict[str, str]:
    gathered = _Gathered(layout, folder)
    with open(folder / "X.npy", "wb") as file:
        # Before the number of rows is known: NumPy leaves room for its digits.
        write_header(file, (0, len(layout.numeric)))
        for source in sources:
            gathered.begin(source)
            batches = read(source, layout)
            for piece in whole_lists(batches, layout.group, PIECE_ROWS):
                _numbers(piece.frame, layout.numeric).tofile(file)
                gathered.add(piece)
        file.seek(0)
        write_header(file, (gathered.n_rows, len(layout.numeric)))
    gathered.save()
    return gathered.kinds


def _batches(source: Any, layout: Layout) -> Iterator:
    texts = [layout.group, *layout.categorical]
    return TableFiles(source).batches(layout.columns, texts)


class _Gathered:
    """What is gathered beside the numbers, piece by piece."""

    def __init__(self, layout: Layout, folder: Path):
        self.layout = layout
        self.folder = folder
        self.labels: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []
        self.ids: list[np.ndarray] = []
        self.lengths: list[np.ndarray] = []
        self.kinds: dict[str, str] = {}
        self.codes: dict[str, dict] = {
            name: {} for name in layout.features if name in layout.categorical
        }
        self.n_rows = 0
        self.source, self.first_row = None, 0

    def begin(self, source: Any) -> None:
        """Note where the next rows come from."""
        self.source, self.first_row = source, self.n_rows

    def add(self, piece: Piece) -> None:
        """Gather labels and ids, and write codes."""
        rows, layout = piece.frame, self.layout
        starts = np.cumsum(piece.lengths) - piece.lengths
        self.labels.append(self._finite(rows, layout.label, "label"))
        if layout.weight is not None:
            self.weights.append(self._finite(rows, layout.weight, "weight"))
        ids = rows[layout.group].to_numpy()[starts]
        self.ids.append(check_groups(ids, len(ids)))
        if len(ids):
            self.kinds.setdefault(kind_of_ids(self.ids[-1]), str(self.source))
        self.lengths.append(piece.lengths)
        for name, known in self.codes.items():
            with open(self._raw(name), "ab") as file:
                _codes(rows[name], known, name).tofile(file)
        self.n_rows += len(rows)

    def _finite(self, rows: Any, name: str, role: str) -> np.ndarray:
        column = rows[name]
        if not _holds_numbers(column.type):
            raise ValueError(
                f"The {role} column {name!r} of {self.source} holds no numbers but "
                f"{column.type}."
            )
        numbers = _as_doubles(column).to_numpy()
        if not np.isfinite(numbers).all():
            row = int((~np.isfinite(numbers)).argmax())
            sorted_here = _PLACE in rows.column_names
            before = self.n_rows - self.first_row
            row = rows[_PLACE][row].as_py() if sorted_here else before + row
            raise ValueError(
                f"The {role} column {name!r} has no finite number in row {row} (from "
                f"0) of {self.source}. Drop rows without one, or give them one."
            )
        return numbers

    def save(self) -> None:
        """Write all that was gathered."""
        labels = np.concatenate([np.zeros(0), *self.labels])
        if not len(labels):
            raise ValueError("The files hold no rows.")
        np.save(self.folder / "y.npy", typed_labels([labels])[0])
        if self.weights:
            np.save(self.folder / WEIGHT, np.concatenate(self.weights))
        np.save(self.folder / "groups.npy", self._groups())
        found = {name: self._save_codes(name) for name in self.codes}
        columns = [
            {"name": name, "categories": found.get(name)}
            for name in self.layout.features
        ]
        text = json.dumps({"columns": columns}, allow_nan=False)
        (self.folder / COLUMNS).write_text(text, encoding="utf-8")

    def _groups(self) -> np.ndarray:
        lengths, parts = np.concatenate(self.lengths), self.ids
        if self.layout.keyed:
            keys = np.concatenate([id_keys(ids) for ids in parts])
            np.save(self.folder / KEYS, keys)
            return np.repeat(keys.view(np.int64), lengths)
        if self.layout.guessed:
            parts = [plain_integers(ids) for ids in parts]
        if all(_fit_into_64_bits(ids) for ids in parts):
            ids = np.concatenate([ids.astype(np.int64) for ids in parts])
        else:  # texts, row by row, would take more memory than all else
            ids = np.arange(len(lengths))
        return np.repeat(ids, lengths)

    def _save_codes(self, name: str) -> list:
        """Write the codes of a column, and return what they stand for."""
        known = list(self.codes[name])
        numbers = plain_numbers(known) if self.layout.guessed else None
        meant = known if numbers is None else [numbers[text] for text in known]
        places = {value: code for code, value in enumerate(dict.fromkeys(meant))}
        # As pandas has them: -1, the last place, is missing.
        table = np.array([*(places[value] for value in meant), -1])
        raw = np.memmap(self._raw(name), np.int32, "r")
        dtype = np.min_scalar_type(-max(len(places), 1))
        path = self.folder / codes_file(self.layout.features.index(name))
        # Not mapped: a page that finds no room on the disk would end the process.
        with open(path, "wb") as file:
            write_header(file, raw.shape, dtype)
            for start in range(0, len(raw), 2**20):
                part = table[raw[start : start + 2**20]]
                part.astype(dtype).tofile(file)
        del raw
        self._raw(name).unlink()
        return list(places)

    def _raw(self, name: str) -> Path:
        return self.folder / f"codes-{self.layout.features.index(name)}.raw"


def _fit_into_64_bits(ids: np.ndarray) -> bool:
    """Whether all are integers that int64 holds; unsigned ones may be larger."""
    most = np.iinfo(np.int64).max
    return ids.dtype.kind in "iu" and bool((ids <= most).all())


def plain_numbers(texts: list) -> dict | None:
    """Find the values that texts of categories stand for, as CSV has them.

    Parameters
    ----------
    texts : list of str
        All distinct categories of a column.

    Returns
    -------
    numbers : dict or None
        The number, or truth value, of each text; None if one is no such, or is written
        less plainly than "7" or "7.5": of "7" and "007" one category would be made.
    """
    for read in (TRUTHS.get, _plain_number):
        numbers = {text: read(text) for text in texts}
        if None not in numbers.values():
            return numbers
    return None


def _plain_number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == str(text) and math.isfinite(number):
            return number
    return None


def read_columns(path: Path) -> list[tuple[str, list | None]]:
    """Return the names of features, each with its categories or None.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    try:
        columns = json.loads(path.read_text(encoding="utf-8"))["columns"]
        return [(column["name"], column["categories"]) for column in columns]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}. Convert again.") from error


def codes_file(index: int) -> str:
    """Return the name of the file that holds the codes of a feature."""
    return f"codes-{index}.npy"


def write_header(
    file: Any, shape: tuple[int, ...], dtype: np.typing.DTypeLike = np.float32
) -> None:
    """Write the header of a .npy file, whose rows are written after it."""
    header = np.lib.format.header_data_from_array_1_0(np.empty(0, dtype))
    header["shape"] = shape
    np.lib.format.write_array_header_1_0(file, header)


def _check_numbers(schema: Any, names: list[str], owner: str) -> None:
    kinds = [(name, schema.field(name).type) for name in names]
    odd = [(name, kind) for name, kind in kinds if not _holds_numbers(kind)]
    if odd:
        way_out = (
            "Name them in categorical_features, or give the features without them."
        )
        raise ValueError(f"{owner} has {without_numbers(odd, way_out)}")


def _numbers(rows: Any, names: list[str]) -> np.ndarray:
    """Columns as float32 side by side, NaN where missing."""
    # In the first file, by which the layout was found, they may be empty.
    _check_numbers(rows.schema, names, "A later file")
    X = np.empty((len(rows), len(names)), dtype=np.float32)
    with np.errstate(over="ignore"):  # refused below
        for j, name in enumerate(names):
            X[:, j] = _as_doubles(rows[name]).to_numpy()
    if np.isinf(X).any():
        name = names[int(np.isinf(X).any(axis=0).argmax())]
        raise ValueError(
            f"{name!r} holds values that are infinite or beyond the range of float32. "
            f"Scale the column, or make them missing."
        )
    return X


def _as_doubles(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_boolean(column.type):  # which Arrow casts to integers only
        column = column.cast(pa.uint8())
    return column.cast(pa.float64(), safe=False)


def _codes(column: Any, known: dict, name: str) -> np.ndarray:
    """Code of each value, -1 where it is missing; new values get the next codes."""
    import pyarrow as pa

    if not _is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = [np.zeros(0, np.int32)]
    for chunk in column.chunks:
        values = chunk.dictionary.to_pylist()
        # One more than there are values may be more than their type can count.
        indices = chunk.indices.cast(pa.int64()).fill_null(len(values)).to_numpy()
        used = np.bincount(indices, minlength=len(values) + 1) > 0
        table = np.full(len(values) + 1, -1, dtype=np.int32)
        for i in np.flatnonzero(used[:-1]):
            table[i] = _code(values[i], known, name)
        codes.append(table[indices])
    return np.concatenate(codes)


def _code(value: Any, known: dict, name: str) -> int:
    if is_missing(value):
        return -1
    value = without_decimal(value)  # as in memory
    if type(value) not in (bool, int, float, str):
        raise ValueError(
            f"{name!r} holds a category of type {type(value).__name__}. Turn "
            f"categories into text or numbers."
        )
    return known.setdefault(value, len(known))


def _is_dictionary(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_dictionary(kind)


def _holds_numbers(kind: Any) -> bool:
    from pyarrow import types

    is_one = types.is_integer, types.is_floating, types.is_decimal, types.is_boolean
    return any(holds(kind) for holds in (*is_one, types.is_null))


# Lists whose rows lie apart -----------------------------------------------------------


def _sorted_batches(
    folder: Path, error: ReturningListError, source: Any, layout: Layout
) -> Iterator:
    """All rows again, list by list, in each list as they came."""
    try:
        import duckdb
    except ImportError as missing:
        raise ImportError(
            f"{error} Or have it sorted here, which needs DuckDB: pip install "
            f'"sklearn-rankformer[files]".'
        ) from missing
    with (
        tempfile.TemporaryDirectory(dir=folder) as spill,
        duckdb.connect(
            config={"memory_limit": SORT_MEMORY, "temp_directory": spill}
        ) as database,
    ):
        database.register("rows", _numbered(source, layout))
        result = database.sql("SELECT * FROM rows ORDER BY column0, place")
        for batch in result.to_arrow_reader(PIECE_ROWS):
            yield batch.from_arrays(batch.columns, [*layout.columns, _PLACE])


def _numbered(source: Any, layout: Layout) -> Any:
    """Rows with their place, by which those of a list keep their order."""
    import pyarrow as pa

    # To DuckDB, "price" and "Price" are one. The first is that of the list ids.
    names = [*(f"column{i}" for i in range(len(layout.columns))), "place"]

    def batches() -> Iterator:
        place = 0
        for batch in _batches(source, layout):
            plain = [_plain(batch[name], name, layout) for name in layout.columns]
            places = pa.array(np.arange(place, place + len(batch)))
            place += len(batch)
            yield pa.record_batch([*plain, places], names=names)

    rows = batches()
    first = next(rows)
    return pa.RecordBatchReader.from_batches(first.schema, chain([first], rows))


def _plain(column: Any, name: str, layout: Layout) -> Any:
    """A column without a dictionary, and numbers in the one type that holds all."""
    if _is_dictionary(column.type):
        return column.dictionary_decode()
    is_id = name == layout.group or name in layout.categorical
    return column if is_id or not _holds_numbers(column.type) else _as_doubles(column)
