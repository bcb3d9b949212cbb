"""List ids: every way to give them in, and every mistake."""

from decimal import Decimal
from inspect import signature

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer._groups import (
    check_groups,
    refuse_foreign_names,
    resolve_groups,
)

CELLS = [[0.5, 7, 1.5], [np.nan, 3, 2.5], [1.0, 7, 0.0]]
IDS = [7, 3, 7]


# -- check_groups ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_ids", "kind"),
    [
        ([2, 1, 2], "i"),
        (np.array([2, 1, 2], dtype=np.uint8), "u"),
        (["b", "a", "b"], "U"),
        (np.array(["b", "a", "b"], dtype=object), "U"),
        (np.array([2, np.int64(1), 2], dtype=object), "i"),
        (np.array([2, 1.0, 2], dtype=object), "i"),
        (np.array([2**70, 1, 2**70], dtype=object), "U"),
        ([Decimal(2), Decimal("1.0"), Decimal("2.00")], "i"),
        ([Decimal(10**35 + 1), Decimal(10**35), Decimal(10**35 + 1)], "U"),
        ([2.0, -1.0, 2.0], "i"),
        ([[2], [1], [2]], "i"),
        ([True, False, True], "b"),
        (np.array(["2020-01-02", "2020-01-01", "2020-01-02"], dtype="M8[D]"), "M"),
    ],
)
def test_every_sortable_kind_of_id_is_accepted(given_ids, kind):
    ids = check_groups(given_ids, 3)
    assert ids.dtype.kind == kind
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize(
    ("given_ids", "error", "message"),
    [
        (np.zeros((2, 2)), ValueError, r"groups must be 1-D, got shape \(2, 2\)"),
        (5, ValueError, r"groups must be 1-D, got shape \(\)"),
        ([1, 2], ValueError, "groups has 2 entries for 3 rows. Give one list id"),
        ([1, 2], ValueError, r"look like list sizes.*np.repeat\(np.arange\(len"),
        ([1, 2, np.nan], ValueError, "groups contains NaN: row 2 has no list id"),
        (np.array(["a", np.nan, "b"], dtype=object), ValueError, "NaN: row 1 has no"),
        (np.array([1, 2, Decimal("nan")]), ValueError, "NaN: row 2 has no list id"),
        (np.ma.masked_array([1, 2, 3], [0, 1, 0]), ValueError, "has 1 masked entries"),
        ([1, 2, np.inf], ValueError, "groups contains infinity"),
        ([1, 2, 0.25], ValueError, "groups contains the fractional list id 0.25"),
        ([1, 2, Decimal("0.25")], ValueError, "groups contains the fractional list id"),
        ([1, 2, 2.0**60], ValueError, r"float64 values at or beyond 2\*\*53"),
        (np.float32([1, 2, 2**25]), ValueError, r"float32 values at or beyond 2\*\*24"),
        (np.array([1, "a", 2], dtype=object), TypeError, "values of type int, str"),
        (np.array(["a", None, "b"], dtype=object), ValueError, "contains None: row 1"),
        ([1j, 2, 3], TypeError, "groups has dtype complex128"),
        (
            np.array(["2020", "NaT", "2021"], dtype="M8[D]"),
            ValueError,
            "contains NaT: row 1",
        ),
    ],
)
def test_ids_that_cannot_be_trusted_raise(given_ids, error, message):
    with pytest.raises(error, match=message):
        check_groups(given_ids, 3)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_floats_that_may_have_been_rounded_are_no_ids(dtype):
    # The next whole number has no float of its own and becomes this one.
    first = 2 ** (np.finfo(dtype).nmant + 1)
    np.testing.assert_array_equal(
        check_groups(np.array([first - 1], dtype), 1), first - 1
    )
    for ids in (np.array([first], dtype), np.array([-first - 1]).astype(dtype)):
        with pytest.raises(ValueError, match="collapse into one"):
            check_groups(ids, 1)


@pytest.mark.parametrize("missing", [None, "NA"])
@pytest.mark.parametrize(
    "dtype",
    ["Int64", "string", "object", "category", "datetime64[s]"]
    + ["int64[pyarrow]", "string[pyarrow]", "dictionary[pyarrow]"],
)
def test_a_missing_id_of_any_column_of_pandas_is_called_so(dtype, missing):
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        arrow = pytest.importorskip("pyarrow")
    first = {"Int64": 1, "int64[pyarrow]": 1}.get(dtype, "2024-01-01")
    kind = dtype
    if dtype == "dictionary[pyarrow]":
        kind = pandas.ArrowDtype(arrow.dictionary(arrow.int32(), arrow.string()))
    ids = pandas.Series([first, pandas.NA if missing else None, first]).astype(kind)
    with pytest.raises(ValueError, match="row 1 has no list id"):
        check_groups(ids, 3)


