"""Two rankers mixed in one list, so that each user's clicks compare them.

Within one list the same user meets the choices of both under the same position bias,
which takes far fewer users than showing each ranker to half of them.

>>> from sklearn_rankformer.interleaving import interleave, interleaving_test
>>> groups = ["x", "x", "x", "y", "y"]
>>> shown = interleave([3, 2, 1, 2, 1], [1, 2, 3, 2, 1], groups, random_state=0)
>>> shown.rows
array([0, 2, 1, 3, 4])
>>> shown.teams
array(['a', 'b', 'b', 'b', 'a'], dtype='<U1')
"""

import numpy as np
from scipy.stats import binomtest
from sklearn.utils import Bunch, check_random_state

from ._checks import (
    check_k,
    check_labels,
    check_length,
    check_numbers,
    plain_column,
    refuse_empty,
)
from ._groups import check_groups
from ._lists import Lists, places, rank_rows, split_lists

__all__ = ["interleave", "interleaving_test"]

TEAMS = np.array(["a", "b"])


def interleave(scores_a, scores_b, groups, *, k=None, random_state=None):
    """Mix two rankings of each list by team draft.

    In each round both rankers, in an order drawn at random, add the best of their
    items that is not in the list yet. An item belongs to the team that added it, and a
    click on it speaks for this team.

    Parameters
    ----------
    scores_a, scores_b : array-likes of shape (n_rows,)
        Scores of the two rankers: higher ranks first; equal scores keep the order of
        their rows.
    groups : array-like of shape (n_rows,)
        List of each row.
    k : int or None, default=None
        Show at most `k` items of each list; None shows all.
    random_state : int, RandomState instance or None, default=None
        Source of the order in each round.

    Returns
    -------
    shown : Bunch
        Arrays of shape (n_shown,), list after list in the order of
        ``np.unique(groups)``, the first item to be shown first: ``rows``, int64;
        ``positions``, int64, in its list from 1; ``teams``, "a" or "b".

    Raises
    ------
    ValueError
        If scores are not finite numbers, shapes do not fit, there are no rows, or `k`
        is no integer of 1 or more.

    See Also
    --------
    interleaving_test : Which of the two won, from the clicks.

    References
    ----------
    Radlinski, Kurup and Joachims (2008), "How does clickthrough data reflect retrieval
    quality?"

    Examples
    --------
    >>> from sklearn_rankformer.interleaving import interleave
    >>> shown = interleave([3, 2, 1], [1, 2, 3], [7, 7, 7], k=2, random_state=0)
    >>> shown.rows, shown.positions, shown.teams
    (array([0, 2]), array([1, 2]), array(['a', 'b'], dtype='<U1'))
    """
    scores_a = check_numbers(scores_a, "scores_a")
    scores_b = check_numbers(scores_b, "scores_b")
    refuse_empty(scores_a, "scores_a")
    check_length(scores_b, "scores_b", len(scores_a), "scores_a")
    lists = split_lists(check_groups(groups, len(scores_a)))
    orders = np.stack([rank_rows(scores, lists) for scores in (scores_a, scores_b)])
    k, random = check_k(k), check_random_state(random_state)
    n_shown = lists.lengths if k is None else np.minimum(lists.lengths, k)
    rows, teams = _draft(orders, lists, n_shown, random)
    return Bunch(rows=rows, positions=places(n_shown) + 1, teams=TEAMS[teams])


def _draft(orders, lists: Lists, n_shown, random):
    """Row and team of each place, all lists at once, place after place."""
    rows, teams = np.empty((2, n_shown.sum()), dtype=np.int64)
    starts = np.cumsum(n_shown) - n_shown
    taken = np.zeros(lists.n_rows, dtype=bool)
    # Where in the order of each team its best item left can be, at the earliest.
    reached = np.tile(np.cumsum(lists.lengths) - lists.lengths, (2, 1))
    for place in range(n_shown.max()):
        if place % 2 == 0:
            leads = random.randint(2, size=lists.n_lists)
        open_ = np.flatnonzero(n_shown > place)
        team = (leads[open_] + place) % 2
        picked = _best_left(orders, reached, taken, team, open_)
        taken[picked] = True
        rows[starts[open_] + place] = picked
        teams[starts[open_] + place] = team
    return rows, teams


