"""Containers of other libraries: converted, or refused with the call that converts."""

import numpy as np
import pytest
import torch
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
