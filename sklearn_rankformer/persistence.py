"""Rankers in files that hold no code, and fits that survive being killed.

`save` writes one safetensors file: the weights and the tables of the input transform as
tensors, all else as JSON in its header. `load` builds the ranker from these and from
nothing else, so a file from a stranger can be wrong but cannot run anything.

>>> import os, tempfile
>>> from sklearn_rankformer import MLPRanker, persistence
>>> from sklearn_rankformer.datasets import make_ranking
>>> X, y, groups = make_ranking(n_lists=20, random_state=0)
>>> ranker = MLPRanker(max_epochs=1, random_state=0).fit(X, y, groups=groups)
>>> with tempfile.TemporaryDirectory() as folder:
...     path = os.path.join(folder, "ranker.safetensors")
...     persistence.save(ranker, path)
...     bool((persistence.load(path).predict(X) == ranker.predict(X)).all())
True

`Checkpoint` writes the same kind of file after each epoch of a fit.
"""

from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback, EarlyStopping

from . import __version__
from ._device import check_device
from ._files import decode, encode, read_file, write_file
from ._functions import digest_function
from ._model import model_to_arrays
from ._processes import everyone, process_rank
from ._ranker import MLPRanker, RankFormerRanker
from ._rows import Rows, digest_arrays
from ._training import (
    Origin,
    make_history,
    net_from_arrays,
    net_to_arrays,
    prefixed,
    without,
)
from ._writing import remove_unfinished

# What `skops.io.load(file, trusted=...)` must be given to load a ranker.
TRUSTED_TYPES = (
    "sklearn_rankformer._ranker.MLPRanker",
    "sklearn_rankformer._ranker.RankFormerRanker",
    "sklearn_rankformer.adapters.RankerAdapter",
    "sklearn_rankformer.distillation.DistilledRanker",
    "sklearn_rankformer.ensemble.StackingRanker",
    "sklearn_rankformer.ensemble.VotingRanker",
    "sklearn_rankformer.model_selection.ListKFold",
    "sklearn_rankformer.model_selection.TimeSeriesListSplit",
    "sklearn_rankformer.preprocessing.WithinListScaler",
    "sklearn.utils._bunch.Bunch",  # of `named_estimators_`
)

_CLASSES = {"RankFormerRanker": RankFormerRanker, "MLPRanker": MLPRanker}

# Fitted attributes that are plain values, with the types that a file may give them.
_FITTED = {
    "n_features_in_": (int,),
    "fitted_with_groups_": (bool,),
    "history_": (list,),
    "batch_items_": (int,),
    "max_epochs_": (int,),
    "n_iter_": (int,),
    "kept_epoch_": (int, type(None)),
    "kept_score_": (float, type(None)),
}

_WAYS_OUT = {
    "loss": 'set_params(loss="softmax"), which changes no score,',
    "gain": 'set_params(gain="exp"), which changes no score,',
    "callbacks": "set_params(callbacks=None)",
}


def save(ranker, path, *, optimizer=False):
    """Write a fitted ranker to one file that holds no code.

    Parameters
    ----------
    ranker : RankFormerRanker or MLPRanker
        The fitted ranker. A `random_state` that is a generator is saved as None.
    path : str or path-like
        File to write, such as ``ranker.safetensors``. It is replaced in one step:
        whoever reads it meanwhile gets the old one or the new one. Of a symbolic link,
        the file that it points to is replaced.
    optimizer : bool, default=False
        Whether to keep the state of the optimiser, without which `partial_fit` begins
        with a fresh one. It makes the file about three times as large.

    Raises
    ------
    TypeError
        If the ranker is of another class.
    ValueError
        If a parameter is a function or other object, which takes code to restore.
    sklearn.exceptions.NotFittedError
        If the ranker is not fitted.

    See Also
    --------
    load : Read it back.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn_rankformer import RankFormerRanker, persistence
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=20, random_state=0)
    >>> ranker = RankFormerRanker(max_epochs=1).fit(X, y, groups=groups)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "ranker.safetensors")
    ...     persistence.save(ranker, path)
    ...     loaded = persistence.load(path)
    >>> bool((loaded.predict(X, groups) == ranker.predict(X, groups)).all())
    True
    """
    # Not isinstance: a subclass may hold what the file would lose.
    if type(ranker) not in _CLASSES.values():
        raise TypeError(
            f"ranker must be one of {', '.join(_CLASSES)}, got "
            f"{type(ranker).__name__}. {_save_instead(ranker)}"
        )
    check_is_fitted(ranker)
    model, names = ranker._model, getattr(ranker, "feature_names_in_", None)
    header = {
        "class": type(ranker).__name__,
        "parameters": {
            name: _encode_parameter(name, value)
            for name, value in ranker.get_params(deep=False).items()
        },
        "network": encode(asdict(model.config)),
        "fitted": {name: encode(getattr(ranker, name)) for name in _FITTED},
        "feature_names": None if names is None else names.tolist(),
    }
    write_file(Path(path), header, model_to_arrays(model, optimizer=optimizer))


