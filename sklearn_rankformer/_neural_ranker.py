"""What both rankers share as scikit-learn estimators: the border around `_fit`.

`fit` checks what the caller gives, hands rows and plain configs to `_fit`, and alone
assigns what comes back. Predicting reads one attribute, the model, so that threads that
predict while another fits get the answers of the old model or of the new one.
"""

import copy
from dataclasses import asdict, dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data
from skorch.callbacks import Callback, LRScheduler

from ._auto import (
    EPOCHS,
    MORE_EPOCHS,
    Rates,
    auto_batch_items,
    auto_rates,
    longer_steps,
)
from ._categories import Categories, chosen_mask, find_categories, odd_columns
from ._checks import (
    check_labels,
    check_length,
    check_weights,
    refuse_without_X,
    warn_no_order,
)
from ._columns import Columns, learn_columns
from ._config import InputConfig, NetworkConfig, config_from_dict
from ._device import check_device, pick_device, pick_precision, usable_device
from ._fit import Result, start, train_model, train_one_epoch
from ._groups import refuse_foreign_names, resolve_groups, resolve_other_rows
from ._inference import predict_items
from ._lists import digest_lists, lists_of
from ._losses import LOSSES, pick_loss
from ._mixin import RankerMixin
from ._model import Model, model_from_arrays, model_to_arrays
from ._positions import read_positions
from ._processes import Peers, agreed, everyone, joined
from ._rows import Levels, Rows, digest_arrays, find_levels, in_weighed_lists, make_rows
from ._shards import Given, read_shard, refuse_beside
from ._tables import reading, refuse_empty_table, two_dimensional, without_numbers
from ._training import TrainingConfig
from ._warnings import warn_missing_groups, warn_user
from .datasets import ParquetLists


@dataclass(frozen=True)
class _Checked:
    """What the caller gave to learn from, checked.

    Attributes
    ----------
    rows : Rows
        The rows.
    categories : Categories
        Those found in them, or found before.
    positions : Categories or None
        Shown positions, likewise.
    digest : ndarray or None
        By which the lists are known again; None where no ids were given.
    """

    rows: Rows
    categories: Categories
    positions: Categories | None
    digest: np.ndarray | None


