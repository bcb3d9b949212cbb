"""Predicted chances, checked by segment and used to answer or abstain.

Everything here takes two arrays with one entry per held-out list: what came (it was
good or not), and the chance or score it was given. Neither a model nor list ids are
needed, so chances of items, or of any classifier, will do as well.
"""

import numpy as np
from scipy.stats import beta, binom
from sklearn.utils import Bunch

from ._checks import (
    check_length,
    check_numbers,
    check_share,
    plain_array,
    refuse_empty,
)
from ._warnings import warn_user

__all__ = ["answer_curve", "brier_by_segment", "pick_threshold"]

# Thresholds tested one after the other: many small steps fail early by bad luck, few
# large ones leave lists unanswered that could be.
N_STEPS = 50
# Shares of the lists at which the sequence starts again. Where the precision of the
# best lists is hardly above the wanted one, only many of them prove it.
STARTS = (0.0, 0.1, 0.4)
# Chances that were summed over classes, in float32 perhaps, may pass 1 by as much.
ROUNDING = 1e-6


def brier_by_segment(y_true, y_prob, segment=None):
    """Brier score within each segment, beside that of the segment's own base rate.

    A model that only knows how often lists of each segment are good beats the base
    rate of all lists, and tells no two lists of one segment apart. Only a score below
    that of the base rates *within* segments shows that it does.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Whether each list was good: booleans, or 0 and 1.
    y_prob : array-like of shape (n_samples,)
        Predicted chance of that, from 0 to 1.
    segment : array-like of shape (n_samples,), default=None
        Segment of each list, such as its market or device; None takes all for one.

    Returns
    -------
    result : Bunch
        Arrays of shape (n_segments,), in the order of ``np.unique(segment)``:
        ``segment``; ``n_samples``; ``base_rate``, the share of good ones; ``brier``,
        the mean squared difference of chance and outcome; ``base_brier``, the same of
        the base rate. And for all samples together the floats ``total_brier``,
        ``total_base_brier`` of one base rate for all, and ``within_base_brier`` of
        each segment's own.

    Raises
    ------
    ValueError
        If lengths differ, there are no samples, an outcome is neither 0 nor 1, or a
        chance is missing or not between 0 and 1.
    TypeError
        If segments cannot be compared, as text cannot with None.

    Notes
    -----
    Base rates are those of the very samples they are scored on, so that
    ``base_brier`` is ``base_rate * (1 - base_rate)``, the uncertainty in Murphy's
    decomposition. In a segment of n lists that favours the base rate by a factor of
    1 - 1/n on average.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability".
    Murphy (1973), "A new vector partition of the probability score".

    Examples
    --------
    >>> from sklearn_rankformer.calibration import brier_by_segment
    >>> good = [0, 0, 0, 1, 1, 1, 1, 0]
    >>> chance = [0.25, 0.25, 0.25, 0.25, 0.75, 0.75, 0.75, 0.75]
    >>> result = brier_by_segment(good, chance, ["phone"] * 4 + ["desktop"] * 4)
    >>> result.base_rate  # of desktop and phone
    array([0.75, 0.25])
    >>> result.total_brier, result.total_base_brier  # it looks like skill
    (0.1875, 0.25)
    >>> result.within_base_brier  # but is all the segment's
    0.1875
    """
    hit, chance = _check_pairs(y_true, y_prob, "y_prob")
    inside = np.clip(chance, 0, 1)
    if np.abs(chance - inside).max() > ROUNDING:
        raise ValueError(
            f"y_prob must hold chances from 0 to 1, got {chance.min():.8g} to "
            f"{chance.max():.8g}. Calibrate scores first."
        )
    chance = inside
    names, codes = segment_codes(segment, len(hit))
    count = np.bincount(codes)
    with np.errstate(under="ignore"):  # the square of a tiny error is none
        error = (chance - hit) ** 2
    rate = np.bincount(codes, hit) / count
    base = rate * (1 - rate)
    return Bunch(
        segment=names,
        n_samples=count,
        base_rate=rate,
        brier=np.bincount(codes, error) / count,
        base_brier=base,
        total_brier=float(error.mean()),
        total_base_brier=float(hit.mean() * (1 - hit.mean())),
        within_base_brier=float(np.average(base, weights=count)),
    )


