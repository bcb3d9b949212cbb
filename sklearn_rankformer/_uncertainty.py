"""How sure the order of a list is: chances of pairs, and intervals of ranks.

Each draw of a ranking takes the scores of one member of the ensemble, divides them by a
temperature and adds Gumbel noise, which is the model of Plackett and Luce: for one
member, the chance of i above j is the logistic function of the difference. What members
disagree about is uncertain, and so is what they agree about but get wrong; the
temperature, fitted on held-out lists, accounts for the latter.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.utils import Bunch, check_random_state

from ._checks import check_labels, check_length, check_real, plain_array
from ._groups import check_groups
from ._lists import Lists, one_list, rank_rows, split_lists
from ._models import model_and_its_input, predict_with_groups
from ._variants import rows_of_list, sliceable, take

N_DRAWS = 2000

# Long lists have more pairs than the fit of one number needs.
PAIRS_PER_LIST = 500


def rank_uncertainty(
    ranker,
    X,
    groups,
    list_id,
    *,
    X_val=None,
    y_val=None,
    groups_val=None,
    temperature=None,
    coverage=0.9,
    random_state=None,
):
    r"""How sure the order of a list is: chances of pairs, and intervals of ranks.

    Parameters
    ----------
    ranker : estimator, or list of estimators
        Fitted ranker, or a pipeline or search that ends in one. The members of a
        `RankFormerRanker` or `MLPRanker` count one by one, any other ranker is a
        single member. Several rankers make an ensemble in which each weighs as much as
        the others; their scores may differ in scale.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    groups : array-like of shape (n_rows,)
        List id of each row.
    list_id : int or str
        Which list.
    X_val, y_val, groups_val : array-likes, default=None
        Held-out lists with labels that no ranker has seen: the temperature is fitted
        on them. Thirty lists are enough.
    temperature : float or array-like of shape (n_rankers,), default=None
        As an earlier call returned it, in place of held-out lists.
    coverage : float, default=0.9
        Chance that an item's rank lies in its interval.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws from which the intervals are taken.

    Returns
    -------
    result : Bunch
        Of the items of the list, best first: ``rows``, ndarray of shape (n_items,):
        their row indices; ``labels``: their labels, for a pandas frame, or their rows;
        ``proba``, ndarray of shape (n_items, n_items): chance that item i belongs above
        item j, 0.5 for an item and itself; ``expected_rank``, ndarray of shape
        (n_items,), from 1; ``low`` and ``high``, ndarrays of shape (n_items,), int: the
        interval of the rank, both included. And ``temperature``, ndarray of shape
        (n_rankers,), float64.

    Raises
    ------
    ValueError
        If no row belongs to the list, neither held-out lists nor a temperature are
        given, or both, or no held-out list has items of different labels.

    See Also
    --------
    explain_list : Which features put which item where.

    Notes
    -----
    With the scores :math:`s_m` of member m and the temperature T,

    .. math:: P(i \succ j) = \frac{1}{M} \sum_m
              \frac{1}{1 + \exp(-(s_{mi} - s_{mj}) / T)}.

    T maximises the likelihood of the pairs of the held-out lists whose labels differ,
    up to 500 of each list. For several rankers one T each is fitted first, and then a
    common factor for their mean.

    The chances are of the kind that the labels are: that i has a higher label than j,
    if the labels differ. Members differ by their first weights and their batches alone;
    they have seen the same lists, with the same errors. Their agreement by itself says
    next to nothing of being right (see the guide for numbers), which is why there is no
    default temperature.

    References
    ----------
    .. [1] Plackett (1975), "The analysis of permutations".
    .. [2] Yellott (1977), "The relationship between Luce's choice axiom, Thurstone's
       theory of comparative judgment, and the double exponential distribution".
    .. [3] Platt (1999), "Probabilistic outputs for support vector machines": the pairs
       count as right in all but one of n + 2 cases, so that few leave T above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> from sklearn_rankformer.inspection import rank_uncertainty
    >>> X, y, groups = make_ranking(
    ...     n_lists=90, list_size=5, context_strength=0, random_state=0
    ... )
    >>> train, val = groups < 50, groups >= 50
    >>> ranker = Ridge().fit(X[train], y[train])
    >>> held_out = {"X_val": X[val], "y_val": y[val], "groups_val": groups[val]}
    >>> sure = rank_uncertainty(ranker, X, groups, 3, **held_out, random_state=0)
    >>> sure.proba[0].round(2).tolist()
    [0.5, 0.51, 0.56, 0.63, 0.87]
    >>> sure.low.tolist(), sure.high.tolist()
    ([1, 1, 1, 1, 2], [4, 4, 5, 5, 5])
    """
    rankers = list(ranker) if isinstance(ranker, list | tuple) else [ranker]
    if not rankers:
        raise ValueError("ranker is an empty list. Give at least one fitted ranker.")
    coverage = check_real(coverage, "coverage", largest=1)
    X = sliceable(X)
    rows = rows_of_list(groups, X.shape[0], list_id)
    scale = _temperatures(rankers, temperature, X_val, y_val, groups_val)
    table, ids = take(X, rows), check_groups(groups, X.shape[0])[rows]
    scores = [
        _member_scores(one, table, ids) / t
        for one, t in zip(rankers, scale, strict=True)
    ]
    ranking = rank_rows(np.mean([s.mean(0) for s in scores], 0), one_list(len(rows)))
    scores = [s[:, ranking] for s in scores]
    proba = _chance([s[:, :, None] - s[:, None] for s in scores])
    tail = (1 - coverage) / 2
    low, high = np.quantile(
        _draw_ranks(scores, check_random_state(random_state)),
        [tail, 1 - tail],
        axis=0,
        method="inverted_cdf",
    )
    return Bunch(
        rows=rows[ranking],
        labels=X.index[rows[ranking]] if hasattr(X, "iloc") else rows[ranking],
        proba=proba,
        expected_rank=0.5 + proba.sum(axis=0),
        low=low.astype(np.int64),
        high=high.astype(np.int64),
        temperature=scale,
    )


def _member_scores(ranker, X, groups) -> np.ndarray:
    """Scores by each member of a ranker: (n_members, n_rows), float64."""
    model, X = model_and_its_input(ranker, X, groups)
    if hasattr(model, "_member_scores"):
        scores = model._member_scores(X, groups)
    else:
        scores = predict_with_groups(model, X, groups)[None]
    return scores.astype(np.float64)


def _temperatures(rankers, temperature, X_val, y_val, groups_val) -> np.ndarray:
    """Temperature of each ranker: as given, or fitted on the held-out lists."""
    given = [one is not None for one in (X_val, y_val, groups_val)]
    if temperature is not None:
        if any(given):
            raise ValueError(
                "temperature and held-out lists were both given. Leave out the one or "
                "the other."
            )
        return _check_temperature(temperature, len(rankers))
    if not all(given):
        raise ValueError(
            "X_val, y_val and groups_val must be given: lists that were not trained "
            "on, by which the chances are fitted. Or give the temperature that an "
            "earlier call returned."
        )
    X = sliceable(X_val)
    y = check_labels(y_val, "y_val", negative=True)
    check_length(y, "y_val", X.shape[0], "X_val")
    groups = check_groups(groups_val, X.shape[0], name="groups_val")
    better, worse = _pairs(y, split_lists(groups))
    if not len(better):
        raise ValueError(
            "No list of groups_val has two items with different labels in y_val, so "
            "there is no order to fit the temperature on."
        )
    scores = [_member_scores(ranker, X, groups) for ranker in rankers]
    leads = [s[:, better] - s[:, worse] for s in scores]
    alone = np.array([_fit_temperature([lead]) for lead in leads])
    if len(rankers) == 1:
        return alone
    scaled = [lead / t for lead, t in zip(leads, alone, strict=True)]
    return alone * _fit_temperature(scaled)


def _check_temperature(temperature, n_rankers) -> np.ndarray:
    found = plain_array(temperature, "temperature")
    if found.ndim > 1 or found.size not in (1, n_rankers):
        raise ValueError(
            f"temperature has shape {found.shape} for {n_rankers} rankers. Give one "
            f"number, or one for each ranker."
        )
    is_real = found.dtype.kind in "iuf"
    if not (is_real and np.isfinite(found).all() and (found > 0).all()):
        raise ValueError(
            f"temperature must be above 0 and finite, got {temperature!r}. Give "
            f"that of an earlier call."
        )
    return np.broadcast_to(found.ravel(), n_rankers).astype(np.float64)


def _pairs(y, lists: Lists) -> tuple[np.ndarray, np.ndarray]:
    """Rows of better and of worse items of one list, by their labels."""
    random, better, worse = np.random.RandomState(0), [], []
    for j in range(lists.n_lists):
        rows = lists.rows(np.array([j]))
        above, below = np.nonzero(y[rows][:, None] > y[rows])
        if len(above) > PAIRS_PER_LIST:
            kept = random.choice(len(above), PAIRS_PER_LIST, replace=False)
            above, below = above[kept], below[kept]
        better.append(rows[above])
        worse.append(rows[below])
    return np.concatenate(better), np.concatenate(worse)


def _chance(leads) -> np.ndarray:
    """Chance of a positive lead: of each ranker (n_members, ...) with its noise."""
    return np.mean([expit(lead).mean(axis=0) for lead in leads], axis=0)


def _fit_temperature(leads) -> float:
    """Temperature of greatest likelihood, where all these leads should be positive."""
    n = leads[0].shape[1]
    spread = np.mean([np.abs(lead).mean() for lead in leads])
    if not spread:
        return 1.0
    hit = (n + 1) / (n + 2)

    def loss(log):
        p = _chance([lead / (spread * np.exp(log)) for lead in leads])
        # Where a chance is 0 in float64 the loss is as good as infinite.
        right, wrong = np.log(np.clip([p, 1 - p], 1e-300, None))
        return -(hit * right + (1 - hit) * wrong).mean()

    grid = np.arange(-5, 6.0)
    best = grid[np.argmin([loss(log) for log in grid])]
    found = minimize_scalar(loss, bounds=(best - 1, best + 1), method="bounded")
    return float(spread * np.exp(found.x))


def _draw_ranks(scores, random) -> np.ndarray:
    """Ranks from 1 in draws of the order: (N_DRAWS, n_items)."""
    # Members by turns: drawn at random they would only add noise.
    turns = np.arange(N_DRAWS)
    drawn = random.gumbel(size=(N_DRAWS, scores[0].shape[1]))
    for i, s in enumerate(scores):
        mine = turns[turns % len(scores) == i]
        drawn[mine] += s[mine // len(scores) % len(s)]
    return 1 + np.argsort(np.argsort(-drawn, axis=1), axis=1)
