"""Which features put which item of a list where: Shapley values of leads.

A ranking depends on how the items of a list differ, so a feature is taken away by
levelling it: all items get the same value. The game is played by the features that
differ in the list, and pays each item its lead with only some of them left as they are.
One variant of the list gives the pay of all its items, so all of them are explained for
the price of one.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ._checks import check_count
from ._frames import results_frame
from ._lists import one_list, rank_rows
from ._variants import (
    ROWS_AT_ONCE,
    feature_columns,
    feature_names,
    find_row,
    middle_row,
    mix_rows,
    rows_of_list,
    score_lists,
    score_parts,
    sliceable,
    sort_keys,
    take,
)

# Cells changed in one call of predict; bounds the memory where features are many.
CELLS_AT_ONCE = 2**24

N_SHOWN = 3  # contributions of an item, in a text


@dataclass(frozen=True, eq=False)
class ListExplanation:
    """What `explain_list` finds; its docstring describes the attributes."""

    rows: np.ndarray
    labels: Any
    scores: np.ndarray
    lead: np.ndarray
    reference: int | None
    contributions: np.ndarray
    standard_errors: np.ndarray
    feature_names: np.ndarray
    n_evaluations: int

    def to_frame(self):
        """Return the contributions as a pandas frame, a row per item, best first.

        Returns
        -------
        frame : pandas.DataFrame of shape (n_items, 1 + n_features)
            The lead, and what each feature contributes to it. The index holds the
            labels of the rows.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        frame = results_frame(
            self.contributions,
            "contributions",
            index=self.labels,
            columns=self.feature_names,
        )
        frame.insert(0, "lead", self.lead, allow_duplicates=True)
        return frame

    @property
    def compared_with(self):
        """What the items are compared with, as a text."""
        if self.reference is None:
            return "the list's mean"
        (label,) = self.labels[self.rows == self.reference]
        return str(label)

    def __str__(self):
        width = max(len(str(label)) for label in self.labels)
        lines = [f"Lead over {self.compared_with}, and what contributes most to it:"]
        for place, (label, lead) in enumerate(
            zip(self.labels, self.lead, strict=True), start=1
        ):
            parts = _strongest(self.contributions[place - 1], self.feature_names)
            lines.append(f"{place:>4}. {label!s:<{width}} {lead:+8.3f} = {parts}")
        return "\n".join(lines)


def _strongest(contributions, names) -> str:
    """The largest contributions of an item and the sum of the others, as a text."""
    shown = np.argsort(-np.abs(contributions), kind="stable")[:N_SHOWN]
    parts = [f"{names[j]} {contributions[j]:+.3f}" for j in shown]
    if len(contributions) > N_SHOWN:
        parts.append(f"others {np.delete(contributions, shown).sum():+.3f}")
    return ", ".join(parts)