def answer_curve(y_true, y_score, *, confidence=0.95):
    """Share of the lists answered against the precision of these answers.

    A threshold answers the lists whose score is at least as high and abstains from
    the others. The curve has one point for each distinct score, as lists of equal
    score are answered together or not at all.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Whether each list was good: booleans, or 0 and 1.
    y_score : array-like of shape (n_samples,)
        Chance of that, or any score that is higher for better lists.
    confidence : float, default=0.95
        Confidence of each lower bound, taken by itself.

    Returns
    -------
    curve : Bunch
        Arrays of shape (n_thresholds,), the strictest threshold first:
        ``threshold``; ``n_answered``, int; ``share``, that number in all lists;
        ``precision``, the share of good ones among those answered; ``low``, the lower
        Clopper-Pearson bound of the precision.

    Raises
    ------
    ValueError
        If lengths differ, there are no samples, an outcome is neither 0 nor 1, a
        score is not finite, or `confidence` is not between 0 and 1.

    See Also
    --------
    pick_threshold : The point of the curve that promises a precision.

    Notes
    -----
    With 1 - precision in the place of precision it is the risk-coverage curve of
    selective classification.

    References
    ----------
    El-Yaniv and Wiener (2010), "On the foundations of noise-free selective
    classification". Clopper and Pearson (1934), "The use of confidence or fiducial
    limits illustrated in the case of the binomial".

    Examples
    --------
    >>> from sklearn_rankformer.calibration import answer_curve
    >>> curve = answer_curve([1, 1, 0, 1, 0], [0.9, 0.8, 0.8, 0.3, 0.1])
    >>> curve.threshold
    array([0.9, 0.8, 0.3, 0.1])
    >>> curve.share
    array([0.2, 0.6, 0.8, 1. ])
    >>> curve.precision.round(2)
    array([1.  , 0.67, 0.75, 0.6 ])
    """
    confidence = check_share(confidence, "confidence")
    return _points(*_count(y_true, y_score), slice(None), confidence)


