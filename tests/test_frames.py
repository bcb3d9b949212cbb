"""What X may be: frames of pandas and polars, categories, sparse and memory-mapped."""

import pickle
import tracemalloc
import warnings
from functools import partial

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OrdinalEncoder,
    StandardScaler,
)

from sklearn_rankformer import RankerAdapter, VotingRanker, _batching

from .conftest import make_lists
from .factories import TINY, both, mlp, rankformer

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

NAMES = ["a", "b", "c", "d"]
COLOURS = ["blue", "green", "red"]


frames = pytest.mark.parametrize("kind", ["pandas", "polars"])


def scores_of(X, y, groups):
    """What a small ranker says of the lists that it learned."""
    return rankformer().fit(X, y, groups=groups).predict(X, groups=groups)


@pytest.fixture
def data():
    """Features, labels, list ids, and a colour that the labels depend on."""
    X, y, groups = make_lists(n_lists=30)
    colour = np.random.default_rng(0).choice(COLOURS, len(y))
    return X, np.where(colour == "red", y + 1, y), groups, colour


def frame(kind, X, colour=None, groups=None):
    """Frame of numbers, of a categorical column and of list ids, if given."""
    columns = {name: X[:, j] for j, name in enumerate(NAMES)}
    if kind == "pandas":
        if colour is not None:
            columns["colour"] = pd.Categorical(colour)
        if groups is not None:
            columns["qid"] = groups
        return pd.DataFrame(columns)
    if colour is not None:
        dtype = pl.Enum(COLOURS) if kind == "enum" else pl.Categorical
        columns["colour"] = pl.Series(colour.tolist(), dtype=dtype)
    if groups is not None:
        columns["qid"] = groups
    return pl.DataFrame(columns)


def equal(a, b):
    np.testing.assert_array_equal(a, b)


# Names of columns --------------------------------------------------------------------


@both
@frames
def test_names_of_columns_are_remembered(make, kind, data):
    X, y, groups, colour = data
    ranker = make().fit(frame(kind, X, colour), y, groups=groups)
    assert list(ranker.feature_names_in_) == [*NAMES, "colour"]
    assert ranker.n_features_in_ == 5


@frames
def test_frames_score_as_their_arrays(kind, data):
    X, y, groups, _ = data
    from_frame = rankformer().fit(frame(kind, X), y, groups=groups)
    from_array = rankformer().fit(X, y, groups=groups)
    equal(
        from_frame.predict(frame(kind, X), groups=groups),
        from_array.predict(X, groups=groups),
    )


@frames
@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[["b", "a", *f.columns[2:]]], "must be in the same order"),
        (lambda f: f[list(f.columns[1:])], "yet now missing:\n- a"),
        (lambda f: f.rename({"a": "z"}, **AXIS[type(f)]), "unseen at fit time:\n- z"),
    ],
    ids=["reordered", "missing", "renamed"],
)
def test_wrong_names_are_refused(kind, coloured, change, message, data):
    X, y, groups, colour = data
    given = frame(kind, X, colour if coloured else None)
    ranker = rankformer().fit(given, y, groups=groups)
    with pytest.raises(ValueError, match=message):
        ranker.predict(change(given), groups=groups)


AXIS = {pd.DataFrame: {"axis": 1}, pl.DataFrame: {}}


def test_array_after_frame_and_frame_after_array_warn(data):
    X, y, groups, _ = data
    named = rankformer().fit(frame("pandas", X), y, groups=groups)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        named.predict(X, groups=groups)
    unnamed = rankformer().fit(X, y, groups=groups)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        unnamed.predict(frame("pandas", X), groups=groups)


