"""Contributions equal an independent brute force, add up, and are drawn as they are."""

import builtins
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_rankformer import RankerAdapter, RankerMixin
from sklearn_rankformer._groups import check_groups, resolve_groups
from sklearn_rankformer._lists import split_lists
from sklearn_rankformer._variants import middle_row, mix_rows
from sklearn_rankformer.inspection import ListExplanationDisplay, explain_list
from sklearn_rankformer.model_selection import ListKFold

from .conftest import make_lists
from .factories import TINY, both, mlp, rankformer


class Interacting:
    """Scores of one list in float64 that depend on products and on the other items."""

    def __init__(self, n_features, seed=0):
        rng = np.random.default_rng(seed)
        self.inner = rng.normal(size=(n_features, 5))
        self.outer = rng.normal(size=(n_features, 5))

    def of_list(self, x):
        hidden = np.tanh(x @ self.inner)
        pooled = np.cos(x @ self.outer).mean(0)
        return (hidden * pooled).sum(1) + (x - x.mean(0))[:, 0] * x[:, 1]

    def predict(self, X, groups):
        X = X.toarray() if hasattr(X, "toarray") else np.asarray(X, dtype=np.float64)
        lists = split_lists(check_groups(groups, len(X)))
        scores = np.empty(len(X))
        for j in range(lists.n_lists):
            rows = lists.rows(np.array([j]))
            scores[rows] = self.of_list(X[rows])
        return scores


def brute_force(score, x, level, lead):
    """Mean gain of each feature over every order of all features, in float64."""
    n, d = x.shape
    known = {}

    def earned(players):
        if players not in known:
            kept = x.copy()
            for j in range(d):
                if j not in players:
                    kept[:, j] = level[j]
            known[players] = lead(score(kept))
        return known[players]

    total = np.zeros((n, d))
    orders = list(permutations(range(d)))
    for order in orders:
        before = frozenset()
        for j in order:
            after = before | {j}
            total[:, j] += earned(after) - earned(before)
            before = after
    return total / len(orders)


def one_list(n_items, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n_items, n_features))


def in_rows(found, n_items):
    """Contributions in the order of the rows, not of the ranking."""
    by_row = np.empty((n_items, found.contributions.shape[1]))
    by_row[found.rows] = found.contributions
    return by_row


@pytest.mark.parametrize("reference", [None, 2])
def test_eight_features_equal_the_brute_force_over_all_orders(reference):
    x, model = one_list(5, 8), Interacting(8)
    found = explain_list(model, x, np.zeros(5), 0, reference=reference)
    if reference is None:
        level, lead = np.median(x, axis=0), lambda s: s - s.mean()
    else:
        level, lead = x[reference], lambda s: s - s[reference]
    expected = brute_force(model.of_list, x, level, lead)
    assert_allclose(in_rows(found, 5), expected, rtol=0, atol=1e-6)
    assert not found.standard_errors.any()
    assert found.n_evaluations == 2**8 - 1  # all but the one with every item alike


@pytest.mark.parametrize("max_evaluations", [2, 100, 4096])
@both
def test_contributions_sum_to_the_leads_of_networks(make, max_evaluations):
    X, y, groups = make_lists(n_lists=30, n_features=20)
    ranker = make().fit(X, y, groups=groups)
    scores = ranker.predict(X, groups=groups)
    largest = np.bincount(groups).argmax()
    inside = groups == largest
    for reference in (None, np.flatnonzero(inside)[1]):
        found = explain_list(
            ranker,
            X,
            groups,
            largest,
            reference=reference,
            max_evaluations=max_evaluations,
            random_state=0,
        )
        of = scores[inside].mean() if reference is None else scores[reference]
        assert_allclose(
            found.contributions.sum(1), scores[found.rows] - of, rtol=0, atol=1e-5
        )
        assert_allclose(found.lead, scores[found.rows] - of, rtol=0, atol=1e-5)
        assert found.reference == reference
        assert found.n_evaluations <= max(max_evaluations, 1 + 2 * 19)


