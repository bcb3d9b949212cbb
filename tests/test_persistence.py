import json
import os
import pickle
import struct
import subprocess
import sys
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping

from sklearn_rankformer import (
    RankFormerRanker,
    StackingRanker,
    VotingRanker,
    WithinListScaler,
    _neural_ranker,
    persistence,
)
from sklearn_rankformer._auto import EPOCHS, MORE_EPOCHS
from sklearn_rankformer._files import read_file, write_file
from sklearn_rankformer._losses import lambda_loss
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.model_selection import ListKFold

from . import factories
from .conftest import make_clear_lists, make_lists

# Four epochs: fits are to be broken off in each of them.
rankformer = partial(factories.rankformer, max_epochs=4)
mlp = partial(factories.mlp, max_epochs=4)
both = pytest.mark.parametrize("make", [rankformer, mlp], ids=["rankformer", "mlp"])


@pytest.fixture(scope="module")
def fitted():
    X, y, groups = make_lists()
    X[::6, 1] = np.nan
    return rankformer().fit(X, y, groups=groups)


@pytest.fixture
def new_lists():
    X, y, groups = make_lists(seed=1)
    X[::5, 1] = np.nan
    return X, y, groups


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ranker.safetensors"


def through_file(ranker, path, **options):
    persistence.save(ranker, path)
    return persistence.load(path, **options)


# Saving and loading ------------------------------------------------------------------


@both
@pytest.mark.parametrize("transform", ["quantile", None])
def test_loaded_ranker_gives_the_same_bits(make, transform, lists, path):
    X, y, groups = lists
    ranker = make(input_transform=transform).fit(X, y, groups=groups)
    loaded = through_file(ranker, path)
    X, y, groups = make_lists(seed=1)
    np.testing.assert_array_equal(loaded.predict(X, groups), ranker.predict(X, groups))
    np.testing.assert_array_equal(loaded.rank(X, groups), ranker.rank(X, groups))
    assert loaded.score(X, y, groups) == ranker.score(X, y, groups)
    assert loaded.get_params() == ranker.get_params()
    assert loaded.history_ == ranker.history_
    for name in (
        "n_iter_",
        "batch_items_",
        "max_epochs_",
        "kept_epoch_",
        "kept_score_",
        "n_features_in_",
    ):
        assert getattr(loaded, name) == getattr(ranker, name)


def test_loaded_ranker_predicts_the_same_list_values(fitted, new_lists, path):
    X, _, groups = new_lists
    loaded = through_file(fitted, path)
    expected = fitted.predict_list_value(X, groups)
    found = loaded.predict_list_value(X, groups)
    np.testing.assert_array_equal(found.proba, expected.proba)
    np.testing.assert_array_equal(found.value, expected.value)
    np.testing.assert_array_equal(loaded.levels_, fitted.levels_)


def test_loaded_ranker_still_wants_groups(fitted, new_lists, path):
    with pytest.raises(ValueError, match="fitted with groups"):
        through_file(fitted, path).predict(new_lists[0])


def test_loading_draws_no_random_numbers(fitted, path):
    persistence.save(fitted, path)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    persistence.load(path)
    assert torch.rand(1) == expected


@both
def test_partial_fit_goes_on_as_if_never_saved_with_the_optimizer(make, lists, path):
    X, y, groups = lists
    ranker = make().fit(X, y, groups=groups)
    persistence.save(ranker, path, optimizer=True)
    loaded = persistence.load(path)
    before = ranker.predict(X, groups)
    for one in (ranker, loaded):
        one.partial_fit(X, y, groups).partial_fit(X, y, groups)
    after = ranker.predict(X, groups)
    assert (after != before).any()
    np.testing.assert_array_equal(loaded.predict(X, groups), after)
    assert loaded.n_iter_ == ranker.n_iter_


@both
def test_a_file_holds_the_optimizer_only_when_asked_for(make, lists, path):
    X, y, groups = lists
    ranker = make().fit(X, y, groups=groups)
    persistence.save(ranker, path, optimizer=True)
    names, size = read_file(path)[1].keys(), path.stat().st_size
    assert any(name.startswith("optimizer.") for name in names)
    persistence.save(ranker, path)
    assert read_file(path)[1].keys() == {n for n in names if "optimizer" not in n}
    assert path.stat().st_size < size
    loaded = persistence.load(path).partial_fit(X, y, groups)
    assert loaded.n_iter_ == ranker.n_iter_ + 1
    assert np.isfinite(loaded.predict(X, groups)).all()


def test_warm_start_goes_on_as_if_never_saved(lists, path):
    X, y, groups = lists
    ranker = rankformer(warm_start=True).fit(X, y, groups=groups)
    loaded = through_file(ranker, path)
    for one in (ranker, loaded):
        one.fit(X, y, groups=groups)
    np.testing.assert_array_equal(loaded.predict(X, groups), ranker.predict(X, groups))


def test_network_is_that_of_the_fit_after_parameters_have_changed(lists, path):
    X, y, groups = lists
    ranker = rankformer().fit(X, y, groups=groups)
    expected = ranker.predict(X, groups)
    ranker.set_params(d_model=8, n_members=1)
    loaded = through_file(ranker, path)
    np.testing.assert_array_equal(loaded.predict(X, groups), expected)
    assert loaded.d_model == 8


def test_parameters_come_back_as_plain_values(lists, path):
    X, y, groups = lists
    ranker = mlp(
        dropout=np.float64(0.25),
        hidden_layer_sizes=(np.int64(8), 4),
        categorical_features=np.zeros(4, dtype=bool),
        random_state=np.random.RandomState(0),
        learning_rate=np.float32(0.01),
    ).fit(X, y, groups=groups)
    loaded = through_file(ranker, path)
    assert loaded.dropout == 0.25
    assert type(loaded.dropout) is float
    assert loaded.hidden_layer_sizes == (8, 4)
    assert loaded.categorical_features == [False] * 4
    assert loaded.random_state is None
    clone(loaded).fit(X, y, groups=groups)


