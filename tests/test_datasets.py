"""The synthetic world keeps its promises, and LETOR data come in whole or not."""

import os
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_rankformer import _letor
from sklearn_rankformer.datasets import (
    convert_letor,
    load_converted,
    load_letor,
    load_letor_fold,
    make_ranking,
)

from .letor_files import SMALL, write


def empty_lists(y, groups):
    return np.array([not y[groups == group].any() for group in np.unique(groups)])


# make_ranking


def test_make_ranking_has_the_promised_shapes_and_types():
    X, y, groups = make_ranking(
        13, list_size=(3, 11), n_features=17, n_levels=5, random_state=0
    )
    sizes = np.bincount(groups)
    assert X.shape == (len(y), 17)
    assert X.dtype == np.float64
    assert y.dtype == groups.dtype == np.int64
    assert len(sizes) == 13
    assert 3 <= sizes.min() < sizes.max() <= 11
    assert (np.diff(groups) >= 0).all()
    assert set(y.tolist()) == {0, 1, 2, 3, 4}
    assert np.isfinite(X).all()


def test_make_ranking_is_the_same_for_the_same_seed_only():
    first, again = (make_ranking(random_state=3) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert_array_equal(one, other)
    assert not np.array_equal(first[0][:5], make_ranking(random_state=4)[0][:5])


def test_make_ranking_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_ranking(random_state=0)
    assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("size", [1, 6])
def test_make_ranking_takes_one_size_for_all_lists(size):
    X, _, groups = make_ranking(20, list_size=size, random_state=0)
    assert_array_equal(np.bincount(groups), np.full(20, size))
    assert np.isfinite(X).all()


@settings(deadline=None, max_examples=25)
@given(
    n_lists=st.integers(1, 40),
    empty_share=st.floats(0, 1),
    n_levels=st.integers(2, 5),
    context_strength=st.floats(0, 10),
    seed=st.integers(0, 1000),
)
def test_make_ranking_leaves_exactly_the_asked_share_of_lists_empty(
    n_lists, empty_share, n_levels, context_strength, seed
):
    _, y, groups = make_ranking(
        n_lists,
        empty_share=empty_share,
        n_levels=n_levels,
        context_strength=context_strength,
        random_state=seed,
    )
    assert empty_lists(y, groups).sum() == round(empty_share * n_lists)
    assert 0 <= y.min() <= y.max() < n_levels


def test_labels_follow_the_utility_when_there_is_no_noise():
    _, y, _, utility = make_ranking(noise=0, return_utility=True, random_state=0)
    assert (np.diff(y[np.argsort(utility)]) >= 0).all()


def test_noise_blurs_the_labels_of_equal_utility():
    _, y, _, utility = make_ranking(noise=1, return_utility=True, random_state=0)
    assert (np.diff(y[np.argsort(utility)]) < 0).any()


def test_each_level_keeps_the_upper_half_of_the_positives():
    _, y, _ = make_ranking(2000, n_levels=4, random_state=0)
    shares = [(y >= level).sum() / (y >= 1).sum() for level in (1, 2, 3)]
    assert_allclose(shares, [1, 0.5, 0.25], atol=1e-3)


def latent(X):
    """Undo `X` of the Notes."""
    p = X.shape[1]
    z = X.copy()
    for k in range(p):
        if k % 3 == 0:
            z[:, k] = X[:, k] / 1000 ** (1 - 2 * k / p) - 2
        elif k % 3 == 1:
            z[:, k] = np.log(X[:, k]) / 1.5
        else:
            z[:, k] = np.log(X[:, k] / (100 - X[:, k]))
    return z


def test_features_are_the_documented_maps_of_normal_ones():
    z = latent(make_ranking(3000, random_state=0)[0])
    assert_allclose(z.mean(axis=0), 0, atol=0.1)
    assert_allclose(z.std(axis=0), 1, atol=0.05)


def test_first_two_features_correlate_within_each_list_one_way_or_the_other():
    X, _, groups = make_ranking(300, list_size=400, random_state=0)
    z = latent(X)
    found = [np.corrcoef(z[groups == g][:, :2].T)[0, 1] for g in range(300)]
    assert_allclose(np.abs(found), 0.7, atol=0.15)
    assert 100 < (np.array(found) > 0).sum() < 200


def context_by_loops(z, groups):
    """Term by term as the Notes say, with a loop over lists and all pairs of items."""
    price, taste, crowding = np.empty((3, len(z)))
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        turn = np.tanh(3 * np.mean(z[rows, 0] * z[rows, 1]))
        for i in rows:
            price[i] = -abs(z[i, 2] - np.mean(z[rows, 2]))
            taste[i] = turn * (z[i, 3] + z[i, 4])
            crowding[i] = -np.mean(np.cos(1.5 * (z[i, 5] - z[rows, 5])))
    terms = [(c - c.mean()) / c.std() for c in (price, taste, crowding)]
    return (terms[0] + np.sqrt(2) * terms[1] + terms[2]) / 2


def centred(values, groups):
    means = np.array([values[groups == g].mean() for g in range(groups[-1] + 1)])
    return values - means[groups]


def test_utility_within_lists_is_the_documented_context_when_that_is_all():
    X, _, groups, utility = make_ranking(
        60, context_strength=1e6, list_signal=0, return_utility=True, random_state=0
    )
    expected = centred(context_by_loops(latent(X), groups), groups)
    within = centred(utility, groups)
    assert_allclose(within, expected / expected.std(), atol=1e-4)


def test_utility_within_lists_is_a_function_of_the_item_when_context_is_off():
    X, _, groups, utility = make_ranking(
        60, context_strength=0, return_utility=True, random_state=0
    )
    z = latent(X)[:, :8]
    design = centred_columns(np.hstack([z, np.abs(z)]), groups)
    within = centred(utility, groups)
    weights = np.linalg.lstsq(design, within, rcond=None)[0]
    assert_allclose(design @ weights, within, atol=1e-8)


def centred_columns(columns, groups):
    return np.column_stack([centred(column, groups) for column in columns.T])


@pytest.mark.parametrize("signal", [0, 0.5, 1])
def test_list_value_has_its_variance_from_the_items_to_the_asked_share(signal):
    X, _, groups, utility = make_ranking(
        3000,
        context_strength=0,
        list_signal=signal,
        return_utility=True,
        random_state=0,
    )
    z = latent(X)[:, :8]
    starts, sizes = np.unique(groups, return_index=True, return_counts=True)[1:]
    design = np.hstack([np.ones((len(X), 1)), z, np.abs(z)])
    means = np.add.reduceat(design, starts) / sizes[:, None]
    value = np.add.reduceat(utility, starts) / sizes
    fitted = means @ np.linalg.lstsq(means, value, rcond=None)[0]
    assert_allclose(fitted.var() / value.var(), signal, atol=0.06)


@pytest.mark.parametrize("share", [0, 0.3, 0.8])
def test_items_of_a_list_have_the_asked_share_of_variance_in_common(share):
    X, _, groups = make_ranking(
        3000, list_size=10, list_share=share, empty_share=0.5, random_state=0
    )
    z = latent(X)[:, 2:8]
    within = centred_columns(z, groups).var() * 10 / 9
    assert_allclose(1 - within / z.var(), share, atol=0.03)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_lists": 0}, ValueError, "n_lists must be an integer of 1 or more, got 0"),
        ({"n_lists": 2.5}, ValueError, "n_lists must be an integer .* got 2.5"),
        ({"list_size": 0}, ValueError, "list_size must be an integer of 1 or more"),
        ({"list_size": (9, 3)}, ValueError, r"list_size must be \(low, high\)"),
        ({"list_size": (1, 2, 3)}, ValueError, "list_size"),
        ({"list_size": "ten"}, ValueError, "list_size must be an integer .* 'ten'"),
        ({"n_informative": 5}, ValueError, "n_informative must be .* of 6 or more"),
        ({"n_features": 7}, ValueError, "n_features must be .* of 8 or more, got 7"),
        ({"context_strength": -1}, ValueError, "context_strength"),
        ({"context_strength": np.inf}, ValueError, "context_strength"),
        ({"list_signal": 1.5}, ValueError, "list_signal"),
        ({"list_share": -0.1}, ValueError, "list_share"),
        ({"empty_share": -0.1}, ValueError, "empty_share"),
        ({"n_levels": 1}, ValueError, "n_levels must be .* of 2 or more, got 1"),
        ({"noise": np.nan}, ValueError, "noise"),
        ({"noise": "little"}, TypeError, "noise"),
    ],
)
def test_make_ranking_refuses_parameters_out_of_range(parameters, error, message):
    with pytest.raises(error, match=message):
        make_ranking(**parameters)