def test_items_come_best_first_with_their_scores():
    x, model = one_list(6, 3), Interacting(3)
    X, groups = np.vstack([x + 1, x]), np.repeat(["a", "b"], 6)
    found = explain_list(model, X, groups, "b")
    scores = model.of_list(x)
    assert_array_equal(found.rows, 6 + np.argsort(-scores))
    assert_array_equal(found.labels, found.rows)
    assert_allclose(found.scores, np.sort(scores)[::-1])


def test_linear_models_contribute_coefficient_times_difference():
    X, y, groups = make_lists(n_lists=20)
    model = LinearRegression().fit(X, y)
    rows = np.flatnonzero(groups == np.bincount(groups).argmax())
    for reference, of in [(None, X[rows].mean(0)), (rows[0], X[rows[0]])]:
        found = explain_list(model, X, groups, groups[rows[0]], reference=reference)
        expected = (X[found.rows] - of) * model.coef_
        assert_allclose(found.contributions, expected, atol=1e-10)


def test_a_constant_added_to_every_list_changes_nothing():
    x = one_list(4, 5)
    model = Interacting(5)

    class Shifted(Interacting):
        def of_list(self, x):
            return super().of_list(x) + 100 * np.sin(x.sum())

    found, shifted = (
        explain_list(one, x, np.zeros(4), 0) for one in (model, Shifted(5))
    )
    assert_allclose(found.contributions, shifted.contributions, atol=1e-10)


def test_a_feature_without_differences_contributes_nothing_and_costs_nothing():
    x = one_list(5, 6)
    x[:, [1, 4]] = 3.0
    x[:, 5] = np.nan

    class Ignoring(Interacting):
        def of_list(self, x):
            return super().of_list(np.nan_to_num(x))

    found = explain_list(Ignoring(6), x, np.zeros(5), 0)
    assert not found.contributions[:, [1, 4, 5]].any()
    assert found.n_evaluations == 2**3 - 1


@pytest.mark.parametrize("x", [np.ones((3, 2)), np.ones((1, 2))])
def test_lists_without_differences_have_none_to_explain(x):
    found = explain_list(Interacting(2), x, np.zeros(len(x)), 0)
    assert not found.contributions.any()
    assert not found.lead.any()


@given(st.integers(0, 99), st.sampled_from([None, 1]))
@settings(max_examples=10)
def test_order_of_rows_and_features_never_matters(seed, reference):
    rng = np.random.default_rng(seed)
    x, model = one_list(4, 5, seed), Interacting(5, seed)
    rows, columns = rng.permutation(4), rng.permutation(5)

    class Moved(Interacting):
        def of_list(self, x):
            back = np.empty_like(x)
            back[:, columns] = x
            return super().of_list(back)

    found = explain_list(model, x, np.zeros(4), 0, reference=reference)
    at = None if reference is None else int(np.flatnonzero(rows == reference)[0])
    moved = explain_list(
        Moved(5, seed), x[rows][:, columns], np.zeros(4), 0, reference=at
    )
    expected = in_rows(found, 4)[rows][:, columns]
    assert_allclose(in_rows(moved, 4), expected, atol=1e-10)


@given(st.integers(0, 99), st.integers(2, 9), st.integers(2, 200))
@settings(max_examples=15)
def test_sums_hold_however_few_variants_are_scored(seed, n_features, max_evaluations):
    x, model = one_list(3, n_features, seed), Interacting(n_features, seed)
    found = explain_list(
        model,
        x,
        np.zeros(3),
        0,
        max_evaluations=max_evaluations,
        random_state=seed,
    )
    scores = model.of_list(x)
    expected = np.sort(scores - scores.mean())[::-1]
    assert_allclose(found.contributions.sum(1), expected, rtol=0, atol=1e-10)


def test_drawn_contributions_come_near_the_exact_ones_as_promised():
    x, model = one_list(30, 10), Interacting(10)
    exact = explain_list(model, x, np.zeros(30), 0)
    errors = []
    for seed in range(10):
        drawn = explain_list(
            model, x, np.zeros(30), 0, max_evaluations=400, random_state=seed
        )
        assert drawn.n_evaluations <= 400
        errors.append(drawn.contributions - exact.contributions)
        promised = drawn.standard_errors
    size = np.sqrt(np.mean(np.square(errors)))
    assert 0.8 < size / np.sqrt(np.mean(promised**2)) < 1.25


