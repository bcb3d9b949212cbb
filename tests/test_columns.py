"""Columns of the network: ranks not values, codes not names, nothing leaks."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sklearn_rankformer import _categories, _columns
from sklearn_rankformer._categories import Categories, chosen_mask, find_categories
from sklearn_rankformer._columns import Columns, learn_columns

from . import references
from .strategies import cells

NAN = np.nan


def learn(X, codes=(), quantiles=True):
    """Columns of X, those named by `codes` with three categories."""
    mask = np.isin(np.arange(X.shape[1]), codes)
    categories = Categories(mask, (["a", "b", "c"],) * mask.sum())
    return learn_columns(categories, X, quantiles=quantiles, seed=0)


def fit_transform(column, new=None, **params):
    """Transform one column fitted on itself: (n_rows, n_columns)."""
    X = np.asarray(column)[:, None]
    fitted = learn(X, **params)
    return fitted.transform(X if new is None else np.asarray(new)[:, None])


# Whole numbers and eighths: squares and cubes of them stay apart in float64.
columns = st.lists(cells, min_size=2, max_size=30).filter(lambda c: len(set(c)) > 1)

# numeric columns ---------------------------------------------------


@given(column=columns)
def test_values_become_normal_scores_of_their_middle_rank(column):
    expected = [references.normal_score(v, column) for v in column]
    np.testing.assert_allclose(fit_transform(column)[:, 0], expected, atol=1e-6)


@given(column=columns, new=st.lists(st.floats(-1e6, 1e6), min_size=2))
def test_scores_never_fall_where_values_rise(column, new):
    scores = fit_transform(column, sorted(new))[:, 0]
    assert (np.diff(scores) >= 0).all()


@given(
    column=columns,
    grow=st.sampled_from([np.exp, np.cbrt, np.arctan, lambda x: 1e9 * x - 1e3]),
)
def test_strictly_increasing_functions_of_a_column_change_nothing(column, grow):
    grown = fit_transform(grow(np.array(column)))
    np.testing.assert_array_equal(grown, fit_transform(column))


@pytest.mark.parametrize("n_rows", [300, 5000])
@pytest.mark.parametrize("grow", [np.exp, np.cbrt, np.expm1])
def test_long_columns_change_little_under_increasing_functions(n_rows, grow):
    column = np.random.default_rng(0).normal(size=n_rows)
    difference = fit_transform(grow(column)) - fit_transform(column)
    assert np.abs(difference).mean() < 0.01


def test_heavy_tails_become_normal():
    column = np.random.default_rng(0).standard_cauchy(20_000) ** 3
    scores = fit_transform(column)[:, 0]
    assert abs(scores.mean()) < 0.02
    assert abs(scores.std() - 1) < 0.02
    assert np.abs(scores).max() < 5


@given(column=columns)
def test_beyond_the_range_seen_scores_saturate(column):
    scores = fit_transform(column)[:, 0]
    low, high = fit_transform(column, [-1e300, 1e300])[:, 0]
    assert low == scores.min()
    assert high == scores.max()


def test_values_between_those_seen_get_scores_between():
    seen = fit_transform([1.0, 2.0])[:, 0]
    half = fit_transform([1.0, 2.0], [1.5])[0, 0]
    assert seen[0] < half < seen[1]


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e40, 1e300])
def test_numbers_that_no_float32_holds_are_ranked_all_the_same(scale):
    column = np.array([3.0, -1.0, 2.0, 2.0, 0.5])
    scores = fit_transform(column * scale)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, fit_transform(column))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float32])
def test_every_number_type_gives_the_same_columns(dtype):
    column = np.array([0, 1, 1, 0, 1])
    np.testing.assert_array_equal(
        fit_transform(column.astype(dtype)), fit_transform(column.astype(float))
    )


def test_without_quantiles_numbers_pass_as_they_are():
    column = [3.0, -1.0, NAN, 3.0]
    passed = fit_transform(column, quantiles=False)
    assert passed.tolist() == [[3, 0], [-1, 0], [0, 1], [3, 0]]


def test_without_quantiles_numbers_that_no_float32_holds_are_refused():
    with pytest.raises(ValueError, match="beyond the range of float32"):
        fit_transform([3e300, 1.0], quantiles=False)


def test_rows_beyond_the_limit_are_sampled_from_everywhere(monkeypatch):
    monkeypatch.setattr(_columns, "MAX_ROWS", 1000)
    X = np.arange(50_000.0)[:, None]
    fitted = learn(X)
    again = learn(X)
    np.testing.assert_array_equal(fitted.knots, again.knots)
    np.testing.assert_allclose(fitted.transform(X[[25_000]]), 0, atol=0.2)
    assert np.isin(fitted.knots, X).all()


# which columns -----------------------------------------------------


def mixed_table():
    """Columns: varied, constant, with gaps, all missing, constant with a gap, code."""
    return np.array(
        [
            [0.1, 5.0, 1.0, NAN, 7.0, 3],
            [0.2, 5.0, NAN, NAN, NAN, 1],
            [0.3, 5.0, 3.0, NAN, 7.0, 0],
            [0.4, 5.0, 4.0, NAN, 7.0, 2],
        ]
    )


@pytest.fixture
def mixed():
    return learn(mixed_table(), codes=[5])


def test_constant_columns_are_dropped_and_gaps_are_flagged(mixed):
    assert mixed.numeric.tolist() == [0, 2]
    assert mixed.flagged.tolist() == [2, 3, 4]
    assert mixed.categorical.tolist() == [5]
    assert mixed.n_columns == 6


def test_columns_come_as_numbers_then_flags_then_codes(mixed):
    columns = mixed.transform(mixed_table())
    score = references.normal_score
    numbers = [
        [score(0.1, [0.1, 0.2, 0.3, 0.4]), score(1, [1, 3, 4])],
        [score(0.2, [0.1, 0.2, 0.3, 0.4]), 0],
        [score(0.3, [0.1, 0.2, 0.3, 0.4]), score(3, [1, 3, 4])],
        [score(0.4, [0.1, 0.2, 0.3, 0.4]), score(4, [1, 3, 4])],
    ]
    np.testing.assert_allclose(columns[:, :2], numbers, atol=1e-6)
    assert columns[:, 2:5].tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 1, 0]]
    assert columns[:, 5].tolist() == [3, 1, 0, 2]


def test_gaps_in_a_column_that_had_none_become_the_median(mixed):
    new = mixed_table()[:1]
    new[0, 0] = NAN
    assert mixed.transform(new)[0, 0] == 0


def test_numbers_in_a_column_that_had_none_clear_its_flag(mixed):
    new = mixed_table()[:1]
    new[0, 3] = 1.0
    assert mixed.transform(new)[0, 3] == 0


def test_one_column_stays_if_all_are_constant():
    X = np.ones((3, 2))
    fitted = learn(X)
    assert fitted.transform(X).tolist() == [[0.0]] * 3


@given(seed=st.integers(0, 99), density=st.sampled_from([0.0, 0.2, 0.9]))
def test_sparse_rows_give_the_same_columns_as_dense_ones(seed, density):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 3)) * (rng.random((20, 3)) < density)
    X[0, 0] = NAN
    dense = learn(X)
    for made in (sparse.csr_matrix(X), sparse.csr_array(X)):
        fitted = learn(made)
        np.testing.assert_array_equal(fitted.transform(made), dense.transform(X))


@pytest.mark.parametrize("quantiles", [True, False])
def test_columns_made_of_their_arrays_are_the_same(quantiles):
    X = mixed_table()
    fitted = learn(X, codes=[5], quantiles=quantiles)
    again = Columns.from_arrays(fitted.to_arrays())
    assert again.n_columns == fitted.n_columns
    assert again.categories.cardinalities == (4,)
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))


@pytest.mark.parametrize("quantiles", [True, False])
def test_transforming_leaves_its_input_alone(quantiles):
    X = mixed_table()
    learn(X, quantiles=quantiles).transform(X)
    np.testing.assert_array_equal(X, mixed_table())


# The ends of float64 ------------------------------------------------------------------


EXTREME = {
    "subnormal": 5e-324 * np.array([1.0, 4.0, 2.0, 2.0, 9.0]),
    "smallest normal": np.array([2.2e-308, 2.3e-308, 1e-307, 2.2e-308, -1e-308]),
    "likelihoods": np.exp(-np.array([700.0, 743.0, 720.0, 720.0, 701.0])),
    "largest": np.array([1.7e308, -1.7e308, 1e308, 1e308, 1.6e308]),
    "two of the largest": np.array([-1.79e308, 1.79e308, 1.79e308, 1.79e308, 0.0]),
}


@pytest.mark.parametrize("column", EXTREME.values(), ids=EXTREME.keys())
def test_columns_at_the_ends_of_float64_are_ranked_as_any_other(column):
    ranks = np.unique(column, return_inverse=True)[1].astype(float)
    with np.errstate(all="raise"):
        scores = fit_transform(column)
    np.testing.assert_array_equal(scores, fit_transform(ranks))


def test_a_column_over_the_whole_range_keeps_the_order_of_what_is_apart():
    column = np.array([-1.7e308, -1.0, 5e-324, 1.0, 1.7e308])
    scores = fit_transform(column)[:, 0]
    assert np.isfinite(scores).all()
    assert (np.diff(scores) >= 0).all()
    assert scores[0] < scores[2] < scores[-1]


@given(
    column=st.lists(
        st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=20
    )
)
def test_any_finite_numbers_get_finite_scores_that_never_fall(column):
    scores = fit_transform(sorted(column))[:, 0]
    assert np.isfinite(scores).all()
    assert (np.diff(scores) >= 0).all()


# Categories ---------------------------------------------------------------------------


def codes_of(seen, new):
    """Codes of new values of a column, once others were seen."""
    column = np.array([*seen, None], dtype=object)[:-1, None]
    categories = find_categories(column, [0])
    X = np.empty((len(new), 1), dtype=object)
    X[:, 0] = new
    return categories.encode(X, allow_nan=True, owner="x")[:, 0].tolist()


def test_codes_follow_the_order_of_the_values_and_0_is_what_is_unknown():
    assert codes_of(["b", "a", "c", "a"], ["a", "b", "c", "d"]) == [1, 2, 3, 0]


@pytest.mark.parametrize("missing", [None, NAN, np.float64(NAN)])
def test_missing_values_are_no_category(missing):
    assert codes_of(["b", missing, "a"], ["a", missing, "b"]) == [1, 0, 2]


def test_numbers_are_the_same_category_whatever_their_type():
    seen = [1, 2, 3]
    for new in ([1.0, 3.0], [np.int8(1), np.float32(3)], [True, 3]):
        assert codes_of(seen, new) == [1, 3]


def test_fractions_of_float32_and_of_json_are_the_same_category():
    seen = np.array([[0.1], [0.7], [16777217.5]], dtype=np.float32)
    categories = find_categories(seen, [0])
    new = np.array([[0.7], [0.1], [0.3]])
    assert categories.encode(new, allow_nan=True, owner="x")[:, 0].tolist() == [2, 1, 0]


def test_fractions_that_only_float64_tells_apart_are_categories_of_their_own():
    seen = [1.7e9 + 0.25, 1.7e9 + 0.5, 0.1234567891, 0.1234567892]
    assert codes_of(seen, seen) == [3, 4, 1, 2]


@pytest.mark.parametrize("in_memory", [2**30, 0], ids=["in memory", "in a file"])
def test_no_type_of_the_numbers_makes_two_codes_one(in_memory, monkeypatch):
    pd = pytest.importorskip("pandas")
    monkeypatch.setattr(_categories, "IN_MEMORY_BYTES", in_memory)
    names = [f"c{i:04d}" for i in range(3000)]
    half = np.zeros(3000, dtype=np.float16)
    frame = pd.DataFrame({"a": half, "c": pd.Categorical(names)})
    codes = find_categories(frame, [1]).encode(frame, allow_nan=True, owner="x")[:, 1]
    assert codes.tolist() == list(range(1, 3001))


@pytest.mark.parametrize(
    "chosen",
    [
        np.array([False, True, False], dtype=object),
        [np.False_, np.True_, np.False_],
        ["b"],
        (1,),
        np.array([-2]),
        ["b", 1],
        np.array(["b", 1], dtype=object),
    ],
    ids=str,
)
def test_categories_are_chosen_by_masks_names_and_indices_of_any_type(chosen):
    assert chosen_mask(chosen, ["a", "b", "c"], 3).tolist() == [False, True, False]


def test_a_truth_value_among_indices_is_no_index():
    with pytest.raises(ValueError, match="names the column True, which X does not"):
        chosen_mask([0, True], [], 3)


def test_text_and_numbers_in_one_column_are_categories_of_their_own():
    assert codes_of(["1", 1, "b"], [1, "1", "b", 2]) == [1, 2, 3, 0]


def test_values_that_cannot_be_looked_up_are_unknown_later_and_refused_at_first():
    assert codes_of(["a", "b"], [["a"], "b"]) == [0, 2]
    with pytest.raises(TypeError, match="column 0 of X holds values of type list"):
        codes_of(["a", ["b"]], ["a"])


@pytest.mark.parametrize("value", [(1, "x"), b"a", 1j, timedelta(1), object()])
def test_values_that_no_file_holds_are_refused_with_the_way_out(value):
    with pytest.raises(TypeError, match=r"type .*, as by X\[0\]\.astype\(str\)"):
        codes_of(["a", value], ["a"])
    assert codes_of(["a"], [value, "a"]) == [0, 1]


@pytest.mark.parametrize("kind", [date, datetime, str])
@pytest.mark.parametrize("asked", [date, datetime, str])
def test_a_day_is_one_category_with_the_time_of_midnight_or_without(kind, asked):
    days = [(2024, 2, 29), (2024, 3, 1)]
    make = {str: lambda *day: f"{date(*day)}"}
    known = np.array([make.get(kind, kind)(*day) for day in days], dtype=object)
    given = np.array([make.get(asked, asked)(*day) for day in days], dtype=object)
    categories = find_categories(known[:, None], [0])
    for column in (given, given.astype(str)):
        codes = categories.encode(column[:, None], allow_nan=True, owner="Ranker")
        assert codes.ravel().tolist() == [1, 2]


def test_days_that_fit_saw_with_midnight_and_without_stay_apart():
    known = np.array(["2024-02-29", "2024-02-29 00:00:00"], dtype=object)[:, None]
    categories = find_categories(known, [0])
    codes = categories.encode(known, allow_nan=True, owner="Ranker")
    assert codes.ravel().tolist() == [1, 2]


def test_dates_intervals_and_decimals_are_known_as_text_and_numbers():
    pandas = pytest.importorskip("pandas")
    values = {
        date(2024, 2, 29): "2024-02-29",
        datetime(2024, 2, 29, 12): "2024-02-29 12:00:00",
        pandas.Timestamp("2024-02-29 13:00"): "2024-02-29 13:00:00",
        pandas.Period("2024-02", "M"): "2024-02",
        pandas.Interval(0.5, 2.0): "(0.5, 2.0]",
        Decimal("0.5"): 0.5,
        Decimal(2**60 + 1): 2**60 + 1,
        Decimal(10**35 + 1): 10**35 + 1,
        np.inf: "inf",
        np.int64(7): 7,
    }
    column = np.array([*values, pandas.NaT, None], dtype=object)[:, None]
    categories = find_categories(column, [0])
    assert set(categories.known[0]) == set(values.values())
    assert json.loads(json.dumps(categories.known[0])) == categories.known[0]
    stored = np.array([*values.values(), None, None], dtype=object)[:, None]
    codes = [categories.encode(X, allow_nan=True, owner="x") for X in (column, stored)]
    np.testing.assert_array_equal(*codes)
    assert sorted(codes[0][:, 0].tolist()) == [0, 0, *range(1, 11)]


def test_a_column_without_any_value_knows_no_category():
    assert codes_of([None, NAN], ["a", None]) == [0, 0]


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("flagged"),
        lambda a: a.pop("shifts"),
        lambda a: a.update(more=np.zeros(1)),
        lambda a: a.update(numeric=np.array([0.0])),
        lambda a: a.update(numeric=np.array([-1])),
        lambda a: a.update(flagged=np.array([99])),
        lambda a: a.update(known=np.frombuffer(b"[[[1]]]", np.uint8)),
        lambda a: a.update(known=np.frombuffer(b"[]", np.uint8)),
        lambda a: a.update(known=np.frombuffer(b"{", np.uint8)),
        lambda a: a.update(scores=np.zeros((1, 1))),
        lambda a: a.update(shifts=np.zeros(2)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change):
    arrays = learn(mixed_table(), codes=[5]).to_arrays()
    change(arrays)
    with pytest.raises(ValueError, match=r".+"):
        Columns.from_arrays(arrays)


def test_categories_are_stored_as_json():
    arrays = learn(mixed_table(), codes=[5]).to_arrays()
    assert json.loads(arrays["known"].tobytes()) == [["a", "b", "c"]]


@pytest.mark.parametrize("name", ["knots", "scores"])
def test_tables_that_fall_or_hold_other_numbers_are_refused(name):
    arrays = learn(mixed_table()).to_arrays()
    for wrong in (arrays[name][:, ::-1].copy(), arrays[name].astype(np.float32)):
        with pytest.raises(ValueError, match=r"fall|dtype"):
            Columns.from_arrays(arrays | {name: wrong})
