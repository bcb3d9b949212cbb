"""Simulated users: selections shown to them, and what they click and purchase.

The user model is that of the RankFormer paper: each user comes with one intent for
the whole list, so that a list without clicks says something about the list.

>>> import numpy as np
>>> from sklearn_rankformer.simulation import simulate_implicit_feedback
>>> y, groups = np.array([0, 4, 2, 0, 0, 0]), np.array([7, 7, 7, 7, 9, 9])
>>> shown = simulate_implicit_feedback(y, groups, n_repeats=2, rng=1)
>>> shown.intents.tolist()  # 0 only looks, 1 clicks, 2 purchases
[1, 0, 2, 0]
>>> [shown.labels[shown.groups == user].tolist() for user in range(4)]
[[0, 0, 1, 0], [0, 0], [0, 0, 0, 2], [0, 0]]

Train on ``X[shown.rows]``, ``shown.labels`` and ``shown.groups``, and judge by ``y``.

Two further models are of how far a user reads: position bias and the cascade. They say
how likely each item was to be seen; a click weighted by one over that counts for the
clicks that were missed as well.

>>> from sklearn_rankformer.simulation import (
...     inverse_propensity_weights,
...     simulate_position_biased_clicks,
... )
>>> positions = np.array([4, 3, 2, 1, 1, 2])
>>> log = simulate_position_biased_clicks(y, positions, rng=3)
>>> log.labels.tolist()
[0, 1, 0, 0, 0, 0]
>>> inverse_propensity_weights(log.labels, log.propensities).tolist()
[1.0, 3.0, 1.0, 1.0, 1.0, 1.0]

Pure functions: arrays and a generator in, new arrays out, rows in any order.
"""

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.utils import Bunch

from ._checks import (
    check_count,
    check_labels,
    check_length,
    check_max_label,
    check_numbers,
    check_real,
    plain_column,
    refuse_empty,
)
from ._groups import check_groups
from ._lists import Lists, places, rank_rows, split_lists

SEEN, CLICK, PURCHASE = 0, 1, 2

# No list is as long.
LAST_POSITION = 2**32 - 1


def simulate_implicit_feedback(
    y,
    groups,
    *,
    n_repeats=10,
    max_items=16,
    max_label=None,
    click_noise=0.1,
    purchase_intent=0.1,
    purchase_label=2,
    rng=None,
):
    """Show selections of each list to users, and record clicks and purchases.

    `sample_selections` followed by `simulate_clicks`: what the RankFormer paper does
    to data with relevance labels.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Relevance labels.
    groups : array-like of shape (n_rows,)
        List of each row.
    n_repeats, max_items : int
        As in `sample_selections`.
    max_label, click_noise, purchase_intent, purchase_label
        As in `simulate_clicks`; by default ``max_label`` is the largest label in
        ``y``, shown or not.
    rng : numpy.random.Generator, int or None, default=None
        Source of randomness.

    Returns
    -------
    feedback : sklearn.utils.Bunch
        ``rows`` : ndarray of shape (n_shown,), int64
            Rows of ``y`` that were shown: ``X[rows]`` are the features of the items.
        ``groups`` : ndarray of shape (n_shown,), int64
            Selection of each shown item, sorted.
        ``labels`` : ndarray of shape (n_shown,), int64
            0, 1 for a click, ``purchase_label`` for a purchase.
        ``intents`` : ndarray of shape (n_selections,), int64
            Intent of each selection: 0 only looks, 1 clicks, 2 purchases.
        ``propensities`` : ndarray of shape (n_shown,), float64
            Probability that the user of the selection had any intent beyond looking:
            without it, no item could be clicked.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range.

    Examples
    --------
    >>> from sklearn_rankformer.simulation import simulate_implicit_feedback
    >>> shown = simulate_implicit_feedback([0, 1, 4, 2], [7, 7, 7, 9], rng=0)
    >>> shown.rows.shape, shown.intents.shape
    ((40,), (20,))
    """
    y = _some_labels(y, "y")
    # Of all labels: the scale must not depend on which items happen to be shown.
    max_label = check_max_label(max_label, y, "y")
    rng = np.random.default_rng(rng)
    groups = check_groups(groups, len(y))
    rows, selections = sample_selections(
        groups, n_repeats=n_repeats, max_items=max_items, rng=rng
    )
    clicks = simulate_clicks(
        y[rows],
        selections,
        max_label=max_label,
        click_noise=click_noise,
        purchase_intent=purchase_intent,
        purchase_label=purchase_label,
        rng=rng,
    )
    return Bunch(
        rows=rows,
        groups=selections,
        labels=clicks.labels,
        intents=clicks.intents,
        propensities=clicks.propensities,
    )


