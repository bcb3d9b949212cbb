"""The estimators: `RankFormerRanker`, and the pointwise `MLPRanker` beside it.

They check what the caller gives, decide what the network sees and learns, and hand both
to the training loop. All of that is shared; the two classes differ in their network.
"""

import math
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.utils import Bunch, assert_all_finite, check_random_state
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from . import _training as training
from ._batching import Features, ListDataset, cut_batches, make_targets
from ._groups import rank_rows, resolve_groups, split_lists, warn_missing_groups
from ._losses import LOSSES
from ._network import MLP, InputMap, RankFormer
from .metrics import _gains, ndcg_score
from .preprocessing import TabularTransform

# Fewer lists than this are all trained on: a hold-out would be noise.
MIN_LISTS_TO_HOLD_OUT = 10

# How the names of the dtypes begin that are numbers to scikit-learn.
NUMERIC_KINDS = ("int", "uint", "float", "bool", "decimal", "sparse")

# More distinct list values than this are binned by their quantiles.
MAX_LEVELS = 32


class _NeuralRanker(BaseEstimator):
    """What both rankers share: everything but the network."""

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
        y = _check_labels(y, "y")
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
        gains = _check_gains(y, self.gain, lists)
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
        y = _check_labels(y_val, "y_val")
        check_consistent_length(X, y)
        if groups is None:
            if self.fitted_with_groups_:
                raise ValueError(
                    "groups_val is missing: give the list id of each row of X_val."
                )
            groups = np.zeros(X.shape[0], dtype=np.int64)
        lists = split_lists(groups)
        gains = _check_gains(y, self.gain, lists)
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
            self.encoder_ = _make_encoder(X, self.categorical_features)
        try:
            X = self._as_numbers(X, finite, reset)
        except (TypeError, ValueError) as error:
            odd = _odd_columns(X, self.encoder_) if reset else ""
            if not odd:
                raise
            raise ValueError(
                f"X has columns that hold neither numbers nor categories: {odd}. Name "
                f"them in categorical_features, or leave them out. ({error})"
            ) from error
        if np.iscomplexobj(X):
            raise ValueError("Complex data not supported")
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
        codes, n_categories = None, ()
        if self.encoder_ is not None:
            found = self.encoder_.named_transformers_["categories"].categories_
            n_categories = tuple(len(c) + 1 for c in found)
            codes = np.arange(self.n_features_in_) < len(found)
        self.transform_ = TabularTransform(
            quantiles=self.input_transform is not None,
            categorical=codes,
            cardinalities=n_categories,
        ).fit(rows.X, np.random.RandomState(self._seed))
        counted = rows.y if rows.weight is None else rows.y * (rows.weight > 0)
        self.levels_, self._level_starts = _find_levels(
            rows.lists.reduce(np.maximum, counted)
        )
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
        highest = rows.lists.reduce(
            np.maximum, rows.y if rows.weight is None else rows.y * (rows.weight > 0)
        )
        targets = make_targets(
            rows.gains,
            self._to_level(highest),
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


def _has_list_value(ranker):
    if ranker.listwide_weight == 0:
        raise AttributeError(
            "predict_list_value needs the listwide head, which listwide_weight=0 "
            "leaves out. Fit with listwide_weight > 0."
        )
    return True


class RankFormerRanker(_NeuralRanker):
    """Listwise transformer ranker that also learns from whole lists.

    The items of a list and a [CLS] token attend to one another; each item is scored
    from its own vector and the list's. Besides the listwise loss on the order of the
    items, a listwide loss on the list's highest label lets lists teach that have no
    positive label at all, which no purely relative loss can use [1]_.

    Parameters
    ----------
    loss : {"mixed", "softmax", "lambda"} or callable, default="mixed"
        Listwise loss: cross-entropy of the softmax of the scores, LambdaRank pairs
        weighed by NDCG, or the first plus half of the second. A callable takes tensors
        ``(scores, gains, mask, weights)`` of shape (n_lists, list_size) and returns
        one loss per list.
    gain : {"exp", "linear"} or callable, default="exp"
        What a label is worth, in the loss and in NDCG: ``2**y - 1``, ``y``, or any
        function of an array of labels to non-negative numbers.
    listwide_weight : float, default=0.25
        Factor of the listwide loss. 0 switches it and its head off.
    d_model : int, default=64
        Width of the item vectors; a multiple of `nhead`.
    num_layers : int, default=2
        Number of transformer blocks.
    nhead : int, default=4
        Number of attention heads.
    dim_feedforward : int, default=128
        Hidden width of each block's pointwise part.
    dropout : float, default=0.3
        Dropout rate within blocks and heads.
    feature_dropout : float, default=0.1
        Chance that a feature of an item is hidden in a training step.
    n_bins : int, default=8
        Bins of the piecewise-linear encoding of numeric features; 0 turns it off.
    list_features : bool, default=True
        Whether each feature is also given standardised within its list.
    n_members : int, default=2
        Independent copies of the network, trained together and averaged.
    input_transform : {"quantile"} or None, default="quantile"
        Built-in transform of numeric features to normal scores, with flags for missing
        values. None takes features as they are: then scale them yourself, and NaN is
        refused.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which columns hold categories, to be given learned embeddings: those of
        categorical dtype in a frame, a list of names, of indices or a boolean mask
        (both without the `group_column`), or none. Categories unknown or missing at
        prediction share one embedding.
    group_column : str or int, default=None
        Column of X that holds the list ids (name for frames, index for arrays). It
        makes every tool of scikit-learn work without metadata routing.
    learning_rate : float, default=3e-3
        Peak learning rate of AdamW, after a warm-up; a cosine takes it to zero.
    weight_decay : float, default=0.01
        Weight decay of AdamW.
    max_epochs : int, default=15
        Planned number of passes over the lists.
    batch_items : int, default=1024
        Most items, padding included, in a batch of lists of similar length.
    early_stopping : bool, default=True
        Whether to hold out lists (none if there are fewer than 10) and measure NDCG@10
        on them after each epoch. The weights of the best epoch are restored if they
        beat the last ones beyond noise (two standard errors of the paired
        difference), or if training stopped before its planned end.
    validation_fraction : float, default=0.1
        Share of the lists to hold out, unless `fit` is given `X_val`.
    n_iter_no_change : int or None, default=10
        Stop after this many epochs without a better one; None never stops early.
    warm_start : bool, default=False
        Whether a further call of `fit` goes on from the weights reached.
    callbacks : list of skorch callbacks, default=None
        Run during training, after the ranker's own.
    device : str, default="auto"
        Where to run: "auto" takes CUDA, else MPS, else the CPU; or a torch device.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" takes bfloat16 where the device is fast at it.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random. The same seed gives the same bits on a CPU with the
        same number of threads. torch's global generator is left untouched.
    verbose : int, default=0
        1 shows a progress bar with the held-out NDCG.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a frame with names of type str.
    levels_ : ndarray of shape (n_levels,)
        Distinct values of a list (its highest label) seen by `fit`; means of quantile
        bins if there are more than 32.
    module_ : torch.nn.Module
        The network.
    net_ : skorch.NeuralNet
        Its training loop.
    transform_ : object
        The input transform.
    device_ : torch.device
        Where the network runs.
    history_ : list of dict
        One entry an epoch: ``epoch``, ``train_loss``, ``valid_ndcg`` or
        ``valid_loss``, and ``dur`` in seconds.
    n_iter_ : int
        Number of epochs run.
    best_epoch_, best_score_ : int and float, or None
        The epoch whose weights were kept, from 1, and what it measured.
    fitted_with_groups_ : bool
        Whether `fit` was given list ids.

    See Also
    --------
    MLPRanker : The pointwise network, without context.
    RankerAdapter : GBDT rankers behind the same interface.

    References
    ----------
    .. [1] Buyl, Missault and Sondag, "RankFormer: Listwise Learning-to-Rank Using
       Listwide Labels", KDD 2023, https://doi.org/10.1145/3580305.3599892

    Examples
    --------
    >>> from sklearn_rankformer import RankFormerRanker
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=60, random_state=0)
    >>> ranker = RankFormerRanker(max_epochs=3, random_state=0)
    >>> ranker.fit(X, y, groups=groups).predict(X, groups=groups).shape == y.shape
    True
    """

    _needs_groups = True

    _parameter_constraints: dict = {
        **_NeuralRanker._parameter_constraints,
        "listwide_weight": [Interval(Real, 0, None, closed="left")],
        "d_model": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "nhead": [Interval(Integral, 1, None, closed="left")],
        "dim_feedforward": [Interval(Integral, 1, None, closed="left")],
        "list_features": ["boolean"],
    }

    def __init__(
        self,
        *,
        loss="mixed",
        gain="exp",
        listwide_weight=0.25,
        d_model=64,
        num_layers=2,
        nhead=4,
        dim_feedforward=128,
        dropout=0.3,
        feature_dropout=0.1,
        n_bins=8,
        list_features=True,
        n_members=2,
        input_transform="quantile",
        categorical_features="from_dtype",
        group_column=None,
        learning_rate=3e-3,
        weight_decay=0.01,
        max_epochs=15,
        batch_items=1024,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        callbacks=None,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.loss = loss
        self.gain = gain
        self.listwide_weight = listwide_weight
        self.d_model = d_model
        self.num_layers = num_layers
        self.nhead = nhead
        self.dim_feedforward = dim_feedforward
        self.dropout = dropout
        self.feature_dropout = feature_dropout
        self.n_bins = n_bins
        self.list_features = list_features
        self.n_members = n_members
        self.input_transform = input_transform
        self.categorical_features = categorical_features
        self.group_column = group_column
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_items = batch_items
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @available_if(_has_list_value)
    def predict_list_value(self, X, groups=None, *, qid=None):
        """Predict what each list is worth: the highest label it holds.

        Scores only order the items of one list; they say nothing about whether the
        list is any good. This does: it is an absolute judgement, comparable between
        lists, learnt from all lists, those without a positive label included.

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
        result : Bunch
            ``groups``, ndarray of shape (n_lists,): the list ids, in the order of
            ``np.unique``; ``proba``, ndarray of shape (n_lists, n_levels): chance that
            the list's highest label is each of ``levels_``; ``value``, ndarray of shape
            (n_lists,): the expected one, ``proba @ levels_``.

        Raises
        ------
        AttributeError
            At ``listwide_weight=0``, which leaves the listwide head out.

        Notes
        -----
        The head gives :math:`P(t > k)` for each level but the last, as independent
        thresholds (RankFormer paper, section 4). They are made to fall with rising
        levels by a running minimum before their differences are taken, so that no
        probability is negative.
        """
        X, lists = self._check_new_rows(X, groups, qid, "predict_list_value")
        above = self._run(X, lists)[1]
        if above is None:  # all training lists had one value
            above = np.empty((lists.n_lists, 0), dtype=np.float32)
        above = np.minimum.accumulate(above.astype(np.float64), axis=1)
        proba = -np.diff(above, axis=1, prepend=1.0, append=0.0)
        return Bunch(groups=lists.ids, proba=proba, value=proba @ self.levels_)

    def _make_network(self, n_thresholds):
        if self.d_model % self.nhead:
            raise ValueError(
                f"d_model={self.d_model} must be a multiple of nhead={self.nhead}."
            )
        return RankFormer(
            self._make_input_map(self.d_model, self.list_features),
            n_members=self.n_members,
            d_model=self.d_model,
            num_layers=self.num_layers,
            nhead=self.nhead,
            dim_feedforward=self.dim_feedforward,
            dropout=self.dropout,
            n_thresholds=n_thresholds if self.listwide_weight else 0,
        )


class MLPRanker(_NeuralRanker):
    """Pointwise network ranker: the neural baseline without context.

    Every item is scored by itself, so `predict` needs no groups; the loss is listwise
    as in `RankFormerRanker`, with which it shares everything but the network
    (RankFormer paper, section 5).

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(128, 64)
        Width of each hidden layer.
    loss, gain
        As in `RankFormerRanker`.
    dropout, feature_dropout, n_bins, n_members
        As in `RankFormerRanker`.
    input_transform, categorical_features, group_column
        As in `RankFormerRanker`.
    learning_rate, weight_decay, max_epochs, batch_items
        As in `RankFormerRanker`.
    early_stopping, validation_fraction, n_iter_no_change, warm_start, callbacks
        As in `RankFormerRanker`.
    device, precision, random_state, verbose
        As in `RankFormerRanker`.

    Attributes
    ----------
    n_features_in_, feature_names_in_, levels_, module_, net_, transform_, device_
        As in `RankFormerRanker`.
    history_, n_iter_, best_epoch_, best_score_, fitted_with_groups_
        As in `RankFormerRanker`.

    See Also
    --------
    RankFormerRanker : The listwise transformer.

    Examples
    --------
    >>> from sklearn_rankformer import MLPRanker
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=60, random_state=0)
    >>> ranker = MLPRanker(max_epochs=3, random_state=0).fit(X, y, groups=groups)
    >>> ranker.predict(X).shape == y.shape
    True
    """

    _needs_groups = False

    _parameter_constraints: dict = {
        **_NeuralRanker._parameter_constraints,
        "hidden_layer_sizes": ["array-like"],
    }

    def __init__(
        self,
        *,
        hidden_layer_sizes=(128, 64),
        loss="mixed",
        gain="exp",
        dropout=0.3,
        feature_dropout=0.1,
        n_bins=8,
        n_members=2,
        input_transform="quantile",
        categorical_features="from_dtype",
        group_column=None,
        learning_rate=3e-3,
        weight_decay=0.01,
        max_epochs=15,
        batch_items=1024,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        callbacks=None,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.loss = loss
        self.gain = gain
        self.dropout = dropout
        self.feature_dropout = feature_dropout
        self.n_bins = n_bins
        self.n_members = n_members
        self.input_transform = input_transform
        self.categorical_features = categorical_features
        self.group_column = group_column
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_items = batch_items
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _make_network(self, n_thresholds):
        sizes = tuple(self.hidden_layer_sizes)
        if not sizes or not all(isinstance(n, Integral) and n > 0 for n in sizes):
            raise ValueError(
                f"hidden_layer_sizes must hold positive integers, got {sizes!r}."
            )
        return MLP(
            self._make_input_map(sizes[0], list_features=False),
            n_members=self.n_members,
            hidden_sizes=sizes,
            dropout=self.dropout,
        )


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


def _check_labels(y, name):
    y = column_or_1d(y, warn=True)
    if y.dtype.kind not in "biuf":
        try:
            if y.dtype.kind in "mM":
                raise TypeError("dates are no labels")
            y = y.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must hold numbers, 0 for not relevant and higher for better; "
                f"got dtype {y.dtype}. Map your labels to numbers first."
            ) from error
    check_array(y, ensure_2d=False, input_name=name, dtype=None)
    if len(y) and y.min() < 0:
        raise ValueError(
            f"{name} must not be negative, got {y.min()}. 0 means not relevant; shift "
            f"your labels."
        )
    return y.astype(np.float64)


def _check_gains(y, gain, lists):
    """Gain of each label; their sum over any list must fit into float32."""
    gains = _gains(y, gain)
    with np.errstate(over="ignore"):
        most = lists.reduce(np.add, gains).max(initial=0.0)
    if not most < np.finfo(np.float32).max:
        raise ValueError(
            f"The exponential gain of labels as high as {y.max():g} overflows. Set "
            f'gain="linear", or map the labels to smaller ones.'
        )
    return gains


def _find_levels(maxima):
    """Distinct list values, or means of quantile bins, and where each level starts."""
    starts = np.unique(maxima)
    if len(starts) > MAX_LEVELS:
        starts = np.unique(
            np.quantile(maxima, np.arange(MAX_LEVELS) / MAX_LEVELS, method="lower")
        )
    level = np.searchsorted(starts, maxima, side="right") - 1
    levels = np.bincount(level, weights=maxima) / np.bincount(level)
    return levels, starts


def _make_encoder(X, categorical_features):
    """Turn categorical columns into codes, placed before all others; None if none."""
    mask = _categorical_mask(X, categorical_features)
    if not mask.any():
        return None
    if issparse(X):
        raise TypeError(
            "categorical_features needs a dense X, got a sparse matrix. Encode the "
            "categories as columns of 0 and 1, or give a frame or X.toarray()."
        )
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
    )
    # Frames with nullable columns are not numbers before they are cast.
    numbers = FunctionTransformer(
        check_array, kw_args={"ensure_all_finite": "allow-nan"}
    )
    return ColumnTransformer([("categories", codes, mask), ("numbers", numbers, ~mask)])


def _odd_columns(X, encoder):
    """Columns of a frame that are neither numeric nor encoded, as a text."""
    if not hasattr(X, "columns"):
        return ""
    coded = (
        np.zeros(X.shape[1], bool) if encoder is None else encoder.transformers[0][2]
    )
    kinds = [str(kind) for kind in X.dtypes]
    return ", ".join(
        f"{name!r} ({kind})"
        for name, kind, is_coded in zip(X.columns, kinds, coded, strict=True)
        if not is_coded and not kind.lower().startswith(NUMERIC_KINDS)
    )


def _categorical_mask(X, categorical_features):
    n_columns = X.shape[1] if hasattr(X, "shape") and len(X.shape) == 2 else 0
    mask = np.zeros(n_columns, dtype=bool)
    if categorical_features is None:
        return mask
    if isinstance(categorical_features, str):
        if not hasattr(X, "columns"):
            return mask
        kinds = X.dtypes.values if hasattr(X, "iloc") else X.dtypes
        return np.array([str(k).lower().startswith(("categ", "enum")) for k in kinds])
    wanted = np.asarray(categorical_features)
    if wanted.dtype == bool:
        if wanted.shape != mask.shape:
            raise ValueError(
                f"categorical_features is a boolean mask of {wanted.size} entries, but "
                f"X has {n_columns} columns without the group_column."
            )
        return wanted
    names = list(X.columns) if hasattr(X, "columns") else []
    for column in wanted.tolist():
        if column in names:
            mask[names.index(column)] = True
        elif isinstance(column, int) and -n_columns <= column < n_columns:
            mask[column] = True
        else:
            raise ValueError(
                f"categorical_features names the column {column!r}, which X does not "
                f"have. Give names of a frame's columns, indices, or a boolean mask of "
                f"{n_columns} entries."
            )
    return mask


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
