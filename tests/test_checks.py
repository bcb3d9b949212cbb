"""Checks of what callers give: what passes, and what the errors say."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import DataConversionWarning

from sklearn_rankformer._checks import (
    check_count,
    check_k,
    check_labels,
    check_length,
    check_list_weights,
    check_max_label,
    check_numbers,
    check_option,
    check_real,
    check_weights,
    plain_column,
    refuse_empty,
    warn_no_order,
)
from sklearn_rankformer._lists import split_lists

LISTS = split_lists(np.array([4, 9, 4, 4]))


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 2],
        (0.0, 1.0, 2.0),
        np.array([0, 1, 2], dtype=np.uint8),
        np.array([0, 1, 2], dtype=np.float16),
        np.array([0, 1, 2], dtype=object),
        [Decimal(0), Fraction(1), 2],
        ["0", "1", "2"],
        np.ma.masked_array([0, 1, 2], mask=False),
    ],
)
def test_labels_of_any_real_kind_become_float64(y):
    labels = check_labels(y)
    assert labels.dtype == np.float64
    np.testing.assert_array_equal(labels, [0, 1, 2])


@given(st.lists(st.floats(0, allow_infinity=False)))
def test_checked_labels_are_a_copy(values):
    y = np.array(values)
    labels = check_labels(y)
    labels += 1
    np.testing.assert_array_equal(y, values)


def test_booleans_are_labels():
    np.testing.assert_array_equal(check_labels([False, True]), [0, 1])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_nullable_columns_are_labels_until_one_is_missing(library):
    series = pytest.importorskip(library).Series
    kind = {"dtype": "Int64"} if library == "pandas" else {}
    np.testing.assert_array_equal(check_labels(series([0, 2], **kind)), [0, 2])
    with pytest.raises(ValueError, match=r"y must hold numbers|y contains NaN"):
        check_labels(series([0, None], **kind))


def test_a_missing_value_of_pandas_is_one_whatever_the_type_of_the_column():
    pandas = pytest.importorskip("pandas")
    columns = ([0, pandas.NA], pandas.Series([False, None], dtype="boolean"))
    for column in columns:
        with pytest.raises(ValueError, match="y contains NaN"):
            check_labels(column)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        (1, r"y must be 1-D, got shape \(\)"),
        ([[0, 1]], r"y must be 1-D, got shape \(1, 2\)\. .*one flat array"),
        (["good", "bad"], "y must hold numbers, 0 for not relevant .*got dtype <U4"),
        ([object(), 1], "y must hold numbers"),
        ([1j, 2], "y must hold numbers.*complex128"),
        (np.array(["2020"], dtype="M8[Y]"), r"y must hold numbers.*datetime64\[Y\]"),
        (np.array([1], dtype="m8[s]"), "y must hold numbers.*timedelta64"),
        ([0, np.nan], "y contains NaN"),
        ([0, np.inf], "y contains infinity"),
        ([0, -2], "y must not be negative, got -2"),
        (np.ma.masked_array([0, 1, 2], mask=[0, 1, 1]), "y has 2 masked entries"),
    ],
)
def test_labels_that_cannot_be_ranked_by_raise(y, message):
    with pytest.raises(ValueError, match=message):
        check_labels(y)


def test_messages_name_the_callers_argument():
    with pytest.raises(ValueError, match="y_val must not be negative"):
        check_labels([-1], "y_val")


def test_negative_labels_pass_where_they_may():
    np.testing.assert_array_equal(check_labels([-1, 2], negative=True), [-1, 2])


def test_a_column_of_labels_is_flattened_with_a_warning():
    with pytest.warns(DataConversionWarning, match="1d array was expected") as caught:
        labels = check_labels([[0], [1]])
    np.testing.assert_array_equal(labels, [0, 1])
    assert caught[0].filename == __file__


def test_a_column_of_numbers_is_flattened():
    np.testing.assert_array_equal(check_numbers([[0], [-1]], "scores"), [0, -1])


@pytest.mark.parametrize("k", [None, 1, 7, np.int8(3)])
def test_counts_pass(k):
    assert check_k(k) == k
    if k is not None:
        assert check_count(k, "n_repeats") == k


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "5", np.nan])
def test_what_is_no_count_raises(k):
    with pytest.raises(ValueError, match="k must be None or an integer of 1 or more"):
        check_k(k)
    with pytest.raises(ValueError, match="n_repeats must be an integer of 1 or more"):
        check_count(k, "n_repeats")


def test_the_smallest_count_is_named():
    with pytest.raises(ValueError, match="n_splits must be an integer of 2 or more"):
        check_count(1, "n_splits", 2)


def test_the_largest_count_is_named():
    assert check_count(3, "n_features", largest=3) == 3
    with pytest.raises(
        ValueError, match="n_features must be an integer of 1 to 3, got"
    ):
        check_count(4, "n_features", largest=3)


def test_one_value_per_row_passes_and_any_other_number_raises():
    check_length([1, 2], "times", 2)
    with pytest.raises(
        ValueError, match=r"times has 2 entries for 3 rows of X: .*Give one per"
    ):
        check_length([1, 2], "times", 3)


def test_no_rows_raise():
    refuse_empty(np.zeros(1), "y_true")
    with pytest.raises(ValueError, match=r"y_true is empty\. Give at least one row"):
        refuse_empty(np.zeros(0), "y_true")


def test_columns_keep_their_type():
    times = plain_column([["2020"], ["2021"]], "times")
    np.testing.assert_array_equal(times, ["2020", "2021"])
    with pytest.raises(ValueError, match=r"times must be 1-D, got shape \(1, 2\)"):
        plain_column([["2020", "2021"]], "times")


def test_the_top_of_the_scale_is_the_largest_label_or_what_is_given():
    labels = np.array([0.0, 3.0])
    assert check_max_label(None, labels, "y") == 3
    assert check_max_label(4, labels, "y") == 4


@pytest.mark.parametrize(
    ("max_label", "error", "message"),
    [
        (2, ValueError, "max_label is 2, but y_true goes up to 3. Give the top"),
        (np.inf, ValueError, "max_label must be a finite number, got inf"),
        (np.nan, ValueError, "max_label must be a finite number, got nan"),
        ("4", TypeError, "max_label must be an instance of float"),
    ],
)
def test_a_top_below_a_label_or_not_finite_raises(max_label, error, message):
    with pytest.raises(error, match=message):
        check_max_label(max_label, np.array([0.0, 3.0]), "y_true")


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("1", TypeError, "noise must be an instance of float"),
        (-1, ValueError, "noise == -1, must be >= 0"),
        (2, ValueError, "noise == 2, must be <= 1"),
        (np.nan, ValueError, "noise must be a finite number, got nan"),
    ],
)
def test_reals_out_of_range_raise(value, error, message):
    with pytest.raises(error, match=message):
        check_real(value, "noise", largest=1)


def test_reals_without_an_upper_bound_are_finite():
    assert check_real(7, "noise") == 7
    with pytest.raises(ValueError, match="noise must be a finite number, got inf"):
        check_real(np.inf, "noise")


@pytest.mark.parametrize("value", ["b", None, ["a"]])
def test_other_words_than_the_options_raise(value):
    check_option("how", "a", ("a", "c"))
    with pytest.raises(ValueError, match=r"how must be one of \('a', 'c'\), got"):
        check_option("how", value, ("a", "c"))


# -- weights --------------------------------------------------------------------------


def test_no_weights_are_none():
    assert check_weights(None, LISTS) is None
    assert check_list_weights(None, LISTS) is None


def test_weights_come_back_by_row_and_by_list():
    weights = [2, 0.5, 2, 2]
    np.testing.assert_array_equal(check_weights(weights, LISTS), weights)
    np.testing.assert_array_equal(check_list_weights(weights, LISTS), [2, 0.5])


@pytest.mark.parametrize("check", [check_weights, check_list_weights])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1, 1], "sample_weight has 3 entries for 4 rows. Repeat the weight"),
        ([0, 0, 0, 0], "sample_weight is zero on all rows"),
        ([1, 1, 1, -1], "sample_weight contains the negative weight -1"),
        ([1, 1, 1, np.nan], "sample_weight contains NaN"),
        (np.ones((4, 2)), "sample_weight must be 1-D"),
        (["a"] * 4, "sample_weight must hold numbers"),
    ],
)
def test_weights_that_weigh_nothing_raise(check, weights, message):
    with pytest.raises(ValueError, match=message):
        check(weights, LISTS)


def test_weights_of_one_list_must_agree():
    with pytest.raises(ValueError, match="sample_weight differs within the list 4"):
        check_list_weights([1, 1, 2, 1], LISTS)


def test_one_weight_per_list_raises_with_the_line_that_repeats_them():
    groups = np.array([4, 9, 4, 4])
    sample_weight = np.array([2.0, 0.5])
    with pytest.raises(ValueError, match=r"2 entries for 4 rows.*2 lists") as raised:
        check_weights(sample_weight, LISTS)
    way_out = str(raised.value).rpartition("give ")[2].rstrip(".")
    repeated = eval(
        way_out, {"np": np, "groups": groups}, {"sample_weight": sample_weight}
    )
    np.testing.assert_array_equal(check_list_weights(repeated, LISTS), sample_weight)


# -- lists that teach nothing ---------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "groups", "message"),
    [
        ([0, 1, 2], [4, 5, 6], "None of 3 lists has more than one item.*ids of the li"),
        ([0, 0, 2], [4, 4, 6], "All labels are equal within each of 2 lists"),
        ([1, 1, 1], [4, 4, 4], "All labels are equal within each of 1 lists"),
    ],
)
def test_lists_without_any_order_warn_once(y, groups, message):
    with pytest.warns(UserWarning, match=message) as caught:
        warn_no_order(np.array(y, float), split_lists(np.array(groups)))
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("y", "groups"), [([0, 1, 2, 2], [4, 4, 6, 6]), ([0, 1], [4, 4]), ([], [])]
)
def test_one_list_with_an_order_is_enough(y, groups):
    warn_no_order(np.array(y, float), split_lists(np.array(groups)))