def test_a_missing_id_of_polars_is_called_so():
    polars = pytest.importorskip("polars")
    for ids in ([1, None, 2], ["a", None, "b"], [1.0, float("nan"), 2.0]):
        with pytest.raises(ValueError, match="row 1 has no list id"):
            check_groups(polars.Series(ids), 3)


def test_a_missing_id_in_a_column_of_X_is_called_so():
    pandas = pytest.importorskip("pandas")
    for ids in (["a", np.nan, "b"], [1.0, np.nan, 2.0], ["a", None, "b"]):
        frame = pandas.DataFrame({"x": [0.1, 0.2, 0.3], "qid": ids})
        with pytest.raises(ValueError, match=r"'qid' contains .*: row 1 has no"):
            resolve_groups(frame, group_column="qid")


def test_a_masked_array_without_masked_entries_holds_ids():
    ids = np.ma.masked_array([3, 1, 3], mask=False)
    np.testing.assert_array_equal(check_groups(ids, 3), [3, 1, 3])
    X = np.ma.masked_array(np.array(CELLS), mask=np.isnan(CELLS))
    rest, groups = resolve_groups(X, group_column=1)
    np.testing.assert_array_equal(groups, IDS)
    np.testing.assert_array_equal(np.isnan(rest), np.isnan(CELLS)[:, [0, 2]])
    X[1, 1] = np.ma.masked
    with pytest.raises(ValueError, match="group_column=1 contains NaN: row 1 has no"):
        resolve_groups(X, group_column=1)


@pytest.mark.parametrize("name", ["group", "group_id"])
def test_sizes_or_ids_under_another_librarys_name_raise_with_the_way_out(name):
    class Ranker:
        @refuse_foreign_names
        def fit(self, X, y, groups=None):
            return groups

    sizes = np.array([2, 1])
    with pytest.raises(
        TypeError, match=rf"Ranker\.fit\(\) has no argument '{name}'"
    ) as raised:
        Ranker().fit(CELLS, [1, 0, 1], **{name: sizes})
    assert "as groups=ids" in str(raised.value)
    way_out = str(raised.value).rpartition("groups=")[2].rstrip(".")
    np.testing.assert_array_equal(eval(way_out, {"np": np, name: sizes}), [0, 0, 1])
    assert Ranker().fit(CELLS, [1, 0, 1], groups=IDS) == IDS
    assert list(signature(Ranker.fit).parameters) == ["self", "X", "y", "groups"]


@pytest.mark.parametrize("name", ["eval_set", "eval_group", "eval_qid", "eval_at"])
def test_validation_data_under_another_librarys_name_raise_with_the_way_out(name):
    class Ranker:
        @refuse_foreign_names
        def fit(self, X, y, groups=None, X_val=None, y_val=None, groups_val=None):
            return groups

        @refuse_foreign_names
        def partial_fit(self, X, y, groups=None):
            return groups

    with pytest.raises(TypeError, match=rf"no argument '{name}'.*X_val, y_val and gro"):
        Ranker().fit(CELLS, [1, 0, 1], **{name: []})
    with pytest.raises(TypeError, match=rf"partial_fit\(\) has no argument '{name}'"):
        Ranker().partial_fit(CELLS, [1, 0, 1], **{name: []})


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("positions", r"Did you mean 'position'\?"),
        ("sample_weights", r"Did you mean 'sample_weight'\?"),
        ("group_ids", r"Did you mean 'groups'\?"),
        ("callbacks", "It takes X, y, groups, sample_weight, position, X_val, y_val"),
    ],
)
def test_an_argument_that_is_none_names_the_class_and_the_nearest(name, answer):
    message = rf"^RankFormerRanker\.fit\(\) has no argument '{name}'\. {answer}"
    with pytest.raises(TypeError, match=message):
        RankFormerRanker().fit(CELLS, [1, 0, 1], IDS, **{name: []})


@pytest.mark.parametrize("method", ["predict", "score", "rank"])
def test_methods_after_fit_name_the_class_as_well(method):
    y = [[1, 0, 1]] if method == "score" else []
    message = rf"^RankFormerRanker\.{method}\(\) has no argument 'group'\. Give one"
    with pytest.raises(TypeError, match=message):
        getattr(RankFormerRanker(), method)(CELLS, *y, group=[2, 1])


def test_messages_name_the_callers_argument():
    with pytest.raises(ValueError, match="groups_val has 1 entries for 3 rows"):
        check_groups([1], 3, name="groups_val")


# -- resolve_groups -------------------------------------------------------------------


def pop_group_column(X, column):
    return resolve_groups(X, group_column=column)


def pandas_cells():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(CELLS, columns=["a", "qid", "b"])


def polars_cells():
    polars = pytest.importorskip("polars")
    return polars.DataFrame(CELLS, schema=["a", "qid", "b"], orient="row")