# load_letor_fold


@pytest.mark.parametrize(
    ("folder", "fold", "suffix"),
    [("Fold2", 2, ".txt"), ("fold2", 2, ".txt.gz"), (".", None, ".txt")],
)
def test_load_letor_fold_reads_three_parts_of_one_width(tmp_path, folder, fold, suffix):
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    write(place / f"train{suffix}", SMALL)
    write(place / f"vali{suffix}", "1 qid:3 5:2\n")
    write(place / f"test{suffix}", "0 qid:4 1:2\n1 qid:4 2:2\n")
    parts = load_letor_fold(tmp_path, fold)
    assert [parts[name][0].shape for name in ("train", "vali", "test")] == [
        (3, 5),
        (1, 5),
        (2, 5),
    ]
    assert_array_equal(parts.vali[0], [[0, 0, 0, 0, 2]])
    assert_array_equal(parts.train[2], [10, 10, 7])


def write_fold(place, train, vali, test, suffix=""):
    for name, text in (("train", train), ("vali", vali), ("test", test)):
        write(place / f"{name}.txt{suffix}", text)


def test_parts_of_a_fold_are_decided_together(tmp_path, blocks):
    write_fold(
        tmp_path, "1 qid:1 1:5\n", "0.5 qid:2 2:6\n", "1 qid:01 0:7 3:8\n0 qid:1 1:1\n"
    )
    parts = load_letor_fold(tmp_path)
    assert_array_equal(parts.train[0], [[0, 5, 0, 0]])
    assert_array_equal(parts.vali[0], [[0, 0, 6, 0]])
    assert_array_equal(parts.test[0], [[7, 0, 0, 8], [0, 1, 0, 0]])
    assert {part[1].dtype.kind for part in parts.values()} == {"f"}
    assert [part[2].tolist() for part in parts.values()] == [["1"], ["2"], ["01", "1"]]


