"""Files dealt to processes: each trains on its own, and all come to the same ranker."""

import os
import signal
import tempfile
import time
from itertools import pairwise, permutations
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback
from torch.distributed import HashStore, TCPStore

from sklearn_rankformer import _processes, _shards
from sklearn_rankformer._processes import name_of_meeting
from sklearn_rankformer._shards import deal_files
from sklearn_rankformer.datasets import ParquetLists
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.persistence import Checkpoint

from .conftest import make_lists
from .factories import both, mlp, rankformer
from .processes import run_together, start, stop

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

ROLES = {"group": "qid", "label": "clicks"}
ALL_ROLES = {**ROLES, "position": "place", "weight": "weight"}


def make_rows(n_lists=60, seed=0):
    """Numbers, colours, places and weights; the lists of a sort lie together."""
    X, y, groups = make_lists(n_lists=n_lists, seed=seed)
    rng = np.random.default_rng(seed + 1)
    rows = pd.DataFrame(X.astype(np.float32), columns=["a", "b", "c", "d"])
    rows.loc[rng.random(len(y)) < 0.2, "b"] = np.nan
    colour = rng.choice(["red", "blue"], len(y)).astype(object)
    # Known to the last lists, hence to one process, only.
    colour[(groups > 0.7 * n_lists) & (rng.random(len(y)) < 0.5)] = "green"
    rows.insert(1, "colour", pd.Categorical(colour))
    place = np.concatenate([np.arange(n) for n in np.bincount(groups)])
    weight = np.where(groups % 7 == 2, 0.0, rng.integers(1, 4, len(y)) / 2)
    return rows.assign(qid=groups + 100, clicks=y, place=place, weight=weight)


