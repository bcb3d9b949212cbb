from .metrics import _gains as label_gains  # noqa: F401
import numpy as np
from sklearn.utils.validation import check_array, column_or_1d


def check_labels(y, name):
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
