"""Models compared list by list: what each list says, and how sure the mean is."""

import numpy as np
from sklearn.utils import Bunch

from sklearn_rankformer import comparison
from sklearn_rankformer.metrics import ndcg_score


def per_list_ndcg(y, scores, groups, k=10):
    """NDCG@k of each list, NaN where there is nothing to find: (n_lists,)."""
    return ndcg_score(y, scores, groups, k=k, reduction="none").value


def in_own_columns(arrays):
    """Values of each seed's own lists, for `paired_interval`: (n_seeds, n_all_lists).

    No two seeds share a column, so that NaN stands wherever a list is another seed's.
    """
    ends = np.cumsum([len(values) for values in arrays])
    spread = np.full((len(arrays), ends[-1]), np.nan)
    for row, values, end in zip(spread, arrays, ends, strict=True):
        row[end - len(values) : end] = values
    return spread


def paired_interval(per_list_a, per_list_b, rng, n_resamples=1999):
    """`comparison.paired_interval`, with NumPy's new generators."""
    return comparison.paired_interval(
        per_list_a,
        per_list_b,
        n_resamples=n_resamples,
        random_state=rng.integers(2**31),
    )


def pooled_interval(gaps, n_lists, rng, *, shared, n_boot=1000, level=0.95):
    """Difference of a measure that is no mean over lists, with a bootstrap interval.

    Parameters
    ----------
    gaps : list of callables
        One a seed: from how often each of its lists counts, ndarray of shape
        (n_lists,), to the difference of the measure.
    n_lists : list of int
        Lists of each seed.
    rng : numpy.random.Generator
        Source of randomness.
    shared : bool
        Whether all seeds were tested on the same lists.
    n_boot : int, default=1000
        Number of bootstrap samples.
    level : float, default=0.95
        Coverage.

    Returns
    -------
    interval : Bunch
        As `paired_interval` returns it; the difference is the mean over seeds.
    """

    def draw(n):
        return rng.multinomial(n, np.full(n, 1 / n))

    means = np.empty(n_boot)
    for i in range(n_boot):
        common = draw(n_lists[0]) if shared else None
        seeds = rng.integers(len(gaps), size=len(gaps))
        counts = [draw(n_lists[s]) if common is None else common for s in seeds]
        means[i] = np.mean([gaps[s](n) for s, n in zip(seeds, counts, strict=True)])
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    whole = [gap(np.ones(n)) for gap, n in zip(gaps, n_lists, strict=True)]
    return Bunch(
        difference=float(np.mean(whole)),
        low=float(low),
        high=float(high),
        n_lists=n_lists[0] if shared else sum(n_lists),
        n_seeds=len(gaps),
    )


def auc_by_weight(outcome, p):
    """AUC of chances ``p``, as a function of the rows' weights: sorted only once."""
    values, at = np.unique(p, return_inverse=True)

    def auc(weight):
        positive = np.bincount(at, weight * outcome, len(values))
        negative = np.bincount(at, weight, len(values)) - positive
        below = np.cumsum(negative) - negative / 2
        return positive @ below / (positive.sum() * negative.sum())

    return auc


def positive_chance(proba, levels):
    """Chance of a level above 0, of lists or of items."""
    return 1 - proba[:, levels == 0].sum(axis=1)


def log_loss_of(outcome, p):
    """Log-loss of each row; no chance counts as more sure than one in a million."""
    return -np.log(np.clip(np.where(outcome, p, 1 - p), 1e-6, None))