def write_shards(rows, folder, cuts):
    """Write rows to files; lists up to each cut, a share of all, go to the next."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = np.unique(rows["qid"])
    bounds = [0, *(round(cut * len(ids)) for cut in cuts), len(ids)]
    for i, (low, high) in enumerate(pairwise(bounds)):
        part = rows[rows["qid"].isin(ids[low:high])]
        part.to_parquet(folder / f"part-{i}.parquet")
    return folder


def of_memory(rows, roles):
    """What `fit` is given of these rows without files."""
    used = {*roles.values(), "place", "weight"}
    X = rows.drop(columns=used & {*rows.columns})
    return X, {
        "y": rows[roles["label"]],
        "groups": rows[roles["group"]],
        "position": rows[roles["position"]] if "position" in roles else None,
        "sample_weight": rows[roles["weight"]] if "weight" in roles else None,
    }


def features_only(rows):
    return of_memory(rows, ROLES)[0]


def lists_in(folder, roles=ROLES, **options):
    features = ["a", "colour", "b", "c", "d"]
    return ParquetLists(folder, features=features, **roles, **options)


def weights_of(ranker):
    return {k: v.numpy() for k, v in ranker.module_.state_dict().items()}


# One process --------------------------------------------------------------------------


@both
@pytest.mark.parametrize("roles", [ROLES, ALL_ROLES])
@pytest.mark.parametrize("cuts", [(), (0.3, 0.3, 0.8)])
def test_one_process_on_shards_has_the_bits_of_a_fit_in_memory(
    cuts, roles, make, tmp_path
):
    rows = make_rows()
    lists = lists_in(write_shards(rows, tmp_path / "rows", cuts), roles)
    ranker = make().fit(lists)
    X, rest = of_memory(rows, roles)
    expected = make().fit(X, **rest)
    found, known = weights_of(ranker), weights_of(expected)
    assert found.keys() == known.keys()
    for name in known:
        assert_array_equal(found[name], known[name])
    groups = rest["groups"]
    assert_array_equal(ranker.predict(X, groups), expected.predict(X, groups))
    assert_array_equal(ranker.trained_lists_, expected.trained_lists_)
    assert ranker.kept_score_ == expected.kept_score_


def test_what_only_lists_of_zero_weight_hold_is_unknown_from_files_too(tmp_path):
    rows = make_rows()
    unweighed = rows["weight"] == 0
    rows["colour"] = rows["colour"].astype(object).mask(unweighed, "amber")
    rows = rows.astype({"colour": "category"})
    rows["place"] = rows["place"].mask(unweighed, -1)
    lists = lists_in(write_shards(rows, tmp_path / "rows", (0.5,)), ALL_ROLES)
    ranker = mlp().fit(lists)
    assert ranker.positions_.min() == 0
    X, rest = of_memory(rows, ALL_ROLES)
    assert_array_equal(ranker.predict(X), mlp().fit(X, **rest).predict(X))


def test_what_only_lists_of_zero_weight_hold_may_be_any_text_of_csv(tmp_path):
    rows = make_rows()
    unweighed = rows["weight"] == 0
    rows["colour"] = (rows["qid"] % 3).mask(unweighed, 7)
    rows["place"] = rows["place"].mask(unweighed, 99)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    ranker = mlp(categorical_features=["colour"])
    ranker.fit(lists_in(tmp_path, ALL_ROLES))
    assert [*ranker._model.columns.categories.known] == [[0, 1, 2]]
    assert_array_equal(
        ranker.positions_, np.arange(rows["place"][~unweighed].max() + 1)
    )


def test_columns_that_have_a_purpose_are_no_features(tmp_path):
    folder = write_shards(make_rows(), tmp_path / "rows", (0.5,))
    ranker = mlp().fit(ParquetLists(folder, **ALL_ROLES))
    assert list(ranker.feature_names_in_) == ["a", "colour", "b", "c", "d"]
    assert_array_equal(ranker.positions_, np.arange(8))


def test_text_ids_and_rows_that_lie_apart_make_the_same_lists(tmp_path):
    pytest.importorskip("duckdb")
    rows = make_rows()
    rows["qid"] = "q" + rows["qid"].astype(str)
    X, rest = of_memory(rows, ROLES)
    mixed = rows.sample(frac=1, random_state=0)
    ranker = mlp().fit(lists_in(write_shards(mixed, tmp_path / "rows", (0.5,))))
    assert_array_equal(ranker.trained_lists_, mlp().fit(X, **rest).trained_lists_)


def test_categories_and_positions_of_csv_are_of_one_type(tmp_path):
    rows = make_rows().assign(code=1)
    rows.loc[rows["qid"] > 130, "code"] = np.arange((rows["qid"] > 130).sum()) % 3
    rows["size"] = rows["code"].astype(str)
    rows.iloc[-1, rows.columns.get_loc("size")] = "x"
    for name, part in rows.groupby(rows["qid"] > 130):
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    lists = ParquetLists(tmp_path, features=["a", "code", "size"], **ALL_ROLES)
    ranker = mlp(categorical_features=["code", "size"]).fit(lists)
    known = [[0, 1, 2], ["0", "1", "2", "x"]]
    assert [*ranker._model.columns.categories.known] == known
    assert_array_equal(ranker.positions_, np.unique(rows["place"]))


def test_features_may_be_named_by_an_index(tmp_path):
    rows = make_rows()
    folder = write_shards(rows, tmp_path / "rows", ())
    names = rows[["a", "b"]].columns
    for features in (names, names.to_numpy()):
        ranker = mlp().fit(ParquetLists(folder, features=features, **ROLES))
        assert ranker.feature_names_in_.tolist() == ["a", "b"]


def test_a_list_may_not_go_on_in_the_next_file(tmp_path):
    rows = make_rows()
    rows["qid"] = "q" + rows["qid"].astype(str)
    folder = tmp_path / "rows"
    folder.mkdir()
    rows[:150].to_parquet(folder / "one.parquet")
    rows[150:].to_parquet(folder / "two.parquet")
    cut = rows["qid"][149]
    assert cut == rows["qid"][150]
    with pytest.raises(
        ValueError, match=rf"List '{cut}' .*one\.parquet, .*two\.parquet"
    ):
        mlp().fit(lists_in(folder))


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_a_list_in_two_files_is_named_by_its_time(unit, tmp_path):
    rows = make_rows()
    for name, part in enumerate((rows[:150], rows[150:])):
        times = pd.to_datetime(part["qid"], unit="D").astype(f"datetime64[{unit}]")
        part.assign(qid=times).to_parquet(tmp_path / f"{name}.parquet")
    cut = str(pd.to_datetime(rows["qid"][150], unit="D").date())
    with pytest.raises(ValueError, match=rf"List '{cut}.* lies in more than one file"):
        mlp().fit(lists_in(tmp_path))


def test_a_category_that_is_text_in_one_file_and_a_number_in_another_is_refused(
    tmp_path,
):
    rows = make_rows().assign(colour=lambda rows: rows["qid"] % 3)
    for name, part in rows.groupby(rows["qid"] > 130):
        kind = str if name else int
        part.astype({"colour": kind}).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(TypeError, match="hold text in the column 'colour' and others"):
        mlp(categorical_features=["colour"]).fit(lists_in(tmp_path))


@pytest.mark.parametrize("endings", [("parquet", "parquet"), ("parquet", "csv")])
def test_list_ids_that_are_text_in_one_file_and_numbers_in_another_are_refused(
    endings, tmp_path
):
    rows = features_only(make_rows()).drop(columns="colour")
    rows = rows.assign(qid=np.arange(len(rows)) // 9, clicks=np.arange(len(rows)) % 2)
    for ending, kind in zip(endings, (int, str), strict=True):
        path, part = tmp_path / f"{kind.__name__}.{ending}", rows.astype({"qid": kind})
        part.to_csv(path) if ending == "csv" else part.to_parquet(path)
    with pytest.raises(
        TypeError, match=r"^The list ids of group='qid' are integers in .*text in .*str"
    ):
        mlp().fit(ParquetLists(tmp_path, **ROLES))


@pytest.mark.parametrize("kind", ["category", "int64", "str"])
def test_training_goes_on_with_the_categories_it_knows_whatever_files_say(
    kind, tmp_path
):
    rows = features_only(make_rows())
    rows["colour"] = 2**24 + np.arange(len(rows)) % 5
    if kind == "str":
        rows["colour"] = "c" + rows["colour"].astype(str)
    y, groups = np.arange(len(rows)) % 3, np.arange(len(rows)) // 9
    frame = rows.astype({"colour": "category"})
    ranker, expected = (
        rankformer(warm_start=True).fit(frame, y, groups=groups) for _ in "ab"
    )
    rows.astype({"colour": kind}).assign(qid=groups, clicks=y).to_parquet(
        tmp_path / "rows.parquet"
    )
    ranker.fit(lists_in(tmp_path))
    expected.fit(frame, y, groups=groups)
    assert_array_equal(ranker.predict(frame, groups), expected.predict(frame, groups))


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = write_shards(make_rows(), tmp_path / "rows", (0.5,))
    mlp().fit(lists_in(folder))
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_what_files_hold_is_not_given_beside_them():
    lists = ParquetLists("rows", group="qid", label="clicks")
    with pytest.raises(ValueError, match=r"y, groups cannot be given beside Parquet"):
        mlp().fit(lists, [1, 0], groups=[1, 1])
    with pytest.raises(ValueError, match=r"Set group_column=None"):
        mlp(group_column="qid").fit(lists)


def test_one_text_in_place_of_names_is_refused():
    with pytest.raises(TypeError, match=r"Give \['colour'\]"):
        ParquetLists("rows", features="colour", **ROLES)


def test_a_column_has_one_purpose():
    with pytest.raises(ValueError, match=r"two purposes: 'qid'"):
        ParquetLists("rows", group="qid", label="clicks", weight="qid")
    with pytest.raises(ValueError, match=r"two purposes: 'place'"):
        lists_in("rows", ALL_ROLES | {"label": "place"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clicks": None}, r"label column 'clicks' has no .* row 0 .*part-0\.parquet"),
        ({"weight": np.nan}, r"weight column 'weight' has no finite number in row 0"),
        ({"weight": -1.0}, "negative weight"),
        ({"place": None}, r"position contains"),
        ({"qid": None}, "no list id"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(change, message, tmp_path):
    rows = make_rows().assign(**change)
    folder = tmp_path / "rows"
    folder.mkdir()
    rows.to_parquet(folder / "part-0.parquet")
    with pytest.raises(ValueError, match=message):
        mlp().fit(lists_in(folder, ALL_ROLES))


def test_partial_fit_takes_rows_and_no_files():
    with pytest.raises(TypeError, match=r"rows and columns, got ParquetLists"):
        mlp().partial_fit(ParquetLists("rows", **ROLES), None)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.data())
def test_files_are_dealt_whole_and_evenly(sizes, data):
    n = data.draw(st.integers(1, len(sizes)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            os, "stat", lambda path: type("Stat", (), {"st_size": int(path[1:])})
        )
        # Names must differ, sizes need not.
        paths = [
            f"{'abcdefghijklmnopqrstuvwxyzABCD'[i]}{s}" for i, s in enumerate(sizes)
        ]
        dealt = deal_files(paths, n)
    assert sorted(path for mine in dealt for path in mine) == sorted(paths)
    loads = [sum(int(path[1:]) for path in mine) for mine in dealt]
    assert max(loads) - min(loads) <= max(sizes)
    assert all(dealt)


# Two processes ------------------------------------------------------------------------


def report(ranker, rows):
    """What must be the same in all processes, and what is compared with one."""
    X, rest = of_memory(rows, ALL_ROLES)
    scores = ranker.predict(X, rest["groups"])
    positions = ranker.positions_ if ranker._model.positions else None
    history = [{**epoch, "dur": 0.0} for epoch in ranker.history_]
    return {
        "weights": weights_of(ranker),
        "scores": scores,
        "calibration": vars(ranker._model.calibration),
        "history": history,
        "lists": ranker.trained_lists_,
        "positions": positions,
        "kept": (ranker.kept_epoch_, ranker.kept_score_),
        "categories": ranker._model.columns.categories.known,
        "knots": ranker._model.columns.knots,
        "ndcg": ndcg_score(rest["y"], scores, rest["groups"]),
    }


def check_equal(one, other):
    np.testing.assert_equal(one, other)


def error_of(call):
    try:
        call()
    except (ValueError, FileNotFoundError) as error:
        return f"{type(error).__name__}: {error}", time.monotonic()
    return None


LEARNING = {"max_epochs": 4, "batch_items": 64}


def fit_shards(folder):
    rows = make_rows(n_lists=150)
    cases = {
        "even": (lists_in("even"), rankformer(**LEARNING)),
        "all roles": (lists_in("even", ALL_ROLES), rankformer(**LEARNING)),
        "one to ten": (lists_in("uneven"), rankformer(**LEARNING)),
        "with an empty file": (lists_in("empty"), mlp(**LEARNING)),
        "one huge list": (lists_in("huge"), rankformer(**LEARNING)),
        "many levels": (
            lists_in("even", ROLES | {"label": "amount"}),
            rankformer(**LEARNING),
        ),
        "rows to measure on": (lists_in("even"), mlp()),
        "calibration folds": (
            lists_in("even"),
            rankformer(calibration_folds=2, max_epochs=1),
        ),
        "valid_loss": (
            lists_in("even", ROLES | {"label": "none"}),
            rankformer(max_epochs=2, loss="softmax"),
        ),
        "one of ten lists": (lists_in("nine"), rankformer(**LEARNING)),
    }
    rank = int(os.environ["RANK"])
    # What a process opens of the others' files would be no Parquet.
    os.chdir(folder / f"machine-{rank}")
    X, rest = of_memory(rows, ROLES)
    held = {"X_val": X, "y_val": rest["y"], "groups_val": rest["groups"]}
    return {
        name: report(
            ranker.fit(lists, **(held if name == "rows to measure on" else {})), rows
        )
        for name, (lists, ranker) in cases.items()
    }


def spoil_others(folder, names, rank):
    """In a copy of each process, the files of the other are zeros of their sizes."""
    for name in names:
        paths = sorted(str(path) for path in (folder / name).iterdir())
        for of, mine in enumerate(deal_files(paths, 2)):
            for path in mine:
                copy = folder / f"machine-{rank}" / name / os.path.basename(path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "rb") as file:
                    content = file.read()
                copy.write_bytes(content if of == rank else bytes(len(content)))


def fitted_before(whether, seed):
    """A ranker that goes on from a fit of this seed, if it was fitted."""
    ranker = mlp(warm_start=True, random_state=seed, max_epochs=1)
    if whether:
        X, rest = of_memory(make_rows(n_lists=150), ROLES)
        ranker.fit(X, **rest)
    return ranker.set_params(random_state=0)


def fail(folder):
    """Errors in one file or in none: each process says so, and can go on."""
    rank, even = int(os.environ["RANK"]), folder / "even"
    calls = {
        "split": lambda: mlp().fit(lists_in(folder / "split")),
        "bad label": lambda: mlp().fit(lists_in(folder / "bad")),
        "no rows": lambda: mlp().fit(lists_in(folder / "no rows")),
        "one file": lambda: mlp().fit(lists_in(folder / "one file")),
        "nothing there": lambda: mlp().fit(lists_in(folder / "nothing there")),
        "column": lambda: mlp().fit(lists_in(folder / "column")),
        "parameters": lambda: mlp(max_epochs=1 + rank).fit(lists_in(even)),
        "fitted in one": lambda: fitted_before(rank == 0, 0).fit(lists_in(even)),
        "fitted apart": lambda: fitted_before(True, rank).fit(lists_in(even)),
    }
    return {name: error_of(call) for name, call in calls.items()}


def write_failures(folder):
    rows = make_rows()
    for name in ("split", "bad", "no rows", "one file", "column"):
        (folder / name).mkdir()
    rows[:150].to_parquet(folder / "split" / "one.parquet")
    rows[150:].to_parquet(folder / "split" / "two.parquet")
    write_shards(rows, folder / "bad", (0.6,))
    bad = pd.read_parquet(folder / "bad" / "part-1.parquet").astype({"clicks": float})
    bad.loc[bad.index[3], "clicks"] = np.nan
    bad.to_parquet(folder / "bad" / "part-1.parquet")
    rows.to_parquet(folder / "no rows" / "all.parquet")
    rows[:0].to_parquet(folder / "no rows" / "none.parquet")
    rows.to_parquet(folder / "one file" / "all.parquet")
    write_shards(rows, folder / "column", (0.6,))
    less = pd.read_parquet(folder / "column" / "part-1.parquet").drop(columns="c")
    less.to_parquet(folder / "column" / "part-1.parquet")


def fail_and_fit(folder):
    return fail(folder), fit_shards(folder)


def write_cases(folder):
    rows = make_rows(n_lists=150).assign(none=0)
    rows["amount"] = np.maximum(rows["a"], 0).astype(float)
    write_shards(rows, folder / "even", (0.25, 0.5, 0.75))
    write_shards(rows, folder / "uneven", (0.9,))
    write_shards(rows, folder / "empty", (0.5, 0.5))
    write_shards(make_rows(10).assign(none=0, amount=0.0), folder / "nine", (0.9,))
    huge = rows.assign(qid=np.where(rows["qid"] < 175, 100, rows["qid"]))
    write_shards(huge, folder / "huge", (1 / huge["qid"].nunique(),))
    for rank in range(2):
        spoil_others(folder, ["even", "uneven", "empty", "huge", "nine"], rank)


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What two processes, started once, raised in some cases and fitted in others."""
    folder = tmp_path_factory.mktemp("shards")
    write_failures(folder)
    write_cases(folder)
    return run_together(fail_and_fit, folder)