def _save_instead(other):
    """What to save in place of an object that is no ranker of ours."""
    if hasattr(other, "best_estimator_"):
        return (
            "For a search save its best_estimator_, or that one's last step if it is "
            "a pipeline."
        )
    return "Save pipelines and other estimators with skops."


def load(path, *, device="auto"):
    """Read a ranker that `save` wrote; no code in the file is run, whatever it holds.

    Parameters
    ----------
    path : str or path-like
        The file.
    device : str, default="auto"
        Where the ranker is to run, whatever device it was fitted on; it becomes the
        parameter `device`.

    Returns
    -------
    ranker : RankFormerRanker or MLPRanker
        The fitted ranker. On a CPU its scores are those of the saved one, bit by bit.
        ``warm_start=True`` goes on as if it had never been away, and so does
        `partial_fit` if the file holds the optimiser.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, of another kind, or of another format version.

    See Also
    --------
    save : Write the file.
    """
    # First, so that a wrong device is not reported as a damaged file.
    check_device(device)
    header, arrays = read_file(Path(path))
    try:
        return _restore(header, arrays, str(device))
    except Exception as error:  # a hostile file can make anything go wrong
        raise ValueError(
            f"{path} does not hold a ranker written by persistence.save, or is "
            f"damaged: {error}. Save it again."
        ) from error


