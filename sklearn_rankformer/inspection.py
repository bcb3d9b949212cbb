"""Why a list is ranked as it is: importances, contributions, pairs, attention.

Shuffled within lists, a feature loses what it says about items; shuffled between them,
what it says about lists. The places of a list's items are explained by contributions of
the features, which add up; one order of two items by what would change it.

>>> import numpy as np
>>> from sklearn.linear_model import Ridge
>>> from sklearn_rankformer import RankerAdapter
>>> from sklearn_rankformer.inspection import explain_pair, list_permutation_importance
>>> X = np.array([[1.0, 9], [2, 9], [3, 9], [1, 4], [4, 4], [2, 4]])
>>> y, groups = [0, 1, 2, 0, 2, 1], [7, 7, 7, 8, 8, 8]
>>> ranker = RankerAdapter(Ridge()).fit(X, y, groups=groups)
>>> within = list_permutation_importance(ranker, X, y, groups, random_state=0)
>>> within.importances_mean.round(2).tolist()
[0.22, 0.0]
>>> why = explain_pair(ranker, X, groups, above=2, below=0)
>>> round(why.difference, 2), why.swap.round(2).tolist()
(1.3, [2.61, 0.0])

The displays follow scikit-learn's: ``from_estimator`` computes and draws, ``plot``
draws again, and ``ax_`` and ``figure_`` may be changed. matplotlib is imported when
something is drawn. What is computed without drawing comes from `_explanations`,
`_attributions` and `_uncertainty`.
"""

import numpy as np
from sklearn.utils.validation import _num_samples, check_is_fitted

from ._attributions import explain_list
from ._checks import (
    check_count,
    check_labels,
    check_length,
    check_min_label,
    check_numbers,
    check_option,
)
from ._explanations import (
    attention_maps,
    explain_pair,
    list_permutation_importance,
)
from ._figures import axes_or_new as _axes
from ._groups import check_groups, find_groups
from ._lists import lists_of, split_lists
from ._models import predict_scores
from ._uncertainty import rank_uncertainty
from .calibration import (
    answer_curve,
    brier_by_segment,
    pick_threshold,
    precision_bounds,
    segment_codes,
    segment_of_lists,
)
from .metrics import ndcg_score

# What came in a bin of fewer is mostly chance.
MIN_IN_BIN = 20

__all__ = [
    "AnswerCurveDisplay",
    "AttentionDisplay",
    "ItemValueDisplay",
    "ListExplanationDisplay",
    "ListValueDisplay",
    "NDCGPerListDisplay",
    "PermutationImportanceDisplay",
    "TrainingCurveDisplay",
    "attention_maps",
    "explain_list",
    "explain_pair",
    "list_permutation_importance",
    "rank_uncertainty",
]