def test_fold_takes_the_parameters_of_load_letor(tmp_path):
    write_fold(tmp_path, *["1 qid:1 1:5\n"] * 3)
    parts = load_letor_fold(tmp_path, zero_based=True, n_features=4, dtype=np.float64)
    for X, _, _ in parts.values():
        assert X.dtype == np.float64
        assert_array_equal(X, [[0, 5, 0, 0]])
    with pytest.raises(ValueError, match=r"train\.txt, line 1: .* n_features=1"):
        load_letor_fold(tmp_path, zero_based=True, n_features=1)


def test_lists_of_a_fold_with_sizes_are_numbered_through(tmp_path, blocks):
    write_fold(tmp_path, "1 1:5\n0 1:1\n", "1 1:6\n", "0 1:7\n1 1:8\n")
    write_fold(tmp_path, "1\n1\n", "1\n", "2\n", suffix=".query")
    groups = [groups.tolist() for _, _, groups in load_letor_fold(tmp_path).values()]
    assert groups == [[0, 1], [2], [3, 3]]


def test_fold_of_which_only_some_parts_have_ids_is_refused(tmp_path):
    write_fold(tmp_path, "1 qid:1 1:5\n", "1 1:6\n", "1 qid:1 1:7\n")
    with pytest.raises(ValueError, match=r"vali\.txt, line 1: .* as in .*train\.txt"):
        load_letor_fold(tmp_path)


def test_repeated_indices_of_a_fold_warn_once_with_their_number(tmp_path):
    write_fold(tmp_path, *["1 qid:1 1:5 1:6\n"] * 3)
    with pytest.warns(UserWarning, match=r"train\.txt, line 1: .* all: 3") as caught:
        load_letor_fold(tmp_path)
    assert [one.filename for one in caught] == [__file__]


def test_load_letor_fold_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no Fold3"):
        load_letor_fold(tmp_path, 3)
    write(tmp_path / "train.txt", SMALL)
    with pytest.raises(FileNotFoundError, match=r"neither vali\.txt nor"):
        load_letor_fold(tmp_path)


# convert_letor


def assert_same_arrays(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_convert_letor_gives_what_load_letor_gives(tmp_path, blocks, suffix):
    path = write(tmp_path / f"data{suffix}", SMALL * 20 + "1 qid:8 6:1\n")
    paths = convert_letor(path, tmp_path / "arrays")
    X, y, groups = load_converted(tmp_path / "arrays")
    assert_same_arrays((X, y, groups), load_letor(path))
    assert isinstance(X, np.memmap)
    assert not X.flags.writeable
    assert sorted(paths.values()) == sorted((tmp_path / "arrays").iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "1 qid:1 1:5\n0 qid:01 2:7\n1 qid:1 0:8\n",
        "1 qid:1 3:5 2:1\n0.5 qid:1 1:7\n",
        "1 1:5\n0 2:7\n1 2:3\n",
        "\ufeff1 qid:a\n0 qid:a\n",
    ],
)
@pytest.mark.parametrize("parameters", [{}, {"n_features": 7}, {"zero_based": True}])
def test_convert_letor_takes_every_kind_of_file(tmp_path, blocks, text, parameters):
    path = write(tmp_path / "data.txt", text)
    write(tmp_path / "data.txt.query", "1\n2\n")
    convert_letor(path, tmp_path / "arrays", **parameters)
    found = load_converted(tmp_path / "arrays")
    assert_same_arrays(found, load_letor(path, **parameters))