def sample_selections(groups, *, n_repeats=10, max_items=16, rng=None):
    """Draw the selections of each list that users get to see.

    Each of ``n_repeats`` users of a list sees at most ``max_items`` of its items,
    drawn without replacement; a shorter list is shown whole.

    Parameters
    ----------
    groups : array-like of shape (n_rows,)
        List of each row.
    n_repeats : int, default=10
        Selections of each list.
    max_items : int, default=16
        Largest number of items shown at once.
    rng : numpy.random.Generator, int or None, default=None
        Source of randomness.

    Returns
    -------
    rows : ndarray of shape (n_shown,), int64
        Row of each item shown, in random order within its selection.
    selections : ndarray of shape (n_shown,), int64
        Selection of each item shown, sorted. Selection ``r * n_lists + j`` is the
        r-th of list j, in the order of ``np.unique(groups)``.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range.

    Notes
    -----
    Published RankFormer code, step 1 of its user model: 10 times at most 16 items.
    """
    check_count(n_repeats, "n_repeats")
    check_count(max_items, "max_items")
    groups = plain_column(groups, "groups")
    refuse_empty(groups, "groups")
    groups = check_groups(groups, len(groups))
    lists = split_lists(groups)
    rng = np.random.default_rng(rng)
    repeats = [_sample_once(lists, max_items, rng) for _ in range(n_repeats)]
    rows = np.concatenate([rows for rows, _ in repeats])
    selections = np.concatenate(
        [codes + repeat * lists.n_lists for repeat, (_, codes) in enumerate(repeats)]
    )
    return rows, selections


def _sample_once(lists: Lists, max_items: int, rng) -> tuple[np.ndarray, np.ndarray]:
    # Shuffled first, then sorted stably by list: random within each list.
    shuffled = rng.permutation(lists.n_rows)
    rows = shuffled[np.argsort(lists.codes[shuffled], kind="stable")]
    kept = places(lists.lengths) < max_items
    return rows[kept], np.repeat(np.arange(lists.n_lists), lists.lengths)[kept]


def relevance_probability(y, max_label=None):
    """Turn relevance labels into the probability of being found relevant.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Relevance labels, not negative.
    max_label : float, default=None
        Largest label of the scale; None takes the largest in ``y``. Give it whenever
        parts of a data set are simulated apart, or each would have its own scale.

    Returns
    -------
    rho : ndarray of shape (n_rows,), float64
        :math:`\\rho(y) = (2^y - 1) / (2^{y_{max}} - 1)`; 0 where all labels are 0.

    Raises
    ------
    TypeError, ValueError
        If labels are not finite and non-negative, or exceed ``max_label``.
    """
    y = _some_labels(y, "y")
    max_label = check_max_label(max_label, y, "y")
    # All labels are 0, and so would be the divisor.
    if max_label == 0:
        return np.zeros(len(y))
    # Divided by 2^max on both sides, which stays finite for labels of any size.
    with np.errstate(under="ignore"):
        parts = np.exp2(y - max_label) * -np.expm1(-y * np.log(2))
        return parts / -np.expm1(-max_label * np.log(2))


