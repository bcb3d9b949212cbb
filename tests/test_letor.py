"""LETOR text is read as it stands, or refused by file and line; blocks never matter."""

import codecs
import gzip
import os
import re
import warnings
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.datasets import load_svmlight_file

from sklearn_rankformer import _letor
from sklearn_rankformer.datasets import load_letor, make_ranking

from .letor_files import SMALL, write


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


@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_load_letor_takes_paths_of_every_kind(tmp_path, kind):
    assert len(load_letor(kind(write(tmp_path / "data.txt", SMALL)))[1]) == 3


def test_load_letor_pads_to_n_features(tmp_path):
    X, _, _ = load_letor(write(tmp_path / "data.txt", SMALL), n_features=5)
    assert X.shape == (3, 5)
    assert not X[:, 3:].any()


def test_load_letor_keeps_double_precision_when_asked(tmp_path):
    path = write(tmp_path / "data.txt", "0 qid:1 1:0.1234567890123456\n")
    X, _, _ = load_letor(path, dtype=np.float64)
    assert X[0, 0] == 0.1234567890123456


def test_load_letor_takes_unheld_values_for_missing(tmp_path):
    text = "0 qid:1 1:1.797693e+308 2:nan 3:-1.7e308 4:3.4e38 5:inf\n"
    for dtype in (np.float32, np.float64):
        X, _, _ = load_letor(write(tmp_path / "data.txt", text), dtype=dtype)
        assert_array_equal(np.isnan(X), [[True, True, True, False, True]])


def test_load_letor_reads_tiny_values_whatever_numpy_is_set_to_raise(tmp_path):
    path = write(tmp_path / "data.txt", "0 qid:1 1:1e-50 2:5e-324 3:1e308\n")
    with np.errstate(all="raise"):
        assert_array_equal(load_letor(path)[0], [[0, 0, np.nan]])


def test_load_letor_reads_rows_without_features(tmp_path):
    X, y, _ = load_letor(write(tmp_path / "data.txt", "1 qid:3\n0 qid:3\n"))
    assert_array_equal(X, [[0], [0]])
    assert_array_equal(y, [1, 0])


def test_load_letor_keeps_fractional_labels(tmp_path, blocks):
    path = write(tmp_path / "data.txt", "2 qid:1 1:1\n0.5 qid:1 1:2\n")
    assert_array_equal(load_letor(path)[1], [2.0, 0.5])


def test_load_letor_agrees_with_scikit_learn_on_rows_that_both_take(tmp_path, blocks):
    X, y, groups = make_ranking(20, random_state=0)
    lines = [
        f"{label} qid:{group} " + " ".join(f"{k}:{v!r}" for k, v in enumerate(row, 1))
        for label, group, row in zip(y, groups, X.tolist(), strict=True)
    ]
    path = write(tmp_path / "data.txt", "\n".join(lines))
    expected, labels, ids = load_svmlight_file(str(path), query_id=True)
    found = load_letor(path, dtype=np.float64)
    for one, other in zip(found, (expected.toarray(), labels, ids), strict=True):
        assert_array_equal(one, other)
    assert_array_equal(found[0], X)


# Indices


def test_indices_start_from_0_if_any_row_of_the_file_has_that_one(tmp_path, blocks):
    path = write(tmp_path / "data.txt", "1 qid:1 1:5 2:6\n0 qid:1 2:7\n1 qid:1 0:8\n")
    assert_array_equal(load_letor(path)[0], [[0, 5, 6], [0, 0, 7], [8, 0, 0]])


def test_zero_based_says_where_indices_start(tmp_path, blocks):
    path = write(tmp_path / "data.txt", "1 qid:1 1:5\n0 qid:1 2:7\n")
    assert_array_equal(load_letor(path, zero_based=True)[0], [[0, 5, 0], [0, 0, 7]])
    assert_array_equal(load_letor(path, zero_based=False)[0], [[5, 0], [0, 7]])


def test_zero_based_false_refuses_index_0_by_line(tmp_path, blocks):
    path = write(tmp_path / "data.txt", "1 qid:1 1:5\n0 qid:1 0:7\n")
    with pytest.raises(ValueError, match=r"line 2: feature index 0 .*zero_based=False"):
        load_letor(path, zero_based=False)


