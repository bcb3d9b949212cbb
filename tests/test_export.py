import json
import os
import re

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sklearn_rankformer import MLPRanker
from sklearn_rankformer.export import (
    NormalScores,
    to_onnx,
    vespa_profile,
)

from .conftest import make_lists
from .factories import mlp, rankformer
from .test_columns import learn

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-5


def float32_lists(seed=0, **options):
    """Lists with missing values, ties, a constant column and a constant but missing."""
    X, y, groups = make_lists(n_features=6, seed=seed, **options)
    X[:, 3] = np.round(X[:, 3])
    X[:, 4] = 7.0
    rng = np.random.default_rng(seed)
    X[:, [1, 5]] = np.where(rng.random((len(X), 2)) < 0.3, np.nan, X[:, [1, 5]])
    return X.astype(np.float32), y, groups


def run(path, X, groups):
    """Outputs of the graph, for rows that lie list by list."""
    session = ort.InferenceSession(path)
    _, lengths = np.unique(groups, return_counts=True)
    names = [output.name for output in session.get_outputs()]
    feed = {"X": np.asarray(X, dtype=np.float32), "lengths": lengths}
    return dict(zip(names, session.run(None, feed), strict=True))


@pytest.fixture(scope="module")
def ranker():
    X, y, groups = float32_lists()
    return rankformer().fit(X, y, groups=groups)


