"""List ids, one per row: checked, found in whichever way they came, taken out of X."""

from typing import Any

import numpy as np

from ._tables import as_table

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
    if ids.dtype.kind in "US" and not hasattr(groups, "dtype"):
        # A list that mixes text with numbers or NaN has become text by now.
        ids = np.asarray(groups, dtype=object)
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
    values = (v.item() if isinstance(v, np.generic) else v for v in ids)
    kinds = {type(value) for value in values}
    if kinds <= {int, bool} and kinds:
        try:
            return ids.astype(np.int64)
        except OverflowError:
            return ids.astype(str)
    if kinds <= {float, int}:
        return ids.astype(np.float64)
    if len(kinds) == 1 and kinds <= {str, bytes}:
        return ids.astype(kinds.pop())
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise TypeError(f"{name} mixes or holds values of type {names}. {_MEND}")


def _from_floats(ids: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(ids).all():
        raise ValueError(f"{name} contains NaN or infinity. {_MEND}")
    whole = np.rint(ids)
    if (whole != ids).any():
        example = ids[whole != ids][0]
        raise ValueError(f"{name} contains the fractional id {example}. {_MEND}")
    bits = np.finfo(ids.dtype).nmant + 1
    if np.abs(ids).max(initial=0) > 2**bits:
        raise ValueError(
            f"{name} contains {ids.dtype} values beyond 2**{bits}, where neighbouring "
            f"ids collapse into one. Give integers or strings."
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
    if groups is not None and qid is not None:
        raise ValueError("groups and its alias qid were both given. Give one of them.")
    X = as_table(X)
    name = name if qid is None else "qid"
    given = groups if qid is None else qid
    if given is not None:
        given = check_groups(given, _n_rows(X), name=name)
    if group_column is None:
        return X, given
    X, held = pop_group_column(X, group_column)
    # Routing hands over the splitter's groups although the column would do.
    if given is not None and not np.array_equal(given, held):
        raise ValueError(
            f"{name} differs from the list ids in group_column={group_column!r}. "
            f"Leave out {name}, or set group_column=None and drop the column from X."
        )
    return X, held


def pop_group_column(X: Any, group_column: Any) -> tuple[Any, np.ndarray]:
    """Take the list ids out of X.

    Parameters
    ----------
    X : array-like, sparse matrix or frame of shape (n_rows, n_columns)
        Features and list ids. It is not changed.
    group_column : int or str
        Column of the list ids: name for frames, index for arrays.

    Returns
    -------
    X : of the same kind, of shape (n_rows, n_columns - 1)
        Features; an array that needs no copy (first or last column) is a view.
    groups : ndarray of shape (n_rows,)
        Ids as `check_groups` returns them.

    Raises
    ------
    TypeError, ValueError
        If the column is not in X, or what it holds cannot be list ids.
    """
    if hasattr(X, "columns"):
        X, ids = _pop_by_name(X, group_column)
    else:
        X, ids = _pop_by_index(X, group_column)
    return X, check_groups(ids, len(ids), name=f"group_column={group_column!r}")


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
    return pop_group_column(as_table(X), group_column)[1]


def _pop_by_name(X: Any, name: Any) -> tuple[Any, np.ndarray]:
    if name not in list(X.columns):
        shown = ", ".join(map(repr, list(X.columns)[:10]))
        raise ValueError(
            f"group_column={name!r} is not a column of X, which begins with {shown}. "
            f"Keep the column of list ids in X, also at predict."
        )
    rest = X.drop(columns=name) if hasattr(X, "iloc") else X.drop(name)
    return rest, X[name].to_numpy()


def _pop_by_index(X: Any, index: Any) -> tuple[Any, np.ndarray]:
    from_lists = not hasattr(X, "shape")
    if from_lists:
        X = np.asarray(X, dtype=object)
    if X.ndim != 2:
        raise ValueError(
            f"X must be 2-D to hold group_column={index!r}, got shape {X.shape}."
        )
    n_columns = X.shape[1]
    if not isinstance(index, int | np.integer):
        raise TypeError(
            f"group_column={index!r} must be an integer index, as X is no frame. Give "
            f"the index, or keep the frame: Pipeline.set_output(transform='pandas')."
        )
    if not -n_columns <= index < n_columns:
        raise ValueError(
            f"group_column={index!r} is out of bounds, as X has {n_columns} columns. "
            f"Keep the column of list ids in X, also at predict."
        )
    index %= n_columns
    if hasattr(X, "tocsr"):
        X = X.tocsr()
        ids = X[:, [index]].toarray()[:, 0]
        return X[:, np.delete(np.arange(n_columns), index)], ids
    before, ids, after = X[:, :index], X[:, index], X[:, index + 1 :]
    if not before.shape[1] or not after.shape[1]:
        rest = before if before.shape[1] else after
    else:
        rest = np.concatenate([before, after], axis=1)
    return (np.asarray(rest.tolist()) if from_lists else rest), np.asarray(ids)


def _n_rows(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)