def test_n_features_counts_from_the_first_index(tmp_path, blocks):
    path = write(tmp_path / "data.txt", "1 qid:1 1:5\n0 qid:1 3:4\n0 qid:1 0:7\n")
    assert load_letor(path, n_features=4)[0].shape == (3, 4)
    with pytest.raises(ValueError, match=r"line 2: feature index 3 .* n_features=3.*"):
        load_letor(path, n_features=3)
    with pytest.raises(ValueError, match=r"since .*data\.txt, line 3\."):
        load_letor(path, n_features=3)
    with pytest.raises(ValueError, match=r"line 2: feature index 3 exceeds"):
        load_letor(path, n_features=3, zero_based=True)


def test_indices_come_in_any_order(tmp_path, blocks):
    path = write(tmp_path / "data.txt", "0 qid:1 3:1 1:2\n1 qid:1 1:3 2:4\n")
    assert_array_equal(load_letor(path)[0], [[2, 0, 1], [3, 4, 0]])


def test_last_value_of_a_repeated_index_is_taken_with_a_warning(tmp_path, blocks):
    rows = ["1:1 2:9 1:2", "1:3 2:4", "3:1 3:0 3:1 1:1", "1:5"]
    text = "".join(f"0 qid:1 {row}\n" for row in rows)
    path = write(tmp_path / "data.txt", text)
    with pytest.warns(UserWarning, match=r"line 1: .* such rows in all: 2") as caught:
        X = load_letor(path)[0]
    assert_array_equal(X, [[2, 9, 0], [3, 4, 0], [1, 0, 1], [5, 0, 0]])
    assert [one.filename for one in caught] == [__file__]


def test_index_that_no_array_could_hold_is_refused(tmp_path):
    path = write(tmp_path / "bad.txt", "1 qid:3 1:0.5 99999999999:1\n")
    with pytest.raises(ValueError, match="line 1: feature index 99999999999 is too"):
        load_letor(path)
    path = write(tmp_path / "bad.txt", f"1 qid:3 1:0.5 {'9' * 5000}:1\n")
    with pytest.raises(ValueError, match="line 1: a feature index is too large"):
        load_letor(path)


# Ids


@pytest.mark.parametrize(
    "ids",
    [
        ["1", "01"],
        ["7", "a"],
        ["7", "+7"],
        ["0", "-0"],
        ["10", "1_0"],
        ["1", "1.0"],
        ["8", "é"],
        [str(2**63 - 1), str(2**63)],
        ["1", "9" * 5000],
    ],
    ids=lambda ids: ids[1][:20],
)
@pytest.mark.parametrize("order", [1, -1])
def test_ids_are_text_as_written_if_any_is_no_plain_integer(
    tmp_path, blocks, ids, order
):
    written = ([ids[0]] * 3 + ids[1:])[::order]
    text = "".join(f"0 qid:{one} 1:1\n" for one in written)
    groups = load_letor(write(tmp_path / "data.txt", text))[2]
    assert groups.dtype.kind == "U"
    assert groups.tolist() == written


def test_ids_at_the_ends_of_64_bits_are_integers(tmp_path, blocks):
    ids = [2**63 - 1, 2**63 - 2, -(2**63), 0]
    text = "".join(f"0 qid:{i} 1:1\n" for i in ids)
    groups = load_letor(write(tmp_path / "data.txt", text))[2]
    assert groups.dtype == np.int64
    assert groups.tolist() == ids


# Sizes in a file of their own

NO_IDS = "1 1:0.5 3:2\n0 2:1\n2 1:0.25\n0 3:1\n0\n"


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("rank.train", "rank.train.query"),
        ("rank.train", "rank.train.group"),
        ("rank.train.gz", "rank.train.query"),
        ("rank.train.gz", "rank.train.gz.group"),
    ],
)
@pytest.mark.parametrize("sizes", ["2\n3\n", "2\n3", "2\r\n\r\n3\r\n", "\ufeff2\n3"])
def test_sizes_are_found_beside_a_file_without_ids(
    tmp_path, blocks, name, beside, sizes
):
    path = write(tmp_path / name, NO_IDS)
    (tmp_path / beside).write_bytes(sizes.encode())
    X, y, groups = load_letor(path)
    assert X.shape == (5, 3)
    assert_array_equal(y, [1, 0, 2, 0, 0])
    assert_array_equal(groups, [0, 0, 1, 1, 1])
    assert groups.dtype == np.int64


