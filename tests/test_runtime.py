"""What OnnxRanker says is what the ranker says, whatever comes in."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from sklearn_rankformer import runtime
from sklearn_rankformer.export import OPSET, to_onnx
from sklearn_rankformer.runtime import OnnxRanker

from .factories import mlp, rankformer
from .test_export import TOLERANCE, float32_lists

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pd = pytest.importorskip("pandas")


def frame_of(X):
    """Raw features of three kinds: numbers, text and whole numbers as categories."""
    kinds = np.where(X[:, 2] > 0, "u", np.where(X[:, 2] > -1, "v", None))
    return pd.DataFrame(
        {
            "price": X[:, 0],
            "kind": pd.Categorical(kinds),
            "age": X[:, 1],
            "size": pd.Categorical((X[:, 3] > 0).astype(int) + 5),
        }
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A ranker fitted on a frame with categories, and its file opened."""
    X, y, groups = float32_lists()
    ranker = rankformer().fit(frame_of(X), y, groups=groups)
    path = tmp_path_factory.mktemp("onnx") / "ranker.onnx"
    to_onnx(ranker, path)
    return ranker, OnnxRanker(path)


def assert_same(ours, theirs, X, groups):
    expected, found = ours.predict_all(X, groups), theirs.predict_all(X, groups)
    close = {"atol": TOLERANCE, "rtol": 0}
    np.testing.assert_allclose(found.scores, expected.scores, **close)
    np.testing.assert_array_equal(found.list_value.groups, expected.list_value.groups)
    np.testing.assert_array_equal(found.item_value.levels, expected.item_value.levels)
    for part in ("list_value", "item_value"):
        np.testing.assert_allclose(found[part].proba, expected[part].proba, **close)
        np.testing.assert_allclose(
            found[part].value, expected[part].value, atol=5 * TOLERANCE
        )
    np.testing.assert_array_equal(theirs.predict(X, groups), found.scores)


@settings(max_examples=15)
@given(
    n_lists=st.integers(1, 30),
    longest=st.integers(2, 40),
    seed=st.integers(0, 1000),
    batch_items=st.sampled_from([1, 7, 64, 512]),
)
def test_lists_in_any_order_and_size_get_the_rankers_answers(
    both, n_lists, longest, seed, batch_items
):
    X, _, groups = float32_lists(seed, n_lists=n_lists, sizes=(1, longest))
    order = np.random.default_rng(seed).permutation(len(X))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "BATCH_ITEMS", batch_items)
        assert_same(*both, frame_of(X[order]), 7 * groups[order] % 31)


@pytest.mark.parametrize("sizes", [[1], [2], [1, 1], [1, 300], [2000], [3] * 500])
def test_shapes_are_dynamic(both, sizes):
    X, _, _ = float32_lists(n_lists=400, sizes=(4, 9))
    lengths = np.array(sizes)
    groups = np.repeat(np.arange(len(lengths)), lengths)
    assert_same(*both, frame_of(X[: len(groups)]), groups)


def test_raw_categories_of_a_json_request_need_no_encoding(both):
    ranker, runs = both
    items = [
        {"size": 6, "age": None, "kind": "u", "price": 1.5, "id": "a"},
        {"size": 5.0, "age": 0.5, "kind": None, "price": 2, "id": "b"},
        {"size": "6", "age": 0.5, "kind": "never seen", "price": 2.0, "id": "c"},
    ]
    frame = pd.DataFrame(items)
    one_list = np.zeros(3)
    encoded = runs.encode(frame)
    np.testing.assert_array_equal(encoded[:, 1], [0, -1, -1])
    np.testing.assert_array_equal(encoded[:, 3], [1, 0, -1])
    expected = ranker.predict(frame[list(ranker.feature_names_in_)], one_list)
    found = runs.predict(frame, one_list)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    polars = pytest.importorskip("polars").DataFrame(items[:2])
    np.testing.assert_allclose(
        runs.predict(polars, one_list[:2]),
        runs.predict(frame[:2], one_list[:2]),
        atol=TOLERANCE,
    )


def test_intervals_are_the_categories_that_the_ranker_knows(tmp_path):
    X, y, groups = float32_lists()
    frame = frame_of(X)
    frame["size"] = pd.cut(frame["price"], 3)
    ranker = rankformer().fit(frame, y, groups=groups)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    runs = OnnxRanker(tmp_path / "ranker.onnx")
    assert_same(ranker, runs, frame, groups)
    assert set(runs.encode(frame)[:, 3]) == {0, 1, 2}


def test_arrays_with_categories_are_read_by_place(tmp_path):
    X, y, groups = float32_lists()
    X[:, 2] = X[:, 2] > 0
    ranker = rankformer(categorical_features=[2]).fit(X, y, groups=groups)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    runs = OnnxRanker(tmp_path / "ranker.onnx")
    before = X.copy()
    assert_same(ranker, runs, X, groups)
    np.testing.assert_array_equal(X, before)
    assert runs.feature_names_in_ is None


def test_a_ranker_without_listwide_heads_only_scores(tmp_path):
    X, y, groups = float32_lists()
    ranker = mlp().fit(X, y, groups=groups)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    runs = OnnxRanker(tmp_path / "ranker.onnx")
    np.testing.assert_allclose(runs.predict(X), ranker.predict(X), atol=TOLERANCE)
    assert not hasattr(runs, "predict_all")
    with pytest.raises(AttributeError) as caught:
        runs.predict_all(X)
    assert "listwide heads" in str(caught.value.__cause__)


