"""Ranking metrics on flat arrays: one label, one score and one list id per row.

Rows may come in any order. By default lists without any relevant item are left out and
tied scores averaged, so that neither a constant scorer nor empty lists can flatter a
model.

>>> from sklearn_rankformer.metrics import ndcg_score
>>> labels, scores = [2, 0, 1, 0, 0], [0.1, 0.9, 0.5, 0.3, 0.2]
>>> groups = ["a", "a", "a", "b", "b"]
>>> ndcg_score(labels, scores, groups, k=10)
0.586...
>>> ndcg_score(labels, scores, groups, k=10, empty="zero")
0.293...
>>> ndcg_score(labels, scores, groups, k=10, reduction="none")
{'groups': array(['a', 'b'], dtype='<U1'), 'value': array([0.586...,        nan])}

The user guide has the arguments that give the numbers of other libraries.

Every metric follows the same path. The rows are ranked once, list after list, best
score first (`_rank`); each row yields a term; the terms are summed per list and the
lists averaged (`_Case.reduce`). Tied scores form blocks, and each metric is written
as its expectation over a random order within every block; the other two rules for
ties put the rows in a fixed order, which leaves blocks of one row each.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch

from ._checks import (
    check_k,
    check_length,
    check_list_weights,
    check_max_label,
    check_min_label,
    check_numbers,
    check_option,
    refuse_empty,
    refuse_negative,
)
from ._groups import check_groups
from ._lists import Lists, rank_rows, split_lists
from ._pairs import dense_ranks, discordant_pairs, tied_pairs
from ._warnings import warn_user

__all__ = [
    "average_precision",
    "dcg_score",
    "expected_reciprocal_rank",
    "kendall_tau",
    "mean_reciprocal_rank",
    "ndcg_score",
    "precision_at_k",
    "recall_at_k",
]


def ndcg_score(
    y_true,
    y_score,
    groups,
    *,
    k=None,
    sample_weight=None,
    gain="exp",
    ties="average",
    empty="skip",
    reduction="mean",
):
    """Normalised discounted cumulative gain: DCG over the DCG of the best order.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels: finite, not negative, of any scale; higher is better.
    y_score : array-like of shape (n_rows,)
        Scores: finite; higher ranks first.
    groups : array-like of shape (n_rows,)
        List id of each row, integers or strings; rows may come in any order.
    k : int or None, default=None
        Count the first `k` positions of each list; None counts all.
    sample_weight : array-like of shape (n_rows,) or None, default=None
        Weight of each row's list in the mean: the same number on all rows of a list.
    gain : {"exp", "linear"} or callable, default="exp"
        Gain of a label: ``2**y - 1``, ``y``, or a function that turns the array of
        labels into an array of finite gains that are not negative.
    ties : {"average", "pessimistic", "stable"}, default="average"
        Order of equal scores within a list: the expectation over a random order, the
        worst order (least relevant first), or the order of the rows.
    empty : {"skip", "zero", "one", "raise"}, default="skip"
        What becomes of a list without any relevant item (any gain above 0): left out
        of the mean, counted as 0 or as 1, or refused.
    reduction : {"mean", "none"}, default="mean"
        The (weighted) mean over lists, or one value per list.

    Returns
    -------
    score : float or Bunch
        The mean, between 0 and 1; nan with a warning when every list is left out.
        With ``reduction="none"`` a Bunch of ``groups``, ndarray of shape (n_lists,)
        in the order of `numpy.unique`, and ``value``, float64 ndarray of shape
        (n_lists,), nan where a list is left out; weights play no part in it.

    Raises
    ------
    ValueError
        If labels, scores or weights are not real numbers, lengths differ, a value is
        masked, NaN or infinite, a label or weight is negative, weights differ within
        a list or are all zero, a gain overflows, an option is unknown, or a list is
        empty under ``empty="raise"``.

    References
    ----------
    Järvelin and Kekäläinen (2002), "Cumulated gain-based evaluation of IR
    techniques"; exponential gain: Burges et al. (2005), "Learning to rank using
    gradient descent"; expectation over ties: McSherry and Najork (2008), "Computing
    information retrieval performance measures efficiently in the presence of tied
    scores".

    Examples
    --------
    >>> from sklearn_rankformer.metrics import ndcg_score
    >>> ndcg_score([0, 1, 3], [3.0, 2.0, 1.0], groups=[7, 7, 7], gain="linear")
    0.586...
    """
    case = _check(y_true, y_score, groups, sample_weight)
    gains = label_gains(case.labels, gain)
    k = check_k(k)
    dcg = _dcg(_rank(gains, case.scores, case.lists, ties), k)
    # Rows tied here have equal gains, so their order does not matter.
    best = _dcg(_rank(gains, gains, case.lists, "stable"), k)
    # Rounding of the mean over ties may lift a perfect list a hair above 1.
    values = np.minimum(dcg / np.where(best > 0, best, 1), 1)
    return case.reduce(values, best == 0, empty, reduction)


def dcg_score(
    y_true,
    y_score,
    groups,
    *,
    k=None,
    sample_weight=None,
    gain="exp",
    ties="average",
    empty="skip",
    reduction="mean",
):
    """Discounted cumulative gain: sum of gains over log2(1 + position).

    Parameters
    ----------
    y_true, y_score, groups, k, sample_weight, gain, ties, empty, reduction
        As in `ndcg_score`.

    Returns
    -------
    score : float or Bunch
        As in `ndcg_score`, but in units of gain and without an upper bound.

    References
    ----------
    Järvelin and Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques".
    """
    case = _check(y_true, y_score, groups, sample_weight)
    gains = label_gains(case.labels, gain)
    dcg = _dcg(_rank(gains, case.scores, case.lists, ties), check_k(k))
    nothing = case.lists.reduce(np.maximum, gains) == 0
    return case.reduce(dcg, nothing, empty, reduction)


def mean_reciprocal_rank(
    y_true,
    y_score,
    groups,
    *,
    k=None,
    sample_weight=None,
    min_label=1,
    ties="average",
    empty="skip",
    reduction="mean",
):
    """One over the position of the first relevant item; 0 if it lies beyond `k`.

    Parameters
    ----------
    y_true, y_score, groups, k, sample_weight, ties, empty, reduction
        As in `ndcg_score`.
    min_label : float, default=1
        Lowest label that counts as relevant; above 0.

    Returns
    -------
    score : float or Bunch
        As in `ndcg_score`, which also says what is raised.

    Notes
    -----
    Of ``b`` tied items with ``m`` relevant ones, the first ``j`` of a random order
    are irrelevant with probability C(b - m, j) / C(b, j); no order is sampled.
    """
    case = _check(y_true, y_score, groups, sample_weight)
    relevant = _relevant(case.labels, min_label)
    ranked = _rank(relevant, case.scores, case.lists, ties)
    unseen = ranked.n_tied - ranked.place + 1
    # Past the last irrelevant row the count would fall below 0: there all stop.
    irrelevant = np.maximum(unseen - ranked.per_tie(ranked.values), 0)
    values = _cascade(ranked, irrelevant / unseen, check_k(k))
    nothing = case.lists.reduce(np.maximum, relevant) == 0
    return case.reduce(values, nothing, empty, reduction)


def expected_reciprocal_rank(
    y_true,
    y_score,
    groups,
    *,
    k=None,
    sample_weight=None,
    max_label=None,
    gain="exp",
    ties="average",
    empty="skip",
    reduction="mean",
):
    """Mean of 1 / position where a user who reads downwards stops, satisfied.

    Parameters
    ----------
    y_true, y_score, groups, k, sample_weight, ties, empty, reduction
        As in `ndcg_score`.
    max_label : float or None, default=None
        Top of the label scale. None takes the largest label given; name it when the
        scores of several calls (folds, subsets) are to be compared. A label above it
        raises.
    gain : {"exp", "linear"}, default="exp"
        Probability that an item satisfies: ``(2**y - 1) / 2**max_label``, or
        ``y / max_label``.

    Returns
    -------
    score : float or Bunch
        As in `ndcg_score`, which also says what is raised.

    Notes
    -----
    The expectation over tied scores is exact. A block of ``b`` ties of mixed labels
    takes at most O(b * min(b, k)) steps, all blocks at once.

    References
    ----------
    Chapelle et al. (2009), "Expected reciprocal rank for graded relevance".
    """
    case = _check(y_true, y_score, groups, sample_weight)
    stop = _stop_chances(case.labels, max_label, gain)
    ranked = _rank(stop, case.scores, case.lists, ties)
    k = check_k(k)
    values = _cascade(ranked, _read_on(ranked, k), k)
    nothing = case.lists.reduce(np.maximum, case.labels) == 0
    return case.reduce(values, nothing, empty, reduction)


def average_precision(
    y_true,
    y_score,
    groups,
    *,
    k=None,
    sample_weight=None,
    min_label=1,
    ties="average",
    empty="skip",
    reduction="mean",
):
    """Mean precision at the positions of the relevant items (MAP, as a mean of lists).

    Parameters
    ----------
    y_true, y_score, groups, k, sample_weight, ties, empty, reduction
        As in `ndcg_score`. With `k`, precisions at the relevant items among the first
        `k` are divided by ``min(k, n_relevant)``, so that a perfect list has 1.
    min_label : float, default=1
        Lowest label that counts as relevant; above 0.

    Returns
    -------
    score : float or Bunch
        As in `ndcg_score`, which also says what is raised.

    Notes
    -----
    Below ``s`` items of which ``r`` are relevant, let ``b`` items be tied, ``m`` of
    them relevant. In a random order the term of the ``j``-th of them has the mean
    ``m / b * (r + 1 + (j - 1) * (m - 1) / (b - 1)) / (s + j)``.
    """
    case = _check(y_true, y_score, groups, sample_weight)
    relevant = _relevant(case.labels, min_label)
    ranked = _rank(relevant, case.scores, case.lists, ties)
    k = check_k(k)
    n_relevant = ranked.per_list(ranked.values)
    hits = ranked.per_tie(ranked.values)
    # Expected relevant rows among those of the block that come before.
    fellows = (ranked.place - 1) * (hits - 1) / np.maximum(ranked.n_tied - 1, 1)
    precision = (_hits_above(ranked, n_relevant) + 1 + fellows) / ranked.position
    terms = hits / ranked.n_tied * precision
    possible = n_relevant if k is None else np.minimum(n_relevant, k)
    values = ranked.per_list(terms, k) / np.maximum(possible, 1)
    return case.reduce(np.minimum(values, 1), n_relevant == 0, empty, reduction)


def precision_at_k(
    y_true,
    y_score,
    groups,
    *,
    k=None,
    sample_weight=None,
    min_label=1,
    ties="average",
    empty="skip",
    reduction="mean",
):
    """Share of relevant items among the first `k`.

    Parameters
    ----------
    y_true, y_score, groups, k, sample_weight, ties, empty, reduction
        As in `ndcg_score`. A list shorter than `k`, or ``k=None``, is judged by all
        its items: it is divided by its length.
    min_label : float, default=1
        Lowest label that counts as relevant; above 0.

    Returns
    -------
    score : float or Bunch
        As in `ndcg_score`, which also says what is raised.
    """
    case = _check(y_true, y_score, groups, sample_weight)
    k = check_k(k)
    hits, n_relevant = _hits(case, min_label, ties, k)
    lengths = case.lists.lengths
    values = hits / (lengths if k is None else np.minimum(lengths, k))
    return case.reduce(values, n_relevant == 0, empty, reduction)


def recall_at_k(
    y_true,
    y_score,
    groups,
    *,
    k=None,
    sample_weight=None,
    min_label=1,
    ties="average",
    empty="skip",
    reduction="mean",
):
    """Share of a list's relevant items that are among the first `k`.

    Parameters
    ----------
    y_true, y_score, groups, k, sample_weight, ties, empty, reduction
        As in `ndcg_score`.
    min_label : float, default=1
        Lowest label that counts as relevant; above 0.

    Returns
    -------
    score : float or Bunch
        As in `ndcg_score`, which also says what is raised.
    """
    case = _check(y_true, y_score, groups, sample_weight)
    hits, n_relevant = _hits(case, min_label, ties, check_k(k))
    values = hits / np.maximum(n_relevant, 1)
    return case.reduce(np.minimum(values, 1), n_relevant == 0, empty, reduction)


def kendall_tau(
    y_true, y_score, groups, *, sample_weight=None, empty="skip", reduction="mean"
):
    """Kendall's tau-b between labels and scores within each list.

    Parameters
    ----------
    y_true, y_score, groups, sample_weight, reduction
        As in `ndcg_score`.
    empty : {"skip", "zero", "one", "raise"}, default="skip"
        What becomes of a list whose labels are all equal (any list of one item), for
        which tau is not defined. Labels that differ under equal scores count as 0.

    Returns
    -------
    score : float or Bunch
        As in `ndcg_score`, but between -1 and 1.

    References
    ----------
    Kendall (1945), "The treatment of ties in ranking problems"; pairs counted in
    O(n log n) after Knight (1966), here by the bits of the ranks, all lists at once.
    """
    case = _check(y_true, y_score, groups, sample_weight)
    codes = case.lists.codes
    labels, scores = dense_ranks(case.labels, codes), dense_ranks(case.scores, codes)
    all_pairs = case.lists.lengths * (case.lists.lengths - 1) // 2
    label_ties = tied_pairs(codes, labels)
    score_ties = tied_pairs(codes, scores)
    both_tied = tied_pairs(codes, labels, scores)
    discordant = discordant_pairs(codes, labels, scores)
    surplus = all_pairs - label_ties - score_ties + both_tied - 2 * discordant
    # Two roots: the product of two numbers of pairs may not fit into 64 bits.
    norm = np.sqrt(all_pairs - label_ties) * np.sqrt(all_pairs - score_ties)
    values = np.clip(surplus / np.where(norm > 0, norm, 1), -1, 1)
    return case.reduce(values, all_pairs == label_ties, empty, reduction)


METRICS = {
    "dcg": dcg_score,
    "err": expected_reciprocal_rank,
    "kendall_tau": kendall_tau,
    "map": average_precision,
    "mrr": mean_reciprocal_rank,
    "ndcg": ndcg_score,
    "precision": precision_at_k,
    "recall": recall_at_k,
}

# Far down a list the chance that anybody reads on underflows to 0, which is what it is.
# Each function that meets such numbers says so to NumPy, whatever the caller has set.


@dataclass(frozen=True)
class _Case:
    """Checked input of a metric, rows in the caller's order.

    Attributes
    ----------
    labels, scores : float64 ndarray of shape (n_rows,)
    lists : Lists
    weights : float64 ndarray of shape (n_lists,)
    """

    labels: np.ndarray
    scores: np.ndarray
    lists: Lists
    weights: np.ndarray

    def reduce(self, values, nothing, empty, reduction):
        """Apply the rule for lists with nothing to find, then the mean."""
        check_option("empty", empty, ("skip", "zero", "one", "raise"))
        check_option("reduction", reduction, ("mean", "none"))
        if empty == "raise" and nothing.any():
            example = self.lists.ids[nothing].tolist()[0]
            raise ValueError(
                f"{nothing.sum()} of {len(values)} lists have nothing to rank, such as "
                f"the list {example!r}: no relevant item, or labels all equal for "
                f"kendall_tau. Drop them, or choose empty='skip', 'zero' or 'one'."
            )
        filler = {"zero": 0.0, "one": 1.0}.get(empty, np.nan)
        values = np.where(nothing, filler, values)
        if reduction == "none":
            return Bunch(groups=self.lists.ids, value=values)
        # A list of weight 0 must not hide that no other has anything to rank.
        kept = ~np.isnan(values) & (self.weights > 0)
        if not kept.any():
            warn_user(
                "No list with a weight has anything to rank (a relevant item, or "
                "unequal labels for kendall_tau), so the metric is undefined: nan. "
                "Choose empty='zero' or 'one' to count such lists.",
                UndefinedMetricWarning,
            )
            return float("nan")
        # Scaled first, so that no sum of weights overflows.
        weights = self.weights[kept] / self.weights[kept].max()
        return float(np.average(values[kept], weights=weights))


def _check(y_true, y_score, groups, sample_weight) -> _Case:
    labels = check_numbers(y_true, "y_true")
    refuse_negative(labels, "y_true")
    scores = check_numbers(y_score, "y_score")
    refuse_empty(labels, "y_true")
    check_length(scores, "y_score", len(labels), "y_true")
    lists = split_lists(check_groups(groups, len(labels)))
    return _Case(labels, scores, lists, _weights(sample_weight, lists))


def _weights(sample_weight, lists: Lists) -> np.ndarray:
    weights = check_list_weights(sample_weight, lists)
    return np.ones(lists.n_lists) if weights is None else weights


def label_gains(labels: np.ndarray, gain) -> np.ndarray:
    """Return the gain of each label: finite, not negative, and safe to sum.

    Parameters
    ----------
    labels : float64 ndarray of shape (n_rows,)
        Checked labels.
    gain : {"exp", "linear"} or callable
        As in `ndcg_score`.

    Returns
    -------
    gains : float64 ndarray of shape (n_rows,)
        One gain per label.

    Raises
    ------
    ValueError
        If `gain` is unknown or gives what cannot be gains, or the gains overflow.
    """
    if callable(gain):
        try:
            # A copy, as the user's function may write into what it is given.
            gains = np.asarray(gain(labels.copy()))
        except IndexError as error:
            error.add_note(
                "gain is given labels of type float64. To look gains up in a table, "
                "use gain=lambda labels: table[labels.astype(int)]."
            )
            raise
        real = gains.dtype.kind in "biuf" and gains.shape == labels.shape
        if not real or not (gains >= 0).all():
            raise ValueError(
                "gain must map the array of labels to an array of the same shape of "
                "numbers from 0 on."
            )
    else:
        check_option("gain", gain, ("exp", "linear"))
        gains = labels if gain == "linear" else _exponential(labels)
    gains = gains.astype(np.float64, copy=False)
    with np.errstate(over="ignore"):
        total = gains.sum()
    if not np.isfinite(total):
        ways_out = {"exp": 'Use gain="linear"', "linear": "Divide the labels"}
        raise ValueError(
            f"Gains overflow: the largest label is {labels.max():g}. "
            f"{ways_out.get(str(gain), 'Have gain give less')}, or map the labels to "
            f"fewer levels."
        )
    return gains


def _exponential(labels: np.ndarray) -> np.ndarray:
    # expm1 keeps the digits of small labels, exp2 is exact for whole ones.
    with np.errstate(over="ignore", under="ignore"):
        return np.where(labels < 1, np.expm1(labels * np.log(2)), np.exp2(labels) - 1)


def _relevant(labels: np.ndarray, min_label) -> np.ndarray:
    least = check_min_label(min_label)
    if not least > 0:
        raise ValueError(
            f"min_label must be above 0, got {min_label!r}: the label 0 means 'not "
            f"relevant'."
        )
    return (labels >= least).astype(np.float64)


@np.errstate(under="ignore")
def _stop_chances(labels: np.ndarray, max_label, gain) -> np.ndarray:
    check_option("gain", gain, ("exp", "linear"))
    top = check_max_label(max_label, labels, "y_true")
    if gain == "linear":
        return labels / top if top else labels
    # (2**y - 1) / 2**top, written so that no power can overflow.
    return np.exp2(labels - top) * -np.expm1(-labels * np.log(2))


@dataclass(frozen=True)
class _Ranked:
    """Rows list after list, best score first, and the blocks of tied rows.

    Attributes
    ----------
    values : float64 ndarray of shape (n_rows,)
        What the metric counts: gain, relevance 0 or 1, chance to satisfy.
    starts : int64 ndarray of shape (n_lists,)
        First row of each list.
    first : bool ndarray of shape (n_rows,)
        Whether a block of ties starts here.
    """

    values: np.ndarray
    starts: np.ndarray
    first: np.ndarray

    @cached_property
    def position(self) -> np.ndarray:
        """Position of each row in its list, from 1."""
        return self.place_after(self.starts)

    @cached_property
    def place(self) -> np.ndarray:
        """Position of each row in its block of ties, from 1."""
        return self.place_after(np.flatnonzero(self.first))

    @cached_property
    def n_tied(self) -> np.ndarray:
        """Number of rows in each row's block."""
        return self.per_tie(np.ones(len(self.first)))

    def place_after(self, starts: np.ndarray) -> np.ndarray:
        """Position of each row, from 1, in the segments that begin at `starts`."""
        n_rows = len(self.first)
        lengths = np.diff(starts, append=n_rows)
        return np.arange(1, n_rows + 1) - np.repeat(starts, lengths)

    def per_tie(self, terms: np.ndarray) -> np.ndarray:
        """Sum over each row's block, repeated on its rows."""
        starts = np.flatnonzero(self.first)
        # No ties, as mostly with the scores of a model.
        if len(starts) == len(terms):
            return terms
        lengths = np.diff(starts, append=len(terms))
        return np.repeat(np.add.reduceat(terms, starts), lengths)

    def per_list(self, terms: np.ndarray, k: int | None = None) -> np.ndarray:
        """Sum over the first `k` rows of each list."""
        if k is not None:
            terms = np.where(self.position <= k, terms, 0)
        return np.add.reduceat(terms, self.starts)


