"""Which columns of X hold categories, and the code of each value.

A category is known by its value, never by the dtype of the column it came in: a request
of a few rows may hold as text, object or float what was a category in training. So
every column is read as plain Python values, which any file can hold, and looked up in a
table of its own.
"""

import math
import re
import tempfile
from collections import Counter
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import compress
from numbers import Integral
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array

from ._tables import is_missing, refuse_times, without_decimal
from ._warnings import warn_user

# How the names of the dtypes of categories begin, in pandas, polars and Arrow.
CATEGORY_KINDS = ("categ", "enum", "dictionary")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
MIDNIGHT = " 00:00:00"
# Of which kinds a category can be written to a file and read again as the same.
STORED = (bool, int, float, str)

# The numbers of a frame with categories stay in memory up to this size, as float64.
IN_MEMORY_BYTES = 2**30


@dataclass(frozen=True)
class Categories:
    """Codes of categorical columns: 0 for missing or unknown, then 1, 2, ...

    Attributes
    ----------
    mask : ndarray of shape (n_features,), bool
        Which columns are categorical.
    known : tuple of list
        Values of each categorical column, in the order of their codes from 1.
    spelled : bool
        Whether X is to come from files without types, such as CSV, its categories as
        text: in columns of which only numbers are known, a text is the number that it
        spells.
    """

    mask: np.ndarray
    known: tuple[list, ...]
    spelled: bool = False

    @property
    def as_text(self) -> list[bool]:
        """Which categorical columns to read as text from files without types."""
        return [self.spelled or _holds_text(values) for values in self.known]

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of codes of each categorical column, 0 included."""
        return tuple(len(values) + 1 for values in self.known)

    @cached_property
    def _codes(self) -> tuple[dict[Hashable, int], ...]:
        return tuple(map(_codes_of, self.known))

    def encode(self, X: Any, *, allow_nan: bool, owner: str) -> Any:
        """Return X as numbers, codes in place of categories.

        Parameters
        ----------
        X : array, sparse matrix or frame of shape (n_rows, n_features)
            Raw features.
        allow_nan : bool
            Whether numbers may be missing.
        owner : str
            Class of the ranker, for messages.

        Returns
        -------
        numbers : ndarray or CSR matrix of shape (n_rows, n_features)
            Of a numeric dtype. Without categories an array of numbers comes back as
            it is, memory-mapped ones included. A pandas frame with categories whose
            numbers take more than `IN_MEMORY_BYTES` becomes an array in a temporary
            file.

        Raises
        ------
        TypeError, ValueError
            If another column holds no numbers.
        """
        columns = np.flatnonzero(self.mask)
        if not len(columns):
            return _as_numbers(X, allow_nan, owner)
        _refuse_sparse(X)
        dtype = _plain_dtype(X, np.flatnonzero(~self.mask))
        size = X.shape[0] * X.shape[1] * 8
        if dtype is None or size <= IN_MEMORY_BYTES:
            encoded = self._encode_rows(X, allow_nan, owner)
            self._warn_of_types(X, encoded)
            return encoded
        # Such a frame may itself lie on disk, and memory not suffice for its numbers.
        step = max(1, IN_MEMORY_BYTES // 16 // (8 * X.shape[1]))
        with tempfile.TemporaryFile() as file:
            # Not mapped: a page that finds no room on the disk would end the process.
            for start in range(0, X.shape[0], step):
                part = self._encode_rows(X.iloc[start : start + step], allow_nan, owner)
                file.write(np.ascontiguousarray(part, dtype).data)
            encoded = np.memmap(file, dtype, "r+", shape=X.shape)
        self._warn_of_types(X.iloc[:step], encoded[:step])
        return encoded

    def _encode_rows(self, X: Any, allow_nan: bool, owner: str) -> np.ndarray:
        columns, numeric = np.flatnonzero(self.mask), np.flatnonzero(~self.mask)
        tables = zip(columns.tolist(), self.known, self._codes, strict=True)
        numbers = np.empty((X.shape[0], 0), dtype=np.float64)
        if len(numeric):
            numbers = _as_numbers(_take_columns(X, numeric), allow_nan, owner)
        encoded = np.empty((len(numbers), len(self.mask)), _with_codes(numbers.dtype))
        encoded[:, numeric] = numbers
        for j, known, codes in tables:
            column = _column(X, j)
            if self.spelled and not _holds_text(known):
                column = _spelled_numbers(column)
            encoded[:, j] = _look_up(column, codes)
        return encoded

    def _warn_of_types(self, X: Any, encoded: np.ndarray) -> None:
        """Warn of columns without any known value, whose texts would be known."""
        names = list(X.columns) if hasattr(X, "columns") else range(X.shape[1])
        columns = zip(np.flatnonzero(self.mask).tolist(), self.known, strict=True)
        other = [
            repr(names[j])
            for j, known in columns
            if not encoded[:, j].any()
            and not _texts(_column(X, j)).isdisjoint(
                _texts(np.array(known, dtype=object))
            )
        ]
        if other:
            warn_user(
                f"No value of the categorical column {', '.join(other)} of X is known, "
                f"as they are of another type than those that fit saw: the text '1' is "
                f"not the number 1. Give the column as to fit, text as text and "
                f"numbers as numbers."
            )

    def unknown(self, X: Any) -> list[dict[Any, int]]:
        """Count the values of categorical columns that were not seen before.

        Parameters
        ----------
        X : array or frame of shape (n_rows, n_features)
            Raw features.

        Returns
        -------
        counts : list of dict
            For each such column, the number of rows of each such value, as text,
            frequent ones first. Missing ones are left out.
        """
        counts = []
        for j, codes in zip(
            np.flatnonzero(self.mask).tolist(), self._codes, strict=True
        ):
            column = _column(X, j)
            new = [
                str(value)
                for value, code in zip(
                    _plain_values(column), _look_up(column, codes), strict=True
                )
                if not code and not is_missing(value)
            ]
            counts.append(dict(Counter(sorted(new)).most_common()))
        return counts


def find_categories(
    X: Any, categorical_features: Any, counted: np.ndarray | None = None
) -> Categories:
    """Find the categorical columns of X and the values that they hold.

    Parameters
    ----------
    X : array, sparse matrix or frame of shape (n_rows, n_features)
        Raw features.
    categorical_features : "from_dtype", array-like or None
        As in `RankFormerRanker`.
    counted : ndarray of shape (n_rows,), bool, default=None
        Rows to look at; None takes all.

    Raises
    ------
    TypeError
        If X is sparse and has categories, or a value is of no kind that can be stored.
    ValueError
        If X has no such column.
    """
    mask = categorical_mask(X, categorical_features)
    if mask.any():
        _refuse_sparse(X)
    columns = np.flatnonzero(mask).tolist()
    names = list(X.columns) if hasattr(X, "columns") else range(X.shape[1])
    known = [distinct_values(_column(X, j), repr(names[j]), counted) for j in columns]
    return Categories(mask, tuple(known))


def categorical_mask(X: Any, categorical_features: Any) -> np.ndarray:
    """Which columns are categorical: ndarray of shape (n_features,), bool."""
    named = hasattr(X, "columns")
    if isinstance(categorical_features, str) and named:
        kinds = [str(kind).lower() for kind in list(X.dtypes)]
        return np.array([kind.startswith(CATEGORY_KINDS) for kind in kinds])
    if categorical_features is None or isinstance(categorical_features, str):
        return np.zeros(X.shape[1], dtype=bool)
    names = list(X.columns) if named else []
    return chosen_mask(categorical_features, names, X.shape[1])


def chosen_mask(chosen: Any, names: list, n_columns: int) -> np.ndarray:
    """Which columns are chosen by names, indices or a mask: (n_columns,), bool."""
    # A list of names and indices would become one of texts.
    wanted = np.asarray(chosen).tolist() if hasattr(chosen, "dtype") else [*chosen]
    mask = np.zeros(n_columns, dtype=bool)
    if wanted and all(isinstance(one, bool | np.bool_) for one in wanted):
        if len(wanted) != n_columns:
            raise ValueError(
                f"categorical_features is a boolean mask of {len(wanted)} entries, but "
                f"X has {n_columns} columns without the group_column."
            )
        return np.array(wanted, dtype=bool)
    for column in wanted:
        if column in names:
            mask[names.index(column)] = True
        elif _is_index(column) and -n_columns <= column < n_columns:
            mask[column] = True
        else:
            raise ValueError(
                f"categorical_features names the column {column!r}, which X does not "
                f"have. Give names of a frame's columns, indices, or a boolean mask of "
                f"{n_columns} entries."
            )
    return mask


def _is_index(column: Any) -> bool:
    return isinstance(column, Integral) and not isinstance(column, bool)


def odd_columns(X: Any, mask: np.ndarray) -> list[tuple[Any, Any]]:
    """Names and dtypes of a frame's columns that are neither numbers nor categories."""
    if not hasattr(X, "columns"):
        return []
    return [
        (name, kind)
        for j, (name, kind) in enumerate(zip(X.columns, list(X.dtypes), strict=True))
        if not mask[j] and not _holds_numbers(_take_columns(X, np.array([j])))
    ]


