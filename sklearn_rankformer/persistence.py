"""Rankers in files that hold no code, and fits that survive being killed.

`save` writes one safetensors file: the weights and the tables of the input transform as
tensors, all else as JSON in its header. `load` builds the ranker from these and from
nothing else, so a file from a stranger can be wrong but cannot run anything.
`Checkpoint` writes the same kind of file after each epoch of a fit.
"""

import hashlib
import json
import math
import os
import platform
from copy import deepcopy
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from . import __version__
from ._base_ranker import _pick_device
from ._batching import process_rank
from ._input import make_encoder
from ._ranker import MLPRanker, RankFormerRanker
from ._training import KeepBest, make_history, net_from_arrays, net_to_arrays
from .preprocessing import TabularTransform

# What `skops.io.load(file, trusted=...)` must be told to load a ranker.
TRUSTED_TYPES = (
    "sklearn_rankformer._ranker.MLPRanker",
    "sklearn_rankformer._ranker.RankFormerRanker",
    "sklearn_rankformer.adapters.RankerAdapter",
    "sklearn_rankformer.distillation.DistilledRanker",
    "sklearn_rankformer.preprocessing.TabularTransform",
    "sklearn_rankformer.preprocessing.WithinListScaler",
)

# Raised, from the first release on, with each change of what the files hold; older
# ones are refused.
FORMAT = 1

_KEY = "sklearn_rankformer"
_CLASSES = {"RankFormerRanker": RankFormerRanker, "MLPRanker": MLPRanker}

# Fitted attributes that are plain values, with the types that a file may give them.
_OPTIONAL = type(None)
_FITTED = {
    "n_features_in_": (int,),
    "fitted_with_groups_": (bool,),
    "history_": (list,),
    "n_iter_": (int,),
    "best_epoch_": (int, _OPTIONAL),
    "best_score_": (float, _OPTIONAL),
    "_seed": (int,),
}
_DTYPES = ("object", "str", "bool")
_DTYPES += tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_DTYPES += ("float16", "float32", "float64")

_MENDS = {
    "loss": 'set_params(loss="softmax"), which changes no score,',
    "gain": 'set_params(gain="exp"), which changes no score,',
    "callbacks": "set_params(callbacks=None)",
}


def save(ranker, path):
    """Write a fitted ranker to one file that holds no code.

    Parameters
    ----------
    ranker : RankFormerRanker or MLPRanker
        The fitted ranker. A `random_state` that is a generator is saved as None.
    path : str or path-like
        File to write, ``ranker.safetensors`` say. It is replaced in one step: whoever
        reads it meanwhile gets the old one or the new one.

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
    if type(ranker) not in _CLASSES.values():
        raise TypeError(
            f"ranker must be one of {', '.join(_CLASSES)}, got "
            f"{type(ranker).__name__}. Save pipelines and other estimators with skops."
        )
    check_is_fitted(ranker, "module_")
    state = ranker.__getstate__()
    names = getattr(ranker, "feature_names_in_", None)
    header = {
        "class": type(ranker).__name__,
        "parameters": _encode_parameters(ranker.get_params(deep=False)),
        "built_from": _encode_parameters(state["_built_from"]),
        "fitted": {name: _encode(state[name]) for name in _FITTED},
        "feature_names": None if names is None else names.tolist(),
        "encoder": _encode_encoder(ranker.encoder_),
    }
    arrays = {
        **_prefixed("net.", state["net_"]),
        **_prefixed("transform.", ranker.transform_.to_arrays()),
        "levels": ranker.levels_,
        "level_starts": ranker._level_starts,
    }
    _write(Path(path), header, arrays)


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
        The fitted ranker. On a CPU its scores are those of the saved one, bit by bit;
        `partial_fit` and ``warm_start=True`` go on as if it had never been away.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, of another kind, or of another format version.
    ImportError
        If the ranker was fitted on a frame with categories and pandas is missing.

    See Also
    --------
    save : Write the file.
    """
    _check_device(device)
    header, arrays = _read(Path(path))
    try:
        return _restore(header, arrays, str(device))
    except ImportError:
        raise
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
        fits are the same. By `partial_fit`: always.

    Notes
    -----
    What must be the same are all parameters but `callbacks`, `device` and `verbose`,
    the rows, labels, groups and weights, and the version of this package.

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

    def on_train_begin(self, net, X=None, **kwargs):
        if not X.recipe:
            raise ValueError(
                "Checkpoint resumes fit, and partial_fit has nothing to resume: save "
                "the ranker with persistence.save between the calls, and "
                "set_params(callbacks=None)."
            )
        self.path_ = Path(self.directory) / self.FILE
        self.recipe_ = _describe(net, X.recipe)
        self.planned_ = net.max_epochs
        for unfinished in self.path_.parent.glob(f"{self.FILE}.*.tmp"):
            unfinished.unlink(missing_ok=True)  # of a process killed while it wrote
        if self.path_.exists():
            self._resume(net)

    def on_epoch_begin(self, net, **kwargs):
        net.max_epochs = self.planned_  # the loop has counted; others ask for the plan

    def on_epoch_end(self, net, **kwargs):
        self._write(net)

    def on_train_end(self, net, **kwargs):
        # The callback that stops a fit early leaves the others without this epoch.
        best = _keep_best(net)
        if best is not None and best.stopped:
            self._write(net)

    def _write(self, net):
        if process_rank()[0]:
            return  # of processes that train together, one writes
        best = _keep_best(net)
        header = {
            "recipe": self.recipe_,
            "history": [_plain_values(epoch) for epoch in net.history],
            "stopped": best is not None and best.stopped,
        }
        arrays = _prefixed("net.", net_to_arrays(net))
        if best is not None:
            weights = {k: v.numpy(force=True) for k, v in best.best_state.items()}
            arrays.update(_prefixed("best.", weights))
        self.path_.parent.mkdir(parents=True, exist_ok=True)
        _write(self.path_, header, arrays)

    def _resume(self, net):
        header, arrays = _read(self.path_)
        if type(header.get("recipe")) is not dict or "history" not in header:
            raise ValueError(f"{self.path_} is not a checkpoint. Delete it.")
        _check_recipe(header["recipe"], self.recipe_, self.path_)
        best = _keep_best(net)
        try:
            net.history = make_history([_decode_table(e) for e in header["history"]])
            net_from_arrays(net, _without("net.", arrays))
            if best is not None:
                weights = _without("best.", arrays)
                best.best_state = {k: torch.tensor(v) for k, v in weights.items()}
                as_now = deepcopy(net.module_)
                as_now.load_state_dict(best.best_state)
                best.stopped = bool(header["stopped"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path_} is damaged ({type(error).__name__}: {error}). Delete it "
                f"to start anew."
            ) from error
        net.max_epochs -= len(net.history)
        if best is not None and best.stopped:
            net.max_epochs = 0


