"""What a new ranking is worth, judged from clicks on the rankings that were shown.

An item that is relevant with chance r and examined with chance p is clicked with
chance p * r, so that click / p is r on average. Any value that is linear in relevance
can be estimated from that: DCG and precision can, NDCG cannot.

Each row is credited for where the new ranking puts it; the credits times the relevance
estimated are summed per list, and the lists say how sure their mean is.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import t
from sklearn.utils import Bunch

from ._checks import (
    check_k,
    check_labels,
    check_length,
    check_numbers,
    check_option,
    refuse_negative,
)
from ._groups import check_groups
from ._lists import Lists, places, rank_rows, split_lists
from ._warnings import warn_user

__all__ = ["off_policy_difference", "off_policy_score"]

ESTIMATORS = ("ips", "snips", "dr")
# Below it 95 % intervals of a value were seen to cover 91 % in the worst setting, from
# it on 93 % at least.
FEW_CLICKS = 10
CONFIDENCE = 0.95
TINY = np.finfo(float).tiny


def off_policy_score(
    clicks,
    scores,
    groups,
    *,
    propensities,
    metric="dcg",
    k=None,
    estimator="ips",
    predicted=None,
    examination=None,
):
    """Estimate from logged clicks how good the ranking by new scores would be.

    Parameters
    ----------
    clicks : array-like of shape (n_rows,)
        Feedback of each row that was shown: 0 for none, 1 for a click. Other amounts
        from 0 on count as what they are.
    scores : array-like of shape (n_rows,)
        Scores of the ranker to be judged: higher ranks first, and equal scores share
        the mean credit of their places.
    groups : array-like of shape (n_rows,)
        List of each row: one id for each list shown, since lists are taken to be
        independent of one another.
    propensities : array-like of shape (n_rows,)
        Chance that the row was examined, above 0 and up to 1. Where the logging ranker
        drew its order at random, the average over its orders spreads less than the
        chance at the position that happened to be shown.
    metric : {"dcg", "precision", "recall"}, default="dcg"
        DCG with the relevance itself as gain; share of relevant items among the first
        `k`; share of the relevant items that are among the first `k`. The first can be
        had from every estimator, precision from "ips" and "dr", recall from "snips".
    k : int or None, default=None
        Count the first `k` positions of each list; None counts all.
    estimator : {"ips", "snips", "dr"}, default="ips"
        Inverse propensity scoring; self-normalised, which counts per relevant item
        instead of per list; doubly robust. See Notes.
    predicted : array-like of shape (n_rows,), default=None
        Of a model, for "dr" only: expected feedback of each row once it is examined.
    examination : array-like of shape (n_rows,), default=None
        Chance of being examined at the position shown, from 0 to 1, for "dr" only.

    Returns
    -------
    result : Bunch
        ``value``, the estimate; ``standard_error``; ``low`` and ``high``, a 95 %
        interval over lists; ``n_effective``, how many clicks of equal weight would
        say as much as those the estimate rests on; ``n_lists``.

    Raises
    ------
    ValueError
        If an argument is of the wrong type, shape or range, such as a propensity of 0;
        if fewer than two lists have feedback; or if the metric cannot be had from the
        estimator.

    Warns
    -----
    UserWarning
        If the estimate rests on fewer than 10 effective clicks.

    See Also
    --------
    off_policy_difference : Two rankers judged from the same log.

    Notes
    -----
    Let :math:`r_i` be the chance that row i is clicked once examined, and
    :math:`\\lambda_i` its credit: :math:`1/\\log_2(1 + \\text{position})` for DCG,
    :math:`1/\\min(k, n)` in a list of n for precision, 1 for recall, each among the
    first k only. What is estimated is the sum of :math:`\\lambda_i r_i` over a list,
    averaged over all lists, those without clicks too. For DCG that is
    `metrics.dcg_score` of :math:`r_i`, with ``gain="linear"`` and ``empty="zero"``.

    "ips" puts :math:`c_i / p_i` for :math:`r_i` [1]_, [2]_. It is unbiased if
    propensities are right and the examination model holds: a click takes an item that
    was examined, and depends on no other.

    "snips" divides the sum over all lists by that of :math:`c_i / p_i` [3]_, and
    estimates the sum of :math:`\\lambda_i r_i` over that of :math:`r_i`: the mean
    discount at which a relevant item stands, or recall. It only needs ratios of
    propensities, which is all that `simulation.estimate_propensities` can know, and
    mostly varies less. Its bias falls with the number of lists.

    "dr" puts :math:`\\hat r_i + (c_i - \\alpha_i \\hat r_i) / p_i`, with
    :math:`\\hat r_i` from `predicted` and :math:`\\alpha_i` from `examination` [4]_,
    [5]_. With :math:`\\alpha_i` right, it is unbiased if :math:`\\hat r_i` is right or
    :math:`p_i` is the mean of :math:`\\alpha_i`. Where these two are equal, the model
    cancels out and "ips" remains: nobody logs whether a row without a click was
    examined. So there are two uses. A logging ranker that drew its order
    has mean chances for `propensities`. Or weights are bounded on purpose,
    ``propensities=np.maximum(p, 0.1)`` with ``examination=p``: less variance, and for
    bias what the model gets wrong about the rows below the bound, which "ips" with the
    same bound counts for less than they are.

    NDCG cannot be estimated in this way. It divides by the DCG of the best order of
    each list, which is not linear in relevance, and a single list's clicks do not say
    what that order is. "snips" divides by the total relevance instead; in lists with
    one relevant item each, that is NDCG.

    Intervals: for "ips" and "dr" a t-interval with Hall's correction for skewness
    [6]_; for "snips" one of the log-odds of the share, made from two such intervals
    [7]_, with the jackknife's standard error beside it. A variance is uncertain too
    where a few large weights decide it, so degrees of freedom are one less than the
    effective clicks, or the lists if fewer. ``n_effective`` is
    :math:`(\\sum x_i)^2 / \\sum x_i^2` of the terms :math:`x_i = \\lambda_i c_i / p_i`,
    for "snips" that of :math:`(1 - \\lambda_i) c_i / p_i` if less.

    References
    ----------
    .. [1] T. Joachims, A. Swaminathan, T. Schnabel. Unbiased Learning-to-Rank with
       Biased Feedback. WSDM 2017.
    .. [2] A. Agarwal, K. Takatsu, I. Zaitsev, T. Joachims. A General Framework for
       Counterfactual Learning-to-Rank. SIGIR 2019.
    .. [3] A. Swaminathan, T. Joachims. The Self-Normalized Estimator for
       Counterfactual Learning. NIPS 2015.
    .. [4] M. Dudík, J. Langford, L. Li. Doubly Robust Policy Evaluation and Learning.
       ICML 2011.
    .. [5] H. Oosterhuis. Doubly Robust Estimation for Correcting Position Bias in Click
       Feedback for Unbiased Learning to Rank. ACM TOIS 41 (3), 2023.
    .. [6] P. Hall. On the Removal of Skewness by Transformation. JRSS B 54 (1), 1992.
    .. [7] G. Y. Zou, A. Donner. Construction of Confidence Limits about Effect
       Measures: a General Approach. Statistics in Medicine 27 (10), 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer.counterfactual import off_policy_score
    >>> from sklearn_rankformer.simulation import (
    ...     rank_positions,
    ...     simulate_position_biased_clicks,
    ... )
    >>> rng = np.random.default_rng(0)
    >>> groups = np.repeat(np.arange(1000), 5)
    >>> y = rng.integers(0, 2, 5000)
    >>> shown = rank_positions(rng.normal(size=5000), groups)
    >>> log = simulate_position_biased_clicks(y, shown, rng=rng)
    >>> new_scores = y + rng.normal(size=5000)
    >>> found = off_policy_score(
    ...     log.labels, new_scores, groups, propensities=log.propensities, k=3
    ... )
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (1.452, 1.355, 1.554)

    Here the truth is known:

    >>> from sklearn_rankformer.metrics import dcg_score
    >>> relevance, as_is = log.click_probabilities, {"gain": "linear", "empty": "zero"}
    >>> round(dcg_score(relevance, new_scores, groups, k=3, **as_is), 3)
    1.479
    """
    _check_metric(metric, estimator)
    log = _check_log(clicks, groups, propensities, estimator, predicted, examination)
    credit = _credit(scores, "scores", log.lists, metric, k)
    if log.per_item:
        return _estimate(log, credit, [credit, 1 - credit], _share_bounds)
    return _estimate(log, credit, [credit], _skewed_bounds)


def off_policy_difference(
    clicks,
    scores_a,
    scores_b,
    groups,
    *,
    propensities,
    metric="dcg",
    k=None,
    estimator="ips",
    predicted=None,
    examination=None,
):
    """Estimate from logged clicks how much better one ranking would be than another.

    Both are judged by the same clicks, so that what is common to them cancels out: the
    interval is far narrower than those of the two values suggest.

    Parameters
    ----------
    clicks, groups, propensities, metric, k, estimator, predicted, examination
        As in `off_policy_score`.
    scores_a, scores_b : array-likes of shape (n_rows,)
        Scores of the two rankers.

    Returns
    -------
    result : Bunch
        As from `off_policy_score`; ``value`` is that of a less that of b, and a is
        better if ``low`` is above 0.

    Raises
    ------
    ValueError
        As in `off_policy_score`.

    Warns
    -----
    UserWarning
        If the estimate rests on fewer than 10 effective clicks. Clicks on items that
        both rank alike do not count.

    Notes
    -----
    The credit of a row is the difference of the two credits. The interval reaches as
    far as a t-interval and as one with Hall's correction for skewness, for "snips" of
    the ratio's linear part, whichever is wider on either side. Of two new rankings the
    difference is hardly skewed, and the first is right. A new one gains over the one
    that was shown by few clicks of large weight, which takes the second. With fewer
    than about 20 effective clicks both may be too narrow there, mostly above.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer.counterfactual import off_policy_difference
    >>> rng = np.random.default_rng(0)
    >>> groups = np.repeat(np.arange(1000), 5)
    >>> clicks, propensities = rng.integers(0, 2, 5000), np.ones(5000)
    >>> a, b = clicks + rng.normal(size=5000), rng.normal(size=5000)
    >>> found = off_policy_difference(
    ...     clicks, a, b, groups, propensities=propensities, metric="precision", k=2
    ... )
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2)
    (0.19, 0.16, 0.21)
    """
    _check_metric(metric, estimator)
    log = _check_log(clicks, groups, propensities, estimator, predicted, examination)
    credit_a = _credit(scores_a, "scores_a", log.lists, metric, k)
    credit_b = _credit(scores_b, "scores_b", log.lists, metric, k)
    credit = credit_a - credit_b
    return _estimate(log, credit, [np.abs(credit)], _outer_bounds)


@dataclass(frozen=True)
class _Log:
    """Checked log, rows in the caller's order.

    Attributes
    ----------
    lists : Lists
    weighted : float64 ndarray of shape (n_rows,)
        Clicks over propensities.
    relevance : float64 ndarray of shape (n_rows,)
        What is put for the chance of a click once examined; may be negative.
    per_item : bool
        Whether values are per relevant item, not per list.
    """

    lists: Lists
    weighted: np.ndarray
    relevance: np.ndarray
    per_item: bool


def _check_log(clicks, groups, propensities, estimator, predicted, examination):
    clicks = check_labels(clicks, "clicks")
    lists = split_lists(check_groups(groups, len(clicks)))
    propensities = _check_propensities(propensities, len(clicks))
    n_clicked = int((lists.reduce(np.maximum, clicks) > 0).sum())
    if n_clicked < 2:
        raise ValueError(
            f"clicks has feedback in {n_clicked} lists, and no spread can be had from "
            f"fewer than 2. Give a longer log."
        )
    weighted = relevance = clicks / propensities
    if estimator == "dr":
        predicted, examination = _check_model(predicted, examination, len(clicks))
        relevance = weighted + predicted * (1 - examination / propensities)
    elif predicted is not None or examination is not None:
        name = "predicted" if predicted is not None else "examination"
        raise ValueError(
            f"{name} has no use for estimator={estimator!r}. Leave it out, or give "
            f"estimator='dr'."
        )
    return _Log(lists, weighted, relevance, estimator == "snips")


def _check_propensities(propensities, n_rows):
    propensities = check_numbers(propensities, "propensities")
    check_length(propensities, "propensities", n_rows, "clicks")
    wrong = np.flatnonzero((propensities <= 0) | (propensities > 1))
    if len(wrong):
        shown = ", ".join(f"{propensities[row]:g} in row {row}" for row in wrong[:5])
        raise ValueError(
            f"propensities must lie above 0 and up to 1, got {len(wrong)} that do not: "
            f"{shown}. Of an item that nobody can have seen, clicks say nothing: drop "
            f"such rows, or let a model speak for them with estimator='dr', "
            f"propensities=np.maximum(p, 0.1) and examination=p."
        )
    return propensities


def _check_model(predicted, examination, n_rows):
    if predicted is None or examination is None:
        name = "predicted" if predicted is None else "examination"
        raise ValueError(
            f"estimator='dr' needs {name}. Give predicted, the feedback that a model "
            f"expects of each row once examined, and examination, the chance of that "
            f"at the position shown. Where this is what propensities hold too, the "
            f"model cancels out: use estimator='ips', or bound the weights by "
            f"propensities=np.maximum(p, 0.1) and examination=p."
        )
    predicted = check_numbers(predicted, "predicted")
    check_length(predicted, "predicted", n_rows, "clicks")
    refuse_negative(predicted, "predicted")
    examination = check_numbers(examination, "examination")
    check_length(examination, "examination", n_rows, "clicks")
    if examination.min() < 0 or examination.max() > 1:
        raise ValueError(
            f"examination must hold chances from 0 to 1, got {examination.min():g} to "
            f"{examination.max():g}."
        )
    return predicted, examination


def _check_metric(metric, estimator):
    check_option("estimator", estimator, ESTIMATORS)
    if metric == "ndcg":
        raise ValueError(
            "metric='ndcg' cannot be estimated from clicks: the DCG of the best order "
            "is not linear in relevance. Give metric='dcg', with estimator='snips' "
            "for a value relative to the total relevance."
        )
    check_option("metric", metric, ("dcg", "precision", "recall"))
    if metric == "precision" and estimator == "snips":
        raise ValueError(
            "metric='precision' is per list, and estimator='snips' counts per "
            "relevant item. Give metric='recall', or estimator='ips'."
        )
    if metric == "recall" and estimator != "snips":
        raise ValueError(
            f"metric='recall' is per relevant item, and estimator={estimator!r} counts "
            f"per list. Give metric='precision', or estimator='snips'."
        )


def _credit(scores, name, lists: Lists, metric, k) -> np.ndarray:
    """Weight of each row's relevance in the value: (n_rows,)."""
    scores = check_numbers(scores, name)
    check_length(scores, name, lists.n_rows, "clicks")
    k = check_k(k)
    order, place = rank_rows(scores, lists), places(lists.lengths)
    last = np.repeat(lists.lengths, lists.lengths)
    last = last if k is None else np.minimum(last, k)
    share = {"dcg": 1 / np.log2(place + 2), "precision": 1 / last, "recall": 1.0}
    credit = np.where(place < last, share[metric], 0)
    # Equal scores share what their places are worth.
    first = place == 0
    first[1:] |= scores[order][1:] != scores[order][:-1]
    starts = np.flatnonzero(first)
    n_tied = np.diff(starts, append=len(order))
    means = np.empty(len(order))
    means[order] = np.repeat(np.add.reduceat(credit, starts) / n_tied, n_tied)
    return means


