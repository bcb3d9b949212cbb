"""Whether new lists still look like those that a ranker was fitted on.

A neural ranker keeps the distribution of every number it was fitted on, as the table of
its input transform, and every category it has seen. That is enough to compare new lists
with, so no training data need be kept. How far chance alone would move the numbers is
measured on the new lists themselves, drawn again as whole lists.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._checks import check_count, check_real
from ._columns import dense
from ._figures import axes_or_new
from ._frames import results_frame
from ._groups import resolve_groups
from ._lists import lists_of
from ._neural_ranker import NeuralRanker
from ._tables import rows_to_array
from ._variants import feature_names

__all__ = ["DriftDisplay", "DriftReport", "drift_report"]

# Values of each number at which the distributions are compared, at most.
N_POINTS = 64


def drift_report(
    ranker,
    X,
    groups=None,
    *,
    n_training_lists=None,
    level=0.95,
    n_resamples=200,
    random_state=None,
):
    """Compare the features of new lists with those that a ranker was fitted on.

    Parameters
    ----------
    ranker : RankFormerRanker or MLPRanker
        Fitted with ``input_transform="quantile"``. Neither its training data nor the
        labels of the new lists are needed.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features of the new lists, say of a day.
    groups : array-like of shape (n_rows,), default=None
        List id of each row; may be left out for a ranker that was fitted without, or
        that has a `group_column`. Rows without lists count one by one.
    n_training_lists : int, default=None
        How many lists the ranker was fitted on. None takes what it knows, which is
        nothing after `partial_fit` or a load from a file: training is then taken for
        exact, and limits are too narrow where it was not much larger.
    level : float, default=0.95
        Chance that no feature of lists like those of training is taken for drifted.
    n_resamples : int, default=200
        How often lists are drawn again to learn what chance does.
    random_state : int, RandomState instance or None, default=None
        Draws the lists.

    Returns
    -------
    report : DriftReport
        What was found of each feature, drifted ones first.

    Raises
    ------
    TypeError
        If the ranker is of another kind.
    ValueError
        If there are fewer than two lists, the ranker has no table to compare with, or
        an argument is invalid.

    Notes
    -----
    The distance of a number is that of Kolmogorov and Smirnov: the largest difference
    of the shares of rows up to some value, here at up to 64 values that the ranker
    keeps. At 0.1, ten rows in a hundred have changed sides there. It sees what moves
    rows past those values, and not what happens between or beyond them. Of a number
    with at most 256 values the shares are exact. Of others only mid-distribution
    functions are kept, and compared: ties count half.

    The distance at which chance ends, ``limit``, holds for all features together:
    lists are drawn again with replacement, and the largest distance of any feature,
    each divided by its mean, stays below its `level` quantile. Rows of a list are thus
    not taken for independent. That training has drawn lists, too, widens it by the
    root of ``1 + n_lists / n_training_lists``. Fewer than about ten lists, drawn again,
    show too little of what chance does: limits are then too narrow. Where new lists
    vary less than those of training, they are widened likewise. Beyond the limit there
    is a drift, which need not matter: of very many lists, one too small to matter is
    beyond it, too.

    What the ranker does not keep cannot be compared: how often each category and each
    missing value came, the lengths and values of lists. Of these the report has what
    the new lists hold. To watch them, compare one report with another, such as that of
    held-out lists at the time of the fit.

    References
    ----------
    Field and Welsh (2007), "Bootstrapping clustered data". Westfall and Young (1993),
    "Resampling-based multiple testing".

    Examples
    --------
    >>> from sklearn_rankformer import MLPRanker
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> from sklearn_rankformer.monitoring import drift_report
    >>> X, y, groups = make_ranking(n_lists=200, random_state=0)
    >>> ranker = MLPRanker(max_epochs=1, random_state=0).fit(X, y, groups=groups)
    >>> X_new, _, groups_new = make_ranking(n_lists=100, random_state=1)
    >>> X_new[:, 3] *= 1.5
    >>> report = drift_report(ranker, X_new, groups_new, random_state=0)
    >>> [row.feature for row in report.rows if row.drifted]
    ['x3']
    """
    if not isinstance(ranker, NeuralRanker):
        raise TypeError(
            f"drift_report needs a RankFormerRanker or MLPRanker, which keep tables of "
            f"what they were fitted on, got {type(ranker).__name__}. Of a pipeline or "
            f"search give the ranker inside, and X as it gets it."
        )
    check_is_fitted(ranker)
    level = check_real(level, "level", 0, 1)
    n_resamples = check_count(n_resamples, "n_resamples", 10)
    if n_training_lists is not None:
        check_count(n_training_lists, "n_training_lists")
    numbers, lists, model = ranker._check_new_rows(X, groups, None, "drift_report")
    if not model.columns.quantiles:
        raise ValueError(
            "The ranker was fitted with input_transform=None, so it keeps no table of "
            "its features. Fit it with input_transform='quantile'."
        )
    table, ids = resolve_groups(X, groups, None, ranker.group_column)
    table = rows_to_array(table)
    if ids is None:
        lists = lists_of(np.arange(lists.n_rows), lists.n_rows)
    if lists.n_lists < 2:
        raise ValueError(
            f"drift_report needs at least two lists, got {lists.n_lists}: what chance "
            f"does is seen from list to list. Give the lists of a day, and their ids."
        )
    list_value = None
    if ids is not None and hasattr(ranker, "predict_list_value"):
        # Not by predict_list_value, which would check and encode these rows again.
        predictions = model.predict(numbers, lists, values=True)
        list_value = _mean(model.list_proba(predictions, lists) @ model.levels.values)
    numbers = dense(numbers)
    rows = _rows(model.columns, numbers, table)
    chance = _Chance(lists, n_resamples, check_random_state(random_state))
    if n_training_lists is None and ranker.trained_lists_ is not None:
        n_training_lists = len(ranker.trained_lists_)
    wider = np.sqrt(1 + lists.n_lists / (n_training_lists or np.inf))
    _compare(rows, model.columns, numbers, chance, level, wider)
    rows.sort(key=lambda row: (not row.drifted, -np.nan_to_num(row.distance, nan=-1)))
    return DriftReport(rows, lists.n_lists, _mean(lists.lengths), list_value)


@dataclass(frozen=True, repr=False)
class DriftReport:  # numpydoc ignore=PR02
    """What new lists hold, beside what a ranker was fitted on; see `drift_report`.

    Parameters
    ----------
    rows : list of Bunch
        One per feature, drifted ones first, then by distance: ``feature``; ``kind``,
        "number", "category", or "constant" of a number that had a single value in
        training, which is not kept; ``distance`` and ``limit``, NaN of what is not
        compared; ``drifted``, whether the distance is beyond the limit; ``missing``,
        the share of rows without a value; ``new_missing``, whether there are such rows
        and were none in training, known of numbers only; ``unknown``, a dict from each
        category that training did not hold to its number of rows, frequent ones first.
    n_lists : int
        Number of lists.
    list_length : Bunch
        ``mean`` of the lists' numbers of rows, and its standard error ``se``.
    list_value : Bunch or None
        The same of the expected value of lists, if the ranker predicts one.
    """

    rows: list
    n_lists: int
    list_length: Bunch
    list_value: Bunch | None

    def to_frame(self):
        """Return `rows` as a frame.

        Returns
        -------
        frame : pandas.DataFrame
            One row per feature; ``unknown`` is the number of rows.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        rows = [{**row, "unknown": sum(row.unknown.values())} for row in self.rows]
        return results_frame(rows, "rows")

    def __str__(self):
        """Return a table, drifted features marked with a star."""
        value = self.list_value
        lists = [f"{self.n_lists} lists", f"length {_shown(self.list_length)}"]
        lists += [f"expected value {_shown(value)}"] if value is not None else []
        lines = [("feature", "kind", "distance", "limit", "missing", "unknown")]
        lines += [_cells(row) for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join(map(str.ljust, line[:2], widths))
            + "".join(f"  {x:>{w}}" for x, w in zip(line[2:], widths[2:], strict=True))
            for line in lines
        ]
        return "\n".join([", ".join(lists), *table])

    __repr__ = __str__


