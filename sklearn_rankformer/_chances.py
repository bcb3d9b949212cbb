"""From logits to chances that hold: a few numbers fitted on held-out lists.

A network is trained for order first, and its logits are too sure, or unsure, of what a
list or an item is worth. So its chances are logistic regressions on what it says: of a
list's views on the list's value (`calibrate_lists`), and of an item's share in its list
and the list's value on the item's label (`calibrate_items`). Their weights are drawn
towards a guess, by as much as a few lists would weigh: with many held-out lists the
data decide, with none the guess stands. How many lists are any good is better known
from all lists than from the few held out of them. numpy and scipy only.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ._lists import Lists
from ._rows import Levels

# A network sees a list's value twice: by [CLS] and items, and by aggregates.
N_VIEWS = 2

# Guessed weights, and how firmly they are held, as precisions of normal priors. Chosen
# on validation lists of WikiQA, EBNeRD, MQ2008 and synthetic ones, over 30 to 500
# held-out lists. Of a list: each view, and 1. Of an item: see `calibrate_items`.
LIST_GUESS = np.array([0.5, 0.5, 0.0])
LIST_PRECISION = np.array([20.0, 20.0, 10.0])
ITEM_GUESS = np.array([1.0, 0.7, 0.0, 0.0])
ITEM_PRECISION = np.full(4, 10.0)

# What an item's share counts for at least: chances keep the order of the scores.
LEAST_SHARE = 0.05

# Chances far from one half underflow to 0, which is what they are. Each function that
# computes them says so to NumPy, whatever the caller has set.


@dataclass(frozen=True)
class Calibration:
    """Weights by which chances follow from what a network says.

    Attributes
    ----------
    lists : ndarray of shape (n_thresholds, N_VIEWS + 1)
        See `calibrate_lists`.
    items : ndarray of shape (n_item_thresholds, 4)
        See `calibrate_items`.
    n_lists : int
        Held-out lists they were fitted on; 0 for the guess.
    """

    lists: np.ndarray
    items: np.ndarray
    n_lists: int


@dataclass(frozen=True)
class Grades:
    """What came of held-out lists, as positions of levels.

    Attributes
    ----------
    of_lists : ndarray of shape (n_lists,), int64
    of_items : ndarray of shape (n_rows,), int64
    counted : ndarray of shape (n_rows,), bool
        False at rows of zero weight.
    list_shares : ndarray of shape (n_thresholds,)
        Share above each threshold among all lists that these were drawn from.
    item_shares : ndarray of shape (n_item_thresholds,)
        The same of items; those of zero weight do not count.
    """

    of_lists: np.ndarray
    of_items: np.ndarray
    counted: np.ndarray
    list_shares: np.ndarray
    item_shares: np.ndarray


def guess(n_thresholds: int, n_item_thresholds: int) -> Calibration:
    """The calibration of a network of which no held-out list was ever seen."""
    return Calibration(
        np.tile(LIST_GUESS, (n_thresholds, 1)),
        np.tile(ITEM_GUESS, (n_item_thresholds, 1)),
        0,
    )


def value_logits(logits: np.ndarray | None, n_lists: int) -> np.ndarray:
    """The views of each list's value; without thresholds where there is no head."""
    return np.empty((n_lists, N_VIEWS, 0), np.float32) if logits is None else logits


