"""Lists changed in one way or another, and what a ranker says of them.

Explanations ask a ranker about lists that nobody has seen: a column exchanged, an item
left out, features levelled. Such variants are made here of a table of any kind, and
scored many at a time, each as a list of its own.
"""

from collections.abc import Iterator
from decimal import Decimal
from numbers import Integral, Real

import numpy as np
from scipy import sparse

from ._frames import frame_library
from ._groups import check_groups
from ._models import group_column_of, predict_scores, unwrap
from ._tables import are_missing, as_table, two_dimensional

# Rows scored in one call of predict; bounds the memory of many changed lists.
ROWS_AT_ONCE = 2**16


def rows_of_list(groups, n_rows, list_id) -> np.ndarray:
    """Row indices of one list, which has to be there."""
    rows = np.flatnonzero(check_groups(groups, n_rows) == list_id)
    if not len(rows):
        raise ValueError(f"No row of groups is of the list {list_id!r}.")
    return rows


def find_row(X, item, name) -> int:
    """Row index of an item that is given as such, or by the label of a pandas index."""
    n_rows, labelled = X.shape[0], hasattr(X, "iloc")
    is_number = isinstance(item, Integral) and not isinstance(item, bool)
    if is_number and 0 <= int(item) < n_rows:
        return int(item)
    found = X.index.get_indexer_for([item]) if labelled else np.array([-1])
    if len(found) > 1:
        raise ValueError(
            f"{name}={item!r} is the label of {len(found)} rows. Give a row index."
        )
    if found[0] < 0 or is_number:
        other = " or a label of X's index" if labelled else ""
        hint = f" The row of label {item} is {found[0]}." if found[0] >= 0 else ""
        raise ValueError(
            f"{name} must be a row index from 0 to {n_rows - 1}{other}, got {item}."
            f"{hint}"
        )
    return int(found[0])


def score_lists(estimator, tables) -> Iterator[np.ndarray]:
    """Score tables as lists of their own, many in one call."""
    if group_column_of(estimator) is not None:  # ids lie in the tables
        yield from (predict_scores(estimator, table, None) for table in tables)
        return
    lengths = np.array([table.shape[0] for table in tables])
    part = np.cumsum(lengths) // ROWS_AT_ONCE
    for chosen in np.split(np.arange(len(tables)), np.flatnonzero(np.diff(part)) + 1):
        ids = np.repeat(chosen, lengths[chosen])
        together = concatenate([tables[i] for i in chosen])
        scores = predict_scores(estimator, together, ids)
        yield from np.split(scores, np.cumsum(lengths[chosen])[:-1])


