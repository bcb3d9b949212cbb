"""Features that know their list: list by list, and nothing leaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_rankformer import MissingGroupsWarning, WithinListScaler
from sklearn_rankformer._lists import split_lists

from . import references
from .strategies import cells, list_ids

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_rankformer.MissingGroupsWarning"
)

NAN = np.nan

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


@pytest.mark.parametrize("values", [[0.0, 5e-324], [1.5e-323, 2e-323], [-5e-324, 0.0]])
def test_numbers_whose_halves_are_equal_give_zero_not_nan(values):
    X = np.array(values)[:, None]
    scaler = WithinListScaler(output="replace")
    relative = scaler.fit_transform(X, groups=[0, 0])
    np.testing.assert_array_equal(relative, [[0.0, 0.0], [0.0, 1.0]])


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
    with pytest.raises(
        ValueError, match=r"output must be one of \('append', 'replace'\), got 'both'"
    ):
        WithinListScaler(output="both").fit(X3, groups=G3)


def test_sizes_of_lists_are_refused_with_the_way_to_ids():
    with pytest.raises(
        TypeError, match=r"WithinListScaler\.fit\(\) has no argument 'gr"
    ):
        WithinListScaler().fit(X3, group=[2, 3])


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


@pytest.mark.parametrize("kind", ["numpy", "pandas", "polars"])
def test_times_are_refused_whatever_holds_them(kind):
    days = np.arange(4).astype("M8[ms]")
    frames = {"numpy": lambda X: np.column_stack([*X.values()])}
    if kind != "numpy":
        frames[kind] = pytest.importorskip(kind).DataFrame
    with pytest.raises(TypeError, match="Give times as numbers"):
        WithinListScaler().fit(frames[kind]({"a": days, "b": days}), groups=[0] * 4)


def test_scaler_without_groups_warns():
    with pytest.warns(MissingGroupsWarning, match=r"WithinListScaler\.fit") as caught:
        WithinListScaler().fit([[1.0], [2.0]])
    assert "group_column" not in str(caught[0].message)  # it has none


def test_a_large_offset_costs_no_digits():
    X, groups = np.array([[1.0], [-1.0], [0.0], [8.0], [5.0]]), [0, 0, 0, 1, 1]
    scaler = WithinListScaler(output="replace")
    expected = scaler.fit_transform(X, groups=groups)
    np.testing.assert_allclose(
        scaler.transform(1.7e12 + X, groups=groups), expected, atol=1e-7
    )