# Files -------------------------------------------------------------------------------


def _write(path, header, arrays):
    """Replace the file in one step; a reader never sees half of it."""
    versions = {
        "sklearn_rankformer": __version__,
        "python": platform.python_version(),
        **{m.__name__: m.__version__ for m in (np, sklearn, skorch)},
        "torch": str(torch.__version__),
    }
    header = {"format": FORMAT, "versions": versions, **header}
    metadata = {_KEY: json.dumps(header, allow_nan=False)}
    # safetensors takes the memory as it lies, so it must lie in C order.
    arrays = {name: np.array(array, order="C") for name, array in arrays.items()}
    content = to_safetensors(arrays, metadata)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(path):
    """Header and arrays of a file of this package and of this format."""
    try:
        with open(path, "rb"):
            pass  # what cannot be opened is reported as such
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()[_KEY])
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        written_as = header["format"]
    except (
        KeyError,
        RecursionError,
        SafetensorError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise ValueError(
            f"{path} is not a file of sklearn_rankformer, or is damaged "
            f"({type(error).__name__}: {error}). Pickles are never opened here: load "
            f"those with joblib, from sources that you trust."
        ) from error
    if written_as != FORMAT:
        by = header.get("versions", {}).get("sklearn_rankformer", "unknown")
        raise ValueError(
            f"{path} has format {written_as!r}, of sklearn_rankformer {by}; this "
            f"version, {__version__}, reads format {FORMAT}. Load it with that version "
            f"of the package, or fit and save anew with this one."
        )
    return header, arrays


def _check_device(device):
    try:
        torch.empty(0, device=_pick_device(device))
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"device={device!r} is not there: {error}. Use device='auto'."
        ) from error


def _prefixed(prefix, arrays):
    return {prefix + name: array for name, array in arrays.items()}


def _without(prefix, arrays):
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


# Plain values ------------------------------------------------------------------------


def _encode(value):
    """A plain value as strict JSON, such that `_decode` gives it back."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is tuple:
        return {"tuple": [_encode(v) for v in value]}
    if type(value) is list:
        return [_encode(v) for v in value]
    if type(value) is dict:
        return {name: _encode(v) for name, v in value.items()}
    raise TypeError(f"{type(value).__name__} is no plain value")


def _decode(value):
    if type(value) is list:
        return [_decode(v) for v in value]
    if type(value) is not dict:
        return value
    ((kind, content),) = value.items()
    if kind == "tuple" and type(content) is list:
        return tuple(_decode(v) for v in content)
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    raise ValueError(f"{kind!r} is no kind of value")


def _decode_table(table):
    return {name: _decode(value) for name, value in table.items()}


def _plain_values(epoch):
    """What of one epoch of skorch's history fits into a file."""
    plain = {}
    for name, value in epoch.items():
        if isinstance(value, np.generic | bool | int | float | str):
            plain[name] = _encode(value)
    return plain


