"""Why a list is ranked as it is, in numbers.

A feature can separate the items of a list, or one list from another; shuffling within
lists and between them shows which (`list_permutation_importance`). One order of
two items is explained by what it takes to change it (`explain_pair`). Both ask any
ranker that predicts with groups, GBDTs and pipelines included. `attention_maps` shows
which items look at which. Users find these in `inspection`.
"""

from collections.abc import Iterator
from importlib import import_module
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._checks import check_count, check_length, check_option
from ._groups import check_groups
from ._lists import Lists, split_lists, tied_places
from ._models import group_column_of, predict_scores
from ._tables import as_table
from .scoring import get_scorer

# Rows scored in one call of predict; bounds the memory of many changed lists.
ROWS_AT_ONCE = 2**16

# Lists exchange values with lists of the same length if there are at least this many.
MIN_DONORS = 10


def list_permutation_importance(
    estimator,
    X,
    y,
    groups,
    *,
    scoring="ndcg@10",
    how="within",
    n_repeats=5,
    random_state=None,
):
    """How much a metric falls when a feature is shuffled.

    Parameters
    ----------
    estimator : estimator
        Fitted ranker, or a pipeline or search that ends in one.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features, preferably of held-out lists.
    y : array-like of shape (n_rows,)
        Labels.
    groups : array-like of shape (n_rows,)
        List id of each row.
    scoring : str or callable, default="ndcg@10"
        Name that `scoring.get_scorer` knows, or ``scorer(estimator, X, y, groups=...)``
        for which greater is better.
    how : {"within", "between"}, default="within"
        ``"within"`` shuffles the feature's values among the items of each list: what
        is lost is what the feature says about items. ``"between"`` gives each list
        the values of another list of about its length, the lowest to the item that had
        the lowest and so on: the order within the list stays, and what is lost is what
        the feature says about lists. A feature that is constant within lists (of a
        query) has importance 0 in the first and all of it in the second.
    n_repeats : int, default=5
        Number of shuffles of each feature.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffles.

    Returns
    -------
    result : Bunch
        ``importances``, ndarray of shape (n_features, n_repeats): metric before minus
        metric after; ``importances_mean`` and ``importances_std``, ndarrays of shape
        (n_features,); ``baseline``, the metric before; ``feature_names``, ndarray of
        str of shape (n_features,); ``how``.

    Raises
    ------
    TypeError, ValueError
        If an option is unknown or X, y, groups do not fit one another.

    Notes
    -----
    The column that a ranker names in `group_column` is left out. Features that
    correlate stand in for one another, so that each may seem unimportant alone.

    References
    ----------
    Breiman (2001), "Random forests", section 10: importance by permutation.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer.inspection import list_permutation_importance
    >>> from sklearn.linear_model import LinearRegression
    >>> X = np.random.RandomState(0).normal(size=(200, 2))
    >>> y, groups = (X[:, 0] > 0).astype(int), np.repeat(np.arange(20), 10)
    >>> model = LinearRegression().fit(X, y)
    >>> result = list_permutation_importance(model, X, y, groups, random_state=0)
    >>> bool(result.importances_mean[0] > 0.1 > result.importances_mean[1])
    True
    """
    check_option("how", how, ("within", "between"))
    n_repeats = check_count(n_repeats, "n_repeats")
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    X = _two_dimensional(X)
    check_length(y, "y", X.shape[0])
    groups = check_groups(groups, X.shape[0])
    lists = split_lists(groups)
    random = check_random_state(random_state)
    columns = _feature_columns(estimator, X)
    baseline = scorer(estimator, X, y, groups=groups)
    importances = np.empty((len(columns), n_repeats))
    for row, j in zip(importances, columns, strict=True):
        # Sorted once a feature, not once a shuffle.
        keys = _sort_keys(X, j)
        for repeat in range(n_repeats):
            source = _shuffled_rows(keys, lists, how, random)
            changed = _with_rows(X, j, source)
            row[repeat] = baseline - scorer(estimator, changed, y, groups=groups)
    return Bunch(
        importances=importances,
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
        baseline=baseline,
        feature_names=_feature_names(X)[columns],
        how=how,
    )


