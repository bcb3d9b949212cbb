"""Tables of any library, as those that scikit-learn can read.

Some containers carry beside their values what is valid, what is still to be computed,
or a device; read by `numpy.asarray` they would give wrong numbers or a strange error.
They are turned into plain ones here, or refused with the call that does it. Libraries
are known by name, so that none has to be installed.
"""

from typing import Any

import numpy as np


def as_table(X: Any, name: str = "X") -> Any:
    """Return features as an array, a sparse matrix, a frame, or as they came.

    Parameters
    ----------
    X : object
        Masked arrays have NaN where they are masked (None among objects), Arrow tables
        become pandas frames and torch tensors arrays; all else is returned as it is.
    name : str, default="X"
        How error messages call the argument.

    Raises
    ------
    ImportError
        If X is an Arrow table and pandas is not installed.
    TypeError
        If X is a query that has not been run.
    """
    if np.ma.isMaskedArray(X):
        return _filled(X)
    library = type(X).__module__.partition(".")[0]
    if library == "pyarrow" and hasattr(X, "to_pandas"):
        return _arrow_to_pandas(X, name)
    if library == "polars" and type(X).__name__ == "LazyFrame":
        raise TypeError(
            f"{name} is a polars LazyFrame, a query that is yet to be run. Give "
            f"{name}.collect()."
        )
    if library == "torch" and hasattr(X, "detach"):
        # numpy has no bfloat16; all types of two bytes or fewer become float32 with it.
        tensor = X.detach().cpu()
        return (tensor if tensor.element_size() > 2 else tensor.float()).numpy()
    return X


def _filled(X: np.ma.MaskedArray) -> np.ndarray:
    """The values of a masked array, missing where it is masked."""
    if not np.ma.getmaskarray(X).any():
        return np.ma.getdata(X)
    kind = X.dtype.kind
    # Integers have no value that means missing, and text of fixed width none either.
    values = np.ma.getdata(X).astype(
        X.dtype if kind == "f" else np.float64 if kind in "biu" else object
    )
    values[np.ma.getmaskarray(X)] = np.nan if kind in "biuf" else None
    return values


def _arrow_to_pandas(X: Any, name: str) -> Any:
    try:
        import pandas  # noqa: F401, what to_pandas needs
    except ImportError as error:
        raise ImportError(
            f"{name} is an Arrow table, and reading it needs pandas: pip install "
            f"pandas. Or give polars.from_arrow({name})."
        ) from error
    return X.to_pandas()