@frames
def test_labels_groups_and_weights_may_be_columns(kind, data):
    X, y, groups, _ = data
    column = (
        pl.Series
        if kind == "polars"
        else lambda v: pd.Series(v, index=np.arange(len(v))[::-1])
    )
    weights = 1.0 + groups % 3
    a = rankformer().fit(
        X, column(y), groups=column(groups), sample_weight=column(weights)
    )
    b = rankformer().fit(X, y, groups=groups, sample_weight=weights)
    equal(a.predict(X, groups=column(groups)), b.predict(X, groups=groups))
    assert a.score(X, column(y), column(groups)) == b.score(X, y, groups)


# List ids in a column ----------------------------------------------------------------


@both
@frames
@pytest.mark.parametrize("text", [False, True])
def test_group_column_is_found_by_name(make, kind, text, data):
    X, y, groups, colour = data
    names = np.array([f"q{g:03d}" for g in groups], dtype=object)
    given = frame(kind, X, colour, list(names) if text else groups)
    ranker = make(group_column="qid").fit(given, y)
    assert "qid" not in ranker.feature_names_in_
    explicit = make().fit(frame(kind, X, colour), y, groups=groups)
    equal(
        ranker.predict(given), explicit.predict(frame(kind, X, colour), groups=groups)
    )
    equal(ranker.get_groups(given), names if text else groups)


@pytest.mark.parametrize(
    "cast",
    [
        lambda f: f.assign(qid=f.qid.astype("Int64")),
        lambda f: f.assign(qid=f.qid.astype("string")),
        lambda f: f.assign(qid=f.qid.astype("category")),
        lambda f: f.assign(qid=f.qid.astype(float)),
    ],
    ids=["Int64", "string", "category", "float"],
)
def test_group_column_of_any_dtype(cast, data):
    X, y, groups, _ = data
    groups = groups + 100  # as many digits in all: text sorts as numbers do
    given = frame("pandas", X, groups=groups)
    ranker = rankformer(group_column="qid").fit(given, y)
    other = rankformer(group_column="qid").fit(cast(given), y)
    equal(ranker.predict(given), other.predict(cast(given)))


@frames
def test_group_column_with_a_missing_id_is_refused(kind, data):
    X, y, groups, _ = data
    ids = [None, *groups[1:].tolist()]
    with pytest.raises(ValueError, match="'qid' contains NaN"):
        rankformer(group_column="qid").fit(frame(kind, X, groups=ids), y)


@frames
def test_group_column_that_is_gone_is_missed(kind, data):
    X, y, groups, _ = data
    ranker = rankformer(group_column="qid").fit(frame(kind, X, groups=groups), y)
    with pytest.raises(ValueError, match="Keep the column of list ids in X"):
        ranker.predict(frame(kind, X))


# Categories --------------------------------------------------------------------------


@both
@pytest.mark.parametrize("kind", ["pandas", "polars", "enum"])
def test_categorical_dtype_is_found_and_equals_naming_text(make, kind, data):
    X, y, groups, colour = data
    by_dtype = make().fit(frame(kind, X, colour), y, groups=groups)
    assert by_dtype._model.columns.categories.cardinalities == (
        4,
    )  # three colours and the unknown
    text = frame("pandas", X).assign(colour=colour)
    by_name = make(categorical_features=["colour"]).fit(text, y, groups=groups)
    equal(
        by_dtype.predict(frame(kind, X, colour), groups=groups),
        by_name.predict(text, groups=groups),
    )


def test_category_is_learned_from(data):
    X, y, groups, colour = data
    ranker = rankformer(max_epochs=10, learning_rate=5e-3, input_transform=None)
    X = np.zeros_like(X)
    y = (colour == "red").astype(int)
    ranker.fit(frame("pandas", X, colour), y, groups=groups)
    assert ranker.score(frame("pandas", X, colour), y, groups) > 0.99


@pytest.mark.parametrize(
    "columns", [[4], [-1], [False] * 4 + [True], np.array([4]), ["colour"]], ids=str
)
def test_categories_by_index_mask_or_name(columns, data):
    X, y, groups, colour = data
    given = frame("pandas", X, colour)
    expected = scores_of(given, y, groups)
    named = isinstance(columns, list) and columns == ["colour"]
    kinds = [given] if named else [given, np.column_stack([X.astype(object), colour])]
    for one in kinds:
        ranker = rankformer(categorical_features=columns).fit(one, y, groups=groups)
        equal(ranker.predict(one, groups=groups), expected)