def test_saving_leaves_the_ranker_alone(fitted, path):
    before = dict(vars(fitted))
    persistence.save(fitted, path)
    assert vars(fitted).keys() == before.keys()
    assert all(vars(fitted)[name] is value for name, value in before.items())


def test_saving_replaces_the_file_and_leaves_nothing_else(fitted, path):
    path.write_bytes(b"what was here before")
    through_file(fitted, path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("there", [True, False])
def test_saving_onto_a_link_writes_the_file_that_it_points_to(there, fitted, path):
    (path.parent / "of the day").mkdir()
    file = path.parent / "of the day" / "ranker"  # the ending is the link's
    if there:
        file.write_bytes(b"what was here before")
    path.symlink_to("of the day/ranker")
    through_file(fitted, path)
    assert path.is_symlink()
    assert persistence.load(file).n_iter_ == fitted.n_iter_
    assert os.listdir(file.parent) == [file.name]
    path.unlink()
    path.symlink_to("none/ranker")
    with pytest.raises(FileNotFoundError, match=r"The folder of .*none/ranker "):
        persistence.save(fitted, path)


@pytest.mark.skipif(os.name == "nt", reason="has no such permissions")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(mode, fitted, path):
    path.write_bytes(b"what was here before")
    path.chmod(mode)
    through_file(fitted, path)
    assert path.stat().st_mode & 0o777 == mode


def test_a_place_that_no_file_can_be_written_to_is_named(fitted, tmp_path):
    missing = tmp_path / "none" / "ranker.safetensors"
    with pytest.raises(FileNotFoundError, match=rf"The folder of {missing} does not"):
        persistence.save(fitted, missing)
    with pytest.raises(IsADirectoryError, match=rf"{tmp_path} is a folder. Give the"):
        persistence.save(fitted, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_save_in_the_midst_of_another_disturbs_neither(fitted, path, monkeypatch):
    # As another thread's, or that of a process with the same id in a container.
    fsync, meanwhile = os.fsync, [fitted]

    def interrupted(file):
        fsync(file)
        while meanwhile:
            persistence.save(meanwhile.pop(), path)

    monkeypatch.setattr(os, "fsync", interrupted)
    through_file(fitted, path)
    assert not meanwhile
    assert os.listdir(path.parent) == [path.name]


def test_sparse_and_dense_rows_score_alike_after_loading(lists, path):
    X, y, groups = lists
    X = np.where(X > 0, X, 0.0)
    loaded = through_file(rankformer().fit(sparse.csr_array(X), y, groups=groups), path)
    np.testing.assert_array_equal(
        loaded.predict(sparse.csr_array(X), groups), loaded.predict(X, groups)
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_ranker_fitted_on_a_gpu_loads_on_a_cpu(lists, path):
    X, y, groups = lists
    ranker = rankformer(device="cuda", precision="float32").fit(X, y, groups=groups)
    loaded = through_file(ranker, path, device="cpu")
    assert next(loaded.module_.parameters()).device.type == "cpu"
    np.testing.assert_allclose(
        loaded.predict(X, groups), ranker.predict(X, groups), atol=1e-5
    )
    loaded.partial_fit(X, y, groups)


def test_device_given_to_load_becomes_the_parameter(fitted, path):
    loaded = through_file(fitted, path, device="cpu")
    assert loaded.device == "cpu"
    assert loaded.device_ == torch.device("cpu")


@pytest.mark.parametrize("device", ["toaster", "cuda:99"])
def test_device_that_is_not_there_is_refused(device, fitted, path):
    with pytest.raises(ValueError, match="device"):
        through_file(fitted, path, device=device)


# Categories and names ----------------------------------------------------------------


def with_categories(X, pd):
    kinds = np.where(X[:, 2] > 0, "u", np.where(X[:, 2] > -1, "v", None))
    return pd.DataFrame(
        {
            "price": X[:, 0],
            "kind": pd.Categorical(kinds),
            "size": pd.Categorical((X[:, 1] > 0).astype(int) + 5),
            "age": X[:, 3],
        }
    )


@both
def test_frame_with_categories_scores_alike_after_loading(make, lists, path):
    pd = pytest.importorskip("pandas")
    X, y, groups = lists
    frame = with_categories(X, pd)
    ranker = make().fit(frame, y, groups=groups)
    loaded = through_file(ranker, path)
    assert list(loaded.feature_names_in_) == ["price", "kind", "size", "age"]
    frame = frame.astype({"kind": object, "size": object})
    frame.loc[:2, "kind"] = "never seen"
    expected = ranker.predict(frame, groups)
    np.testing.assert_array_equal(loaded.predict(frame, groups), expected)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[["kind", "price", "size", "age"]], groups)


def test_polars_frame_with_categories_scores_alike_after_loading(lists, path):
    pl = pytest.importorskip("polars")
    pytest.importorskip("pandas")
    X, y, groups = lists
    columns = {"a": X[:, 0], "k": np.where(X[:, 1] > 0, "u", "v"), "b": X[:, 2]}
    frame = pl.DataFrame(columns).with_columns(pl.col("k").cast(pl.Categorical))
    ranker = rankformer().fit(frame, y, groups=groups)
    expected = ranker.predict(frame, groups)
    loaded = through_file(ranker, path)
    np.testing.assert_array_equal(loaded.predict(frame, groups), expected)


@pytest.mark.parametrize("dtype", [float, object, str, np.int32, bool])
def test_array_with_categories_scores_alike_after_loading(dtype, lists, path):
    X, y, groups = lists
    X = np.round(np.abs(X)).astype(np.int64).astype(dtype)
    columns = [0, 1, 2, 3] if dtype is str else [1, 3]
    ranker = mlp(categorical_features=columns).fit(X, y, groups=groups)
    loaded = through_file(ranker, path)
    np.testing.assert_array_equal(loaded.predict(X), ranker.predict(X))


def test_group_column_is_remembered(lists, path):
    X, y, groups = lists
    X = np.column_stack([X, groups])
    ranker = rankformer(group_column=-1).fit(X, y)
    loaded = through_file(ranker, path)
    np.testing.assert_array_equal(loaded.predict(X), ranker.predict(X))


# What cannot be saved ----------------------------------------------------------------


def own_gain(y):
    return y


@pytest.mark.parametrize(
    ("params", "way_out"),
    [
        ({"loss": lambda scores, *rest: scores.sum(-1)}, 'loss="softmax"'),
        ({"gain": own_gain}, 'gain="exp"'),
        ({"callbacks": [Callback()]}, "callbacks=None"),
    ],
)
def test_functions_and_objects_are_refused_with_a_way_out(params, way_out, lists, path):
    X, y, groups = lists
    ranker = rankformer(**params, max_epochs=1).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match=f"{next(iter(params))}=.*{way_out}"):
        persistence.save(ranker, path)
    assert not path.exists()


def test_unfitted_ranker_is_refused(path):
    with pytest.raises(NotFittedError):
        persistence.save(rankformer(), path)


def test_other_classes_are_refused(path):
    class Mine(RankFormerRanker):
        pass

    for other in (Mine(), make_pipeline(rankformer()), "a ranker"):
        with pytest.raises(TypeError, match="one of RankFormerRanker, MLPRanker"):
            persistence.save(other, path)


def test_a_search_is_refused_by_the_name_of_what_to_save(lists, path):
    X, y, groups = lists
    search = GridSearchCV(rankformer(max_epochs=1), {}, cv=GroupKFold(2))
    with config_context(enable_metadata_routing=True):
        search.fit(X, y, groups=groups)
    with pytest.raises(TypeError, match="best_estimator_"):
        persistence.save(search, path)
    np.testing.assert_array_equal(
        through_file(search.best_estimator_, path).predict(X, groups),
        search.best_estimator_.predict(X, groups),
    )


# Files not to be trusted -------------------------------------------------------------


class Bomb:
    """Makes a directory when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    "dump", [pickle.dump, joblib.dump, torch.save], ids=["pickle", "joblib", "torch"]
)
def test_pickles_are_not_opened(dump, path, tmp_path):
    with open(path, "wb") as file:
        dump(Bomb(tmp_path / "exploded"), file)
    with pytest.raises(ValueError, match="not a file of sklearn_rankformer"):
        persistence.load(path)
    assert not (tmp_path / "exploded").exists()


def raw(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def with_metadata(text):
    return raw({"__metadata__": {"sklearn_rankformer": text}})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        np.random.default_rng(0).bytes(1000),
        raw({}),
        raw({}, length=2**60),
        raw(b"{" + b" " * 10, length=2**62 - 1),
        raw({"__metadata__": {"other": "{}"}}),
        raw(b'{"__metadata__": {"sklearn_rankformer": 5}}'),
        with_metadata("not json"),
        with_metadata("[]"),
        with_metadata("{}"),
        with_metadata("[" * 100_000),
        raw({"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}),
        raw({"w": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 4]}}, b"1234"),
    ],
    ids=range(14),
)
def test_files_of_other_kinds_are_refused(content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a file of sklearn_rankformer"):
        persistence.load(path)


def test_truncated_file_is_refused_wherever_it_ends(fitted, path):
    persistence.save(fitted, path)
    content = path.read_bytes()
    for share in np.linspace(0, 1, 25, endpoint=False):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match="not a file of sklearn_rankformer"):
            persistence.load(path)


def test_missing_file_is_reported_as_such(path):
    with pytest.raises(FileNotFoundError):
        persistence.load(path)


@pytest.fixture(scope="module")
def stored(fitted, tmp_path_factory):
    """Header and arrays of a sound file."""
    path = tmp_path_factory.mktemp("stored") / "ranker.safetensors"
    persistence.save(fitted, path)
    return read_file(path)


@pytest.fixture(scope="module")
def stored_with_optimizer(tmp_path_factory):
    X, y, groups = make_lists(n_lists=6)
    path = tmp_path_factory.mktemp("stored") / "ranker.safetensors"
    tiny = {"d_model": 4, "nhead": 2, "dim_feedforward": 4, "num_layers": 1}
    ranker = rankformer(**tiny, n_members=1, n_bins=2, max_epochs=1)
    persistence.save(ranker.fit(X, y, groups=groups), path, optimizer=True)
    return read_file(path)


def load_changed(stored, path, change):
    header, arrays = stored
    header, arrays = json.loads(json.dumps(header)), dict(arrays)
    change(header, arrays)
    write_file(path, header, arrays)
    return persistence.load(path)


def put(*keys, value):
    def change(header, arrays):
        table = header
        for key in keys[:-1]:
            table = table[key]
        table[keys[-1]] = value

    return change


def put_config(name, value):
    """Another number in the config of the network."""

    def change(header, arrays):
        entries = header["network"]["dict"]
        header["network"]["dict"] = [[n, v] for n, v in entries if n != name]
        header["network"]["dict"].append([name, value])

    return change


def put_array(name, value):
    return lambda header, arrays: arrays.update({name: np.asarray(value)})


def drop_array(name):
    return lambda header, arrays: arrays.pop(name)


def first_weight(arrays):
    return next(name for name in sorted(arrays) if name.startswith("module."))


def spoil_weight(header, arrays):
    name = first_weight(arrays)
    arrays[name] = np.full_like(arrays[name], np.nan)


def reshape_weight(header, arrays):
    name = first_weight(arrays)
    arrays[name] = arrays[name][..., None]


def stored_json(text):
    return np.frombuffer(text, dtype=np.uint8)


TAMPERED = {
    "other class": put("class", value="os.system"),
    "class of another module": put("class", value="Pipeline"),
    "class of another type": put("class", value=["RankFormerRanker"]),
    "unknown parameter": put("parameters", "__class__", value="x"),
    "parameter of another type": put("parameters", "d_model", value="16"),
    "parameter out of range": put("parameters", "dropout", value=7.0),
    "function by name": put("parameters", "loss", value="os.system"),
    "callbacks": put("parameters", "callbacks", value=["os.system"]),
    "object in a parameter": put("parameters", "gain", value={"object": "os.system"}),
    "parameters no table": put("parameters", value=[1, 2]),
    "network too large": put_config("d_model", value=2**40),
    "network too wide": put_config("dim_feedforward", value=10**15),
    "network too deep": put_config("num_layers", value=10**15),
    "network of text": put_config("d_model", value="16"),
    "network with a name of its own": put_config("forward", value=1),
    "network of another kind": put("network", value={"tuple": []}),
    "network missing": put("network", value=None),
    "method in place of a value": put("fitted", "n_iter_", value="predict"),
    "fitted no table": put("fitted", value=None),
    "history of numbers": put("fitted", "history_", value=[1, 2]),
    "features negative": put("fitted", "n_features_in_", value=-4),
    "too few names": put("feature_names", value=["a"]),
    "names no strings": put("feature_names", value=[1, 2, 3, 4]),
    "categories of no column": put_array("columns.known", stored_json(b"[[1]]")),
    "categories that are tables": put_array(
        "columns.known", stored_json(b"[[[1]],[],[],[]]")
    ),
    "categories no JSON": put_array("columns.known", stored_json(b"\xff")),
    "columns of another number": put_array("columns.is_category", [False]),
    "weight missing": lambda header, arrays: arrays.pop(first_weight(arrays)),
    "weight too many": put_array("module.other", [1.0]),
    "optimiser of no weight": put_array("optimizer.999.step", 1.0),
    "optimiser of another shape": put_array("optimizer.step", np.ones(3)),
    "weight of another shape": reshape_weight,
    "weight not finite": spoil_weight,
    "column beyond the features": put_array("columns.numeric", [0, 1, 2, 400]),
    "column negative": put_array("columns.numeric", [0, 1, 2, -1]),
    "columns as floats": put_array("columns.numeric", [0.0, 1.0, 2.0, 3.0]),
    "tables missing": drop_array("columns.flagged"),
    "tables too many": put_array("columns.fit", [1.0]),
    "knots of another shape": put_array("columns.knots", np.ones((4, 0))),
    "scores of another shape": put_array("columns.scores", np.ones((4, 1))),
    "levels missing": drop_array("levels"),
    "levels of another number": put_array("levels", [1.0]),
    "levels that fall": put_array("levels", [2.0, 1.0, 0.0]),
    "levels as integers": put_array("levels", [0, 1, 2]),
    "names in one text": put("feature_names", value="abcd"),
    "no names": put("feature_names", value=[]),
    "history without losses": put("fitted", "history_", value=[{"dict": []}]),
    "heads that do not divide": put_config("nhead", 3),
    "optimiser's moment of another shape": put_array("optimizer.exp_avg", 1.0),
    "optimiser half there": put_array("optimizer.step", 1.0),
    "knots that fall": put_array("columns.knots", -np.arange(1024.0).reshape(4, -1)),
    "knots as integers": put_array("columns.knots", np.ones((4, 256), int)),
    "buffer of the network": put_array("module.input_map.slopes", np.ones(4)),
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED.keys())
def test_tampered_file_is_refused(change, stored, path):
    with pytest.raises(ValueError, match="does not hold a ranker"):
        load_changed(stored, path, change)


def test_untampered_file_is_taken(stored, path):
    load_changed(stored, path, lambda header, arrays: None)


@pytest.mark.parametrize("version", [0, 999, "1", None])
def test_other_formats_are_refused_by_their_number(version, stored, path):
    def change(header, arrays):
        header["format"] = version
        header["versions"]["sklearn_rankformer"] = "9.9.9"

    with pytest.raises(ValueError, match=r"has format .* of sklearn_rankformer 9.9.9"):
        load_changed(stored, path, change)


@pytest.mark.parametrize("versions", [5, [], None, {"sklearn_rankformer": []}])
def test_other_formats_are_refused_whatever_wrote_them(versions, stored, path):
    def change(header, arrays):
        header |= {"format": 99, "versions": versions}

    with pytest.raises(ValueError, match="has format 99"):
        load_changed(stored, path, change)


def deepest_network(config):
    layers = [8] * 100_000
    return [[n, {"tuple": layers} if n == "hidden_sizes" else v] for n, v in config]


def test_a_network_of_more_layers_than_weights_is_never_built(lists, path):
    X, y, groups = lists
    persistence.save(mlp().fit(X, y, groups=groups), path)
    header, arrays = read_file(path)
    header["network"]["dict"] = deepest_network(header["network"]["dict"])
    write_file(path, header, arrays)
    with pytest.raises(ValueError, match="fewer weights than layers"):
        persistence.load(path)


def test_bins_of_no_column_take_no_memory(lists, path):
    X, y, groups = lists
    kinds = np.where(X[:, :1] > 0, "u", "v").astype(object)
    ranker = mlp(categorical_features=[0], n_bins=5).fit(kinds, y, groups=groups)
    loaded = through_file(ranker, path)
    np.testing.assert_array_equal(loaded.predict(kinds), ranker.predict(kinds))
    header, arrays = read_file(path)
    inputs = next(v for n, v in header["network"]["dict"] if n == "inputs")
    inputs["dict"] = [[n, 2**40 if n == "n_bins" else v] for n, v in inputs["dict"]]
    write_file(path, header, arrays)
    with pytest.raises(ValueError, match="bins of no column"):
        persistence.load(path)


plain_values = st.sampled_from([0, -1, 3, 2**63, 0.5, 1e308, True, None, "", "a", "16"])
json_values = st.recursive(
    plain_values,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["tuple", "dict", "float", "x"]), inner, max_size=1
        ),
    ),
    max_leaves=4,
)


def places(table, path=()):
    """Paths to everything inside a table of tables and lists."""
    items = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def damage_header(draw, header):
    at = draw(st.sampled_from(list(places(header))))
    for key in at[:-1]:
        header = header[key]
    if draw(st.booleans()):
        header[at[-1]] = draw(json_values)
    else:
        del header[at[-1]]


def damage_array(draw, arrays):
    name = draw(st.sampled_from(sorted(arrays)))
    array = arrays[name]
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int64, np.uint8, bool]))
    with np.errstate(all="ignore"):
        arrays[name] = draw(
            st.sampled_from(
                [
                    array.astype(dtype),
                    array.T,
                    array[..., None],
                    array.ravel()[:1],
                    array.ravel()[:0],
                    (array * -2.0).astype(array.dtype),
                    np.roll(array, 1),
                ]
            )
        )


def damage(draw, stored):
    """Header and arrays with one or two things changed in them."""
    header, arrays = json.loads(json.dumps(stored[0])), dict(stored[1])
    for _ in range(draw(st.integers(1, 2))):
        if draw(st.booleans()):
            damage_header(draw, header)
        else:
            damage_array(draw, arrays)
    return header, arrays


@settings(max_examples=150)
@given(data=st.data())
def test_a_damaged_file_gives_a_ranker_that_works_or_a_value_error(
    data, stored_with_optimizer, tmp_path_factory
):
    path = tmp_path_factory.mktemp("damaged") / "ranker"
    X, y, groups = make_lists(n_lists=6)
    header, arrays = damage(data.draw, stored_with_optimizer)
    header.setdefault("format", 1)
    write_file(path, header, arrays)
    try:
        ranker = persistence.load(path)
        scores = ranker.predict(X, groups=groups)
        ranker.partial_fit(X, y, groups=groups)
    except ValueError:
        return
    assert scores.shape == y.shape
    assert np.isfinite(scores).all()


@settings(max_examples=60)
@given(content=st.data())
def test_a_file_with_other_bytes_gives_a_ranker_that_works_or_a_value_error(
    content, stored_with_optimizer, tmp_path_factory
):
    path = tmp_path_factory.mktemp("damaged") / "ranker"
    X, _, groups = make_lists(n_lists=6)
    write_file(path, *stored_with_optimizer)
    written = bytearray(path.read_bytes())
    for _ in range(content.draw(st.integers(1, 4))):
        at = content.draw(st.integers(0, min(len(written), 8000) - 1))
        written[at : at + content.draw(st.integers(0, 3))] = content.draw(
            st.binary(max_size=3)
        )
    path.write_bytes(written)
    try:
        scores = persistence.load(path).predict(X, groups=groups)
    except ValueError:
        return
    assert np.isfinite(scores).all()


# Pickle, joblib, skops ---------------------------------------------------------------


@both
def test_pickle_and_joblib_give_the_same_bits(make, lists, tmp_path):
    X, y, groups = lists
    ranker = make().fit(X, y, groups=groups)
    expected = ranker.predict(X, groups)
    joblib.dump(ranker, tmp_path / "ranker.joblib")
    for copy in (
        pickle.loads(pickle.dumps(ranker)),
        joblib.load(tmp_path / "ranker.joblib"),
    ):
        np.testing.assert_array_equal(copy.predict(X, groups), expected)
        copy.partial_fit(X, y, groups)
        assert (copy.predict(X, groups) != expected).any()
    np.testing.assert_array_equal(ranker.predict(X, groups), expected)


def test_pickle_holds_nothing_of_torch(fitted):
    assert b"torch" not in pickle.dumps(fitted)


def test_pickle_made_where_there_was_a_gpu_loads_without_one(fitted, new_lists):
    X, _, groups = new_lists
    state = pickle.dumps(clone(fitted).set_params(device="cuda:99"))
    assert pickle.loads(state).device == "cuda:99"
    elsewhere = pickle.loads(pickle.dumps(fitted)).set_params(device="cuda:99")
    there = pickle.loads(pickle.dumps(elsewhere))
    if there.device_.type == "cpu":
        expected = fitted.predict(X, groups)
        np.testing.assert_array_equal(there.predict(X, groups), expected)


@both
@pytest.mark.parametrize("within", ["alone", "pipeline"])
def test_skops_stores_rankers_of_frames_with_categories(make, within, lists):
    sio = pytest.importorskip("skops.io")
    pd = pytest.importorskip("pandas")
    X, y, groups = lists
    frame = with_categories(X, pd)
    ranker = make(max_epochs=1)
    if within == "pipeline":
        ranker = make_pipeline("passthrough", ranker)
    with config_context(enable_metadata_routing=True):
        ranker.fit(frame, y, groups=groups)
        loaded = sio.loads(sio.dumps(ranker), trusted=list(persistence.TRUSTED_TYPES))
        found = loaded.predict(frame, groups=groups)
        expected = ranker.predict(frame, groups=groups)
    np.testing.assert_array_equal(found, expected)


@both
def test_skops_stores_whole_pipelines_without_code(make, lists):
    sio = pytest.importorskip("skops.io")
    X, y, groups = lists
    name = type(make()).__name__.lower()
    pipeline = make_pipeline(StandardScaler(), make())
    pipeline.fit(X, y, **{f"{name}__groups": groups})
    content = sio.dumps(pipeline)
    asked = set(sio.get_untrusted_types(data=content))
    assert asked <= set(persistence.TRUSTED_TYPES)
    loaded = sio.loads(content, trusted=list(persistence.TRUSTED_TYPES))
    scaled = pipeline[0].transform(X)
    np.testing.assert_array_equal(
        loaded[-1].predict(loaded[0].transform(X), groups),
        pipeline[-1].predict(scaled, groups),
    )


def test_skops_stores_the_scaler_and_searches(lists):
    sio = pytest.importorskip("skops.io")
    X, y, groups = lists
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(WithinListScaler(), rankformer(max_epochs=1))
        search = GridSearchCV(
            pipeline, {"rankformerranker__dropout": [0.1, 0.2]}, cv=GroupKFold(2)
        )
        search.fit(X, y, groups=groups)
        content = sio.dumps(search.best_estimator_)
        assert set(sio.get_untrusted_types(data=content)) <= set(
            persistence.TRUSTED_TYPES
        )
        loaded = sio.loads(content, trusted=list(persistence.TRUSTED_TYPES))
        np.testing.assert_array_equal(
            loaded.predict(X, groups=groups),
            search.best_estimator_.predict(X, groups=groups),
        )


@pytest.mark.parametrize("kind", [VotingRanker, StackingRanker])
def test_skops_stores_ensembles(kind, lists):
    sio = pytest.importorskip("skops.io")
    X, y, groups = lists
    members = [("ours", rankformer(max_epochs=1)), ("line", Ridge())]
    options = {"cv": ListKFold(2)} if kind is StackingRanker else {}
    ranker = kind(members, **options).fit(X, y, groups=groups)
    content = sio.dumps(ranker)
    assert set(sio.get_untrusted_types(data=content)) <= set(persistence.TRUSTED_TYPES)
    loaded = sio.loads(content, trusted=list(persistence.TRUSTED_TYPES))
    np.testing.assert_array_equal(loaded.predict(X, groups), ranker.predict(X, groups))


# Checkpoints -------------------------------------------------------------------------


class Stop(Callback):
    """Breaks off a fit after an epoch, or in the midst of one."""

    def __init__(self, after=None, within=None):
        self.after = after
        self.within = within

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.after:
            raise RuntimeError("stopped")

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == self.within:
            raise RuntimeError("stopped")


class Count(Callback):
    """Counts epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_begin(self, net, **kwargs):
        self.epochs.append(len(net.history))


def break_off(ranker, lists, directory, **when):
    X, y, groups = lists
    callbacks = [persistence.Checkpoint(directory), Stop(**when)]
    with pytest.raises(RuntimeError, match="stopped"):
        clone(ranker).set_params(callbacks=callbacks).fit(X, y, groups=groups)


def resume(ranker, lists, directory):
    X, y, groups = lists
    epochs = []
    ranker = clone(ranker)
    ranker.callbacks = [persistence.Checkpoint(directory), Count(epochs)]
    return ranker.fit(X, y, groups=groups), epochs


def assert_same_fit(ranker, other, lists):
    X, _, groups = lists
    np.testing.assert_array_equal(ranker.predict(X, groups), other.predict(X, groups))
    assert ranker.n_iter_ == other.n_iter_
    assert ranker.kept_epoch_ == other.kept_epoch_
    assert ranker.kept_score_ == other.kept_score_
    for mine, theirs in zip(ranker.history_, other.history_, strict=True):
        assert {**mine, "dur": 0} == {**theirs, "dur": 0}


@both
@pytest.mark.parametrize("validation_fraction", [0.1, None])
@pytest.mark.parametrize("when", [{"after": 1}, {"after": 3}, {"within": 3}])
def test_resumed_fit_equals_one_never_interrupted(
    make, validation_fraction, when, lists, tmp_path
):
    X, y, groups = lists
    ranker = make(validation_fraction=validation_fraction)
    break_off(ranker, lists, tmp_path, **when)
    resumed, epochs = resume(ranker, lists, tmp_path)
    done = when.get("after", when.get("within", 0) - 1)
    assert epochs == list(range(done + 1, 5))
    assert_same_fit(resumed, ranker.fit(X, y, groups=groups), lists)


def test_a_resumed_fit_finds_as_many_epochs_and_comes_out_the_same(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(_neural_ranker, "MORE_EPOCHS", MORE_EPOCHS[:1])
    lists = X, y, groups = make_clear_lists()
    ranker = mlp(max_epochs="auto")
    break_off(ranker, lists, tmp_path, after=EPOCHS + 5)
    resumed, _ = resume(ranker, lists, tmp_path)
    assert resumed.n_iter_ > EPOCHS
    assert_same_fit(resumed, ranker.fit(X, y, groups=groups), lists)


def test_fit_that_stopped_early_is_loaded_and_not_trained_on(lists, tmp_path):
    X, y, groups = lists
    ranker = rankformer(max_epochs=30, n_iter_no_change=1, learning_rate=0.05)
    first, epochs = resume(ranker, lists, tmp_path / "new" / "folder")
    assert 1 < len(epochs) < 30
    again, epochs = resume(ranker, lists, tmp_path / "new" / "folder")
    assert epochs == []
    assert_same_fit(again, first, lists)
    assert_same_fit(again, ranker.fit(X, y, groups=groups), lists)


def test_finished_fit_is_loaded_and_not_trained_on(lists, tmp_path):
    first, epochs = resume(rankformer(), lists, tmp_path)
    assert epochs == [1, 2, 3, 4]
    again, epochs = resume(rankformer(), lists, tmp_path)
    assert epochs == []
    assert_same_fit(again, first, lists)


def test_resumed_fit_with_given_validation_lists_keeps_the_best(lists, tmp_path):
    X, y, groups = lists
    X_val, y_val, groups_val = make_lists(seed=1)
    held = {"X_val": X_val, "y_val": y_val, "groups_val": groups_val}
    ranker = rankformer(learning_rate=0.1)
    broken = [persistence.Checkpoint(tmp_path), Stop(within=4)]
    with pytest.raises(RuntimeError, match="stopped"):
        clone(ranker).set_params(callbacks=broken).fit(X, y, groups=groups, **held)
    resumed = clone(ranker).set_params(callbacks=broken[:1])
    resumed.fit(X, y, groups=groups, **held)
    assert_same_fit(resumed, ranker.fit(X, y, groups=groups, **held), lists)
    with pytest.raises(ValueError, match="What differs: validation data"):
        resumed.fit(X, y, groups=groups, **{**held, "X_val": 2 * X_val})


def changed(X, y, groups, what):
    X, y, groups = X.copy(), y.copy(), groups.copy()
    weight = None
    if what == "X":
        X[-1, -1] += 1
    elif what == "y":
        y[-1] += 1
    elif what == "groups":
        groups[-1] = groups[0]
    elif what == "sample_weight":
        weight = np.ones(len(y))
    return X, y, groups, weight


@pytest.mark.parametrize("what", ["X", "y", "groups", "sample_weight"])
def test_other_data_is_refused(what, lists, tmp_path):
    resume(rankformer(), lists, tmp_path)
    X, y, groups, weight = changed(*lists, what)
    ranker = rankformer(callbacks=[persistence.Checkpoint(tmp_path)])
    with pytest.raises(ValueError, match=r"another fit.*training data"):
        ranker.fit(X, y, groups=groups, sample_weight=weight)
    assert not hasattr(ranker, "module_")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_epochs", 9),
        ("dropout", 0.5),
        ("random_state", 1),
        ("gain", own_gain),
        ("n_iter_no_change", 2),
        ("d_model", 8),
    ],
)
def test_other_parameters_are_refused_by_name(name, value, lists, tmp_path):
    resume(rankformer(), lists, tmp_path)
    with pytest.raises(ValueError, match=rf"another fit.*{name} \("):
        resume(rankformer(**{name: value}), lists, tmp_path)


