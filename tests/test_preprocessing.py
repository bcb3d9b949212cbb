"""Input transform and list features: ranks not values, list by list, nothing leaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_rankformer import WithinListScaler
from sklearn_rankformer._lists import split_lists
from sklearn_rankformer._warnings import MissingGroupsWarning
from sklearn_rankformer.preprocessing import TabularTransform

from . import references
from .strategies import list_ids

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_rankformer.MissingGroupsWarning"
)

NAN = np.nan


def fit_transform(column, new=None, **params):
    """Transform one column fitted on itself: (n_rows, n_columns)."""
    X = np.asarray(column)[:, None]
    fitted = TabularTransform(**params).fit(X, np.random.RandomState(0))
    return fitted.transform(X if new is None else np.asarray(new)[:, None])


# Whole numbers and eighths: squares and cubes of them stay apart in float64.
cells = st.integers(-80, 80).map(lambda i: i / 8)
columns = st.lists(cells, min_size=2, max_size=30).filter(lambda c: len(set(c)) > 1)

# TabularTransform: numeric columns ---------------------------------------------------


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
    monkeypatch.setattr(TabularTransform, "MAX_ROWS", 1000)
    X = np.arange(50_000.0)[:, None]
    fitted = TabularTransform().fit(X, np.random.RandomState(0))
    again = TabularTransform().fit(X, np.random.RandomState(0))
    np.testing.assert_array_equal(fitted.knots_, again.knots_)
    np.testing.assert_allclose(fitted.transform(X[[25_000]]), 0, atol=0.2)
    assert np.isin(fitted.knots_, X).all()


# TabularTransform: which columns -----------------------------------------------------


def mixed_table():
    """Columns: varied, constant, with gaps, all missing, constant with a gap, code."""
    return np.array(
        [
            [0.1, 5.0, 1.0, NAN, 7.0, 2.0],
            [0.2, 5.0, NAN, NAN, NAN, 0.0],
            [0.3, 5.0, 3.0, NAN, 7.0, NAN],
            [0.4, 5.0, 4.0, NAN, 7.0, 1.0],
        ]
    )


@pytest.fixture
def mixed():
    is_code = np.arange(6) == 5
    return TabularTransform(categorical=is_code, cardinalities=(4,)).fit(
        mixed_table(), np.random.RandomState(0)
    )


def test_constant_columns_are_dropped_and_gaps_are_flagged(mixed):
    assert mixed.numeric_.tolist() == [0, 2]
    assert mixed.flagged_.tolist() == [2, 3, 4]
    assert mixed.categorical_.tolist() == [5]
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
    fitted = TabularTransform().fit(X, np.random.RandomState(0))
    assert fitted.transform(X).tolist() == [[0.0]] * 3


@given(seed=st.integers(0, 99), density=st.sampled_from([0.0, 0.2, 0.9]))
def test_sparse_rows_give_the_same_columns_as_dense_ones(seed, density):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 3)) * (rng.random((20, 3)) < density)
    X[0, 0] = NAN
    dense = TabularTransform().fit(X, np.random.RandomState(0))
    for made in (sparse.csr_matrix(X), sparse.csr_array(X)):
        fitted = TabularTransform().fit(made, np.random.RandomState(0))
        np.testing.assert_array_equal(fitted.transform(made), dense.transform(X))


@pytest.mark.parametrize("quantiles", [True, False])
def test_a_transform_made_of_its_arrays_is_the_same(quantiles):
    X = mixed_table()
    fitted = TabularTransform(quantiles, np.arange(6) == 5, (4,))
    fitted.fit(X, np.random.RandomState(0))
    again = TabularTransform.from_arrays(fitted.to_arrays())
    assert again.n_columns == fitted.n_columns
    assert again.cardinalities == (4,)
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))


@pytest.mark.parametrize("quantiles", [True, False])
def test_the_transform_leaves_its_input_alone(quantiles):
    X = mixed_table()
    TabularTransform(quantiles).fit(X, np.random.RandomState(0)).transform(X)
    np.testing.assert_array_equal(X, mixed_table())


# WithinListScaler: numbers -----------------------------------------------------------


@st.composite
def tables(draw):
    """Ids of rows and two columns for them, with ties, gaps and constants."""
    ids = draw(list_ids(max_rows=20))
    cell = st.one_of(cells, st.sampled_from([0.0, 1.0, NAN]))
    column = st.one_of(
        st.lists(cell, min_size=len(ids), max_size=len(ids)),
        st.sampled_from([0.1, 1e9, NAN]).map(lambda v: [v] * len(ids)),
    )
    return np.array(ids), np.array([draw(column), draw(column)]).T


def loop_over_lists(function, X, ids):
    out = np.empty(X.shape)
    for one in set(ids.tolist()):
        for c in range(X.shape[1]):
            rows = ids == one
            out[rows, c] = function(X[rows, c].tolist())
    return out


@given(table=tables())
def test_within_list_features_equal_loops_over_lists(table):
    ids, X = table
    out = WithinListScaler().fit_transform(X, groups=ids)
    expected = [
        X,
        loop_over_lists(references.standardize, X, ids),
        loop_over_lists(references.rank_share, X, ids),
    ]
    np.testing.assert_allclose(out, np.hstack(expected), rtol=1e-7, atol=1e-9)


@given(table=tables(), data=st.data())
def test_within_list_features_follow_their_rows(table, data):
    ids, X = table
    order = data.draw(st.permutations(range(len(ids))))
    out = WithinListScaler().fit_transform(X, groups=ids)
    moved = WithinListScaler().fit_transform(X[order], groups=ids[order])
    np.testing.assert_allclose(moved, out[order], rtol=1e-7, atol=1e-9)


@given(table=tables())
def test_other_lists_change_nothing(table):
    ids, X = table
    out = WithinListScaler().fit_transform(X, groups=ids)
    for one in split_lists(ids).ids:
        own = ids == one
        alone = WithinListScaler().fit_transform(X[own], groups=ids[own])
        np.testing.assert_allclose(alone, out[own], rtol=1e-7, atol=1e-9)


def test_lists_of_one_item_stand_in_the_middle():
    out = WithinListScaler(output="replace").fit_transform(
        [[3.0], [-8.0]], groups=["a", "b"]
    )
    assert out.tolist() == [[0.0, 0.5], [0.0, 0.5]]


def test_ties_share_their_rank():
    X = [[1.0], [2.0], [2.0], [3.0], [NAN]]
    out = WithinListScaler(output="replace").fit_transform(X, groups=[0] * 5)
    np.testing.assert_array_equal(out[:, 1], [0, 0.5, 0.5, 1, NAN])


@pytest.mark.parametrize("shift", [0.1, 1e6 + 0.1, -1e15])
def test_constant_lists_give_zero_not_noise(shift):
    X = np.full((7, 1), shift)
    out = WithinListScaler(output="replace").fit_transform(X, groups=[0] * 7)
    assert out.tolist() == [[0.0, 0.5]] * 7


@pytest.mark.parametrize("unit", [1e-300, 1e-13, 1e13, 1e300])
def test_the_unit_of_a_column_does_not_matter(unit):
    X, groups = np.array([[1.0], [2.0], [7.0], [-3.0]]), [0, 0, 0, 1]
    scaler = WithinListScaler(output="replace")
    expected = scaler.fit_transform(X, groups=groups)
    np.testing.assert_allclose(scaler.transform(unit * X, groups=groups), expected)


def test_within_list_features_leave_their_input_alone():
    X = np.array([[1.0], [NAN], [3.0]])
    out = WithinListScaler().fit_transform(X, groups=[1, 0, 1])
    out[:] = 0
    np.testing.assert_array_equal(X, [[1.0], [NAN], [3.0]])


# WithinListScaler: as a transformer --------------------------------------------------

X3 = np.array([[5.0, 1.0], [10.0, 2.0], [10.0, 5.0], [20.0, 0.0], [20.0, 3.0]])
G3 = np.array([1, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("params", "endings"),
    [
        ({}, ["", "_in_list", "_rank_in_list"]),
        ({"with_rank": False}, ["", "_in_list"]),
        ({"output": "replace"}, ["_in_list", "_rank_in_list"]),
        ({"output": "replace", "with_rank": False}, ["_in_list"]),
    ],
)
def test_names_say_what_each_column_holds(params, endings):
    scaler = WithinListScaler(**params).fit(X3, groups=G3)
    names = scaler.get_feature_names_out(["price", "rating"])
    assert names.tolist() == [
        name + ending for ending in endings for name in ("price", "rating")
    ]
    assert scaler.transform(X3, groups=G3).shape == (5, len(names))


def test_frames_in_frames_out():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X3, columns=["price", "rating"], index=list("vwxyz"))
    scaler = WithinListScaler().set_output(transform="pandas")
    out = scaler.fit_transform(frame, groups=pd.Series(G3, index=frame.index))
    assert out.index.tolist() == list("vwxyz")
    assert out.columns.tolist() == scaler.get_feature_names_out().tolist()
    np.testing.assert_array_equal(
        out.to_numpy(), WithinListScaler().fit_transform(X3, groups=G3)
    )


@pytest.mark.parametrize("method", ["fit", "transform"])
def test_wrong_number_of_ids_is_refused(method):
    scaler = WithinListScaler().fit(X3, groups=G3)
    with pytest.raises(ValueError, match="groups has 4 entries for 5 rows"):
        getattr(scaler, method)(X3, groups=G3[:4])


def test_unknown_output_is_refused():
    with pytest.raises(ValueError, match="output must be 'append' or 'replace'"):
        WithinListScaler(output="both").fit(X3, groups=G3)


def test_transform_without_groups_is_refused_after_a_fit_with_them():
    scaler = WithinListScaler().fit(X3, groups=G3)
    with pytest.raises(ValueError, match="so transform needs them too"):
        scaler.transform(X3)


def test_no_groups_at_all_take_the_rows_for_one_list():
    expected = WithinListScaler().fit_transform(X3, groups=np.zeros(5))
    np.testing.assert_array_equal(WithinListScaler().fit_transform(X3), expected)


def test_lists_never_seen_before_are_treated_like_any_other():
    scaler = WithinListScaler().fit(X3[:2], groups=[8, 8])
    expected = WithinListScaler().fit_transform(X3, groups=G3)
    np.testing.assert_array_equal(scaler.transform(X3, groups=G3), expected)


# WithinListScaler: in a pipeline -----------------------------------------------------


def pipeline():
    return make_pipeline(StandardScaler(), WithinListScaler(), Ridge())


@pytest.mark.usefixtures("routing")
def test_a_pipeline_hands_the_groups_to_fit_and_predict():
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(60, 2)), rng.integers(0, 9, 60)
    y = relative_to_list(X[:, 0], groups)
    fitted = pipeline().fit(X, y, groups=groups)
    scaler, within, ridge = (step for _, step in fitted.steps)
    by_hand = within.transform(scaler.transform(X), groups=groups)
    np.testing.assert_allclose(fitted.predict(X, groups=groups), ridge.predict(by_hand))
    assert fitted.score(X, y, groups=groups) > 0.99
    assert pipeline().fit(X, y).score(X, y) < 0.95


def relative_to_list(values, groups):
    """What a model of single items cannot learn: the value relative to its list."""
    return loop_over_lists(references.standardize, values[:, None], groups)[:, 0]


@pytest.mark.usefixtures("routing")
def test_a_pipeline_fitted_with_groups_does_not_predict_without():
    fitted = pipeline().fit(X3, np.arange(5), groups=G3)
    with pytest.raises(ValueError, match="so transform needs them too"):
        fitted.predict(X3)


def test_without_routing_a_pipeline_takes_no_groups():
    with pytest.raises((TypeError, ValueError), match="groups"):
        pipeline().fit(X3, np.arange(5), groups=G3)


# scikit-learn's own checks -----------------------------------------------------------


@parametrize_with_checks(
    [WithinListScaler(), WithinListScaler(output="replace", with_rank=False)],
    expected_failed_checks=lambda estimator: {
        "check_methods_subset_invariance": (
            "without groups all rows are one list, and a part of a list is another list"
        )
    },
)
def test_sklearn_contract(estimator, check):
    check(estimator)


def test_scaler_without_groups_warns():
    with pytest.warns(MissingGroupsWarning, match=r"WithinListScaler\.fit"):
        WithinListScaler().fit([[1.0], [2.0]])


def test_a_large_offset_costs_no_digits():
    X, groups = np.array([[1.0], [-1.0], [0.0], [8.0], [5.0]]), [0, 0, 0, 1, 1]
    scaler = WithinListScaler(output="replace")
    expected = scaler.fit_transform(X, groups=groups)
    np.testing.assert_allclose(
        scaler.transform(1.7e12 + X, groups=groups), expected, atol=1e-7
    )