def simulate_clicks(
    y,
    groups,
    *,
    max_label=None,
    click_noise=0.1,
    purchase_intent=0.1,
    purchase_label=2,
    rng=None,
):
    """Let one user click and purchase in each list, with one intent for all items.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Relevance labels.
    groups : array-like of shape (n_rows,)
        List of each row.
    max_label : float, default=None
        Largest label of the scale, as in `relevance_probability`.
    click_noise : float, default=0.1
        Probability that a user who clicks at all clicks an irrelevant item.
    purchase_intent : float, default=0.1
        Share of the users with an intent who want to purchase.
    purchase_label : int, default=2
        Label of a purchase, above 1; 4 gives the labels of the published code.
    rng : numpy.random.Generator, int or None, default=None
        Source of randomness.

    Returns
    -------
    clicks : sklearn.utils.Bunch
        ``labels`` : ndarray of shape (n_rows,), int64
            0, 1 for a click, ``purchase_label`` for a purchase.
        ``groups`` : ndarray of shape (n_lists,)
            Ids of the lists, in the order of ``np.unique(groups)``.
        ``intents`` : ndarray of shape (n_lists,), int64
            Intent in each list: 0 only looks, 1 clicks, 2 purchases.
        ``intent_probabilities`` : ndarray of shape (n_lists, 3), float64
            Probability of each intent.
        ``click_probabilities``, ``purchase_probabilities`` : ndarray of (n_rows,)
            Probability of a click and of a purchase, given such an intent.
        ``propensities`` : ndarray of shape (n_rows,), float64
            Probability, in the list of the row, of an intent beyond looking.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range.

    Notes
    -----
    With :math:`\\rho` from `relevance_probability`, :math:`\\rho^*` its largest value
    in the list and :math:`\\kappa` the purchase intent, the user only looks with
    probability :math:`1 - \\rho^*`, clicks with :math:`\\rho^* (1 - \\kappa)` and
    purchases with :math:`\\rho^* \\kappa`. An item is clicked with probability
    :math:`\\epsilon + (1 - \\epsilon) \\rho`, :math:`\\epsilon` the click noise, if the
    user clicks or purchases; it is purchased with probability :math:`\\rho` if the user
    purchases. The two are independent: a purchase needs no click.

    Examples
    --------
    A shop in which every other user with an intent wants to purchase, and what a
    thousand users do there with a list whose best item has the label 2 of 4:

    >>> import numpy as np
    >>> from sklearn_rankformer.simulation import simulate_clicks
    >>> y, groups = np.tile([0, 2], 1000), np.repeat(np.arange(1000), 2)
    >>> clicks = simulate_clicks(y, groups, max_label=4, purchase_intent=0.5, rng=0)
    >>> clicks.intent_probabilities[0].tolist()
    [0.8, 0.1, 0.1]
    >>> np.bincount(clicks.intents).tolist()
    [807, 104, 89]
    """
    rho = relevance_probability(y, max_label)
    check_real(purchase_intent, "purchase_intent", largest=1)
    check_count(purchase_label, "purchase_label", 2)
    p_click = _click_probability(rho, click_noise)
    lists = split_lists(check_groups(groups, len(rho)))
    rng = np.random.default_rng(rng)

    best = lists.reduce(np.maximum, rho)
    intents = _draw_intents(best, purchase_intent, rng)
    intent = intents[lists.codes]
    # Two draws for each item, since a purchase needs no click.
    clicked = (intent >= CLICK) & (rng.random(len(rho)) < p_click)
    purchased = (intent == PURCHASE) & (rng.random(len(rho)) < rho)
    return Bunch(
        labels=np.where(purchased, purchase_label, clicked).astype(np.int64),
        groups=lists.ids,
        intents=intents,
        intent_probabilities=np.column_stack(
            [1 - best, best * (1 - purchase_intent), best * purchase_intent]
        ),
        click_probabilities=p_click,
        purchase_probabilities=rho,
        propensities=best[lists.codes],
    )


def _draw_intents(best: np.ndarray, purchase_intent: float, rng) -> np.ndarray:
    # One draw decides both: those who purchase are among those with an intent.
    drawn = rng.random(len(best))
    intents = (drawn < best).astype(np.int64)
    return intents + (drawn < best * purchase_intent)


def rank_positions(scores, groups):
    """Turn scores into the positions at which the items are shown.

    Parameters
    ----------
    scores : array-like of shape (n_rows,)
        Scores, larger is better.
    groups : array-like of shape (n_rows,)
        List of each row.

    Returns
    -------
    positions : ndarray of shape (n_rows,), int64
        Position in the list from 1 down; equal scores keep the order of their rows.

    Raises
    ------
    TypeError, ValueError
        If scores hold NaN, or shapes do not fit.
    """
    scores = check_numbers(scores, "scores")
    lists = split_lists(check_groups(groups, len(scores)))
    positions = np.empty(len(scores), dtype=np.int64)
    positions[rank_rows(scores, lists)] = places(lists.lengths) + 1
    return positions