def squared(power=2, gains_by=1.0):
    def loss(scores, gains, mask, weights):
        return ((scores - gains_by * gains).abs() ** power * mask * weights).sum(-1)

    return loss


def gain_by(factor):
    def gain(y):
        return factor * y

    return gain


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ({"loss": squared(2)}, {"loss": squared(4)}, "loss"),
        ({"loss": partial(lambda_loss, k=5)}, {"loss": partial(lambda_loss, k=2)}, 0),
        ({"gain": gain_by(1)}, {"gain": gain_by(2)}, "training data with gains"),
    ],
    ids=["loss", "partial", "gain"],
)
def test_another_function_of_the_same_name_is_refused(
    one, other, differs, lists, tmp_path
):
    resume(rankformer(**one), lists, tmp_path)
    _, epochs = resume(rankformer(**one), lists, tmp_path)
    assert epochs == []
    with pytest.raises(ValueError, match=rf"What differs: {differs or 'loss'} \("):
        resume(rankformer(**other), lists, tmp_path)


class ObjectAsLoss:
    """A loss that hides in its attributes what it does."""

    def __call__(self, scores, gains, mask, weights):
        return (scores * mask).sum(-1)


def test_checkpoint_refuses_a_loss_that_it_cannot_compare(lists, tmp_path):
    with pytest.raises(ValueError, match=r"is no function\. Write it as a function"):
        resume(rankformer(loss=ObjectAsLoss()), lists, tmp_path)