@pytest.fixture(scope="module")
def path(ranker, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "ranker.onnx"
    to_onnx(ranker, path)
    return path


@pytest.mark.parametrize(
    "lists",
    [
        {"sizes": (1, 9)},
        {"sizes": (1, 2)},
        {"n_lists": 1, "sizes": (1, 2)},
        {"n_lists": 3, "sizes": (100, 200)},
        {"n_lists": 300, "sizes": (1, 30)},
    ],
    ids=str,
)
def test_scores_and_list_values_equal_ours(lists, ranker, path):
    X, _, groups = float32_lists(seed=1, **lists)
    found = run(path, 2 * X, groups)
    expected = ranker.predict(2 * X, groups)
    np.testing.assert_allclose(found["scores"], expected, atol=TOLERANCE)
    proba = ranker.predict_list_value(2 * X, groups).proba
    np.testing.assert_allclose(found["list_proba"], proba, atol=TOLERANCE)
    items = ranker.predict_item_value(2 * X, groups).proba
    np.testing.assert_allclose(found["item_proba"], items, atol=TOLERANCE)


@pytest.mark.filterwarnings("ignore:All labels are equal")
@pytest.mark.parametrize("labels", [[0, 1], [1, 1], [0, 1, 2]], ids=str)
def test_chances_of_items_are_there_where_all_lists_have_one_value(labels, tmp_path):
    X, _, groups = float32_lists(sizes=(3, 9))
    places = np.arange(len(X)) - np.searchsorted(groups, groups)
    ranker = rankformer().fit(X, np.array(labels)[-1 - places % len(labels)], groups)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    for lists in (groups, np.zeros_like(groups)):
        found = run(tmp_path / "ranker.onnx", X, lists)
        expected = ranker.predict_all(X, lists)
        for name, values in (
            ("scores", expected.scores),
            ("list_proba", expected.list_value.proba),
            ("item_proba", expected.item_value.proba),
        ):
            np.testing.assert_allclose(found[name], values, atol=TOLERANCE)


def test_rows_without_any_value_score_as_ours(ranker, path):
    X, _, groups = float32_lists(seed=1)
    X[:] = np.nan
    found = run(path, X, groups)["scores"]
    np.testing.assert_allclose(found, ranker.predict(X, groups), atol=TOLERANCE)


@pytest.mark.parametrize("sign", [-1, 1])
def test_infinity_saturates_as_the_largest_number_does(sign, path):
    X, _, groups = float32_lists(seed=1)
    scores = []
    for value in (np.inf, np.finfo(np.float32).max):
        X[::7, 0] = sign * value
        scores.append(run(path, X, groups)["scores"])
    np.testing.assert_array_equal(*scores)


def test_score_depends_on_the_list(path):
    X, _, groups = float32_lists(seed=1)
    alone = run(path, X, np.arange(len(X)))["scores"]
    assert np.abs(run(path, X, groups)["scores"] - alone).max() > 100 * TOLERANCE


@pytest.mark.parametrize(
    ("make", "transform"),
    [(mlp, "quantile"), (rankformer, None)],
    ids=["mlp", "rankformer"],
)
def test_other_rankers_score_as_ours(make, transform, tmp_path):
    X, y, groups = float32_lists()
    X = np.nan_to_num(X) if transform is None else X
    ranker = (
        make(input_transform=transform, listwide_weight=0)
        if (make is rankformer)
        else make(input_transform=transform)
    )
    ranker.fit(X, y, groups=groups)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    found = run(tmp_path / "ranker.onnx", X, groups)
    assert list(found) == ["scores"]
    expected = ranker.predict(X, groups)
    np.testing.assert_allclose(found["scores"], expected, atol=TOLERANCE)


def test_one_long_list_and_many_of_one_item_score_as_ours(ranker, path):
    X, _, groups = float32_lists(seed=2)
    for lists in (groups, np.zeros_like(groups), np.arange(len(groups))):
        found = run(path, X, lists)["scores"]
        np.testing.assert_allclose(found, ranker.predict(X, lists), atol=TOLERANCE)


def test_categories_go_in_as_codes_that_the_file_lists(tmp_path):
    pd = pytest.importorskip("pandas")
    X, y, groups = float32_lists()
    kinds = np.where(X[:, 2] > 0, "u", np.where(X[:, 2] > -1, "v", None))
    frame = pd.DataFrame(
        {
            "price": X[:, 0],
            "kind": pd.Categorical(kinds),
            "age": X[:, 1],
            "size": pd.Categorical((X[:, 3] > 0).astype(int) + 5),
        }
    )
    ranker = rankformer().fit(frame, y, groups=groups)
    path = tmp_path / "ranker.onnx"
    to_onnx(ranker, path)
    stored = ort.InferenceSession(path).get_modelmeta().custom_metadata_map
    stored = {name: json.loads(value) for name, value in stored.items()}
    assert stored["categories"] == {"kind": ["u", "v"], "size": [5, 6]}
    assert stored["feature_names"] == ["price", "kind", "age", "size"]
    assert stored["levels"] == ranker.levels_.tolist()
    frame = frame.astype({"kind": object, "size": object})
    frame.loc[:3, "kind"] = "never seen"
    codes = frame.copy()
    for column, values in stored["categories"].items():
        code = {value: i for i, value in enumerate(values) if value is not None}
        codes[column] = [code.get(value, np.nan) for value in frame[column]]
    expected = ranker.predict(frame, groups)
    found = run(path, codes.to_numpy(np.float32), groups)["scores"]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    codes.loc[:3, "kind"] = [99, -1, 3, 1000]
    found = run(path, codes.to_numpy(np.float32), groups)["scores"]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.mark.parametrize("make", [rankformer, mlp])
@pytest.mark.parametrize("flags", [False, True])
def test_categories_without_any_number_score_as_ours(make, flags, tmp_path):
    pd = pytest.importorskip("pandas")
    X, y, groups = float32_lists()
    frame = pd.DataFrame({"kind": pd.Categorical(np.where(X[:, 2] > 0, "u", "v"))})
    codes = (X[:, [2]] <= 0).astype(np.float32)
    if flags:  # a constant column with gaps leaves a flag and no number
        frame["gaps"] = np.where(X[:, 0] > 0, 7.0, np.nan)
        codes = np.column_stack([codes, frame["gaps"].to_numpy(np.float32)])
    ranker = make().fit(frame, y, groups=groups)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    found = run(tmp_path / "ranker.onnx", codes, groups)["scores"]
    np.testing.assert_allclose(found, ranker.predict(frame, groups), atol=TOLERANCE)


@pytest.mark.parametrize("n_values", [1, 2, 3, 7, 8, 9, 255, 256, 257, 2000])
def test_tables_are_read_as_numpy_reads_them(n_values):
    rng = np.random.default_rng(n_values)
    X = rng.normal(size=(2000, 3))
    X[:, 0] = rng.permutation(np.arange(2000) % n_values)
    X[:, 1] = np.sort(X[:, 1])[(np.arange(2000) % n_values)]
    X[rng.random(2000) < 0.1, 1] = np.nan
    transform = learn(X)
    at = np.concatenate([X, X + 0.3, 10 * X, [[-1e9] * 3, [1e9] * 3, [np.nan] * 3]])
    found = NormalScores(transform)(torch.tensor(at)).numpy()
    np.testing.assert_allclose(found, transform.transform(at), atol=1e-6)


def test_export_leaves_ranker_and_folder_as_they_were(ranker, tmp_path):
    X, _, groups = float32_lists()
    expected = ranker.predict(X, groups)
    weights = next(ranker.module_.parameters())
    (tmp_path / "ranker.onnx").write_bytes(b"what was here before")
    to_onnx(ranker, str(tmp_path / "ranker.onnx"))
    assert os.listdir(tmp_path) == ["ranker.onnx"]
    assert next(ranker.module_.parameters()) is weights
    np.testing.assert_array_equal(ranker.predict(X, groups), expected)
    assert len(run(tmp_path / "ranker.onnx", X, groups)["scores"]) == len(X)


def test_others_are_refused(tmp_path):
    with pytest.raises(NotFittedError):
        to_onnx(rankformer(), tmp_path / "ranker.onnx")
    with pytest.raises(TypeError, match="RankFormerRanker or MLPRanker"):
        to_onnx(make_pipeline(rankformer()), tmp_path / "ranker.onnx")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_columns_that_float32_cannot_hold_are_named(scale, lists, tmp_path):
    X, y, groups = lists
    X = X * [1, scale, 1, 1]
    ranker = MLPRanker(max_epochs=1, n_members=1, hidden_layer_sizes=(4,))
    ranker.fit(X, y, groups=groups)
    with pytest.warns(UserWarning, match=r"holds the columns \[1\] of X badly"):
        to_onnx(ranker, tmp_path / "ranker.onnx")


def tensor_of(text, numbers):
    """A Vespa tensor of these numbers: its type says the shape, its literal the order.

    As Vespa's converter does, cells go over row by row, whatever their type here.
    """
    sizes, names = re.fullmatch(r"tensor<float>\((.*)\):(.*)", text).groups()
    shape = [int(size) for size in re.findall(r"d\d\[(\d+)\]", sizes)]
    cells = re.findall(r"[^\[\],]+", names)
    values = [numbers.get(cell.strip(), cell) for cell in cells]
    return np.array(values, dtype=np.float32).reshape(shape)


def test_the_vespa_profile_of_a_pointwise_ranker_scores_each_document(tmp_path):
    pd = pytest.importorskip("pandas")
    X, y, groups = float32_lists()
    names = list("abcdef")
    ranker = mlp().fit(pd.DataFrame(X, columns=names), y, groups=groups)
    profile = vespa_profile(ranker, "mine")
    functions = dict(re.findall(r"function (\w+)\(\) \{\s+expression: (.*)\n", profile))
    model = re.search(r"onnx-model mine \{(.*?)\}", profile, re.DOTALL).group(1)
    inputs = dict(re.findall(r'input "(\w+)": (\w+)', model))
    assert "expression: sum(onnx(mine).scores)" in profile
    to_onnx(ranker, tmp_path / re.search(r"models/(\S+)", model).group(1))
    session = ort.InferenceSession(tmp_path / "mine.onnx")
    expected = ranker.predict(pd.DataFrame(X, columns=names))
    for row, score in zip(X[:20], expected[:20], strict=True):
        document = {f"attribute({n})": v for n, v in zip(names, row, strict=True)}
        given = {name: tensor_of(functions[f], document) for name, f in inputs.items()}
        given["lengths"] = given["lengths"].astype(np.int64)
        found = session.run(["scores"], given)[0].sum()
        np.testing.assert_allclose(found, score, atol=TOLERANCE)


def test_the_vespa_profile_of_a_listwise_ranker_hands_on_what_the_graph_takes(
    ranker, path
):
    expressions = [f"attribute(f{j})" for j in range(6)]
    profile = vespa_profile(ranker, features=expressions)
    assert "match-features: X" in profile
    assert "second-phase" not in profile
    text = re.search(r"expression: (.*)\n", profile).group(1)
    X, _, _ = float32_lists(seed=1)
    hits = [tensor_of(text, dict(zip(expressions, x, strict=True))) for x in X[:9]]
    found = run(path, np.concatenate(hits), np.zeros(9))["scores"]
    expected = ranker.predict(X[:9], np.zeros(9))
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_vespa_profiles_of_others_are_refused(ranker):
    with pytest.raises(ValueError, match=r"each of the 6 columns of X, got None"):
        vespa_profile(ranker)
    with pytest.raises(ValueError, match=r"each of the 6 columns of X, got \['a'\]"):
        vespa_profile(ranker, features=["a"])
    with pytest.raises(NotFittedError):
        vespa_profile(rankformer())
    X, y, groups = float32_lists()
    X[:, 2] = X[:, 2] > 0
    with_kinds = rankformer(categorical_features=[2]).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match=r"columns \[2\] of X are categorical"):
        vespa_profile(with_kinds)
