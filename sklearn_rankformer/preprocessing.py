"""Features made fit for a network, and features that know their list.

`TabularTransform` is what the rankers apply to raw columns, so that nobody has to scale
anything: ranks instead of values, flags for missing ones. `WithinListScaler` is an
ordinary scikit-learn transformer which gives any other model, a GBDT say, the context
of the list. numpy and scikit-learn only.
"""

import numpy as np
from scipy.special import ndtri
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from ._groups import resolve_groups
from ._lists import lists_of
from ._warnings import warn_missing_groups


class TabularTransform:
    """Numeric columns to normal scores, missing values to flags, codes as they are.

    Each numeric column goes through its empirical distribution function, with tied
    values at the middle of their ranks, then through the inverse normal one; beyond the
    range seen it saturates. Constant columns are dropped. A column with missing values
    gains a 0/1 flag; a missing value itself becomes 0, the median. Of more than
    `MAX_ROWS` rows, a random sample tells all this.

    Parameters
    ----------
    quantiles : bool, default=True
        False passes numeric columns on as they are.
    categorical : ndarray of shape (n_features,), bool, optional
        Columns that hold category codes; codes become 1, 2, ..., and 0 stands for
        missing or unknown.
    cardinalities : tuple of int, default=()
        Number of categories of each categorical column.

    Attributes
    ----------
    numeric_ : ndarray of shape (n_numeric,), int
        Numeric columns kept.
    flagged_ : ndarray of shape (n_flags,), int
        Columns that have a flag for missing values.
    categorical_ : ndarray of shape (n_categorical,), int
        Categorical columns.
    knots_, scores_ : ndarray of shape (n_numeric, n_knots), float64
        Values and their normal scores, padded by repeating the last.
    """

    N_KNOTS = 256
    MAX_ROWS = 100_000

    def __init__(self, quantiles=True, categorical=None, cardinalities=()):
        self.quantiles = quantiles
        self.categorical = categorical
        self.cardinalities = tuple(cardinalities)

    def fit(self, X, rng):
        """Learn the tables from X, or from `MAX_ROWS` of its rows.

        Parameters
        ----------
        X : ndarray or sparse matrix of shape (n_rows, n_features)
            Numbers, NaN where missing.
        rng : numpy.random.RandomState
            Draws the rows of a large X.

        Returns
        -------
        self : TabularTransform
        """
        n_rows, n_features = X.shape
        if n_rows > self.MAX_ROWS:
            # Sorted, so that a memory-mapped X is read once, front to back.
            X = X[np.sort(rng.choice(n_rows, self.MAX_ROWS, replace=False))]
        X = _dense(X)
        is_category = np.zeros(n_features, dtype=bool)
        if self.categorical is not None:
            is_category = np.asarray(self.categorical, dtype=bool)
        self.categorical_ = np.flatnonzero(is_category)
        missing = (
            np.isnan(X).any(axis=0) if X.dtype.kind == "f" else is_category & False
        )
        self.flagged_ = np.flatnonzero(missing & ~is_category)
        numeric = np.flatnonzero(~is_category)
        if not self.quantiles:
            self.numeric_ = numeric
            return self
        tables = {j: _normal_scores(X[:, j], self.N_KNOTS) for j in numeric}
        varied = [j for j in numeric if len(tables[j][0]) > 1]
        if not varied and not len(self.flagged_) and not len(self.categorical_):
            varied = list(numeric[:1])  # nothing to tell by, but still a column
        self.numeric_ = np.array(varied, dtype=int)
        width = max((len(tables[j][0]) for j in self.numeric_), default=1)
        self.knots_ = _stack([tables[j][0] for j in self.numeric_], width)
        self.scores_ = _stack([tables[j][1] for j in self.numeric_], width)
        return self

    @property
    def n_columns(self):
        """Number of columns that `transform` gives."""
        return len(self.numeric_) + len(self.flagged_) + len(self.categorical_)

    def transform(self, X):
        """Return columns: numeric, flags, category codes.

        Parameters
        ----------
        X : ndarray or sparse matrix of shape (n_rows, n_features)
            Rows in the columns seen by `fit`.

        Returns
        -------
        columns : ndarray of shape (n_rows, n_columns), float32
        """
        X = _dense(X)
        n_numeric, n_flags = len(self.numeric_), len(self.flagged_)
        columns = np.empty((len(X), self.n_columns), dtype=np.float32)
        for i, j in enumerate(self.numeric_):
            with np.errstate(over="ignore"):  # what overflows is refused below
                columns[:, i] = (
                    np.interp(X[:, j], self.knots_[i], self.scores_[i])
                    if self.quantiles
                    else X[:, j]
                )
        columns[:, n_numeric : n_numeric + n_flags] = np.isnan(X[:, self.flagged_])
        columns[:, n_numeric + n_flags :] = X[:, self.categorical_] + 1
        if np.isinf(columns).any():
            raise ValueError(
                "X holds values beyond the range of float32. Scale them, or let "
                "input_transform='quantile' do it."
            )
        return np.nan_to_num(columns, copy=False, nan=0.0)

    def to_arrays(self):
        """Return all that `fit` learned, as arrays by name."""
        names = ["numeric_", "flagged_", "categorical_"]
        names += ["knots_", "scores_"] if self.quantiles else []
        arrays = {name[:-1]: getattr(self, name) for name in names}
        arrays["cardinalities"] = np.array(self.cardinalities, dtype=np.int64)
        return arrays

    @classmethod
    def from_arrays(cls, arrays):
        """Return the fitted transform that gave these arrays by `to_arrays`."""
        arrays = dict(arrays)
        cardinalities = arrays.pop("cardinalities").tolist()
        transform = cls(quantiles="knots" in arrays, cardinalities=cardinalities)
        for name, array in arrays.items():
            setattr(transform, f"{name}_", array)
        return transform


