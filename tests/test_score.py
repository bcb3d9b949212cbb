"""From file to file by the command line: all of it or nothing."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_rankformer import _tablefiles, score, serving
from sklearn_rankformer._tablefiles import TableFiles
from sklearn_rankformer.persistence import save
from sklearn_rankformer.serving import iter_lists

from .conftest import make_lists
from .factories import mlp, rankformer

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
csv = pytest.importorskip("pyarrow.csv")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")

NAMES = ["a", "b", "c", "d"]
CLOSE = {"rtol": 0, "atol": 1e-6}

WRITE = {
    ".parquet": lambda table, path: parquet.write_table(table, path, row_group_size=37),
    ".arrow": lambda table, path: feather.write_feather(table, path, chunksize=37),
    ".csv": csv.write_csv,
}
READ = {
    ".parquet": parquet.read_table,
    ".arrow": feather.read_table,
    ".csv": csv.read_csv,
}
formats = pytest.mark.parametrize("ending", WRITE)


@pytest.fixture(scope="module")
def table():
    """Features among other columns; the labels are no feature."""
    X, y, groups = make_lists(n_lists=60)
    columns = {name: X[:, j] for j, name in enumerate(NAMES)}
    ids = [f"i{row}" for row in range(len(y))]
    return pa.table({"y": y, "qid": groups, **columns, "item": ids})


@pytest.fixture(scope="module")
def ranker(table):
    """Fitted on frames."""
    frame = table.to_pandas()
    return rankformer().fit(frame[NAMES], frame["y"], groups=frame["qid"])


@pytest.fixture
def folder(tmp_path, table, ranker, monkeypatch):
    """The working directory, with a ranker and rows; pieces are small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(serving, "PIECE_CELLS", 200)
    save(ranker, "ranker.safetensors")
    for ending, write in WRITE.items():
        write(table, f"in{ending}")
    return tmp_path


def run(*arguments, output="out.parquet", source="in.parquet"):
    return score.main(["ranker.safetensors", source, output, *arguments])


@formats
def test_every_format_gives_the_scores_of_predict(ending, folder, table, ranker):
    options = ["--group", "qid", "--keep", "item", "y", "--list-value", "--item-value"]
    assert run(*options, source=f"in{ending}", output=f"out{ending}") == 0
    scored = READ[ending](folder / f"out{ending}").to_pandas()
    assert list(scored)[:3] == ["qid", "item", "y"]
    assert_array_equal(scored["item"], table["item"])
    frame = table.to_pandas()
    expected = ranker.predict_all(frame[NAMES], groups=frame["qid"])
    of_lists = expected.list_value.value[frame["qid"]]
    assert_allclose(scored["score"], expected.scores, **CLOSE)
    assert_allclose(scored["list_value"], of_lists, **CLOSE)
    assert_allclose(scored["item_value"], expected.item_value.value, **CLOSE)