def test_other_starting_weights_are_refused(lists, tmp_path):
    ranker, _ = resume(rankformer(warm_start=True), lists, tmp_path)
    with pytest.raises(ValueError, match="What differs: starting weights"):
        ranker.fit(lists[0], lists[1], groups=lists[2])


def test_checkpoint_needs_a_seed(lists, tmp_path):
    for seed in (None, np.random.RandomState(0)):
        with pytest.raises(ValueError, match="random_state to an integer"):
            resume(rankformer(random_state=seed), lists, tmp_path)


def test_checkpoint_refuses_partial_fit(lists, tmp_path):
    X, y, groups = lists
    ranker = rankformer(callbacks=[persistence.Checkpoint(tmp_path)])
    with pytest.raises(ValueError, match="nothing to resume"):
        ranker.partial_fit(X, y, groups)


def test_a_callback_that_a_resumed_fit_would_make_forget_is_refused(lists, tmp_path):
    X, y, groups = lists
    stops = EarlyStopping(monitor="valid_ndcg", lower_is_better=False)
    ranker = rankformer(callbacks=[persistence.Checkpoint(tmp_path), stops])
    with pytest.raises(ValueError, match=r"Stopping beside .* n_iter_no_change"):
        ranker.fit(X, y, groups=groups)


def test_damaged_checkpoint_is_refused(fitted, lists, tmp_path):
    file = tmp_path / persistence.Checkpoint.FILE
    file.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        resume(rankformer(), lists, tmp_path)
    persistence.save(fitted, file)
    with pytest.raises(ValueError, match="not a checkpoint"):
        resume(rankformer(), lists, tmp_path)
    file.unlink()
    resume(rankformer(), lists, tmp_path)
    header, arrays = read_file(file)
    first = [
        next(name for name in arrays if name.startswith(kind))
        for kind in ("net.module.", "best.")
    ]
    damages = [
        *({k: v for k, v in arrays.items() if k != gone} for gone in first),
        *(arrays | {at: arrays[at].reshape(-1)[:1]} for at in first),
    ]
    for damaged in damages:
        write_file(file, header, damaged)
        with pytest.raises(ValueError, match="damaged"):
            resume(rankformer(), lists, tmp_path)
    del header["stopped"]
    write_file(file, header, arrays)
    with pytest.raises(ValueError, match="damaged"):
        resume(rankformer(), lists, tmp_path)
    resume(rankformer(max_epochs=1), lists, tmp_path / "other")
    with pytest.raises(ValueError, match="does not hold a ranker"):
        persistence.load(tmp_path / "other" / persistence.Checkpoint.FILE)