class NeuralRanker(RankerMixin, BaseEstimator):
    """What both rankers share: everything but the network and its parameters.

    A subclass says in `_network_config` which network it wants, and in `_needs_groups`
    whether an item's score depends on its list.
    """

    _needs_groups: bool
    _config_kind: type[NetworkConfig]

    # With metadata routing on, pipelines and searches pass these without being asked.
    __metadata_request__fit = {
        "qid": True,
        "position": True,
        "X_val": True,
        "y_val": True,
        "groups_val": True,
    }
    __metadata_request__partial_fit = {"groups": True, "qid": True, "position": True}
    __metadata_request__predict = {"qid": True}

    _parameter_constraints: dict = {
        "loss": [StrOptions(set(LOSSES)), callable],
        "gain": [StrOptions({"exp", "linear"}), callable],
        "dropout": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "feature_dropout": [
            StrOptions({"auto"}),
            Interval(Real, 0, 1, closed="left"),
        ],
        "n_bins": [Interval(Integral, 0, None, closed="left")],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "input_transform": [StrOptions({"quantile"}), None],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "group_column": [str, Integral, None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "batch_items": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "device": [str, Hidden(torch.device)],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @refuse_foreign_names
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y=None,
        groups=None,
        *,
        sample_weight=None,
        position=None,
        X_val=None,
        y_val=None,
        groups_val=None,
        qid=None,
    ):
        """Learn to rank the items of each list.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features of each item. They need no scaling; NaN means missing. Or
            `datasets.ParquetLists`: files that hold all of the following as columns,
            and of which each of several processes reads its own part.
        y : array-like of shape (n_rows,)
            Label of each item: non-negative, higher is better.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, integers or strings, rows in any order. None takes
            all rows for one list, with a warning.
        sample_weight : array-like of shape (n_rows,), default=None
            Non-negative weight of each row. Within a list it weighs the item's part of
            the loss; a list weight is the same number on all rows of the list. A row
            of weight 0 stays in its list as context for the others, without loss.
        position : array-like of shape (n_rows,), default=None
            Where each item was shown when its label was logged: its place, or any
            column of few values that drew attention, such as device and place. What
            it adds to the clicks is learned beside what items are worth, and `predict`
            leaves it out.
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
            If any argument is invalid; the message says which and how to fix it. A
            ranker that was fitted before stays as it was.
        KeyboardInterrupt
            If the user interrupts it, once the best weights so far are in place: the
            ranker is fitted then, and loops around it end. One of several processes
            that train together raises it at once, and its ranker stays as it was.
        """
        beside = {
            "y": y,
            "groups": groups,
            "qid": qid,
            "sample_weight": sample_weight,
            "position": position,
        }
        validation = X_val, y_val, groups_val
        if not isinstance(X, ParquetLists):
            return self._fit_given(Given(X, **beside), *validation)
        refuse_beside(beside, self.group_column)
        with joined(pick_device(self.device)):
            peers = everyone()
            self._refuse_other_rankers(peers)  # before hours of reading
            given = read_shard(X, self._categories_in_files(), peers)
            return self._fit_given(given, *validation)

    def _fit_given(self, given, X_val, y_val, groups_val):
        new = copy.copy(self)
        again = self.warm_start and hasattr(self, "_model")
        peers = given.peers
        with peers.all_or_none():
            check_device(self.device)
            checked = new._check_rows(given, again, "fit")
            # A ranker that goes on keeps to the way in which it learned lists.
            if not again:
                new.fitted_with_groups_ = checked.digest is not None
            held = new._check_held_rows(X_val, y_val, groups_val, checked.categories)
        config = self._training_config(checked.rows)
        if not peers.most(checked.rows.n_differing_lists):
            warn_no_order(checked.rows.y, checked.rows.lists)
        elif not peers.most(checked.rows.n_ordered_lists):
            warn_user(
                f"Labels differ within lists, but their gains do not, or only in rows "
                f"of zero weight, so there is no order to learn. Change "
                f"gain={self.gain!r}, or sample_weight."
            )
        if again:
            # Trials start from nothing, so they say nothing of training that goes on.
            config = replace(config, more_epochs=())
        model = self._model if again else self._start(checked, config)
        result = train_model(model, checked.rows, held, config)
        new.trained_lists_ = _joined_digest(checked.digest, peers)
        return self._become(new, result, config)

    @refuse_foreign_names
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X, y, groups=None, *, sample_weight=None, position=None, qid=None
    ):
        """Train for one epoch on these lists.

        The first call fixes the input transform, the categories and the levels of list
        value: it should hold lists of each value, or later calls warn. Nothing is held
        out, and the learning rate stays at `learning_rate`.

        Parameters
        ----------
        X, y, groups, sample_weight, position, qid
            As in `fit`; a position that the first call did not hold adds nothing.

        Returns
        -------
        self : object
            The ranker, one epoch further.

        Raises
        ------
        TypeError, ValueError
            If any argument is invalid, or X has other features than in the first call.
            The ranker then stays as it was.
        """
        new = copy.copy(self)
        again = hasattr(self, "_model")
        check_device(self.device)
        given = Given(X, y, groups, qid, sample_weight, position)
        checked = new._check_rows(given, again, "partial_fit")
        config = self._training_config(checked.rows)
        if not again:
            new.fitted_with_groups_ = checked.digest is not None
        model = self._model if again else self._start(checked, config)
        history = self.history_ if again else []
        result = train_one_epoch(model, checked.rows, history, config)
        new.trained_lists_ = None  # of the many parts only the last would be known
        return self._become(new, result, config)

    @refuse_foreign_names
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
        X, lists, model = self._check_new_rows(X, groups, qid, "predict")
        return model.predict(X, lists, values=False).scores

    @property
    def module_(self):
        """The network."""
        return self._model.module

    @property
    def device_(self):
        """Where the network runs."""
        return self._model.device

    @property
    def precision_(self):
        """In which precision the network runs."""
        return self._model.precision

    @property
    def dropout_(self):
        """Dropout rate of the network."""
        return self._model.config.dropout

    @property
    def feature_dropout_(self):
        """Chance that a feature of an item was hidden in a training step."""
        return self._model.config.inputs.feature_dropout

    @property
    def positions_(self):
        """Positions seen by `fit`, in the order of `position_bias_`."""
        if self._model.positions is None:
            raise AttributeError("positions_ needs a fit with position.")
        return np.array(self._model.positions.known[0])

    @property
    def position_bias_(self):
        """What each position adds to a score, up to a constant."""
        bias = self._model.position_bias()
        if bias is None:
            raise AttributeError("position_bias_ needs a fit with position.")
        return bias - bias.mean()

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_model")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = self.categorical_features is not None
        tags.input_tags.allow_nan = self.input_transform is not None
        return tags

    # Checking what the caller gives -------------------------------------------------

    def _check_rows(self, given: Given, again: bool, method: str) -> _Checked:
        """Rows to learn from; `again` holds them against the columns seen before."""
        categories = self._model.columns.categories if again else given.categories
        positions = self._model.positions if again else given.positions
        X, ids = resolve_groups(given.X, given.groups, given.qid, self.group_column)
        lists = lists_of(ids, _num_samples(X))
        weight = check_weights(given.sample_weight, lists)
        # What occurs in lists of zero weight alone is as if it were not there.
        counted = None if weight is None else in_weighed_lists(lists, weight)
        X = self._check_columns(X, first=not again)
        if again:
            self._refuse_another_network(X)
        if categories is None:
            with reading("X"):
                categories = find_categories(X, self.categorical_features, counted)
        allow_nan = self.input_transform is not None
        X = self._encode(X, categories, allow_nan=allow_nan, first=not again)
        y = check_labels(given.y, "y")
        check_length(y, "y", X.shape[0])
        if ids is None:
            warn_missing_groups(self, method)
        digest = None if ids is None else digest_lists(lists)
        positions, codes = read_positions(
            given.position, len(y), positions, again, counted
        )
        rows = make_rows(
            X,
            y,
            lists,
            weight,
            self.gain,
            position=codes,
            heaviest=given.heaviest,
            peers=given.peers,
        )
        if again and self._model.has_list_value:
            _warn_of_new_values(self._model.levels, rows.list_values)
        return _Checked(rows, categories, positions, digest)

    def _categories_in_files(self):
        """What says which columns of files hold categories.

        Where training goes on, those are known: a file that does not say so would have
        its long integers rounded to numbers of float32.
        """
        names = getattr(self, "feature_names_in_", None)
        if names is None or not (self.warm_start and hasattr(self, "_model")):
            return self.categorical_features
        return names[self._model.columns.categories.mask].tolist()

    def _refuse_another_network(self, X):
        """Refuse parameters that the network to be trained on was not made with."""
        model = self._model
        made = model.config
        rates = self._rates(Rates(made.dropout, made.inputs.feature_dropout))
        asked = _by_parameter(
            self._network_config(model.columns, model.levels, rates, made.n_positions)
        )
        same = _by_parameter(made)
        changed = [name for name, value in asked.items() if value != same[name]]
        if model.columns.quantiles != (self.input_transform is not None):
            changed.append("input_transform")
        if self._chooses_other_categories(X):
            changed.append("categorical_features")
        if changed:
            shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in changed)
            raise ValueError(
                f"The network was made with other values than {shown}, and training "
                f"that goes on cannot change it. Set them back, or start again: fit "
                f"with warm_start=False."
            )

    def _chooses_other_categories(self, X):
        """Whether `categorical_features` names other columns than when it was made."""
        chosen, made = self.categorical_features, self._model.columns.categories.mask
        if isinstance(chosen, str):  # the columns say so themselves, or may be arrays
            return False
        # Those of X first: names that are no text are not kept.
        names = list(getattr(X, "columns", getattr(self, "feature_names_in_", [])))
        chosen = () if chosen is None else chosen
        return (chosen_mask(chosen, names, len(made)) != made).any()

    def _refuse_other_rankers(self, peers):
        """Raise ValueError in all processes if one has another ranker than the first.

        Others would be waited for in vain, or silently come to another ranker.
        """
        if peers.n == 1:
            return
        # What may differ; nor are functions told apart.
        free = ("callbacks", "device", "random_state", "verbose")
        mine = {
            name: repr(np.asarray(value).tolist())
            for name, value in self.get_params(deep=False).items()
            if name not in free and not callable(value)
        }
        arrays = {}
        if self.warm_start and hasattr(self, "_model"):
            arrays = model_to_arrays(self._model, optimizer=True)
        in_order = (arrays[name] for name in sorted(arrays))
        mine["what it was fitted to"] = digest_arrays(in_order)
        first = peers.first(mine)
        with peers.all_or_none():
            names = [k for k in first | mine if first.get(k) != mine.get(k)]
            if names:
                raise ValueError(
                    f"The ranker differs from that of process 0 in {', '.join(names)}, "
                    f"and processes that train together need the same. Set the same "
                    f"parameters in all; where warm_start=True, load the same file in "
                    f"all."
                )

    def _check_held_rows(self, X_val, y_val, groups_val, categories) -> Rows | None:
        refuse_without_X(X_val, y_val, groups_val, "_val")
        if X_val is None:
            return None
        X, ids = resolve_other_rows(
            X_val, groups_val, "_val", self.group_column, self.fitted_with_groups_
        )
        X = self._check_columns(X, "X_val")
        allow_nan = self.input_transform is not None
        X = self._encode(X, categories, allow_nan=allow_nan, name="X_val")
        y = check_labels(y_val, "y_val")
        check_length(y, "y_val", X.shape[0], "X_val")
        return make_rows(X, y, lists_of(ids, X.shape[0]), None, self.gain)

    def _check_columns(self, X, name="X", *, first=False):
        """X with the columns of the ranker, which are set here at `first`."""
        with reading(name):
            X = two_dimensional(X, name)
            validate_data(self, X, skip_check_array=True, reset=first)
            refuse_empty_table(X, type(self).__name__)
        return X

    def _encode(self, X, categories, *, allow_nan, name="X", first=False):
        """X as numbers, with codes in place of categories."""
        try:
            with reading(name):
                owner = type(self).__name__
                return categories.encode(X, allow_nan=allow_nan, owner=owner)
        except (TypeError, ValueError) as error:
            odd = odd_columns(X, categories.mask)
            if not odd:
                raise
            way_out = (
                "Name them in categorical_features, or leave them out."
                if first
                else "Give numbers where fit was given numbers."
            )
            way_out = f"{way_out} ({error})"
            raise ValueError(f"{name} has {without_numbers(odd, way_out)}") from error

    # Fitting ------------------------------------------------------------------------

    def _network_config(
        self, columns: Columns, levels: Levels, rates: Rates, n_positions: int
    ) -> NetworkConfig:
        raise NotImplementedError

    def _training_config(self, rows: Rows) -> TrainingConfig:
        device = pick_device(self.device)
        # One draw: a generator given as random_state moves on from fit to fit.
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        items, rate = self.batch_items, self.learning_rate
        if items == "auto":
            n_rows = rows.peers.total(len(rows.y))
            items = auto_batch_items(n_rows, everyone().n)
            rate *= longer_steps(items)
        grows = self.max_epochs == "auto"
        return TrainingConfig(
            loss=pick_loss(self.loss),
            gain=self.gain,
            listwide_weight=0.0,
            learning_rate=rate,
            weight_decay=self.weight_decay,
            max_epochs=EPOCHS if grows else int(self.max_epochs),
            more_epochs=MORE_EPOCHS if grows else (),
            batch_items=int(items),
            validation_fraction=self.validation_fraction,
            n_iter_no_change=self.n_iter_no_change,
            calibration_folds=None,
            callbacks=_check_callbacks(self.callbacks),
            show_progress=bool(self.verbose),
            device=device,
            precision=pick_precision(self.precision, device),
            seed=int(agreed(seed, device)),
            parameters=self.get_params(deep=False),
        )

    def _rates(self, auto: Rates) -> Rates:
        """The rates given; these where a parameter is "auto"."""
        given = self.dropout, self.feature_dropout
        pairs = zip(given, auto, strict=True)
        return Rates(*(a if rate == "auto" else float(rate) for rate, a in pairs))

    def _input_config(
        self, columns: Columns, rates: Rates, list_features: bool
    ) -> InputConfig:
        return InputConfig(
            n_numeric=len(columns.numeric),
            n_flags=len(columns.flagged),
            cardinalities=columns.categories.cardinalities,
            n_bins=int(self.n_bins) if len(columns.numeric) else 0,
            list_features=list_features,
            feature_dropout=rates.feature_dropout,
        )

    def _start(self, checked: _Checked, config: TrainingConfig) -> Model:
        """A model for these rows that is yet to be trained."""
        rows = checked.rows
        columns = learn_columns(
            checked.categories,
            rows.X,
            quantiles=self.input_transform is not None,
            seed=config.seed,
            peers=rows.peers,
        )
        levels = find_levels(rows.list_values, rows.peers, config.seed)
        rates = self._rates(auto_rates(rows.peers.total(rows.n_ordered_lists)))
        positions = checked.positions
        n_positions = 0 if positions is None else positions.cardinalities[0]
        network = self._network_config(columns, levels, rates, n_positions)
        return start(rows, columns, levels, positions, network, config)

    def _become(self, new, result: Result, config: TrainingConfig):
        """Take over what was fitted in one step; pass the user's interrupt on."""
        new._model = result.model
        new.batch_items_ = config.batch_items
        new.max_epochs_ = result.n_planned
        new.history_ = result.history
        new.n_iter_ = len(result.history)
        new.kept_epoch_, new.kept_score_ = result.kept_epoch, result.kept_score
        # One assignment, so that no thread sees attributes of two fits.
        self.__dict__ = new.__dict__
        if result.interrupted:
            warn_user(
                f"Training was interrupted in epoch {result.n_begun}; the ranker "
                f"keeps the best weights so far."
            )
        if result.interrupt is not None:
            raise result.interrupt
        return self

    # Predicting ---------------------------------------------------------------------

    def _member_scores(self, X, groups):
        """Scores by each member: (n_members, n_rows); see `rank_uncertainty`."""
        X, lists, model = self._check_new_rows(X, groups, None, "rank_uncertainty")
        return model.member_scores(X, lists)

    def _check_new_rows(self, X, groups, qid, method):
        """These rows as numbers, their lists, and the model to ask.

        The model is read once: another thread may put a new one in its place.
        """
        check_is_fitted(self)
        model = self._model
        X, ids = resolve_groups(X, groups, qid, self.group_column)
        X = self._check_columns(X)
        columns = model.columns
        X = self._encode(X, columns.categories, allow_nan=columns.quantiles)
        if ids is None and self.fitted_with_groups_ and self._needs_groups:
            raise ValueError(
                f"{type(self).__name__} was fitted with groups, so {method} needs "
                f"them too: an item's score depends on its list. Pass "
                f"groups=... with one list id per row, or "
                f"groups=np.zeros(len(X)) to rank all rows as one list."
            )
        if ids is None and not self._needs_groups:
            # Items that are scored one by one need not be in memory all at once.
            ids = np.arange(X.shape[0]) // predict_items(model.device)
        return X, lists_of(ids, X.shape[0]), model

    # Copying and storing ------------------------------------------------------------

    def __copy__(self):
        """A shallow copy with the same model, which is replaced and never changed."""
        new = type(self).__new__(type(self))
        new.__dict__ = dict(vars(self))
        return new

    def __getstate__(self):
        """Return the attributes, with plain values and arrays in place of the model.

        So a pickle made on one device loads on any other, and skops.io can store it.
        """
        state = dict(super().__getstate__())
        if "_model" in state:
            model = state["_model"]
            state["_model"] = {
                "config": asdict(model.config),
                "arrays": model_to_arrays(model, optimizer=True),
            }
        return state

    def __setstate__(self, state):
        state = dict(state)
        stored = state.pop("_model", None)
        super().__setstate__(state)
        if stored is not None:
            self._model = self._model_of(stored["config"], stored["arrays"])

    def _model_of(self, config: dict, arrays: dict[str, np.ndarray]) -> Model:
        """The model of a config and arrays, on the device that this machine has."""
        device = usable_device(self.device)
        precision = pick_precision(self.precision, device)
        return model_from_arrays(
            config_from_dict(self._config_kind, config), arrays, device, precision
        )