def test_the_command_runs_in_a_process_of_its_own_and_says_what_it_wrote(folder, table):
    command = [sys.executable, "-m", "sklearn_rankformer.score", "ranker.safetensors"]
    done = subprocess.run(
        [*command, "in.parquet", "out.parquet", "--group", "qid"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert f"wrote the scores of {len(table)} rows to out.parquet" in done.stderr
    assert parquet.read_table("out.parquet").column_names == ["qid", "score"]


def test_a_folder_is_read_file_by_file_with_lists_over_their_borders(folder, table):
    (folder / "parts").mkdir()
    for number, start in enumerate(range(0, len(table), 50)):
        name = f"part-{number:03}.snappy.parquet"
        parquet.write_table(table.slice(start, 50), folder / "parts" / name)
    (folder / "parts" / "_SUCCESS").touch()
    assert run("--group", "qid", source="parts") == 0
    assert run("--group", "qid", output="whole.parquet") == 0
    parts, whole = (parquet.read_table(f"{one}.parquet") for one in ("out", "whole"))
    assert parts.equals(whole)


def test_folders_in_a_folder_may_be_called_as_files_are(folder, table):
    for day in range(3):
        place = folder / "days" / f"day-{day}.parquet"
        place.mkdir(parents=True)
        mine = table.filter(pa.compute.equal(pa.compute.divide(table["qid"], 20), day))
        parquet.write_table(mine, place / "part-0.parquet")
        (place / "_SUCCESS").touch()
    assert run("--group", "qid", source="days") == 0
    assert run("--group", "qid", output="whole.parquet") == 0
    parts, whole = (parquet.read_table(f"{one}.parquet") for one in ("out", "whole"))
    assert parts.equals(whole)


@formats
def test_texts_and_categories_of_arrow_files_that_polars_wrote_are_handed_on(
    ending, folder, table
):
    pl = pytest.importorskip("polars")
    frame = pl.from_arrow(table)
    ids = pl.format("q{}", pl.col("qid"))
    colour = pl.col("item").str.slice(0, 2).cast(pl.Categorical).alias("colour")
    frame.with_columns(ids.alias("qid"), colour).write_ipc("polars.arrow")
    kept = ["item", "colour"]
    options = ["--group", "qid", "--keep", *kept]
    assert run(*options, source="polars.arrow", output=f"out{ending}") == 0
    scored = READ[ending](folder / f"out{ending}").to_pandas()
    assert scored["item"].tolist() == table["item"].to_pylist()
    assert scored["colour"].tolist() == [one[:2] for one in table["item"].to_pylist()]


def test_csv_is_compressed_if_its_name_says_so(folder):
    assert run("--group", "qid", output="out.csv") == 0
    assert run("--group", "qid", output="out.CSV.gz") == 0
    assert (
        gzip.decompress((folder / "out.CSV.gz").read_bytes())
        == (folder / "out.csv").read_bytes()
    )
    (folder / "in.CSV.GZ").write_bytes(gzip.compress((folder / "in.csv").read_bytes()))
    assert run("--group", "qid", source="in.CSV.GZ", output="again.csv") == 0
    frames = [pd.read_csv(name) for name in ("out.csv", "again.csv")]
    assert_allclose(*frames, **CLOSE)


@formats
def test_rows_of_files_come_as_whole_lists(ending, folder, table):
    frames = list(iter_lists(f"in{ending}", group_column="qid", chunk_rows=30))
    assert (
        pa.Table.from_batches(frames)["item"].to_pylist() == table["item"].to_pylist()
    )
    ids = [set(frame["qid"].to_pylist()) for frame in frames]
    assert sum(map(len, ids)) == 60
    assert len(frames) > 3


def test_list_ids_of_csv_are_read_letter_by_letter(tmp_path):
    (tmp_path / "in.csv").write_text("qid,a\n1,1\n1,2\n01,3\n1.0,4\n")
    frames = iter_lists(tmp_path / "in.csv", group_column="qid", chunk_rows=1)
    assert [frame["qid"].to_pylist() for frame in frames] == [
        ["1", "1"],
        ["01"],
        ["1.0"],
    ]


def test_codes_and_ids_of_csv_that_look_like_numbers_stay_text(folder, table):
    X, y, groups = (table.to_pandas()[part] for part in (NAMES, "y", "qid"))
    X["c"] = pd.Categorical(np.array(["01", "02", "1"])[np.arange(len(y)) % 3])
    ranker = rankformer().fit(X, y, groups=groups)
    save(ranker, "ranker.safetensors")
    ids = [f"{one:04}" for one in range(len(y))]
    X.assign(qid=groups, item=ids).to_csv("codes.csv", index=False)
    assert run("--group", "qid", "--keep", "item", source="codes.csv") == 0
    scored = parquet.read_table("out.parquet").to_pandas()
    assert scored["item"].tolist() == ids
    assert_allclose(scored["score"], ranker.predict(X, groups=groups), **CLOSE)


def test_codes_of_a_ranker_without_names_stay_text_in_csv(folder, table):
    frame = table.to_pandas()
    X = np.column_stack([frame[NAMES].astype(object), frame["item"].str[1:2]])
    assert set(X[:, -1]) <= set("0123456789")
    ranker = rankformer(categorical_features=[len(NAMES)])
    ranker.fit(X, frame["y"], groups=frame["qid"])
    save(ranker, "ranker.safetensors")
    columns = [*NAMES, "code"]
    rows = pd.DataFrame(X, columns=columns).assign(qid=frame["qid"])
    rows.to_csv("codes.csv", index=False)
    assert run("--group", "qid", source="codes.csv") == 0
    found = parquet.read_table("out.parquet")["score"]
    assert_allclose(found, ranker.predict(X, groups=frame["qid"]), **CLOSE)


def test_texts_of_csv_that_look_missing_are_texts(folder, table):
    X, y, groups = (table.to_pandas()[part] for part in (NAMES, "y", "qid"))
    texts = np.array(["NA", "null", "nan", "x"])
    X["c"] = pd.Categorical(texts[np.arange(len(y)) % 4])
    ranker = rankformer().fit(X, y, groups=groups)
    save(ranker, "ranker.safetensors")
    ids = np.where(groups == 0, "NA", groups.astype(str))
    X.assign(qid=ids, item=X["c"]).to_csv("texts.csv", index=False)
    assert run("--group", "qid", "--keep", "item", source="texts.csv") == 0
    scored = parquet.read_table("out.parquet").to_pandas()
    assert scored["item"].tolist() == X["c"].tolist()
    assert scored["qid"].tolist() == ids.tolist()
    assert_allclose(scored["score"], ranker.predict(X, groups=groups), **CLOSE)


def test_categories_of_days_are_known_in_csv_that_leaves_out_their_time(folder, table):
    X, y, groups = (table.to_pandas()[part] for part in (NAMES, "y", "qid"))
    days = pd.Timestamp("2024-02-27") + pd.to_timedelta(np.arange(len(y)) % 5, "D")
    X["c"] = pd.Categorical(days)
    ranker = rankformer().fit(X, y, groups=groups)
    save(ranker, "ranker.safetensors")
    X.assign(qid=groups).to_csv("days.csv", index=False)
    assert run("--group", "qid", source="days.csv") == 0
    found = parquet.read_table("out.parquet")["score"]
    assert_allclose(found, ranker.predict(X, groups=groups), **CLOSE)


def test_categories_of_csv_may_be_texts_beside_numbers(folder, table):
    X, y, groups = (table.to_pandas()[part] for part in (NAMES, "y", "qid"))
    X["c"] = np.array([1, "x", 2, "y"], dtype=object)[np.arange(len(y)) % 4]
    ranker = rankformer(categorical_features=["c"]).fit(X, y, groups=groups)
    save(ranker, "ranker.safetensors")
    X.assign(qid=groups).to_csv("codes.csv", index=False)
    assert run("--group", "qid", source="codes.csv") == 0
    found = parquet.read_table("out.parquet")["score"]
    assert_allclose(found, ranker.predict(X, groups=groups), **CLOSE)


@pytest.mark.parametrize("gap", ["", "?"])
def test_long_integers_are_categories_in_csv_beside_gaps_and_unseen_texts(
    gap, folder, table
):
    frame = table.to_pandas()
    names = 2**53 + np.arange(len(frame)) % 3
    frame["c"] = names.astype(object)
    ranker = rankformer(categorical_features=["c"])
    ranker.fit(frame[NAMES], frame["y"], groups=frame["qid"])
    save(ranker, "ranker.safetensors")
    frame.loc[::4, "c"] = gap or None
    frame.to_csv("names.csv", index=False)
    assert run("--group", "qid", "--keep", "c", source="names.csv") == 0
    scored = parquet.read_table("out.parquet").to_pandas()
    expected = ranker.predict(frame[NAMES], groups=frame["qid"])
    assert_allclose(scored["score"], expected, **CLOSE)
    assert scored["c"].dropna().tolist() == [str(one) for one in frame["c"].dropna()]


def test_numbers_that_are_categories_may_be_written_in_many_ways_in_csv(folder, table):
    frame = table.to_pandas()
    values = np.array([0, 1, 2.5, -3e20, 10])
    frame["c"] = values[np.arange(len(frame)) % 5]
    ranker = rankformer(categorical_features=["c"])
    ranker.fit(frame[NAMES], frame["y"], groups=frame["qid"])
    save(ranker, "ranker.safetensors")
    for spelled in (
        ["0", "1", "2.5", "-3e20", "10"],
        ["False", "TRUE", "2.50", "-3e+20", "10.0"],
    ):
        texts = frame.assign(c=np.array(spelled)[np.arange(len(frame)) % 5])
        texts.to_csv("spelled.csv", index=False)
        assert run("--group", "qid", source="spelled.csv") == 0
        found = parquet.read_table("out.parquet")["score"]
        expected = ranker.predict(frame[NAMES], groups=frame["qid"])
        assert_allclose(found, expected, **CLOSE)
    frame["c"] = "1_0"  # which Python reads as ten
    frame.to_csv("names.csv", index=False)
    assert run("--group", "qid", source="names.csv") == 0
    found = parquet.read_table("out.parquet")["score"]
    expected = ranker.predict(frame.assign(c=np.nan)[NAMES], groups=frame["qid"])
    assert_allclose(found, expected, **CLOSE)


def test_a_feature_of_truth_values_may_be_handed_on_from_csv(folder, table):
    X, y, groups = (table.to_pandas()[part] for part in (NAMES, "y", "qid"))
    X["c"] = X["c"] > 0
    ranker = rankformer().fit(X, y, groups=groups)
    save(ranker, "ranker.safetensors")
    X.assign(qid=groups).to_csv("flags.csv", index=False)
    assert run("--group", "qid", "--keep", "c", "a", source="flags.csv") == 0
    scored = parquet.read_table("out.parquet").to_pandas()
    assert scored["c"].tolist() == X["c"].tolist()
    assert scored["a"].tolist() == X["a"].tolist()
    assert_allclose(scored["score"], ranker.predict(X, groups=groups), **CLOSE)


@pytest.mark.parametrize("gap", ["", '""', "NA", '"NA"', "nan", "null"])
def test_numbers_of_csv_may_be_missing_in_any_spelling(gap, folder, table, ranker):
    frame = table.to_pandas()
    frame.loc[::3, "b"] = np.nan
    texts = frame.astype(str).where(frame.notna(), gap)
    lines = [list(frame), *texts.to_numpy().tolist()]
    text = "\n".join(",".join(line) for line in lines)
    (folder / "gaps.csv").write_text(text + "\n")
    assert run("--group", "qid", source="gaps.csv") == 0
    found = parquet.read_table("out.parquet")["score"]
    expected = ranker.predict(frame[NAMES], groups=frame["qid"])
    assert_allclose(found, expected, **CLOSE)


def test_numbers_and_texts_of_csv_may_change_their_looks_after_many_rows(
    folder, table, ranker, monkeypatch
):
    monkeypatch.setattr(_tablefiles, "CSV_BLOCK_BYTES", 1000)
    frame = table.to_pandas()
    frame["a"] = np.where(frame["qid"] < 30, frame["a"].round(), frame["a"])
    frame.loc[frame["qid"] < 30, "b"] = np.nan
    frame["item"] = "one\nand " + frame["item"]
    texts = frame.assign(a=[f"{value:.17g}" for value in frame["a"]])
    texts.to_csv("long.csv", index=False)
    assert run("--group", "qid", "--keep", "item", source="long.csv") == 0
    scored = parquet.read_table("out.parquet").to_pandas()
    assert scored["item"].tolist() == frame["item"].tolist()
    expected = ranker.predict(frame[NAMES], groups=frame["qid"])
    assert_allclose(scored["score"], expected, **CLOSE)


@pytest.mark.parametrize("empty", [0, 1])
def test_truth_values_may_be_missing_throughout_one_of_several_csv_files(
    empty, folder, table
):
    frame = table.to_pandas()
    frame["d"] = (frame["d"] > 0).astype(object).mask(frame["qid"] // 30 == empty, None)
    ranker = rankformer().fit(frame[NAMES], frame["y"], groups=frame["qid"])
    save(ranker, "ranker.safetensors")
    (folder / "parts").mkdir()
    for part, rows in frame.groupby(frame["qid"] // 30):
        rows.to_csv(f"parts/{part}.csv", index=False)
    assert run("--group", "qid", source="parts") == 0
    scored = parquet.read_table("out.parquet")["score"]
    assert_allclose(scored, ranker.predict(frame[NAMES], frame["qid"]), **CLOSE)


def test_files_whose_numbers_differ_in_type_give_the_scores_of_predict(
    folder, table, ranker
):
    frame = table.to_pandas()
    frame["a"] = frame["a"].round()
    first = frame["qid"] < 30
    (folder / "parts").mkdir()
    for ending, write in (
        ("csv", lambda part, path: part.to_csv(path, index=False)),
        ("parquet", lambda part, path: part.to_parquet(path)),
    ):
        frame[first].pipe(write, f"parts/1.{ending}")
        whole = frame[~first].astype({"a": "int16", "y": "int32"})
        whole.pipe(write, f"parts/2.{ending}")
        assert run("--group", "qid", "--keep", "y", source="parts") == 0
        scored = parquet.read_table("out.parquet").to_pandas()
        expected = ranker.predict(frame[NAMES], groups=frame["qid"])
        assert_allclose(scored["score"], expected, **CLOSE)
        assert scored["y"].astype(int).tolist() == frame["y"].tolist()
        for path in (folder / "parts").iterdir():
            path.unlink()


@formats
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array([0.5], pa.float32()), pa.array([0.1])),
        (pa.array([1.5], pa.float32()), pa.array([2**24 + 1])),
        (pa.array([1]), pa.array([0.1])),
        (pa.array([1], pa.int8()), pa.array([2**40])),
        (pa.nulls(1), pa.array(["a"])),
    ],
    ids=["digits", "ids", "fractions", "range", "texts"],
)
def test_columns_handed_on_are_of_a_type_that_holds_those_of_all_files(
    first, second, ending, folder, table
):
    (folder / "parts").mkdir()
    for part, one, rows in ((1, first, table[:150]), (2, second, table[150:])):
        column = pa.chunked_array([one.take(pa.array([0] * len(rows)))])
        parquet.write_table(rows.append_column("k", column), f"parts/{part}.parquet")
    arguments = ["--group", "qid", "--keep", "k"]
    assert run(*arguments, source="parts", output=f"out{ending}") == 0
    found = READ[ending](f"out{ending}")["k"].to_pylist()
    assert found[150:] == second.to_pylist() * (len(table) - 150)
    assert {None if one == "" else one for one in found[:150]} == {*first.to_pylist()}


def test_files_whose_types_do_not_go_together_are_refused_before_any_is_scored(
    folder, table, capsys, monkeypatch
):
    (folder / "parts").mkdir()
    first, second = table[:150], table[150:]
    parquet.write_table(first, "parts/1.parquet")
    texts = second["y"].cast(pa.string())
    parquet.write_table(second.set_column(0, "y", texts), "parts/2.parquet")
    monkeypatch.setattr(serving.ListScorer, "_predict", None)
    assert run("--group", "qid", "--keep", "y", source="parts") == 1
    message = capsys.readouterr().err
    assert "Field y has incompatible types" in message
    assert "Give the column one type in all of them" in message


@formats
@pytest.mark.parametrize("cells", [200, serving.PIECE_CELLS])
def test_categories_handed_on_may_differ_from_file_to_file(
    cells, ending, folder, table, monkeypatch
):
    monkeypatch.setattr(serving, "PIECE_CELLS", cells)
    (folder / "parts").mkdir()
    few = pa.dictionary(pa.int8(), pa.string())  # as pandas has it
    for part, start in enumerate(range(0, len(table), 50)):
        rows = table.slice(start, 50)
        colours = pa.array([f"{part}-{row}" for row in range(len(rows))])
        rows = rows.append_column("colour", colours.dictionary_encode().cast(few))
        parquet.write_table(rows, f"parts/{part:03}.parquet")
    arguments = ["--group", "qid", "--keep", "colour"]
    assert run(*arguments, source="parts", output=f"out{ending}") == 0
    expected = parquet.read_table("parts")["colour"].to_pylist()
    assert READ[ending](f"out{ending}")["colour"].to_pylist() == expected


@formats
def test_a_file_without_rows_gives_one_without_rows(ending, folder, table):
    if ending == ".csv":
        table = table.select(["qid", *NAMES])  # types are guessed from no value
    WRITE[ending](table.slice(0, 0), f"none{ending}")
    assert run("--group", "qid", source=f"none{ending}", output=f"out{ending}") == 0
    scored = READ[ending](f"out{ending}")
    assert (scored.num_rows, scored.column_names) == (0, ["qid", "score"])


def test_what_an_output_cannot_hold_is_refused_in_a_line(folder, table, capsys):
    options = ["--group", "qid", "--keep", "tags"]
    ends = pa.compute.run_end_encode(table["y"].combine_chunks())
    for tags, output, message in (
        (pa.array([["new"]] * len(table)), "out.csv", "CSV cannot hold the lists"),
        (ends, "out.parquet", "run_end_encoded"),
    ):
        with_tags = table.append_column("tags", tags)
        with pa.ipc.new_file("tags.arrow", with_tags.schema) as writer:
            writer.write_table(with_tags)
        assert run(*options, source="tags.arrow", output=output) == 1
        assert message in capsys.readouterr().err


def test_a_failure_halfway_leaves_what_was_there(folder, table, capsys):
    again = pa.concat_tables([table, table.slice(0, 1)])
    parquet.write_table(again, "again.parquet")
    (folder / "out.parquet").write_text("old")
    before = sorted(folder.iterdir())
    assert run("--group", "qid", source="again.parquet") == 1
    message = capsys.readouterr().err
    assert message.startswith("error: List 0 of group_column='qid' comes again in row")
    assert (folder / "out.parquet").read_text() == "old"
    assert sorted(folder.iterdir()) == before


def test_ctrl_c_leaves_what_was_there(folder, monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        yield from first_half
        raise KeyboardInterrupt

    batches = list(TableFiles("in.parquet").batches())
    first_half = batches[: len(batches) // 2]
    monkeypatch.setattr(TableFiles, "batches", interrupted)
    before = sorted(folder.iterdir())
    assert run("--group", "qid") == 130
    assert "nothing was written" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "no.parquet"}, "no.parquet does not exist"),
        ({"source": "ranker.safetensors"}, "of no known format"),
        ({"output": "out.xlsx"}, "of no known format"),
        ({"output": "out.parquet.gz"}, "of no known format"),
        ({"source": "in.arrow.gz"}, "of no known format"),
        ({"output": "in.parquet"}, "is read and cannot be written"),
        ({"output": "none/out.parquet"}, "The folder of none/out.parquet does not"),
        ({"output": "folder.parquet"}, "folder.parquet is a folder. Give the name"),
        ({"source": "torn.parquet"}, "torn.parquet"),
    ],
)
def test_files_that_cannot_be_read_or_written_are_refused(
    change, message, folder, capsys
):
    whole = (folder / "in.parquet").read_bytes()
    (folder / "torn.parquet").write_bytes(whole[:-100])
    (folder / "in.arrow.gz").write_bytes(gzip.compress(whole))
    (folder / "folder.parquet").mkdir()
    before = sorted(folder.iterdir())
    assert run("--group", "qid", **change) == 1
    assert message in capsys.readouterr().err
    assert (folder / "in.parquet").read_bytes() == whole
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--group", "list"], "no column 'list'"),
        (["--group", "qid", "--keep", "price"], "no column 'price'"),
        (["--group", "qid", "--keep", "score"], "Rename it first"),
    ],
)
def test_columns_that_are_not_there_are_refused(arguments, message, folder, capsys):
    assert run(*arguments) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "out.parquet").exists()


