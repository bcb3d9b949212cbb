"""Benchmarks run, and write nothing into the documentation unless told to publish."""

import os
import subprocess
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from _report import markdown_table, write_results
from _rivals import LIBRARIES, gbdt
from _run import PUBLISHED, parse, parser_of
from speed import padding_share

from sklearn_rankformer._batching import draw_batches, make_batch
from sklearn_rankformer._lists import split_lists

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in BENCHMARKS.glob("[!_]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_answers_help(name, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        import_module(name).main(["--help"])
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "arguments", "suffixes"),
    [
        (
            "context_crossing",
            ["--seeds", "1", "--strengths", "0"],
            {".json", ".md", ".png"},
        ),
        ("speed", ["--only", "padding"], {".json", ".md"}),
    ],
)
def test_quick_run_writes_to_a_temporary_directory(name, arguments, suffixes, tmp_path):
    if ".png" in suffixes:
        pytest.importorskip("lightgbm")
        pytest.importorskip("matplotlib")
    before = published()
    run = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", "--quick", *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path), "MPLBACKEND": "Agg"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    written = list(tmp_path.glob("*/*"))
    assert {path.name for path in written} == {f"{name}{one}" for one in suffixes}
    assert f"wrote {written[0].parent}" in run.stdout
    (page,) = (path for path in written if path.suffix == ".md")
    assert page.read_text(encoding="utf-8").startswith("A quick run")
    assert published() == before


def published():
    """What the documentation shows, file by file."""
    return {path.name: path.read_bytes() for path in PUBLISHED.iterdir()}


@pytest.mark.parametrize(
    "argv", [["--quick", "--publish"], ["--out", str(PUBLISHED)]], ids=" ".join
)
def test_only_a_whole_run_that_is_told_to_publish_may_write_there(argv, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        parse(parser_of("", "name"), argv)
    assert "--publish" in capsys.readouterr().err


def test_publish_names_the_directory_that_the_pages_include():
    assert parse(parser_of("", "name"), ["--publish"]).out == PUBLISHED
    assert {"accuracy.md", "speed.md"} <= set(published())


def test_run_cut_short_says_so_above_its_page(tmp_path):
    args = Namespace(out=tmp_path, name="name", quick=False)
    page = tmp_path / "name.md"
    write_results(args, "The page.\n", {}, (3, 3))
    assert page.read_text(encoding="utf-8") == "The page.\n"
    write_results(args, "The page.\n", {}, (2, 3))
    text = page.read_text(encoding="utf-8")
    assert text == "Cut short: 2 of 3 runs.\n\nThe page.\n"


def test_table_has_a_line_per_row_and_the_formats_asked_for():
    interval = {"difference": 0.5, "low": -0.25, "high": 1.0}
    rows = [{"name": "a", "share": 0.126, "gap": interval}, {"name": "b", "n": 1234}]
    columns = {"name": "", "share": ("share", ".1%"), "n": ("rows", ",d"), "gap": "gap"}
    assert markdown_table(rows, columns).splitlines() == [
        "|  | share | rows | gap |",
        "| --- | ---: | ---: | ---: |",
        "| a | 12.6% |  | +0.5000 [-0.2500, +1.0000] |",
        "| b |  | 1,234 |  |",
    ]
    assert markdown_table([{"x": 1 / 3}], ["x"]).splitlines()[-1] == "| 0.3333 |"


@pytest.mark.parametrize("library", LIBRARIES)
def test_gbdts_take_one_thread_and_their_own_parameters(library):
    pytest.importorskip(LIBRARIES[library][0])
    params = gbdt(library, n_trees=7, seed=3, learning_rate=0.2).get_params()
    assert params.get("n_jobs") == 1 or params["thread_count"] == 1
    expected = {"n_estimators": 7, "random_state": 3, "learning_rate": 0.2}
    assert {name: params[name] for name in expected} == expected


def test_padding_is_what_padded_batches_leave_empty():
    rng = np.random.default_rng(0)
    lists = split_lists(np.repeat(np.arange(50), rng.integers(1, 30, 50)))
    drawn = list(draw_batches(lists, np.arange(50), 64, rng))
    masks = [make_batch(lists, chosen).mask for chosen in drawn]
    empty, computed = sum((~m).sum() for m in masks), sum(m.size for m in masks)
    assert padding_share(lists, drawn) == empty / computed > 0