KINDS = {
    "list": (lambda: [list(row) for row in CELLS], 1),
    "array": (lambda: np.array(CELLS), 1),
    "array from the end": (lambda: np.array(CELLS), -2),
    "object array": (lambda: np.array(CELLS, dtype=object), 1),
    "csr": (lambda: sp.csr_matrix(CELLS), 1),
    "coo": (lambda: sp.coo_array(np.array(CELLS)), 1),
    "pandas": (pandas_cells, "qid"),
    "polars": (polars_cells, "qid"),
}


def dense(X):
    X = X.toarray() if sp.issparse(X) else X
    return np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X, dtype=float)


@pytest.mark.parametrize("kind", KINDS)
def test_group_column_is_taken_out_of_every_kind_of_X(kind):
    make, column = KINDS[kind]
    given_X = make()
    X, groups = pop_group_column(given_X, column)
    np.testing.assert_array_equal(dense(X), np.array(CELLS)[:, [0, 2]])
    np.testing.assert_array_equal(groups, IDS)
    assert groups.dtype == np.int64
    np.testing.assert_array_equal(dense(given_X), np.array(CELLS))


@pytest.mark.parametrize("kind", ["list", "object array"])
def test_string_ids_leave_the_other_columns_numeric(kind):
    cells = [[0.5, "b"], [1.5, "a"]]
    X = cells if kind == "list" else np.array(cells, dtype=object)
    X, groups = pop_group_column(X, 1)
    assert groups.tolist() == ["b", "a"]
    np.testing.assert_array_equal(np.asarray(X, dtype=float), [[0.5], [1.5]])


@pytest.mark.parametrize("column", [0, 2])
def test_first_and_last_column_need_no_copy(column):
    X = np.zeros((4, 3))
    rest, _ = pop_group_column(X, column)
    assert np.shares_memory(rest, X)


@pytest.mark.parametrize("kind", ["array", "csr", "pandas", "polars"])
def test_fractional_ids_in_the_column_raise(kind):
    make, column = KINDS[kind]
    other = {1: 2, "qid": "b"}[column]
    with pytest.raises(ValueError, match=f"group_column={other!r} contains the fract"):
        pop_group_column(make(), other)


@pytest.mark.parametrize(
    ("kind", "column", "error", "message"),
    [
        ("array", 3, ValueError, "out of bounds, as X has 3 columns. Keep the column"),
        ("array", -4, ValueError, "out of bounds"),
        ("csr", 3, ValueError, "out of bounds"),
        ("array", "qid", TypeError, "group_column='qid' must be an integer index"),
        ("array", 1.0, TypeError, "must be an integer index"),
        ("pandas", "q", ValueError, "'q' is not a column of X.* 'a', 'qid', 'b'"),
        ("polars", "q", ValueError, "'q' is not a column of X.* 'a', 'qid', 'b'"),
        ("pandas", 1, ValueError, "group_column=1 is not a column of X"),
    ],
)
def test_group_column_that_is_not_there_raises(kind, column, error, message):
    with pytest.raises(error, match=message):
        pop_group_column(KINDS[kind][0](), column)


def test_group_column_of_a_flat_array_raises():
    with pytest.raises(ValueError, match=r"X must be 2-D to hold group_column=0"):
        pop_group_column(np.arange(3), 0)


def test_group_column_named_twice_raises():
    frame = pandas_cells().set_axis(["a", "qid", "qid"], axis=1)
    with pytest.raises(ValueError, match="'qid' must be 1-D"):
        pop_group_column(frame, "qid")


def test_no_ids_resolve_to_none_and_X_is_handed_through():
    X = [[1.0]]
    assert resolve_groups(X) == (X, None)


@pytest.mark.parametrize("name", ["groups", "qid"])
def test_ids_resolve_under_either_name(name):
    X = np.array(CELLS)
    same, groups = resolve_groups(X, **{name: [7.0, 3.0, 7.0]})
    assert same is X
    np.testing.assert_array_equal(groups, IDS)
    with pytest.raises(ValueError, match=f"{name} has 2 entries for 3 rows"):
        resolve_groups(X, **{name: [7, 3]})


def test_both_names_at_once_raise():
    with pytest.raises(ValueError, match="groups and its alias qid were both given"):
        resolve_groups(np.array(CELLS), IDS, IDS)


@pytest.mark.parametrize("name", ["groups", "qid"])
def test_ids_given_beside_the_column_must_be_the_same(name):
    X = np.array(CELLS)
    rest, groups = resolve_groups(X, group_column=1, **{name: IDS})
    assert rest.shape == (3, 2)
    np.testing.assert_array_equal(groups, IDS)
    for other in ([7, 3, 3], ["a", "b", "a"]):
        with pytest.raises(ValueError, match=f"{name} differs from the list ids in"):
            resolve_groups(X, group_column=1, **{name: other})
