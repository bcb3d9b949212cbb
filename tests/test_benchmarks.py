"""Benchmarks run, and write nothing into the documentation unless asked to publish."""

import os
import subprocess
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import numpy as np
import off_policy
import pytest
from _compare import auc_by_weight, paired_interval, pooled_interval
from _data import OWN_SPLITS, own_split
from _report import markdown_table, write_results
from _rivals import LIBRARIES, gbdt
from _run import PUBLISHED, parse, parser_of, run_jobs
from hypothesis import given
from hypothesis import strategies as st
from list_value import list_features
from position_bias import summarise_simulated
from sklearn.metrics import roc_auc_score
from speed import padding_share

from sklearn_rankformer._batching import draw_batches, make_batch
from sklearn_rankformer._lists import split_lists
from sklearn_rankformer.metrics import METRICS

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
        (
            "list_value",
            ["--seeds", "1", "--sets", "synthetic labels"],
            {".json", ".md", ".png"},
        ),
        # What a script hands to other processes must be able to go there.
        ("rank_uncertainty", ["--seeds", "1", "--jobs", "2"], {".json", ".md"}),
        (
            "accuracy",
            ["--folds", "0", "--models", "LightGBM:default", "--jobs", "2"],
            {".json", ".md"},
        ),
        ("off_policy", [], {".json", ".md"}),
        ("speed", ["--only", "padding"], {".json", ".md"}),
    ],
)
def test_quick_run_writes_to_a_temporary_directory(name, arguments, suffixes, tmp_path):
    if name != "speed":
        pytest.importorskip("lightgbm")
    if ".png" in suffixes:
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


@given(st.integers(0, 2**32 - 1))
def test_auc_by_weight_is_that_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    outcome = np.append(rng.integers(0, 2, 30), [0, 1])
    p = rng.integers(0, 8, 32) / 8  # many ties
    weight = rng.integers(0, 3, 32) + 0.5
    expected = roc_auc_score(outcome, p, sample_weight=weight)
    np.testing.assert_allclose(auc_by_weight(outcome, p)(weight), expected)


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_pooled_interval_of_a_mean_is_the_paired_interval(n_seeds):
    gap = np.random.default_rng(0).normal(0.3, 1, (n_seeds, 400))
    means = [lambda n, one=one: n @ one / n.sum() for one in gap]
    found = pooled_interval(
        means, [400] * n_seeds, np.random.default_rng(1), shared=True, n_boot=4000
    )
    rng = np.random.default_rng(2)
    expected = paired_interval(gap, 0 * gap, rng, n_resamples=4000)
    assert found.difference == pytest.approx(expected.difference)
    assert (found.n_lists, found.n_seeds) == (400, n_seeds)
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.1 * width)
    assert found.high == pytest.approx(expected.high, abs=0.1 * width)


def test_pooled_interval_draws_from_each_runs_own_lists():
    gaps = [lambda n: len(n) * n.mean()] * 2
    found = pooled_interval(gaps, [10, 30], np.random.default_rng(0), shared=False)
    assert (found.difference, found.n_lists) == (20.0, 40)
    assert found.low >= 10
    assert found.high <= 30


def test_aggregates_leave_missing_values_out():
    nan = np.nan
    X = np.array([[1.0, nan], [5.0, nan], [nan, 2.0], [3.0, nan]])
    found = list_features(X, np.array([7, 7, 7, 3]))
    means, spreads, highest, lowest, log_size = np.split(found, [2, 4, 6, 8], axis=1)
    np.testing.assert_array_equal(means, [[3, nan], [3, 2]])
    np.testing.assert_array_equal(spreads, [[0, nan], [2, 0]])
    np.testing.assert_array_equal(highest, [[3, nan], [5, 2]])
    np.testing.assert_array_equal(lowest, [[3, nan], [1, 2]])
    np.testing.assert_allclose(log_size[:, 0], np.log([1, 3]))