def explain_list(
    ranker,
    X,
    groups,
    list_id,
    *,
    reference=None,
    max_evaluations=4096,
    random_state=None,
):
    """Which features put which item of a list where: contributions that add up.

    Parameters
    ----------
    ranker : estimator
        Fitted ranker, or a pipeline or search that ends in one.
    X : array-like, sparse matrix or frame of shape (n_rows, n_features)
        Features.
    groups : array-like of shape (n_rows,)
        List id of each row.
    list_id : int or str
        Which list.
    reference : int, or label of a pandas index, default=None
        The item of the list that the others are compared with, as in
        `explain_pair`: features are levelled at its values, and leads are those over
        its score. None compares with the list itself: features are levelled at their
        middle value in the list, or the most common one if they are no numbers, and
        leads are those over the mean score.
    max_evaluations : int, default=4096
        How many variants of the list may be scored. With d features that differ within
        the list, the values are exact where all 2**d variants are no more than this,
        12 features at the default. Otherwise as many permutations of the features are
        drawn as fit in, each with its reverse, but at least one such pair, which
        takes 2 * (d - 1) variants.
    random_state : int, RandomState instance or None, default=None
        Seed of the permutations.

    Returns
    -------
    explanation : ListExplanation
        With ``print(explanation)`` a line per item, ``to_frame()``, a table of pandas,
        and these attributes, items best first:

        ``rows``, ndarray of shape (n_items,): row index of each item; ``labels``: its
        label, for a pandas frame, or its row index; ``scores``, ndarray of shape
        (n_items,); ``lead``, ndarray of shape (n_items,): score minus that of the
        reference, or the mean; ``reference``, int or None: its row; ``contributions``,
        ndarray of shape (n_items, n_features): their sums over features are the leads;
        ``standard_errors``, of the same shape: of the drawing of permutations, 0 where
        values are exact and NaN where one pair was drawn; ``feature_names``, ndarray of
        str of shape (n_features,); ``n_evaluations``, int: variants scored.

    Raises
    ------
    ValueError
        If no row belongs to the list, or the reference is none of its items.

    See Also
    --------
    explain_pair : What an exchange of values, or the removal of an item, would change.

    Notes
    -----
    The contribution of feature f to the lead of item i is its Shapley value: how much
    of the lead is lost, on average over all orders of levelling the features one by
    one, when f is levelled. Levelled means that all items of the list have the same
    value, so that the feature cannot separate them. With all features levelled all
    items are alike and none leads. Therefore

    - contributions to two items differ by as much as their scores do:
      ``contributions[i].sum() - contributions[j].sum() == scores[i] - scores[j]``;
    - a constant added to all scores of a list, which no ranker fixes, changes nothing;
    - a feature that is the same throughout the list has the contribution 0, although
      it may change what others are worth: see `list_permutation_importance` for it;
    - what the other items' values of f do to item i counts as f's;
    - of features that say the same each gets a part; in levelled lists features are
      combined that may never occur together;
    - another reference asks another question, and gives another answer.

    For a model that scores items one by one, these are the Shapley values of its score
    with the reference as only background; for a linear one, coefficient times
    difference from the reference, or from the mean.

    The time is that of predicting ``max_evaluations`` lists: 3 to 4 s for 50 items and
    50 features with the default network on one core. Where the ranker has a
    `group_column` and transformers come before it, each variant is asked for by itself,
    which takes longer.

    References
    ----------
    .. [1] Shapley (1953), "A value for n-person games".
    .. [2] Mitchell, Cooper, Frank and Holmes (2022), "Sampling permutations for Shapley
       value estimation": permutations with their reverses.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_rankformer.inspection import explain_list
    >>> X = np.array([[1.0, 9], [2, 9], [4, 6], [1, 4], [4, 4], [2, 4]])
    >>> y, groups = [0, 1, 2, 0, 2, 1], [7, 7, 7, 8, 8, 8]
    >>> why = explain_list(Ridge().fit(X, y), X, groups, 7)
    >>> print(why)
    Lead over the list's mean, and what contributes most to it:
       1. 2   +0.972 = x0 +0.965, x1 +0.007
       2. 1   -0.196 = x0 -0.193, x1 -0.003
       3. 0   -0.775 = x0 -0.772, x1 -0.003
    """
    max_evaluations = check_count(max_evaluations, "max_evaluations")
    X = sliceable(X)
    rows = rows_of_list(groups, X.shape[0], list_id)
    table, columns = take(X, rows), feature_columns(ranker, X, groups)
    (scores,) = score_lists(ranker, [table])
    scores = np.asarray(scores, dtype=np.float64)
    ranking = rank_rows(scores, one_list(len(rows)))
    at = None if reference is None else _find_in_list(X, reference, rows, list_id)
    differ = np.array([sort_keys(table, j).any() for j in columns], dtype=bool)
    game = _Game(ranker, table, columns[differ], at, scores)
    found, errors = game.play(max_evaluations, check_random_state(random_state))
    contributions, standard_errors = np.zeros((2, len(rows), len(columns)))
    contributions[:, differ], standard_errors[:, differ] = found.T, errors.T
    return ListExplanation(
        rows=rows[ranking],
        labels=X.index[rows[ranking]] if hasattr(X, "iloc") else rows[ranking],
        scores=scores[ranking],
        lead=game.lead[ranking],
        reference=None if at is None else int(rows[at]),
        contributions=contributions[ranking],
        standard_errors=standard_errors[ranking],
        feature_names=feature_names(X)[columns],
        n_evaluations=1 + game.n_evaluations,
    )