def _holds_numbers(X: Any) -> bool:
    # Tried, not read off the dtype: of these there are more kinds than names.
    try:
        numbers = check_array(X, ensure_all_finite=False)
        numbers.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return numbers.dtype.kind not in "cmM"


def _refuse_sparse(X: Any) -> None:
    if issparse(X):
        raise TypeError(
            "categorical_features needs a dense X, got a sparse matrix. Encode the "
            "categories as columns of 0 and 1, or give a frame or X.toarray()."
        )


def _as_numbers(X: Any, allow_nan: bool, owner: str) -> Any:
    """X as numbers, by scikit-learn's rules."""
    finite = "allow-nan" if allow_nan else True
    options = {"estimator": owner, "input_name": "X"}
    if hasattr(X, "iloc") and _are_plain(list(X.dtypes), "iuf"):
        X = X.to_numpy()  # scikit-learn would look at each column several times
    refuse_times(X)  # of which polars would make numbers
    numbers = check_array(X, accept_sparse="csr", ensure_all_finite=finite, **options)
    if numbers.dtype == object:
        # In polars frames scikit-learn neither converts text nor refuses it.
        numbers = check_array(numbers, ensure_all_finite=finite, **options)
    if numbers.dtype.kind not in "fiub":
        raise ValueError(f"X must hold real numbers, got dtype {numbers.dtype}.")
    if numbers.dtype.itemsize > 8:  # wider than what is computed with
        return check_array(numbers, dtype=np.float64, ensure_all_finite=finite)
    return numbers