def test_sizes_can_be_named(tmp_path, blocks):
    path = write(tmp_path / "data.txt", NO_IDS)
    write(tmp_path / "data.txt.query", "5\n")
    sizes = write(tmp_path / "lists.gz", "1\n4\n")
    assert_array_equal(load_letor(path, sizes=sizes)[2], [0, 1, 1, 1, 1])
    with pytest.raises(FileNotFoundError, match="absent"):
        load_letor(path, sizes=tmp_path / "absent")


def test_ids_in_the_file_count_for_more_than_sizes_beside_it(tmp_path):
    path = write(tmp_path / "data.txt", SMALL)
    sizes = write(tmp_path / "data.txt.query", "nonsense")
    assert_array_equal(load_letor(path)[2], [10, 10, 7])
    with pytest.raises(ValueError, match=r"data\.txt has list ids\. Leave out sizes"):
        load_letor(path, sizes=sizes)


def test_file_without_ids_and_sizes_is_refused_with_the_way_out(tmp_path, blocks):
    path = write(tmp_path / "data.txt", NO_IDS)
    way_out = r"data\.txt, line 1: the list id, .*\.query at the end, .* as sizes="
    with pytest.raises(ValueError, match=way_out):
        load_letor(path)


def test_ids_in_some_rows_only_are_refused_by_line(tmp_path, blocks):
    write(tmp_path / "data.txt.query", "4")
    path = write(tmp_path / "data.txt", "1 1:1\n\n0 1:2\n1 qid:3 1:3\n0 1:2\n")
    with pytest.raises(ValueError, match=r"line 4: a list id .*none in .*line 1\."):
        load_letor(path)
    path = write(tmp_path / "data.txt", "\n1 qid:3 1:1\n0 1:2\n1 qid:3 1:3\n")
    with pytest.raises(ValueError, match=r"line 3: the list id, .* as in .*line 2\."):
        load_letor(path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("2\n2\n", "holds 5 rows, but its list sizes add up to 4"),
        ("2\n4\n", "holds 5 rows, but its list sizes add up to 6"),
        ("", "add up to 0"),
        ("7\n7\n8\n8\n8\n", "They look like the list id of each row"),
        ("2\n0\n3\n", r"query, line 2: the size of a list must be a whole"),
        ("2\n3.0\n", r"query, line 2: the size of a list must be a whole"),
        ("-2\n7\n", r"query, line 1: the size of a list must be a whole"),
        ("2 3\n", r"query, line 1: the size of a list must be a whole"),
        ("9" * 40, r"query, line 1: the size of a list must be a whole"),
        ("2\n3\n".encode("utf-16"), r"query, line 1: this is UTF-16 text"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path, blocks, sizes, message):
    path = write(tmp_path / "data.txt", NO_IDS)
    write(tmp_path / "data.txt.query", sizes)
    with pytest.raises(ValueError, match=message) as caught:
        load_letor(path)
    assert str(caught.value).startswith(str(path))


# Examples that others ship, in shape


def test_file_like_the_example_of_tf_ranking_loads(tmp_path, blocks):
    """Indices in no order and often repeated, ids that skip, no comments."""
    rng = np.random.default_rng(0)
    ids, expected, lines = [1, 1, 2, 2, 2, 5], np.zeros((6, 136)), []
    for row, group in enumerate(ids):
        pairs = list(zip(rng.integers(1, 137, 60), rng.uniform(-1, 1, 60), strict=True))
        for k, value in [*pairs, (136, 0.5)]:
            expected[row, k - 1] = float(f"{value:f}")
        words = [f"{k}:{value:f}" for k, value in [*pairs, (136, 0.5)]]
        lines.append(f"{row % 3} qid:{group} {' '.join(words)}\n")
    path = write(tmp_path / "train.txt", "".join(lines))
    with pytest.warns(UserWarning, match="stands twice"):
        X, y, groups = load_letor(path)
    assert_array_equal(X, expected.astype(np.float32))
    assert_array_equal(y, [0, 1, 2, 0, 1, 2])
    assert_array_equal(groups, ids)


def test_files_like_the_example_of_lightgbm_load(tmp_path, blocks):
    """Sparse, indices from 1 of which many never occur, sizes beside."""
    train = write(tmp_path / "rank.train", "0 10:0.89 300:0.43\n1 1:0.69 11:.64\n2\n")
    write(tmp_path / "rank.train.query", "1\n2\n")
    test = write(tmp_path / "rank.test", "0 7:0.72 121:0.5\n1 12:0.51\n")
    write(tmp_path / "rank.test.query", "2\n")
    X, y, groups = load_letor(train)
    assert X.shape == (3, 300)
    assert_array_equal(np.argwhere(X), [[0, 9], [0, 299], [1, 0], [1, 10]])
    assert (y.tolist(), groups.tolist()) == ([0, 1, 2], [0, 1, 1])
    X, _, groups = load_letor(test, n_features=300, zero_based=False)
    assert_array_equal(np.argwhere(X), [[0, 6], [0, 120], [1, 11]])
    assert groups.tolist() == [0, 0]


def test_file_like_the_example_of_xgboost_loads(tmp_path, blocks):
    """Dense, indices from 0, sizes in a file of groups without a last newline."""
    path = write(tmp_path / "toy.train", "1 0:1.5 1:3 2:5.5\n0 0:2.0 1:2.25 2:5\n")
    write(tmp_path / "toy.train.group", "2")
    X, _, groups = load_letor(path)
    assert_array_equal(X, [[1.5, 3, 5.5], [2, 2.25, 5]])
    assert groups.tolist() == [0, 0]


# Encodings


@pytest.mark.parametrize("name", ["data.txt", "data.txt.gz"])
def test_byte_order_mark_of_utf_8_is_passed_over(tmp_path, name):
    path = write(tmp_path / name, codecs.BOM_UTF8 + SMALL.encode())
    assert_array_equal(load_letor(path)[1], [2, 0, 1])


@pytest.mark.parametrize("name", ["data.txt", "data.txt.gz"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_other_encodings_are_named(tmp_path, name, encoding, order):
    marked = f"\ufeff{SMALL}".encode(f"{encoding}-{order}")
    with pytest.raises(ValueError, match=f"line 1: this is {encoding.upper()} text"):
        load_letor(write(tmp_path / name, marked))
    bare = SMALL.encode(f"{encoding}-{order}")
    with pytest.raises(ValueError, match=r"line 1: zero bytes, as in .* UTF-16"):
        load_letor(write(tmp_path / name, bare))


@pytest.mark.parametrize(
    "mark",
    [b"\x1f\x8b\x08", b"PK\x03\x04", b"BZh9", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"],
    ids=["gzip", "zip", "bzip2", "xz", "zstd"],
)
def test_packed_files_are_named(tmp_path, mark):
    with pytest.raises(ValueError, match="line 1: this is a packed file"):
        load_letor(write(tmp_path / "data.txt", mark + b"\n..."))


def test_id_with_zero_bytes_is_refused(tmp_path):
    path = write(tmp_path / "data.txt", b"1 qid:3 1:1\n0 qid:3\0 1:2\n")
    with pytest.raises(ValueError, match=r"data\.txt, line 2: .* zero bytes"):
        load_letor(path)


# Damage


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 1:0.5", "list id"),
        ("1", "list id"),
        ("1 qid: 1:0.5", "list id"),
        ("1 1:0.5 qid:3", "list id"),
        ("x qid:3 1:0.5", "label 'x' is not a number"),
        ("1_0 qid:3 1:0.5", "label '1_0' is not a number"),
        ("nan qid:3 1:0.5", "label 'nan' is not finite"),
        ("1 qid:3 1:five", "value of feature 1, 'five' is not a number"),
        ("1 qid:3 1:1_0", "value of feature 1, '1_0' is not a number"),
        ("1 qid:3 1:", "value of feature 1, '' is not a number"),
        ("1 qid:3 1:2:3", "value of feature 1, '2:3' is not a number"),
        ("1 qid:3 1:2:3 4", "value of feature 1, '2:3' is not a number"),
        ("1 qid:3 1:0.5 2", "'2' is not of the form index:value"),
        ("1 qid:3 1:0.5 2 :3", "'2' is not of the form index:value"),
        ("1 qid:3 1:0.5 :3", "':3' is not of the form index:value"),
        ("1 qid:3 a:0.5", "'a:0.5' is not of the form index:value"),
        ("1 qid:3 -1:0.5", "'-1:0.5' is not of the form index:value"),
        ("1 qid:3 1_0:0.5", "'1_0:0.5' is not of the form index:value"),
        ("1 qid:3 qid:4 1:0.5", "'qid:4' is not of the form index:value"),
        ("1 qid:3 1:0.5 5:2", "index 5 exceeds n_features=4"),
        ("1 qid:3 5:2 1:0.5", "index 5 exceeds n_features=4"),
    ],
)
def test_damage_is_named_by_file_line_and_text(tmp_path, blocks, line, message):
    path = write(tmp_path / "bad.txt", f"{SMALL}{line}\n{SMALL}")
    with pytest.raises(ValueError, match=r"bad\.txt, line 5: ") as caught:
        load_letor(path, n_features=4)
    assert message in str(caught.value)
    assert str(caught.value).endswith(f"The line reads {line!r}.")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing but a comment\n", "\ufeff"])
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


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dtype": np.int32}, "dtype must be float32 or float64"),
        ({"n_features": 0}, "n_features"),
        ({"zero_based": "no"}, "zero_based must be True, False or 'auto', got 'no'"),
    ],
)
def test_load_letor_refuses_parameters_out_of_range(tmp_path, parameters, message):
    path = write(tmp_path / "data.txt", SMALL)
    with pytest.raises(ValueError, match=message):
        load_letor(path, **parameters)


