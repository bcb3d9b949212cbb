"""Why a list is ranked as it is, in numbers.

A feature can separate the items of a list, or one list from another; shuffling within
lists and between them shows which (`list_permutation_importance`). One order of
two items is explained by what it takes to change it (`explain_pair`). Both ask any
ranker that predicts with groups, GBDTs and pipelines included. `attention_maps` shows
which items look at which. Users find these in `inspection`.
"""

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._checks import check_count, check_length, check_option
from ._groups import check_groups
from ._lists import Lists, split_lists, tied_places
from ._variants import (
    feature_columns,
    feature_names,
    find_row,
    rows_of_list,
    score_lists,
    sliceable,
    sort_keys,
    take,
    with_rows,
)
from .scoring import get_scorer

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
    X = sliceable(X)
    check_length(y, "y", X.shape[0])
    groups = check_groups(groups, X.shape[0])
    lists = split_lists(groups)
    random = check_random_state(random_state)
    columns = feature_columns(estimator, X, groups)
    baseline = scorer(estimator, X, y, groups=groups)
    importances = np.empty((len(columns), n_repeats))
    for row, j in zip(importances, columns, strict=True):
        # Sorted once a feature, not once a shuffle.
        keys = sort_keys(X, j)
        for repeat in range(n_repeats):
            source = _shuffled_rows(keys, lists, how, random)
            changed = with_rows(X, j, source)
            row[repeat] = baseline - scorer(estimator, changed, y, groups=groups)
    return Bunch(
        importances=importances,
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
        baseline=baseline,
        feature_names=feature_names(X)[columns],
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
    to the difference, as features and items act together; those of `explain_list` with
    ``reference=below`` do. For a model that scores
    items one by one, `removal` is 0 throughout.
    """
    X = sliceable(X)
    groups = check_groups(groups, X.shape[0])
    items = [find_row(X, above, "above"), find_row(X, below, "below")]
    if items[0] == items[1] or groups[items[0]] != groups[items[1]]:
        ids = [groups[item].item() for item in items]
        raise ValueError(
            f"above={above!r} and below={below!r} must be two items of one list; their "
            f"lists are {ids[0]!r} and {ids[1]!r}."
        )
    rows = np.flatnonzero(groups == groups[items[0]])
    pair = [int(np.flatnonzero(rows == item)[0]) for item in items]
    table, columns = take(X, rows), feature_columns(ranker, X, groups)
    exchanged = np.arange(len(rows))
    exchanged[pair] = exchanged[pair[::-1]]
    swapped = [with_rows(table, j, exchanged) for j in columns]
    others = np.delete(np.arange(len(rows)), pair)
    without = [take(table, np.delete(np.arange(len(rows)), item)) for item in others]
    scores = list(score_lists(ranker, [table, *swapped, *without]))
    # A list without an item is one shorter: a gap keeps the others in their places.
    for at, item in enumerate(others, start=1 + len(swapped)):
        scores[at] = np.insert(scores[at], item, np.nan)
    gap = np.array([s[pair[0]] - s[pair[1]] for s in scores], dtype=np.float64)
    lost = gap[0] - gap[1:]
    return Bunch(
        difference=float(gap[0]),
        swap=lost[: len(columns)],
        feature_names=feature_names(X)[columns],
        removal=lost[len(columns) :],
        rows=rows[others],
    )


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
    X = sliceable(X)
    rows = rows_of_list(groups, X.shape[0], list_id)
    ids = None if ranker.group_column is not None else np.zeros(len(rows), dtype=int)
    weights = ranker._attention_weights(take(X, rows), groups=ids)
    return Bunch(weights=weights, rows=rows)