def test_a_file_that_is_no_ranker_is_refused(folder, capsys):
    arguments = ["in.parquet", "in.csv", "out.parquet", "--group", "qid"]
    assert score.main(arguments) == 1
    assert "not a file of sklearn_rankformer" in capsys.readouterr().err


def test_values_that_a_ranker_has_not_are_refused(folder, table, capsys):
    frame = table.to_pandas()
    pointwise = mlp().fit(frame[NAMES], frame["y"], groups=frame["qid"])
    save(pointwise, "ranker.safetensors")
    assert run("--group", "qid") == 0
    assert run("--group", "qid", "--list-value") == 1
    assert "list_value need" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"], ["--group", "qid"]])
def test_arguments_that_make_no_sense_are_answered_by_the_usage(arguments, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        score.main(arguments)
    assert "usage:" in capsys.readouterr().err


def test_only_the_columns_needed_are_read(folder, monkeypatch):
    asked = []

    def noted(files, columns, texts):
        asked.append(columns)
        return read(files, columns, texts)

    read = TableFiles.batches
    monkeypatch.setattr(TableFiles, "batches", noted)
    assert run("--group", "qid") == 0
    assert asked == [["qid", *NAMES]]


@pytest.mark.parametrize("name", ["qid", "b"])
def test_a_column_that_a_file_has_twice_is_refused_by_name(name, folder, table, capsys):
    for ending in (".parquet", ".csv"):  # feather refuses to write it
        WRITE[ending](table.append_column(name, table["a"]), f"twice{ending}")
        assert run("--group", "qid", source=f"twice{ending}") == 1
        message = f"twice{ending} has more than one column '{name}'"
        assert message in capsys.readouterr().err
    WRITE[".csv"](table.append_column("y", table["a"]), "twice.csv")
    assert run("--group", "qid", source="twice.csv") == 0  # which is not read


def test_a_column_missing_in_a_later_file_is_named_with_the_file(folder, table, capsys):
    (folder / "parts").mkdir()
    parquet.write_table(table, "parts/1.parquet")
    parquet.write_table(table.drop_columns("c"), "parts/2.parquet")
    assert run("--group", "qid", source="parts") == 1
    assert "2.parquet has no column 'c'; it has 'y', 'qid'," in capsys.readouterr().err
    assert np.all([one.name != "out.parquet" for one in folder.iterdir()])