def _plain_dtype(X: Any, numeric: np.ndarray) -> np.dtype | None:
    """Of which type these columns of a pandas frame are as floats; None of others."""
    if not hasattr(X, "iloc") or not len(numeric):
        return None
    kinds = list(X.dtypes)  # once, as pandas gathers them anew each time
    kinds = [kinds[j] for j in numeric]
    if not _are_plain(kinds, "biuf"):
        return None
    return _with_codes(np.result_type(*kinds))


def _are_plain(kinds: list, letters: str) -> bool:
    """Whether all are dtypes of NumPy, of the kinds that these letters stand for."""
    return all(isinstance(kind, np.dtype) and kind.kind in letters for kind in kinds)


def _with_codes(numbers: np.dtype) -> np.dtype:
    """Type of numbers and codes together: in float16 many codes would be one."""
    exact = np.float32 if numbers.kind == "f" else np.float64
    return np.result_type(numbers, exact)


def _take_columns(X: Any, columns: np.ndarray) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[:, columns]
    return X[:, columns.tolist()]


def _column(X: Any, j: int) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[:, j]
    return X.to_series(j) if hasattr(X, "to_series") else X[:, j]


# Values and codes ---------------------------------------------------------------------


def distinct_values(column: Any, name: str, counted: np.ndarray | None = None) -> list:
    """Distinct values of a column, missing ones left out, in a fixed order.

    Parameters
    ----------
    column : ndarray or column of a frame
        Categories.
    name : str
        How the error message calls it.
    counted : ndarray of shape (n_rows,), bool, default=None
        Rows to look at; None takes all.

    Raises
    ------
    TypeError
        If a value cannot be looked up or stored.
    """
    values = list(_plain_values(column))
    values = values if counted is None else [*compress(values, counted)]
    try:
        values = list(set(values))
    except TypeError:  # a value like a list, which is named below
        pass
    found = [value for value in values if not is_missing(value)]
    odd = sorted({type(v).__name__ for v in found if not isinstance(v, STORED)})
    if odd:
        raise TypeError(
            f"The categorical column {name} of X holds values of type "
            f"{', '.join(odd)}. Turn them into text or numbers, as by "
            f"X[{name}].astype(str)."
        )
    try:
        return sorted(found)
    except TypeError:  # such as numbers beside text
        return sorted(found, key=lambda v: (type(v).__name__, str(v)))