def test_nested_lists_may_hold_categories(data):
    X, y, groups, colour = data
    rows = [[*numbers, c] for numbers, c in zip(X.tolist(), colour, strict=True)]
    ranker = rankformer(categorical_features=[4]).fit(rows, y, groups=groups)
    given = frame("pandas", X, colour)
    expected = scores_of(given, y, groups)
    equal(ranker.predict(rows, groups=groups), expected)


def test_index_of_category_counts_without_the_group_column(data):
    X, y, groups, colour = data
    codes = np.searchsorted(COLOURS, colour)
    without = np.column_stack([X, codes])
    with_ids = np.column_stack([groups, X, codes])
    explicit = rankformer(categorical_features=[4]).fit(without, y, groups=groups)
    held = rankformer(categorical_features=[4], group_column=0).fit(with_ids, y)
    equal(held.predict(with_ids), explicit.predict(without, groups=groups))


@both
@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_unknown_category_counts_as_missing(make, kind, data):
    X, y, groups, colour = data
    ranker = make().fit(frame(kind, X, colour), y, groups=groups)
    known = ranker.predict(frame(kind, X, colour), groups=groups)
    unknown = frame(kind, X, np.full(len(y), "violet"))
    missing = frame(kind, X, np.full(len(y), None))
    scores = ranker.predict(unknown, groups=groups)
    equal(scores, ranker.predict(missing, groups=groups))
    assert not np.allclose(scores, known)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize(
    ("seen", "new"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2"], [2.0, None]),
        ([1, 2], ["1", "3"]),
        ([0.5, 2.0], ["0.5", "x"]),
        (["True", "False"], [True, False]),
    ],
)
def test_categories_of_another_type_than_in_fit_warn_by_name(kind, seen, new, data):
    X, y, groups, _ = data
    which = np.arange(len(y)) % 2

    def with_kind(values):
        column = [values[i] for i in which]
        one = frame(kind, X)
        if kind == "pandas":
            return one.assign(e=pd.Series(column))
        return one.with_columns(pl.Series("e", column))

    ranker = rankformer(categorical_features=["e"]).fit(with_kind(seen), y, groups)
    with pytest.warns(UserWarning, match="column 'e' of X is known") as caught:
        ranker.predict(with_kind(new), groups)
    assert len(caught) == 1


@pytest.mark.parametrize("new", [["3", "4"], [None, None], ["1", 2], [3, 4]])
def test_categories_that_are_simply_unknown_do_not_warn(new, data):
    X, y, groups, _ = data
    given = pd.DataFrame(X, columns=NAMES)
    which = np.arange(len(y)) % 2
    seen = given.assign(e=np.array(["1", "2"], dtype=object)[which])
    ranker = rankformer(categorical_features=["e"]).fit(seen, y, groups)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranker.predict(given.assign(e=np.array(new, dtype=object)[which]), groups)


@pytest.mark.parametrize("kind", ["pandas", "polars", "enum"])
def test_missing_categories_in_training_are_taken(kind, data):
    X, y, groups, colour = data
    holes = colour.astype(object)
    holes[::3] = None
    ranker = rankformer().fit(frame(kind, X, holes), y, groups=groups)
    assert ranker._model.columns.categories.cardinalities[0] >= 4
    assert np.isfinite(ranker.predict(frame(kind, X, holes), groups=groups)).all()


def test_categories_given_as_numbers_may_be_missing(data):
    X, y, groups, colour = data
    codes = np.searchsorted(COLOURS, colour).astype(float)
    codes[::3] = np.nan
    holes = np.where(np.isnan(codes), None, colour)
    numbers = np.column_stack([X, codes])
    a = rankformer(categorical_features=[4]).fit(numbers, y, groups=groups)
    b = rankformer().fit(frame("pandas", X, holes), y, groups=groups)
    scores = b.predict(frame("pandas", X, holes), groups=groups)
    equal(a.predict(numbers, groups=groups), scores)