def pick_threshold(y_true, y_score, *, precision, confidence=0.95):
    """Threshold that answers many lists at a precision that is promised.

    The precision measured at a threshold that was picked for it is too good. This one
    is safe: over repeated draws of the lists given, the true precision of new lists
    at the threshold is at least `precision` in a share of `confidence` of the draws.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Whether each list was good: booleans, or 0 and 1. Lists that neither the model
        nor its calibration has seen.
    y_score : array-like of shape (n_samples,)
        Chance of that, or any score that is higher for better lists.
    precision : float
        Wanted share of good lists among those answered, between 0 and 1.
    confidence : float, default=0.95
        Chance that the promise holds, between 0 and 1.

    Returns
    -------
    picked : Bunch
        Point of `answer_curve`: ``threshold``, answer where the score is at least
        this; ``n_answered`` and ``share`` of the given lists; ``precision`` measured
        on them; ``low``, its lower bound, at least the precision wanted. If no
        threshold qualifies: inf, 0, 0, nan and nan, with a warning that says why.

    Raises
    ------
    ValueError
        If lengths differ, there are no samples, an outcome is neither 0 nor 1, a
        score is not finite, or `precision` or `confidence` is not between 0 and 1.

    Warns
    -----
    UserWarning
        If no threshold qualifies.

    See Also
    --------
    answer_curve : Every threshold, without a promise.

    Notes
    -----
    Learn then test [1]_: thresholds that answer one fiftieth of the lists, two
    fiftieths and so on are tested from the strictest on by the exact binomial test,
    and the loosest that passes is taken. The fallback procedure [2]_ keeps the chance
    of any false one below 1 - `confidence`: a third of that is handed out at the
    first test, at a tenth and at two fifths of the lists; a test that passes hands
    its level on to the next, one that fails loses it. Thresholds that answer too few
    lists to pass even if all are good are left out. Nothing but the tests looks at
    an outcome.

    The promise is for lists drawn independently from one population, today's being
    like tomorrow's: it does not hold for items, which come in lists, and needs one
    threshold for each segment that is to keep it. It is exact where no scores are
    tied and lists that score below the point where the precision falls to the wanted
    one are good at most that often, as when higher scores mean better lists.
    Elsewhere the tested thresholds, which are scores of the lists given, make it an
    approximation. ``low`` is a bound of this point alone: beyond `precision` it
    promises nothing.

    References
    ----------
    .. [1] Angelopoulos, Bates, Candès, Jordan and Lei (2021), "Learn then test:
       calibrating predictive algorithms to achieve risk control", arXiv:2110.01052,
       after Bates, Angelopoulos, Lei, Malik and Jordan (2021), "Distribution-free,
       risk-controlling prediction sets", Journal of the ACM 68 (6).
    .. [2] Wiens and Dmitrienko (2005), "The fallback procedure for evaluating a
       single family of hypotheses", Journal of Biopharmaceutical Statistics 15 (6).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer.calibration import pick_threshold
    >>> rng = np.random.default_rng(0)
    >>> chance = rng.uniform(size=2000)
    >>> good = rng.uniform(size=2000) < chance
    >>> picked = pick_threshold(good, chance, precision=0.8)
    >>> picked.share, round(picked.precision, 3), round(picked.low, 3)
    (0.36, 0.832, 0.807)
    """
    wanted = check_share(precision, "precision")
    confidence = check_share(confidence, "confidence")
    _, answered, hits = counts = _count(y_true, y_score)
    steps = np.ceil(np.arange(1, N_STEPS + 1) * answered[-1] / N_STEPS)
    tested = np.unique(np.searchsorted(answered, steps))
    needed = np.ceil(np.log((1 - confidence) / len(STARTS)) / np.log(wanted))
    tested = tested[answered[tested] >= needed]
    p_values = binom.sf(hits[tested] - 1, answered[tested], wanted)
    shares = answered[tested] / answered[-1]
    passed = tested[_passed(p_values, shares, 1 - confidence)]
    points = _points(*counts, passed if len(passed) else tested, confidence)
    if len(passed):
        return Bunch(**{name: of[-1].item() for name, of in points.items()})
    warn_user(
        f"No threshold promises precision={wanted:g} with confidence={confidence:g}: "
        f"{_why_none(points, needed, answered[-1])}. The threshold is inf, which "
        f"answers nothing. Give more lists, or ask for a lower precision or confidence."
    )
    return Bunch(
        threshold=np.inf, n_answered=0, share=0.0, precision=np.nan, low=np.nan
    )


def _passed(p_values, shares, allowed):
    """Which tests reject, with errors of `allowed` in all: the fallback procedure."""
    fresh = np.zeros(len(shares))
    if len(shares):
        np.add.at(fresh, np.searchsorted(shares, STARTS), allowed / len(STARTS))
    passed, level = np.zeros(len(shares), dtype=bool), 0.0
    for j, p_value in enumerate(p_values):
        level += fresh[j]
        passed[j] = p_value <= level
        level *= passed[j]  # what a test was allowed is spent only if it fails
    return passed


def _count(y_true, y_score):
    """Thresholds from the strictest on, how many lists each answers, and the hits."""
    hit, score = _check_pairs(y_true, y_score, "y_score")
    thresholds, codes = np.unique(score, return_inverse=True)
    count, hits = np.bincount(codes), np.bincount(codes, hit)
    return thresholds[::-1], np.cumsum(count[::-1]), np.cumsum(hits[::-1])