def _by_parameter(config: NetworkConfig) -> dict[str, Any]:
    """What a network is made of, by the names of the ranker's parameters."""
    values = asdict(config)
    values |= values.pop("inputs")
    names = {"hidden_sizes": "hidden_layer_sizes", "n_thresholds": "listwide_weight"}
    return {names.get(name, name): value for name, value in values.items()}


def _warn_of_new_values(levels: Levels, list_values: np.ndarray) -> None:
    """Warn of lists whose value is none of the levels that training goes on with."""
    if not np.array_equal(levels.values, levels.starts):  # bins, into which all fall
        return
    new = np.setdiff1d(list_values, levels.starts)
    if len(new):
        warn_user(
            f"y has lists whose highest label is {_listed(new)}, which the first call "
            f"had none of: predict_list_value knows only {_listed(levels.values)}, and "
            f"takes them for one of these. Have the first call hold lists of each."
        )


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _joined_digest(digest: np.ndarray | None, peers: Peers) -> np.ndarray | None:
    """The lists of all peers, as one process would have them from `digest_lists`."""
    if digest is None or peers.n == 1:
        return digest
    joined = peers.join(digest)
    return joined[np.argsort(joined[:, 0], kind="stable")]


def _check_callbacks(callbacks) -> tuple[Callback, ...]:
    for callback in callbacks or ():
        if not isinstance(callback, Callback):
            raise TypeError(
                f"callbacks must hold instances of skorch's Callback, got {callback!r}."
            )
        if isinstance(callback, LRScheduler):
            raise ValueError(
                f"callbacks holds a {type(callback).__name__}, which would change "
                f"nothing: the ranker sets the learning rate at each step. Leave it "
                f"out, and set learning_rate and max_epochs, over which it decays."
            )
        if getattr(callback, "load_best", False):
            raise ValueError(
                f"callbacks holds a {type(callback).__name__} with load_best=True, "
                f"which would replace the weights that the ranker has chosen. Set "
                f"load_best=False: where training is stopped early, the ranker keeps "
                f"those of the best epoch."
            )
    return tuple(callbacks or ())
