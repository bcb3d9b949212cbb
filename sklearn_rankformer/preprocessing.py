"""Features that know their list.

`WithinListScaler` is an ordinary scikit-learn transformer that gives any model, such as
a GBDT, the context of the list: each feature standardised and ranked within it.

>>> import numpy as np
>>> from sklearn_rankformer.preprocessing import WithinListScaler
>>> price, groups = np.array([[5.0], [10.0], [10.0], [20.0]]), [0, 0, 1, 1]
>>> scaler = WithinListScaler().fit(price, groups=groups)
>>> scaler.get_feature_names_out(["price"]).tolist()
['price', 'price_in_list', 'price_rank_in_list']
>>> scaler.transform(price, groups)[:, 2]
array([0., 1., 0., 1.])
"""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from ._checks import check_option
from ._groups import find_groups, refuse_foreign_names
from ._lists import lists_of, tied_places
from ._tables import as_table, reading, refuse_times
from ._warnings import warn_missing_groups


class WithinListScaler(TransformerMixin, BaseEstimator):
    """Standardise and rank each feature within its list.

    A ten-dollar item means one thing among five-dollar items and another among
    twenty-dollar ones. Models that score items one by one, GBDTs among them, see the
    difference once each feature is also given relative to its list. (RankFormer has
    this built in.)

    Parameters
    ----------
    output : {"append", "replace"}, default="append"
        Whether the relative features follow the original ones or replace them.
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

    @refuse_foreign_names
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
        X = self._check_X(X, reset=True)
        # For its checks: wrong ids should fail here, not in transform.
        find_groups(X, groups)
        if groups is None:
            warn_missing_groups(self, "fit")
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

    def _check_X(self, X, *, reset):
        # Also before transform: it may have been set since fit.
        check_option("output", self.output, ("append", "replace"))
        X = as_table(X)
        refuse_times(X)
        with reading("X"):
            return validate_data(
                self,
                X,
                dtype=np.float64,
                ensure_all_finite="allow-nan",
                reset=reset,
            )

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
        X = self._check_X(X, reset=False)
        if groups is None and self.fitted_with_groups_:
            raise ValueError(
                "WithinListScaler was fitted with groups, so transform needs them too. "
                "Pass groups=..., in a pipeline with "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        lists = lists_of(find_groups(X, groups), len(X))
        parts = [X] if self.output == "append" else []
        parts.append(standardize_in_lists(X, lists))
        if self.with_rank:
            parts.append(rank_in_lists(X, lists))
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


def standardize_in_lists(X, lists):
    """(value - mean of its list) / standard deviation of its list; 0 if constant.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns), float64
        Values, NaN where missing.
    lists : Lists
        Where the rows of each list lie.

    Returns
    -------
    relative : ndarray of shape (n_rows, n_columns), float64
        NaN where the value is missing.
    """
    there = ~np.isnan(X)
    highest = lists.reduce(np.maximum, np.where(there, X, -np.inf))
    lowest = lists.reduce(np.minimum, np.where(there, X, np.inf))
    # From 0 to 1 first (in halves, whose range is finite): then neither large offsets
    # nor large units cost digits, and squares neither overflow nor vanish.
    half = highest / 2 - lowest / 2  # also 0 of the two smallest numbers there are
    span = np.where(half > 0, half, 1.0)
    start = np.where(highest >= lowest, lowest, 0.0) / 2
    scaled = np.where(there, (X / 2 - start[lists.codes]) / span[lists.codes], 0.0)
    count = np.maximum(lists.reduce(np.add, there.astype(float)), 1.0)
    centred = scaled - (lists.reduce(np.add, scaled) / count)[lists.codes]
    squares = lists.reduce(np.add, np.where(there, centred, 0.0) ** 2)
    std = np.sqrt(squares / count)
    # Exactly 0 in constant lists, whatever rounding has left.
    varied = (highest > lowest)[lists.codes]
    relative = centred / np.where(std > 0, std, 1.0)[lists.codes]
    return np.where(there, np.where(varied, relative, 0.0), np.nan)


def rank_in_lists(X, lists):
    """Average rank within the list, scaled to [0, 1]; 0.5 in a list of one.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns), float64
        Values, NaN where missing.
    lists : Lists
        Where the rows of each list lie.

    Returns
    -------
    ranks : ndarray of shape (n_rows, n_columns), float64
        NaN where the value is missing.
    """
    ranks = np.full(X.shape, np.nan)
    # One by one, as each column lacks values of its own.
    for j in range(X.shape[1]):
        rows = np.flatnonzero(~np.isnan(X[:, j]))
        rows = rows[np.lexsort((X[rows, j], lists.codes[rows]))]
        codes = lists.codes[rows]
        last = (np.bincount(codes, minlength=lists.n_lists) - 1)[codes]
        place = tied_places(X[rows, j], codes)
        ranks[rows, j] = np.where(last > 0, place / np.maximum(last, 1), 0.5)
    return ranks
