"""Explanations point at what was planted, and displays show what was computed."""

import builtins
from decimal import Decimal
from threading import Thread

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from sklearn_rankformer import inspection as module
from sklearn_rankformer._explanations import (
    MIN_DONORS,
    _draw_donors,
    _shuffled_rows,
)
from sklearn_rankformer._groups import check_groups
from sklearn_rankformer._lists import split_lists
from sklearn_rankformer._variants import sort_keys
from sklearn_rankformer.adapters import RankerAdapter
from sklearn_rankformer.calibration import (
    answer_curve,
    brier_by_segment,
    pick_threshold,
)
from sklearn_rankformer.inspection import (
    AnswerCurveDisplay,
    AttentionDisplay,
    ItemValueDisplay,
    ListValueDisplay,
    NDCGPerListDisplay,
    PermutationImportanceDisplay,
    TrainingCurveDisplay,
    attention_maps,
    explain_list,
    explain_pair,
    list_permutation_importance,
)
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.model_selection import ListKFold

from .conftest import make_lists
from .factories import TINY, mlp, rankformer
from .strategies import list_ids

N_ITEM, N_LIST = 0, 1  # columns: what tells items apart, what tells lists apart


def world(n_lists=60, seed=0, sizes=(2, 9)):
    """Column 0 orders items, column 1 is the list's, column 2 is noise."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_lists), rng.integers(*sizes, n_lists))
    X = rng.normal(size=(len(groups), 3))
    X[:, 1] = rng.normal(size=n_lists)[groups]
    # In lists of positive column 1 the order by column 0 is the right one, else its
    # reverse: both columns are needed, and only whole lists tell the second.
    signal = X[:, 0] * np.sign(X[:, 1])
    return X, np.digitize(signal, [0.3, 1.2]), groups


class Product:
    """A ranker that knows the world."""

    def predict(self, X, groups=None):
        X = X.toarray() if hasattr(X, "toarray") else np.asarray(X, dtype=float)
        return X[:, 0] * np.sign(X[:, 1])


class InList:
    """Scores column 0 less the mean of its list: the company counts."""

    def predict(self, X, groups):
        X = np.asarray(X)
        lists = split_lists(check_groups(groups, len(X)))
        mean = lists.reduce(np.add, X[:, 0]) / lists.lengths
        return np.abs(X[:, 0] - mean[lists.codes])


class ItemsKnown:
    """Knows the chances of each item's label."""

    def predict_item_value(self, X, groups):
        top = 1 / (1 + np.exp(-np.asarray(X)[:, 0]))
        proba = np.column_stack([1 - top, top / 4, 3 * top / 4])
        return Bunch(proba=proba, levels=np.arange(3.0), value=proba @ np.arange(3.0))


@pytest.fixture(scope="module")
def fitted():
    X, y, groups = make_lists(n_lists=60)
    ranker = rankformer(n_members=3, device="cpu")
    return ranker.fit(X, y, groups=groups), X, y, groups


# Importance ---------------------------------------------------------------------------


def test_importance_tells_item_features_from_list_features():
    X, y, groups = world(sizes=(5, 6))
    within, between = (
        list_permutation_importance(
            Product(), X, y, groups, how=how, random_state=0
        ).importances_mean
        for how in ("within", "between")
    )
    assert within[N_ITEM] > 0.1
    assert between[N_ITEM] == 0  # the order within each list is kept
    assert within[N_LIST] == 0  # constant within lists
    assert between[N_LIST] > 0.1
    assert within[2] == between[2] == 0


def test_lists_of_mixed_sizes_nearly_keep_their_order():
    X, y, groups = world(n_lists=300)
    between, within = (
        list_permutation_importance(Product(), X, y, groups, how=how, random_state=0)
        for how in ("between", "within")
    )
    lost = between.importances_mean[N_ITEM] / within.importances_mean[N_ITEM]
    assert abs(lost) < 0.02


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(0, 99))
def test_donors_are_a_permutation_among_similar_lengths(lengths, seed):
    lengths = np.array(lengths)
    donors = _draw_donors(lengths, np.random.RandomState(seed))
    assert_array_equal(np.sort(donors), np.arange(len(lengths)))
    # A list exchanges with lists of its length and the few next to them only.
    place = np.searchsorted(np.sort(lengths), lengths)
    assert (np.abs(place[donors] - place) < MIN_DONORS).all()


def test_importance_is_metric_before_minus_metric_after():
    X, y, groups = world()
    result = list_permutation_importance(
        Product(), X, y, groups, scoring="map", n_repeats=3, random_state=1
    )
    again = list_permutation_importance(
        Product(), X, y, groups, scoring="map", n_repeats=3, random_state=1
    )
    assert result.importances.shape == (3, 3)
    assert_array_equal(result.importances, again.importances)
    assert result.baseline == 1  # Product knows the world
    assert (result.importances[N_ITEM] > 0).all()
    assert (result.importances <= 1).all()