def test_convert_letor_joins_files(tmp_path):
    first = write(tmp_path / "a.txt", SMALL)
    second = write(tmp_path / "b.txt", "0.5 qid:x 4:2\n")
    convert_letor([first, second], tmp_path / "arrays", n_features=9)
    X, y, groups = load_converted(tmp_path / "arrays")
    assert X.shape == (4, 9)
    assert_array_equal(y, [2, 0, 1, 0.5])
    assert groups.tolist() == ["10", "10", "7", "x"]


def test_files_to_convert_are_decided_together(tmp_path, blocks):
    first = write(tmp_path / "a.txt", "1 1:5\n0 1:6\n")
    second = write(tmp_path / "b.txt", "1 0:5 2:1\n0 1:6\n")
    write(tmp_path / "a.txt.query", "2")
    write(tmp_path / "b.txt.group", "1\n1")
    convert_letor([first, second], tmp_path / "arrays")
    X, _, groups = load_converted(tmp_path / "arrays")
    assert_array_equal(X, [[0, 5, 0], [0, 6, 0], [5, 0, 1], [0, 6, 0]])
    assert groups.tolist() == [0, 0, 1, 2]


def test_convert_letor_warns_once_of_repeated_indices(tmp_path):
    path = write(tmp_path / "data.txt", "1 qid:1 1:5 1:6\n")
    with pytest.warns(UserWarning, match="stands twice") as caught:
        convert_letor(path, tmp_path)
    assert [one.filename for one in caught] == [__file__]
    assert_array_equal(load_converted(tmp_path)[0], [[6]])


@pytest.mark.parametrize("name", ["X.npy", "y.npy", "groups.npy"])
def test_convert_letor_never_replaces_what_is_there(tmp_path, name):
    path = write(tmp_path / "data.txt", SMALL)
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"already holds {name}.*remove them"):
        convert_letor(path, tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(["data.txt", name])


def test_convert_letor_does_not_replace_what_appears_meanwhile(tmp_path, monkeypatch):
    convert_letor(write(tmp_path / "data.txt", SMALL), tmp_path / "other")
    layout = _letor.Reader.layout

    def appear(reader):
        for path in (tmp_path / "other").iterdir():
            os.replace(path, tmp_path / "arrays" / path.name)
        return layout(reader)

    monkeypatch.setattr(_letor.Reader, "layout", appear)
    later = write(tmp_path / "later.txt", "1 qid:3 5:2\n")
    with pytest.raises(FileExistsError, match="already holds"):
        convert_letor(later, tmp_path / "arrays")
    assert load_converted(tmp_path / "arrays")[0].shape == (3, 3)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
@pytest.mark.parametrize("moment", ["first pass", "second pass", "labels", "ids"])
def test_convert_letor_leaves_nothing_when_it_is_stopped(
    tmp_path, monkeypatch, error, moment
):
    moments = iter(["first pass", "second pass", "labels", "ids"])

    def stop(*_):
        if next(moments) == moment:
            raise error("stopped")
        return mock.DEFAULT

    for name in ("zeros", "save"):
        wrapped = mock.Mock(wraps=getattr(np, name), side_effect=stop)
        monkeypatch.setattr(np, name, wrapped)
    with pytest.raises(error, match="stopped"):
        convert_letor(write(tmp_path / "data.txt", SMALL), tmp_path / "arrays")
    assert not any((tmp_path / "arrays").iterdir())


@pytest.mark.parametrize("there", [["X.npy"], ["y.npy", "groups.npy"]])
def test_arrays_of_which_some_are_missing_are_named_as_such(tmp_path, there):
    path = write(tmp_path / "data.txt", SMALL)
    convert_letor(path, tmp_path)
    gone = sorted({"X.npy", "y.npy", "groups.npy"} - set(there))
    for name in gone:
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=gone[0]):
        load_converted(tmp_path)
    with pytest.raises(FileExistsError, match=f"already holds {', '.join(there)}"):
        convert_letor(path, tmp_path)