@pytest.fixture
def failed(processes):
    """What each process raised, by case."""
    return [errors for errors, _ in processes]


@pytest.fixture
def fitted(processes):
    """What each process came to, by case."""
    return [rankers for _, rankers in processes]


CASES = ["even", "all roles", "one to ten", "with an empty file"]
OTHER_CASES = ["one huge list", "many levels", "rows to measure on"]
OTHER_CASES += ["calibration folds", "valid_loss", "one of ten lists"]


@pytest.mark.parametrize("case", [*CASES, *OTHER_CASES])
def test_processes_that_see_their_own_files_only_come_to_the_same_ranker(case, fitted):
    check_equal(fitted[0][case], fitted[1][case])


@pytest.mark.parametrize("case", CASES)
def test_two_processes_rank_as_well_as_one_and_know_as_much(case, fitted):
    rows = make_rows(n_lists=150)
    make = mlp if case == "with an empty file" else rankformer
    X, rest = of_memory(rows, ALL_ROLES if case == "all roles" else ROLES)
    expected = report(make(**LEARNING).fit(X, **rest), rows)
    found = fitted[0][case]
    same = ["lists", "positions", "categories", "knots"]
    check_equal({k: found[k] for k in same}, {k: expected[k] for k in same})
    assert found["ndcg"] == pytest.approx(expected["ndcg"], abs=0.05)
    assert found["calibration"]["n_lists"] == expected["calibration"]["n_lists"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("split", r"List 130 .* more than one file: .*one\.parquet, .*two\.parquet"),
        ("bad label", r"'clicks' has no finite number in row 3 .*part-1\.parquet"),
        ("no rows", r"no rows"),
        ("one file", r"1 files cannot be dealt to 2 processes"),
        ("nothing there", r"nothing there does not exist"),
        ("column", r"part-1\.parquet has no column 'c'"),
        ("parameters", r"differs from that of process 0 in max_epochs, and"),
        ("fitted in one", r"differs from that of process 0 in what it was fitted to"),
        ("fitted apart", r"differs from that of process 0 in what it was fitted to"),
    ],
)
def test_what_is_wrong_in_one_process_is_raised_in_all_at_once(case, message, failed):
    for errors in failed:
        text, _ = errors[case]
        assert pd.Series([text]).str.contains(message).all(), text
    (_, one), (_, other) = (errors[case] for errors in failed)
    assert abs(one - other) < 5