@both
def test_categories_alone_are_enough(make, data):
    X, y, groups, colour = data
    given = frame("pandas", X, colour)[["colour"]]
    scores = make().fit(given, y, groups=groups).predict(given, groups=groups)
    assert np.isfinite(scores).all()


def test_categories_survive_copies(data):
    X, y, groups, colour = data
    given = frame("pandas", X, colour)
    ranker = rankformer().fit(given, y, groups=groups)
    twin = pickle.loads(pickle.dumps(ranker))
    equal(twin.predict(given, groups=groups), ranker.predict(given, groups=groups))


@pytest.mark.parametrize(
    "cut",
    [
        lambda x: pd.cut(x, 3),
        lambda x: pd.to_datetime((x > 0).astype(int), unit="D").astype("category"),
    ],
)
def test_categories_of_intervals_and_dates_survive_copies(cut, data):
    X, y, groups, _ = data
    frame = pd.DataFrame(X, columns=NAMES)
    frame["e"] = cut(frame["a"])
    ranker = rankformer().fit(frame, y, groups=groups)
    twin = pickle.loads(pickle.dumps(ranker))
    equal(twin.predict(frame, groups), ranker.predict(frame, groups))
    unknown = frame.assign(e=None)
    assert (ranker.predict(unknown, groups) != ranker.predict(frame, groups)).any()


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize("make", [rankformer, lambda: RankerAdapter(Ridge())])
def test_frames_of_no_rows_or_no_columns_are_refused_like_arrays(kind, make, data):
    X, y, groups, _ = data
    table = frame(kind, X)
    ranker = make().fit(table, y, groups=groups)
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        ranker.predict(table[:0], groups=groups[:0])
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        make().fit(table[:0], y[:0], groups=groups[:0])
    bare = type(table)({"g": groups})
    with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\)"):
        make().set_params(group_column="g").fit(bare, y)


def test_categories_of_no_rows_are_refused_wherever_they_are_given(data):
    X, y, groups, colour = data
    table = frame("pandas", X, colour)[["colour"]]
    nothing = table[:0], y[:0], groups[:0]
    ranker = mlp(**TINY).fit(table, y, groups=groups)
    for call in (
        partial(mlp(**TINY).fit, *nothing),
        partial(ranker.partial_fit, *nothing),
        partial(
            mlp(**TINY).fit,
            *(table, y, groups),
            **dict(zip(["X_val", "y_val", "groups_val"], nothing, strict=True)),
        ),
    ):
        with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
            call()


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("within", [None, VotingRanker])
def test_rows_in_lists_are_the_same_categories_as_in_arrays(within, data):
    def wrap(ranker):
        return ranker if within is None else within([("a", ranker)])

    X, y, groups, colour = data
    rows = [[c, x] for c, x in zip(colour.tolist(), X[:, 0].tolist(), strict=True)]
    array = np.array(rows, dtype=object)
    ranker = wrap(rankformer(categorical_features=[0])).fit(rows, y, groups=groups)
    expected = wrap(rankformer(categorical_features=[0])).fit(array, y, groups=groups)
    equal(ranker.predict(rows, groups), expected.predict(array, groups))
    with_ids = [[int(g), *row] for g, row in zip(groups, rows, strict=True)]
    ranker = rankformer(categorical_features=[0], group_column=0).fit(with_ids, y)
    expected = rankformer(categorical_features=[0]).fit(array, y, groups=groups)
    equal(ranker.predict(with_ids), expected.predict(array, groups))
    table = frame("pandas", X, colour)[["colour", "a"]]
    ranker = rankformer().fit(table, y, groups=groups)
    equal(ranker.predict(rows, groups), ranker.predict(table, groups))