def _shuffled_rows(keys, lists: Lists, how, random) -> np.ndarray:
    """Row that each row's value is taken from: ndarray of shape (n_rows,)."""
    n_rows = lists.n_rows
    by_list = lists.rows(np.arange(lists.n_lists))
    source = np.empty(n_rows, dtype=np.int64)
    if how == "within":
        # Random keys, sorted within each list: a shuffle of all lists at once.
        source[by_list] = np.lexsort((random.random_sample(n_rows), lists.codes))
        return source
    by_value = np.lexsort((keys, lists.codes))
    ends = np.cumsum(lists.lengths)
    donor = _draw_donors(lists.lengths, random)[lists.codes[by_value]]
    # The middle of each place as a share of the list: lists differ in length.
    middle = tied_places(keys[by_value], lists.codes[by_value]) + 0.5
    at = middle / lists.lengths[lists.codes[by_value]] * lists.lengths[donor]
    source[by_value] = by_value[(ends - lists.lengths)[donor] + at.astype(np.int64)]
    return source


def _draw_donors(lengths, random) -> np.ndarray:
    """Deal out the lists among lists of similar length, each once.

    Lists of one length are dealt among themselves where there are `MIN_DONORS`. The
    values of a shorter list would serve several items, and so lose their order.
    """
    order = np.argsort(lengths, kind="stable")
    longer_than = np.searchsorted(lengths[order], lengths[order])
    dealt = np.lexsort((random.random_sample(len(order)), longer_than // MIN_DONORS))
    donors = np.empty(len(order), dtype=np.int64)
    donors[order] = order[dealt]
    return donors


def explain_pair(ranker, X, groups, above, below):
    """Why one item stands above another of its list: what would change that.

    Parameters
    ----------
    ranker : estimator
        Fitted ranker, or a pipeline or search that ends in one.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    groups : array-like of shape (n_rows,)
        List id of each row.
    above, below : int, or label of a pandas index
        Two items of one list. Integers are row indices, as from ``rank``, also where a
        frame has other integers for labels; any other value is looked up in the index
        of the frame.

    Returns
    -------
    result : Bunch
        ``difference``, float: score of `above` minus score of `below`; ``swap``,
        ndarray of shape (n_features,): how much of it is lost when the two items
        exchange their values of that feature; ``feature_names``, ndarray of str of
        shape (n_features,); ``removal``, ndarray of shape (n_others,): how much is
        lost when that other item leaves the list; ``rows``, ndarray of shape
        (n_others,): row indices of the others.

    Raises
    ------
    ValueError
        If an item is not found, or found more than once, or they are not two items of
        one list.

    Notes
    -----
    Positive numbers argue for `above`, negative ones for `below`. They need not add up
    to the difference, as features and items act together. For a model that scores
    items one by one, `removal` is 0 throughout.
    """
    X = _two_dimensional(X)
    groups = check_groups(groups, X.shape[0])
    items = [_find_row(X, above, "above"), _find_row(X, below, "below")]
    if items[0] == items[1] or groups[items[0]] != groups[items[1]]:
        raise ValueError(
            f"above={above!r} and below={below!r} must be two items of one list; their "
            f"lists are {groups[items[0]]!r} and {groups[items[1]]!r}."
        )
    rows = np.flatnonzero(groups == groups[items[0]])
    pair = [int(np.flatnonzero(rows == item)[0]) for item in items]
    table, columns = _take(X, rows), _feature_columns(ranker, X)
    exchanged = np.arange(len(rows))
    exchanged[pair] = exchanged[pair[::-1]]
    swapped = [_with_rows(table, j, exchanged) for j in columns]
    others = np.delete(np.arange(len(rows)), pair)
    without = [_take(table, np.delete(np.arange(len(rows)), item)) for item in others]
    scores = list(_score_lists(ranker, [table, *swapped, *without]))
    # A list without an item is one shorter: a gap keeps the others in their places.
    for at, item in enumerate(others, start=1 + len(swapped)):
        scores[at] = np.insert(scores[at], item, np.nan)
    gap = np.array([s[pair[0]] - s[pair[1]] for s in scores], dtype=np.float64)
    lost = gap[0] - gap[1:]
    return Bunch(
        difference=float(gap[0]),
        swap=lost[: len(columns)],
        feature_names=_feature_names(X)[columns],
        removal=lost[len(columns) :],
        rows=rows[others],
    )


def _find_row(X, item, name) -> int:
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


def _score_lists(estimator, tables) -> Iterator[np.ndarray]:
    """Score tables as lists of their own, many in one call."""
    if group_column_of(estimator) is not None:  # ids lie in the tables
        yield from (predict_scores(estimator, table, None) for table in tables)
        return
    lengths = np.array([table.shape[0] for table in tables])
    part = np.cumsum(lengths) // ROWS_AT_ONCE
    for chosen in np.split(np.arange(len(tables)), np.flatnonzero(np.diff(part)) + 1):
        ids = np.repeat(chosen, lengths[chosen])
        together = _concatenate([tables[i] for i in chosen])
        scores = predict_scores(estimator, together, ids)
        yield from np.split(scores, np.cumsum(lengths[chosen])[:-1])


def attention_maps(ranker, X, groups, list_id):
    """Which items of a list look at which, in each layer and head.

    Parameters
    ----------
    ranker : RankFormerRanker
        Fitted.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    groups : array-like of shape (n_rows,)
        List id of each row.
    list_id : int or str
        Which list.

    Returns
    -------
    result : Bunch
        ``weights``, ndarray of shape (n_members, n_layers, n_heads, 1 + n_items, 1 +
        n_items), float32: row i says how position i spreads its attention, and sums
        to 1; position 0 is the [CLS] token, which stands for the list. ``rows``,
        ndarray of shape (n_items,): row index of each item, in the order of positions.

    Raises
    ------
    TypeError
        If the ranker has no attention.
    ValueError
        If no row belongs to the list.

    Notes
    -----
    While it predicts, the network never holds these weights: they are recomputed from
    its queries and keys, in float32. What attention adds to an item's vector is gated
    besides, so that large weights alone do not mean large effects: `explain_pair`
    measures those.
    """
    check_is_fitted(ranker)
    if not hasattr(ranker, "_attention_weights"):
        raise TypeError(
            f"{type(ranker).__name__} has no attention to show. Give a fitted "
            f"RankFormerRanker itself, for a pipeline its last step."
        )
    X = _two_dimensional(X)
    rows = np.flatnonzero(check_groups(groups, X.shape[0]) == list_id)
    if not len(rows):
        raise ValueError(f"No row of groups is of the list {list_id!r}.")
    ids = None if ranker.group_column is not None else np.zeros(len(rows), dtype=int)
    weights = ranker._attention_weights(_take(X, rows), groups=ids)
    return Bunch(weights=weights, rows=rows)


# Tables of any kind -------------------------------------------------------------------


def _two_dimensional(X):
    """X as it is where it has columns, an array of a list, CSR of any sparse matrix."""
    X = as_table(X)
    X = X if hasattr(X, "shape") else np.asarray(X)
    if len(X.shape) != 2:
        raise ValueError(f"X must be 2-D, got shape {X.shape}.")
    return X.tocsr() if hasattr(X, "tocsr") else X


def _feature_names(X) -> np.ndarray:
    names = X.columns if hasattr(X, "columns") else range(X.shape[1])
    return np.array([n if isinstance(n, str) else f"x{n}" for n in names])


def _feature_columns(estimator, X) -> np.ndarray:
    """Positions of the columns that are features, not list ids."""
    column = group_column_of(estimator)
    names = list(X.columns) if hasattr(X, "columns") else range(X.shape[1])
    kept = [j for j, name in enumerate(names) if name != column]
    if isinstance(column, Integral) and column < 0:
        kept.remove(column % X.shape[1])
    return np.array(kept)


def _take(X, rows):
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _concatenate(tables):
    first = tables[0]
    if hasattr(first, "tocsr"):
        return sparse.vstack(tables, format="csr")
    if hasattr(first, "columns"):
        library = import_module(type(first).__module__.partition(".")[0])
        return library.concat(tables)  # pandas or polars
    return np.concatenate(tables)


def _with_rows(X, j, source):
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


def _sort_keys(X, j) -> np.ndarray:
    """Integers in the order of a column's values, equal where these are equal."""
    if hasattr(X, "tocsr"):
        column = X[:, [j]].toarray()[:, 0]
    elif hasattr(X, "columns"):
        series = X.iloc[:, j] if hasattr(X, "iloc") else X.to_series(j)
        column = series.to_numpy()
    else:
        column = X[:, j]
    # Missing values among texts do not compare with them.
    if column.dtype.kind == "O":
        column = column.astype(str)
    return np.unique(column, return_inverse=True)[1]
