"""Splits that keep lists whole, where scikit-learn has none; and a check of any split.

Most needs are met by scikit-learn's own `GroupKFold`, `StratifiedGroupKFold`,
`GroupShuffleSplit` and `LeaveOneGroupOut`: give them the list ids as ``groups``. Here
are folds alike in the values of their lists, folds in the order of time, and a
`train_test_split` by lists:

>>> import numpy as np
>>> from sklearn_rankformer.model_selection import check_group_cv, train_test_split
>>> y, groups = np.array([0, 1, 0, 0, 2, 0]), np.array([7, 7, 8, 8, 9, 9])
>>> *_, g_train, g_test = train_test_split(y, y, groups, times=groups)
>>> g_train, g_test
(array([7, 7, 8, 8]), array([9, 9]))

`check_group_cv` says whether a splitter cuts lists in two:

>>> check_group_cv(2, y, groups=groups)
Traceback (most recent call last):
ValueError: cv=KFold(n_splits=2, ...) has 1 of 3 lists on both sides of split 0...
"""

import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.model_selection import BaseCrossValidator, TimeSeriesSplit, check_cv
from sklearn.utils import _safe_indexing, check_random_state, indexable
from sklearn.utils.validation import _num_samples

from ._checks import check_count, check_labels, check_length, plain_column
from ._groups import check_groups
from ._lists import split_lists
from ._tables import is_arrow


def train_test_split(
    X,
    y,
    groups,
    *arrays,
    times=None,
    test_size=0.25,
    random_state=None,
    stratify_lists=False,
):
    """Split rows into training and test data by whole lists.

    Parameters
    ----------
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    y : array-like of shape (n_rows,)
        Labels.
    groups : array-like of shape (n_rows,)
        List id of each row, in any order.
    *arrays : array-likes of shape (n_rows,) or (n_rows, n_columns)
        Whatever else there is of each row, such as weights or positions.
    times : array-like of shape (n_rows,), default=None
        Time of each row's list: numbers or datetime64, the same on all rows of a
        list. With times the latest lists are held out, and nothing is drawn; other
        lists at the time of the earliest of these are held out, too.
    test_size : float or int, default=0.25
        Share of the lists (rounded up), or their number, in the test data.
    random_state : int, RandomState instance or None, default=None
        Which lists are drawn.
    stratify_lists : bool, default=False
        Whether both sides get their share of lists of each value, the value of a
        list being its highest label: levels are represented to within one list.

    Returns
    -------
    X_train, X_test, y_train, y_test, groups_train, groups_test, ... : as given
        Rows in the order in which they came; the two sides of each further array
        after those of `groups`.

    Raises
    ------
    TypeError, ValueError
        If lengths differ, ids or times are not valid, a side would be without any
        list, or `stratify_lists` is set besides `times`.

    Notes
    -----
    Instead of scikit-learn's ``train_size`` split the training data once more, and
    instead of ``shuffle=False`` give ``times``, such as ``times=groups`` where list ids
    ascend.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer.model_selection import train_test_split
    >>> groups = np.array([3, 1, 3, 2, 1, 4])
    >>> *_, groups_train, groups_test = train_test_split(
    ...     np.zeros((6, 2)), np.zeros(6), groups, random_state=0
    ... )
    >>> groups_train, groups_test
    (array([1, 2, 1, 4]), array([3, 3]))
    """
    if times is not None and stratify_lists:
        raise ValueError(
            "stratify_lists draws lists, and with times none are drawn. Leave out one "
            "of them."
        )
    named = [("X", X), ("y", y), *((f"arrays[{i}]", a) for i, a in enumerate(arrays))]
    missing = [name for name, one in named if one is None]
    if missing:
        raise ValueError(
            f"train_test_split got None as {' and '.join(missing)}. Give one entry per "
            f"row."
        )
    X, y, groups, *arrays = indexable(X, y, groups, *arrays)
    lists = _lists_from(X, groups, "train_test_split")
    n_test = _count_test_lists(test_size, lists.n_lists)
    if times is not None:
        chosen = _latest_lists(_list_times(times, lists), n_test)
    elif stratify_lists:
        chosen = _draw_of_each_value(_list_values(y, lists), n_test, random_state)
    else:
        chosen = check_random_state(random_state).permutation(lists.n_lists)[:n_test]
    in_test = np.isin(lists.codes, chosen)
    # Ascending, so that rows stay in the order in which they came.
    sides = np.flatnonzero(~in_test), np.flatnonzero(in_test)
    given = (X, y, groups, *arrays)
    return tuple(_take(one, rows) for one in given for rows in sides)