class TrainingCurveDisplay:
    """Loss and held-out measure over the epochs.

    Parameters
    ----------
    history : list of dict
        `history_` of a ranker.
    kept_epoch : int or None, default=None
        Epoch whose weights were kept, to be marked; from 1.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where the loss is drawn.
    measure_ax_ : matplotlib Axes or None
        Axes of the held-out measure, on the right.
    """

    _MEASURES = {
        "valid_ndcg": "held-out NDCG@10",
        "valid_loss": "held-out loss",
    }

    def __init__(self, history, *, kept_epoch=None):
        self.history = history
        self.kept_epoch = kept_epoch

    @classmethod
    def from_estimator(cls, ranker, *, ax=None):
        """Draw the training of a fitted ranker.

        Parameters
        ----------
        ranker : RankFormerRanker or MLPRanker
            Fitted.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, drawn.
        """
        check_is_fitted(ranker)
        return cls(ranker.history_, kept_epoch=ranker.kept_epoch_).plot(ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : TrainingCurveDisplay
            Itself.
        """
        self.ax_ = ax = _axes(ax)
        self.figure_, self.measure_ax_ = ax.figure, None
        epochs = np.arange(1, len(self.history) + 1)
        ax.plot(epochs, self._values("train_loss"))
        ax.set(xlabel="epoch", ylabel="training loss")
        for measure, name in self._MEASURES.items():
            # One of them at most, and none where no list was held out.
            if any(measure in epoch for epoch in self.history):
                self.measure_ax_ = right = ax.twinx()
                right.plot(epochs, self._values(measure), color="C1")
                right.set_ylabel(name, color="C1")
        if self.kept_epoch is not None:
            ax.axvline(self.kept_epoch, color="grey", linestyle=":")
        return self

    def _values(self, name):
        """A value of each epoch; NaN where it was interrupted while it was measured."""
        return [epoch.get(name, np.nan) for epoch in self.history]


class NDCGPerListDisplay:
    """NDCG of each list, by the list's size or one list after the other.

    Parameters
    ----------
    groups, sizes, values : ndarrays of shape (n_lists,)
        List ids, numbers of items, and NDCG (nan where nothing is relevant).
    k : int or None
        Cut-off of the NDCG.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it is drawn.
    """

    def __init__(self, groups, sizes, values, *, k):
        self.groups = groups
        self.sizes = sizes
        self.values = values
        self.k = k

    @classmethod
    def from_estimator(
        cls, estimator, X, y, groups, *, k=10, gain="exp", kind="size", ax=None
    ):
        """Predict and draw.

        Parameters
        ----------
        estimator : estimator
            Fitted ranker, or a pipeline or search that ends in one.
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        y : array-like of shape (n_rows,)
            Labels.
        groups : array-like of shape (n_rows,)
            List id of each row.
        k, gain
            As in `metrics.ndcg_score`.
        kind, ax
            As in `plot`.

        Returns
        -------
        display : NDCGPerListDisplay
            The display, drawn.
        """
        y_score = predict_scores(estimator, X, groups)
        return cls.from_predictions(
            y, y_score, groups, k=k, gain=gain, kind=kind, ax=ax
        )

    @classmethod
    def from_predictions(
        cls, y_true, y_score, groups, *, k=10, gain="exp", kind="size", ax=None
    ):
        """Draw from scores.

        Parameters
        ----------
        y_true, y_score, groups, k, gain
            As in `metrics.ndcg_score`.
        kind, ax
            As in `plot`.

        Returns
        -------
        display : NDCGPerListDisplay
            The display, drawn.
        """
        each = ndcg_score(y_true, y_score, groups, k=k, gain=gain, reduction="none")
        # Both in the order of np.unique(groups).
        sizes = split_lists(check_groups(groups, len(y_score))).lengths
        return cls(each.groups, sizes, each.value, k=k).plot(kind=kind, ax=ax)

    def by_size(self, n_bins=8):
        """Mean NDCG of lists of similar size.

        Parameters
        ----------
        n_bins : int, default=8
            At most this many bins, with about equally many lists each.

        Returns
        -------
        sizes, values : ndarrays of shape (n_bins,)
            Mean size and mean NDCG of each bin, lists without NDCG left out.
        """
        ranked = ~np.isnan(self.values)
        sizes, values = self.sizes[ranked], self.values[ranked]
        if not len(sizes):
            return sizes.astype(float), values
        bins, count = _quantile_bins(sizes, n_bins)
        return np.bincount(bins, sizes) / count, np.bincount(bins, values) / count

    def plot(self, *, kind="size", ax=None):
        """Draw.

        Parameters
        ----------
        kind : {"size", "list"}, default="size"
            A point for each list over its size, with the mean of lists of similar
            size; or the lists from the worst to the best.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : NDCGPerListDisplay
            Itself.
        """
        check_option("kind", kind, ("size", "list"))
        self.ax_ = ax = _axes(ax)
        self.figure_ = ax.figure
        name = "NDCG" if self.k is None else f"NDCG@{self.k}"
        if kind == "list":
            values = np.sort(self.values[~np.isnan(self.values)])
            ax.plot(np.arange(1, len(values) + 1), values, drawstyle="steps-mid")
            ax.set(xlabel="lists, worst first", ylabel=name)
            return self
        ax.scatter(self.sizes, self.values, s=8, alpha=0.4, label="a list")
        ax.plot(*self.by_size(), "o-", color="C1", label="mean of similar size")
        ax.set(xlabel="items in the list", ylabel=name)
        ax.legend()
        return self


class AttentionDisplay:
    """Attention weights of one list as a picture.

    Parameters
    ----------
    weights : ndarray of shape (n_members, n_layers, n_heads, 1 + n_items, 1 + n_items)
        As from `attention_maps`.
    item_names : sequence of str, of length n_items
        Names of the items.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it is drawn.
    image_ : matplotlib AxesImage
        The picture.
    """

    def __init__(self, weights, item_names):
        self.weights = weights
        self.item_names = item_names

    @classmethod
    def from_estimator(
        cls,
        ranker,
        X,
        groups,
        list_id,
        *,
        item_names=None,
        layer=-1,
        head=None,
        ax=None,
    ):
        """Compute the weights and draw.

        Parameters
        ----------
        ranker, X, groups, list_id
            As in `attention_maps`.
        item_names : sequence of str, default=None
            Names of the items of the list in the order of their rows; None takes their
            row indices.
        layer, head, ax
            As in `plot`.

        Returns
        -------
        display : AttentionDisplay
            The display, drawn.
        """
        maps = attention_maps(ranker, X, groups, list_id)
        names = [str(row) for row in maps.rows] if item_names is None else item_names
        if len(names) != len(maps.rows):
            raise ValueError(
                f"item_names has {len(names)} entries for {len(maps.rows)} items. Give "
                f"one per item, in the order of their rows."
            )
        return cls(maps.weights, names).plot(layer=layer, head=head, ax=ax)

    def plot(self, *, layer=-1, head=None, ax=None):
        """Draw the mean over the members.

        Parameters
        ----------
        layer : int, default=-1
            Which layer.
        head : int, default=None
            Which head; None takes the mean over heads.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : AttentionDisplay
            Itself.
        """
        self.ax_ = ax = _axes(ax)
        self.figure_ = ax.figure
        shown = self.weights[:, layer].mean(0)
        shown = shown.mean(0) if head is None else shown[head]
        self.image_ = ax.imshow(shown, vmin=0, cmap="Blues")
        # Position 0 is the [CLS] token, which stands for the list.
        ticks, names = np.arange(len(shown)), ["list", *self.item_names]
        ax.set_xticks(ticks, names, rotation=90)
        ax.set_yticks(ticks, names)
        ax.set(xlabel="is looked at", ylabel="looks")
        self.figure_.colorbar(self.image_, ax=ax, label="attention")
        return self


class _ReliabilityDisplay:
    """What `ListValueDisplay` and `ItemValueDisplay` share: all but the predictions."""

    _COUNTED = ""

    def __init__(self, is_good, proba, *, segment=None, n_bins=10):
        is_good = check_numbers(is_good, "is_good")
        self.proba = check_numbers(proba, "proba")
        self.segment = segment
        self.n_bins = check_count(n_bins, "n_bins")
        self.by_segment = brier_by_segment(is_good, self.proba, segment)
        self.is_good = is_good.astype(bool)  # now that it is known to be 0 or 1
        self.brier_score = self.by_segment.total_brier

    @classmethod
    def from_predictions(cls, is_good, proba, *, segment=None, n_bins=10, ax=None):
        """Draw from chances.

        Parameters
        ----------
        is_good, proba, segment, n_bins
            As of the class.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : display
            The display, drawn.
        """
        return cls(is_good, proba, segment=segment, n_bins=n_bins).plot(ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : display
            Itself.
        """
        self.ax_ = ax = _axes(ax)
        self.figure_, found = ax.figure, self.by_segment
        ax.plot([0, 1], [0, 1], ":", color="grey", label="perfect")
        _, codes = segment_codes(self.segment, len(self.proba))
        for code in range(len(found.segment)):
            self._plot_segment(code, codes == code)
        ax.set(xlabel="predicted chance", ylabel=f"share of good {self._COUNTED}")
        if self.segment is not None:
            ax.set_title(
                f"Brier {found.total_brier:.3f}, of the base rates\n"
                f"within segments {found.within_base_brier:.3f}, of one for all "
                f"{found.total_base_brier:.3f}",
                fontsize="medium",
            )
        # Room for the legend, which would hide intervals.
        ax.set_ylim(-0.05, 1.1 + 0.09 * (1 + len(found.segment)))
        ax.set_yticks(np.linspace(0, 1, 6))
        ax.legend(fontsize="small", loc="upper left")
        return self

    def _plot_segment(self, code, inside):
        """Draw the bins of one segment, with their intervals, and its base rate."""
        found, color = self.by_segment, f"C{code}"
        proba, is_good = self.proba[inside], self.is_good[inside]
        n_bins = min(self.n_bins, max(1, len(proba) // MIN_IN_BIN))
        bins, count = _quantile_bins(proba, n_bins)
        chance = np.bincount(bins, proba) / count
        hits = np.bincount(bins, is_good)
        low, high = precision_bounds(hits, count, 0.975)
        name = "" if self.segment is None else f"{found.segment[code]}: "
        label = (
            f"{name}{found.base_rate[code]:.0%} good; Brier {found.brier[code]:.3f}, "
            f"of the base rate {found.base_brier[code]:.3f}"
        )
        self.ax_.axhline(found.base_rate[code], color=color, linewidth=0.8, alpha=0.6)
        self.ax_.plot(chance, hits / count, "o-", color=color, label=label)
        self.ax_.vlines(chance, low, high, color=color, alpha=0.4)


# Its parameters are those of the base, which numpydoc does not look into.
class ListValueDisplay(_ReliabilityDisplay):  # numpydoc ignore=PR02
    """Reliability of `predict_list_value`: 7 of 10 lists called 70 % good are good.

    Each segment has its curve, with 95 % intervals of its bins, and a line at its base
    rate. The legend has the Brier score of each beside that of its base rate, the
    title those of all: if the score is no lower than that of the base rates *within*
    segments, all that the model knows is the segment.

    Parameters
    ----------
    is_good : array-like of shape (n_lists,), bool
        Whether the list holds a label of `min_label` or more.
    proba : array-like of shape (n_lists,)
        The predicted chance of that.
    segment : array-like of shape (n_lists,), default=None
        Segment of each list, such as its market or device; None takes all for one.
    n_bins : int, default=10
        At most this many bins for each segment, of about equally many lists, 20 or
        more.

    Attributes
    ----------
    brier_score : float
        Mean squared difference of the chance and what came; 0 is best.
    by_segment : Bunch
        Scores and base rates, as from `calibration.brier_by_segment`.
    ax_, figure_ : matplotlib Axes and Figure
        Where it is drawn.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability".
    """

    _COUNTED = "lists"

    @classmethod
    def from_estimator(
        cls, ranker, X, y, groups, *, segment=None, min_label=1, n_bins=10, ax=None
    ):
        """Predict and draw.

        Parameters
        ----------
        ranker : RankFormerRanker
            Fitted.
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        y : array-like of shape (n_rows,)
            Labels.
        groups : array-like of shape (n_rows,)
            List id of each row.
        segment : array-like of shape (n_rows,), default=None
            Segment of each row's list, such as a column of X; the same on all rows of
            a list.
        min_label : float, default=1
            A list is good if its highest label is at least this.
        n_bins : int, default=10
            At most this many bins for each segment, of about equally many lists, 20 or
            more.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ListValueDisplay
            The display, drawn.
        """
        is_good, proba, lists = _list_outcomes(ranker, X, y, groups, min_label)
        if segment is not None:
            segment = segment_of_lists(segment, lists)
        return cls(is_good, proba, segment=segment, n_bins=n_bins).plot(ax)


class ItemValueDisplay(_ReliabilityDisplay):  # numpydoc ignore=PR02
    """Reliability of `predict_item_value`: 7 of 10 items called 70 % good are good.

    As `ListValueDisplay`, for items. The intervals take items for independent, which
    those of one list are not: the true ones are wider.

    Parameters
    ----------
    is_good : array-like of shape (n_rows,), bool
        Whether the item's label is `min_label` or more.
    proba : array-like of shape (n_rows,)
        The predicted chance of that.
    segment : array-like of shape (n_rows,), default=None
        Segment of each item, such as its market or kind; None takes all for one.
    n_bins : int, default=10
        At most this many bins for each segment, of about equally many items, 20 or
        more.

    Attributes
    ----------
    brier_score : float
        Mean squared difference of the chance and what came; 0 is best.
    by_segment : Bunch
        Scores and base rates, as from `calibration.brier_by_segment`.
    ax_, figure_ : matplotlib Axes and Figure
        Where it is drawn.
    """

    _COUNTED = "items"

    @classmethod
    def from_estimator(
        cls, ranker, X, y, groups, *, segment=None, min_label=1, n_bins=10, ax=None
    ):
        """Predict and draw.

        Parameters
        ----------
        ranker : RankFormerRanker
            Fitted.
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        y : array-like of shape (n_rows,)
            Labels.
        groups : array-like of shape (n_rows,)
            List id of each row.
        segment : array-like of shape (n_rows,), default=None
            Segment of each row, such as a column of X.
        min_label : float, default=1
            An item is good if its label is at least this.
        n_bins : int, default=10
            At most this many bins for each segment, of about equally many items, 20 or
            more.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ItemValueDisplay
            The display, drawn.
        """
        min_label = check_min_label(min_label)
        value = ranker.predict_item_value(X, groups=groups)
        y = check_labels(y)
        check_length(y, "y", _num_samples(X))
        is_good = y >= min_label
        proba = _chance_of(value.proba, value.levels, min_label)
        return cls(is_good, proba, segment=segment, n_bins=n_bins).plot(ax)


class AnswerCurveDisplay:
    """Share of the lists answered against precision: how much silence buys.

    Parameters
    ----------
    is_good : array-like of shape (n_lists,), bool
        Whether the list holds a label of `min_label` or more.
    proba : array-like of shape (n_lists,)
        The predicted chance of that, or any score that is higher for better lists.
    precision : float, default=None
        Wanted precision, whose threshold is picked and marked; None marks nothing.
    confidence : float, default=0.95
        Confidence of the lower bounds and of the threshold.

    Attributes
    ----------
    curve : Bunch
        As from `calibration.answer_curve`.
    picked : Bunch or None
        As from `calibration.pick_threshold`.
    ax_, figure_ : matplotlib Axes and Figure
        Where it is drawn.
    """

    def __init__(self, is_good, proba, *, precision=None, confidence=0.95):
        self.precision = precision
        self.confidence = confidence
        is_good = check_numbers(is_good, "is_good")
        proba = check_numbers(proba, "proba")
        self.curve = answer_curve(is_good, proba, confidence=confidence)
        self.picked = (
            None
            if precision is None
            else pick_threshold(
                is_good, proba, precision=precision, confidence=confidence
            )
        )

    @classmethod
    def from_estimator(
        cls,
        ranker,
        X,
        y,
        groups,
        *,
        min_label=1,
        precision=None,
        confidence=0.95,
        ax=None,
    ):
        """Predict and draw.

        Parameters
        ----------
        ranker : RankFormerRanker
            Fitted.
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        y : array-like of shape (n_rows,)
            Labels.
        groups : array-like of shape (n_rows,)
            List id of each row.
        min_label : float, default=1
            A list is good if its highest label is at least this.
        precision, confidence
            As of the class.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : AnswerCurveDisplay
            The display, drawn.
        """
        is_good, proba, _ = _list_outcomes(ranker, X, y, groups, min_label)
        return cls(is_good, proba, precision=precision, confidence=confidence).plot(ax)

    @classmethod
    def from_predictions(
        cls, is_good, proba, *, precision=None, confidence=0.95, ax=None
    ):
        """Draw from chances.

        Parameters
        ----------
        is_good, proba, precision, confidence
            As of the class.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : AnswerCurveDisplay
            The display, drawn.
        """
        return cls(is_good, proba, precision=precision, confidence=confidence).plot(ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : AnswerCurveDisplay
            Itself.
        """
        self.ax_ = ax = _axes(ax)
        self.figure_, curve, picked = ax.figure, self.curve, self.picked
        ax.plot(curve.share, curve.precision, label="precision")
        ax.fill_between(
            curve.share,
            curve.low,
            curve.precision,
            alpha=0.2,
            label=f"down to its {100 * self.confidence:g}% lower bound",
        )
        if picked is not None:
            ax.axhline(self.precision, color="grey", linestyle=":")
            promised = f"{self.precision:g} promised"
            label = f"{picked.share:.0%} answered, {promised}"
            label = label if picked.n_answered else f"nowhere {promised}"
            ax.plot(picked.share, picked.precision, "o", color="C1", label=label)
        ax.set_ylim(bottom=max(0, curve.precision.min() - 0.1))
        ax.set(xlabel="share of lists answered", ylabel="share of them that are good")
        ax.legend(fontsize="small")
        return self


class PermutationImportanceDisplay:
    """What each feature says about items, and about lists.

    Parameters
    ----------
    *results : Bunch
        As from `list_permutation_importance`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it is drawn.
    """

    def __init__(self, *results):
        self.results = results

    @classmethod
    def from_estimator(cls, estimator, X, y, groups, *, ax=None, **kwargs):
        """Compute both kinds of importance and draw.

        Parameters
        ----------
        estimator, X, y, groups
            As in `list_permutation_importance`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs
            Further arguments of `list_permutation_importance`, except `how`.

        Returns
        -------
        display : PermutationImportanceDisplay
            The display, drawn.
        """
        results = [
            list_permutation_importance(estimator, X, y, groups, how=how, **kwargs)
            for how in ("within", "between")
        ]
        return cls(*results).plot(ax=ax)

    def plot(self, *, max_features=20, ax=None):
        """Draw the features of most importance.

        Parameters
        ----------
        max_features : int, default=20
            How many features to show.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : PermutationImportanceDisplay
            Itself.
        """
        self.ax_ = ax = _axes(ax)
        self.figure_ = ax.figure
        means = np.array([result.importances_mean for result in self.results])
        # By size, whatever the sign: a feature that misleads is of interest, too.
        shown = np.argsort(np.abs(means).max(axis=0))[-max_features:]
        height = 0.8 / len(self.results)
        for i, result in enumerate(self.results):
            ax.barh(
                np.arange(len(shown)) + (len(self.results) / 2 - 0.5 - i) * height,
                result.importances_mean[shown],
                height,
                xerr=result.importances_std[shown],
                label=f"shuffled {result.how} lists",
            )
        ax.set_yticks(np.arange(len(shown)), self.results[0].feature_names[shown])
        ax.set_xlabel("metric lost")
        ax.legend()
        return self


class ListExplanationDisplay:
    """Which features put which item of a list where.

    A bar per item, best first: to the right what speaks for it, to the left what speaks
    against it, and a point at the sum, its lead.

    Parameters
    ----------
    explanation : ListExplanation
        As from `explain_list`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it is drawn.
    """

    def __init__(self, explanation):
        self.explanation = explanation

    @classmethod
    def from_estimator(cls, ranker, X, groups, list_id, *, ax=None, **kwargs):
        """Explain the list and draw.

        Parameters
        ----------
        ranker, X, groups, list_id
            As in `explain_list`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs
            Further arguments of `explain_list`.

        Returns
        -------
        display : ListExplanationDisplay
            The display, drawn.
        """
        return cls(explain_list(ranker, X, groups, list_id, **kwargs)).plot(ax=ax)

    def plot(self, *, max_items=20, max_features=6, ax=None):
        """Draw the best items, and the features that contribute most to their places.

        Parameters
        ----------
        max_items : int, default=20
            How many items to show, from the best.
        max_features : int, default=6
            How many features to show by themselves; the others are summed up.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ListExplanationDisplay
            Itself.
        """
        max_items = check_count(max_items, "max_items")
        max_features = check_count(max_features, "max_features")
        self.ax_ = ax = _axes(ax)
        self.figure_, found = ax.figure, self.explanation
        values = found.contributions[:max_items]
        by_size = np.argsort(-np.abs(values).sum(axis=0), kind="stable")
        shown, others = by_size[:max_features], by_size[max_features:]
        parts = [(found.feature_names[j], f"C{k}") for k, j in enumerate(shown)]
        bars = values[:, shown]
        if len(others):
            parts.append(("others", "lightgrey"))
            bars = np.column_stack([bars, values[:, others].sum(axis=1)])
        places = np.arange(len(values))
        ends = np.zeros((2, len(values)))  # of what speaks for and against so far
        for (name, color), width in zip(parts, bars.T, strict=True):
            side = (width < 0).astype(int)
            ax.barh(places, width, left=ends[side, places], color=color, label=name)
            ends[side, places] += width
        ax.plot(found.lead[:max_items], places, "ko", markersize=4, label="lead")
        ax.axvline(0, color="grey", linewidth=0.8)
        ax.set_yticks(places, [str(label) for label in found.labels[:max_items]])
        ax.invert_yaxis()
        ax.set(xlabel=f"lead over {found.compared_with}", ylabel="items, best first")
        ax.legend(fontsize="small")
        return self


def _list_outcomes(ranker, X, y, groups, min_label):
    """Whether each list is good, the predicted chance of that, and the lists."""
    min_label = check_min_label(min_label)
    value = ranker.predict_list_value(X, groups=groups)
    y = check_labels(y)
    check_length(y, "y", _num_samples(X))
    lists = lists_of(find_groups(X, groups, None, ranker.group_column), len(y))
    is_good = lists.reduce(np.maximum, y) >= min_label
    return is_good, _chance_of(value.proba, ranker.levels_, min_label), lists


def _chance_of(proba, levels, min_label):
    # Summed chances may pass 1 by rounding, and chances are checked.
    return np.clip(proba[:, levels >= min_label].sum(axis=1), 0, 1)


def _quantile_bins(values, n_bins):
    """Bin of each value, equal ones together, and the number in each bin, never 0."""
    # Where many values are equal, edges coincide and bins are fewer.
    edges = np.unique(np.quantile(values, np.arange(n_bins) / n_bins))
    bins = np.searchsorted(edges, values, side="right") - 1
    _, bins, count = np.unique(bins, return_inverse=True, return_counts=True)
    return bins, count