# Any text whatever

PAIR = rb"[0-9]+:[^\s:]+"
ROW = re.compile(rb"\s*([^\s]+)(?:\s+qid:([^\s]*))?((?:\s+%b)*)\s*" % PAIR)
NUMBER = re.compile(
    rb"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|inf|infinity)",
    re.IGNORECASE,
)


class Refused(Exception):
    """The line that cannot be read; 0 for the file as a whole."""


class NaiveRow(NamedTuple):
    line: int
    label: float
    id: bytes | None
    features: dict
    repeated: bool


def naive(text, sizes, n_features, zero_based):
    """Read LETOR text row by row into dictionaries, by what the docstring says."""
    rows = list(naive_rows(text, sizes, n_features, zero_based))
    if not rows or (rows[0].id is None and sum(sizes) != len(rows)):
        raise Refused(0)
    largest = max(max(row.features, default=0) for row in rows)
    if zero_based == "auto":
        zero_based = any(0 in row.features for row in rows)
        if zero_based and largest == n_features:
            raise Refused(next(row.line for row in rows if largest in row.features))
    X = np.zeros((len(rows), n_features or max(largest + zero_based, 1)))
    for filled, row in zip(X, rows, strict=True):
        for index, value in row.features.items():
            filled[index - (not zero_based)] = value
    X[np.abs(X) > np.finfo(np.float32).max] = np.nan
    labels = np.array([row.label for row in rows])
    whole = (labels % 1 == 0).all() and max(abs(labels)) < 2**53
    y = labels.astype(int) if whole else labels
    groups = naive_groups([row.id for row in rows], sizes)
    return X.astype(np.float32), y, groups, sum(row.repeated for row in rows)