def _rank(values: np.ndarray, scores: np.ndarray, lists: Lists, ties) -> _Ranked:
    """Order the rows of each list by descending score."""
    check_option("ties", ties, ("average", "pessimistic", "stable"))
    # lexsort takes the last key first: by list, by score, least relevant first.
    if ties == "pessimistic":
        order = np.lexsort((values, -scores, lists.sort_keys))
    else:
        order = rank_rows(scores, lists)
    starts = np.cumsum(lists.lengths) - lists.lengths
    first = np.ones(len(scores), dtype=bool)
    if ties == "average":
        scores = scores[order]
        first[1:] = scores[1:] != scores[:-1]
        first[starts] = True
    return _Ranked(values[order], starts, first)


@np.errstate(under="ignore")
def _dcg(ranked: _Ranked, k: int | None) -> np.ndarray:
    gains = ranked.per_tie(ranked.values) / ranked.n_tied
    return ranked.per_list(gains / np.log2(ranked.position + 1), k)


def _hits(case: _Case, min_label, ties, k) -> tuple[np.ndarray, np.ndarray]:
    """Relevant items per list, among the first `k` and in all."""
    ranked = _rank(_relevant(case.labels, min_label), case.scores, case.lists, ties)
    expected = ranked.per_tie(ranked.values) / ranked.n_tied
    return ranked.per_list(expected, k), ranked.per_list(ranked.values)