@given(list_ids(), st.sampled_from(["within", "between"]), st.integers(0, 99))
def test_shuffles_take_values_from_the_right_rows(ids, how, seed):
    groups = check_groups(ids, len(ids))
    lists = split_lists(groups)
    random = np.random.RandomState(seed)
    keys = random.randint(0, 3, len(ids))
    source = _shuffled_rows(keys, lists, how, random)
    for one in np.unique(groups):
        taken = source[groups == one]
        if how == "within":
            assert sorted(taken) == sorted(np.flatnonzero(groups == one))
            continue
        assert len(set(groups[taken])) == 1  # one donor
        mine, theirs = keys[groups == one], keys[taken]
        order = np.argsort(mine, kind="stable")
        assert (np.diff(theirs[order]) >= 0).all()
        for value in set(mine):
            assert len(set(theirs[mine == value])) == 1  # ties stay ties


def test_every_list_gives_its_values_to_one_list():
    groups = np.repeat(np.arange(50), 3)
    lists = split_lists(groups)
    keys = np.arange(150)
    source = _shuffled_rows(keys, lists, "between", np.random.RandomState(0))
    assert_array_equal(np.sort(source), np.arange(150))
    assert (groups[source] != groups).any()
    assert_array_equal(keys[source] % 3, keys % 3)


def tables(X):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    names = ["a", "b", "c"]
    return {
        "array": X,
        "list": X.tolist(),
        "sparse": sparse.coo_array(X),
        "pandas": pandas.DataFrame(X, columns=names),
        "polars": polars.DataFrame(X, schema=names),
    }


@pytest.mark.parametrize("kind", ["list", "sparse", "pandas", "polars"])
@pytest.mark.parametrize("how", ["within", "between"])
def test_every_kind_of_table_gives_the_same_importance(kind, how):
    X, y, groups = world()
    given = tables(X)
    one, other = (
        list_permutation_importance(
            Product(), given[k], y, groups, how=how, n_repeats=2, random_state=0
        )
        for k in ("array", kind)
    )
    assert_array_equal(one.importances, other.importances)
    named = kind in ("pandas", "polars")
    assert list(other.feature_names) == (
        ["a", "b", "c"] if named else ["x0", "x1", "x2"]
    )


def test_columns_of_text_and_gaps_are_shuffled_as_well():
    pandas = pytest.importorskip("pandas")
    X, y, groups = world()
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    frame["b"] = np.where(X[:, 1] > 0, "up", "down")
    frame.loc[:3, "c"] = np.nan

    class Reader:
        def predict(self, X):
            return X["a"] * np.where(X["b"] == "up", 1, -1)

    result = list_permutation_importance(
        Reader(), frame, y, groups, how="between", random_state=0
    )
    assert result.importances_mean[1] > 0.1
    assert frame["b"].iloc[0] in ("up", "down")


def test_a_column_of_ids_that_transformers_moved_is_refused():
    X, y, groups = world()
    table = np.column_stack([groups, X])
    scale = [("scale", StandardScaler(), [1, 2, 3])]
    moved = make_pipeline(
        ColumnTransformer(scale, remainder="passthrough"),
        RankerAdapter(LinearRegression(), group_column=3),
    ).fit(table, y)
    with pytest.raises(ValueError, match="group_column=3 is not known among"):
        list_permutation_importance(moved, table, y, groups)
    frame = pytest.importorskip("pandas").DataFrame(table, columns=list("gabc"))
    renamed = make_pipeline(
        ColumnTransformer(
            [("scale", StandardScaler(), list("abc"))], remainder="passthrough"
        ).set_output(transform="pandas"),
        RankerAdapter(LinearRegression(), group_column="remainder__g"),
    ).fit(frame, y)
    with pytest.raises(ValueError, match="group_column='remainder__g' is not known"):
        explain_list(renamed, frame, groups, 0)


@pytest.mark.parametrize("how", ["within", "between"])
@pytest.mark.parametrize(
    "as_objects", [np.frompyfunc(f, 1, 1) for f in (float, Decimal)]
)
def test_numbers_among_objects_are_numbers(how, as_objects):
    X, y, groups = world()
    X = X.round(1) * 10
    model = LinearRegression().fit(X, y)
    plain, objects = (
        list_permutation_importance(model, table, y, groups, how=how, random_state=0)
        for table in (X, as_objects(X))
    )
    assert_array_equal(plain.importances, objects.importances)
    plain, objects = (
        explain_list(model, table, groups, 0) for table in (X, as_objects(X))
    )
    assert_array_equal(plain.contributions, objects.contributions)