def spoil_optimizer(header, arrays):
    name = next(name for name in arrays if name.endswith("exp_avg_sq"))
    arrays[name] = np.ones(1, np.float32)


CHECKPOINT_DAMAGES = {
    "optimiser of another shape": spoil_optimizer,
    "optimiser half gone": lambda header, arrays: arrays.pop("net.optimizer.step"),
    "weight not finite": lambda header, arrays: arrays.update(
        {name: array * np.nan for name, array in arrays.items() if "module" in name}
    ),
    "no history": put("history", value=[]),
    "history too long": lambda header, arrays: header["history"].extend(
        header["history"] * 9
    ),
    "history without losses": put("history", value=[{"epoch": 1}]),
    "history of text": put("history", 0, "valid_ndcg", value="high"),
    "history nested": put("history", 0, "train_loss", value={"tuple": [1]}),
    "stopped without early stopping": put("stopped", value=True),
    "stopped as text": put("stopped", value="no"),
}


@pytest.mark.parametrize("change", CHECKPOINT_DAMAGES.values(), ids=CHECKPOINT_DAMAGES)
def test_tampered_checkpoint_is_refused(change, lists, tmp_path):
    break_off(rankformer(), lists, tmp_path, after=2)
    header, arrays = read_file(tmp_path / persistence.Checkpoint.FILE)
    change(header, arrays)
    write_file(tmp_path / persistence.Checkpoint.FILE, header, arrays)
    with pytest.raises(ValueError, match=r"is damaged.*Delete it"):
        resume(rankformer(), lists, tmp_path)