class DriftDisplay:
    """Distance of each feature, and the limit of what chance does.

    Parameters
    ----------
    report : DriftReport
        As from `drift_report`.
    n_features : int, default=20
        At most so many features are drawn, drifted ones first.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it is drawn.
    """

    def __init__(self, report, *, n_features=20):
        self.report = report
        self.n_features = n_features

    @classmethod
    def from_report(cls, report, *, n_features=20, ax=None):
        """Draw a report.

        Parameters
        ----------
        report, n_features
            As of the class.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : DriftDisplay
            The display, drawn.
        """
        return cls(report, n_features=n_features).plot(ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : DriftDisplay
            Itself.
        """
        self.ax_ = ax = axes_or_new(ax)
        self.figure_ = ax.figure
        rows = [row for row in self.report.rows if not np.isnan(row.distance)]
        rows = rows[: self.n_features]
        places = np.arange(len(rows))
        colors = ["C1" if row.drifted else "C0" for row in rows]
        ax.barh(places, [row.distance for row in rows], color=colors)
        limits = [row.limit for row in rows]
        ax.plot(limits, places, "|", color="black", markersize=12, label="chance")
        ax.set_yticks(places, [row.feature for row in rows])
        ax.invert_yaxis()
        ax.set_xlabel("distance from training (Kolmogorov-Smirnov)")
        ax.legend()
        return self


# Numbers against their tables ---------------------------------------------------------


class _Chance:
    """Lists drawn again and again, the same ones for every feature."""

    def __init__(self, lists, n_resamples, rng):
        self.codes, self.n_lists = lists.codes, lists.n_lists
        drawn = rng.randint(self.n_lists, size=(n_resamples, self.n_lists))
        counts = [np.bincount(one, minlength=self.n_lists) for one in drawn]
        self.counts = np.array(counts, dtype=np.float32)
        self.normal = np.abs(rng.normal(size=n_resamples))

    def compare(self, values, points, shares, whole):
        """Distance of one number from its table, and distances by chance alone."""
        present = ~np.isnan(values)
        codes = self.codes[present]
        up_to = _count(values[present], codes, self.n_lists, points, whole)
        size = np.bincount(codes, minlength=self.n_lists)
        if not present.any():
            return np.nan, np.zeros(len(self.counts))
        new = up_to.sum(axis=0) / size.sum()
        drawn = self.counts @ up_to.astype(np.float32)
        drawn /= np.maximum(self.counts @ size.astype(np.float32), 1)[:, None]
        noise = np.abs(drawn - new).max(axis=1)
        # Under no drift it varies as in training: rare values may be absent by luck.
        spread, own = (shares * (1 - shares)).sum(), (new * (1 - new)).sum()
        if own > 0:
            noise *= np.sqrt(max(1, spread / own))
        else:  # all rows alike: as much as if lists always were
            noise = self.normal * np.sqrt((shares * (1 - shares)).max() / self.n_lists)
        return float(np.abs(new - shares).max()), noise


def _count(values, codes, n_lists, points, whole):
    """Rows of each list up to each point, ties in full or half: (n_lists, n_points)."""
    width = len(points) + 1
    total = np.zeros((n_lists, width))
    for side in ("left",) if whole else ("left", "right"):
        place = codes * width + np.searchsorted(points, values, side=side)
        total += np.bincount(place, minlength=n_lists * width).reshape(-1, width)
    return total.cumsum(axis=1)[:, :-1] / (1 if whole else 2)


def _reference(knots, scores):
    """Values to compare at, the share of training up to each, and if in full.

    Scores are normal quantiles of mid-distribution functions, those of all values where
    there are few. Then what lies below a value is what lies up to the one before.
    """
    knots, first = np.unique(knots, return_index=True)  # padded with the last one
    middle = ndtr(scores[first])
    signs = np.where(np.arange(len(middle)) % 2, -1.0, 1.0)
    full = 2 * signs * np.cumsum(signs * middle)
    whole = abs(full[-1] - 1) < 1e-6 and (np.diff(full, prepend=0) > 0).all()
    kept = np.unique(np.linspace(0, len(knots) - 1, N_POINTS).round().astype(int))
    return knots[kept], (full if whole else middle)[kept], whole


def _limits(noise, level):
    """Where chance ends for each feature, so that all stay below with this chance."""
    typical = noise.mean(axis=1, keepdims=True)
    relative = np.divide(noise, typical, np.zeros_like(noise), where=typical > 0)
    return typical[:, 0] * np.quantile(relative.max(axis=0, initial=0), level)


# The report ---------------------------------------------------------------------------


def _rows(columns, numbers, table):
    """One row per feature, yet without distances."""
    kinds = np.where(columns.categories.mask, "category", "constant")
    kinds[columns.numeric] = "number"
    unknown = dict(
        zip(columns.categorical, columns.categories.unknown(table), strict=True)
    )
    rows = []
    for j, (name, kind) in enumerate(zip(feature_names(table), kinds, strict=True)):
        new = unknown.get(j, {})
        # Unknown and missing categories share the code 0.
        empty = numbers[:, j] == 0 if kind == "category" else np.isnan(numbers[:, j])
        missing = int(empty.sum()) - sum(new.values())
        rows.append(
            Bunch(
                feature=str(name),
                kind=str(kind),
                distance=np.nan,
                limit=np.nan,
                drifted=False,
                missing=missing / len(numbers),
                new_missing=bool(
                    missing and kind != "category" and j not in columns.flagged
                ),
                unknown=new,
            )
        )
    return rows


def _compare(rows, columns, numbers, chance, level, wider):
    """Fill in how far each number is from its table, and whether chance goes as far."""
    noise = np.empty((len(columns.numeric), len(chance.counts)))
    for i, j in enumerate(columns.numeric.tolist()):
        values = np.ldexp(numbers[:, j].astype(np.float64), columns.shifts[i])
        reference = _reference(columns.knots[i], columns.scores[i])
        rows[j].distance, noise[i] = chance.compare(values, *reference)
    for j, limit in zip(columns.numeric, wider * _limits(noise, level), strict=True):
        rows[j].limit, rows[j].drifted = float(limit), bool(rows[j].distance > limit)


def _mean(values):
    """Mean of one value per list, and its standard error."""
    values = np.asarray(values, dtype=np.float64)
    return Bunch(
        mean=float(values.mean()), se=float(values.std(ddof=1) / np.sqrt(len(values)))
    )


def _shown(mean):
    return f"{mean.mean:.2f} (se {mean.se:.2f})"


def _cells(row):
    """Columns of the printed table."""
    is_compared = not np.isnan(row.distance)
    return (
        row.feature + " *" * row.drifted,
        row.kind,
        f"{row.distance:.3f}" if is_compared else "",
        f"{row.limit:.3f}" if is_compared else "",
        f"{row.missing:.1%}" + " (new)" * row.new_missing,
        str(sum(row.unknown.values())) if row.kind == "category" else "",
    )