def test_rows_in_lists_are_explained_as_in_arrays():
    X, y, groups = world(n_lists=20)
    array = np.column_stack([np.where(X[:, 0] > 0, "up", "down"), X.astype(object)])
    ranker = mlp(**TINY, categorical_features=[0]).fit(array, y, groups=groups)
    plain, lists = (
        explain_list(ranker, table, groups, 0) for table in (array, array.tolist())
    )
    assert_array_equal(plain.contributions, lists.contributions)
    assert np.abs(plain.contributions[:, 0]).max() > 0


def test_equal_values_have_equal_keys_in_order():
    keys = sort_keys(np.array([[2.0], [np.nan], [2.0], [-1.0], [np.nan]]), 0)
    assert_array_equal(keys, [1, 2, 1, 0, 2])


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_value_differs_from_the_text_of_its_name(missing):
    column = np.array([str(missing), missing, str(missing)], dtype=object)
    assert_array_equal(sort_keys(column[:, None], 0), [1, 0, 1])


def test_decimals_have_keys_in_the_order_of_numbers_not_of_texts():
    texts = ["10.5", "9.25", "-3", "-20", "9.25", "NaN"]
    column = np.array([*map(Decimal, texts)], dtype=object)[:, None]
    assert_array_equal(sort_keys(column, 0), [3, 2, 1, 0, 2, 4])


def test_inputs_stay_as_they_are(fitted):
    ranker, X, y, groups = fitted
    before = X.copy()
    list_permutation_importance(ranker, X, y, groups, n_repeats=1, random_state=0)
    explain_pair(ranker, X, groups, *np.flatnonzero(groups == most_common(groups))[:2])
    assert_array_equal(X, before)


def test_the_column_of_list_ids_is_no_feature(fitted):
    _, X, y, groups = fitted
    ranker = rankformer(**TINY, group_column=0)
    with_ids = np.column_stack([groups, X])
    ranker.fit(with_ids, y)
    result = list_permutation_importance(
        ranker, with_ids, y, groups, n_repeats=1, random_state=0
    )
    assert list(result.feature_names) == ["x1", "x2", "x3", "x4"]
    rows = np.flatnonzero(groups == most_common(groups))
    pair = explain_pair(ranker, with_ids, groups, *rows[:2])
    assert pair.swap.shape == (4,)
    scores = ranker.predict(with_ids)
    assert_allclose(pair.difference, scores[rows[0]] - scores[rows[1]], atol=1e-5)


@pytest.mark.parametrize("wrapped", ["pipeline", "search"])
def test_the_column_of_list_ids_is_found_below_pipelines_and_searches(wrapped):
    X, y, groups = world()
    names = list("abc")
    frame = pytest.importorskip("pandas").DataFrame(X, columns=names)
    frame["list"] = groups
    model = make_pipeline(
        ColumnTransformer(
            [("scale", StandardScaler(), names)],
            remainder="passthrough",
            verbose_feature_names_out=False,
        ).set_output(transform="pandas"),
        mlp(**TINY, group_column="list"),
    )
    if wrapped == "search":
        model = GridSearchCV(model, {"mlpranker__dropout": [0.1]}, cv=ListKFold(2))
        model.fit(frame, y, groups=groups)
    else:
        model.fit(frame, y)
    for how in ("within", "between"):
        result = list_permutation_importance(
            model, frame, y, groups, how=how, n_repeats=1, random_state=0
        )
        assert list(result.feature_names) == names
    rows = np.flatnonzero(groups == most_common(groups))
    pair = explain_pair(model, frame, groups, *rows[:2])
    assert pair.swap.shape == (3,)


def test_pipelines_and_regressors_are_explained(routing):
    X, y, groups = world()
    pipeline = make_pipeline(StandardScaler(), mlp(**TINY))
    pipeline.fit(X, y, groups=groups)
    for model in (pipeline, LinearRegression().fit(X, y)):
        result = list_permutation_importance(model, X, y, groups, n_repeats=1)
        assert np.isfinite(result.importances).all()
        assert explain_pair(model, X, groups, 0, 1).swap.shape == (3,)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"how": "across"}, "how must be"),
        ({"n_repeats": 0}, "n_repeats must be"),
        ({"scoring": "ndgc"}, "Did you mean 'ndcg'"),
        ({"groups": [1, 2]}, "groups has 2 entries"),
        ({"y": [1, 2]}, "y has 2 entries for .* rows"),
        ({"X": np.zeros(3)}, "X must be 2-D"),
    ],
)
def test_importance_refuses(params, message):
    X, y, groups = world()
    call = {"X": X, "y": y, "groups": groups} | params
    with pytest.raises(ValueError, match=message):
        list_permutation_importance(Product(), **call)


