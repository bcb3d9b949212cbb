"""What callers give, checked: labels, weights, numbers in a range, cut-offs.

Each check returns its argument in the form in which it is used, or raises an error
that names the argument, what came, and what to give instead.
"""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_scalar

from ._lists import Lists
from ._tables import are_missing, is_tensor, reading, tensor_to_array
from ._warnings import warn_user

# How far, at most, a number moves that becomes float32: a share of itself.
FLOAT32_ROUNDING = 2.0**-24


def check_labels(y: Any, name: str = "y", *, negative: bool = False) -> np.ndarray:
    """Return labels as numbers: 0 for not relevant, higher for better.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        One label per row; numbers, booleans, or texts that hold numbers. A column
        vector is taken with a warning.
    name : str, default="y"
        How error messages call the argument.
    negative : bool, default=False
        Whether labels below 0 are allowed, as regressors may have them.

    Returns
    -------
    labels : ndarray of shape (n_rows,), float64
        Finite labels.

    Raises
    ------
    ValueError
        If `y` is None or not one-dimensional, or a label is masked, missing,
        infinite, negative or not a number.
    """
    if y is None:
        raise ValueError(
            f"Ranking requires {name} to be passed, but the target {name} is None. "
            f"Give one label per row."
        )
    y = plain_array(y, name)
    if y.ndim == 2 and y.shape[1] == 1:
        # scikit-learn's words, which its own checks look for.
        warn_user(
            f"A column-vector {name} was passed when a 1d array was expected. Change "
            f"its shape to (n_rows,), for example with ravel().",
            DataConversionWarning,
        )
    labels = check_numbers(y, name, hint=", 0 for not relevant and higher for better")
    if not negative:
        refuse_negative(labels, name)
    return labels


def refuse_negative(labels: np.ndarray, name: str) -> None:
    """Refuse labels below 0.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
        Numbers.
    name : str
        How the error message calls them.

    Raises
    ------
    ValueError
        If one of them is negative.
    """
    if len(labels) and labels.min() < 0:
        raise ValueError(
            f"{name} must not be negative, got {labels.min():g}. 0 means not "
            f"relevant; shift your labels."
        )


def check_numbers(values: Any, name: str, *, hint: str = "") -> np.ndarray:
    """Return one finite real number per row.

    Parameters
    ----------
    values : array-like of shape (n_rows,) or (n_rows, 1)
        Numbers, booleans, or texts that hold numbers.
    name : str
        How error messages call the argument.
    hint : str, default=""
        What the numbers mean, for the message about other things than numbers.

    Returns
    -------
    numbers : ndarray of shape (n_rows,), float64
        A copy.

    Raises
    ------
    ValueError
        If `values` is not one-dimensional, or an entry is masked, missing, infinite
        or not a real number.
    """
    column = plain_column(values, name)
    if column.dtype.kind == "O":
        # pandas.NA would be refused for its type, and not for what it says.
        column = np.where(are_missing(column), np.nan, column)
    try:
        # numpy would make numbers of these: half of a complex one, ticks of a time.
        if column.dtype.kind in "cmM":
            raise TypeError(f"{column.dtype} is not real")
        numbers = column.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{name} must hold numbers{hint}; got dtype {column.dtype}. Map it to "
            f"numbers first. ({error})"
        ) from error
    if not np.isfinite(numbers).all():
        what = "NaN" if np.isnan(numbers).any() else "infinity"
        raise ValueError(f"{name} contains {what}. Drop or fix these rows.")
    return numbers


def plain_column(values: Any, name: str) -> np.ndarray:
    """Return one value per row, of any type.

    Parameters
    ----------
    values : array-like of shape (n_rows,) or (n_rows, 1)
        Masked or not.
    name : str
        How the error message calls it.

    Returns
    -------
    column : ndarray of shape (n_rows,)
        The same values.

    Raises
    ------
    ValueError
        If `values` is not one-dimensional, or an entry is masked.
    """
    column = plain_array(values, name)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise ValueError(
            f"{name} must be 1-D, got shape {column.shape}. Give one value per row: "
            f"all lists one after the other in one flat array, and groups with the "
            f"list id of each row."
        )
    return column


def plain_array(values: Any, name: str) -> np.ndarray:
    """Return an array without a mask; `numpy.asarray` would read what lies under it.

    Parameters
    ----------
    values : array-like
        Masked or not.
    name : str
        How the error message calls it.

    Returns
    -------
    values : ndarray
        The same values; objects where a list mixes text with others, of which
        `numpy.asarray` makes text.

    Raises
    ------
    TypeError, ValueError
        If an entry is masked, or no array can be made of the values.
    """
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        raise ValueError(
            f"{name} has {np.ma.count_masked(values)} masked entries. Drop these rows."
        )
    if is_tensor(values):
        return tensor_to_array(values, name)
    with reading(name):
        array = np.asarray(values)
        if array.dtype.kind not in "US" or hasattr(values, "dtype"):
            return array
        objects = np.asarray(values, dtype=object)
    return array if len({*map(type, objects.flat)}) == 1 else objects


