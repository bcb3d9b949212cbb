"""Frames of pandas, polars and Arrow under one small set of verbs.

A `Library` says how its frames are taken apart, joined and given new columns. Arrow's
record batches are tables while they are worked on, and come out as batches again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

MOST_NAMES = 10  # in a message


@dataclass(frozen=True)
class Library:
    """What is done with the frames of one library.

    Attributes
    ----------
    name : str
        Library and class, for messages.
    names : callable
        ``names(frame)``: the names of its columns.
    select : callable
        ``select(frame, names)``: only these columns.
    rows : callable
        ``rows(frame, start, stop)``: a slice, without a copy where that can be.
    join : callable
        ``join(frames)``: one frame of the rows of several; where their numbers are of
        several types, of the type that holds all.
    column : callable
        ``column(frame, name)``: its values as an array.
    n_missing : callable
        ``n_missing(frame, name)``: how many values are missing.
    add : callable
        ``add(frame, columns)``: a new frame with further columns, arrays by name.
    finish : callable
        ``finish(frame)``: the frame as its user gave it.
    """

    name: str
    names: Callable[[Any], list]
    select: Callable[[Any, list], Any]
    rows: Callable[[Any, int, int], Any]
    join: Callable[[list], Any]
    column: Callable[[Any, Any], np.ndarray]
    n_missing: Callable[[Any, Any], int]
    add: Callable[[Any, Mapping[str, np.ndarray]], Any]
    finish: Callable[[Any], Any] = lambda frame: frame


def frame_library(frame: Any) -> Library | None:
    """Return the library of a frame, or None of anything else."""
    for base in type(frame).__mro__:
        library = _LIBRARIES.get((base.__module__.partition(".")[0], base.__name__))
        if library is not None:
            return library
    return None


def as_rows(frame: Any) -> Any:
    """Return a frame whose rows can be joined: a table in place of a record batch."""
    if frame_library(frame) is not _RECORD_BATCH:
        return frame
    import pyarrow as pa

    return pa.Table.from_batches([frame])


def select_columns(frame: Any, library: Library, wanted: Sequence) -> Any:
    """Take columns by name.

    Raises
    ------
    ValueError
        If the frame lacks some of them, or has one twice.
    """
    check_columns(wanted, library.names(frame), "A frame")
    return library.select(frame, list(wanted))


def check_columns(wanted: Sequence, there: list, owner: str) -> None:
    """Raise ValueError unless each wanted column is there, and no other like it.

    Parameters
    ----------
    wanted, there : sequence of str or other names
        Columns to be read, and all that there are.
    owner : str
        What has these, for the message.
    """
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ValueError(
            f"{owner} has no column {_shown(missing)}; it has {_shown(there)}. Give "
            f"the columns that are named, and those that the ranker was fitted on."
        )
    twice = [name for name in dict.fromkeys(wanted) if there.count(name) > 1]
    if twice:
        raise ValueError(
            f"{owner} has more than one column {_shown(twice)}. Rename or drop all "
            f"but one."
        )


def _shown(names: Sequence) -> str:
    more = ", ..." if len(names) > MOST_NAMES else ""
    return ", ".join(map(repr, names[:MOST_NAMES])) + more


def _join_pandas(frames: list) -> Any:
    import pandas as pd

    return pd.concat(frames)


def _join_polars(frames: list) -> Any:
    import polars as pl

    with joining(pl.exceptions.PolarsError):
        return pl.concat(frames, how="vertical_relaxed")


@contextmanager
def joining(*errors: type[Exception]) -> Iterator[None]:
    """Have errors of types that do not go together say what to do about them.

    Parameters
    ----------
    *errors : exception classes
        What the library that joins raises.

    Raises
    ------
    TypeError
        In place of these.
    """
    try:
        yield
    except errors as error:
        raise TypeError(
            f"Two frames or files hold a column in types that do not go together: "
            f"{error}. Give the column one type in all of them."
        ) from error


def _add_polars(frame: Any, columns: Mapping[str, np.ndarray]) -> Any:
    import polars as pl

    return frame.with_columns([pl.Series(k, v) for k, v in columns.items()])


def _join_tables(tables: list) -> Any:
    import pyarrow as pa

    with joining(pa.ArrowException):
        return pa.concat_tables(tables, promote_options="permissive")


def _add_to_table(table: Any, columns: Mapping[str, np.ndarray]) -> Any:
    import pyarrow as pa

    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    # What pandas wrote there describes columns that are gone.
    return table.replace_schema_metadata(None)


def _to_record_batch(table: Any) -> Any:
    import pyarrow as pa

    # Each column in one piece, whose dictionary must then be one, too.
    whole = table.unify_dictionaries().combine_chunks()
    arrays = [
        column.chunk(0) if column.num_chunks else column.combine_chunks()
        for column in whole.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=whole.schema)


_TABLE = Library(
    "pyarrow Table",
    names=lambda frame: frame.schema.names,
    select=lambda frame, names: frame.select(names),
    rows=lambda frame, start, stop: frame.slice(start, stop - start),
    join=_join_tables,
    column=lambda frame, name: frame[name].to_numpy(),
    n_missing=lambda frame, name: frame[name].null_count,
    add=_add_to_table,
)
_RECORD_BATCH = replace(_TABLE, name="pyarrow RecordBatch", finish=_to_record_batch)
_LIBRARIES = {
    ("pandas", "DataFrame"): Library(
        "pandas DataFrame",
        names=lambda frame: list(frame.columns),
        select=lambda frame, names: frame[names],
        rows=lambda frame, start, stop: frame.iloc[start:stop],
        join=_join_pandas,
        column=lambda frame, name: frame[name].to_numpy(),
        n_missing=lambda frame, name: int(frame[name].isna().sum()),
        add=lambda frame, columns: frame.assign(**columns),
    ),
    ("polars", "DataFrame"): Library(
        "polars DataFrame",
        names=lambda frame: frame.columns,
        select=lambda frame, names: frame.select(names),
        rows=lambda frame, start, stop: frame.slice(start, stop - start),
        join=_join_polars,
        column=lambda frame, name: frame[name].to_numpy(),
        n_missing=lambda frame, name: frame[name].null_count(),
        add=_add_polars,
    ),
    ("pyarrow", "Table"): _TABLE,
    ("pyarrow", "RecordBatch"): _RECORD_BATCH,
}


# Results as frames --------------------------------------------------------------------


def results_frame(results: Any, attribute: str, **options: Any) -> Any:
    """Return results as a frame of pandas.

    Parameters
    ----------
    results : array-like
        What ``pandas.DataFrame`` takes.
    attribute : str
        Where the same is without pandas.
    **options
        Further arguments of ``pandas.DataFrame``.

    Returns
    -------
    frame : pandas.DataFrame

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            f"to_frame needs pandas: pip install sklearn-rankformer[frames]. The same "
            f"is in `{attribute}`."
        ) from error
    return pd.DataFrame(results, **options)