def naive_rows(text, sizes, n_features, zero_based):
    """Yield rows, refusing the first that cannot stand where it stands."""
    limit = 10**6 if n_features is None else n_features - (zero_based is True)
    first = None
    for number, line in enumerate(text.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        line = line.split(b"#")[0]
        if not line.strip():
            continue
        row = naive_row(line, number)
        first = first or row
        if (row.id is None) != (first.id is None):
            raise Refused(number)
        if max(row.features, default=0) > limit:
            raise Refused(number)
        if 0 in row.features and zero_based is False:
            raise Refused(number)
        if row.id is None and sizes is None:
            raise Refused(number)
        yield row


def naive_row(text, line):
    """Take one line to pieces."""
    match = ROW.fullmatch(text)
    if match is None or not NUMBER.fullmatch(match[1]) or match[2] == b"":
        raise Refused(line)
    if not np.isfinite(float(match[1])) or b"\0" in (match[2] or b""):
        raise Refused(line)
    pairs = [pair.split(b":") for pair in match[3].split()]
    if not all(NUMBER.fullmatch(value) for _, value in pairs):
        raise Refused(line)
    features = {int(index): float(value) for index, value in pairs}
    repeated = len(pairs) > len(features)
    return NaiveRow(line, float(match[1]), match[2], features, repeated)


def naive_groups(ids, sizes):
    """List of each row, as integers or as text."""
    if ids[0] is None:
        return np.repeat(np.arange(len(sizes)), sizes)
    plain = re.compile(rb"0|-?[1-9][0-9]*")
    if all(plain.fullmatch(one) and -(2**63) <= int(one) < 2**63 for one in ids):
        return np.array([int(one) for one in ids])
    return np.array([one.decode(errors="backslashreplace") for one in ids])


@st.composite
def letor_files(draw):
    """Text and list sizes, or None, mostly good, in all the ways to write them."""
    some = st.sampled_from
    with_ids, from_0 = draw(some([True, True, False])), draw(st.booleans())
    ids = draw(some([[b"1", b"30"], [b"1", b"01"], [b"a", b"-7"], [b"\xff", b"+1"]]))
    indices = [b"0", b"1", b"2", b"3", b"04", b"4", b"12"][not from_0 :]
    values = [b"1", b"-.5", b"0", b"2e3", b"1e-60", b"nan", b"-INF", b"7.", b"1e308"]
    row = st.tuples(
        some([b"0", b"1", b"2", b"+1", b"0.5", b"-3e0", b"1e20"]),
        some(ids),
        st.lists(st.tuples(some(indices), some(values)), max_size=5),
        some([b" ", b" ", b"\t", b" \x0b\f"]),
        some([b"\n", b"\n", b" \r\n", b"\n\n", b" # 1:x\n", b"#\0\n"]),
    )
    rows = draw(st.lists(row, max_size=8))
    text = draw(some([b"", b"", codecs.BOM_UTF8, b"\n"]))
    for label, one, pairs, space, end in rows:
        words = [label, *[b"qid:" + one] * with_ids, *map(b":".join, pairs)]
        text += space.join(words) + end
    last = draw(st.integers(0, len(rows)))
    sizes = draw(some([[size for size in (last, len(rows) - last) if size], [2], None]))
    return damaged(draw, text) if draw(some([True, False, False])) else text, sizes


def damaged(draw, text):
    """Bytes taken out here and there, and others put in."""
    hostile = [b":", b" ", b"\n", b"\r", b"#", b"_", b"-", b"0", b"9" * 19, b"e", b"\0"]
    hostile += [b"qid:", b"qid:5 ", b"\xff", b"\xa0", codecs.BOM_UTF8, b"\xd9\xa1", b""]
    pieces = st.one_of(st.sampled_from(hostile), st.binary(max_size=3))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(pieces) + text[at + draw(st.integers(0, 4)) :]
    return text


settings_of_load_letor = st.fixed_dictionaries(
    {
        "n_features": st.sampled_from([None, None, None, 4, 12, 13]),
        "zero_based": st.sampled_from(["auto", "auto", "auto", True, False]),
    }
)


def outcome(path, cells, **parameters):
    """What comes back, as something to compare, or the message, without the path."""
    with (
        mock.patch.object(_letor, "_BLOCK_CELLS", cells),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        try:
            arrays = load_letor(path, **parameters)
        except ValueError as error:
            return str(error).replace(str(path), "FILE").replace(path.name, "FILE")
    repeated = [str(one.message).replace(str(path), "FILE") for one in caught]
    return [(one.dtype.str, one.shape, one.tolist()) for one in arrays], repeated


@settings(max_examples=150)
@given(
    files=st.one_of(
        letor_files(),
        letor_files(),
        letor_files(),
        st.tuples(st.binary(max_size=60), st.sampled_from([[1], [1, 1], None])),
    ),
    parameters=settings_of_load_letor,
)
def test_any_text_is_read_as_by_a_naive_reader_or_refused_by_line(
    tmp_path_factory, files, parameters
):
    text, sizes = files
    folder = tmp_path_factory.mktemp("letor")
    if sizes is not None:
        write(folder / "data.txt.query", "\n".join(map(str, sizes)))
    plain = write(folder / "data.txt", text)
    packed = write(folder / "data.txt.gz", text)
    first, *others = (
        outcome(path, cells, **parameters)
        for path in (plain, packed)
        for cells in (1, 9, 2**18)
    )
    assert [repr(one) for one in others] == [repr(first)] * 5
    try:
        *arrays, n_repeated = naive(text, sizes, **parameters)
    except Refused as refused:
        line = refused.args[0]
        assert isinstance(first, str), f"line {line} was read"
        assert first.startswith(f"FILE, line {line}: " if line else "FILE")
        return
    assert not isinstance(first, str), first
    for found, expected in zip(first[0], arrays, strict=True):
        assert repr(found[2]) == repr(expected.tolist())
    assert len(first[1]) == (n_repeated > 0)