# Pairs --------------------------------------------------------------------------------


def most_common(groups):
    return np.bincount(groups).argmax()


def test_swap_effects_equal_a_loop_that_swaps(fitted):
    ranker, X, _, groups = fitted
    rows = np.flatnonzero(groups == most_common(groups))
    above, below = rows[2], rows[0]
    result = explain_pair(ranker, X, groups, above, below)

    def gap(X, kept=slice(None)):
        scores = np.full(len(X), np.nan)
        at = rows[kept]
        scores[at] = ranker.predict(X[at], groups=groups[at])
        return scores[above] - scores[below]

    assert_allclose(result.difference, gap(X), atol=1e-6)
    for j in range(X.shape[1]):
        changed = X.copy()
        changed[[above, below], j] = changed[[below, above], j]
        assert_allclose(result.swap[j], gap(X) - gap(changed), atol=2e-6)
    assert_array_equal(result.rows, np.setdiff1d(rows, [above, below]))
    for other, effect in zip(result.rows, result.removal, strict=True):
        assert_allclose(effect, gap(X) - gap(X, rows != other), atol=2e-6)


def test_swap_names_the_feature_that_matters():
    X, _, groups = world()
    rows = np.flatnonzero(groups == groups[0])
    result = explain_pair(Product(), X, groups, rows[0], rows[1])
    assert_allclose(result.swap[N_ITEM], 2 * result.difference)
    assert_array_equal(result.swap[[N_LIST, 2]], 0)
    assert_array_equal(result.removal, 0)


def test_removal_shows_others_that_count():
    X = np.array([[0.0], [1.0], [9.0], [5.0]])
    groups = np.array(["a", "a", "a", "b"])
    result = explain_pair(InList(), X, groups, 0, 1)
    # With the third item the mean is 10/3, without it both lie 1/2 from theirs.
    assert_allclose(result.difference, 1)
    assert_allclose(result.removal, [1])
    assert_array_equal(result.rows, [2])


def test_many_changed_lists_are_scored_in_parts(monkeypatch):
    X, _, groups = world()
    whole = explain_pair(InList(), X, groups, 0, 1)
    monkeypatch.setattr("sklearn_rankformer._variants.ROWS_AT_ONCE", 3)
    parts = explain_pair(InList(), X, groups, 0, 1)
    assert_array_equal(whole.swap, parts.swap)
    assert_array_equal(whole.removal, parts.removal)


@pytest.mark.parametrize("pair", [(0, 0), (0, -1), (0, 10**6), (0, 1.5), ("a", 1)])
def test_pairs_that_are_none_are_refused(pair):
    X, _, groups = world()
    with pytest.raises(ValueError, match=r"above|below"):
        explain_pair(Product(), X, groups, *pair)


def test_pairs_of_two_lists_are_refused():
    X, _, groups = world()
    with pytest.raises(ValueError, match="two items of one list"):
        explain_pair(Product(), X, groups, 0, len(X) - 1)
    names = np.where(groups == groups[0], "first", "other")
    other = int(np.flatnonzero(groups != groups[0])[0])
    with pytest.raises(ValueError, match=r"their lists are 'first' and 'other'\."):
        explain_pair(Product(), X, names, 0, other)