def examination_propensities(positions, *, eta=1.0, table=None):
    """Probability that a user looks at an item, by its position.

    Parameters
    ----------
    positions : array-like of shape (n_rows,)
        Position of each item, from 1.
    eta : float, default=1.0
        How fast attention falls: the probability is ``positions ** -eta``.
    table : array-like of shape (max_position,), default=None
        Probabilities of positions 1, 2, ... to be taken instead, such as
        `estimate_propensities` returns.

    Returns
    -------
    propensities : ndarray of shape (n_rows,), float64
        Probability of being examined.

    Raises
    ------
    TypeError, ValueError
        If positions are not whole numbers from 1, the table is too short, or it
        holds anything but probabilities.
    """
    positions = _check_positions(positions)
    if table is None:
        check_real(eta, "eta")
        # Far down the chance is 0, which is an answer and no fault.
        with np.errstate(under="ignore"):
            return positions ** -float(eta)
    table = _check_probabilities(table, "table")
    if positions.max(initial=1) > len(table):
        raise ValueError(
            f"table has {len(table)} positions, but positions go up to "
            f"{positions.max()}. Give one probability for each position."
        )
    return table[positions - 1]


def simulate_position_biased_clicks(
    y,
    positions,
    *,
    eta=1.0,
    table=None,
    max_label=None,
    click_noise=0.1,
    rng=None,
):
    """Let users click who overlook an item the more, the lower it is shown.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Relevance labels.
    positions : array-like of shape (n_rows,)
        Position of each item in its list, from 1; `rank_positions` makes them from
        the scores of the ranker that was in place.
    eta, table
        Probability of being examined, as in `examination_propensities`.
    max_label : float, default=None
        Largest label of the scale, as in `relevance_probability`.
    click_noise : float, default=0.1
        Probability that an irrelevant item is clicked once examined.
    rng : numpy.random.Generator, int or None, default=None
        Source of randomness. If the order of the items was drawn too, give the
        generator that drew it: the same seed once more ties clicks to positions.

    Returns
    -------
    clicks : sklearn.utils.Bunch
        ``labels`` : ndarray of shape (n_rows,), int64
            1 for a click, else 0.
        ``examined`` : ndarray of shape (n_rows,), bool
            Whether the user looked at the item, which no log would show.
        ``propensities`` : ndarray of shape (n_rows,), float64
            Probability of being examined.
        ``click_probabilities`` : ndarray of shape (n_rows,), float64
            Probability of a click once examined.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range.

    References
    ----------
    .. [1] T. Joachims, A. Swaminathan, T. Schnabel. Unbiased Learning-to-Rank with
       Biased Feedback. WSDM 2017.
    """
    p_click = _click_probability(relevance_probability(y, max_label), click_noise)
    propensities = examination_propensities(positions, eta=eta, table=table)
    check_length(propensities, "positions", len(p_click), "y")
    rng = np.random.default_rng(rng)
    examined = rng.random(len(p_click)) < propensities
    clicked = examined & (rng.random(len(p_click)) < p_click)
    return Bunch(
        labels=clicked.astype(np.int64),
        examined=examined,
        propensities=propensities,
        click_probabilities=p_click,
    )