KILLED_AND_RESUMED = """
import os, signal, sys
import torch
import torch._dynamo  # optimisers import it late: here once, not in each process
from skorch.callbacks import Callback, EarlyStopping
from sklearn_rankformer import RankFormerRanker, persistence
from sklearn_rankformer._files import read_file
from sklearn_rankformer.datasets import make_ranking


class Kill(Callback):
    def __init__(self, when):
        self.when = when

    def on_epoch_end(self, net, **kwargs):
        if self.when == f"after {len(net.history)}":
            os.kill(os.getpid(), signal.SIGKILL)

    def on_batch_end(self, net, **kwargs):
        if self.when == f"within {len(net.history)}":
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_begin(self, net, **kwargs):
        # While the checkpoint of this epoch is written, before or at its last step.
        if self.when == f"writing {len(net.history)}":
            os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
        if self.when == f"replacing {len(net.history)}":
            os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)


def fit(when, *checkpoint):
    torch.set_num_threads(1)
    X, y, groups = make_ranking(n_lists=20, random_state=0)
    ranker = RankFormerRanker(
        d_model=16, nhead=2, n_members=2, max_epochs=6, batch_items=64, random_state=0,
        callbacks=[*checkpoint, Kill(when)],
    ).fit(X, y, groups=groups)
    sys.stdout.buffer.write(ranker.predict(X, groups=groups).tobytes().hex().encode())
    sys.stdout.flush()


def in_another_process(when, *checkpoint):
    process = os.fork()
    if not process:
        fit(when, *checkpoint)
        os._exit(0)
    return os.waitpid(process, 0)[1]


checkpoint = persistence.Checkpoint(sys.argv[1])
file = os.path.join(sys.argv[1], checkpoint.FILE)
for when in ("after 2", "writing 3", "replacing 4", "within 5"):
    signal_number = in_another_process(when, checkpoint)
    n_epochs = len(read_file(file)[0]["history"])
    print(f"{when}: signal {signal_number}, {n_epochs} epochs kept", flush=True)
for callbacks in ([checkpoint], []):
    in_another_process("never", *callbacks)
    print(flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_fit_killed_at_any_moment_resumes_in_other_processes(tmp_path):
    # From Python 3.12 on a fork beside threads warns.
    quiet = ["-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *quiet, "-c", KILLED_AND_RESUMED, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    *killed, resumed, whole = run.stdout.splitlines()
    assert killed == [
        "after 2: signal 9, 2 epochs kept",
        "writing 3: signal 9, 2 epochs kept",
        "replacing 4: signal 9, 3 epochs kept",
        "within 5: signal 9, 4 epochs kept",
    ]
    assert len(whole) > 100
    assert resumed == whole
    assert os.listdir(tmp_path) == [persistence.Checkpoint.FILE]


def test_metric_is_unchanged_by_storage(fitted, new_lists, path):
    X, y, groups = new_lists
    loaded = through_file(fitted, path)
    ndcg = ndcg_score(y, loaded.predict(X, groups), groups, k=10)
    assert ndcg == pytest.approx(fitted.score(X, y, groups), abs=1e-12)
