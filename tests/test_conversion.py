"""Tables from files become arrays on disk from which `fit` learns as from a frame."""

import decimal
import json
import sys
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_rankformer import _categories, _conversion
from sklearn_rankformer.datasets import convert, load_converted

from .conftest import make_lists
from .factories import rankformer

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")
csv = pytest.importorskip("pyarrow.csv")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")

ROLES = {"group_column": "qid", "label_column": "clicks"}


@pytest.fixture
def frame():
    """Numbers, some missing, and colours, some missing; then ids and labels."""
    X, y, groups = make_lists(n_lists=60)
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(X.astype(np.float32), columns=["a", "b", "c", "d"])
    frame.loc[rng.random(len(y)) < 0.2, "b"] = np.nan
    colour = np.where(
        rng.random(len(y)) < 0.1, None, rng.choice(["red", "blue"], len(y))
    )
    frame.insert(1, "colour", pd.Categorical(colour))
    return frame.assign(qid=groups + 100, clicks=y)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """More than one piece of the few rows of these tests."""
    monkeypatch.setattr(_conversion, "PIECE_ROWS", 50)


def written(frame, path, **options):
    frame.to_parquet(path, row_group_size=37, **options)
    return path


def check_same(X, frame):
    """X is what the frame holds beside ids and labels."""
    expected = frame.drop(columns=["qid", "clicks"]).reset_index(drop=True)
    assert list(X) == list(expected)
    numbers = X.select_dtypes("number")
    assert set(numbers.dtypes) == {np.dtype(np.float32)}
    for name in expected:
        if name in numbers:
            assert_array_equal(X[name], expected[name].astype(np.float32))
        else:
            assert X[name].dtype == "category"
            one, other = (f[name].astype(object) for f in (X, expected))
            assert_array_equal(
                one.where(one.notna(), None), other.where(other.notna(), None)
            )


def write_arrow(frame, path):
    feather.write_feather(pa.Table.from_pandas(frame), path, chunksize=37)


def write_polars(frame, path):
    pl.from_pandas(frame).write_parquet(path, row_group_size=37)


def write_csv(frame, path):
    csv.write_csv(pa.Table.from_pandas(frame.astype({"colour": object})), path)


@pytest.mark.parametrize(
    ("name", "write", "options"),
    [
        ("rows.parquet", written, {}),
        ("rows.pq", write_polars, {}),
        ("rows.arrow", write_arrow, {}),
        ("rows.csv", write_csv, {"categorical_features": ["colour"]}),
    ],
)
def test_numbers_categories_and_missing_values_are_kept(
    name, write, options, frame, tmp_path
):
    write(frame, tmp_path / name)
    where = convert(tmp_path / name, tmp_path / "arrays", **ROLES, **options)
    X, y, groups = load_converted(where)
    check_same(X, frame)
    assert_array_equal(y, frame["clicks"])
    assert_array_equal(groups, frame["qid"])
    assert y.dtype == groups.dtype == np.int64


@pytest.mark.parametrize("in_memory", [2**30, 1000])
@pytest.mark.parametrize("with_categories", [True, False])
def test_a_fit_on_converted_rows_has_the_bits_of_one_on_the_frame(
    in_memory, with_categories, frame, tmp_path, monkeypatch
):
    monkeypatch.setattr(_categories, "IN_MEMORY_BYTES", in_memory)
    if not with_categories:
        frame = frame.drop(columns="colour")
    convert(written(frame, tmp_path / "rows.parquet"), tmp_path / "arrays", **ROLES)
    features = frame.drop(columns=["qid", "clicks"])
    X, y, groups = load_converted(tmp_path / "arrays")
    ranker = rankformer().fit(X, y, groups=groups)
    expected = rankformer().fit(features, frame["clicks"], groups=frame["qid"])
    assert_array_equal(
        ranker.predict(features, groups=groups), expected.predict(X, groups=groups)
    )
    assert list(ranker.feature_names_in_) == list(features)