@pytest.mark.parametrize("make", [rankformer, mlp])
@pytest.mark.parametrize("transform", ["quantile", None])
@pytest.mark.parametrize("with_groups", [True, False])
@pytest.mark.filterwarnings("ignore::sklearn_rankformer.MissingGroupsWarning")
def test_what_the_ranker_refuses_its_file_refuses(
    make, transform, with_groups, tmp_path
):
    X, y, groups = float32_lists()
    X = np.nan_to_num(X)
    ranker = make(input_transform=transform)
    ranker.fit(X, y, groups=groups if with_groups else None)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    runs = OnnxRanker(tmp_path / "ranker.onnx")
    gaps = np.where(np.arange(X.size).reshape(X.shape) % 7, X, np.nan)
    for request in ((X, groups), (X,), (gaps, groups)):
        try:
            expected = ranker.predict(*request)
        except ValueError as error:
            word = "NaN" if "NaN" in str(error) else "Pass groups="
            with pytest.raises(ValueError, match=word):
                runs.predict(*request)
        else:
            np.testing.assert_allclose(runs.predict(*request), expected, atol=TOLERANCE)


@pytest.mark.parametrize("value", [1e39, -1e39, 1e300])
def test_numbers_beyond_float32_saturate_as_in_the_ranker(value, both):
    ranker, runs = both
    frame = frame_of(float32_lists()[0].astype(np.float64))[:10]
    frame.loc[3, "price"] = value
    assert_same(ranker, runs, frame, np.zeros(10))


def test_numbers_beyond_float32_are_refused_where_the_ranker_refuses_them(tmp_path):
    X, y, groups = float32_lists()
    X = np.nan_to_num(X).astype(np.float64)
    ranker = mlp(input_transform=None).fit(X, y, groups=groups)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    X[3, 0] = 1e39
    for predict in (ranker.predict, OnnxRanker(tmp_path / "ranker.onnx").predict):
        with pytest.raises(ValueError, match="beyond the range of float32"):
            predict(X)


def test_bad_requests_are_refused_by_name(both):
    X, _, _ = float32_lists()
    frame, (_, runs) = frame_of(X), both
    with pytest.raises(ValueError, match="X has no column 'kind', 'age'"):
        runs.predict(frame[["price", "size"]])
    with pytest.raises(ValueError, match="must have 4 columns"):
        runs.predict(X[:, :3])
    with pytest.raises(ValueError, match="could not convert string to float"):
        runs.predict(frame.assign(price="cheap"))


def test_a_column_that_is_there_twice_is_refused_by_name(both):
    frame, (_, runs) = frame_of(float32_lists()[0]), both
    frame = frame.assign(other=0)
    runs.encode(frame)  # columns that fit did not see may be there
    twice = frame.rename(columns={"other": "price"})
    with pytest.raises(ValueError, match="X has more than one column 'price'"):
        runs.encode(twice)


@pytest.mark.parametrize("columns", [["kind"], ["kind", "price"]])
def test_a_frame_without_rows_is_refused_whatever_its_columns_hold(columns, tmp_path):
    X, y, groups = float32_lists()
    frame = frame_of(X)[columns]
    to_onnx(mlp().fit(frame, y, groups=groups), tmp_path / "ranker.onnx")
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        OnnxRanker(tmp_path / "ranker.onnx").predict(frame[:0], groups[:0])


def test_lists_of_numbers_beside_text_are_read_as_the_ranker_reads_them(tmp_path):
    _, y, groups = float32_lists()
    X = [[row % 3, "ab"[row % 2]] for row in range(len(y))]
    ranker = mlp(categorical_features=[0, 1])
    ranker.fit(np.array(X, dtype=object), y, groups=groups)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    runs = OnnxRanker(tmp_path / "ranker.onnx")
    np.testing.assert_allclose(runs.predict(X), ranker.predict(X), atol=TOLERANCE)
    assert runs.encode(X).min() == 0
    with pytest.raises(ValueError, match="at least one row"):
        runs.predict(np.empty((0, 2), dtype=object))


def test_a_sparse_matrix_is_refused_with_the_way_out(both):
    with pytest.raises(TypeError, match=r"sparse matrix. Give X.toarray\(\)"):
        both[1].predict(csr_array(float32_lists()[0][:, :4]))


def test_files_that_are_damaged_or_not_there_are_refused(tmp_path):
    (tmp_path / "torn.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"torn\.onnx is damaged or no ONNX file"):
        OnnxRanker(tmp_path / "torn.onnx")
    with pytest.raises(FileNotFoundError, match=r"none\.onnx does not exist"):
        OnnxRanker(tmp_path / "none.onnx")


def test_files_of_others_are_refused(both, tmp_path):
    X, y, groups = float32_lists()
    path = tmp_path / "ranker.onnx"
    to_onnx(mlp().fit(X, y, groups=groups), path)
    model = onnx.load(path)
    assert [o.version for o in model.opset_import if not o.domain] == [OPSET]
    assert json.loads(model.metadata_props[0].value) is not None
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(ValueError, match="does not say what its columns are"):
        OnnxRanker(path)


def test_serving_a_file_loads_no_torch(both, tmp_path):
    X, y, groups = float32_lists()
    to_onnx(mlp().fit(X, y, groups=groups), tmp_path / "ranker.onnx")
    code = (
        "import sys; from sklearn_rankformer.runtime import OnnxRanker; "
        "OnnxRanker('ranker.onnx').predict([[0.0] * 6] * 3); "
        "print('torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert run.stdout.split() == ["False"]
