"""Tables of any library, as those that scikit-learn can read.

Some containers carry beside their values what is valid, what is still to be computed,
or a device; read by `numpy.asarray` they would give wrong numbers or a strange error.
They are turned into plain ones here, or refused with the call that does it. Libraries
are known by name, so that none has to be installed.
"""

import re
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from decimal import Decimal
from numbers import Number
from typing import Any

import numpy as np

TIMES_AS_NUMBERS = "Give times as numbers, such as days before the search."


def as_table(X: Any, name: str = "X") -> Any:
    """Return features as an array, a sparse matrix, a frame, or as they came.

    Parameters
    ----------
    X : object
        Masked arrays have NaN where they are masked (None among objects), Arrow tables
        become pandas frames and torch tensors arrays; all else is returned as it is.
    name : str, default="X"
        How error messages call the argument.

    Raises
    ------
    ImportError
        If X is an Arrow table and pandas is not installed.
    TypeError
        If X is a query that has not been run, or no table of any kind.
    """
    if np.ma.isMaskedArray(X):
        return _filled(X)
    library = _library(X)
    if is_arrow(X) and hasattr(X, "to_pandas"):
        return _arrow_to_pandas(X, name)
    if library == "polars" and type(X).__name__ == "LazyFrame":
        raise TypeError(
            f"{name} is a polars LazyFrame, a query that is yet to be run. Give "
            f"{name}.collect()."
        )
    if is_tensor(X):
        return tensor_to_array(X, name)
    if library == "pandas" and hasattr(X, "columns") and hasattr(X, "sparse"):
        # Of sparse frames scikit-learn reads only those that leave out zeros.
        zeros = all(kind.fill_value == 0 for kind in X.dtypes)
        return X if zeros else X.sparse.to_dense()
    only_readable = hasattr(X, "__array__") and not _shape(X)
    table = np.asarray(X) if only_readable or isinstance(X, memoryview) else X
    if not _has_rows(table):
        raise TypeError(
            f"{name} must have rows and columns, got {type(X).__name__}. Give an "
            f"array-like, a sparse matrix, or a frame of pandas or polars."
        )
    return table


def rows_to_array(rows: Any) -> np.ndarray:
    """Return rows of plain Python values as an array, of objects if there is text.

    Parameters
    ----------
    rows : sequence, or anything with a shape
        Rows of equal length. Numbers beside text stay numbers. What has a shape is
        returned as it is.
    """
    if hasattr(rows, "shape"):
        return rows
    table = np.asarray(rows)
    return np.array(rows, dtype=object) if table.dtype.kind in "US" else table


def two_dimensional(X: Any, name: str = "X") -> Any:
    """Return a table with rows and columns.

    Parameters
    ----------
    X : array, sparse matrix, frame, or rows of plain Python values
        Of the last an array is made; all else is returned as it is.
    name : str, default="X"
        How the error message calls it.

    Raises
    ------
    ValueError
        If X has fewer dimensions than two, or more.
    """
    X = rows_to_array(X)
    if len(X.shape) != 2:
        raise ValueError(
            f"{name} must be 2-D, got shape {X.shape}. Reshape your data to one row "
            f"per item and one column per feature."
        )
    return X


def refuse_empty_table(X: Any, owner: str) -> None:
    """Raise ValueError, in scikit-learn's words, if a table has no rows or no columns.

    Parameters
    ----------
    X : array, sparse matrix or frame
        Features without the list ids.
    owner : str
        Class of the estimator, for the message.
    """
    for n, what in zip(X.shape, ("sample", "feature"), strict=False):
        if not n:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={tuple(X.shape)}) while a "
                f"minimum of 1 is required by {owner}."
            )


def _shape(X: Any) -> tuple | None:
    return getattr(X, "shape", None)


def _has_rows(X: Any) -> bool:
    if _shape(X) is not None:
        return len(X.shape) > 0
    if isinstance(X, str | bytes | Mapping | Set):
        return False
    return hasattr(X, "__len__") and hasattr(X, "__getitem__")


def is_arrow(values: Any) -> bool:
    """Return whether it is a table, a batch or an array of Arrow."""
    return _library(values) == "pyarrow"


def is_tensor(values: Any) -> bool:
    """Return whether it is a tensor of torch."""
    return _library(values) == "torch" and hasattr(values, "detach")