def test_one_pair_of_permutations_has_no_standard_error():
    x, model = one_list(3, 6), Interacting(6)
    found = explain_list(model, x, np.zeros(3), 0, max_evaluations=12, random_state=0)
    assert np.isnan(found.standard_errors).all()
    again = explain_list(model, x, np.zeros(3), 0, max_evaluations=12, random_state=0)
    assert_array_equal(found.contributions, again.contributions)


def test_variants_are_scored_in_parts(monkeypatch):
    x, model = one_list(4, 5), Interacting(5)
    whole = explain_list(model, x, np.zeros(4), 0)
    monkeypatch.setattr("sklearn_rankformer._attributions.ROWS_AT_ONCE", 7)
    parts = explain_list(model, x, np.zeros(4), 0)
    assert_array_equal(whole.contributions, parts.contributions)


# Tables, models, names ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["list", "sparse", "pandas", "polars"])
def test_every_kind_of_table_gives_the_same_contributions(kind):
    x, model, groups = one_list(6, 4), Interacting(4), [0, 0, 0, 1, 1, 1]
    names = list("abcd")
    if kind in ("pandas", "polars"):
        library = pytest.importorskip(kind)
        table = library.DataFrame({n: x[:, j] for j, n in enumerate(names)})
    else:
        table = x.tolist() if kind == "list" else sparse.coo_array(x)
    plain, found = (explain_list(model, one, groups, 1) for one in (x, table))
    assert_allclose(found.contributions, plain.contributions, atol=1e-12)
    assert_array_equal(found.rows, plain.rows)
    named = kind in ("pandas", "polars")
    assert list(found.feature_names) == (names if named else ["x0", "x1", "x2", "x3"])


def test_categories_and_missing_values_are_levelled_to_values_that_occur():
    pandas = pytest.importorskip("pandas")
    X, y, groups = make_lists(n_lists=60, sizes=(6, 9))
    frame = pandas.DataFrame(X, columns=list("abcd"))
    frame["b"] = pandas.Categorical(np.where(X[:, 1] > 0, "up", "down"))
    frame.loc[::3, "c"] = np.nan
    ranker = rankformer().fit(frame, y, groups=groups)
    scores = ranker.predict(frame, groups=groups)
    found = explain_list(ranker, frame, groups, 3)
    lead = scores[found.rows] - scores[groups == 3].mean()
    assert_allclose(found.contributions.sum(1), lead, rtol=0, atol=1e-5)
    assert np.abs(found.contributions[:, 1]).max() > 0


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([3.0, 1.0, 2.0], 2),
        ([np.nan, np.nan, 1.0], 0),
        (["b", "a", "b"], 0),
        (["b", None, None], 1),
    ],
)
def test_middle_is_the_median_of_numbers_and_the_mode_of_texts(column, expected):
    dtype = object if isinstance(column[0], str) else float
    assert middle_row(np.array(column, dtype=dtype)[:, None], 0) == expected


def test_categories_called_by_numbers_have_no_middle_but_a_most_common_one():
    pandas = pytest.importorskip("pandas")
    column = pandas.Categorical([10, 10, 20, 30, 40])
    frame = pandas.DataFrame({"number": np.array(column), "category": column})
    assert [middle_row(frame, j) for j in (0, 1)] == [2, 0]


