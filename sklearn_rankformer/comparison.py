"""Rankers compared list by list: which is better, and whether that may be luck.

`compare_rankers` fits all rankers on the same folds of whole lists and keeps the metric
of every held-out list. `paired_interval` says how sure a difference is, also of values
that came from elsewhere:

>>> from sklearn_rankformer.comparison import paired_interval
>>> new = [0.9, 0.7, 1.0, 0.6, 0.8, 0.7, 0.9, 0.8]
>>> old = [0.8, 0.7, 0.9, 0.5, 0.6, 0.8, 0.7, 0.6]
>>> found = paired_interval(new, old, random_state=0)
>>> found.difference, found.low > -0.02, found.p_value > 0.05
(0.1, True, True)

Two rankers of equal skill may change places in any list. So the difference of each
list is as likely to be above 0 as below by as much, whatever the metric is like, and
flipping its sign at random shows what luck can do. That is the test; the interval holds
all differences that the same test would not refuse.
"""

import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from inspect import signature

import numpy as np
from sklearn import config_context
from sklearn.utils import Bunch, _safe_indexing, check_random_state, indexable
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples

from ._checks import (
    check_count,
    check_numbers,
    check_share,
    check_weights,
    plain_array,
    plain_column,
)
from ._figures import axes_or_new
from ._frames import results_frame
from ._groups import check_groups
from ._lists import Lists, split_lists
from ._models import check_estimator_given, predict_scores
from ._tables import as_table
from .adapters import as_ranker, fit_ranker, stops_on_lists
from .calibration import segment_codes, segment_of_lists
from .metrics import expected_reciprocal_rank
from .model_selection import ListKFold, checked_splits, train_test_split
from .scoring import RankingScorer, get_scorer, make_ranking_scorer, name_of

__all__ = [
    "ComparisonDisplay",
    "RankerComparison",
    "compare_rankers",
    "paired_interval",
]

# So many cells of a table of signs lie in memory at once.
_BLOCK_CELLS = 2**23
# Values nearer than that are equal, but for rounding: of 1, or of what exceeds 1.
_ROUNDING = 1e-12


def paired_interval(a, b, *, level=0.95, n_resamples=9999, random_state=None):
    """Mean difference a - b over the same lists, its interval, and a p-value.

    Parameters
    ----------
    a, b : array-likes of shape (n_lists,) or (n_runs, n_lists)
        Metric of each list, as from ``reduction="none"``; NaN where a list does not
        count. A list counts where both have a value. Runs are trainings with other
        seeds: they are drawn too, as another training would give other values.
    level : float, default=0.95
        Coverage of the interval, below 1.
    n_resamples : int, default=9999
        Number of random halves.
    random_state : int, RandomState instance or None, default=None
        How they are drawn.

    Returns
    -------
    result : Bunch
        Floats ``difference``, ``low``, ``high`` and ``p_value`` (two-sided, of no
        difference), and the numbers ``n_lists`` and ``n_runs`` that counted. The
        interval holds 0 just when the p-value is above ``1 - level``. Bounds are
        infinite where there are too few lists to say anything: fewer than six at 95 %.

    Raises
    ------
    ValueError
        If shapes differ, there are several runs of a single list, a value is infinite
        or not a number, no list counts, or an option is out of range.

    Notes
    -----
    Of each random half of the lists, and of the other half, the mean difference is
    taken. These means are the very differences at which the test of randomly flipped
    signs begins to refuse, so that their quantiles bound the interval. It covers the
    truth exactly where the differences are symmetric around it, as those of rankers of
    equal skill are, however skewed the metric and however few the lists. Bootstrap
    percentiles are too narrow there: with 30 lists, most of them tied, they cover 91 %
    (``benchmarks/comparison_coverage.py``).

    With several runs, these are drawn with replacement besides, which errs on the wide
    side for what lists and runs have in common [2]_, but hardly knows the spread of
    three runs.

    References
    ----------
    .. [1] Hartigan (1969), "Using subsample values as typical values".
    .. [2] Owen (2007), "The pigeonhole bootstrap".

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer.comparison import paired_interval
    >>> rng = np.random.default_rng(0)
    >>> old = rng.beta(4, 2, 200)
    >>> new = np.clip(old + rng.normal(0.05, 0.1, 200), 0, 1)
    >>> found = paired_interval(new, old, random_state=0)
    >>> round(found.difference, 2), found.low > 0, found.p_value < 0.05
    (0.03, True, True)
    """
    level, n_resamples = _check_draws(level, n_resamples)
    gap = _gaps(a, b)
    rng = check_random_state(random_state)
    means = _means_of_halves(gap, n_resamples, rng)
    # Sums that are equal but for rounding must not fall on two sides of 0.
    means[np.abs(means) < _ROUNDING * np.nanmax(np.abs(gap))] = 0
    means.sort()
    # Each half comes with the other, so that both ends have the whole risk.
    beyond = int((1 - level) * (n_resamples + 1) * (1 + _ROUNDING))
    tail = min((means <= 0).sum(), (means >= 0).sum())
    return Bunch(
        difference=float(np.nanmean(gap)),
        low=float(means[beyond - 1]),
        high=float(means[-beyond]),
        p_value=float(min((1 + tail) / (n_resamples + 1), 1)),
        n_lists=gap.shape[1],
        n_runs=gap.shape[0],
    )