def score_parts(estimator, table, size) -> np.ndarray:
    """Score each `size` rows of a table as a list of its own: (n_lists, size)."""
    ids = np.repeat(np.arange(table.shape[0] // size), size)
    if group_column_of(estimator) is None:
        return predict_scores(estimator, table, ids).reshape(-1, size)
    if not unwrap(estimator)[0]:
        features = feature_columns(estimator, table, None)
        of_ids = np.setdiff1d(range(table.shape[1]), features)
        numbered = _with_ids(table, int(of_ids[0]), ids)
        return predict_scores(estimator, numbered, None).reshape(-1, size)
    # Transformers may know the ids of their training only: each part keeps its own.
    parts = np.arange(table.shape[0]).reshape(-1, size)
    return np.array([predict_scores(estimator, take(table, p), None) for p in parts])


# Tables of any kind -------------------------------------------------------------------


def sliceable(X):
    """X as it is where it has columns, an array of a list, CSR of any sparse matrix."""
    X = two_dimensional(as_table(X))
    return X.tocsr() if hasattr(X, "tocsr") else X


def feature_names(X) -> np.ndarray:
    names = X.columns if hasattr(X, "columns") else range(X.shape[1])
    return np.array([n if isinstance(n, str) else f"x{n}" for n in names])


def feature_columns(estimator, X, groups) -> np.ndarray:
    """Positions of the columns that are features, not the list ids `groups`."""
    column, places = group_column_of(estimator), np.arange(X.shape[1])
    if column is None:
        return places
    if hasattr(X, "columns"):
        is_id = np.array([name == column for name in X.columns], dtype=bool)
    else:
        is_id = (places == column) | (places - len(places) == column)
        if unwrap(estimator)[0] and is_id.any():
            # Transformers may have moved it here from elsewhere.
            is_id &= np.array_equal(_column(X, column), groups)
    if not is_id.any():
        raise ValueError(
            f"group_column={column!r} is not known among the columns of X, of which "
            f"transformers make others before the ranker takes it. Give a frame whose "
            f"column of list ids keeps its name, or a ranker without group_column."
        )
    return places[~is_id]


def take(X, rows):
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def concatenate(tables):
    first = tables[0]
    if hasattr(first, "tocsr"):
        return sparse.vstack(tables, format="csr")
    library = frame_library(first)
    if library is not None:
        return library.join(tables)
    return np.concatenate(tables)


def with_rows(X, j, source):
    """Copy of X in which column j has the values of the rows `source`."""
    if hasattr(X, "tocsr"):
        return sparse.hstack([X[:, :j], X[source][:, [j]], X[:, j + 1 :]], format="csr")
    if hasattr(X, "iloc"):
        changed = X.copy()
        changed.isetitem(j, X.iloc[source, j].array)
        return changed
    if hasattr(X, "columns"):
        return X.with_columns(X.to_series(j).gather(source))
    changed = X.copy()
    changed[:, j] = X[source, j]
    return changed


def mix_rows(X, columns, sources):
    """Table in which each cell of these columns has the value of a row of its own.

    `sources`, of shape (n_out, n_columns), has the rows; other columns are as in row 0.
    """
    mixed = take(X, np.zeros(len(sources), dtype=np.int64))
    if hasattr(X, "tocsr"):
        new = np.take_along_axis(X[:, columns].toarray(), sources, axis=0)
        others = np.delete(np.arange(X.shape[1]), columns)
        together = sparse.hstack([mixed[:, others], new], format="csr")
        return together[:, np.argsort(np.concatenate([others, columns]))]
    if hasattr(X, "iloc"):
        for j, rows in zip(columns, sources.T, strict=True):
            mixed.isetitem(j, X.iloc[rows, j].array)
        return mixed
    if hasattr(X, "columns"):
        together = zip(columns, sources.T, strict=True)
        return mixed.with_columns(X.to_series(j).gather(rows) for j, rows in together)
    mixed[:, columns] = np.take_along_axis(X[:, columns], sources, axis=0)
    return mixed


def _with_ids(X, j, ids):
    """Copy of X with other list ids in column j."""
    if hasattr(X, "tocsr"):
        return sparse.hstack([X[:, :j], ids[:, None], X[:, j + 1 :]], format="csr")
    if hasattr(X, "iloc"):
        changed = X.copy()
        changed.isetitem(j, ids)
        return changed
    if hasattr(X, "columns"):
        return X.with_columns(type(X.to_series(j))(X.columns[j], ids))
    # A type that holds the ids too: 8 bits or short texts may not.
    changed = X.astype(np.result_type(X, np.min_scalar_type(len(ids))))
    changed[:, j] = ids
    return changed


def _column(X, j) -> np.ndarray:
    """Values of a column."""
    if hasattr(X, "tocsr"):
        return X[:, [j]].toarray()[:, 0]
    if hasattr(X, "columns"):
        return (X.iloc[:, j] if hasattr(X, "iloc") else X.to_series(j)).to_numpy()
    return X[:, j]


def _sortable(X, j) -> np.ndarray:
    """Values of a column, as texts where they are objects and not all numbers."""
    column = _column(X, j)
    if column.dtype.kind != "O":
        return column
    missing = are_missing(column)
    # Decimals are numbers, too, which Python keeps apart from the real ones.
    if all(isinstance(value, Real | Decimal) for value in column[~missing]):
        return np.where(missing, np.nan, column).astype(np.float64)
    # Missing values do not compare with texts, and may be called as one of them.
    return np.where(missing, "", np.char.add("=", column.astype(str)))


def sort_keys(X, j) -> np.ndarray:
    """Integers in the order of a column's values, equal where these are equal."""
    return np.unique(_sortable(X, j), return_inverse=True)[1]


def middle_row(X, j) -> int:
    """Row of a column's middle value, or of its most common one if it has no middle."""
    column = _sortable(X, j)
    _, keys, count = np.unique(column, return_inverse=True, return_counts=True)
    # Of categories that are called by numbers there is none either.
    has_middle = column.dtype.kind in "biuf" and not _is_category(X, j)
    middle = np.sort(keys)[len(keys) // 2] if has_middle else count.argmax()
    return int((keys == middle).argmax())


def _is_category(X, j) -> bool:
    # As pandas calls them; those of polars are texts.
    return hasattr(X, "columns") and str(list(X.dtypes)[j]) == "category"