def test_convert_letor_leaves_no_arrays_when_it_fails(tmp_path):
    good = write(tmp_path / "good.txt", SMALL)
    bad = write(tmp_path / "bad.txt", SMALL + "1 qid:3 1:x\n")
    with pytest.raises(ValueError, match=r"bad\.txt, line 5"):
        convert_letor([good, bad], tmp_path / "arrays")
    assert not any((tmp_path / "arrays").iterdir())
    with pytest.raises(FileNotFoundError, match=r"holds no X\.npy"):
        load_converted(tmp_path / "arrays")


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(SMALL * 2, id="longer"),
        pytest.param("2 qid:10 3:1\n", id="shorter"),
        pytest.param(SMALL.replace("1:", "9:"), id="wider"),
        pytest.param(SMALL.replace("2 qid", "3 qid"), id="other labels"),
    ],
)
def test_convert_letor_notices_that_a_file_changes_meanwhile(
    tmp_path, monkeypatch, blocks, later
):
    path = write(tmp_path / "data.txt", SMALL)
    layout = _letor.Reader.layout

    def change(reader):
        write(path, later)
        return layout(reader)

    monkeypatch.setattr(_letor.Reader, "layout", change)
    with pytest.raises(ValueError, match=r"data\.txt changed while being read"):
        convert_letor(path, tmp_path / "arrays")
    assert not any((tmp_path / "arrays").iterdir())


def test_convert_letor_refuses_an_empty_list_of_files(tmp_path):
    with pytest.raises(ValueError, match="empty list"):
        convert_letor([], tmp_path)


def test_convert_letor_refuses_a_file_given_twice(tmp_path):
    path = write(tmp_path / "data.txt", SMALL)
    (tmp_path / "link.txt").symlink_to(path)
    for paths in ([path, path], [path, tmp_path / "link.txt"]):
        with pytest.raises(ValueError, match=r"data\.txt is given twice\. Give each"):
            convert_letor(paths, tmp_path / "arrays")


# load_converted


def test_load_converted_refuses_arrays_of_different_lengths(tmp_path):
    convert_letor(write(tmp_path / "data.txt", SMALL), tmp_path)
    np.save(tmp_path / "y.npy", np.zeros(2))
    with pytest.raises(ValueError, match="3 rows of X, 2 of y"):
        load_converted(tmp_path)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("X.npy", np.zeros((3, 3))),
        ("X.npy", np.zeros(3, np.float32)),
        ("X.npy", np.zeros((3, 3), ">f4")),
        ("y.npy", np.zeros((3, 1))),
        ("y.npy", np.zeros(3, complex)),
        ("groups.npy", np.zeros(3)),
        ("groups.npy", np.zeros(3, "S2")),
    ],
)
def test_load_converted_refuses_arrays_that_are_never_written(tmp_path, name, array):
    convert_letor(write(tmp_path / "data.txt", SMALL), tmp_path)
    np.save(tmp_path / name, array)
    with pytest.raises(ValueError, match=f"{name} is damaged: it holds"):
        load_converted(tmp_path)


def test_load_converted_refuses_more_than_the_header_speaks_of(tmp_path):
    convert_letor(write(tmp_path / "data.txt", SMALL), tmp_path)
    whole = (tmp_path / "X.npy").read_bytes()
    for content in (whole + b"\0", whole.replace(b"(3, 3)", b"(3, 1)")):
        (tmp_path / "X.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"X\.npy is damaged: .* all of it"):
            load_converted(tmp_path)


NAMES = st.sampled_from(["X.npy", "y.npy", "groups.npy"])


@given(name=NAMES, share=st.floats(0, 1, exclude_max=True))
def test_load_converted_refuses_what_is_cut_off(tmp_path_factory, name, share):
    folder = tmp_path_factory.mktemp("arrays")
    convert_letor(write(folder / "data.txt", SMALL), folder)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=rf"{name} is .*damaged.* convert again"):
        load_converted(folder)


@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")  # of Python 2
@settings(max_examples=150)
@given(name=NAMES, data=st.data())
def test_load_converted_reads_damaged_headers_right_or_refuses_them(
    tmp_path_factory, name, data
):
    folder = tmp_path_factory.mktemp("arrays")
    path = write(folder / "data.txt", SMALL)
    convert_letor(path, folder)
    content = bytearray((folder / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 127))
        new = st.sampled_from(b"0139'{}()[],:<>|OSUVfi4 \n-L\0\xff")
        content[at] = data.draw(st.one_of(new, st.integers(0, 255)))
    (folder / name).write_bytes(content)
    try:
        found = load_converted(folder)
    except ValueError as error:
        message = str(error)
    else:
        message = str(folder)
        assert_same_arrays(found, load_letor(path))
    assert message.startswith(str(folder))