def _best_left(orders, reached, taken, team, open_):
    """Best row of each open list's team that is not taken; moves `reached` there."""
    passed = np.arange(len(open_))
    while len(passed):
        at = team[passed], open_[passed]
        passed = passed[taken[orders[at[0], reached[at]]]]
        reached[team[passed], open_[passed]] += 1
    return orders[team, reached[team, open_]]


def interleaving_test(teams, clicks, groups):
    """Say which of two interleaved rankers users prefer, and how sure that is.

    A list is won by the team with more items clicked; lists with as many of either,
    those without clicks among them, are ties and say nothing.

    Parameters
    ----------
    teams : array-like of shape (n_shown,)
        Team of each item that was shown, "a" or "b", as from `interleave`.
    clicks : array-like of shape (n_shown,)
        Feedback: positive for a click or more.
    groups : array-like of shape (n_shown,)
        List of each item: one id for each time that a list was shown.

    Returns
    -------
    result : Bunch
        ``wins_a``, ``ties``, ``wins_b``, numbers of lists; ``preference``, the share
        of the decided lists that a won, above 0.5 if a is better; ``low``, ``high``,
        its exact 95 % interval (Clopper-Pearson); ``p_value`` of the two-sided sign
        test. Without a decided list nan, 0, 1 and 1.

    Raises
    ------
    ValueError
        If a team is neither "a" nor "b", clicks are negative or not finite, shapes do
        not fit, or there are no rows.

    Notes
    -----
    Where two rankers are alike, each click falls to either team with even chance. The
    reverse does not hold: a change whose gain falls to both teams alike goes unseen
    [1]_. Lists are taken to be independent: where a user is shown many, count each
    user as one list.

    References
    ----------
    .. [1] O. Chapelle, T. Joachims, F. Radlinski, Y. Yue. Large-scale Validation and
       Analysis of Interleaved Search Evaluation. ACM TOIS 30 (1), 2012.

    Examples
    --------
    >>> from sklearn_rankformer.interleaving import interleaving_test
    >>> teams, clicks = list("abbaab"), [1, 0, 0, 1, 0, 0]
    >>> result = interleaving_test(teams, clicks, groups=[1, 1, 2, 2, 3, 3])
    >>> result.wins_a, result.ties, result.wins_b, result.preference, result.p_value
    (2, 1, 0, 1.0, 0.5)
    """
    of_a = _check_teams(teams)
    clicked = check_labels(clicks, "clicks") > 0
    check_length(clicked, "clicks", len(of_a), "teams")
    lists = split_lists(check_groups(groups, len(of_a)))
    lead = lists.reduce(np.add, np.where(of_a, 1, -1) * clicked)
    wins_a, wins_b = int((lead > 0).sum()), int((lead < 0).sum())
    decided = wins_a + wins_b
    result = Bunch(wins_a=wins_a, ties=lists.n_lists - decided, wins_b=wins_b)
    if not decided:
        return Bunch(**result, preference=np.nan, low=0.0, high=1.0, p_value=1.0)
    test = binomtest(wins_a, decided)
    bounds = test.proportion_ci(0.95, method="exact")
    return Bunch(
        **result,
        preference=wins_a / decided,
        low=float(bounds.low),
        high=float(bounds.high),
        p_value=float(test.pvalue),
    )


def _check_teams(teams) -> np.ndarray:
    """Which rows are team a's."""
    teams = plain_column(teams, "teams")
    refuse_empty(teams, "teams")
    names = teams.astype(str)  # a missing value may refuse to be compared
    of_a, of_b = names == "a", names == "b"
    wrong = np.flatnonzero(~(of_a | of_b))
    if len(wrong):
        raise ValueError(
            f"teams must hold 'a' and 'b', got {teams[wrong[0]]!r} in row {wrong[0]}. "
            f"Give the items that were shown, with the teams from interleave."
        )
    return of_a