def _take(given, rows):
    """These rows, as given."""
    # Of Arrow's record batches scikit-learn makes one column of structs.
    return given.take(rows) if is_arrow(given) else _safe_indexing(given, rows)


def _latest_lists(starts, n_test):
    """Positions of the latest lists, at least `n_test`: none is left at their time."""
    earliest = np.sort(starts)[-n_test]
    chosen = np.flatnonzero(starts >= earliest)
    if len(chosen) == len(starts):
        raise ValueError(
            f"No list is earlier than the lists of time {earliest}, which are to be "
            f"tested on. Give finer times or a smaller test_size."
        )
    return chosen


def _draw_of_each_value(values, n_test, random_state):
    """Positions of lists drawn so that each value has its share."""
    rng = check_random_state(random_state)
    order = rng.permutation(len(values))
    order = order[np.argsort(values[order], kind="stable")]
    # Every (n_lists / n_test)-th of the sorted lists, from a random one on.
    steps = np.arange(n_test) * len(values) + rng.randint(len(values))
    return order[steps // n_test]


class ListKFold(BaseCrossValidator):
    """K folds alike in number of lists and in the values of their lists.

    The value of a list is its highest label. `GroupKFold` makes folds alike in number
    of rows and `StratifiedGroupKFold` in row labels; where a few long lists hold most
    rows, or where most lists hold nothing relevant, either may leave a fold with few
    lists that count in a metric.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=True
        Whether lists of equal value are shuffled; otherwise they are dealt out in
        the order of their ids.
    random_state : int, RandomState instance or None, default=None
        How they are shuffled.

    Notes
    -----
    Lists are sorted by value and dealt out like cards. The numbers of lists in two
    folds, of each value and in all, thus differ by one at most.

    With metadata routing, ``groups`` is requested by default.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer.model_selection import ListKFold
    >>> groups = np.repeat([1, 2, 3, 4], [5, 1, 1, 2])
    >>> y = np.array([0, 2, 0, 0, 1, 2, 0, 0, 0])
    >>> for train, test in ListKFold(2, shuffle=False).split(y, y, groups):
    ...     print(np.unique(groups[test]))
    [1 3]
    [2 4]
    """

    __metadata_request__split: ClassVar[dict] = {"groups": True}

    def __init__(self, n_splits=5, *, shuffle=True, random_state=None):
        self.n_splits = check_count(n_splits, "n_splits", 2)
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds; the arguments are ignored."""
        return self.n_splits

    def split(self, X, y, groups=None):
        """Generate row indices of training and test data.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Only its length matters.
        y : array-like of shape (n_rows,)
            Labels, numbers.
        groups : array-like of shape (n_rows,)
            List id of each row, in any order.

        Yields
        ------
        train, test : ndarray of shape (n_train,) and (n_test,), int64
            Row indices, ascending.

        Raises
        ------
        TypeError, ValueError
            If labels or ids are missing or not valid, or there are fewer lists than
            folds.
        """
        return super().split(X, y, groups)

    def _iter_test_masks(self, X, y=None, groups=None):
        lists = _lists_from(X, groups, "ListKFold")
        _check_enough_lists(lists.n_lists, self.n_splits, "ListKFold")
        values = _list_values(y, lists)
        positions = np.arange(lists.n_lists)
        if self.shuffle:
            positions = check_random_state(self.random_state).permutation(positions)
        folds = np.empty(lists.n_lists, dtype=np.int64)
        # Lists of equal value are dealt out in shuffled order, or in that of their ids.
        order = np.lexsort((positions, values))
        folds[order] = np.arange(lists.n_lists) % self.n_splits
        for fold in range(self.n_splits):
            yield folds[lists.codes] == fold


class TimeSeriesListSplit(BaseCrossValidator):
    """Splits in the order of time: train on earlier lists, test on later ones.

    What `TimeSeriesSplit` is to rows, this is to lists. Click logs call for it: a
    random split lets a ranker learn from searches made after those it is tested on.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits, at least 2. Lists in the order of time are cut into
        ``n_splits + 1`` stretches; each but the first is tested on once, after
        training on all before it.

    Notes
    -----
    Lists are in the order in which their first rows come, unless ``split`` is given
    ``times``. Lists of the same time as the first tested one are not trained on.

    With metadata routing, ``groups`` and ``times`` are requested by default:
    ``GridSearchCV(..., cv=TimeSeriesListSplit()).fit(X, y, groups=g, times=t)``.
    Without routing, pass ``cv=list(TimeSeriesListSplit().split(X, y, g, t))``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer.model_selection import TimeSeriesListSplit
    >>> groups = np.array([8, 8, 2, 5, 5])
    >>> for train, test in TimeSeriesListSplit(2).split(groups, groups=groups):
    ...     print(train, test)
    [0 1] [2]
    [0 1 2] [3 4]
    """

    __metadata_request__split: ClassVar[dict] = {"groups": True, "times": True}

    def __init__(self, n_splits=5):
        self.n_splits = check_count(n_splits, "n_splits", 2)

    def get_n_splits(self, X=None, y=None, groups=None, times=None):
        """Return the number of splits; the arguments are ignored."""
        return self.n_splits

    def split(self, X, y=None, groups=None, times=None):
        """Generate row indices of training and test data.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Only its length matters.
        y : object, default=None
            Ignored.
        groups : array-like of shape (n_rows,)
            List id of each row, in any order.
        times : array-like of shape (n_rows,), default=None
            Time of each row's list: numbers or datetime64, the same on all rows of
            a list.

        Yields
        ------
        train, test : ndarray of shape (n_train,) and (n_test,), int64
            Row indices, ascending.

        Raises
        ------
        TypeError, ValueError
            If ids or times are missing or not valid, there are fewer than
            ``n_splits + 1`` lists, or too many lists share a time.
        """
        lists = _lists_from(X, groups, "TimeSeriesListSplit")
        _check_enough_lists(lists.n_lists, self.n_splits + 1, "TimeSeriesListSplit")
        first_rows = lists.reduce(np.minimum, np.arange(lists.n_rows))
        starts = first_rows if times is None else _list_times(times, lists)
        # Lists of one time stay in the order of their rows.
        order = np.lexsort((first_rows, starts))
        for earlier, later in TimeSeriesSplit(self.n_splits).split(order):
            train, test = order[earlier], order[later]
            # A list of the same time as a tested one is not the past.
            train = train[starts[train] < starts[test[0]]]
            if not len(train):
                raise ValueError(
                    f"No list is earlier than the lists of time {starts[test[0]]}, "
                    f"which are to be tested on. Give finer times or fewer splits."
                )
            yield np.sort(lists.rows(train)), np.sort(lists.rows(test))


def check_group_cv(cv, X, y=None, groups=None):
    """Make sure that no split has a list on both sides.

    Parameters
    ----------
    cv : int, splitter, or iterable of (train, test)
        Whatever scikit-learn takes as ``cv``.
    X : array-like of shape (n_rows, n_features)
        Features.
    y : array-like of shape (n_rows,), default=None
        Labels.
    groups : array-like of shape (n_rows,)
        List id of each row, in any order.

    Returns
    -------
    cv : splitter
        The same splitter; integers and iterables made into one, as by `check_cv`.

    Raises
    ------
    TypeError, ValueError
        If a list has rows in the training and in the test data of one split, or ids
        are missing or not valid.

    Notes
    -----
    A splitter that draws again at each call (``random_state=None``) is checked on one
    of its draws.

    Examples
    --------
    >>> from sklearn.model_selection import GroupKFold
    >>> from sklearn_rankformer.model_selection import check_group_cv
    >>> groups = [1, 1, 2, 2, 3, 3]
    >>> check_group_cv(GroupKFold(3), groups, groups=groups)
    GroupKFold(n_splits=3, random_state=None, shuffle=False)
    """
    return checked_splits(cv, X, y, groups)[0]


def checked_splits(cv, X, y, groups):
    """Return what `check_group_cv` does, and the splits that were checked.

    Parameters
    ----------
    cv, X, y, groups
        As in `check_group_cv`.

    Returns
    -------
    cv : splitter
        As from `check_group_cv`.
    splits : list of (train, test)
        Its splits: one that draws anew each time would give others next.
    """
    lists = _lists_from(X, groups, "check_group_cv")
    cv = check_cv(cv, y)
    with warnings.catch_warnings():
        # Whether groups are ignored is what we are here to find out.
        warnings.filterwarnings("ignore", "The groups parameter is ignored")
        splits = list(cv.split(X, y, groups))
    for number, (train, test) in enumerate(splits):
        shared = np.intersect1d(lists.codes[train], lists.codes[test])
        if len(shared):
            examples = ", ".join(str(one) for one in lists.ids[shared[:3]])
            raise ValueError(
                f"cv={cv} has {len(shared)} of {lists.n_lists} lists on both sides of "
                f"split {number}, such as the lists with id {examples}. Use a splitter "
                f"that keeps lists whole: GroupKFold, GroupShuffleSplit, ListKFold."
            )
    return cv, splits


def _lists_from(X, groups, what):
    if groups is None:
        raise ValueError(f"{what} needs groups=..., one list id per row of X.")
    return split_lists(check_groups(groups, _num_samples(X)))


def _list_values(y, lists):
    return lists.reduce(np.maximum, check_labels(y, negative=True))


def _list_times(times, lists):
    times = plain_column(times, "times")
    check_length(times, "times", lists.n_rows)
    # NaN and NaT differ from themselves.
    if times.dtype.kind not in "iufM" or (times != times).any():
        shown = ", ".join(map(str, times[:3]))
        way_out = (
            " Dates, texts and times with a zone become such by "
            "pandas.to_datetime(list(times), utc=True).tz_localize(None)."
            if times.dtype.kind in "OU"
            else ""
        )
        raise ValueError(
            f"times must be numbers or datetime64 and none may be missing, got dtype "
            f"{times.dtype}: {shown}.{way_out}"
        )
    first, last = (lists.reduce(ufunc, times) for ufunc in (np.minimum, np.maximum))
    if (first != last).any():
        example = lists.ids[np.flatnonzero(first != last)[0]]
        raise ValueError(
            f"times differ within the list {example}. Give all rows of a list the "
            f"same time, such as that of the search."
        )
    return first


def _count_test_lists(test_size, n_lists):
    if isinstance(test_size, Integral) and not isinstance(test_size, bool):
        n_test = int(test_size)
    elif isinstance(test_size, Real) and 0 < float(test_size) < 1:
        n_test = int(np.ceil(float(test_size) * n_lists))
    else:
        raise ValueError(
            f"test_size must be a share between 0 and 1 or a number of lists, got "
            f"{test_size!r}."
        )
    if not 0 < n_test < n_lists:
        raise ValueError(
            f"test_size={test_size!r} leaves no list on one side: {n_test} of "
            f"{n_lists} lists would be tested on."
        )
    return n_test


def _check_enough_lists(n_lists, needed, what):
    if n_lists < needed:
        raise ValueError(
            f"{what} needs at least {needed} lists, got {n_lists}. Give fewer splits."
        )
