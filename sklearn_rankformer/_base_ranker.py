"""What both rankers share: everything but the network.

Check what the caller gives, decide what the network sees and learns, hand both to the
training loop, and turn rows into scores.
"""

import math
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import Bunch, assert_all_finite, check_random_state
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from . import _training as training
from ._batching import Features, ListDataset, cut_batches, make_targets
from ._checks import check_labels
from ._groups import resolve_groups
from ._input import (
    check_gains,
    find_levels,
    make_encoder,
    odd_columns,
)
from ._lists import rank_rows, split_lists
from ._losses import LOSSES
from ._mixin import RankerMixin
from ._network import InputMap
from ._warnings import warn_missing_groups
from .metrics import ndcg_score
from .preprocessing import TabularTransform

# Fewer lists than this are all trained on: a hold-out would be noise.
MIN_LISTS_TO_HOLD_OUT = 10


class NeuralRanker(RankerMixin, BaseEstimator):
    """What both rankers share: everything but the network."""

    module_: torch.nn.Module

    # With metadata routing on, pipelines and searches pass these without being asked.
    __metadata_request__fit = {
        "groups": True,
        "qid": True,
        "X_val": True,
        "y_val": True,
        "groups_val": True,
    }
    __metadata_request__partial_fit = {"groups": True, "qid": True}
    __metadata_request__predict = {"groups": True, "qid": True}
    __metadata_request__score = {"groups": True, "qid": True}

    _parameter_constraints: dict = {
        "loss": [StrOptions(set(LOSSES)), callable],
        "gain": [StrOptions({"exp", "linear"}), callable],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "feature_dropout": [Interval(Real, 0, 1, closed="left")],
        "n_bins": [Interval(Integral, 0, None, closed="left")],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "input_transform": [StrOptions({"quantile"}), None],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "group_column": [str, Integral, None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_items": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "device": [str, Hidden(torch.device)],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        groups=None,
        *,
        sample_weight=None,
        X_val=None,
        y_val=None,
        groups_val=None,
        qid=None,
    ):
        """Learn to rank the items of each list.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features of each item. They need no scaling; NaN means missing.
        y : array-like of shape (n_rows,)
            Label of each item: non-negative, higher is better.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, integers or strings, rows in any order. None takes
            all rows for one list, with a warning.
        sample_weight : array-like of shape (n_rows,), default=None
            Non-negative weight of each row. Within a list it weighs the item's part of
            the loss; a list weight is the same number on all rows of the list. A row
            of weight 0 stays in its list as context for the others, without loss.
        X_val, y_val, groups_val : array-likes, default=None
            Lists to measure each epoch on, instead of a part of the training lists. A
            search would slice an `X_val` that has exactly as many rows as X: give it
            another number of rows there.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        self : object
            The fitted ranker.

        Raises
        ------
        TypeError, ValueError
            If any argument is invalid; the message says which and how to mend it. A
            ranker that was fitted before stays as it was.
        """
        with _unchanged_on_error(self):
            keep = self.warm_start and hasattr(self, "module_")
            rows = self._check_training_rows(X, y, groups, qid, sample_weight, keep)
            held = self._check_validation_rows(X_val, y_val, groups_val)
            with self._seeded():
                if keep:  # a copy, so that a fit that fails leaves the weights alone
                    self.module_ = deepcopy(self.module_)
                else:
                    self._prepare(rows)
                self._learn(rows, held)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, groups=None, *, sample_weight=None, qid=None):
        """Train for one epoch on these lists.

        The first call fixes the input transform, the categories and the levels of list
        value. Nothing is held out, and the learning rate stays at `learning_rate`.

        Parameters
        ----------
        X, y, groups, sample_weight, qid
            As in `fit`.

        Returns
        -------
        self : object
            The ranker, one epoch further.
        """
        with _unchanged_on_error(self):
            first = not hasattr(self, "module_")
            rows = self._check_training_rows(
                X, y, groups, qid, sample_weight, keep=not first
            )
            with self._seeded():
                if first:
                    self._prepare(rows)
                else:  # a copy, with the parameters as they are now
                    self._rebuild(training.net_to_arrays(self.net_))
                everything = np.arange(rows.lists.n_lists)
                dataset = self._dataset(rows, everything)
                callbacks = _check_callbacks(self.callbacks)
                training.train(self.net_, dataset, 1, callbacks)
            self._record(None)
        return self

    def predict(self, X, groups=None, *, qid=None):
        """Score items: higher is better within a list.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features of each item.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, rows in any order.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        scores : ndarray of shape (n_rows,), float32
            One score per row, in the order of the rows given.

        Raises
        ------
        ValueError
            If the ranker was fitted with groups and gets none here.
        """
        X, lists = self._check_new_rows(X, groups, qid, "predict")
        return self._run(X, lists)[0]

    def rank(self, X, groups=None, k=None, *, qid=None):
        """Return row indices best first, list by list.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features of each item.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, rows in any order.
        k : int, default=None
            Keep at most this many rows of each list.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        rows : ndarray of shape (n_kept,), int64
            Row indices; lists in the order of ``np.unique(groups)``.
        """
        X, lists = self._check_new_rows(X, groups, qid, "rank")
        return rank_rows(self._run(X, lists)[0], lists, k)

    def score(self, X, y, groups=None, sample_weight=None, *, qid=None):
        """NDCG@10 of the predicted order, with the gain of the ranker.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features of each item.
        y : array-like of shape (n_rows,)
            Label of each item.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, rows in any order.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each list, the same number on all its rows.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        ndcg : float
            Mean over the lists that have a positive label; ties are averaged.
        """
        ids = resolve_groups(X, groups, qid, self.group_column)[1]
        y_score = self.predict(X, groups, qid=qid)
        if ids is None:
            warn_missing_groups(f"{type(self).__name__}.score")
            ids = np.zeros(len(y_score), dtype=np.int64)
        return ndcg_score(
            y, y_score, ids, k=10, sample_weight=sample_weight, gain=self.gain
        )

    def get_groups(self, X):
        """Return the list ids that X itself holds.

        Parameters
        ----------
        X : array-like or frame of shape (n_rows, n_columns)
            Rows with their list ids in the column `group_column`.

        Returns
        -------
        groups : ndarray of shape (n_rows,)
            List id of each row.

        Raises
        ------
        ValueError
            If `group_column` is not set.
        """
        if self.group_column is None:
            raise ValueError(
                f"{type(self).__name__} was given neither groups nor group_column. "
                f"Pass groups=..., or set group_column to the column of X that holds "
                f"the list ids."
            )
        return resolve_groups(X, group_column=self.group_column)[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = self.categorical_features is not None
        tags.input_tags.allow_nan = self.input_transform is not None
        return tags

    # Checking what the caller gives -------------------------------------------------

    def _check_training_rows(self, X, y, groups, qid, sample_weight, keep):
        X, groups = resolve_groups(X, groups, qid, self.group_column)
        X = self._check_X(X, reset=not keep)
        y = check_labels(y, "y")
        check_consistent_length(X, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        if not keep:
            self.fitted_with_groups_ = groups is not None
        if groups is None:
            warn_missing_groups(f"{type(self).__name__}.fit")
            groups = np.zeros(X.shape[0], dtype=np.int64)
        lists = split_lists(groups)
        if sample_weight is not None:
            # A list of zero weight throughout is the same as no list.
            weighty = lists.reduce(np.maximum, sample_weight)[lists.codes] > 0
            if not weighty.any():
                raise ValueError("sample_weight is zero on every row: nothing to fit.")
            if not weighty.all():
                X, y, sample_weight = X[weighty], y[weighty], sample_weight[weighty]
                lists = split_lists(groups[weighty])
        gains = check_gains(y, self.gain, lists)
        return Bunch(X=X, y=y, lists=lists, weight=sample_weight, gains=gains)

    def _check_validation_rows(self, X_val, y_val, groups_val):
        given = [X_val is not None, y_val is not None]
        if not any(given) and groups_val is None:
            return None
        if not all(given):
            raise ValueError("X_val and y_val must be given together, with groups_val.")
        X, groups = resolve_groups(
            X_val, groups_val, None, self.group_column, name="groups_val"
        )
        X = self._check_X(X, reset=False)
        y = check_labels(y_val, "y_val")
        check_consistent_length(X, y)
        if groups is None:
            if self.fitted_with_groups_:
                raise ValueError(
                    "groups_val is missing: give the list id of each row of X_val."
                )
            groups = np.zeros(X.shape[0], dtype=np.int64)
        lists = split_lists(groups)
        gains = check_gains(y, self.gain, lists)
        return Bunch(X=X, y=y, lists=lists, weight=None, gains=gains)

    def _check_new_rows(self, X, groups, qid, method):
        check_is_fitted(self, "module_")
        X, groups = resolve_groups(X, groups, qid, self.group_column)
        X = self._check_X(X, reset=False)
        if groups is None:
            if self.fitted_with_groups_ and self._needs_groups:
                raise ValueError(
                    f"{type(self).__name__} was fitted with groups, so {method} needs "
                    f"them too: an item's score depends on its list. Pass "
                    f"groups=... with one list id per row, or "
                    f"groups=np.zeros(len(X)) to rank all rows as one list."
                )
            groups = np.zeros(X.shape[0], dtype=np.int64)
        return X, split_lists(groups)

    def _check_X(self, X, reset):
        finite = "allow-nan" if self.input_transform is not None else True
        listed = not isinstance(self.categorical_features, str | None)
        if listed and not hasattr(X, "shape"):
            X = np.array(X, dtype=object)
        if reset:
            self.encoder_ = make_encoder(X, self.categorical_features)
        try:
            X = self._as_numbers(X, finite, reset)
        except (TypeError, ValueError) as error:
            odd = odd_columns(X, self.encoder_) if reset else ""
            if not odd:
                raise
            raise ValueError(
                f"X has columns that hold neither numbers nor categories: {odd}. Name "
                f"them in categorical_features, or leave them out. ({error})"
            ) from error
        if np.iscomplexobj(X):
            raise ValueError("Complex data not supported")
        if X.dtype.kind in "mM":
            raise TypeError(
                f"X has dtype {X.dtype}. Give times as numbers, such as days before "
                f"the search."
            )
        return X

    def _as_numbers(self, X, finite, reset):
        if self.encoder_ is None:
            X = validate_data(
                self,
                X,
                accept_sparse="csr",
                ensure_all_finite=finite,
                reset=reset,
            )
            # Of polars frames scikit-learn converts no text, nor refuses it.
            mixed = X.dtype == object
            return check_array(X, ensure_all_finite=finite) if mixed else X
        validate_data(self, X, skip_check_array=True, reset=reset)
        X = self.encoder_.fit_transform(X) if reset else self.encoder_.transform(X)
        X = check_array(X, ensure_all_finite="allow-nan")
        numbers = X[:, sum(self.encoder_.transformers[0][2]) :]
        assert_all_finite(numbers, allow_nan=finite == "allow-nan")
        return X

    # Learning -----------------------------------------------------------------------

    @contextmanager
    def _seeded(self):
        """Draw from a seed of our own, and leave torch's generator as it was."""
        self.device_ = _pick_device(self.device)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        seed = int(training.agreed(seed, self.device_))
        self.precision_ = _pick_precision(self.precision, self.device_)
        cuda = [self.device_] if self.device_.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            self._seed = seed
            yield

    def _prepare(self, rows):
        """Fix everything that does not change while training."""
        codes = None
        n_categories: tuple[int, ...] = ()
        if self.encoder_ is not None:
            found = self.encoder_.named_transformers_["categories"].categories_
            n_categories = tuple(len(c) + 1 for c in found)
            codes = np.arange(self.n_features_in_) < len(found)
        self.transform_ = TabularTransform(
            quantiles=self.input_transform is not None,
            categorical=codes,
            cardinalities=n_categories,
        ).fit(rows.X, np.random.RandomState(self._seed))
        self.levels_, self._level_starts = find_levels(_list_maxima(rows))
        self.module_ = self._make_network(n_thresholds=len(self.levels_) - 1)
        self.net_ = self._make_net()
        self._built_from = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in ("loss", "gain", "callbacks", "random_state")
        }

    def _make_net(self):
        return training.make_net(
            self.module_,
            item_loss=LOSSES.get(self.loss) or partial(_own_loss, self.loss),
            listwide_weight=getattr(self, "listwide_weight", 0.0),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_items=self.batch_items,
            device=self.device_,
            precision=self.precision_,
        )

    def _make_input_map(self, d_model, list_features):
        t = self.transform_
        return InputMap(
            self.n_members,
            len(t.numeric_),
            len(t.flagged_),
            t.cardinalities,
            d_model,
            n_bins=self.n_bins,
            list_features=list_features,
            feature_dropout=self.feature_dropout,
        )

    def _learn(self, rows, held):
        """Train to the end, on whole lists, watching the held-out ones."""
        chosen = np.arange(rows.lists.n_lists)
        watched = None
        if held is not None:
            watched = np.arange(held.lists.n_lists)
        elif self.early_stopping and len(chosen) >= MIN_LISTS_TO_HOLD_OUT:
            n_held = math.ceil(self.validation_fraction * len(chosen))
            drawn = np.random.default_rng(self._seed).permutation(chosen)
            watched, chosen = np.sort(drawn[:n_held]), np.sort(drawn[n_held:])
            held = rows
        if self.warm_start:
            self.net_ = self._make_net()
        lengths = rows.lists.lengths[chosen]
        n_batches = len(cut_batches(lengths, lengths, self.batch_items))
        callbacks = [training.Schedule(self.learning_rate, self.max_epochs, n_batches)]
        best = None
        if held is not None:
            best = self._watch(held, watched)
            callbacks.append(best)
        if self.verbose:
            callbacks.append(training.Progress())
        callbacks.extend(_check_callbacks(self.callbacks))
        dataset = self._dataset(rows, chosen)
        dataset.recipe = {
            "parameters": self.get_params(deep=False),
            "rows": rows,
            "held": held if held is not rows else None,
        }
        training.train(self.net_, dataset, self.max_epochs, callbacks)
        self._record(best)

    def _dataset(self, rows, chosen):
        targets = make_targets(
            rows.gains,
            self._to_level(_list_maxima(rows)),
            rows.weight,
            rows.lists,
            chosen,
            self.batch_items,
            self.device_,
        )
        features = self._features(rows)
        return ListDataset(features, rows.lists, targets, chosen, self._seed)

    def _features(self, rows):
        """Transformed rows, made once for training and hold-out alike."""
        if "features" not in rows:
            rows.features = Features(
                rows.X,
                self.transform_.transform,
                self.transform_.n_columns,
                self.device_,
            )
        return rows.features

    def _watch(self, held, watched):
        """Measure NDCG@10 on the watched lists, or the loss if none has a positive."""
        rows = held.lists.rows(watched)
        if held.y[rows].max() > 0:
            monitor, measure = "valid_ndcg", partial(self._watched_ndcg, held, watched)
        else:
            dataset = self._dataset(held, watched)
            monitor = "valid_loss"
            measure = partial(
                training.measure_loss, self.net_.criterion_, dataset, self.precision_
            )
        self._features(held)
        patience = self.n_iter_no_change if self.early_stopping else None
        return training.KeepBest(measure, monitor, patience)

    def _watched_ndcg(self, held, watched, module):
        scores, _ = training.predict_lists(
            module, held.features, held.lists, watched, self.precision_
        )
        rows = held.lists.rows(watched)
        return ndcg_score(
            held.y[rows],
            scores[rows],
            held.lists.codes[rows],
            k=10,
            gain=self.gain,
            reduction="none",
        ).value

    def _record(self, best):
        """Tell the user how training went."""
        history = self.net_.history
        known = ("epoch", "train_loss", "valid_ndcg", "valid_loss", "dur")
        self.history_ = [
            {k: epoch[k] for k in known if k in epoch} for epoch in history
        ]
        self.n_iter_ = len(history)
        self.best_epoch_ = self.best_score_ = None
        if best is not None:
            self.best_epoch_ = best.kept + 1
            self.best_score_ = float(history[best.kept, best.monitor])

    # Copying and storing ------------------------------------------------------------

    def __getstate__(self):
        """Return the attributes, with arrays in place of what belongs to torch.

        So a pickle made on one device loads on any other, and skops.io can store it.
        """
        state = dict(super().__getstate__())
        if "net_" in state:
            del state["module_"], state["device_"]
            state["net_"] = training.net_to_arrays(self.net_)
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "net_" in state:
            self._rebuild(state["net_"])

    def _rebuild(self, arrays):
        """Make the network that was fitted, and fill it with its arrays."""
        self.device_ = _usable_device(self.device)
        self.precision_ = _pick_precision(self.precision, self.device_)
        as_fitted = type(self)(**self._built_from)
        as_fitted.transform_ = self.transform_
        with torch.random.fork_rng(devices=[]):
            self.module_ = as_fitted._make_network(n_thresholds=len(self.levels_) - 1)
        self.net_ = self._make_net()
        training.net_from_arrays(self.net_, arrays)
        self.net_.history = training.make_history(self.history_)

    # Predicting ---------------------------------------------------------------------

    def _run(self, X, lists):
        features = Features(
            X, self.transform_.transform, self.transform_.n_columns, self.device_
        )
        everything = np.arange(lists.n_lists)
        return training.predict_lists(
            self.module_, features, lists, everything, self.precision_
        )

    def _to_level(self, maxima):
        level = np.searchsorted(self._level_starts, maxima, side="right") - 1
        return np.maximum(level, 0)


@contextmanager
def _unchanged_on_error(estimator):
    """Put all attributes back if anything goes wrong in between."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _list_maxima(rows):
    """Highest label of each list, among its rows that have weight."""
    counted = rows.y if rows.weight is None else rows.y * (rows.weight > 0)
    return rows.lists.reduce(np.maximum, counted)


def _check_callbacks(callbacks):
    callbacks = list(callbacks or ())
    for callback in callbacks:
        if not isinstance(callback, training.Callback):
            raise TypeError(
                f"callbacks must hold instances of skorch's Callback, got {callback!r}."
            )
    return callbacks


def _own_loss(loss, scores, gains, mask, weights):
    """Call the user's loss, and see that it tells one list from another."""
    per_list = loss(scores, gains, mask, weights)
    if getattr(per_list, "shape", None) != scores.shape[:1]:
        got = getattr(per_list, "shape", None) or type(per_list).__name__
        raise ValueError(
            f"loss must return one loss per list, a tensor of shape "
            f"({len(scores)},), got {got}."
        )
    return per_list


def _pick_device(device):
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device={device!r} is no torch device. Use 'auto', 'cpu', 'cuda', "
            f"'cuda:1' or 'mps'."
        ) from error


def _usable_device(device):
    """The device wished for, or the best there is on this machine."""
    device = _pick_device(device)
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError):
        return _pick_device("auto")
    return device


def _pick_precision(precision, device):
    if precision != "auto":
        return precision
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return "bfloat16" if fast else "float32"