def _dense(X):
    return X.toarray() if hasattr(X, "toarray") else X


def _normal_scores(values, n_knots):
    """Knots of one column and their normal scores; no knot where all is missing."""
    values = np.sort(values[~np.isnan(values)].astype(np.float64))
    knots = np.unique(values)
    if len(knots) > n_knots:
        at = np.linspace(0, len(values) - 1, n_knots).round().astype(int)
        knots = np.unique(values[at])
    below = np.searchsorted(values, knots, side="left")
    up_to = np.searchsorted(values, knots, side="right")
    return knots, ndtri((below + up_to) / (2 * max(len(values), 1)))


def _stack(rows, width):
    table = np.empty((len(rows), width))
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
        table[i, len(row) :] = row[-1]
    return table


class WithinListScaler(TransformerMixin, BaseEstimator):
    """Standardise and rank each feature within its list.

    A ten-dollar item means one thing among five-dollar items and another among
    twenty-dollar ones. Models that score items one by one, GBDTs among them, see the
    difference once each feature is also given relative to its list. (RankFormer has
    this built in.)

    Parameters
    ----------
    output : {"append", "replace"}, default="append"
        Whether the relative features follow the original ones or stand in for them.
    with_rank : bool, default=True
        Whether to add each feature's rank within its list, from 0 (lowest) to 1, ties
        averaged, beside its standardised value.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen by `fit`.
    fitted_with_groups_ : bool
        Whether `fit` was given list ids.

    Notes
    -----
    Nothing is learned in `fit`: every list is measured by itself, so lists never seen
    before are treated like any other. With metadata routing enabled, a pipeline hands
    `groups` to `fit` and `transform` without further requests. Missing values stay
    missing and do not count in means and ranks.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer import WithinListScaler
    >>> price = np.array([[5.0], [10.0], [10.0], [20.0]])
    >>> scaler = WithinListScaler(with_rank=False, output="replace")
    >>> scaler.fit_transform(price, groups=[0, 0, 1, 1]).ravel()
    array([-1.,  1., -1.,  1.])
    """

    __metadata_request__fit = {"groups": True}
    __metadata_request__transform = {"groups": True}

    def __init__(self, *, output="append", with_rank=True):
        self.output = output
        self.with_rank = with_rank

    def fit(self, X, y=None, groups=None):
        """Check the input; nothing is learned.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Features, NaN where missing.
        y : None
            Ignored.
        groups : array-like of shape (n_rows,), default=None
            List id of each row; None takes all rows for one list.

        Returns
        -------
        self : WithinListScaler
            The scaler.
        """
        if self.output not in ("append", "replace"):
            raise ValueError(
                f"output must be 'append' or 'replace', got {self.output!r}."
            )
        X = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=True
        )
        resolve_groups(X, groups)
        if groups is None:
            warn_missing_groups("WithinListScaler.fit")
        self.fitted_with_groups_ = groups is not None
        return self

    def fit_transform(self, X, y=None, groups=None):
        """Same as ``fit(X, y, groups).transform(X, groups)``.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Features, NaN where missing.
        y : None
            Ignored.
        groups : array-like of shape (n_rows,), default=None
            List id of each row.

        Returns
        -------
        X_out : ndarray of shape (n_rows, n_features_out), float64
            As from `transform`.
        """
        return self.fit(X, y, groups).transform(X, groups)

    def transform(self, X, groups=None):
        """Return the features relative to their lists.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Features, NaN where missing.
        groups : array-like of shape (n_rows,), default=None
            List id of each row; must be given if it was given to `fit`.

        Returns
        -------
        X_out : ndarray of shape (n_rows, n_features_out), float64
            Original features (unless ``output="replace"``), standardised ones, ranks
            (unless ``with_rank=False``).

        Raises
        ------
        ValueError
            If `fit` was given groups and `transform` is not.
        """
        check_is_fitted(self)
        X = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        if groups is None and self.fitted_with_groups_:
            raise ValueError(
                "WithinListScaler was fitted with groups, so transform needs them too. "
                "Pass groups=..., in a pipeline with "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        groups = resolve_groups(X, groups)[1]
        lists = lists_of(groups, len(X))
        parts = [X] if self.output == "append" else []
        parts.append(_standardize(X, lists))
        if self.with_rank:
            parts.append(_ranks(X, lists))
        return np.hstack(parts)

    def get_feature_names_out(self, input_features=None):
        """Return output names: ``price``, ``price_in_list``, ``price_rank_in_list``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input features; None takes those seen by `fit`.

        Returns
        -------
        names : ndarray of shape (n_features_out,), object
            One name per column.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        endings = [""] if self.output == "append" else []
        endings += ["_in_list", "_rank_in_list"] if self.with_rank else ["_in_list"]
        return np.array([f"{n}{end}" for end in endings for n in names], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _standardize(X, lists):
    """(value - mean of its list) / standard deviation of its list; 0 if constant."""
    there = ~np.isnan(X)
    highest = _reduce(np.maximum, np.where(there, X, -np.inf), lists)
    lowest = _reduce(np.minimum, np.where(there, X, np.inf), lists)
    # From 0 to 1 first (in halves, whose range is finite): then neither large offsets
    # nor large units cost digits, and squares neither overflow nor vanish.
    span = np.where(highest > lowest, highest / 2 - lowest / 2, 1.0)
    start = np.where(highest >= lowest, lowest, 0.0) / 2
    scaled = np.where(there, (X / 2 - start[lists.codes]) / span[lists.codes], 0.0)
    count = np.maximum(_reduce(np.add, there.astype(float), lists), 1.0)
    centred = scaled - (_reduce(np.add, scaled, lists) / count)[lists.codes]
    squares = _reduce(np.add, np.where(there, centred, 0.0) ** 2, lists)
    std = np.sqrt(squares / count)
    varied = (highest > lowest)[lists.codes]
    relative = centred / np.where(std > 0, std, 1.0)[lists.codes]
    return np.where(there, np.where(varied, relative, 0.0), np.nan)


def _ranks(X, lists):
    """Average rank within the list, scaled to [0, 1]; 0.5 in a list of one."""
    ranks = np.full(X.shape, np.nan)
    for j in range(X.shape[1]):
        rows = np.flatnonzero(~np.isnan(X[:, j]))
        values, codes = X[rows, j], lists.codes[rows]
        order = np.lexsort((values, codes))
        values, codes = values[order], codes[order]
        count = np.bincount(codes, minlength=lists.n_lists)
        place = np.arange(len(rows)) - (np.cumsum(count) - count)[codes]
        tie = np.cumsum(
            np.r_[True, (values[1:] != values[:-1]) | (codes[1:] != codes[:-1])][
                : len(rows)
            ]
        )
        mean_place = (np.bincount(tie, place) / np.maximum(np.bincount(tie), 1))[tie]
        last = (count - 1)[codes]
        ranks[rows[order], j] = np.where(
            last > 0, mean_place / np.maximum(last, 1), 0.5
        )
    return ranks


def _reduce(ufunc, values, lists):
    """Reduce each column within each list: (n_lists, n_columns)."""
    rows = lists.rows(np.arange(lists.n_lists))
    starts = np.cumsum(lists.lengths) - lists.lengths
    return ufunc.reduceat(values[rows], starts, axis=0)