def _holds_text(values: list) -> bool:
    """Return whether one of these values is a text."""
    return any(isinstance(value, str) for value in values)


def _codes_of(known: list) -> dict[Hashable, int]:
    """Codes of known values, from 1."""
    codes = {value: code for code, value in enumerate(known, start=1)}
    if _holds_text(known):
        # Arrow and CSV hold a column of one type: numbers beside text are text there.
        texts = {text: c for value, c in codes.items() for text in _spellings(value)}
        codes = texts | codes
    return codes


def _spellings(value: Any) -> tuple[str, ...]:
    """Texts that stand for a category: of a day, with the time of midnight or without.

    pandas shows that time in frames, and leaves it out in CSV.
    """
    text = str(value)
    day = text.removesuffix(MIDNIGHT)
    return (day, day + MIDNIGHT) if DAY.fullmatch(day) else (text,)


def _spelled_numbers(column: Any) -> np.ndarray:
    """A column with numbers and truth values in place of texts that spell them."""
    values = list(_plain_values(column))
    meant = {text: _spelled(text) for text in set(values) if isinstance(text, str)}
    return np.array([meant.get(value, value) for value in values], dtype=object)


def _spelled(text: str) -> Any:
    """What a text spells, in as many ways as readers of CSV take; itself if nothing."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    # A float keeps only the first digits of a long integer. To Python "1_0" is ten, to
    # whoever wrote it a name.
    for kind in () if "_" in text else (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _look_up(column: Any, codes: dict[Hashable, int]) -> np.ndarray:
    """Code of each value of a column: ndarray of shape (n_rows,), int64."""
    held: Any = getattr(column, "array", None)
    if hasattr(held, "codes"):
        # pandas' categories: each is looked up once, not once a row.
        return np.append(_look_up(held.categories, codes), 0)[held.codes]
    try:
        found = [codes.get(value, 0) for value in _plain_values(column)]
    except TypeError:  # a value like a list is no category that was ever seen
        found = [
            codes.get(value, 0) if isinstance(value, Hashable) else 0
            for value in _plain_values(column)
        ]
    return np.array(found, dtype=np.int64)


def _plain_values(column: Any) -> Iterable:
    """Values as Python objects, for which 1, 1.0 and True are the same key."""
    values = column.to_list() if hasattr(column, "to_list") else column.tolist()
    if {*map(type, values)} <= {bool, int, str, type(None)}:
        return values
    return [_plain(value) for value in values]


def _texts(column: Any) -> set[str]:
    """Values as text, missing ones left out, whole numbers without a fraction."""
    values = [value for value in _plain_values(column) if not is_missing(value)]
    whole = [isinstance(value, float) and value % 1 == 0 for value in values]
    return {str(int(v) if w else v) for v, w in zip(values, whole, strict=True)}


def _plain(value: Any) -> Any:
    """A category as JSON has it, if it is of a kind that it can be made of.

    Fractions of few digits are rounded to float32: 0.1 in a float32 column is then
    equal to 0.1 in a float64 column or in JSON. Others are distinct as they came.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if is_missing(value):
        return value
    value = without_decimal(value)
    if isinstance(value, float):
        if math.isinf(value):
            return str(value)
        return _rounded(value) if value % 1 else value
    as_text = isinstance(value, date) or type(value).__name__ in ("Interval", "Period")
    return str(value) if as_text else value


def _rounded(fraction: float) -> float:
    """A fraction as float32 has it, if float32 prints it in the same digits."""
    with np.errstate(over="ignore", under="ignore"):
        short = np.float32(fraction)
    return float(short) if float(str(short)) == fraction else fraction