@dataclass(frozen=True)
class _Sums:
    """What an estimate and its interval are made of, list by list.

    Attributes
    ----------
    gained : float64 ndarray of shape (n_lists,)
        Credits times relevance.
    total : float64 ndarray of shape (n_lists,), or None
        Relevance, if the value is a ratio of sums, and None if it is a mean.
    """

    gained: np.ndarray
    total: np.ndarray | None

    @property
    def terms(self) -> np.ndarray:
        """What the value is the mean of; of a ratio, its linear part."""
        if self.total is None:
            return self.gained
        surplus = self.gained - self.value * self.total
        return self.value + surplus / self.total.mean()

    @property
    def value(self) -> float:
        """The estimate."""
        if self.total is None:
            return self.gained.mean()
        return self.gained.sum() / self.total.sum()

    @property
    def error(self) -> float:
        """Its standard error; of a ratio from the jackknife."""
        n = len(self.gained)
        if self.total is None:
            return self.gained.std(ddof=1) / np.sqrt(n)
        without_one = self.gained.sum() - self.gained
        without_one /= self.total.sum() - self.total
        return without_one.std() * np.sqrt(n - 1)


def _estimate(log: _Log, credit, sides, bounds_of) -> Bunch:
    """Result for credits; each of the sides has to rest on clicks of its own."""
    total = log.lists.reduce(np.add, log.relevance) if log.per_item else None
    sums = _Sums(log.lists.reduce(np.add, credit * log.relevance), total)
    value, error = sums.value, sums.error
    n_effective = min(_effective_number(one * log.weighted) for one in sides)
    # As of rankings that never differ: no clicks could have changed the value.
    is_known = not all(one.any() for one in sides)
    if is_known:
        low = high = value
    elif not n_effective:
        low = high = error = np.nan
    else:
        n_free = max(min(n_effective, log.lists.n_lists) - 1, 1)
        low, high = bounds_of(sums, t.ppf((1 + CONFIDENCE) / 2, n_free))
    if n_effective < FEW_CLICKS and not is_known:
        warn_user(
            f"The estimate rests on {n_effective:.1f} effective clicks, fewer than "
            f"{FEW_CLICKS}: its interval cannot be relied on. Give a longer log, one "
            f"that was shown in another order, or bound the weights "
            f"(estimator='dr')."
        )
    return Bunch(
        value=float(value),
        standard_error=float(error),
        low=float(low),
        high=float(high),
        n_effective=float(n_effective),
        n_lists=log.lists.n_lists,
    )