def _check_draws(level, n_resamples):
    """Coverage, and as many draws as it takes."""
    level = check_share(level, "level")
    # Fewer have no quantile so far out.
    fewest = int(np.ceil(1 / (1 - level) * (1 - _ROUNDING)) - 1)
    return level, check_count(n_resamples, "n_resamples", max(fewest, 1))


def _gaps(a, b):
    """Differences of shape (n_runs, n_lists), of lists with a value in some run."""
    a, b = (_list_values(values, name) for values, name in ((a, "a"), (b, "b")))
    if a.shape != b.shape:
        raise ValueError(
            f"a has shape {a.shape} and b has shape {b.shape}. Give one value per "
            f"list to both, in the same order of lists, NaN where one does not count."
        )
    gap = np.atleast_2d(_lead(a, b))
    there = ~np.isnan(gap)
    if not there.any():
        raise ValueError(
            "No list has a value in both a and b. Compare on lists with something to "
            "find."
        )
    return gap[there.any(axis=1)][:, there.any(axis=0)]


def _lead(a, b):
    """Values a - b, 0 where they are equal but for rounding."""
    gap = a - b
    size = np.maximum(np.maximum(np.abs(a), np.abs(b)), 1)
    return np.where(np.abs(gap) <= _ROUNDING * size, 0.0, gap)


def _list_values(values, name):
    values = plain_array(values, name)
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2):
        raise ValueError(
            f"{name} must hold one number per list, of shape (n_lists,) or (n_runs, "
            f"n_lists); got dtype {values.dtype} and shape {values.shape}."
        )
    # A column of a frame: of one list nothing can be said, whatever it holds.
    if values.ndim == 2 and values.shape[1] == 1 < len(values):
        raise ValueError(
            f"{name} has shape {values.shape}: {len(values)} runs of one list, of "
            f"which nothing can be said. Turn a column into a row: np.ravel({name})."
        )
    if np.isinf(values).any():
        raise ValueError(f"{name} contains infinity. Drop or fix these lists.")
    return values.astype(np.float64)


