"""Containers of other libraries: converted, or refused with the call that converts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import Ridge

from sklearn_rankformer import (
    DistilledRanker,
    RankerAdapter,
    WithinListScaler,
)
from sklearn_rankformer._tables import as_table

from .conftest import make_lists
from .factories import mlp, rankformer

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

NAMES = ["a", "b", "c", "d"]


def adapter():
    return RankerAdapter(Ridge())


def distilled():
    return DistilledRanker(rankformer(), Ridge())


each_ranker = pytest.mark.parametrize("make", [rankformer, mlp, adapter, distilled])


def scores(ranker, X, y, groups):
    return ranker.fit(X, y, groups=groups).predict(X, groups=groups)


class OnlyArray:
    """What NumPy can read, and nothing else of an array."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


CONVERTED = {
    "pyarrow table": lambda X: pa.table(pd.DataFrame(X, columns=NAMES)),
    "pyarrow batch": lambda X: pa.RecordBatch.from_pandas(
        pd.DataFrame(X, columns=NAMES)
    ),
    "arrow-backed frame": lambda X: pd.DataFrame(X, columns=NAMES).astype(
        pd.ArrowDtype(pa.float64())
    ),
    "nullable frame": lambda X: pd.DataFrame(X, columns=NAMES).convert_dtypes(),
    "polars frame": lambda X: pl.DataFrame(X, schema=NAMES),
    "masked array": np.ma.masked_array,
    "tensor": torch.tensor,
    "tensor with a gradient": lambda X: torch.tensor(X, requires_grad=True),
    "tensor with its signs put off": lambda X: torch._neg_view(torch.tensor(-X)),
    "sparse frame": lambda X: pd.DataFrame(X, columns=NAMES).astype("Sparse[float]"),
    "memory view": memoryview,
    "wide floats": lambda X: X.astype(np.longdouble),
    "object with an array": OnlyArray,
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@each_ranker
@pytest.mark.parametrize("kind", CONVERTED)
def test_every_container_gives_the_scores_of_the_array(kind, make):
    X, y, groups = make_lists(n_lists=12)
    expected = scores(make(), X, y, groups)
    np.testing.assert_allclose(
        scores(make(), CONVERTED[kind](X), y, groups), expected, rtol=1e-6, atol=1e-9
    )


def masked(X, hidden):
    """A masked array with rubbish under the mask."""
    under = np.where(hidden, -9999, X)
    return np.ma.masked_array(under, mask=hidden)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_masked_features_are_missing_ones(dtype):
    X, y, groups = make_lists(n_lists=12)
    X = (10 * X).astype(dtype)
    hidden = X > 5
    expected = scores(rankformer(), np.where(hidden, np.nan, X), y, groups)
    np.testing.assert_array_equal(
        scores(rankformer(), masked(X, hidden), y, groups), expected
    )


def test_masked_text_is_missing():
    text = np.array([["u"], ["v"]])
    hidden = np.array([[True], [False]])
    assert as_table(np.ma.masked_array(text, mask=hidden)).tolist() == [[None], ["v"]]


def test_masked_features_are_missing_where_they_are_measured_and_scaled():
    X, y, groups = make_lists(n_lists=12)
    hidden = X > 0.5
    holes = np.where(hidden, np.nan, X)
    val = {"y_val": y, "groups_val": groups}
    a = rankformer().fit(X, y, groups=groups, X_val=masked(X, hidden), **val)
    b = rankformer().fit(X, y, groups=groups, X_val=holes, **val)
    assert a.kept_score_ == b.kept_score_
    scaler = WithinListScaler().fit(masked(X, hidden), groups=groups)
    np.testing.assert_array_equal(
        scaler.transform(masked(X, hidden), groups=groups),
        scaler.transform(holes, groups=groups),
    )


@each_ranker
@pytest.mark.parametrize("argument", ["y", "groups"])
def test_masked_labels_and_ids_are_refused(argument, make):
    X, y, groups = make_lists(n_lists=12)
    given = {"y": y, "groups": groups}
    hidden = np.arange(len(y)) == 3
    given[argument] = np.ma.masked_array(given[argument], mask=hidden)
    with pytest.raises(ValueError, match=f"{argument} has 1 masked"):
        make().fit(X, **given)


@each_ranker
def test_queries_that_are_yet_to_be_run_are_refused_with_the_call(make):
    X, y, groups = make_lists(n_lists=12)
    lazy = pl.DataFrame(X, schema=NAMES).lazy()
    with pytest.raises(TypeError, match=r"X\.collect\(\)"):
        make().fit(lazy, y, groups=groups)


def categories(X):
    return np.where(X[:, 0] > 0, "u", "v")


DICTIONARIES = {
    "arrow table": lambda X, c: pa.table(
        {"a": X[:, 0], "kind": pa.array(c).dictionary_encode()}
    ),
    "arrow-backed frame": lambda X, c: pd.DataFrame({"a": X[:, 0]}).assign(
        kind=pd.Series(c).astype(pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())))
    ),
    "polars": lambda X, c: pl.DataFrame({"a": X[:, 0], "kind": c}).with_columns(
        pl.col("kind").cast(pl.Categorical)
    ),
}