class Checkpoint(Callback):
    """Write the state of a fit after each epoch, and go on from there.

    Killed at any moment, a fit that is started again with the same parameters, data
    and directory continues after the last epoch written, and its result is that of a
    fit never interrupted: bit by bit on a CPU with the same number of threads. If the
    fit had come to its end, its result is loaded.

    Parameters
    ----------
    directory : str or path-like
        Where to write; made if it does not exist. One directory serves one fit.

    Raises
    ------
    ValueError
        By `fit`: if the directory holds another fit (the message says what differs), or
        a damaged file, or if `random_state` is not an integer, without which no two
        fits are the same, if `loss` is an object other than a function, or if skorch's
        `EarlyStopping` stands beside it: set `n_iter_no_change`. By `partial_fit`:
        always.

    Notes
    -----
    All parameters except `callbacks`, `device` and `verbose` must be the same, and so
    must the rows, labels, groups and weights, and the version of this package. Of
    processes that train together the first reads and writes, and their number must be
    the same.

    What other callbacks have counted or gathered is not written: where a fit is
    resumed, they begin anew.

    A `loss` of your own is recognised by its code, and by the values and functions of
    the same module that it reads: if one of these has changed, it is another loss. Of
    functions from elsewhere only the name counts. A `gain` is recognised by the gains
    that it gives.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_rankformer import RankFormerRanker, persistence
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=20, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = persistence.Checkpoint(folder)
    ...     ranker = RankFormerRanker(
    ...         max_epochs=2, random_state=0, callbacks=[checkpoint]
    ...     ).fit(X, y, groups=groups)
    """

    FILE = "checkpoint.safetensors"

    def __init__(self, directory):
        self.directory = directory

    def on_train_begin(self, net, **kwargs):
        if net.plan.origin is None:
            raise ValueError(
                "Checkpoint resumes fit, and partial_fit has nothing to resume: save "
                "the ranker with persistence.save between the calls, and "
                "set_params(callbacks=None)."
            )
        # It counts, and would count anew in a fit that is resumed.
        if any(isinstance(one, EarlyStopping) for one in net.plan.user_callbacks):
            raise ValueError(
                "callbacks holds EarlyStopping beside Checkpoint: a resumed fit would "
                "stop at another epoch, and one that it has ended would go on. Set "
                "n_iter_no_change instead, which resumes where it was."
            )
        self.path_ = Path(self.directory) / self.FILE
        # Before anything is resumed: the weights to start from are part of it.
        self.fingerprint_ = _fingerprint(net.plan.origin, net_to_arrays(net))
        # Of processes that train together one reads: others may lie on machines that
        # do not see its folder.
        together, stored = everyone(), None
        with together.all_or_none():
            if together.rank == 0:
                stored = self._read()
        stored = together.first(stored)
        if stored is not None:
            self._resume(net, *stored)

    def on_epoch_end(self, net, **kwargs):
        if process_rank()[0]:
            return  # of processes that train together, one writes
        header = {
            "fingerprint": self.fingerprint_,
            "history": [_encode_epoch(epoch) for epoch in net.history],
            "stopped": net.plan.stopped,
        }
        arrays = prefixed("net.", net_to_arrays(net))
        if net.plan.hold_out is not None:
            best = net.plan.hold_out.best_weights
            arrays |= {f"best.{k}": v.numpy(force=True) for k, v in best.items()}
        self.path_.parent.mkdir(parents=True, exist_ok=True)
        write_file(self.path_, header, arrays)

    def _read(self):
        remove_unfinished(self.path_)
        return read_file(self.path_) if self.path_.exists() else None

    def _resume(self, net, header, arrays):
        if type(header.get("fingerprint")) is not dict or "history" not in header:
            raise ValueError(f"{self.path_} is not a checkpoint. Delete it.")
        _check_fingerprint(header["fingerprint"], self.fingerprint_, self.path_)
        try:
            self._restore(net, header, arrays)
        except Exception as error:  # as in load
            raise ValueError(
                f"{self.path_} is damaged ({type(error).__name__}: {error}). Delete it "
                f"to start again."
            ) from error

    def _restore(self, net, header, arrays):
        _check_arrays(arrays)
        hold_out = net.plan.hold_out
        epochs = [_decode_table(epoch) for epoch in header["history"]]
        _check_epochs(epochs, () if hold_out is None else (hold_out.monitor,))
        if not 1 <= len(epochs) <= net.plan.n_epochs:
            raise ValueError(f"{len(epochs)} epochs of {net.plan.n_epochs}")
        net.history = make_history(epochs)
        net_from_arrays(net, without("net.", arrays))
        if hold_out is not None:
            best = without("best.", arrays)
            weights = {k: torch.from_numpy(v) for k, v in best.items()}
            deepcopy(net.module_).load_state_dict(weights)  # raises if damaged
            hold_out.best_weights = weights
        may_stop = hold_out is not None and hold_out.patience is not None
        if header["stopped"] not in ((True, False) if may_stop else (False,)):
            raise ValueError(f"stopped is {header['stopped']!r}")
        net.plan.stopped = bool(header["stopped"])


# Plain values ------------------------------------------------------------------------


def _decode_table(table):
    return {name: decode(value) for name, value in table.items()}


def _encode_epoch(epoch):
    """What of one epoch of skorch's history fits into a file."""
    return {
        name: encode(value)
        for name, value in epoch.items()
        if isinstance(value, np.generic | bool | int | float | str)
    }


def _encode_parameter(name, value):
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, torch.device):
        return str(value)
    if hasattr(value, "__array__") and not isinstance(value, np.generic):
        value = np.asarray(value).tolist()
    try:
        return encode(value)
    except TypeError as error:
        way_out = _WAYS_OUT.get(name, "Set it to a plain value")
        raise ValueError(
            f"{name}={value!r} takes code to restore, and the file holds none. "
            f"{way_out} before saving, or pickle the ranker."
        ) from error


# A ranker out of a file --------------------------------------------------------------