def _hits_above(ranked: _Ranked, n_relevant: np.ndarray) -> np.ndarray:
    """Relevant items of the list above each row's block of ties."""
    seen = np.cumsum(ranked.values) - ranked.values
    lengths = np.diff(ranked.starts, append=len(seen))
    seen -= np.repeat(np.cumsum(n_relevant) - n_relevant, lengths)
    return np.repeat(seen[ranked.first], ranked.n_tied[ranked.first].astype(int))


@np.errstate(under="ignore")
def _cascade(ranked: _Ranked, read_on: np.ndarray, k: int | None) -> np.ndarray:
    """Mean of 1 / position where the reader stops.

    `read_on` is the chance to read on past each row for a reader who came to it.
    """
    position = ranked.position
    # Running products by doubling: log2 of the longest list steps, no loop over rows.
    reach = read_on.copy()
    step = 1
    while step < position.max():
        reach[step:] *= np.where(position[step:] > step, reach[:-step], 1)
        step *= 2
    came = _previous(reach, position)
    return ranked.per_list(came * (1 - read_on) / position, k)


@np.errstate(under="ignore")
def _read_on(ranked: _Ranked, k: int | None) -> np.ndarray:
    """Chance to read on past each row, over random orders of tied rows.

    Let ``p[j]`` be the mean, over orders of a block, of the product of ``1 - stop``
    over its first ``j`` rows. The block is filled item by item: the ``t``-th is among
    the first ``j`` with probability ``j / t``, which gives the recurrence below. Ties
    of equal `stop` need none, and no row beyond `k` is computed.
    """
    go = 1 - ranked.values
    starts, sizes, widths = _mixed_ties(ranked, k)
    ends = np.cumsum(widths)
    place = np.arange(1, widths.sum() + 1) - np.repeat(ends - widths, widths)
    mean_product = np.zeros(len(place))
    for t in range(1, sizes.max(initial=0) + 1):
        n_blocks = np.searchsorted(-sizes, -t, side="right")
        rows = slice(ends[n_blocks - 1])
        added = np.repeat(go[starts[:n_blocks] + t - 1], widths[:n_blocks])
        before = _previous(mean_product[rows], place[rows])
        with_added = added * before - mean_product[rows]
        mean_product[rows] += place[rows] / t * with_added
    came = _previous(mean_product, place)
    rows = np.repeat(starts, widths) + place - 1
    go[rows] = mean_product / np.where(came > 0, came, 1)
    return go


def _mixed_ties(ranked: _Ranked, k: int | None) -> tuple[np.ndarray, ...]:
    """Blocks of unequal values: first row, size, rows that matter; largest first."""
    starts = np.flatnonzero(ranked.first)
    sizes = np.diff(starts, append=len(ranked.first))
    low, high = (f.reduceat(ranked.values, starts) for f in (np.minimum, np.maximum))
    room = sizes if k is None else k + 1 - ranked.position[starts]
    mixed = np.flatnonzero((low < high) & (room > 0))
    mixed = mixed[np.argsort(-sizes[mixed], kind="stable")]
    # p[j] is at most mean**j (Maclaurin's inequality): no reader comes past `depth`.
    mean = np.add.reduceat(1 - ranked.values, starts)[mixed] / sizes[mixed]
    depth = np.ceil(60 / np.maximum(-np.log2(mean), 1e-9)).astype(np.int64)
    widths = np.minimum(np.minimum(sizes, room)[mixed], depth)
    return starts[mixed], sizes[mixed], widths


def _previous(chances: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Value one row earlier, 1 in front of the first place."""
    return np.where(place > 1, np.roll(chances, 1), 1)