def _points(thresholds, answered, hits, chosen, confidence):
    """Chosen points of the curve."""
    return Bunch(
        threshold=thresholds[chosen],
        n_answered=answered[chosen],
        share=answered[chosen] / answered[-1],
        precision=hits[chosen] / answered[chosen],
        low=precision_bounds(hits[chosen], answered[chosen], confidence)[0],
    )


def _why_none(points, needed, n_samples):
    """Say what stands against any threshold."""
    if not len(points.low):
        return f"that takes {needed:.0f} good lists, and {n_samples} came"
    return (
        f"the strictest one tested answers {points.n_answered[0]} of {n_samples} "
        f"lists, {points.precision[0]:.1%} of them good, and its lower bound is "
        f"{points.low[0]:.1%}"
    )


def precision_bounds(hits, trials, confidence):
    """Clopper-Pearson bounds of a share, each one-sided.

    Parameters
    ----------
    hits, trials : ndarrays of shape (n,)
        How many of how many.
    confidence : float
        Confidence of either bound.

    Returns
    -------
    low, high : ndarrays of shape (n,)
        Bounds; 0 and 1 where nothing, or everything, was hit.
    """
    misses = trials - hits
    # At the ends SciPy's quantile is nan: a beta distribution needs both parameters.
    low = beta.ppf(1 - confidence, np.maximum(hits, 1), misses + 1)
    high = beta.ppf(confidence, hits + 1, np.maximum(misses, 1))
    return np.where(hits > 0, low, 0.0), np.where(misses > 0, high, 1.0)


def segment_codes(segment, n_samples):
    """Distinct segments, and which of them each sample belongs to.

    Parameters
    ----------
    segment : array-like of shape (n_samples,) or None
        Segment of each sample; None for one of all.
    n_samples : int
        How many there are to be.

    Returns
    -------
    names : ndarray of shape (n_segments,)
        In the order of ``np.unique``.
    codes : ndarray of shape (n_samples,), int
        Positions in `names`.

    Raises
    ------
    ValueError
        If there is not one segment for each sample.
    TypeError
        If segments cannot be sorted.
    """
    if segment is None:
        return np.array(["all"]), np.zeros(n_samples, dtype=int)
    segment = plain_array(segment, "segment")
    if segment.shape != (n_samples,):
        raise ValueError(
            f"segment has shape {segment.shape}, expected ({n_samples},): one value "
            f"for each row of the other arguments."
        )
    try:
        return np.unique(segment, return_inverse=True)
    except TypeError as error:
        raise TypeError(
            f"segment mixes values that cannot be sorted ({error}). Give a name to "
            f"missing ones."
        ) from error


def segment_of_lists(segment, lists):
    """Segment of each list, given on all its rows.

    Parameters
    ----------
    segment : array-like of shape (n_rows,)
        Segment of each row.
    lists : Lists
        Where the rows of each list lie.

    Returns
    -------
    segment : ndarray of shape (n_lists,)
        In the order of ``lists.ids``.

    Raises
    ------
    TypeError, ValueError
        As `segment_codes`, and if segments differ within a list.
    """
    names, codes = segment_codes(segment, lists.n_rows)
    low, high = (lists.reduce(ufunc, codes) for ufunc in (np.minimum, np.maximum))
    if (low != high).any():
        j = int((low != high).argmax())
        raise ValueError(
            f"segment differs within the list {lists.ids[j].item()!r}: it has "
            f"{names[low[j]]} and {names[high[j]]}. Repeat one segment on all rows of "
            f"a list."
        )
    return names[high]


def _check_pairs(y_true, y_score, name):
    """Outcomes as booleans, and as many finite numbers."""
    hit, score = check_numbers(y_true, "y_true"), check_numbers(y_score, name)
    refuse_empty(hit, "y_true")
    check_length(score, name, len(hit), "y_true")
    other = hit[(hit != 0) & (hit != 1)]
    if len(other):
        raise ValueError(
            f"y_true must hold 0 and 1, or booleans, got {other[0]:g}. Compare labels "
            f"with the least that is good: y >= 1."
        )
    return hit.astype(bool), score