def _restore(header, arrays, device):
    make = _CLASSES.get(header["class"])
    if make is None:
        raise ValueError(f"class {header['class']!r} is none of {', '.join(_CLASSES)}")
    _check_arrays(arrays)
    ranker = _make_ranker(make, header["parameters"]).set_params(device=device)
    fitted = _decode_fitted(header["fitted"])
    names = header["feature_names"]
    if names is not None:
        if type(names) is not list or not all(type(name) is str for name in names):
            raise ValueError("feature names that are no text")
        fitted["feature_names_in_"] = np.array(names, dtype=object)
    model = {"config": decode(header["network"]), "arrays": arrays}
    ranker.__setstate__({**vars(ranker), **fitted, "_model": model})
    n_features = ranker._model.columns.n_features
    n_names = n_features if names is None else len(names)
    if not ranker.n_features_in_ == n_names == n_features > 0:
        raise ValueError(f"columns do not match the {n_features} features")
    return ranker


def _make_ranker(make, parameters):
    """An unfitted ranker; its parameters are checked as `fit` checks them."""
    unknown = parameters.keys() - make().get_params(deep=False).keys()
    if unknown:
        raise ValueError(f"unknown parameters {sorted(unknown)}")
    ranker = make(**_decode_table(parameters))
    ranker._validate_params()
    if ranker.callbacks:
        raise ValueError("callbacks, which no file can hold")
    return ranker


def _decode_fitted(stored):
    fitted = {}
    for name, kinds in _FITTED.items():
        value = decode(stored[name])
        if type(value) not in kinds:
            raise ValueError(f"{name} is {value!r}")
        fitted[name] = value
    _check_epochs(fitted["history_"])
    return fitted


def _check_arrays(arrays):
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not real or not finite")


def _check_epochs(epochs, monitors=()):
    """Raise ValueError unless each epoch is a table with the numbers that are read."""
    for epoch in epochs:
        if type(epoch) is not dict or not all(type(name) is str for name in epoch):
            raise ValueError("a history that holds no epochs")
        for name in ("train_loss", *monitors):
            if type(epoch.get(name)) is not float:
                raise ValueError(f"an epoch without {name}")


# What a fit was asked for ------------------------------------------------------------


def _fingerprint(origin: Origin, weights: dict[str, np.ndarray]) -> dict[str, str]:
    """All that the result of a fit depends on, in short strings by name."""
    seed = origin.parameters["random_state"]
    if not isinstance(seed, int | np.integer):
        raise ValueError(
            f"random_state={seed!r} makes every fit another one, so none can be "
            f"resumed from a checkpoint. Set random_state to an integer."
        )
    free = ("callbacks", "device", "verbose")
    return {
        **{
            k: _show_parameter(v) for k, v in origin.parameters.items() if k not in free
        },
        "loss": _show_loss(origin.parameters["loss"]),
        "training data with gains": _digest_rows(origin.rows),
        "validation data with gains": _digest_rows(origin.held),
        "starting weights": digest_arrays(weights[name] for name in sorted(weights)),
        "version of sklearn_rankformer": __version__,
    }


def _digest_rows(rows: Rows | None) -> str:
    return "none" if rows is None else " ".join(rows.peers.gather(rows.digest()))


def _show_loss(loss):
    shown = _show_parameter(loss)
    if not callable(loss):
        return shown
    try:
        return f"{shown} {digest_function(loss)}"
    except TypeError as error:
        raise ValueError(
            f"loss={loss!r} cannot be told from another loss, so no fit with it can be "
            f"resumed from a checkpoint: {error}. Write it as a function of plain "
            f"values and arrays, or fit without Checkpoint."
        ) from error


def _show_parameter(value):
    if callable(value):
        return f"{value.__module__}.{getattr(value, '__qualname__', type(value))}"
    if hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
    return repr(value)


def _check_fingerprint(stored, asked, path):
    differ = [name for name in asked if stored.get(name) != asked[name]]
    if differ:
        shown = "; ".join(
            f"{name} ({stored.get(name)} there, {asked[name]} here)" for name in differ
        )
        raise ValueError(
            f"{path} belongs to another fit. What differs: {shown}. Give each fit a "
            f"directory of its own, or delete this file to start again."
        )