@np.errstate(under="ignore")
def calibrate_lists(
    logits: np.ndarray, grades: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Weights of the views of a list's value, from held-out lists.

    Parameters
    ----------
    logits : ndarray of shape (n_lists, n_views, n_thresholds)
        What each view says: is the value above the threshold?
    grades : ndarray of shape (n_lists,), int
        Position of each list's level; above threshold k if greater than k.
    shares : ndarray of shape (n_thresholds,)
        Share above each threshold among all lists that these were drawn from.

    Returns
    -------
    weights : ndarray of shape (n_thresholds, n_views + 1)
        For each threshold a weight of each view, none negative, and an intercept.
    """
    lowest = np.append(np.zeros(N_VIEWS), -np.inf)
    fits = [
        _fit(logits[:, :, k], grades > k, share, LIST_GUESS, LIST_PRECISION, lowest)
        for k, share in enumerate(shares)
    ]
    return np.array(fits).reshape(-1, N_VIEWS + 1)


@np.errstate(under="ignore")
def list_chances(logits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Chance that a list's value is above each threshold: they fall with it.

    Parameters
    ----------
    logits : ndarray of shape (n_lists, n_views, n_thresholds)
    weights : ndarray of shape (n_thresholds, n_views + 1)
        As `calibrate_lists` returns them.

    Returns
    -------
    above : ndarray of shape (n_lists, n_thresholds), float64
    """
    return _falling(expit(list_logits(logits, weights)))


def list_logits(logits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The views joined: ndarray of shape (n_lists, n_thresholds), float64."""
    joined = np.einsum("lvk,kv->lk", logits.astype(np.float64), weights[:, :-1])
    return joined + weights[:, -1]


@np.errstate(under="ignore")
def calibrate_items(
    scores: np.ndarray,
    of_list: np.ndarray,
    lists: Lists,
    grades: np.ndarray,
    counted: np.ndarray,
    shares: np.ndarray,
) -> np.ndarray:
    """Weights of an item's chances, from the items of held-out lists.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        What the network ranks by.
    of_list : ndarray of shape (n_lists, n_thresholds)
        Logits of the list's value, for each threshold of the items.
    lists : Lists
        Where the rows of each list lie.
    grades : ndarray of shape (n_rows,), int
        Position of each label's level.
    counted : ndarray of shape (n_rows,), bool
        Which rows to fit on.
    shares : ndarray of shape (n_thresholds,)
        Share above each threshold among all items that these were drawn from.

    Returns
    -------
    weights : ndarray of shape (n_thresholds, 4)
        Of the share, the list's value, the log of its size, and 1.
    """
    inputs = _item_inputs(scores, of_list, lists)[counted]
    lowest = np.array([LEAST_SHARE, -np.inf, -np.inf, -np.inf])
    above = grades[counted]
    fits = [
        _fit(inputs[:, :, k], above > k, share, ITEM_GUESS, ITEM_PRECISION, lowest)
        for k, share in enumerate(shares)
    ]
    return np.array(fits).reshape(-1, 4)


@np.errstate(under="ignore")
def item_chances(
    scores: np.ndarray, of_list: np.ndarray, lists: Lists, weights: np.ndarray
) -> np.ndarray:
    r"""Chance that an item's label is above each threshold.

    .. math:: \mathrm{logit} P(y_i > k) = a_k \log \mathrm{softmax}(s)_i
              + b_k v_k + c_k \log n + d_k, \quad a_k > 0

    with the list's logit :math:`v_k` and size n: within a list the chances follow the
    order of the scores, between lists the list's value.

    Returns
    -------
    above : ndarray of shape (n_rows, n_thresholds), float64
    """
    inputs = _item_inputs(scores, of_list, lists)
    logits = np.einsum("rik,ki->rk", inputs, weights[:, :-1]) + weights[:, -1]
    return _falling(expit(logits))


def to_proba(above: np.ndarray) -> np.ndarray:
    """Chance of each level, from falling chances to be above: (n, n_levels)."""
    return -np.diff(above, axis=1, prepend=1.0, append=0.0)


def item_thresholds(item_levels: Levels, list_levels: Levels) -> np.ndarray:
    """For each threshold of the items, the list threshold that stands for it.

    An item above a label needs a list above it, so the two are matched by value. -1
    stands for none: all lists of the training were above.
    """
    below = np.searchsorted(list_levels.values, item_levels.values[:-1], "right") - 1
    return np.minimum(below, len(list_levels.values) - 2)


def match_logits(
    joined: np.ndarray, item_levels: Levels, list_levels: Levels
) -> np.ndarray:
    """The list's logit for each threshold of the items; 0 where there is none.

    Shape
    -----
    joined : (n_lists, n_thresholds), as `list_logits` returns them
    returns : (n_lists, n_item_thresholds)
    """
    matched = item_thresholds(item_levels, list_levels)
    return np.column_stack([joined, np.zeros(len(joined))])[:, matched]


def _item_inputs(scores: np.ndarray, of_list: np.ndarray, lists: Lists) -> np.ndarray:
    """Log share, list logit and log size: (n_rows, 3, n_thresholds)."""
    s = scores.astype(np.float64)
    codes = lists.codes
    shifted = s - lists.reduce(np.maximum, s)[codes]
    share = shifted - np.log(lists.reduce(np.add, np.exp(shifted)))[codes]
    inputs = np.empty((len(s), 3, of_list.shape[1]))
    inputs[:, 0] = share[:, None]
    inputs[:, 1] = of_list[codes]
    inputs[:, 2] = np.log(lists.lengths)[codes][:, None]
    return inputs


def _falling(above: np.ndarray) -> np.ndarray:
    # Thresholds are fitted one by one; a value above the higher is above the lower too.
    return np.minimum.accumulate(above, axis=1)


def _fit(
    inputs: np.ndarray,
    above: np.ndarray,
    share: float,
    guess: np.ndarray,
    precision: np.ndarray,
    lowest: np.ndarray,
) -> np.ndarray:
    """Logistic regression with a normal prior around a guess and lower bounds."""
    D = np.column_stack([inputs, np.ones(len(inputs))]).astype(np.float64)
    weight = _post_strata(above, share)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = D @ w
        value = weight @ (np.logaddexp(0, z) - z * above)
        slope = D.T @ (weight * (expit(z) - above))
        off = precision * (w - guess)
        return value + 0.5 * off @ (w - guess), slope + off

    bounds = [(low, None) for low in lowest]
    return minimize(loss, guess, jac=True, method="L-BFGS-B", bounds=bounds).x


def _post_strata(above: np.ndarray, share: float) -> np.ndarray:
    """Weights by which those above are the known share, and not what luck drew."""
    drawn = above.mean() if len(above) else 0.0
    if not 0 < drawn < 1:
        return np.ones(len(above))
    return np.where(above, share / drawn, (1 - share) / (1 - drawn))