def _encode_parameters(parameters):
    return {name: _encode_parameter(name, v) for name, v in parameters.items()}


def _encode_parameter(name, value):
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, torch.device):
        return str(value)
    if hasattr(value, "__array__") and not isinstance(value, np.generic):
        value = np.asarray(value).tolist()
    try:
        return _encode(value)
    except TypeError as error:
        mend = _MENDS.get(name, "Set it to a plain value")
        raise ValueError(
            f"{name}={value!r} takes code to restore, and the file holds none. "
            f"{mend} before saving, or pickle the ranker."
        ) from error


# The categories of columns -----------------------------------------------------------


def _encode_encoder(encoder):
    if encoder is None:
        return None
    categories = encoder.named_transformers_["categories"].categories_
    return {
        "columns": encoder.transformers[0][2].tolist(),
        "categories": [_encode_categories(found) for found in categories],
    }


def _encode_categories(found):
    dtype = "str" if found.dtype.kind == "U" else str(found.dtype)
    try:
        if dtype not in _DTYPES:
            raise TypeError(f"dtype {dtype} is not known to the file")
        return {"dtype": dtype, "values": [_encode(v) for v in found.tolist()]}
    except TypeError as error:
        raise ValueError(
            f"A categorical column holds categories that the file cannot take: "
            f"{error}. Turn them into strings or integers."
        ) from error


def _decode_categories(stored):
    if stored["dtype"] not in _DTYPES:
        raise ValueError(f"categories of dtype {stored['dtype']!r}")
    values = [_decode(value) for value in stored["values"]]
    allowed = (bool, int, float, str, _OPTIONAL)
    if not values or not all(type(value) in allowed for value in values):
        raise ValueError("categories that are no plain values")
    return np.array(values, dtype=stored["dtype"])


def _decode_encoder(stored, n_features, names):
    if stored is None:
        return None
    mask = np.array(stored["columns"])
    categories = [_decode_categories(found) for found in stored["categories"]]
    if mask.dtype != bool or mask.shape != (n_features,):
        raise ValueError("one flag per column is needed")
    if len(categories) != mask.sum():
        raise ValueError("categories do not match their columns")
    example = _example_row(mask, categories, names)
    encoder = make_encoder(example, mask)
    return encoder.set_params(categories__categories=categories).fit(example)


def _example_row(mask, categories, names):
    """A row like those that the encoder was fitted on, to fit it again."""
    if names is None and len({found.dtype.kind for found in categories}) == 1:
        row = np.zeros((1, len(mask)), np.result_type(*categories))
        row[0, mask] = [found[0] for found in categories]
        return row
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "This ranker was fitted on a frame with categories; loading it needs "
            "pandas: pip install pandas."
        ) from error
    left = iter(categories)
    columns = [next(left)[:1] if flag else np.zeros(1) for flag in mask]
    series = [pd.Series(column, dtype=column.dtype) for column in columns]
    return pd.concat(series, axis=1, keys=range(len(mask)) if names is None else names)


# A ranker out of a file --------------------------------------------------------------


def _restore(header, arrays, device):
    make = _CLASSES.get(header["class"])
    if make is None:
        raise ValueError(f"class {header['class']!r} is none of {', '.join(_CLASSES)}")
    ranker = _make_ranker(make, header["parameters"])
    ranker.set_params(device=device)
    built_from = _decode_table(header["built_from"])
    fitted = _decode_fitted(header["fitted"])
    names = header["feature_names"]
    n_features = fitted["n_features_in_"]
    if names is not None:
        if len(names) != n_features or not all(type(name) is str for name in names):
            raise ValueError("feature names do not match the features")
        fitted["feature_names_in_"] = np.array(names, dtype=object)
    _check_arrays(arrays, n_features)
    state = {
        **vars(ranker),
        **fitted,
        "encoder_": _decode_encoder(header["encoder"], n_features, names),
        "transform_": TabularTransform.from_arrays(_without("transform.", arrays)),
        "levels_": arrays["levels"],
        "_level_starts": arrays["level_starts"],
        "_built_from": built_from,
        "net_": _without("net.", arrays),
    }
    _check_weights(_make_ranker(make, built_from), state)
    ranker.__setstate__(state)
    return ranker


def _make_ranker(make, parameters):
    """An unfitted ranker; its parameters are checked as `fit` checks them."""
    known = make().get_params(deep=False)
    unknown = parameters.keys() - known.keys()
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
        value = stored[name]
        if type(value) not in kinds:
            raise ValueError(f"{name} is {value!r}")
        fitted[name] = value
    fitted["history_"] = [_decode_table(epoch) for epoch in fitted["history_"]]
    return fitted