def simulate_cascade_clicks(
    y,
    groups,
    positions,
    *,
    satisfaction=0.9,
    max_label=None,
    click_noise=0.1,
    rng=None,
):
    """Let users read each list from the top until they are satisfied.

    The dynamic Bayesian network of click models [2]_, a cascade [1]_, with users who
    never give up.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Relevance labels.
    groups : array-like of shape (n_rows,)
        List of each row.
    positions : array-like of shape (n_rows,)
        Position of each item, from 1, no two of a list the same; gaps are skipped.
    satisfaction : float, default=0.9
        Probability that a click on an item of the largest label ends the search; in
        proportion to its relevance probability for other items.
    max_label : float, default=None
        Largest label of the scale, as in `relevance_probability`.
    click_noise : float, default=0.1
        Probability that an irrelevant item is clicked once examined.
    rng : numpy.random.Generator, int or None, default=None
        Source of randomness. If the order of the items was drawn too, give the
        generator that drew it: the same seed once more ties clicks to positions.

    Returns
    -------
    clicks : sklearn.utils.Bunch
        ``labels``, ``examined``, ``propensities``, ``click_probabilities`` as from
        `simulate_position_biased_clicks`. The probability of being examined depends
        here on the items above.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range.

    References
    ----------
    .. [1] N. Craswell, O. Zoeter, M. Taylor, B. Ramsey. An Experimental Comparison
       of Click Position-Bias Models. WSDM 2008.
    .. [2] O. Chapelle, Y. Zhang. A Dynamic Bayesian Network Click Model for Web
       Search Ranking. WWW 2009.

    Examples
    --------
    Where one good item on top is enough, few users see what is below it; where several
    are wanted, most do:

    >>> from sklearn_rankformer.simulation import simulate_cascade_clicks
    >>> y, groups, positions = [4, 0, 2], [7, 7, 7], [1, 2, 3]
    >>> for share in (0.9, 0.2):
    ...     log = simulate_cascade_clicks(y, groups, positions, satisfaction=share)
    ...     log.propensities.round(2).tolist()
    [1.0, 0.1, 0.1]
    [1.0, 0.8, 0.8]
    """
    check_real(satisfaction, "satisfaction", largest=1)
    rho = relevance_probability(y, max_label)
    p_click, p_satisfied = _click_probability(rho, click_noise), satisfaction * rho
    positions = _check_positions(positions)
    check_length(positions, "positions", len(rho), "y")
    lists = split_lists(check_groups(groups, len(positions)))
    top_down = rank_rows(-positions, lists)
    _check_distinct(positions[top_down], lists.codes[top_down])
    rng = np.random.default_rng(rng)

    # What the user would do at each item is drawn at once, then cut off at the end.
    clicked = rng.random(len(positions)) < p_click
    satisfied = clicked & (rng.random(len(positions)) < p_satisfied)
    examined = np.empty(len(positions), dtype=bool)
    examined[top_down] = _sum_above(satisfied[top_down], lists.lengths) == 0
    propensities = np.empty(len(positions))
    going_on = 1 - p_click * p_satisfied
    propensities[top_down] = _product_above(going_on[top_down], lists.lengths)
    return Bunch(
        labels=(examined & clicked).astype(np.int64),
        examined=examined,
        propensities=propensities,
        click_probabilities=p_click,
    )


def inverse_propensity_weights(labels, propensities, *, max_weight=None):
    """Weights that make up for unequal chances of being seen.

    Parameters
    ----------
    labels : array-like of shape (n_rows,)
        Feedback: 0 for none, positive for a click or more.
    propensities : array-like of shape (n_rows,)
        Probability that the item was examined.
    max_weight : float, default=None
        Largest weight, at least 1: it buys less variance with some bias. None sets
        no bound.

    Returns
    -------
    weights : ndarray of shape (n_rows,), float64
        ``1 / propensities`` where there is feedback, else 1: to be given as
        ``sample_weight``.

    Raises
    ------
    TypeError, ValueError
        If propensities are no probabilities, or one of an item with feedback is 0.
    """
    labels = _some_labels(labels, "labels")
    propensities = _check_probabilities(propensities, "propensities")
    check_length(propensities, "propensities", len(labels), "labels")
    clicked = labels > 0
    if (propensities[clicked] == 0).any():
        row = np.flatnonzero(clicked & (propensities == 0))[0]
        raise ValueError(
            f"propensities are 0 where there is feedback (first in row {row}): an item "
            f"never examined cannot be clicked. Give the probabilities of that log."
        )
    weights = np.ones(len(labels))
    weights[clicked] = 1 / propensities[clicked]
    if max_weight is None:
        return weights
    check_real(max_weight, "max_weight", smallest=1)
    return np.minimum(weights, max_weight)