def test_categories_off_leave_numbers(data):
    X, y, groups, colour = data
    codes = frame("pandas", X).assign(colour=np.searchsorted(COLOURS, colour))
    as_category = codes.astype({"colour": "category"})
    a = rankformer(categorical_features=None).fit(as_category, y, groups=groups)
    b = rankformer().fit(codes, y, groups=groups)
    equal(a.predict(as_category, groups=groups), b.predict(codes, groups=groups))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["shape"], "'shape', which X does not have"),
        ([7], "column 7, which X does not have"),
        ([False, True], "boolean mask of 2 entries, but X has 5 columns"),
    ],
    ids=str,
)
def test_categories_that_are_not_there_are_named(columns, message, data):
    X, y, groups, colour = data
    with pytest.raises(ValueError, match=message):
        rankformer(categorical_features=columns).fit(
            frame("pandas", X, colour), y, groups=groups
        )


@pytest.mark.parametrize(
    ("kind", "column", "shown"),
    [
        ("pandas", pd.Series, r"'e' \((str|object)\)\. Name them in"),
        ("pandas", lambda v: pd.Series(v, dtype="string"), r"'e' \(string\)\. Name"),
        (
            "pandas",
            lambda v: pd.to_datetime([f"200{len(s)}" for s in v]),
            r"'e' \(datetime.*\)\. Give times as numbers, [^.]*\.$",
        ),
        ("polars", pl.Series, r"'e' \(String\)\. Name them in categorical_features"),
    ],
)
@pytest.mark.parametrize("coloured", [False, True])
def test_columns_that_are_no_numbers_are_named(kind, column, shown, coloured, data):
    X, y, groups, colour = data
    given = frame(kind, X, colour if coloured else None)
    odd = column(colour.tolist())
    given = (
        given.assign(e=odd) if kind == "pandas" else given.with_columns(odd.alias("e"))
    )
    message = f"neither numbers nor categories: {shown}"
    with pytest.raises(ValueError, match=message):
        rankformer().fit(given, y, groups=groups)


@frames
@pytest.mark.parametrize("coloured", [False, True])
def test_a_column_that_was_numbers_in_fit_is_named_later(kind, coloured, data):
    X, y, groups, colour = data
    given = frame(kind, X, colour if coloured else None)
    ranker = rankformer().fit(given, y, groups=groups)
    text = {"c": ["cheap"] * len(y)}
    if kind == "pandas":
        wrong = given.assign(**text)
    else:
        wrong = given.with_columns(pl.Series("c", text["c"]))
    message = r"neither numbers nor categories: 'c' \(.*Give numbers where fit"
    with pytest.raises(ValueError, match="^X has columns .*" + message):
        ranker.predict(wrong, groups)
    with pytest.raises(ValueError, match="^X_val has columns .*" + message):
        rankformer().fit(given, y, groups, X_val=wrong, y_val=y, groups_val=groups)


@pytest.mark.parametrize("dtype", [pl.Datetime("ms"), pl.Date, pl.Duration("ns")])
@both
def test_times_of_polars_are_refused_by_name(make, dtype, data):
    X, y, groups, _ = data
    given = frame("polars", X)
    times = pl.Series("d", np.arange(len(y))).cast(pl.Int32).cast(dtype)
    with pytest.raises(ValueError, match=r"'d' \(D.*Give times as numbers"):
        make().fit(given.with_columns(times), y, groups=groups)
    ranker = make().fit(given, y, groups=groups)
    with pytest.raises(ValueError, match=r"'d' \(D.*Give times as numbers"):
        ranker.predict(given.with_columns(times), groups=groups)


def days(kind, n_rows):
    """Frame of nothing but times, which scikit-learn makes numbers of in either."""
    times = {"d": np.datetime64("2026-01-01", "ms") + 86_400_000 * np.arange(n_rows)}
    return pd.DataFrame(times) if kind == "pandas" else pl.DataFrame(times)