@pytest.mark.parametrize("kind", DICTIONARIES)
def test_dictionaries_are_categories(kind):
    X, y, groups = make_lists(n_lists=12)
    frame = pd.DataFrame({"a": X[:, 0], "kind": pd.Categorical(categories(X))})
    expected = scores(rankformer(), frame, y, groups)
    table = DICTIONARIES[kind](X, categories(X))
    ranker = rankformer().fit(table, y, groups=groups)
    np.testing.assert_array_equal(ranker.predict(table, groups=groups), expected)
    plain = frame.astype({"kind": object})
    np.testing.assert_array_equal(ranker.predict(plain, groups=groups), expected)


def test_only_columns_that_hold_no_numbers_are_blamed():
    X, y, groups = make_lists(n_lists=12)
    frame = pd.DataFrame(X, columns=NAMES).convert_dtypes(dtype_backend="pyarrow")
    frame["flag"] = pd.Series(X[:, 0] > 0, dtype="bool[pyarrow]")
    frame["day"] = pd.Series(["mon", "tue"] * (len(X) // 2) + ["mon"] * (len(X) % 2))
    with pytest.raises(ValueError, match="neither numbers nor categories: 'day'") as e:
        rankformer().fit(frame, y, groups=groups)
    for innocent in ("'a'", "'b'", "'flag'"):
        assert innocent not in str(e.value)


PER_ROW = {
    "tensor": torch.tensor,
    "tensor with a gradient": lambda v: torch.tensor(v, dtype=float).requires_grad_(),
    "half precision": lambda v: torch.tensor(v, dtype=torch.bfloat16),
    "polars": lambda v: pl.Series(v),
    "arrow": pa.array,
    "arrow-backed": lambda v: pd.Series(v, dtype="int64[pyarrow]"),
    "nullable": lambda v: pd.Series(v, dtype="Int64"),
    "categories": lambda v: pd.Series(v).astype("category"),
}


@each_ranker
@pytest.mark.parametrize("kind", PER_ROW)
def test_labels_weights_and_ids_come_in_every_container(kind, make):
    X, y, groups = make_lists(n_lists=12)
    y, weight = y.astype(np.int64), groups % 3 + 1
    expected = make().fit(X, y, groups=groups, sample_weight=weight)
    put = PER_ROW[kind]
    ranker = make().fit(X, put(y), groups=put(groups), sample_weight=put(weight))
    np.testing.assert_allclose(
        ranker.predict(X, groups=put(groups)), expected.predict(X, groups=groups)
    )


@pytest.mark.skipif(np.__version__ < "2", reason="needs StringDType")
def test_texts_of_numpy_are_ids():
    X, y, groups = make_lists(n_lists=12)
    texts = np.char.add("query ", groups.astype(str))
    variable = texts.astype(np.dtypes.StringDType())
    np.testing.assert_array_equal(
        scores(rankformer(), X, y, variable), scores(rankformer(), X, y, texts)
    )


UNREADABLE = {
    "sparse tensor": lambda X: torch.tensor(X).to_sparse(),
    "tensor without data": lambda X: torch.tensor(X).to("meta"),
    "generator": lambda X: (row for row in X),
    "dict": lambda X: {"a": X[:, 0]},
    "text": lambda X: "features",
    "module": lambda X: np.random,
    "scalar": lambda X: np.float64(3),
}


@each_ranker
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_table_is_refused_by_name(kind, make):
    X, y, groups = make_lists(n_lists=12)
    with pytest.raises(TypeError, match=r"^X (must have rows|is a tensor)"):
        make().fit(UNREADABLE[kind](X), y, groups=groups)


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
@pytest.mark.parametrize("as_batch", [False, True])
def test_long_integers_of_arrow_are_categories_beside_gaps(kind, as_batch):
    X, y, groups = make_lists()
    names = 2**53 + np.arange(len(y)) % 3
    frame = pd.DataFrame({"a": X[:, 0], "c": names}).astype({"c": "category"})
    ranker = rankformer().fit(frame, y, groups=groups)
    gaps = np.arange(len(y)) % 4 == 0
    columns = [pa.array(X[:, 0]), pa.array(names, kind, mask=gaps)]
    make = pa.record_batch if as_batch else pa.table
    np.testing.assert_array_equal(
        ranker.predict(make(columns, names=["a", "c"]), groups),
        ranker.predict(frame.assign(c=frame["c"].mask(gaps)), groups),
    )


@pytest.mark.parametrize("make", [rankformer, mlp, adapter])
@pytest.mark.parametrize("kind", [*UNREADABLE, "complex", "words", "narrow", "huge"])
def test_held_out_features_are_refused_by_their_own_name(kind, make):
    X, y, groups = make_lists(n_lists=12)
    changed = UNREADABLE | {
        "complex": lambda X: X + 1j,
        "words": lambda X: np.full(X.shape, "red"),
        "narrow": lambda X: X[:, 1:],
        "huge": lambda X: np.full(X.shape, 10**400, object),
    }
    held = {"y_val": y, "groups_val": groups}
    with pytest.raises((TypeError, ValueError), match=r"^X_val "):
        make().fit(X, y, groups=groups, X_val=changed[kind](X), **held)


@each_ranker
@pytest.mark.parametrize("dtype", ["M8[s]", "m8[s]"])
def test_times_are_refused_with_what_to_give(dtype, make):
    X, y, groups = make_lists(n_lists=12)
    with pytest.raises(TypeError, match=r"X has dtype .* Give times as numbers"):
        make().fit(X.astype(dtype), y, groups=groups)


@pytest.mark.parametrize("make", [adapter, distilled])
def test_a_model_that_scores_nan_gives_no_order(make):
    X, y, groups = make_lists(n_lists=12)
    ranker = make().fit(X, y, groups=groups)
    inner = getattr(ranker, "estimator_", None) or ranker.student_
    inner = getattr(inner, "estimator_", inner)
    inner.coef_ = inner.coef_ * np.nan
    with pytest.raises(ValueError, match=r"Ridge scores .* rows as NaN"):
        ranker.predict(X, groups=groups)


@each_ranker
def test_a_truth_value_is_no_group_column(make):
    X, y, _ = make_lists(n_lists=12)
    ranker = make().set_params(group_column=True)
    for table in (X, pd.DataFrame(X)):
        with pytest.raises(TypeError, match="group_column=True is neither"):
            ranker.fit(table, y)


SPARSE = {
    f"{form}_{kind}": getattr(sparse, f"{form}_{kind}")
    for form in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr")
    for kind in ("matrix", "array")
}
NUMBERS = [np.float16, np.float32, ">f4", np.int8, np.uint64, ">i2", bool]


@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 99), missing=st.booleans())
def test_scores_follow_from_the_numbers_not_from_what_holds_them(data, seed, missing):
    X, y, groups = make_lists(n_lists=8, seed=seed)
    dtype = data.draw(st.sampled_from(NUMBERS))
    X = np.abs(np.round(3 * X)).astype(dtype)
    plain = X.astype(np.float64)
    if missing and X.dtype.kind == "f":
        X[::3, 1] = plain[::3, 1] = np.nan
    made = {**CONVERTED, **SPARSE, "columns": np.asfortranarray, "list": list}
    kind = data.draw(st.sampled_from(sorted(made)))
    only_wide = kind in SPARSE and X.dtype == np.float16
    only_floats = kind.startswith("tensor with") and X.dtype.kind != "f"
    if only_wide or only_floats:  # what the other library cannot make
        X = plain
    make = data.draw(st.sampled_from([rankformer, mlp]))
    expected = scores(make(), plain, y, groups)
    found = scores(make(), made[kind](X.astype(X.dtype.newbyteorder("="))), y, groups)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