def test_a_list_is_held_out_where_a_process_has_one_to_spare(fitted):
    for rankers in fitted:
        assert rankers["one of ten lists"]["kept"][1] is not None


def test_who_was_wrong_is_named_to_the_others(failed):
    assert failed[0]["bad label"][0].startswith("ValueError: Process 1 of 2 (from 0)")
    assert failed[1]["bad label"][0].startswith("ValueError: The label column")


# Interrupted --------------------------------------------------------------------------


class PressAKey(Callback):
    """Interrupts the process of rank 1 in the second epoch, as the user would."""

    def on_epoch_end(self, net, **kwargs):
        if os.environ["RANK"] == "1" and len(net.history) == 2:
            press_a_key()


def press_a_key():
    """Interrupt in a frame that is none of a callback."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)


def fit_interrupted(folder):
    ranker = rankformer(max_epochs=4, batch_items=64, callbacks=[PressAKey()])
    with pytest.raises(KeyboardInterrupt):
        ranker.fit(lists_in(folder / "rows"))
    assert not hasattr(ranker, "history_")  # it stays as it was


def test_a_key_press_in_one_process_ends_all(tmp_path):
    write_shards(make_rows(), tmp_path / "rows", (0.5,))
    workers = start(fit_interrupted, tmp_path)
    try:
        other, interrupted = (worker.wait(60) for worker in workers)
    finally:
        stop(workers)
    # The other one says that its connection was closed.
    assert (interrupted, other) == (0, 1)


class Fail(Callback):
    """Raises in the process of rank 1."""

    def on_epoch_end(self, net, **kwargs):
        if os.environ["RANK"] == "1":
            raise OSError("failed")


def fail_and_live_on(folder):
    with pytest.raises((OSError, RuntimeError)):
        mlp(callbacks=[Fail()]).fit(lists_in(folder / "rows"))
    failed = time.monotonic()
    time.sleep(5)
    return failed


def test_an_error_ends_all_though_the_process_that_raised_it_lives_on(tmp_path):
    write_shards(make_rows(), tmp_path / "rows", (0.5,))
    one, other = run_together(fail_and_live_on, tmp_path, timeout=60)
    assert abs(one - other) < 4


# Killed and started again -------------------------------------------------------------


class Die(Callback):
    """Kills the process of rank 1 in the third epoch, where that is asked for."""

    def on_batch_begin(self, net, **kwargs):
        if "DIE" in os.environ and os.environ["RANK"] == "1" and len(net.history) == 3:
            os.kill(os.getpid(), signal.SIGKILL)


def fit_with_checkpoint(folder, name="checkpoint"):
    callbacks = [Checkpoint(folder / name), Die()]
    ranker = rankformer(max_epochs=4, batch_items=64, callbacks=callbacks)
    ranker.fit(lists_in(folder / "rows"))
    return weights_of(ranker), ranker.trained_lists_


def fit_again_and_undisturbed(folder):
    return fit_with_checkpoint(folder), fit_with_checkpoint(folder, "another")


def test_a_killed_worker_and_a_restart_end_as_if_undisturbed(tmp_path):
    write_shards(make_rows(), tmp_path / "rows", (0.5,))
    workers = start(fit_with_checkpoint, tmp_path, DIE="1")
    try:
        survivor, killed = (worker.wait(60) for worker in workers)
    finally:
        stop(workers)
    assert killed == -signal.SIGKILL
    assert survivor != 0
    assert (tmp_path / "checkpoint" / Checkpoint.FILE).exists()
    for found, expected in run_together(fit_again_and_undisturbed, tmp_path):
        check_equal(found[0], expected[0])
        assert_array_equal(found[1], expected[1])


def fit_when_called(folder):
    """In processes of which the second comes late, once others have been killed."""
    if os.environ["RANK"] == "1":
        time.sleep(float(os.environ["LATE"]))
    return fit_with_checkpoint(folder)


def test_a_restart_does_not_look_for_killed_workers(tmp_path):
    write_shards(make_rows(), tmp_path / "rows", (0.5,))
    # As torchrun has it: one store through all attempts, which holds their addresses.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    address = {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    workers = start(fit_when_called, tmp_path, DIE="1", LATE="0", **address)
    try:
        assert workers[1].wait(60) == -signal.SIGKILL
    finally:
        stop(workers)
    first, second = run_together(fit_when_called, tmp_path, LATE="2", **address)
    check_equal(first[0], second[0])


def meet(store, rank, n, names):
    names[rank] = name_of_meeting(store, rank, n)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_processes_agree_on_a_name_whoever_was_there_before(order):
    store, before = HashStore(), set()
    for _ in range(3):
        names = [""] * 3
        threads = [Thread(target=meet, args=(store, rank, 3, names)) for rank in order]
        for thread in threads:
            thread.start()
            time.sleep(0.02)
        for thread in threads:
            thread.join()
        assert len(set(names)) == 1
        assert not before & set(names)
        before |= set(names)
        # One of the next attempt that was killed right after it had answered.
        store.set(f"{names[0]} 1", "of a killed process")


def test_who_waits_for_the_first_process_in_vain_is_not_left_waiting(monkeypatch):
    monkeypatch.setattr(_processes, "MOST_SECONDS", 0.2)
    store = HashStore()
    store.set("name", "of a process that was killed")
    with pytest.raises(TimeoutError, match=r"Process 1 of 2 .* in vain"):
        name_of_meeting(store, 1, 2)


def test_a_checkpoint_of_other_shards_is_refused(tmp_path):
    rows = make_rows()
    lists = lists_in(write_shards(rows, tmp_path / "rows", ()))
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    mlp(callbacks=[checkpoint]).fit(lists)
    write_shards(rows.assign(a=0.0), tmp_path / "rows", ())
    with pytest.raises(ValueError, match="What differs: training data"):
        mlp(callbacks=[checkpoint]).fit(lists)


def test_keys_of_many_lists_are_compared_a_part_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(_shards, "KEYS_AT_ONCE", 7)
    rows = make_rows()
    folder = write_shards(rows, tmp_path / "rows", (0.5,))
    mlp().fit(lists_in(folder))
    rows[:2].to_parquet(folder / "once more.parquet")
    with pytest.raises(ValueError, match=r"List 100 .*once more\.parquet, .*part-0"):
        mlp().fit(lists_in(folder))
