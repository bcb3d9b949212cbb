"""Scorers that hand the list ids to ``predict`` and to the metric.

scikit-learn's `make_scorer` sends metadata to the metric alone, so that a model that
looks at a whole list would be scored on wrong lists without any error. These scorers
ask for ``groups``, pass them on, and refuse to score without.

>>> import sklearn
>>> from sklearn.linear_model import Ridge
>>> from sklearn.model_selection import GroupKFold, cross_validate
>>> from sklearn_rankformer import RankerAdapter
>>> from sklearn_rankformer.datasets import make_ranking
>>> from sklearn_rankformer.scoring import get_scorer
>>> X, y, groups = make_ranking(n_lists=40, context_strength=0, random_state=0)
>>> given = {"cv": GroupKFold(3), "params": {"groups": groups}}
>>> scoring = {name: get_scorer(name) for name in ("ndcg@10", "mrr")}
>>> with sklearn.config_context(enable_metadata_routing=True):
...     result = cross_validate(RankerAdapter(Ridge()), X, y, scoring=scoring, **given)
>>> result["test_ndcg@10"].shape, result["test_mrr"].shape
((3,), (3,))
"""

import difflib
import inspect
import re

from sklearn.utils.metadata_routing import UNCHANGED, MetadataRequest

from ._groups import check_groups
from ._mixin import RankerMixin, warn_cut_lists
from ._models import (
    group_column_of,
    model_and_its_input,
    predict_with_groups,
    ranker_of,
)
from .metrics import METRICS

__all__ = ["RankingScorer", "get_scorer", "get_scorer_names", "make_ranking_scorer"]


def get_scorer(name):
    """Return the scorer of a name such as ``"ndcg@10"``.

    Parameters
    ----------
    name : str
        One of `get_scorer_names`; all but ``"kendall_tau"`` may carry a cut-off, the
        number of positions that count: ``"map"``, ``"err@5"``, ``"precision@3"``.

    Returns
    -------
    scorer : RankingScorer
        The metric with its defaults, which `make_ranking_scorer` can change.

    Raises
    ------
    ValueError
        If no metric has this name, or the metric has no cut-off.

    Notes
    -----
    In a search or a cross-validation ``"err"`` takes the largest label of each fold for
    the top of the scale, so that folds without the best label count more. Name the top:
    ``make_ranking_scorer(expected_reciprocal_rank, max_label=4)``.

    Examples
    --------
    >>> from sklearn_rankformer.scoring import get_scorer
    >>> get_scorer("ndcg@10")
    make_ranking_scorer(ndcg_score, name='ndcg@10', k=10)
    """
    base, at, k = str(name).partition("@")
    if base not in METRICS:
        close = difflib.get_close_matches(base, METRICS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"No scorer is called {name!r}.{hint} {_names_text()}")
    if not at:
        return make_ranking_scorer(METRICS[base], name=name)
    has_k = "k" in inspect.signature(METRICS[base]).parameters
    # int() would also take "+5" and "1_0".
    if not has_k or not re.fullmatch("[1-9][0-9]*", k):
        raise ValueError(f"No scorer is called {name!r}. {_names_text()}")
    return make_ranking_scorer(METRICS[base], name=name, k=int(k))


def _names_text():
    names = ", ".join(map(repr, get_scorer_names()))
    return (
        f"Names are {names}; all but 'kendall_tau' may end in a cut-off of 1 and more, "
        f"such as 'ndcg@10'."
    )


def get_scorer_names():
    """Return the names that `get_scorer` knows, without cut-offs.

    Returns
    -------
    names : list of str
        Sorted names.
    """
    return sorted(METRICS)


def make_ranking_scorer(metric, *, name=None, check_lists=True, **kwargs):
    """Make a scorer of a ranking metric, for which greater is better.

    Parameters
    ----------
    metric : callable
        Called as ``metric(y_true, y_score, groups, **kwargs)``, with ``sample_weight``
        too when that is routed to the scorer; returns a float.
    name : str or None, default=None
        Name in messages; None takes the metric's.
    check_lists : bool, default=True
        Whether to warn in a cross-validation that cuts lists, see `CutListsWarning`.
    **kwargs
        Further arguments of the metric, such as ``k=10`` or ``gain="linear"``.

    Returns
    -------
    scorer : RankingScorer
        Callable as ``scorer(estimator, X, y, groups=groups)``.

    Raises
    ------
    TypeError
        If `metric` is not callable, or does not take what it would be given.
    ValueError
        If ``reduction="none"``, as a scorer returns one number.

    Examples
    --------
    >>> from sklearn_rankformer.metrics import ndcg_score
    >>> from sklearn_rankformer.scoring import make_ranking_scorer
    >>> make_ranking_scorer(ndcg_score, k=5, gain="linear")
    make_ranking_scorer(ndcg_score, k=5, gain='linear')
    """
    if not callable(metric):
        raise TypeError(
            f"metric must be a function, got {metric!r}. Scorers by name come from "
            f"get_scorer."
        )
    try:
        inspect.signature(metric).bind("y_true", "y_score", "groups", **kwargs)
    except TypeError as error:
        raise TypeError(
            f"metric cannot be called as metric(y_true, y_score, groups, **{kwargs}): "
            f"{error}."
        ) from error
    if kwargs.get("reduction") == "none":
        raise ValueError(
            "reduction='none' gives one value per list, but a scorer returns one "
            "number. Call the metric itself."
        )
    return RankingScorer(metric, name, kwargs, check_lists=check_lists)