def _means_of_halves(gap, n_resamples, rng):
    """Mean over each random half and over the rest: shape (2 * n_resamples,)."""
    n_runs, n_lists = gap.shape
    there = ~np.isnan(gap)
    cells = np.stack([np.where(there, gap, 0.0), there])
    block = max(_BLOCK_CELLS // n_lists, 1)
    means = []
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        half = _random_signs(size, n_lists, rng)
        runs = np.ones((size, 1))
        if n_runs > 1:
            runs = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=size)
        total, count = cells.sum(axis=2) @ runs.T
        in_half, n_half = np.einsum("crb,br->cb", cells @ half.T, runs)
        # Where one half has all lists, no sign was flipped: both ends are open.
        whole = (n_half == 0) | (n_half == count)
        first = in_half / np.where(whole, 1, n_half)
        second = (total - in_half) / np.where(whole, 1, count - n_half)
        means += [np.where(whole, -np.inf, first), np.where(whole, np.inf, second)]
    return np.concatenate(means)


def _random_signs(size, n_lists, rng):
    """0 or 1, each with chance 1/2: float64 ndarray of shape (size, n_lists)."""
    bits = np.frombuffer(rng.bytes(-(-size * n_lists // 8)), np.uint8)
    signs = np.unpackbits(bits)[: size * n_lists].reshape(size, n_lists)
    return signs.astype(np.float64)


def compare_rankers(
    rankers,
    X,
    y,
    groups,
    *,
    cv=None,
    metrics="ndcg@10",
    reference=None,
    sample_weight=None,
    validation_fraction=None,
    level=0.95,
    n_resamples=9999,
    n_jobs=None,
    random_state=None,
):
    """Fit rankers on the same folds of whole lists and compare them list by list.

    Parameters
    ----------
    rankers : dict of str to estimator
        At least two. Rankers, regressors and library rankers, also at the end of
        pipelines and inside searches; clones are fitted, behind a `RankerAdapter`
        where they take no list ids.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    y : array-like of shape (n_rows,)
        Labels.
    groups : array-like of shape (n_rows,)
        List id of each row, in any order.
    cv : splitter, iterable of (train, test) or None, default=None
        None takes ``ListKFold(5, random_state=random_state)``. A splitter that cuts
        lists is refused. The value of a list that is tested more than once is the mean.
    metrics : str, RankingScorer, or list of these, default="ndcg@10"
        Names that `get_scorer` knows, or scorers from `make_ranking_scorer`, whose
        metric must take ``reduction="none"``. ERR takes the largest of all labels for
        the top of the scale, unless the scorer names one.
    reference : str or None, default=None
        Ranker that the others are compared with; None takes the first.
    sample_weight : array-like of shape (n_rows,), default=None
        Weights in ``fit`` of all rankers. In the means all lists count alike.
    validation_fraction : float or None, default=None
        Share of the training lists of each fold that becomes ``X_val``, ``y_val`` and
        ``groups_val`` of rankers that stop on them: `RankFormerRanker`, `MLPRanker`,
        and adapters with ``early_stopping_rounds``, which need it; also at the end of
        pipelines. All others, searches included, are trained on these lists too.
    level, n_resamples
        As in `paired_interval`.
    n_jobs : int or None, default=None
        Fits at the same time, as in scikit-learn. Times are then those of a machine
        that is busy.
    random_state : int, RandomState instance or None, default=None
        How folds, validation lists and halves of lists are drawn.

    Returns
    -------
    comparison : RankerComparison
        What each list says, to be printed, tabulated, drawn, broken down.

    Raises
    ------
    TypeError, ValueError
        If rankers, metrics or the reference are not what is expected, the splitter
        cuts lists, or a ranker refuses its input.

    Notes
    -----
    Metadata routing is on while the rankers are fitted, so that list ids reach rankers
    inside pipelines and searches.

    An interval says how sure the mean over lists is for rankers trained as these were.
    What another seed would change is not in it: see the runs of `paired_interval`.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_rankformer.comparison import compare_rankers
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=60, context_strength=0, random_state=0)
    >>> rankers = {"ridge": Ridge(), "constant": DummyRegressor()}
    >>> result = compare_rankers(rankers, X, y, groups, random_state=0)
    >>> result.values["ndcg@10"]["ridge"].shape
    (60,)
    >>> constant = result.rows[1]
    >>> constant.ranker, constant.high < 0, constant.p_value < 0.01
    ('constant', True, True)
    """
    _check_rankers(rankers)
    reference = _check_reference(reference, rankers)
    scorers = _check_metrics(metrics)
    # Of use only when all is fitted, and then it would be too late to say so.
    level, n_resamples = _check_draws(level, n_resamples)
    if validation_fraction is not None:
        check_share(validation_fraction, "validation_fraction")
    X, y, groups = indexable(as_table(X), y, groups)
    groups = check_groups(groups, _num_samples(X))
    lists = split_lists(groups)
    weight = check_weights(sample_weight, lists)
    rng = check_random_state(random_state)
    if cv is None:
        cv = ListKFold(5, random_state=rng.randint(2**31))
    data = _Data(X, y, groups, weight, lists)
    scorers = {name: _on_one_scale(one, y) for name, one in scorers.items()}
    _, splits = checked_splits(cv, X, y, groups)
    splits = _with_validation(splits, data, validation_fraction, rng)
    by_ranker = _fit_and_score_all(rankers, splits, data, scorers, n_jobs)
    return RankerComparison(
        groups=lists.ids,
        values={
            metric: {
                name: _mean_of_splits([one.per_list[metric] for one in folds])
                for name, folds in by_ranker.items()
            }
            for metric in scorers
        },
        reference=reference,
        seconds={
            name: np.array([one.seconds for one in folds]).T
            for name, folds in by_ranker.items()
        },
        lists_of_rows=lists.codes,
        level=level,
        n_resamples=n_resamples,
        random_state=rng.randint(2**31),
    )


@dataclass(frozen=True)
class _Data:
    X: object
    y: object
    groups: np.ndarray
    weight: np.ndarray | None
    lists: Lists

    def part(self, rows):
        return [_safe_indexing(one, rows) for one in (self.X, self.y, self.groups)]


@dataclass(frozen=True)
class _Split:
    """Rows of one fold; those held out for validation are among those of training."""

    train: np.ndarray
    held: np.ndarray | None
    test: np.ndarray


def _check_rankers(rankers):
    if not isinstance(rankers, dict) or len(rankers) < 2:
        raise TypeError(
            f"rankers must be a dict of two rankers or more, such as "
            f"{{'ours': RankFormerRanker(), 'theirs': RankerAdapter(LGBMRanker())}}; "
            f"got {rankers!r}."
        )
    wrong = [name for name in rankers if not isinstance(name, str)]
    if wrong:
        raise TypeError(f"rankers must be named by text, got the name {wrong[0]!r}.")
    for name, ranker in rankers.items():
        check_estimator_given(ranker, f"The ranker {name!r}")


def _check_reference(reference, names):
    if reference is None:
        return next(iter(names))
    if reference not in names:
        raise ValueError(
            f"reference={reference!r} is none of the rankers, which are "
            f"{', '.join(map(repr, names))}."
        )
    return reference


def _check_metrics(metrics):
    """Scorers by name."""
    kinds = str | RankingScorer
    given = [metrics] if isinstance(metrics, kinds) else metrics
    if not isinstance(given, list | tuple) or not all(
        isinstance(one, kinds) for one in given
    ):
        raise TypeError(
            f"metrics must be a name such as 'ndcg@10', a scorer from "
            f"make_ranking_scorer, or a list of these, got {metrics!r}."
        )
    scorers = [get_scorer(one) if isinstance(one, str) else one for one in given]
    for one in scorers:
        _check_metric_of_lists(one)
    named = {one.name or name_of(one.metric): one for one in scorers}
    if not named or len(named) < len(scorers):
        raise ValueError(
            f"metrics must be one or more of different names, got {metrics!r}. Name "
            f"scorers by make_ranking_scorer(..., name=...)."
        )
    return named


def _check_metric_of_lists(scorer):
    try:
        options = {**scorer.kwargs, "reduction": "none"}
        signature(scorer.metric).bind("y_true", "y_score", "groups", **options)
    except TypeError as error:
        raise TypeError(_no_metric_of_lists(scorer)) from error


def _no_metric_of_lists(scorer):
    return (
        f"Lists are compared one by one, which the metric {name_of(scorer.metric)} "
        f"does not support: it must take reduction='none' and return a Bunch with "
        f"groups and value, one value per list, as ndcg_score does."
    )


def _on_one_scale(scorer, y):
    """The scorer, with the top label of all folds where it would take that of one."""
    takes_top = scorer.metric is expected_reciprocal_rank
    if not takes_top or scorer.kwargs.get("max_label") is not None:
        return scorer
    options = {**scorer.kwargs, "max_label": float(check_numbers(y, "y").max())}
    return make_ranking_scorer(scorer.metric, name=scorer.name, **options)


def _with_validation(splits, data, validation_fraction, rng):
    found, rows = [], np.arange(data.lists.n_rows)
    for train, test in splits:
        train, held = rows[train], None  # a mask, too, becomes rows
        if validation_fraction is not None:
            ids = data.groups[train]
            _, held, *_ = train_test_split(
                train, ids, ids, test_size=validation_fraction, random_state=rng
            )
        found.append(_Split(train, held, rows[test]))
    return found


def _fit_and_score_all(rankers, splits, data, scorers, n_jobs):
    """What `_fit_and_score` returns of each split, by ranker."""
    run = delayed(partial(_fit_and_score, data=data, scorers=scorers))
    # Settings travel with each task, also to other processes.
    with config_context(enable_metadata_routing=True):
        done = iter(
            Parallel(n_jobs=n_jobs)(
                run(ranker, split) for ranker in rankers.values() for split in splits
            )
        )
    return {name: [next(done) for _ in splits] for name in rankers}


def _fit_and_score(ranker, split, *, data, scorers):
    """Times, and the metrics of all lists, NaN where they are not tested."""
    ranker, train, val = as_ranker(ranker), split.train, None
    if split.held is not None and stops_on_lists(ranker):
        train, val = np.setdiff1d(train, split.held), data.part(split.held)
    weight = None if data.weight is None else data.weight[train]
    X, y, groups = data.part(train)
    X_test, y_test, groups_test = data.part(split.test)
    start = time.perf_counter()
    fit_ranker(ranker, X, y, groups, sample_weight=weight, val=val)
    fitted = time.perf_counter()
    scores = predict_scores(ranker, X_test, groups_test)
    end = time.perf_counter()
    values = {}
    for name, scorer in scorers.items():
        found = scorer.metric(
            y_test, scores, groups_test, reduction="none", **scorer.kwargs
        )
        is_by_list = hasattr(found, "groups") and hasattr(found, "value")
        if not (is_by_list and np.isin(found.groups, groups_test).all()):
            raise TypeError(_no_metric_of_lists(scorer))
        values[name] = np.full(data.lists.n_lists, np.nan)
        values[name][np.searchsorted(data.lists.ids, found.groups)] = found.value
    return Bunch(per_list=values, seconds=(fitted - start, end - fitted))


def _mean_of_splits(values):
    """Mean over the splits in which a list counts, NaN where there is none."""
    values = np.array(values)
    count = (~np.isnan(values)).sum(axis=0)
    total = np.nansum(values, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True, eq=False, repr=False)
class RankerComparison:  # numpydoc ignore=PR02
    """What held-out lists say about rankers; made by `compare_rankers`.

    Parameters
    ----------
    groups : ndarray of shape (n_lists,)
        Ids of the lists, in the order of `numpy.unique`.
    values : dict of str to dict of str to ndarray of shape (n_lists,)
        ``values[metric][ranker]``: the metric of each list, NaN where the list does
        not count or was not tested.
    reference : str
        Ranker that the others are compared with.
    seconds : dict of str to ndarray of shape (2, n_splits), default=None
        Times of each ranker to fit and to predict, fold by fold.
    lists_of_rows : ndarray of shape (n_rows,), int, default=None
        Position in `groups` of the list of each row that was compared on.
    level, n_resamples, random_state
        As in `paired_interval`.

    Attributes
    ----------
    rows : list of Bunch
        One per metric and ranker: ``metric``, ``ranker``, ``mean``; ``difference`` to
        the reference, ``low``, ``high``, ``p_value``; ``p_holm``, the p-value
        corrected for the number of rankers beside the reference; ``wins``, ``ties``
        and ``losses``, in how many lists it is better than the reference, as good,
        worse; ``n_lists`` that count; where there are times, the mean ``fit_seconds``
        and ``predict_seconds`` of a fold. NaN where the reference has no difference
        to itself.

    References
    ----------
    Holm (1979), "A simple sequentially rejective multiple test procedure".

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rankformer.comparison import RankerComparison
    >>> old, new = np.array([0.5, 0.25, 1.0]), np.array([1.0, 0.5, 0.5])
    >>> values = {"mrr": {"old": old, "new": new}}
    >>> result = RankerComparison(np.array([7, 8, 9]), values, "old")
    >>> result.rows[1].wins, result.rows[1].ties, result.rows[1].losses
    (2, 0, 1)
    """

    groups: np.ndarray
    values: dict
    reference: str
    seconds: dict | None = None
    lists_of_rows: np.ndarray | None = None
    level: float = 0.95
    n_resamples: int = 9999
    random_state: object = None

    @cached_property
    def rows(self):  # numpydoc ignore=RT01
        """List of Bunch, see the class."""
        return [row for metric in self.values for row in self._rows_of(metric)]

    def to_frame(self):
        """Return `rows` as a frame.

        Returns
        -------
        frame : pandas.DataFrame
            One row per metric and ranker.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return results_frame(self.rows, "rows")

    def by_segment(self, segment):
        """Compare within each segment of the lists.

        Parameters
        ----------
        segment : array-like of shape (n_lists,) or (n_rows,)
            Segment of each list in the order of ``groups``, or of each row that was
            compared on, the same on all rows of a list.

        Returns
        -------
        comparisons : dict of RankerComparison
            One per segment in which a list counts. P-values are not corrected for the
            number of segments: of many, some differ by luck.

        Raises
        ------
        TypeError, ValueError
            If there is not one segment per list or row, segments differ within a
            list, or they cannot be sorted.
        """
        segment = plain_column(segment, "segment")
        if len(segment) != len(self.groups) and self.lists_of_rows is not None:
            segment = segment_of_lists(segment, split_lists(self.lists_of_rows))
        names, codes = segment_codes(segment, len(self.groups))
        parts = [self._part(codes == i) for i in range(len(names))]
        return {
            name: part
            for name, part in zip(names.tolist(), parts, strict=True)
            if all(part._counts(metric).any() for metric in part.values)
        }

    def __str__(self):
        """Return a table for each metric."""
        return "\n\n".join(map(self._table_of, self.values))

    __repr__ = __str__

    def _part(self, chosen):
        values = {
            metric: {name: one[chosen] for name, one in by_ranker.items()}
            for metric, by_ranker in self.values.items()
        }
        # Times are of all lists, and rows are gone with the lists that are.
        return replace(
            self,
            groups=self.groups[chosen],
            values=values,
            seconds=None,
            lists_of_rows=None,
        )

    def _counts(self, metric):
        """Whether each list has a value, which depends on its labels alone."""
        return ~np.isnan(self.values[metric][self.reference])

    def _rows_of(self, metric):
        by_ranker = self.values[metric]
        others = [name for name in by_ranker if name != self.reference]
        found = {name: self._interval(metric, name) for name in others}
        adjusted = _holm(np.array([found[name].p_value for name in others]))
        p_holm = dict(zip(others, adjusted.tolist(), strict=True))
        counts = self._counts(metric)
        rows = []
        for name, values in by_ranker.items():
            gap = _lead(values, by_ranker[self.reference])[counts]
            interval = found.get(name, {})
            keys = ("difference", "low", "high", "p_value")
            row = Bunch(
                metric=metric,
                ranker=name,
                mean=float(values[counts].mean()),
                **{key: interval.get(key, np.nan) for key in keys},
                p_holm=p_holm.get(name, np.nan),
                wins=int((gap > 0).sum()),
                ties=int((gap == 0).sum()),
                losses=int((gap < 0).sum()),
                n_lists=int(counts.sum()),
            )
            if self.seconds is not None:
                fit, predict = self.seconds[name].mean(axis=1).tolist()
                row.update(fit_seconds=fit, predict_seconds=predict)
            rows.append(row)
        return rows

    def _interval(self, metric, name):
        by_ranker = self.values[metric]
        return paired_interval(
            by_ranker[name],
            by_ranker[self.reference],
            level=self.level,
            n_resamples=self.n_resamples,
            random_state=self.random_state,
        )

    def _table_of(self, metric):
        rows = [row for row in self.rows if row.metric == metric]
        cells = [_cells(row) for row in rows]
        lines = [["", *cells[0]]]
        lines += [[row.ranker, *c.values()] for row, c in zip(rows, cells, strict=True)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        head = (
            f"{metric} of {rows[0].n_lists} lists; differences to {self.reference} "
            f"with {100 * self.level:g}% intervals"
        )
        return "\n".join([head, *(_line(one, widths) for one in lines)])


def _cells(row):
    """Columns of the printed table, but for the name of the ranker."""
    shown = {"mean": f"{row.mean:.4f}", "difference": "", "p (Holm)": ""}
    if not np.isnan(row.difference):
        interval = f"[{row.low:+.4f}, {row.high:+.4f}]"
        shown["difference"] = f"{row.difference:+.4f} {interval}"
        shown["p (Holm)"] = f"{row.p_holm:.4f}"
    shown |= {"better/same/worse": f"{row.wins}/{row.ties}/{row.losses}"}
    if "fit_seconds" in row:
        shown["fit s"] = f"{row.fit_seconds:.2f}"
        shown["predict s"] = f"{row.predict_seconds:.3f}"
    return shown


def _line(cells, widths):
    first, *others = cells
    aligned = [one.rjust(width) for one, width in zip(others, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *aligned])


def _holm(p):
    """P-values of which any below a level refutes with that risk for all together."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


class ComparisonDisplay:
    """Differences to the reference with their intervals, one line per ranker.

    Parameters
    ----------
    comparison : RankerComparison
        As from `compare_rankers`.
    metric : str or None, default=None
        Which of its metrics; None takes the first.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it is drawn.
    """

    def __init__(self, comparison, *, metric=None):
        self.comparison = comparison
        self.metric = metric

    @classmethod
    def from_comparison(cls, comparison, *, metric=None, ax=None):
        """Draw a comparison.

        Parameters
        ----------
        comparison, metric
            As of the class.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ComparisonDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the metric is none of those compared.
        """
        return cls(comparison, metric=metric).plot(ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ComparisonDisplay
            Itself.
        """
        found = self.comparison
        metric = next(iter(found.values)) if self.metric is None else self.metric
        if metric not in found.values:
            known = ", ".join(map(repr, found.values))
            raise ValueError(f"metric={metric!r} was not compared: only {known}.")
        self.ax_ = ax = axes_or_new(ax)
        self.figure_ = ax.figure
        rows = [row for row in found.rows if row.metric == metric]
        for place, row in enumerate(rows):
            if row.ranker != found.reference:
                ax.plot([row.low, row.high], [place, place], color="C0")
            ax.plot(np.nan_to_num(row.difference), place, "o", color="C0")
        ax.axvline(0, color="grey", linestyle=":")
        names = [f"{row.ranker} ({row.mean:.3f})" for row in rows]
        ax.set_yticks(np.arange(len(rows)), names)
        ax.invert_yaxis()
        ax.set_xlabel(
            f"{metric} above that of {found.reference}, {100 * found.level:g}% interval"
        )
        return self