@pytest.mark.parametrize("library", ["ridge", "lightgbm"])
@frames
def test_times_are_refused_by_an_adapter_whose_model_reads_them(kind, library, data):
    X, y, groups, _ = data
    inner = Ridge()
    if library == "lightgbm":  # of a frame of polars it ends the process
        inner = pytest.importorskip("lightgbm").LGBMRanker(verbosity=-1)
    times = days(kind, len(y))
    numbers = type(times)({"d": X[:, 0]})
    with pytest.raises(TypeError, match=r"X has columns of times: 'd' \(.*Give times"):
        RankerAdapter(inner).fit(times, y, groups)
    with pytest.raises(TypeError, match="X_val has columns of times: 'd'"):
        RankerAdapter(inner).fit(
            numbers, y, groups, X_val=times, y_val=y, groups_val=groups
        )
    with pytest.raises(TypeError, match="X has columns of times: 'd'"):
        RankerAdapter(inner).fit(numbers, y, groups).predict(times)


@frames
def test_a_transformer_may_make_numbers_of_times(kind, data):
    _, y, groups, _ = data
    times = days(kind, len(y))
    months = FunctionTransformer(
        lambda frame: np.asarray(frame, "M8[D]").astype("M8[M]").astype(np.int64)
    )
    steps = make_pipeline(months, Ridge())
    expected = steps.fit(times, y).predict(times)
    for inner in (steps, VotingRegressor([("a", steps)])):
        scores = RankerAdapter(inner).fit(times, y, groups).predict(times)
        np.testing.assert_allclose(scores, expected)


def test_sparse_categories_are_refused(data):
    X, y, groups, _ = data
    with pytest.raises(TypeError, match="categorical_features needs a dense X"):
        rankformer(categorical_features=[0]).fit(sparse.csr_matrix(X), y, groups=groups)


def test_missing_numbers_beside_categories_follow_input_transform(data):
    X, y, groups, colour = data
    X[::3, 0] = np.nan
    given = frame("pandas", X, colour)
    scores = scores_of(given, y, groups)
    assert np.isfinite(scores).all()
    with pytest.raises(ValueError, match="contains NaN"):
        rankformer(input_transform=None).fit(given, y, groups=groups)


# Kinds of numbers --------------------------------------------------------------------


@both
@pytest.mark.parametrize("coloured", [False, True])
def test_nullable_columns_equal_nan(make, coloured, data):
    X, y, groups, colour = data
    whole = np.rint(3 * X[:, 1])
    plain = pd.DataFrame({"a": X[:, 0], "b": whole, "c": (X[:, 2] > 0).astype(float)})
    plain = plain.mask(np.random.default_rng(0).random(plain.shape) < 0.2)
    nullable = plain.astype({"a": "Float64", "b": "Int64", "c": "boolean"})
    if coloured:
        plain["colour"] = nullable["colour"] = pd.Categorical(colour)
    a = make().fit(plain, y, groups=groups).predict(plain, groups=groups)
    b = make().fit(nullable, y, groups=groups).predict(nullable, groups=groups)
    equal(a, b)


def test_nulls_of_polars_equal_nan(data):
    X, y, groups, _ = data
    X[::3, 0] = np.nan
    given = frame("polars", X).with_columns(pl.col("a").fill_nan(None))
    assert given["a"].null_count()
    a = scores_of(given, y, groups)
    b = scores_of(X, y, groups)
    equal(a, b)


@frames
def test_bools_and_integers_of_frames_equal_floats(kind, data):
    X, y, groups, _ = data
    columns = {"a": X[:, 0] > 0, "b": np.rint(3 * X[:, 1]).astype(int), "c": X[:, 2]}
    given = pd.DataFrame(columns) if kind == "pandas" else pl.DataFrame(columns)
    floats = np.column_stack(list(columns.values())).astype(float)
    a = scores_of(given, y, groups)
    b = scores_of(floats, y, groups)
    equal(a, b)


