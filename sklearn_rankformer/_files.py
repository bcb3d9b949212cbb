"""Files that hold arrays and plain values, and nothing that could run.

One file is one safetensors file: arrays as tensors, everything else as JSON in its
header. `write_file` replaces a file in one step; `read_file` refuses what is damaged or
of another kind. What the arrays and values mean, `persistence` knows.
"""

import json
import math
import platform
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from . import __version__
from ._writing import replacing

# Raised with each change of what the files hold after 0.1.0; others are refused.
FORMAT = 1

_KEY = "sklearn_rankformer"


def write_file(path: Path, header: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write a file, or replace it in one step: a reader never sees half of it."""
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
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


def read_file(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return header and arrays of a file of this package and of this format.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is damaged, of another kind, or of another format.
    """
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
        versions = header.get("versions")
        by = versions.get(_KEY) if type(versions) is dict else "an unknown version"
        raise ValueError(
            f"{path} has format {written_as!r}, of sklearn_rankformer {by}; this "
            f"version, {__version__}, reads format {FORMAT}. Load it with that version "
            f"of the package, or fit and save again with this one."
        )
    return header, arrays


# Plain values -------------------------------------------------------------------------


def encode(value: object) -> object:
    """A plain value as strict JSON, such that `decode` gives it back.

    Raises
    ------
    TypeError
        If the value is no number, text, None, list, tuple or dict.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is tuple:
        return {"tuple": [encode(v) for v in value]}
    if type(value) is list:
        return [encode(v) for v in value]
    if type(value) is dict:
        return {"dict": [[name, encode(v)] for name, v in value.items()]}
    raise TypeError(f"{type(value).__name__} is no plain value")


def decode(value: object) -> object:
    """The value that `encode` was given.

    Raises
    ------
    ValueError
        If it is nothing that `encode` gives.
    """
    if type(value) is list:
        return [decode(v) for v in value]
    if type(value) is not dict:
        return value
    ((kind, content),) = value.items()
    if kind == "tuple" and type(content) is list:
        return tuple(decode(v) for v in content)
    if kind == "dict" and type(content) is list:
        return {name: decode(v) for name, v in content}
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    raise ValueError(f"{kind!r} is no kind of value")