@pytest.fixture
def labelled():
    """A frame after a mask, a shuffle and a concatenation: labels are no positions."""
    pandas = pytest.importorskip("pandas")
    X, _, groups = world()
    frame = pandas.DataFrame(X, columns=list("abc")[: X.shape[1]])
    rows = np.random.default_rng(0).permutation(len(X))[: len(X) // 2]
    return frame.iloc[rows], groups[rows]


def pair_of_one_list(groups):
    return np.flatnonzero(groups == most_common(groups))[:2]


@pytest.mark.parametrize("kind", ["text", "time", "tuple"])
def test_labels_of_a_frame_stand_for_rows(labelled, kind):
    pandas = pytest.importorskip("pandas")
    frame, groups = labelled
    frame = frame.copy()
    frame.index = {
        "text": lambda: [f"item {i}" for i in frame.index],
        "time": lambda: (
            pandas.Timestamp("2024-01-01") + pandas.to_timedelta(frame.index, unit="D")
        ),
        "tuple": lambda: pandas.MultiIndex.from_arrays([frame.index, frame.index]),
    }[kind]()
    rows = pair_of_one_list(groups)
    by_row = explain_pair(Product(), frame, groups, *rows)
    by_label = explain_pair(Product(), frame, groups, *frame.index[rows])
    assert by_label.difference == by_row.difference
    np.testing.assert_array_equal(by_label.swap, by_row.swap)
    np.testing.assert_array_equal(by_label.rows, by_row.rows)


def test_integers_are_rows_whatever_the_labels_are(labelled):
    frame, groups = labelled
    rows = pair_of_one_list(groups)
    plain = explain_pair(Product(), frame.to_numpy(), groups, *rows)
    np.testing.assert_array_equal(
        explain_pair(Product(), frame, groups, *rows).swap, plain.swap
    )
    label = frame.index.max()
    place = frame.index.get_loc(label)
    with pytest.raises(ValueError, match=rf"got {label}.*label {label} is {place}\."):
        explain_pair(Product(), frame, groups, 0, label)


def test_a_label_that_is_missing_or_given_twice_raises(labelled):
    pandas = pytest.importorskip("pandas")
    frame, groups = labelled
    twice = pandas.concat([frame, frame]).set_axis(
        [f"i{i % 7}" for i in range(2 * len(frame))]
    )
    groups = np.concatenate([groups, groups])
    with pytest.raises(ValueError, match=r"below='i3' is the label of \d+ rows"):
        explain_pair(Product(), twice, groups, 0, "i3")
    with pytest.raises(ValueError, match=r"above must be a row index .* label of X"):
        explain_pair(Product(), twice, groups, "i9", 0)
    rows = pair_of_one_list(groups)
    plain = explain_pair(Product(), twice.to_numpy(), groups, *rows)
    np.testing.assert_array_equal(
        explain_pair(Product(), twice, groups, *rows).swap, plain.swap
    )


@pytest.mark.parametrize("item", ["a", None, 1.0, True, -1, 10**6])
def test_other_items_than_rows_of_an_array_raise(item):
    X, _, groups = world()
    with pytest.raises(
        ValueError, match=r"above must be a row index from 0 to \d+, got"
    ):
        explain_pair(Product(), X, groups, item, 1)


def test_masked_and_arrow_tables_are_explained():
    pandas = pytest.importorskip("pandas")
    arrow = pytest.importorskip("pyarrow")
    X, _, groups = world()
    rows = pair_of_one_list(groups)
    plain = explain_pair(Product(), X, groups, *rows)
    frame = pandas.DataFrame(X).rename(columns=str)
    for table in (np.ma.masked_array(X), arrow.Table.from_pandas(frame)):
        result = explain_pair(Product(), table, groups, *rows)
        np.testing.assert_allclose(result.swap, plain.swap)


# Attention ----------------------------------------------------------------------------


def test_attention_rows_sum_to_one_in_the_promised_shape(fitted):
    ranker, X, _, groups = fitted
    one = most_common(groups)
    maps = attention_maps(ranker, X, groups, one)
    n = (groups == one).sum()
    assert maps.weights.shape == (3, len(ranker.module_.blocks), 2, 1 + n, 1 + n)
    assert_allclose(maps.weights.sum(-1), 1, rtol=1e-5)
    assert (maps.weights >= 0).all()
    assert_array_equal(maps.rows, np.flatnonzero(groups == one))


def test_attention_weights_give_what_the_fused_attention_gives(fitted):
    ranker, X, _, groups = fitted
    one = most_common(groups)
    seen = {"qkv": [], "mixed": []}
    hooks = []
    for block in ranker.module_.blocks:
        hooks += [
            block.to_qkv.register_forward_hook(
                lambda module, given, out: seen["qkv"].append(out)
            ),
            block.from_heads.register_forward_pre_hook(
                lambda module, given: seen["mixed"].append(given[0])
            ),
        ]
    ranker.predict(X[groups == one], groups=groups[groups == one])
    for hook in hooks:
        hook.remove()
    weights = attention_maps(ranker, X, groups, one).weights
    for layer, (qkv, mixed) in enumerate(zip(seen["qkv"], seen["mixed"], strict=True)):
        n_members, _, size, width = mixed.shape
        v = qkv[..., 2 * width :].view(n_members, size, 2, -1).transpose(1, 2)
        expected = (torch.tensor(weights[:, layer]) @ v).transpose(1, 2)
        assert_allclose(expected.reshape(mixed.shape), mixed, atol=1e-5)


def test_looking_at_attention_leaves_the_ranker_alone(fitted):
    ranker, X, _, groups = fitted
    before = ranker.predict(X, groups=groups)
    attention_maps(ranker, X, groups, 0)
    assert not any(block.to_qkv._forward_hooks for block in ranker.module_.blocks)
    assert_array_equal(ranker.predict(X, groups=groups), before)


def test_looking_at_attention_never_disturbs_predictions_in_other_threads(fitted):
    ranker, X, _, groups = fitted
    before, others = ranker.predict(X, groups=groups), []

    def predict_often():
        others.extend(ranker.predict(X, groups=groups) for _ in range(20))

    thread = Thread(target=predict_often)
    thread.start()
    expected = attention_maps(ranker, X, groups, 0).weights
    while thread.is_alive():
        assert_array_equal(attention_maps(ranker, X, groups, 0).weights, expected)
    thread.join()
    assert all((scores == before).all() for scores in others)
    assert len(others) == 20


def test_attention_of_what_has_none_is_refused(fitted):
    ranker, X, y, groups = fitted
    with pytest.raises(ValueError, match="No row of groups is of the list 999"):
        attention_maps(ranker, X, groups, 999)
    ranker = mlp(**TINY).fit(X, y, groups=groups)
    with pytest.raises(TypeError, match="MLPRanker has no attention"):
        attention_maps(ranker, X, groups, 0)


# Displays -----------------------------------------------------------------------------


@pytest.fixture
def axes():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    yield plt.subplots()[1]
    plt.close("all")


@pytest.fixture
def draw(fitted):
    ranker, X, y, groups = fitted
    one = most_common(groups)
    return {
        "training": lambda ax: TrainingCurveDisplay.from_estimator(ranker, ax=ax),
        "size": lambda ax: NDCGPerListDisplay.from_estimator(
            ranker, X, y, groups, ax=ax
        ),
        "list": lambda ax: NDCGPerListDisplay.from_estimator(
            ranker, X, y, groups, kind="list", k=None, ax=ax
        ),
        "attention": lambda ax: AttentionDisplay.from_estimator(
            ranker, X, groups, one, ax=ax
        ),
        "value": lambda ax: ListValueDisplay.from_estimator(
            ranker, X, y, groups, n_bins=5, ax=ax
        ),
        "by segment": lambda ax: ListValueDisplay.from_estimator(
            ranker, X, y, groups, segment=groups % 2, ax=ax
        ),
        "items": lambda ax: ItemValueDisplay.from_estimator(
            ItemsKnown(), X, y, groups, segment=y > 1, ax=ax
        ),
        "answers": lambda ax: AnswerCurveDisplay.from_estimator(
            ranker, X, y, groups, ax=ax
        ),
        "importance": lambda ax: PermutationImportanceDisplay.from_estimator(
            ranker, X, y, groups, n_repeats=2, random_state=0, ax=ax
        ),
    }


KINDS = ["training", "size", "list", "attention", "importance"]
KINDS += ["value", "by segment", "items", "answers"]


@pytest.mark.parametrize("kind", KINDS)
def test_displays_draw_where_they_are_told(kind, draw, axes):
    display = draw[kind](axes)
    assert display.ax_ is axes
    assert display.figure_ is axes.figure
    assert axes.get_xlabel() or kind == "attention"
    assert axes.has_data()
    display.figure_.canvas.draw()
    other = display.plot()
    assert other is display
    assert display.ax_ is not axes


@pytest.mark.parametrize("kind", KINDS)
def test_without_matplotlib_displays_say_what_to_install(kind, draw, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install sklearn-rankformer\[plot\]"):
        draw[kind](None)


@pytest.mark.parametrize("measure", ["valid_ndcg", "valid_loss"])
def test_training_curve_shows_the_history(measure, axes):
    X, y, groups = make_lists()
    ranker = mlp()
    y_val = y if measure == "valid_ndcg" else 0 * y  # nothing to rank
    ranker.fit(X, y, groups=groups, X_val=X, y_val=y_val, groups_val=groups)
    display = TrainingCurveDisplay.from_estimator(ranker, ax=axes)
    loss, right = axes.lines[0], display.measure_ax_
    assert_allclose(loss.get_ydata(), [e["train_loss"] for e in ranker.history_])
    assert_allclose(
        right.lines[0].get_ydata(), [epoch[measure] for epoch in ranker.history_]
    )
    assert ("NDCG" in right.get_ylabel()) == (measure == "valid_ndcg")
    assert axes.lines[1].get_xdata()[0] == ranker.kept_epoch_


def test_training_without_held_out_lists_has_one_curve(axes):
    X, y, groups = make_lists(n_lists=5)
    ranker = mlp().fit(X, y, groups=groups)
    assert TrainingCurveDisplay.from_estimator(ranker, ax=axes).measure_ax_ is None


def test_ndcg_by_size_is_the_mean_of_lists_of_a_size(axes):
    X, y, groups = world()
    scores = X[:, 0]
    display = NDCGPerListDisplay.from_predictions(y, scores, groups, ax=axes)
    sizes, values = display.by_size(n_bins=100)
    each = ndcg_score(y, scores, groups, k=10, reduction="none").value
    lengths = np.bincount(groups)
    for size, value in zip(sizes, values, strict=True):
        assert_allclose(value, np.nanmean(each[lengths == size]))
    assert set(sizes) == set(lengths[~np.isnan(each)])
    few_sizes, few = display.by_size(n_bins=3)
    assert len(few) <= 3
    assert (np.diff(few_sizes) > 0).all()


def test_ndcg_from_the_worst_list_on_falls_nowhere(axes):
    X, y, groups = world()
    NDCGPerListDisplay.from_predictions(y, X[:, 0], groups, kind="list", ax=axes)
    assert (np.diff(axes.lines[0].get_ydata()) >= 0).all()
    with pytest.raises(ValueError, match="kind must be"):
        NDCGPerListDisplay.from_predictions(y, X[:, 0], groups, kind="query", ax=axes)


def test_attention_picture_is_the_mean_over_members(fitted, axes):
    ranker, X, _, groups = fitted
    maps = attention_maps(ranker, X, groups, 3)
    display = AttentionDisplay.from_estimator(ranker, X, groups, 3, head=1, ax=axes)
    assert_allclose(display.image_.get_array(), maps.weights[:, -1, 1].mean(0))
    assert axes.get_xticklabels()[0].get_text() == "list"
    with pytest.raises(ValueError, match="item_names has 0 entries"):
        AttentionDisplay.from_estimator(ranker, X, groups, 3, item_names=[])


def test_brier_score_is_the_mean_squared_error_of_the_chance(fitted, axes):
    ranker, X, y, groups = fitted
    display = ListValueDisplay.from_estimator(ranker, X, y, groups, ax=axes)
    value = ranker.predict_list_value(X, groups=groups)
    best = np.array([y[groups == one].max() for one in value.groups])
    chance = 1 - value.proba[:, 0]
    assert_allclose(display.brier_score, np.mean((chance - (best >= 1)) ** 2))
    assert ListValueDisplay(np.ones(4, bool), np.ones(4)).brier_score == 0


def test_items_are_judged_by_their_own_labels(fitted, axes):
    _, X, y, groups = fitted
    display = ItemValueDisplay.from_estimator(
        ItemsKnown(), X, y, groups, min_label=2, ax=axes
    )
    assert_array_equal(display.is_good, y >= 2)
    assert_allclose(display.proba, 0.75 / (1 + np.exp(-X[:, 0])))
    assert "items" in axes.get_ylabel()


def test_labels_in_float32_are_judged_like_those_in_float64(fitted):
    ranker, X, y, groups = fitted
    ranker = rankformer(**TINY).fit(X, (0.7 * y).astype(np.float32), groups=groups)
    single, double = (
        module._list_outcomes(ranker, X, 0.7 * y.astype(kind), groups, 0.7)
        for kind in (np.float32, np.float64)
    )
    assert 0 < single[0].sum() < len(single[0])
    assert_array_equal(single[0], double[0])
    assert_allclose(single[1], 1 - ranker.predict_list_value(X, groups).proba[:, 0])


@given(st.integers(0, 99))
def test_no_order_of_the_rows_changes_what_is_shown(fitted, seed):
    ranker, X, y, groups = fitted
    order = np.random.default_rng(seed).permutation(len(y))
    segment = np.array(["even", "odd"])[groups % 2]
    before, after = (
        module._list_outcomes(ranker, X[rows], y[rows], groups[rows], 1)
        for rows in (slice(None), order)
    )
    assert_array_equal(before[0], after[0])
    assert_allclose(before[1], after[1], atol=1e-5)
    assert_array_equal(
        module.segment_of_lists(segment, before[2]),
        module.segment_of_lists(segment[order], after[2]),
    )


def test_each_segment_has_its_curve_its_base_rate_and_its_scores(fitted, axes):
    ranker, X, y, groups = fitted
    segment = np.array(["even", "odd"])[groups % 2]
    display = ListValueDisplay.from_estimator(
        ranker, X, y, groups, segment=segment, min_label=2, ax=axes
    )
    of_lists = segment[np.unique(groups, return_index=True)[1]]
    expected = brier_by_segment(display.is_good, display.proba, of_lists)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    for j, name in enumerate(("even", "odd")):
        assert expected.segment[j] == name
        assert expected.brier[j] == display.by_segment.brier[j]
        assert any(
            f"{name}: {expected.base_rate[j]:.0%} good; Brier {expected.brier[j]:.3f}, "
            f"of the base rate {expected.base_brier[j]:.3f}" == text
            for text in texts
        )
        rates = [line.get_ydata()[0] for line in axes.lines]
        assert expected.base_rate[j] in rates
    assert f"within segments {expected.within_base_brier:.3f}" in axes.get_title()


def test_bins_hold_equal_chances_together_and_twenty_at_least(axes):
    chance = np.repeat([0.1, 0.5, 0.9], [30, 40, 30])
    good = np.arange(100) % 2 == 0
    ListValueDisplay.from_predictions(good, chance, n_bins=50, ax=axes)
    (curve,) = (line for line in axes.lines if line.get_marker() == "o")
    assert_allclose(curve.get_xdata(), [0.1, 0.5, 0.9])
    assert_allclose(curve.get_ydata(), [0.5, 0.5, 0.5])
    few = ListValueDisplay.from_predictions(good[:39], np.linspace(0, 1, 39))
    (curve,) = (line for line in few.ax_.lines if line.get_marker() == "o")
    assert len(curve.get_xdata()) == 1


def test_a_segment_is_the_same_on_all_rows_of_a_list(fitted, axes):
    ranker, X, y, groups = fitted
    with pytest.raises(ValueError, match="segment differs within the list"):
        ListValueDisplay.from_estimator(
            ranker, X, y, groups, segment=np.arange(len(y)), ax=axes
        )
    with pytest.raises(ValueError, match=r"segment has shape \(60,\)"):
        ListValueDisplay.from_estimator(
            ranker, X, y, groups, segment=np.zeros(60), ax=axes
        )


def test_answers_are_drawn_with_the_threshold_that_was_picked(axes):
    rng = np.random.default_rng(0)
    chance = rng.uniform(size=500)
    good = rng.uniform(size=500) < chance
    display = AnswerCurveDisplay.from_predictions(good, chance, precision=0.7, ax=axes)
    curve, picked = (
        answer_curve(good, chance),
        pick_threshold(good, chance, precision=0.7),
    )
    assert_array_equal(axes.lines[0].get_xdata(), curve.share)
    assert_array_equal(axes.lines[0].get_ydata(), curve.precision)
    assert display.picked == picked
    assert axes.lines[-1].get_xdata()[0] == picked.share
    assert AnswerCurveDisplay.from_predictions(good, chance).picked is None
    with pytest.warns(UserWarning, match="No threshold promises"):
        none = AnswerCurveDisplay.from_predictions(good, chance, precision=0.99)
    assert "nowhere 0.99 promised" in none.ax_.get_legend().get_texts()[-1].get_text()


def outcomes_and_chances():
    chance = np.random.default_rng(0).uniform(size=100).round(3)
    return np.random.default_rng(1).uniform(size=100) < chance, chance


@pytest.mark.parametrize(
    "kind", [ListValueDisplay, ItemValueDisplay, AnswerCurveDisplay]
)
@pytest.mark.parametrize("form", ["objects", "texts", "column"])
def test_outcomes_and_chances_of_any_form_are_drawn(kind, form, axes):
    good, chance = outcomes_and_chances()
    change = {
        "objects": lambda x: x.astype(object),
        "texts": lambda x: x.astype(float).astype(str),
        "column": lambda x: x[:, None],
    }[form]
    kind.from_predictions(change(good), change(chance), ax=axes)
    plain = kind.from_predictions(good, chance)
    for found, expected in zip(axes.lines, plain.ax_.lines, strict=True):
        assert_array_equal(found.get_xydata(), expected.get_xydata())


@pytest.mark.parametrize(
    "kind", [ListValueDisplay, ItemValueDisplay, AnswerCurveDisplay]
)
def test_displays_call_their_arguments_by_their_own_names(kind):
    good, chance = outcomes_and_chances()
    for pair, message in (
        ((good.reshape(50, 2), chance), "is_good must be 1-D"),
        ((np.where(good, 1, np.nan), chance), "is_good contains NaN"),
        ((good, np.where(good, chance, np.nan)), "proba contains NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            kind.from_predictions(*pair)


def test_confidence_between_two_percents_is_shown_as_it_is(axes):
    AnswerCurveDisplay.from_predictions(
        *outcomes_and_chances(), confidence=0.995, ax=axes
    )
    assert "its 99.5% lower" in axes.get_legend().get_texts()[1].get_text()


def test_importance_display_shows_the_most_important_last(axes):
    X, y, groups = world()
    PermutationImportanceDisplay.from_estimator(
        Product(), X, y, groups, random_state=0, ax=axes
    ).plot(max_features=2, ax=axes)
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert set(labels) == {"x0", "x1"}


def test_everything_public_is_there():
    assert all(hasattr(module, name) for name in module.__all__)