def name_of(metric):
    """Return the name of a metric, such as of a function.

    Parameters
    ----------
    metric : callable
        Any.

    Returns
    -------
    name : str
        Of a callable without a name what Python shows.
    """
    return getattr(metric, "__name__", repr(metric))


class RankingScorer:
    """Scorer that knows about lists; made by `make_ranking_scorer` or `get_scorer`.

    Parameters
    ----------
    metric : callable
        Called as ``metric(y_true, y_score, groups, **kwargs)``.
    name : str or None
        Name in messages.
    kwargs : dict
        Further arguments of the metric.
    check_lists : bool, default=True
        Whether to warn in a cross-validation that cuts lists.
    """

    def __init__(self, metric, name, kwargs, *, check_lists=True):
        self.metric = metric
        self.name = name
        self.kwargs = kwargs
        self.check_lists = check_lists
        # Weights may be meant for fit alone: until the user says so, they raise.
        self._request = MetadataRequest(owner=repr(self))
        self._request.score.add_request(param="groups", alias=True)
        self._request.score.add_request(param="sample_weight", alias=None)

    def __repr__(self):
        """Return the call that makes this scorer."""
        arguments = {"name": self.name} if self.name else {}
        arguments |= {} if self.check_lists else {"check_lists": False}
        arguments |= self.kwargs
        given = "".join(f", {key}={value!r}" for key, value in arguments.items())
        return f"make_ranking_scorer({name_of(self.metric)}{given})"

    def __call__(self, estimator, X, y, groups=None, sample_weight=None):
        """Score the estimator's ranking of X.

        Parameters
        ----------
        estimator : estimator
            Fitted ranker or regressor, or a pipeline or search that ends in one.
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features.
        y : array-like of shape (n_rows,)
            Labels.
        groups : array-like of shape (n_rows,) or None, default=None
            List id of each row. None is for rankers whose ``group_column`` is set:
            the ids are then those in X.
        sample_weight : array-like of shape (n_rows,) or None, default=None
            Weight of each row's list in the mean.

        Returns
        -------
        score : float
            Value of the metric; greater is better.

        Raises
        ------
        ValueError
            If there are no groups, or the metric refuses its input.
        """
        # Pipelines and searches pass no groups to predict: the model itself is asked.
        model, X = model_and_its_input(estimator, X, groups)
        ids = self._groups_in(model, X) if groups is None else groups
        y_score = predict_with_groups(model, X, groups)
        # Only rankers keep what they were fitted on.
        if self.check_lists and isinstance(model, RankerMixin):
            warn_cut_lists(model, check_groups(ids, len(y_score)))
        # A metric of the user may know no sample_weight.
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        return self.metric(y, y_score, ids, **weight, **self.kwargs)

    def set_score_request(self, *, groups=UNCHANGED, sample_weight=UNCHANGED):
        """Set what metadata routing hands to the scorer, and under which name.

        Parameters
        ----------
        groups : bool, None or str, default=UNCHANGED
            As in scikit-learn; at first True. A string is another name of the
            metadata: ``groups="qid"``.
        sample_weight : bool, None or str, default=UNCHANGED
            At first None: weights that are passed raise until this is set to True
            (weigh the lists) or False (train with weights, score without).

        Returns
        -------
        self : RankingScorer
            The scorer.
        """
        for param, alias in {"groups": groups, "sample_weight": sample_weight}.items():
            if alias != UNCHANGED:
                self._request.score.add_request(param=param, alias=alias)
        return self

    def get_metadata_routing(self):
        """Return what the scorer asks for, for scikit-learn's metadata routing.

        Returns
        -------
        routing : MetadataRequest
            The requests.
        """
        return self._request

    def _accept_sample_weight(self):
        # Searches ask this of every scorer in a dict while routing is off.
        return True

    def _groups_in(self, model, X):
        if group_column_of(model) is not None:
            return ranker_of(model).get_groups(X)
        raise ValueError(
            f"{self.name or name_of(self.metric)} got no groups, so it cannot tell one "
            f"list from another. Call sklearn.set_config(enable_metadata_routing=True) "
            f"and pass groups, as in search.fit(X, y, groups=groups) or "
            f"cross_validate(..., params={{'groups': groups}}); or keep the list ids "
            f"in X and name their column to the ranker: group_column=..."
        )