# Before the ranker in a pipeline -----------------------------------------------------


@frames
def test_column_transformer_hands_on_names_ids_and_categories(kind, data):
    X, y, groups, colour = data
    given = frame(kind, X, colour, groups)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    prepare = ColumnTransformer(
        [("numbers", StandardScaler(), NAMES), ("codes", codes, ["colour"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform=kind)
    ranker = rankformer(group_column="qid", categorical_features=["colour"])
    model = make_pipeline(prepare, ranker).fit(given, y)
    assert list(model[-1].feature_names_in_) == [*NAMES, "colour"]
    explicit = rankformer().fit(frame(kind, X, colour), y, groups=groups)
    np.testing.assert_allclose(
        model.predict(given),
        explicit.predict(frame(kind, X, colour), groups=groups),
        atol=1e-4,
    )


def test_ids_lost_in_the_pipeline_are_missed(data):
    X, y, groups, _ = data
    model = make_pipeline(StandardScaler(), rankformer(group_column="qid"))
    with pytest.raises(TypeError, match="set_output"):
        model.fit(frame("pandas", X, groups=groups), y)
    with pytest.raises(NotFittedError):
        model[-1].predict(X)


def test_scaled_ids_are_refused(data):
    X, y, groups, _ = data
    model = make_pipeline(StandardScaler(), rankformer(group_column=-1))
    with pytest.raises(ValueError, match="contains the fractional list id"):
        model.fit(np.column_stack([X, groups]), y)


# Sparse and memory-mapped ------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "form", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array]
)
@pytest.mark.parametrize("keep_bytes", [_batching.KEEP_BYTES, 0])
def test_sparse_equals_dense(make, form, keep_bytes, data, monkeypatch):
    monkeypatch.setattr(_batching, "KEEP_BYTES", keep_bytes)
    X, y, groups, _ = data
    X[np.abs(X) < 0.5] = 0
    dense = make().fit(X, y, groups=groups).predict(X, groups=groups)
    ranker = make().fit(form(X), y, groups=groups)
    equal(ranker.predict(form(X), groups=groups), dense)


def test_sparse_group_column(data):
    X, y, groups, _ = data
    with_ids = sparse.csr_matrix(np.column_stack([groups, X]))
    held = rankformer(group_column=0).fit(with_ids, y).predict(with_ids)
    explicit = scores_of(X, y, groups)
    equal(held, explicit)


@pytest.fixture
def mapped(tmp_path):
    """A memory-mapped X of 32 MB."""
    shape = (40_000, 100)
    X = np.memmap(tmp_path / "X", np.float64, "w+", shape=shape)
    X[:] = np.random.default_rng(0).normal(size=shape)
    X.flush()
    return np.memmap(tmp_path / "X", np.float64, "r", shape=shape)


def test_memory_mapped_rows_are_not_copied(mapped, monkeypatch):
    monkeypatch.setattr(_batching, "KEEP_BYTES", 0)
    kept = []
    take = _batching.Features.take

    def watched(self, batch):
        kept.append(self.X)
        return take(self, batch)

    monkeypatch.setattr(_batching.Features, "take", watched)
    rows = np.arange(len(mapped))
    groups = rows % 2000  # every list is scattered over the file
    ranker = mlp(max_epochs=1, n_members=1, hidden_layer_sizes=(4,), n_bins=2)
    tracemalloc.start()
    try:
        ranker.fit(mapped, rows % 3, groups=groups).predict(mapped, groups=groups)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(np.shares_memory(X, mapped) for X in kept)
    assert peak < mapped.nbytes / 2


def test_memory_mapped_equals_in_memory(mapped):
    few = mapped[:500]
    groups = np.arange(500) // 10
    labels = np.arange(500) % 3
    ranker = rankformer().fit(few, labels, groups=groups)
    other = rankformer().fit(np.array(few), labels, groups=groups)
    equal(ranker.predict(few, groups=groups), other.predict(few, groups=groups))