def test_what_a_ranker_learns_from_stays_on_disk(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(_categories, "IN_MEMORY_BYTES", 1000)
    convert(written(frame, tmp_path / "rows.parquet"), tmp_path / "arrays", **ROLES)
    X, _, _ = load_converted(tmp_path / "arrays")
    for part in (X.drop(columns="colour"), X):
        categories = _categories.find_categories(part, "from_dtype")
        numbers = categories.encode(part, allow_nan=True, owner="a ranker")
        while numbers.base is not None and not isinstance(numbers, np.memmap):
            numbers = numbers.base
        assert isinstance(numbers, np.memmap)


def test_numbers_of_every_kind_become_float32(frame, tmp_path):
    n = len(frame)
    table = pa.Table.from_pandas(frame[["qid", "clicks"]], preserve_index=False)
    given = {
        "flag": pa.array([True, False, None] * n, pa.bool_())[:n],
        "count": pa.array([1, None, 3, 4] * n, pa.int16())[:n],
        "price": pa.array([decimal.Decimal("1.25"), None] * n, pa.decimal128(5, 2))[:n],
        "none": pa.nulls(n),
        "large": pa.array(np.arange(n, dtype=np.uint64) * 2**40),
    }
    for name, values in given.items():
        table = table.append_column(name, values)
    parquet.write_table(table, tmp_path / "rows.parquet")
    X, _, _ = load_converted(
        convert(tmp_path / "rows.parquet", tmp_path / "arrays", **ROLES)
    )
    assert set(X.dtypes) == {np.dtype(np.float32)}
    for name, values in given.items():
        expected = [np.nan if v is None else float(v) for v in values.to_pylist()]
        assert_array_equal(X[name], np.array(expected, np.float32))


@pytest.mark.parametrize("numbers", [["7", "8"], ["7", "7.5"], ["7", str(2**60)]])
def test_decimals_are_the_categories_that_they_are_in_memory(numbers, frame, tmp_path):
    frame["colour"] = [decimal.Decimal(numbers[row % 2]) for row in range(len(frame))]
    path = written(frame, tmp_path / "rows.parquet")
    options = ROLES | {"categorical_features": ["colour"]}
    X, _, _ = load_converted(convert(path, tmp_path / "arrays", **options))
    features = frame.drop(columns=["qid", "clicks"])
    known, expected = (
        _categories.find_categories(table, ["colour"]).known for table in (X, features)
    )
    assert known == expected


@pytest.mark.parametrize("as_text", [False, True])
def test_rows_of_a_list_that_lie_apart_are_brought_together_in_their_order(
    as_text, frame, tmp_path
):
    pytest.importorskip("duckdb")
    if as_text:
        frame["qid"] = "q" + frame["qid"].astype(str)
    mixed = frame.sample(frac=1, random_state=0)
    convert(written(mixed, tmp_path / "rows.parquet"), tmp_path / "arrays", **ROLES)
    X, y, groups = load_converted(tmp_path / "arrays")
    together = mixed.sort_values("qid", kind="stable")
    check_same(X, together)
    assert_array_equal(y, together["clicks"])
    assert_array_equal(
        groups, pd.factorize(together["qid"])[0] if as_text else together["qid"]
    )
    assert sorted(path.name for path in (tmp_path / "arrays").iterdir()) == [
        "X.npy",
        "codes-1.npy",
        "columns.json",
        "groups.npy",
        "y.npy",
    ]


@pytest.mark.parametrize("first", [[1, 2, 3], [None] * 3], ids=["whole", "none"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_apart_may_have_numbers_of_other_types_in_each_file(
    first, ending, tmp_path
):
    pytest.importorskip("duckdb")
    rows = pd.DataFrame({"qid": [1, 2, 1], "a": first, "clicks": [0, 1, 1]})
    others = rows.assign(qid=rows["qid"] + 2, a=[0.5, 1.5, 2.5], clicks=[0.0, 0.5, 1.0])
    for name, part in (("0", rows), ("1", others)):
        if ending == "csv":
            part.to_csv(tmp_path / f"{name}.csv", index=False)
        else:
            part.to_parquet(tmp_path / f"{name}.parquet")
    X, y, _ = load_converted(convert(tmp_path, tmp_path / "arrays", **ROLES))
    together = pd.concat([rows, others]).sort_values("qid", kind="stable")
    assert_array_equal(X["a"], together["a"].astype(np.float32))
    assert_array_equal(y, together["clicks"])


def test_rows_apart_may_have_half_floats_and_names_that_differ_in_case(tmp_path):
    pytest.importorskip("duckdb")
    half = pa.array(np.array([1.5, 2.5, 3.5], np.float16))
    columns = {"qid": [1, 2, 1], "Price": half, "price": [4, 5, 6], "clicks": [0, 1, 1]}
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    where = convert(tmp_path / "rows.parquet", tmp_path / "arrays", **ROLES)
    X, _, _ = load_converted(where)
    assert X["Price"].tolist() == [1.5, 3.5, 2.5]
    assert X["price"].tolist() == [4, 6, 5]


def test_a_label_that_is_missing_in_rows_apart_is_named_by_its_place(tmp_path):
    pytest.importorskip("duckdb")
    rows = pd.DataFrame({"qid": [1, 2, 1, 2, 1, 2], "a": 1.0, "clicks": 1.0})
    rows.loc[4, "clicks"] = np.nan
    path = written(rows, tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="no finite number in row 4 "):
        convert(path, tmp_path / "arrays", **ROLES)


def test_categories_may_fill_the_type_of_their_codes(tmp_path):
    codes = pa.array([*range(128), None], pa.int8())
    values = pa.DictionaryArray.from_arrays(codes, [f"c{i}" for i in range(128)])
    table = pa.table({"qid": [1] * 129, "c": values, "clicks": [0, 1, 1] * 43})
    feather.write_feather(table, tmp_path / "rows.arrow")
    X, _, _ = load_converted(convert(tmp_path / "rows.arrow", tmp_path / "X", **ROLES))
    assert_array_equal(X["c"].cat.codes, [*range(128), -1])


def test_sorting_without_duckdb_says_what_to_install(frame, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    path = written(frame.sample(frac=1, random_state=0), tmp_path / "rows.parquet")
    with pytest.raises(ImportError, match=r"comes again in row .*pip install .*files"):
        convert(path, tmp_path / "arrays", **ROLES)
    assert list((tmp_path / "arrays").iterdir()) == []


def test_text_ids_become_numbers_in_the_order_of_the_lists(frame, tmp_path):
    frame["qid"] = [f"q{one % 7}{one}" for one in frame["qid"]]
    convert(written(frame, tmp_path / "rows.parquet"), tmp_path / "arrays", **ROLES)
    assert_array_equal(
        load_converted(tmp_path / "arrays")[2], pd.factorize(frame["qid"])[0]
    )


@pytest.mark.parametrize("kind", [pa.uint8(), pa.uint64()])
@pytest.mark.parametrize("qid", [[7, 7, 9], [7, 9, 7]], ids=["together", "apart"])
def test_unsigned_list_ids_come_back_as_they_are(kind, qid, tmp_path):
    if qid != sorted(qid):
        pytest.importorskip("duckdb")
    columns = {"qid": pa.array(qid, kind), "a": [1.5, 2.5, 3.5], "clicks": [0, 1, 1]}
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    where = convert(tmp_path / "rows.parquet", tmp_path / "arrays", **ROLES)
    groups = load_converted(where)[2]
    assert groups.dtype == np.int64
    assert groups.tolist() == sorted(qid)


def test_list_ids_beyond_int64_become_numbers_in_the_order_of_the_lists(tmp_path):
    qid = pa.array([2**64 - 1, 2**64 - 1, 7], pa.uint64())
    columns = {"qid": qid, "a": [1.5, 2.5, 3.5], "clicks": [0, 1, 1]}
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    where = convert(tmp_path / "rows.parquet", tmp_path / "arrays", **ROLES)
    assert load_converted(where)[2].tolist() == [0, 0, 1]


def test_nothing_is_written_through_a_mapping_which_a_full_disk_would_end_by_a_signal(
    frame, tmp_path, monkeypatch
):
    def refuse(array, at, values):
        raise AssertionError("SIGBUS, if the disk were full")

    monkeypatch.setattr(_categories, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(np.memmap, "__setitem__", refuse, raising=False)
    convert(written(frame, tmp_path / "rows.parquet"), tmp_path / "arrays", **ROLES)
    X, _, _ = load_converted(tmp_path / "arrays")
    check_same(X, frame)
    categories = _categories.find_categories(X, "from_dtype")
    codes = categories.encode(X, allow_nan=True, owner="a ranker")[:, 1]
    assert_array_equal(codes == 0, frame["colour"].isna())


def test_list_ids_of_csv_with_leading_zeros_stay_apart(frame, tmp_path):
    frame["qid"] = [f"{one % 2 * '0'}{one // 2}" for one in frame["qid"]]
    assert set(frame["qid"]) > {"50", "050"}
    write_csv(frame, tmp_path / "rows.csv")
    options = ROLES | {"categorical_features": ["colour"]}
    convert(tmp_path / "rows.csv", tmp_path / "arrays", **options)
    assert_array_equal(
        load_converted(tmp_path / "arrays")[2], pd.factorize(frame["qid"])[0]
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["01", "1"], ["1", "2"], ["01", "1", "1", "2"]),
        (["1", "2"], ["1", "x"], ["1", "2", "1", "x"]),
        (["NA", "null"], ["", "NA"], ["NA", "null", None, "NA"]),
        (["7", "8"], ["8", "9"], [7, 8, 8, 9]),
        (["7", "8"], ["8.0", ""], [7, 8, 8, None]),  # pandas writes gaps so
        (["True", "False"], ["true", ""], [True, False, True, None]),
        (["2026-01-02", "x"], ["", ""], ["2026-01-02", "x", None, None]),
    ],
    ids=lambda one: "-".join(map(str, one)),
)
def test_categories_of_csv_are_of_one_type_whatever_a_file_holds(
    first, second, expected, tmp_path
):
    for part, values in enumerate((first, second)):
        ids = [f"{part},{value},1,{row}" for row, value in enumerate(values)]
        text = "\n".join(["qid,code,a,clicks", *ids])
        (tmp_path / f"{part}.csv").write_text(text)
    options = ROLES | {"categorical_features": ["code"]}
    X, _, _ = load_converted(convert(tmp_path, tmp_path / "arrays", **options))
    found = X["code"].astype(object)
    assert found.where(found.notna(), None).tolist() == expected


def test_hidden_folders_and_those_with_an_underscore_are_left_out(frame, tmp_path):
    for part in (".", ".ipynb_checkpoints", "_temporary/0", "deeper"):
        (tmp_path / "rows" / part).mkdir(parents=True, exist_ok=True)
        written(frame, tmp_path / "rows" / part / "rows.parquet")
        frame = frame.assign(qid=frame["qid"] + 1000)
    _, _, groups = load_converted(convert(tmp_path / "rows", tmp_path / "X", **ROLES))
    assert len(groups) == 2 * len(frame)
    assert {one // 1000 for one in groups} == {0, 3}


def test_numbers_that_pandas_wrote_as_categories_are_categories(frame, tmp_path):
    frame["c"] = pd.Categorical(frame["c"].round())
    path = written(frame, tmp_path / "rows.parquet")
    X, _, _ = load_converted(convert(path, tmp_path / "arrays", **ROLES))
    assert X["c"].dtype == "category"
    check_same(X, frame)


@pytest.mark.parametrize("argument", ["features", "categorical_features"])
def test_one_text_in_place_of_names_is_refused(argument, frame, tmp_path):
    path = written(frame, tmp_path / "rows.parquet")
    with pytest.raises(TypeError, match=rf"^{argument} must .* Give \['colour'\]"):
        convert(path, tmp_path / "arrays", **ROLES, **{argument: "colour"})


def test_files_of_a_folder_and_lists_over_their_borders_are_joined(frame, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    for number, start in enumerate(range(0, len(frame), 40)):
        part = frame[start : start + 40].copy()
        part["colour"] = part["colour"].cat.remove_unused_categories()
        written(part, parts / f"{number:02}.parquet")
    X, y, _ = load_converted(convert(parts, tmp_path / "arrays", **ROLES))
    check_same(X, frame)
    assert_array_equal(y, frame["clicks"])


@pytest.mark.parametrize("name", ["item", "a", None])
def test_the_index_that_pandas_has_written_is_no_feature(name, frame, tmp_path):
    names = [one for one in ("a", "colour", "b", "c", "d") if one != name]
    if name == "a":
        frame = frame.set_index("a")
    else:
        frame.index = pd.Index(np.arange(len(frame)) ** 2, name=name)
    path = written(frame, tmp_path / "rows.parquet")
    X, _, _ = load_converted(convert(path, tmp_path / "all", **ROLES))
    assert list(X) == names
    # In the index the list ids may be all the same.
    path = written(frame.set_index("qid"), tmp_path / "rows.parquet")
    X, _, groups = load_converted(convert(path, tmp_path / "ids", **ROLES))
    assert_array_equal(groups, frame["qid"])


def test_the_index_without_a_name_in_csv_is_no_feature(frame, tmp_path):
    path = tmp_path / "rows.csv"
    frame.drop(columns="colour").to_csv(path)
    X, _, _ = load_converted(convert(path, tmp_path / "all", **ROLES))
    assert list(X) == ["a", "b", "c", "d"]


def test_features_can_be_chosen_and_the_index_of_pandas_is_none(frame, tmp_path):
    frame.index = np.arange(len(frame)) ** 2
    path = written(frame, tmp_path / "rows.parquet")
    assert "__index_level_0__" in parquet.read_schema(path).names
    X, _, _ = load_converted(convert(path, tmp_path / "all", **ROLES))
    assert list(X) == ["a", "colour", "b", "c", "d"]
    for features in (["c", "a"], ["colour"]):
        where = tmp_path / features[0]
        X, _, _ = load_converted(convert(path, where, **ROLES, features=features))
        assert list(X) == features


def test_memory_does_not_grow_with_the_features(tmp_path, monkeypatch):
    monkeypatch.setattr(_conversion, "PIECE_ROWS", 2**12)

    def peak(n_rows):
        rng = np.random.default_rng(0)
        table = pa.table(
            {f"f{j}": rng.random(n_rows) for j in range(20)}
            | {"qid": np.arange(n_rows) // 10, "clicks": np.arange(n_rows) % 2}
        )
        path = tmp_path / f"{n_rows}.parquet"
        parquet.write_table(table, path, row_group_size=n_rows)
        del table
        tracemalloc.start()
        convert(path, tmp_path / f"{n_rows}", **ROLES)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small, large = peak(50_000), peak(200_000)
    # Labels and ids, and their lists joined: far from the 80 bytes of a row of X.
    assert large - small < 40 * 150_000
    assert pa.default_memory_pool().bytes_allocated() < 2**24


# What is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": "some text"}, r"neither numbers nor categories: 'title' \("),
        ({"when": pd.Timestamp("2020-01-01")}, r"'when' \(timestamp.*\)\. Give times"),
        ({"a": np.inf}, "'a' holds values that are infinite"),
        ({"a": 1e300}, "'a' holds values that are infinite or beyond"),
        ({"clicks": None}, r"label column 'clicks' .*row 0 "),
        ({"clicks": np.nan}, r"label column 'clicks' .*row 0 "),
        ({"clicks": "1"}, "label column 'clicks' .* holds no numbers"),
        ({"qid": None}, "group_column='qid' holds no list id"),
    ],
)
def test_columns_that_cannot_be_used_are_refused_by_name(
    change, message, frame, tmp_path
):
    path = written(frame.assign(**change), tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=message):
        convert(path, tmp_path / "arrays", **ROLES)
    assert not list(tmp_path.glob("arrays/*"))


@pytest.mark.parametrize("text", ["red", "7"])
def test_text_where_the_first_file_has_no_value_is_refused_by_name(
    text, frame, tmp_path
):
    half = len(frame) // 2
    written(frame[:half].assign(b=None), tmp_path / "1.parquet")
    written(frame[half:].assign(b=text), tmp_path / "2.parquet")
    files = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    with pytest.raises(ValueError, match=r"neither numbers nor categories: 'b' \("):
        convert(files, tmp_path / "arrays", **ROLES)


def test_a_label_or_a_list_id_is_no_feature_and_a_feature_given_once(frame, tmp_path):
    path = written(frame, tmp_path / "rows.parquet")
    for name in ("clicks", "qid", "a"):
        with pytest.raises(ValueError, match=f"two purposes: '{name}'"):
            convert(path, tmp_path / "arrays", features=["a", "b", name], **ROLES)


def test_columns_that_are_not_there_are_refused_by_name(frame, tmp_path):
    path = written(frame, tmp_path / "rows.parquet")
    for options in (
        {**ROLES, "group_column": "list"},
        {**ROLES, "label_column": "list"},
        {**ROLES, "features": ["a", "list"]},
        {**ROLES, "categorical_features": ["list"]},
        {**ROLES, "categorical_features": np.array(["colour", "list"])},
    ):
        with pytest.raises(ValueError, match="no column 'list'"):
            convert(path, tmp_path / "arrays", **options)
    with pytest.raises(FileNotFoundError, match=r"none\.parquet does not exist"):
        convert(tmp_path / "none.parquet", tmp_path / "arrays", **ROLES)
    empty = written(frame[:0], tmp_path / "empty.parquet")
    with pytest.raises(ValueError, match="hold no rows"):
        convert(empty, tmp_path / "arrays", **ROLES)


def test_a_file_that_is_given_twice_does_not_double_its_rows(frame, tmp_path):
    (tmp_path / "rows").mkdir()
    path = written(frame, tmp_path / "rows" / "0.parquet")
    (tmp_path / "link.parquet").symlink_to(path)
    for other in (tmp_path / "rows", tmp_path / "link.parquet"):
        with pytest.raises(ValueError, match=r"0\.parquet is given twice\. Give each"):
            convert([path, other], tmp_path / "arrays", **ROLES)
    assert not (tmp_path / "arrays").exists()


def test_what_was_converted_is_never_overwritten(frame, tmp_path):
    path = written(frame, tmp_path / "rows.parquet")
    convert(path, tmp_path / "arrays", **ROLES)
    with pytest.raises(FileExistsError, match=r"already holds X\.npy"):
        convert(path, tmp_path / "arrays", **ROLES)


def damage_columns(folder):
    (folder / "columns.json").write_text("{")


def damage_names(folder):
    (folder / "columns.json").write_text(json.dumps({"columns": []}))


def damage_codes(folder):
    np.save(folder / "codes-1.npy", np.full(len(np.load(folder / "y.npy")), 9, np.int8))


def damage_length(folder):
    np.save(folder / "codes-1.npy", np.zeros(3, np.int8))


@pytest.mark.parametrize(
    "damage", [damage_columns, damage_names, damage_codes, damage_length]
)
def test_damaged_files_are_refused(damage, frame, tmp_path):
    folder = convert(
        written(frame, tmp_path / "rows.parquet"), tmp_path / "arrays", **ROLES
    )
    damage(folder)
    with pytest.raises(ValueError, match=r"[Cc]onvert again"):
        load_converted(folder)
