"""The synthetic world keeps its promises, and LETOR files come in whole or not."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_rankformer import datasets
from sklearn_rankformer.datasets import (
    convert_letor,
    load_converted,
    load_letor,
    load_letor_fold,
    make_ranking,
)

SMALL = """\
2 qid:10 1:0.5 2:-1e-3 3:7 # docid = GX029-35 prob = 0.1
0 qid:10 1:0.25 3:8

1 qid:7 2:1.5
"""


def write(path, text, newline="\n"):
    data = text.replace("\n", newline).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


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
        ({"n_lists": 0}, ValueError, "n_lists"),
        ({"n_lists": 2.5}, TypeError, "n_lists"),
        ({"list_size": 0}, ValueError, "list_size"),
        ({"list_size": (9, 3)}, ValueError, r"list_size must be \(low, high\)"),
        ({"list_size": (1, 2, 3)}, ValueError, "list_size"),
        ({"list_size": "ten"}, TypeError, "list_size"),
        ({"n_informative": 5}, ValueError, "n_informative"),
        ({"n_features": 7}, ValueError, "n_features"),
        ({"context_strength": -1}, ValueError, "context_strength"),
        ({"context_strength": np.inf}, ValueError, "context_strength"),
        ({"list_signal": 1.5}, ValueError, "list_signal"),
        ({"list_share": -0.1}, ValueError, "list_share"),
        ({"empty_share": -0.1}, ValueError, "empty_share"),
        ({"n_levels": 1}, ValueError, "n_levels"),
        ({"noise": np.nan}, ValueError, "noise"),
        ({"noise": "little"}, TypeError, "noise"),
    ],
)
def test_make_ranking_refuses_parameters_out_of_range(parameters, error, message):
    with pytest.raises(error, match=message):
        make_ranking(**parameters)


# load_letor


@pytest.mark.parametrize("name", ["data.txt", "data.txt.gz"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_load_letor_reads_sparse_lines_comments_and_blank_lines(
    tmp_path, name, newline
):
    X, y, groups = load_letor(write(tmp_path / name, SMALL, newline))
    expected = np.array([[0.5, -1e-3, 7], [0.25, 0, 8], [0, 1.5, 0]], np.float32)
    assert_array_equal(X, expected)
    assert_array_equal(y, [2, 0, 1])
    assert_array_equal(groups, [10, 10, 7])
    assert (X.dtype, y.dtype, groups.dtype) == (np.float32, np.int64, np.int64)


def test_load_letor_reads_the_last_line_without_its_end(tmp_path):
    path = write(tmp_path / "data.txt", SMALL.rstrip("\n"))
    assert_array_equal(load_letor(path)[1], [2, 0, 1])


def test_load_letor_pads_to_n_features(tmp_path):
    X, _, _ = load_letor(write(tmp_path / "data.txt", SMALL), n_features=5)
    assert X.shape == (3, 5)
    assert not X[:, 3:].any()


def test_load_letor_keeps_double_precision_when_asked(tmp_path):
    path = write(tmp_path / "data.txt", "0 qid:1 1:0.1234567890123456\n")
    X, _, _ = load_letor(path, dtype=np.float64)
    assert X[0, 0] == 0.1234567890123456


def test_load_letor_takes_unheld_values_for_missing(tmp_path):
    text = "0 qid:1 1:1.797693e+308 2:nan 3:-1.7e308 4:3.4e38\n"
    for dtype in (np.float32, np.float64):
        X, _, _ = load_letor(write(tmp_path / "data.txt", text), dtype=dtype)
        assert_array_equal(np.isnan(X), [[True, True, True, False]])


def test_load_letor_keeps_fractional_labels(tmp_path):
    path = write(tmp_path / "data.txt", "0.5 qid:1 1:1\n2 qid:1 1:2\n")
    assert_array_equal(load_letor(path)[1], [0.5, 2.0])


def test_load_letor_keeps_ids_that_are_not_integers_as_strings(tmp_path):
    text = "0 qid:8 1:1\n" * 50 + "1 qid:a_b 1:2\n2 qid:1.0 1:3\n"
    _, _, groups = load_letor(write(tmp_path / "data.txt", text))
    assert groups.dtype.kind == "U"
    assert groups.tolist() == ["8"] * 50 + ["a_b", "1.0"]


def test_load_letor_keeps_apart_huge_ids(tmp_path):
    ids = [2**62, 2**62 + 1]
    text = "".join(f"0 qid:{i} 1:1\n" for i in ids)
    assert load_letor(write(tmp_path / "data.txt", text))[2].tolist() == ids
    text += f"0 qid:{2**64} 1:1\n"
    groups = load_letor(write(tmp_path / "data.txt", text))[2]
    assert groups.tolist() == [*map(str, ids), str(2**64)]


values = st.floats(width=32, allow_nan=False, allow_infinity=False)
pairs = st.dictionaries(st.integers(1, 12), values, max_size=12)
rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(-5, 5), pairs), min_size=1, max_size=30
)


@settings(deadline=None, max_examples=60)
@given(rows=rows, block=st.integers(1, 300), slow=st.booleans())
def test_load_letor_reads_back_what_was_written_in_blocks_of_any_size(
    tmp_path_factory, rows, block, slow
):
    text = "".join(
        f"{label} qid:{group} "
        + " ".join(f"{k}:{row[k]!r}" for k in sorted(row))
        + ("  # a comment\n" if label else "\n")
        for label, group, row in rows
    )
    path = write(tmp_path_factory.mktemp("letor") / "data.txt", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "_BLOCK_BYTES", block)
        if slow:
            patch.setattr(datasets, "_parse_fast", lambda *_: None)
        X, y, groups = load_letor(path)
    width = max(max(row, default=1) for _, _, row in rows)
    expected = np.zeros((len(rows), width))
    for i, (_, _, row) in enumerate(rows):
        for k, value in row.items():
            expected[i, k - 1] = value
    assert_array_equal(X, expected.astype(np.float32))
    assert_array_equal(y, [label for label, _, _ in rows])
    assert_array_equal(groups, [group for _, group, _ in rows])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 1:0.5", "list id"),
        ("1", "list id"),
        ("1 qid: 1:0.5", "list id"),
        ("1 1:0.5 qid:3", "list id"),
        ("x qid:3 1:0.5", "label 'x' is not a number"),
        ("nan qid:3 1:0.5", "label 'nan' is not finite"),
        ("1 qid:3 1:five", "value of feature 1, 'five' is not a number"),
        ("1 qid:3 1:1_0", "value of feature 1, '1_0' is not a number"),
        ("1 qid:3 1:", "value of feature 1, '' is not a number"),
        ("1 qid:3 1:2:3", "value of feature 1, '2:3' is not a number"),
        ("1 qid:3 1:0.5 2", "'2' is not of the form index:value"),
        ("1 qid:3 1:0.5 2 :3", "'2' is not of the form index:value"),
        ("1 qid:3 a:0.5", "'a:0.5' is not of the form index:value"),
        ("1 qid:3 -1:0.5", "'-1:0.5' is not of the form index:value"),
        ("1 qid:3 qid:4 1:0.5", "'qid:4' is not of the form index:value"),
        ("1 qid:3 0:0.5 1:2", "start from 1, got 0"),
        ("1 qid:3 2:0.5 1:2", "must increase, got 1 after 2"),
        ("1 qid:3 2:0.5 2:2", "must increase, got 2 after 2"),
        ("1 qid:3 1:0.5 5:2", "index 5 exceeds n_features=4"),
    ],
)
def test_load_letor_names_file_line_and_text_of_damage(tmp_path, line, message):
    path = write(tmp_path / "bad.txt", f"{SMALL}{line}\n{SMALL}")
    with pytest.raises(ValueError, match=r"bad\.txt, line 5: ") as caught:
        load_letor(path, n_features=4)
    assert message in str(caught.value)
    assert str(caught.value).endswith(f"The line reads {line!r}.")


def test_load_letor_counts_lines_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_BLOCK_BYTES", 64)
    path = write(tmp_path / "bad.txt", SMALL * 9 + "1 qid:3 1:x\n" + SMALL)
    with pytest.raises(ValueError, match="line 37: "):
        load_letor(path)


def test_load_letor_refuses_an_index_that_no_array_could_hold(tmp_path):
    path = write(tmp_path / "bad.txt", "1 qid:3 1:0.5 99999999999:1\n")
    with pytest.raises(ValueError, match="line 1: feature index 99999999999 is too"):
        load_letor(path)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing but a comment\n"])
def test_load_letor_refuses_a_file_without_rows(tmp_path, text):
    with pytest.raises(ValueError, match="holds no rows"):
        load_letor(write(tmp_path / "data.txt", text))


def test_load_letor_refuses_a_damaged_archive(tmp_path):
    whole = gzip.compress((SMALL * 99).encode())
    for name, data in {"cut": whole[:-20], "plain": SMALL.encode()}.items():
        path = tmp_path / f"{name}.gz"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"{name}.gz cannot be unpacked"):
            load_letor(path)


def test_load_letor_says_that_there_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        load_letor(tmp_path / "absent.txt")


def test_load_letor_refuses_parameters_out_of_range(tmp_path):
    path = write(tmp_path / "data.txt", SMALL)
    with pytest.raises(ValueError, match="dtype must be float32 or float64"):
        load_letor(path, dtype=np.int32)
    with pytest.raises(ValueError, match="n_features"):
        load_letor(path, n_features=0)


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


def test_load_letor_fold_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no Fold3"):
        load_letor_fold(tmp_path, 3)
    write(tmp_path / "train.txt", SMALL)
    with pytest.raises(FileNotFoundError, match=r"neither vali\.txt nor"):
        load_letor_fold(tmp_path)


# convert_letor


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_convert_letor_gives_what_load_letor_gives(tmp_path, monkeypatch, suffix):
    path = write(tmp_path / f"data{suffix}", SMALL * 20 + "1 qid:8 6:1\n")
    expected = load_letor(path)
    monkeypatch.setattr(datasets, "_BLOCK_BYTES", 100)
    paths = convert_letor(path, tmp_path / "arrays")
    X, y, groups = load_converted(tmp_path / "arrays")
    for one, other in zip((X, y, groups), expected, strict=True):
        assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert isinstance(X, np.memmap)
    assert not X.flags.writeable
    assert sorted(paths.values()) == sorted((tmp_path / "arrays").iterdir())


def test_convert_letor_joins_files(tmp_path):
    first = write(tmp_path / "a.txt", SMALL)
    second = write(tmp_path / "b.txt", "0.5 qid:x 4:2\n")
    convert_letor([first, second], tmp_path / "arrays", n_features=9)
    X, y, groups = load_converted(tmp_path / "arrays")
    assert X.shape == (4, 9)
    assert_array_equal(y, [2, 0, 1, 0.5])
    assert groups.tolist() == ["10", "10", "7", "x"]


def test_convert_letor_keeps_what_is_there_unless_told(tmp_path):
    path = write(tmp_path / "data.txt", SMALL)
    convert_letor(path, tmp_path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        convert_letor(path, tmp_path)
    convert_letor(write(path, "1 qid:3 5:2\n"), tmp_path, overwrite=True)
    assert load_converted(tmp_path)[0].shape == (1, 5)


def test_convert_letor_leaves_no_arrays_when_it_fails(tmp_path):
    good = write(tmp_path / "good.txt", SMALL)
    bad = write(tmp_path / "bad.txt", SMALL + "1 qid:3 1:x\n")
    with pytest.raises(ValueError, match=r"bad\.txt, line 5"):
        convert_letor([good, bad], tmp_path / "arrays")
    assert not any((tmp_path / "arrays").iterdir())
    with pytest.raises(FileNotFoundError, match=r"holds no X\.npy"):
        load_converted(tmp_path / "arrays")


def test_convert_letor_keeps_the_old_arrays_when_it_fails(tmp_path):
    convert_letor(write(tmp_path / "data.txt", SMALL), tmp_path)
    with pytest.raises(ValueError, match="line 1"):
        convert_letor(write(tmp_path / "data.txt", "x"), tmp_path, overwrite=True)
    assert load_converted(tmp_path)[0].shape == (3, 3)


def test_convert_letor_refuses_an_empty_list_of_files(tmp_path):
    with pytest.raises(ValueError, match="empty list"):
        convert_letor([], tmp_path)


def test_load_converted_refuses_arrays_of_different_lengths(tmp_path):
    convert_letor(write(tmp_path / "data.txt", SMALL), tmp_path)
    np.save(tmp_path / "y.npy", np.zeros(2))
    with pytest.raises(ValueError, match="3 rows of X, 2 of y"):
        load_converted(tmp_path)