def estimate_propensities(positions, clicks, *, randomized=None):
    """Estimate from a log how likely each position is to be examined.

    Where items were shown in random order, relevance is the same at all positions on
    average, and what remains of the click rate is attention. One row at the average
    click rate is added to each position, so that none comes out at zero.

    Parameters
    ----------
    positions : array-like of shape (n_rows,)
        Position of each item, from 1.
    clicks : array-like of shape (n_rows,)
        Feedback: positive for a click or more.
    randomized : array-like of shape (n_rows,), bool, default=None
        Rows shown in random order, to which the estimate is restricted; None says
        that all were.

    Returns
    -------
    table : ndarray of shape (max_position,), float64
        Relative probability of being examined at positions 1, 2, ...,
        ``max(positions)``: 1 at the first and falling, as isotonic regression has
        it; positions without rows lie on the line between their neighbours. It can
        be given to `examination_propensities`.

    Raises
    ------
    TypeError, ValueError
        If arguments are of the wrong type or shape, or no randomized row has a click.
    """
    positions = _check_positions(positions)
    clicked = _some_labels(clicks, "clicks") > 0
    check_length(clicked, "clicks", len(positions), "positions")
    # Of all rows: the table must reach as far as the log.
    n_positions = positions.max(initial=1)
    if randomized is not None:
        chosen = _check_mask(randomized, len(positions))
        positions, clicked = positions[chosen], clicked[chosen]
    if not clicked.any():
        raise ValueError(
            "clicks holds no positive value among the randomized rows, from which no "
            "click rate can be had. Give a longer log."
        )
    shown = np.bincount(positions - 1, minlength=n_positions)
    hits = np.bincount(positions - 1, weights=clicked, minlength=n_positions)
    known = np.flatnonzero(shown)
    counts = shown[known] + 1
    rates = (hits[known] + clicked.mean()) / counts
    falling = IsotonicRegression(increasing=False)
    rates = falling.fit_transform(known, rates, sample_weight=counts)
    # Only ratios can be known: how relevant items are on average is not.
    return np.interp(np.arange(n_positions), known, rates) / rates[0]


def _click_probability(rho: np.ndarray, click_noise: float) -> np.ndarray:
    check_real(click_noise, "click_noise", largest=1)
    return click_noise + (1 - click_noise) * rho


def _sum_above(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sum of the entries before each one in its list, lists being consecutive."""
    before = np.cumsum(values) - values
    return before - np.repeat(before[np.cumsum(lengths) - lengths], lengths)


def _product_above(factors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Product of the entries before each one in its list, rank after rank.

    A running sum of logarithms would lose digits over a million rows.
    """
    products = np.ones(len(factors))
    starts = np.cumsum(lengths) - lengths
    with np.errstate(under="ignore"):
        for rank in range(1, lengths.max(initial=0)):
            here = starts[lengths > rank] + rank
            products[here] = products[here - 1] * factors[here - 1]
    return products


def _some_labels(labels, name: str) -> np.ndarray:
    labels = check_labels(labels, name)
    refuse_empty(labels, name)
    return labels


def _check_positions(positions) -> np.ndarray:
    positions = check_numbers(positions, "positions")
    # The largest integers of a type often stand for items that were not shown, and
    # would come out negative.
    outside = (positions < 1) | (positions > LAST_POSITION)
    wrong = positions[(positions != np.rint(positions)) | outside]
    if len(wrong):
        raise ValueError(
            f"positions must be whole numbers from 1, best shown first, up to "
            f"{LAST_POSITION}, got {wrong[0]:g}. Leave out items that were not shown."
        )
    return positions.astype(np.int64)


def _check_probabilities(values, name: str) -> np.ndarray:
    values = check_numbers(values, name)
    if values.min(initial=0) < 0 or values.max(initial=0) > 1:
        raise ValueError(
            f"{name} must lie between 0 and 1, got {values.min():g} to "
            f"{values.max():g}."
        )
    return values


def _check_mask(mask, n_rows: int) -> np.ndarray:
    numbers = check_numbers(mask, "randomized")
    check_length(numbers, "randomized", n_rows, "positions")
    wrong = numbers[~np.isin(numbers, (0, 1))]
    if len(wrong):
        raise ValueError(f"randomized must hold True or False, got {wrong[0]:g}.")
    return numbers.astype(bool)


def _check_distinct(positions: np.ndarray, codes: np.ndarray) -> None:
    # Sorted by list and position, so that equal ones are neighbours.
    same = (np.diff(positions) == 0) & (np.diff(codes) == 0)
    if same.any():
        raise ValueError(
            f"positions holds {positions[:-1][same][0]} twice in one list. Give each "
            f"item of a list its own, as rank_positions does."
        )