def _check_arrays(arrays, n_features):
    """Finite numbers, and levels and tables that fit one another."""
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("numbers that are not finite")
    levels = arrays["levels"]
    if levels.ndim != 1 or levels.shape != arrays["level_starts"].shape:
        raise ValueError("levels do not match their starts")
    _check_tables(_without("transform.", arrays), n_features)


def _check_tables(tables, n_features):
    expected = {"numeric", "flagged", "categorical", "cardinalities"}
    if not expected <= tables.keys() <= expected | {"knots", "scores"}:
        raise ValueError("tables of the input transform are missing")
    for name in ("numeric", "flagged", "categorical"):
        index = tables[name]
        if index.dtype != np.int64 or index.ndim != 1:
            raise ValueError(f"{name} columns are no indices")
        if len(index) and not 0 <= index.min() <= index.max() < n_features:
            raise ValueError(f"{name} columns beyond the {n_features} features")
    if tables["cardinalities"].shape != tables["categorical"].shape:
        raise ValueError("cardinalities do not match the categorical columns")
    if "knots" in tables:
        shape = tables["knots"].shape
        if len(shape) != 2 or not shape[1] or shape[0] != len(tables["numeric"]):
            raise ValueError("knots do not match the numeric columns")
        if tables["scores"].shape != shape:
            raise ValueError("scores do not match the knots")


def _check_weights(as_fitted, state):
    """Compare shapes before anything is allocated: sizes in a file may be huge."""
    found = {name: array.shape for name, array in state["net_"].items()}
    if getattr(as_fitted, "num_layers", 0) > len(found):
        raise ValueError("fewer weights than layers")
    as_fitted.transform_ = state["transform_"]
    with torch.device("meta"):
        module = as_fitted._make_network(n_thresholds=len(state["levels_"]) - 1)
    weights = {f"module.{name}": t.shape for name, t in module.state_dict().items()}
    shapes = [parameter.shape for parameter in module.parameters()]
    for name in found.keys() - weights.keys():
        kind, i, _ = name.split(".")
        if kind != "optimizer" or found.pop(name) not in ((), shapes[int(i)]):
            raise ValueError(f"{name} does not fit the network")
    if found != weights:
        wrong = sorted(dict(found.items() ^ weights.items()))[:3]
        raise ValueError(f"weights do not fit the parameters, such as {wrong}")


# What a fit was asked for ------------------------------------------------------------


def _describe(net, recipe):
    """All that the result of a fit depends on, in short strings by name."""
    parameters = recipe["parameters"]
    seed = parameters["random_state"]
    if not isinstance(seed, int | np.integer):
        raise ValueError(
            f"random_state={seed!r} makes every fit another one, so none can be "
            f"resumed from a checkpoint. Set random_state to an integer."
        )
    free = ("callbacks", "device", "verbose")
    told = {k: _show(v) for k, v in parameters.items() if k not in free}
    weights = net_to_arrays(net)
    return {
        **told,
        "training data": _digest_rows(recipe["rows"]),
        "validation data": _digest_rows(recipe["held"]),
        "starting weights": _digest([weights[name] for name in sorted(weights)]),
        "version of sklearn_rankformer": __version__,
    }


def _show(value):
    if callable(value):
        return f"{value.__module__}.{getattr(value, '__qualname__', type(value))}"
    if hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
    return repr(value)


def _digest_rows(rows):
    if rows is None:
        return "none"
    X = rows.X
    parts = [X.indptr, X.indices, X.data] if hasattr(X, "indptr") else [X]
    weight = [] if rows.weight is None else [rows.weight]
    return _digest([*parts, rows.y, rows.lists.codes, *weight])


def _digest(arrays, chunk=2**22):
    """Hash arrays piece by piece, so that a memory-mapped one is never all loaded."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        step = max(1, chunk // max(1, math.prod(array.shape[1:])))
        for start in range(0, len(array) if array.ndim else 0, step):
            digest.update(np.array(array[start : start + step], order="C"))
        if not array.ndim:
            digest.update(array.tobytes())
    return digest.hexdigest()


def _check_recipe(stored, asked, path):
    differ = [name for name in asked if stored.get(name) != asked[name]]
    if differ:
        shown = "; ".join(
            f"{name} ({stored.get(name)} there, {asked[name]} here)" for name in differ
        )
        raise ValueError(
            f"{path} belongs to another fit. What differs: {shown}. Give each fit a "
            f"directory of its own, or delete this file to start anew."
        )


def _keep_best(net):
    found = [c for _, c in net.callbacks_ if isinstance(c, KeepBest)]
    return found[0] if found else None