def _effective_number(terms):
    # Scaled first, so that no square of a large weight overflows.
    terms = terms / (terms.max() or 1)
    return terms.sum() ** 2 / ((terms**2).sum() or 1)


def _symmetric_bounds(sums: _Sums, reach):
    return sums.value - reach * sums.error, sums.value + reach * sums.error


def _outer_bounds(sums: _Sums, reach):
    """Bounds that hold whether or not there is skewness.

    A few large weights on both sides look skewed by chance, and then the correction
    alone would draw in the wrong side.
    """
    bounds = _symmetric_bounds(sums, reach), _skewed_bounds(sums, reach)
    lows, highs = zip(*bounds, strict=True)
    return min(lows), max(highs)


def _skewed_bounds(sums: _Sums, reach):
    """Bounds of a mean after Hall's cubic transformation, which has no skewness."""
    terms = sums.terms
    skewness = np.mean(((terms - sums.value) / (terms.std() or 1)) ** 3)
    bend = skewness / (3 * np.sqrt(len(terms)))
    if abs(bend) < 1e-6:  # a straight line, and no digits left to divide
        return _symmetric_bounds(sums, reach)
    ends = np.cbrt(1 + 3 * bend * (np.array([reach, -reach]) - bend / 2)) - 1
    return sums.value - ends / bend * sums.error


def _share_bounds(sums: _Sums, reach):
    """Bounds of a share, from those of what is in it and of what is not.

    The log-odds of the share are a difference of two logarithms, each with bounds of
    its own. On either side the two distances add up as two standard errors would.
    """
    parts = sums.gained, sums.total - sums.gained
    # A lower bound that is not positive is none.
    ends = [np.maximum(_skewed_bounds(_Sums(one, None), reach), TINY) for one in parts]
    middles = np.log([one.mean() for one in parts])
    (down_in, up_in), (down_out, up_out) = np.abs(np.log(ends) - middles[:, None])
    spreads = parts[0].std() * parts[1].std()
    correlation = np.cov(*parts, ddof=0)[0, 1] / (spreads or 1)
    down = _distance(down_in, up_out, correlation)
    up = _distance(up_in, down_out, correlation)
    return expit(middles[0] - middles[1] + np.array([-down, up]))


def _distance(one, other, correlation):
    # The cosine rule; rounding may lift a correlation a hair above 1.
    return np.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0))