@pytest.mark.parametrize("kind", ["array", "sparse", "pandas", "polars"])
def test_mixed_rows_have_each_cell_from_its_row(kind):
    x = np.arange(12.0).reshape(3, 4)
    x[:, 2] = 7
    columns, sources = np.array([3, 0]), np.array([[0, 1], [2, 2], [1, 0], [0, 0]])
    expected = np.repeat(x[:1], 4, axis=0)
    expected[:, [3, 0]] = [[3, 4], [11, 8], [7, 0], [3, 0]]
    if kind in ("pandas", "polars"):
        library = pytest.importorskip(kind)
        table = library.DataFrame({str(j): x[:, j] for j in range(4)})
        found = mix_rows(table, columns, sources).to_numpy()
    else:
        table = x if kind == "array" else sparse.csr_array(x)
        found = mix_rows(table, columns, sources)
        found = found.toarray() if kind == "sparse" else found
    assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "wrapped", ["adapter", "pipeline", "search", "column", "column below"]
)
def test_whatever_predicts_lists_is_explained(wrapped, routing):
    X, y, groups = make_lists(n_lists=20)
    table = X
    if wrapped == "adapter":
        model = RankerAdapter(LinearRegression()).fit(X, y, groups=groups)
    elif wrapped == "pipeline":
        model = make_pipeline(StandardScaler(), mlp(**TINY)).fit(X, y, groups=groups)
    elif wrapped == "search":
        model = GridSearchCV(mlp(**TINY), {"dropout": [0.1]}, cv=ListKFold(2))
        model.fit(X, y, groups=groups)
    else:
        table = np.column_stack([X[:, :2], groups, X[:, 2:]])
        model = rankformer(**TINY, group_column=2)
        if wrapped == "column below":
            model = make_pipeline(FunctionTransformer(), model)
        model.fit(table, y)
    largest = np.bincount(groups).argmax()
    found = explain_list(model, table, groups, largest)
    assert found.contributions.shape == ((groups == largest).sum(), 4)
    assert_allclose(found.contributions.sum(1), found.lead, rtol=0, atol=1e-5)
    if wrapped.startswith("column"):
        assert list(found.feature_names) == ["x0", "x1", "x3", "x4"]


@pytest.mark.parametrize("kind", ["array", "bytes", "sparse", "pandas", "polars"])
def test_a_column_of_ids_gives_what_ids_apart_give(kind):
    X, _, groups = make_lists(n_lists=20, n_features=8)
    X, groups = X.round(), groups + 1
    one, model = np.bincount(groups).argmax(), Interacting(8)

    class WithColumn(RankerMixin, BaseEstimator):
        group_column = "ids" if kind in ("pandas", "polars") else -1

        def predict(self, X, groups=None):
            X, ids = resolve_groups(X, groups, None, self.group_column)
            return model.predict(X, ids)

    if kind in ("pandas", "polars"):
        columns = {name: X[:, j] for j, name in enumerate("abcdefgh")}
        names = [f"list {g}" for g in groups]
        table = pytest.importorskip(kind).DataFrame({**columns, "ids": names})
    else:
        table = np.column_stack([X, groups])
        table = table.astype(np.int8) if kind == "bytes" else table
        table = sparse.csr_array(table) if kind == "sparse" else table
    expected = explain_list(model, X, groups, one)
    found = explain_list(WithColumn(), table, groups, one)
    assert found.n_evaluations == 2**8 - 1  # more than a signed byte holds
    assert_allclose(found.contributions, expected.contributions, atol=1e-10)


def test_inputs_stay_as_they_are():
    pandas = pytest.importorskip("pandas")
    x, model = one_list(5, 4), Interacting(4)
    frame, before = pandas.DataFrame(x.copy(), columns=list("abcd")), x.copy()
    for table in (x, frame):
        explain_list(model, table, np.zeros(5), 0)
        assert_array_equal(np.asarray(table), before)


@pytest.fixture
def labelled():
    pandas = pytest.importorskip("pandas")
    x = one_list(6, 3)
    frame = pandas.DataFrame(
        x, columns=["price", "stars", "lead"], index=list("uvwxyz")
    )
    return frame, [0, 0, 1, 1, 1, 1]


def test_labels_of_a_frame_name_items(labelled):
    frame, groups = labelled
    found = explain_list(Interacting(3), frame, groups, 1, reference="x")
    by_row = explain_list(Interacting(3), frame, groups, 1, reference=3)
    assert_array_equal(found.contributions, by_row.contributions)
    assert found.reference == 3
    assert list(found.labels) == [frame.index[row] for row in found.rows]
    assert found.lead[found.rows == 3] == 0