def tensor_to_array(tensor: Any, name: str) -> np.ndarray:
    """Return the values of a tensor, whatever its device, with a gradient or not.

    Parameters
    ----------
    tensor : torch.Tensor
        Half-precision numbers become float32, as NumPy has no bfloat16.
    name : str
        How the error message calls it.

    Raises
    ------
    TypeError
        If it is sparse, quantised or without data.
    """
    try:
        plain = tensor.detach().cpu().resolve_conj().resolve_neg()
        half = plain.is_floating_point() and plain.element_size() <= 2
        return (plain.float() if half else plain).numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"{name} is a tensor without plain values: {error}") from error


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Let other libraries read a table: their errors say which argument it was.

    Huge numbers overflow in their sums, which numpy's settings may turn into errors.

    Parameters
    ----------
    name : str
        How the caller knows the table.

    Raises
    ------
    TypeError, ValueError
        As raised inside, the name put before messages that lack it.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except (TypeError, ValueError, OverflowError) as error:
        if type(error) is not OverflowError and re.search(rf"\b{name}\b", str(error)):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} cannot be used: {error}") from error


def _library(X: Any) -> str:
    return type(X).__module__.partition(".")[0]


def refuse_times(X: Any, name: str = "X") -> None:
    """Raise TypeError if an array or a frame holds times, which no model computes with.

    Their numbers would be of any unit: polars counts milliseconds in one frame and
    nanoseconds in the next.
    """
    if hasattr(X, "columns"):
        kinds = zip(X.columns, list(X.dtypes), strict=True)
        times = [f"{column!r} ({k})" for column, k in kinds if _is_time(k)]
        what = f"columns of times: {', '.join(times)}"
    else:
        times = [X.dtype] if getattr(X, "dtype", np.dtype("O")).kind in "mM" else []
        what = f"dtype {', '.join(map(str, times))}"
    if times:
        raise TypeError(f"{name} has {what}. {TIMES_AS_NUMBERS}")


def without_numbers(columns: list[tuple[Any, Any]], way_out: str) -> str:
    """Say of columns that they can be neither numbers nor categories as they are.

    Parameters
    ----------
    columns : list of (name, dtype)
        At least one.
    way_out : str
        What to do about them, unless all hold times.
    """
    shown = ", ".join(f"{name!r} ({kind})" for name, kind in columns)
    if all(_is_time(kind) for _, kind in columns):
        way_out = TIMES_AS_NUMBERS
    return f"columns that hold neither numbers nor categories: {shown}. {way_out}"


def _is_time(kind: Any) -> bool:
    # As pandas, polars and Arrow in pandas call them.
    return str(kind).lower().startswith(("date", "time", "duration"))


def is_missing(value: Any) -> bool:
    """Return whether a Python object stands for a missing value."""
    # pandas.NA cannot be compared with itself, NaN of any kind differs from itself.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Number | np.generic) and bool(value != value)


def are_missing(values: Any) -> np.ndarray:
    """Return which of many Python objects stand for missing values, as bool."""
    return np.array([is_missing(value) for value in values], dtype=bool)


def without_decimal(value: Any) -> Any:
    """A finite decimal number as an integer if whole, else a float; others as is."""
    if not isinstance(value, Decimal) or not value.is_finite():
        return value
    whole = int(value)
    return whole if whole == value else float(value)


def _filled(X: np.ma.MaskedArray) -> np.ndarray:
    """The values of a masked array, missing where it is masked."""
    if not np.ma.getmaskarray(X).any():
        return np.ma.getdata(X)
    kind = X.dtype.kind
    # Integers have no value that means missing, and text of fixed width none either.
    values = np.ma.getdata(X).astype(
        X.dtype if kind == "f" else np.float64 if kind in "biu" else object
    )
    values[np.ma.getmaskarray(X)] = np.nan if kind in "biuf" else None
    return values


def _arrow_to_pandas(X: Any, name: str) -> Any:
    try:
        import pandas as pd  # what to_pandas needs
    except ImportError as error:
        raise ImportError(
            f"{name} is an Arrow table, and reading it needs pandas: pip install "
            f"pandas. Or give polars.from_arrow({name})."
        ) from error
    if not any(map(_loses_digits, getattr(X, "columns", [X]))):
        return X.to_pandas()
    import pyarrow as pa

    whole = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    return X.to_pandas(types_mapper=whole.get)


def _loses_digits(column: Any) -> bool:
    """Whether an Arrow column holds integers that pandas would round.

    Where a value is missing, pandas makes floats of integers.
    """
    from pyarrow import compute, types

    if not column.null_count or not types.is_integer(column.type):
        return False
    ends = [end for end in compute.min_max(column).as_py().values() if end is not None]
    return any(abs(end) > 2**53 for end in ends)
