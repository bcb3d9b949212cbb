"""What the caller gives, checked and turned into numbers: labels, gains, categories."""

import numpy as np
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.utils import check_array

from .metrics import label_gains

# More distinct list values than this are binned by their quantiles.
MAX_LEVELS = 32

# How the names of the dtypes begin that are numbers to scikit-learn.
NUMERIC_KINDS = ("int", "uint", "float", "bool", "decimal", "sparse")


def check_gains(y, gain, lists):
    """Gain of each label; their sum over any list must fit into float32."""
    gains = label_gains(y, gain)
    with np.errstate(over="ignore"):
        most = lists.reduce(np.add, gains).max(initial=0.0)
    if not most < np.finfo(np.float32).max:
        raise ValueError(
            f"The exponential gain of labels as high as {y.max():g} overflows. Set "
            f'gain="linear", or map the labels to smaller ones.'
        )
    return gains


def find_levels(maxima):
    """Distinct list values, or means of quantile bins, and where each level starts."""
    starts = np.unique(maxima)
    if len(starts) > MAX_LEVELS:
        starts = np.unique(
            np.quantile(maxima, np.arange(MAX_LEVELS) / MAX_LEVELS, method="lower")
        )
    level = np.searchsorted(starts, maxima, side="right") - 1
    levels = np.bincount(level, weights=maxima) / np.bincount(level)
    return levels, starts


def make_encoder(X, categorical_features):
    """Turn categorical columns into codes, placed before all others; None if none."""
    mask = categorical_mask(X, categorical_features)
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


def odd_columns(X, encoder):
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


def categorical_mask(X, categorical_features):
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
