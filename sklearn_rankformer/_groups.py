"""List ids, one per row: checked, found in whichever way they came, taken out of X."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from ._checks import plain_array
from ._tables import (
    are_missing,
    as_table,
    rows_to_array,
    two_dimensional,
    without_decimal,
)

Method = TypeVar("Method", bound=Callable[..., Any])


def check_groups(
    groups: object, n_rows: int, *, name: str = "groups", entry: str = "list id"
) -> np.ndarray:
    """Return list ids as a 1-D array that can be compared and sorted.

    Parameters
    ----------
    groups : array-like of shape (n_rows,)
        List id of each row: integers, strings, or floats and decimals that hold whole
        numbers.
    n_rows : int
        How many rows there are to be grouped.
    name : str, default="groups"
        How error messages call the argument.
    entry : str, default="list id"
        How error messages call what it holds.

    Returns
    -------
    groups : ndarray of shape (n_rows,)
        Integer, string, or other sortable ids; float, decimal and all-integer object
        input comes back as int64.

    Raises
    ------
    TypeError
        If ids are of mixed or unsortable types.
    ValueError
        If the shape or the length is wrong, or an id is missing, masked or
        fractional.
    """
    fix = _fix(entry)
    ids = plain_array(groups, name)
    if ids.ndim == 2 and ids.shape[1] == 1:
        ids = ids[:, 0]
    if ids.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {ids.shape}. {fix}")
    if len(ids) != n_rows:
        # What LightGBM and XGBoost take as `group`.
        sizes = ids.dtype.kind in "iu" and len(ids) and ids.sum() == n_rows
        hint = (
            " These look like list sizes; repeat each id instead: "
            f"np.repeat(np.arange(len({name})), {name})."
            if sizes
            else ""
        )
        raise ValueError(
            f"{name} has {len(ids)} entries for {n_rows} rows. {fix}{hint}"
        )
    if ids.dtype.kind in "OT":  # NumPy's texts of any length become others
        ids = _from_objects(ids.astype(object), name, entry)
    if ids.dtype.kind == "f":
        ids = _from_floats(ids, name, entry)
    if ids.dtype.kind not in "biuUSMm":
        raise TypeError(f"{name} has dtype {ids.dtype}. {fix}")
    if ids.dtype.kind in "Mm":
        _refuse_missing(np.isnat(ids), ids, name, entry)
    return ids


def _fix(entry: str) -> str:
    return f"Give one {entry} per row, integers or strings."


def _from_objects(ids: np.ndarray, name: str, entry: str) -> np.ndarray:
    values = [_plain_id(value) for value in ids]
    kinds = {type(value) for value in values}
    if kinds <= {int, bool} and kinds:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            # Beyond 64 bits, integers are still distinct as texts.
            return np.array(list(map(str, values)))
    if kinds <= {float, int}:
        return np.array(values, dtype=np.float64)
    if len(kinds) == 1 and kinds <= {str, bytes}:
        return ids.astype(kinds.pop())
    _refuse_missing(are_missing(values), ids, name, entry)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise TypeError(f"{name} mixes or holds values of type {names}. {_fix(entry)}")


def _plain_id(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return without_decimal(value)  # as databases give integers of many digits


def _refuse_missing(
    missing: np.ndarray, ids: np.ndarray, name: str, entry: str
) -> None:
    if missing.any():
        row = int(missing.argmax())
        shown = str(ids[row]).replace("nan", "NaN")
        raise ValueError(
            f"{name} contains {shown}: row {row} has no {entry}. Drop rows without "
            f"one, or give them one."
        )


def _from_floats(ids: np.ndarray, name: str, entry: str) -> np.ndarray:
    _refuse_missing(np.isnan(ids), ids, name, entry)
    if np.isinf(ids).any():
        raise ValueError(f"{name} contains infinity. {_fix(entry)}")
    whole = np.rint(ids)
    if (whole != ids).any():
        example = ids[whole != ids][0]
        raise ValueError(
            f"{name} contains the fractional {entry} {example}. {_fix(entry)}"
        )
    # Below this power of two every whole number is a float of its own. The power itself
    # is also what the next number is rounded to.
    bits = np.finfo(ids.dtype).nmant + 1
    if np.abs(ids).max(initial=0) >= 2**bits:
        raise ValueError(
            f"{name} contains {ids.dtype} values at or beyond 2**{bits}, where "
            f"neighbouring ids collapse into one. Give integers or strings."
        )
    return ids.astype(np.int64)


def resolve_groups(
    X: Any,
    groups: object = None,
    qid: object = None,
    group_column: Any = None,
    *,
    name: str = "groups",
) -> tuple[Any, np.ndarray | None]:
    """Find the list ids, whichever way the caller gave them.

    Parameters
    ----------
    X : array-like, sparse matrix or frame of shape (n_rows, n_columns)
        Features, with the list ids among them when ``group_column`` is given.
    groups, qid : array-like of shape (n_rows,), default=None
        List id of each row, under the one name or the other.
    group_column : int or str, default=None
        Column of X that holds the list ids: name for frames, index for arrays.
    name : str, default="groups"
        How error messages call the argument `groups`.

    Returns
    -------
    X : as given, or as `as_table` returns it
        Features without the column of list ids.
    groups : ndarray of shape (n_rows,), or None
        Ids as `check_groups` returns them; None if they were given in no way.

    Raises
    ------
    TypeError, ValueError
        If both names are used, the column is not in X, the ids are not valid, or
        those given differ from those in the column.
    """
    X = as_table(X)
    ids = find_groups(X, groups, qid, group_column, name=name)
    return X if group_column is None else _without_column(X, group_column), ids


def find_groups(
    X: Any,
    groups: object = None,
    qid: object = None,
    group_column: Any = None,
    *,
    name: str = "groups",
) -> np.ndarray | None:
    """Find the list ids as `resolve_groups` does, and leave X alone.

    Parameters
    ----------
    X, groups, qid, group_column, name
        As in `resolve_groups`.

    Returns
    -------
    groups : ndarray of shape (n_rows,), or None
        Ids as `check_groups` returns them; None if they were given in no way.

    Raises
    ------
    TypeError, ValueError
        As `resolve_groups`.
    """
    if groups is not None and qid is not None:
        raise ValueError("groups and its alias qid were both given. Give one of them.")
    X = as_table(X)
    name = name if qid is None else "qid"
    given = groups if qid is None else qid
    if given is not None:
        try:
            given = check_groups(given, _n_rows(X), name=name)
        except ValueError:
            two_dimensional(X)  # of a single row, values would be counted as rows
            raise
    if group_column is None:
        return given
    ids = _read_column(X, group_column)
    # Routing hands over the splitter's groups although the column would do.
    if given is not None and not np.array_equal(given, ids):
        raise ValueError(
            f"{name} differs from the list ids in group_column={group_column!r}. "
            f"Leave out {name}, or set group_column=None and drop the column from X."
        )
    return ids


def ids_in_column(X: Any, group_column: Any, owner: str) -> np.ndarray:
    """Return the list ids that X itself holds, for the estimator called `owner`.

    Parameters
    ----------
    X : array-like, sparse matrix or frame of shape (n_rows, n_columns)
        Features and list ids.
    group_column : int, str or None
        Column of the list ids.
    owner : str
        Class of the estimator that was asked.

    Returns
    -------
    groups : ndarray of shape (n_rows,)
        List id of each row.

    Raises
    ------
    ValueError
        If `group_column` is None or not in X.
    """
    if group_column is None:
        raise ValueError(
            f"{owner} has no list ids to find in X, as group_column "
            f"is None. Set it to the name or index of the column that holds them."
        )
    return _read_column(as_table(X), group_column)


def resolve_other_rows(
    X: Any, groups: object, suffix: str, group_column: Any, with_groups: bool
) -> tuple[Any, np.ndarray | None]:
    """Read rows that `fit` is given beside those to learn from, and their list ids.

    Parameters
    ----------
    X, groups : object
        What the caller gave.
    suffix : str
        What their names end in, such as "_val".
    group_column : str, int or None
        As in `resolve_groups`.
    with_groups : bool
        Whether they must come with ids, as the others did.

    Returns
    -------
    X, groups
        As of `resolve_groups`.

    Raises
    ------
    TypeError, ValueError
        If X is no table, or ids are invalid or missing.
    """
    X, ids = resolve_groups(
        as_table(X, f"X{suffix}"),
        groups,
        group_column=group_column,
        name=f"groups{suffix}",
    )
    if with_groups and ids is None:
        raise ValueError(
            f"X{suffix} came without groups{suffix}. Give one list id per row of "
            f"X{suffix}."
        )
    return X, ids


def refuse_foreign_names(method: Method) -> Method:
    """Have a method say what to give instead of arguments that it does not take.

    Parameters
    ----------
    method : callable
        Method that takes ``groups``.

    Returns
    -------
    method : callable
        The same, with a `TypeError` that names the class of the object and the nearest
        argument, where Python names the class that defines the method. For ``group``
        and ``group_id`` of other libraries, and, if it takes ``X_val``, for
        ``eval_set`` and what goes with that, it says how to give the same here.
    """
    names = list(signature(method).parameters)[1:]

    @wraps(method)
    def refusing(self: Any, *args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name not in names:
                raise TypeError(
                    f"{type(self).__name__}.{method.__name__}() has no argument "
                    f"{name!r}. {_way_out(name, names)}"
                )
        return method(self, *args, **kwargs)

    return refusing  # type: ignore[return-value]


def _way_out(foreign: str, names: list[str]) -> str:
    """What to give instead of an argument that is not among these."""
    if foreign in ("group", "group_id"):
        return (
            f"Give one list id per row, as groups=ids. Sizes of lists, whose rows lie "
            f"one list after the other, become ids by "
            f"groups=np.repeat(np.arange(len({foreign})), {foreign})."
        )
    if "X_val" in names and foreign.startswith("eval_"):
        return "Give lists to validate on as X_val, y_val and groups_val."
    near = get_close_matches(foreign, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"It takes {', '.join(names)}."


def _read_column(X: Any, column: Any) -> np.ndarray:
    """Checked list ids from a column of X."""
    if isinstance(column, bool):  # an integer to Python, and a slip
        raise TypeError(f"group_column={column} is neither a name nor an index.")
    if hasattr(X, "columns"):
        _check_name(X, column)
        ids = X[column].to_numpy()
    else:
        X, index = _find_index(X, column)
        ids = X[:, [index]].toarray()[:, 0] if hasattr(X, "tocsr") else X[:, index]
    return check_groups(ids, len(ids), name=f"group_column={column!r}")


def _without_column(X: Any, column: Any) -> Any:
    """X of the same kind without a column; a view where no copy is needed."""
    if hasattr(X, "columns"):
        _check_name(X, column)
        return X.drop(columns=column) if hasattr(X, "iloc") else X.drop(column)
    from_lists = not hasattr(X, "shape")
    X, index = _find_index(X, column)
    n_columns = X.shape[1]
    if hasattr(X, "tocsr"):
        return X[:, np.delete(np.arange(n_columns), index)]
    if index in (0, n_columns - 1):
        rest = X[:, 1:] if index == 0 else X[:, :-1]
    else:
        # Row by row in memory, as it came.
        rest = X.take(np.delete(np.arange(n_columns), index), axis=1)
    # From objects back to the type of what is left.
    return rows_to_array(rest.tolist()) if from_lists else rest


def _check_name(X: Any, name: Any) -> None:
    if name not in list(X.columns):
        shown = ", ".join(map(repr, list(X.columns)[:10]))
        raise ValueError(
            f"group_column={name!r} is not a column of X, which begins with {shown}. "
            f"Keep the column of list ids in X, also at predict."
        )


def _find_index(X: Any, index: Any) -> tuple[Any, int]:
    """X as array or CSR matrix, and the index of the column from 0."""
    if not hasattr(X, "shape"):
        X = np.asarray(X, dtype=object)
    if X.ndim != 2:
        raise ValueError(
            f"X must be 2-D to hold group_column={index!r}, got shape {X.shape}."
        )
    n_columns = X.shape[1]
    if not isinstance(index, Integral):
        raise TypeError(
            f"group_column={index!r} must be an integer index, as X is no frame. Give "
            f"the index, or keep the frame: Pipeline.set_output(transform='pandas')."
        )
    index = int(index)
    if not -n_columns <= index < n_columns:
        raise ValueError(
            f"group_column={index!r} is out of bounds, as X has {n_columns} columns. "
            f"Keep the column of list ids in X, also at predict."
        )
    return X.tocsr() if hasattr(X, "tocsr") else X, index % n_columns


def _n_rows(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)