def refuse_empty(values: np.ndarray, name: str) -> None:
    """Refuse input without any row.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        One value per row.
    name : str
        How the error message calls them.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not len(values):
        raise ValueError(f"{name} is empty. Give at least one row.")


def refuse_beyond_float32(numbers: np.ndarray) -> None:
    """Raise ValueError if a number became infinite that the network takes as it is.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_columns), float32
        What was finite before it became float32.
    """
    if np.isinf(numbers).any():
        raise ValueError(
            "X holds values beyond the range of float32, and input_transform=None "
            "takes them as they are. Scale them, or fit with "
            "input_transform='quantile'."
        )


def check_length(values: Any, name: str, n_rows: int, table: str = "X") -> None:
    """Refuse anything but one value per row.

    Parameters
    ----------
    values : sequence
        What the caller gave.
    name : str
        How the error message calls it.
    n_rows : int
        How many rows there are.
    table : str, default="X"
        How the error message calls what has these rows.

    Raises
    ------
    ValueError
        If there are more values or fewer.
    """
    if len(values) != n_rows:
        # Part of it in scikit-learn's words, which its own checks look for.
        raise ValueError(
            f"{name} has {len(values)} entries for {n_rows} rows of {table}: "
            f"inconsistent numbers of samples. Give one per row."
        )


def refuse_without_X(X: Any, y: Any, groups: Any, suffix: str) -> None:
    """Refuse labels or list ids of rows that are not there.

    Parameters
    ----------
    X, y, groups : object or None
        What the caller gave of further rows.
    suffix : str
        How the names of these arguments end, such as ``"_val"``.

    Raises
    ------
    ValueError
        If there are labels or ids, but no X.
    """
    if X is None and (y is not None or groups is not None):
        given = "y" if y is not None else "groups"
        raise ValueError(
            f"{given}{suffix} was given without X{suffix}. Give both, or neither."
        )


def check_max_label(max_label: Any, labels: np.ndarray, name: str) -> float:
    """Return the top of the scale of labels.

    Parameters
    ----------
    max_label : float or None
        What the caller gave; None takes the largest label.
    labels : ndarray of shape (n_rows,)
        Checked labels, at least one.
    name : str
        How the error message calls them.

    Returns
    -------
    max_label : float
        Finite, not below any label.

    Raises
    ------
    TypeError
        If `max_label` is no real number.
    ValueError
        If it is below a label or not finite.
    """
    highest = float(labels.max())
    if max_label is None:
        return highest
    top = check_real(max_label, "max_label")
    if top * (1 + FLOAT32_ROUNDING) < highest:
        raise ValueError(
            f"max_label is {max_label!r}, but {name} goes up to {highest:g}. Give the "
            f"top of the label scale."
        )
    return max(top, highest)


def check_min_label(min_label: Any) -> float:
    """Return the lowest label that counts, as labels in float32 may have it.

    Parameters
    ----------
    min_label : float
        What the caller gave.

    Returns
    -------
    min_label : float
        A hair below: 0.7 in float32 is less than 0.7.

    Raises
    ------
    TypeError
        If `min_label` is no real number.
    ValueError
        If it is not finite.
    """
    least = check_real(min_label, "min_label", None)
    return least - abs(least) * FLOAT32_ROUNDING


def check_k(k: Any) -> int | None:
    """Return a cut-off: how many positions of each list count, None for all.

    Parameters
    ----------
    k : int or None
        What the caller gave.

    Returns
    -------
    k : int or None
        The same.

    Raises
    ------
    ValueError
        If `k` is no integer of 1 or more.
    """
    if k is not None and not _is_count(k, 1):
        raise ValueError(f"k must be None or an integer of 1 or more, got {k!r}.")
    return None if k is None else int(k)


def check_count(
    value: Any, name: str, smallest: int = 1, largest: int | None = None
) -> int:
    """Return a number of things.

    Parameters
    ----------
    value : int
        What the caller gave.
    name : str
        How the error message calls it.
    smallest : int, default=1
        Fewer than this make no sense.
    largest : int, default=None
        More than this cannot be had; None for no bound.

    Returns
    -------
    count : int
        The same.

    Raises
    ------
    ValueError
        If `value` is no integer, or out of bounds.
    """
    if not _is_count(value, smallest) or (largest is not None and value > largest):
        bounds = (
            f"{smallest} or more" if largest is None else f"{smallest} to {largest}"
        )
        raise ValueError(f"{name} must be an integer of {bounds}, got {value!r}.")
    return int(value)


def _is_count(value: Any, smallest: int) -> bool:
    # True is an Integral, and a slip.
    return (
        isinstance(value, Integral)
        and not isinstance(value, bool)
        and int(value) >= smallest
    )


def check_real(
    value: Any,
    name: str,
    smallest: float | None = 0,
    largest: float | None = None,
) -> float:
    """Return a finite real number within a range.

    Parameters
    ----------
    value : float
        What the caller gave.
    name : str
        How error messages call it.
    smallest, largest : float or None
        Bounds, both allowed; None for no bound.

    Returns
    -------
    value : float
        The same.

    Raises
    ------
    TypeError
        If `value` is no real number.
    ValueError
        If it is out of range or not finite.
    """
    check_scalar(value, name, Real, min_val=smallest, max_val=largest)
    # NaN passes every comparison with a bound.
    if not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}.")
    return float(value)


def check_share(value: Any, name: str) -> float:
    """Return a number between 0 and 1, neither of which makes sense.

    Parameters
    ----------
    value : float
        What the caller gave.
    name : str
        How error messages call it.

    Returns
    -------
    share : float
        The same.

    Raises
    ------
    TypeError
        If `value` is no real number.
    ValueError
        If it is not above 0 and below 1.
    """
    share = check_real(value, name, 0, 1)
    if share in (0, 1):
        raise ValueError(f"{name} must lie between 0 and 1, got {share:g}.")
    return share


def check_option(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the allowed words.

    Parameters
    ----------
    name : str
        How the error message calls the argument.
    value : object
        What the caller gave.
    allowed : tuple of str
        What may be given.

    Raises
    ------
    ValueError
        If `value` is not among `allowed`.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}.")


def check_weights(
    sample_weight: Any, lists: Lists, name: str = "sample_weight"
) -> np.ndarray | None:
    """Return one weight per row.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,) or None
        Weights.
    lists : Lists
        Where the rows of each list lie.
    name : str, default="sample_weight"
        How error messages call the argument.

    Returns
    -------
    weights : ndarray of shape (n_rows,), float64, or None
        The weights, none negative and not all zero; None if none were given.

    Raises
    ------
    ValueError
        If there is not one weight for each row, a weight is negative or not a finite
        number, or all are zero.
    """
    if sample_weight is None:
        return None
    weights = check_numbers(sample_weight, name)
    if len(weights) != lists.n_rows:
        # The likeliest slip, which one line can fix.
        one_per_list = len(weights) == lists.n_lists
        hint = (
            f"There are {lists.n_lists} lists: to repeat the weight of each list, in "
            f"the order of np.unique(groups), on its rows, give "
            f"{name}[np.unique(groups, return_inverse=True)[1]]."
            if one_per_list
            else "Repeat the weight of a list on each of its rows."
        )
        raise ValueError(
            f"{name} has {len(weights)} entries for {lists.n_rows} rows. {hint}"
        )
    if len(weights) and weights.min() < 0:
        raise ValueError(f"{name} contains the negative weight {weights.min():g}.")
    # A mean over these weights would be 0 / 0.
    if len(weights) and not weights.any():
        raise ValueError(f"{name} is zero on all rows. Give some of them a weight.")
    return weights


def check_list_weights(
    sample_weight: Any, lists: Lists, name: str = "sample_weight"
) -> np.ndarray | None:
    """Return one weight per list, given as the same number on all its rows.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,) or None
        Weights.
    lists : Lists
        Where the rows of each list lie.
    name : str, default="sample_weight"
        How error messages call the argument.

    Returns
    -------
    weights : ndarray of shape (n_lists,), float64, or None
        Weight of each list, in the order of ``lists.ids``; None if none were given.

    Raises
    ------
    ValueError
        As `check_weights`, and if weights differ within a list.
    """
    weights = check_weights(sample_weight, lists, name)
    if weights is None:
        return None
    low, high = (lists.reduce(ufunc, weights) for ufunc in (np.minimum, np.maximum))
    if (low != high).any():
        # As Python shows it: NumPy would name the type besides.
        example = lists.ids[low != high].tolist()[0]
        raise ValueError(
            f"{name} differs within the list {example!r}, but whole lists are "
            f"weighed: repeat one weight on all rows of a list."
        )
    return high


def warn_no_order(y: np.ndarray, lists: Lists) -> None:
    """Warn if no list can teach any order.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels to learn from.
    lists : Lists
        Where the rows of each list lie.
    """
    if not lists.n_lists:
        return
    if lists.lengths.max() == 1:
        warn_user(
            f"None of {lists.n_lists} lists has more than one item, so there is no "
            f"order to learn. Give the ids of the lists as groups, not those of their "
            f"items."
        )
    elif not lists.differ(y).any():
        warn_user(
            f"All labels are equal within each of {lists.n_lists} lists, so there is "
            f"no order to learn."
        )