def _find_in_list(X, reference, rows, list_id) -> int:
    """Place of the reference among the rows of its list."""
    place = np.flatnonzero(rows == find_row(X, reference, "reference"))
    if not len(place):
        raise ValueError(
            f"reference={reference!r} must be an item of the list {list_id!r}, whose "
            f"rows begin with {rows[:5].tolist()}."
        )
    return int(place[0])


class _Game:
    """Features of one list as players; what a set of them earns each item.

    Parameters
    ----------
    ranker : estimator
        Fitted.
    table : array, sparse matrix or frame of shape (n_items, n_columns)
        The list.
    columns : ndarray of shape (n_players,)
        Columns that differ within it.
    at : int or None
        Place of the reference; None compares with the mean.
    scores : ndarray of shape (n_items,)
        Of the list as it is.
    """

    def __init__(self, ranker, table, columns, at, scores):
        self.ranker = ranker
        self.table = table
        self.columns = columns
        self.at = at
        self.lead = self._lead(scores)  # what all players together earn
        self.n_evaluations = 0

    def _lead(self, scores):
        if self.at is None:
            return scores - scores.mean(-1, keepdims=True)
        return scores - scores[..., [self.at]]

    def _level(self) -> np.ndarray:
        """Row of whose value each player is levelled: (n_players,)."""
        if self.at is None:
            return np.array([middle_row(self.table, j) for j in self.columns], int)
        return np.full(len(self.columns), self.at)

    def play(self, max_evaluations, random) -> tuple[np.ndarray, np.ndarray]:
        """Shapley values and their standard errors, both (n_players, n_items)."""
        d = len(self.columns)
        if 2**d <= max_evaluations or d < 2:
            values = self._exact()
            return values, np.zeros_like(values)
        n_pairs = max(1, (max_evaluations - 1) // (2 * (d - 1)))
        values = self._of_pairs(n_pairs, random)
        if n_pairs == 1:
            return values[0], np.full_like(values[0], np.nan)
        return values.mean(0), values.std(0, ddof=1) / math.sqrt(n_pairs)

    def _exact(self) -> np.ndarray:
        d = len(self.columns)
        sets = np.arange(2**d)
        inside = (sets[:, None] >> np.arange(d) & 1).astype(bool)
        earned = np.zeros((2**d, len(self.lead)))
        earned[1:-1], earned[-1] = self._earned(inside[1:-1]), self.lead
        size = inside.sum(1)
        # The share of orders in which just this set comes before a player.
        share = np.array([1 / (d * math.comb(d - 1, s)) for s in range(d)])
        values = np.empty((d, len(self.lead)))
        for j in range(d):
            before = sets[~inside[:, j]]
            gain = earned[before | 1 << j] - earned[before]
            values[j] = share[size[before]] @ gain
        return values

    def _of_pairs(self, n_pairs, random) -> np.ndarray:
        """Gains in the order of a permutation, averaged with those in the reverse.

        Returns
        -------
        values : ndarray of shape (n_pairs, n_players, n_items)
        """
        d, n = len(self.columns), len(self.lead)
        place = np.argsort(random.random_sample((n_pairs, d)))
        place = np.concatenate([place, d - 1 - place])
        inside = place[:, None] < np.arange(1, d)[:, None]
        # From no player to all of them: the gains of an order sum to the lead.
        earned = np.zeros((2 * n_pairs, d + 1, n))
        earned[:, 1:-1] = self._earned(inside.reshape(-1, d)).reshape(-1, d - 1, n)
        earned[:, -1] = self.lead
        gains = np.take_along_axis(np.diff(earned, axis=1), place[:, :, None], axis=1)
        return gains.reshape(2, n_pairs, d, n).mean(0)

    def _earned(self, inside) -> np.ndarray:
        """Leads with some features as they are: (n_sets, n_items) of (n_sets, d)."""
        n, d = len(self.lead), len(self.columns)
        level, own = self._level(), np.arange(n)[:, None]
        self.n_evaluations += len(inside)
        at_once = max(1, min(ROWS_AT_ONCE, CELLS_AT_ONCE // max(d, 1)) // n)
        scores = np.empty((len(inside), n))
        for start in range(0, len(inside), at_once):
            part = slice(start, start + at_once)
            source = np.where(inside[part, None], own, level)
            mixed = mix_rows(self.table, self.columns, source.reshape(-1, d))
            scores[part] = score_parts(self.ranker, mixed, n)
        return self._lead(scores)