@pytest.fixture
def small_sets(tmp_path):
    """A directory with files like those of WikiQA and EBNeRD."""
    rng = np.random.default_rng(0)
    qid = np.repeat(np.arange(280), 4)
    X, y = rng.normal(size=(len(qid), 3)), rng.integers(0, 2, len(qid))
    np.savez(tmp_path / "wikiqa.npz", X=X, y=y, qid=qid, fold=qid % 3)
    y = rng.integers(0, 3, len(qid))
    np.savez(tmp_path / "ebnerd_demo.npz", X=X, y=y, qid=qid, day=qid % 14)
    return tmp_path


@pytest.mark.parametrize("name", OWN_SPLITS)
def test_own_splits_share_no_list_and_have_two_labels(name, small_sets):
    parts = own_split(name, small_sets)
    ids = [set(groups) for _, _, groups in parts]
    assert not ids[0] & ids[1] | ids[0] & ids[2] | ids[1] & ids[2]
    assert all(set(y) == {0, 1} for _, y, _ in parts)


def test_ebnerd_is_split_by_time(small_sets):
    days = [set(groups % 14) for _, _, groups in own_split("ebnerd reads", small_sets)]
    assert days[0] <= set(range(6))
    assert days[1] == {6}
    assert days[2] == set(range(7, 14))


def test_item_value_is_measured_on_every_set(small_sets, capsys):
    pytest.importorskip("lightgbm")
    out = small_sets / "out"
    argv = ["--quick", "--seeds", "1", "--data", str(small_sets), "--out", str(out)]
    import_module("item_value").main(argv)
    page = (out / "item_value.md").read_text(encoding="utf-8")
    for name in ("wikiqa answers", "ebnerd clicks"):
        assert page.count(name) == 7  # four models, and three gaps
    assert "nan" not in page
    assert page.split("\n\n", 1)[1] in capsys.readouterr().out


@pytest.mark.parametrize("metric", ["dcg", "precision"])
def test_truth_of_the_off_policy_benchmark_is_the_metric_of_the_relevance(metric):
    world = off_policy.make_world(200, 0)
    options = {"groups": world["groups"], "k": off_policy.K, "empty": "zero"}
    if metric == "dcg":
        options["gain"] = "linear"
        values = [
            METRICS[metric](world["relevance"], world[name], **options)
            for name in ("new", "rival", "old")
        ]
    else:  # linear in relevance, so that draws of it have the right mean
        rng = np.random.default_rng(0)
        draws = rng.random((2000, len(world["relevance"]))) < world["relevance"]
        values = [
            np.mean([METRICS[metric](one, world[name], **options) for one in draws])
            for name in ("new", "rival", "old")
        ]
    found = off_policy.truth(world, metric, against=None, per_item=False)
    assert found == pytest.approx(values[0], rel=2e-3)
    for against, value in zip(("rival", "old"), values[1:], strict=True):
        found = off_policy.truth(world, metric, against=against, per_item=False)
        assert found == pytest.approx(values[0] - value, abs=2e-3)


def test_share_of_the_gap_is_said_only_where_there_is_one():
    rng = np.random.default_rng(0)
    base = rng.random(300)

    def bed(strength, gap):
        done = [({"strength": strength, "shown_by": "good"}, {})]
        gains = {"clicks as they are": 0, "true propensities": gap, "estimated": 0.3}
        for how, gain in gains.items():
            done[0][1][how] = base + gain + 0.01 * rng.normal(size=300)
        return done

    rows = summarise_simulated(bed(0.0, 0.0) + bed(1.0, 0.6))
    shares = {(row["strength"], row["trained on"]): row.get("closed") for row in rows}
    assert shares.pop(("1", "estimated")) == pytest.approx(0.5, abs=0.01)
    assert set(shares.values()) == {None}


def test_cached_runs_are_not_run_again(tmp_path):
    tasks = [{"path": tmp_path / "file"}]
    args = Namespace(jobs=1, minutes=None, cache=tmp_path / "cache")
    for _ in range(2):
        assert run_jobs(append_line, tasks, args) == [(tasks[0], 1)]
    args.cache = None
    assert run_jobs(append_line, tasks, args) == [(tasks[0], 2)]


def append_line(path):
    """Grow a file; return its number of lines."""
    with path.open("a+", encoding="utf-8") as file:
        file.write("\n")
        file.seek(0)
        return len(file.readlines())