def test_frame_has_a_row_per_item_and_a_column_per_feature(labelled):
    frame, groups = labelled
    found = explain_list(Interacting(3), frame, groups, 1)
    table = found.to_frame()
    assert list(table.columns) == ["lead", "price", "stars", "lead"]
    assert list(table.index) == list(found.labels)
    assert_array_equal(table.iloc[:, 1:], found.contributions)
    assert_allclose(table.iloc[:, 1:].sum(axis=1), table.iloc[:, 0])


def test_frame_without_pandas_says_what_to_install(labelled, monkeypatch):
    frame, groups = labelled
    found = explain_list(Interacting(3), frame, groups, 1)
    real = builtins.__import__

    def without_pandas(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(ImportError, match=r"pip install sklearn-rankformer\[frames\]"):
        found.to_frame()


def test_text_has_a_line_per_item_whose_parts_add_up():
    x, model = one_list(3, 5), Interacting(5)
    found = explain_list(model, x, np.zeros(3), 0, reference=1)
    head, *lines = str(found).splitlines()
    assert head == "Lead over 1, and what contributes most to it:"
    assert len(lines) == 3
    for place, line in enumerate(lines):
        left, right = line.split(" = ")
        number, label, lead = left.split()
        assert (number, label) == (f"{place + 1}.", str(found.rows[place]))
        parts = right.split(", ")
        assert parts[-1].startswith("others ")
        assert len(parts) == 4
        total = sum(float(part.split()[1]) for part in parts)
        assert_allclose([float(lead), total], found.lead[place], atol=3e-3)
    assert "the list's mean" in str(explain_list(model, x, np.zeros(3), 0))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"list_id": 9}, "No row of groups is of the list 9"),
        ({"reference": 0}, r"reference=0 must be an item of the list 1, .* \[2, 3"),
        ({"reference": "z"}, "reference must be a row index from 0 to 4, got z"),
        ({"max_evaluations": 0}, "max_evaluations must be"),
        ({"groups": [1, 2]}, "groups has 2 entries"),
        ({"X": np.zeros(3)}, "X must be 2-D"),
    ],
)
def test_what_cannot_be_explained_is_refused(params, message):
    call = {"X": one_list(5, 2), "groups": [0, 0, 1, 1, 1], "list_id": 1} | params
    with pytest.raises(ValueError, match=message):
        explain_list(Interacting(2), **call)


# Display ------------------------------------------------------------------------------


@pytest.fixture
def axes():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    yield plt.subplots()[1]
    plt.close("all")


def test_bars_of_each_item_end_at_its_lead(axes):
    x, model = one_list(7, 6), Interacting(6)
    display = ListExplanationDisplay.from_estimator(
        model, x, np.zeros(7), 0, max_evaluations=20, random_state=0, ax=axes
    )
    found = display.explanation
    axes.clear()
    assert display.plot(max_items=4, max_features=2, ax=axes) is display
    assert display.ax_ is axes
    labels = axes.get_legend_handles_labels()[1]
    biggest = np.argsort(-np.abs(found.contributions[:4]).sum(0))[:2]
    assert [one for one in labels if one != "lead"] == [
        *found.feature_names[biggest],
        "others",
    ]
    bars = np.array([[bar.get_width() for bar in one] for one in axes.containers])
    assert_allclose(bars.sum(0), found.lead[:4])
    points = next(line for line in axes.lines if line.get_label() == "lead")
    assert_allclose(points.get_xdata(), found.lead[:4])
    for item in range(4):
        spans = [(bar[item].get_x(), bar[item].get_width()) for bar in axes.containers]
        ends = sorted(sorted([at, at + width]) for at, width in spans)
        gaps = [b[0] - a[1] for a, b in pairwise(ends)]
        assert_allclose(gaps, 0, atol=1e-12)  # side by side, none over another


def test_all_features_shown_leave_no_others(axes):
    display = ListExplanationDisplay.from_estimator(
        Interacting(3), one_list(4, 3), np.zeros(4), 0, reference=2
    )
    assert "others" not in display.ax_.get_legend_handles_labels()[1]
    assert display.ax_.get_xlabel() == "lead over 2"
    with pytest.raises(ValueError, match="max_items must be"):
        display.plot(max_items=0)
