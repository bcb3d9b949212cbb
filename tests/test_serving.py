"""Lists out of a stream are scored whole, wherever the stream is cut."""

import copy
import pickle
import sys
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_rankformer import RankerAdapter, serving
from sklearn_rankformer._lists import id_keys
from sklearn_rankformer._streams import SeenLists, whole_lists
from sklearn_rankformer.persistence import save
from sklearn_rankformer.serving import ListScorer, iter_lists

from .conftest import make_lists
from .factories import both, mlp, rankformer

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

NAMES = ["a", "b", "c", "d"]
KINDS = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "table": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "record batch": lambda frame: pa.RecordBatch.from_pandas(
        frame, preserve_index=False
    ),
}
kinds = pytest.mark.parametrize("kind", KINDS)

# Rounding of float32, where scores spread by about one.
CLOSE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def rows():
    """Features, an item id and the list id; the ids come in no order."""
    X, _, groups = make_lists(n_lists=60, sizes=(1, 30))
    frame = pd.DataFrame(X, columns=NAMES)
    return frame.assign(item=np.arange(len(X)), qid=(groups * 37) % 61)


@pytest.fixture(scope="module")
def ranker(rows):
    """Fitted on frames."""
    _, y, groups = make_lists(n_lists=60, sizes=(1, 30))
    return rankformer().fit(rows[NAMES], y, groups=groups)


@pytest.fixture(scope="module")
def expected(rows, ranker):
    """What the ranker says of all rows at once."""
    return ranker.predict_all(rows[NAMES], groups=rows["qid"])


@pytest.fixture(scope="module")
def scores(rows, ranker, expected):
    """Scores of the rows as one frame of a stream, and as predicted at once."""
    with small_pieces():
        frames = list(ListScorer(ranker, group_column="qid")([rows]))
    # A frame, as hypothesis shows what it is given, and arrays are long.
    return pd.DataFrame({"stream": column(frames, "score"), "predict": expected.scores})


@pytest.fixture(scope="module")
def path(ranker, tmp_path_factory):
    """File of the ranker."""
    path = tmp_path_factory.mktemp("saved") / "ranker.safetensors"
    save(ranker, path)
    return path


def cut(frame, at):
    """Pieces of a frame, cut at these rows."""
    bounds = [0, *sorted(at), len(frame)]
    return [frame[a:b] for a, b in pairwise(bounds)]


def column(frames, name):
    """One column of several frames."""
    return np.concatenate([np.asarray(frame[name]) for frame in frames])


def small_pieces(cells=200):
    """Score a few lists at a time."""
    return mock.patch.object(serving, "PIECE_CELLS", cells)


# Where the stream is cut -----------------------------------------------------------


@kinds
@given(at=st.lists(st.integers(0, 800), max_size=12))
def test_any_cut_of_the_stream_gives_the_same_bits(kind, rows, ranker, scores, at):
    scorer = ListScorer(ranker, group_column="qid", keep=["item"])
    at = [row for row in at if row <= len(rows)]
    with small_pieces():
        frames = list(scorer(iter(KINDS[kind](part) for part in cut(rows, at))))
    assert len(frames) > 1
    assert_array_equal(column(frames, "score"), scores["stream"])
    assert_array_equal(column(frames, "item"), rows["item"])
    assert_array_equal(column(frames, "qid"), rows["qid"])
    assert_allclose(scores["stream"], scores["predict"], **CLOSE)


@kinds
def test_batches_of_1000_rows_give_scores_and_values_of_the_kind_that_came(
    kind, path, ranker
):
    X, _, groups = make_lists(n_lists=600, sizes=(1, 30), seed=1)
    rows = pd.DataFrame(X, columns=NAMES).assign(qid=groups)
    expected = ranker.predict_all(rows[NAMES], groups=groups)
    batches = [KINDS[kind](part) for part in cut(rows, range(1000, len(rows), 1000))]
    scorer = ListScorer(path, group_column="qid", list_value=True, item_value=True)
    frames = list(scorer(iter(batches)))
    assert {type(frame) for frame in frames} == {type(batches[0])}
    assert column(frames, "score").dtype == np.float32
    assert_allclose(column(frames, "score"), expected.scores, **CLOSE)
    of_lists = expected.list_value.value[groups]
    assert_allclose(column(frames, "list_value"), of_lists, **CLOSE)
    assert_allclose(column(frames, "item_value"), expected.item_value.value, **CLOSE)


def test_one_call_is_one_pass_through_the_network(rows, ranker):
    scorer = ListScorer(ranker, group_column="qid", list_value=True, item_value=True)
    passes = []
    hook = ranker.module_.register_forward_hook(lambda *_: passes.append(1))
    list(scorer([rows]))
    n_all = len(passes)
    ranker.predict(rows[NAMES], groups=rows["qid"])
    hook.remove()
    assert len(passes) == 2 * n_all


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=30),
    at=st.lists(st.integers(0, 600), max_size=8),
    length=st.integers(1, 25),
)
def test_pieces_hold_whole_lists_and_end_at_the_first_that_is_long_enough(
    lengths, at, length
):
    ids = np.repeat(np.arange(len(lengths))[::-1], lengths)
    rows = pd.DataFrame({"qid": ids, "row": np.arange(len(ids))})
    parts = cut(rows, [row for row in at if row <= len(rows)])
    pieces = list(whole_lists(parts, "qid", length))
    assert_array_equal(column([p.frame for p in pieces], "row"), rows["row"])
    assert_array_equal(np.concatenate([p.lengths for p in pieces]), lengths)
    for piece in pieces[:-1]:
        assert len(piece.frame) == piece.lengths.sum() >= length
        assert piece.lengths[:-1].sum() < length


def test_what_is_held_is_a_piece_a_list_and_a_frame():
    def frames():
        for start in range(0, 10_000, 10):
            read.append(start + 10)
            yield pd.DataFrame({"qid": np.arange(start, start + 10) // 7})

    read, given_away = [], 0
    for piece in whole_lists(frames(), "qid", 50):
        assert read[-1] - given_away <= 50 + 7 + 10
        given_away += len(piece.frame)
    assert given_away == 10_000


def test_a_list_larger_than_all_else_is_scored_whole(ranker):
    X, _, _ = make_lists(n_lists=400)
    ids = np.r_[[0] * 3, [1] * (len(X) - 5), [2] * 2]
    rows = pd.DataFrame(X, columns=NAMES).assign(qid=ids)
    with small_pieces(40):
        frames = list(
            ListScorer(ranker, group_column="qid")(cut(rows, range(0, len(rows), 50)))
        )
    expected = ranker.predict(rows[NAMES], groups=ids)
    assert_allclose(column(frames, "score"), expected, **CLOSE)


def test_no_python_runs_list_by_list():
    def n_calls(n_lists):
        rows = pd.DataFrame({"qid": np.arange(6000) * n_lists // 6000})
        calls = []
        sys.setprofile(lambda *event: calls.append(event[1] == "call"))
        try:
            pieces = list(whole_lists([rows], "qid", 10_000))
        finally:
            sys.setprofile(None)
        assert len(pieces[0].lengths) == n_lists
        return sum(calls)

    assert n_calls(6000) == n_calls(30)


# Lists that come again -------------------------------------------------------------


@pytest.mark.parametrize("far", [1, 500])
@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("length", [1, 7, 10_000])
def test_a_list_that_comes_again_is_refused_by_name(ranker, far, as_text, length):
    ids = np.r_[4, 4, np.arange(100, 100 + far), 4]
    ids = [f"list-{one}" for one in ids] if as_text else ids
    rows = pd.DataFrame(np.zeros((len(ids), 4)), columns=NAMES).assign(qid=ids)
    scorer = ListScorer(ranker, group_column="qid")
    name = "list-4" if as_text else "4"
    message = rf"List {name} of group_column='qid' comes again in row {far + 2} "
    with pytest.raises(ValueError, match=message):
        list(scorer(cut(rows, range(length, len(rows), length))))


def test_a_list_cut_by_two_streams_goes_unnoticed(rows, ranker):
    # No process sees what another one does: docs/scale.md has the line for each engine.
    scorer = ListScorer(ranker, group_column="qid")
    half = len(rows) // 2
    assert rows["qid"][half - 1] == rows["qid"][half]
    parts = [column(list(scorer([part])), "score") for part in cut(rows, [half])]
    whole = column(list(scorer([rows])), "score")
    assert not np.allclose(np.concatenate(parts), whole)


@kinds
def test_numbers_that_change_their_type_within_a_stream_are_joined(kind):
    whole = pd.DataFrame({"qid": [1, 2], "a": [3, 4]})
    others = pd.DataFrame({"qid": [2, 3], "a": [0.5, 6.0]})
    for frames in ([whole, others], [others.assign(qid=[0, 1]), whole]):
        stream = map(KINDS[kind], frames)
        joined = column(list(iter_lists(stream, group_column="qid")), "a")
        assert joined.tolist() == pd.concat(frames)["a"].tolist()


@pytest.mark.parametrize("kind", ["table", "record batch"])
def test_types_of_a_column_that_do_not_go_together_are_refused(kind):
    frames = [pd.DataFrame({"qid": [1], "a": [one]}) for one in (2, "x")]
    with pytest.raises(TypeError, match=r"a has incompatible types.*one type in all"):
        list(iter_lists(map(KINDS[kind], frames), group_column="qid"))


@kinds
def test_list_ids_that_change_their_type_within_a_stream_are_refused(kind):
    numbers, texts = pd.DataFrame({"qid": [6, 7]}), pd.DataFrame({"qid": ["7", "s8"]})
    frames = [KINDS[kind](frame) for frame in (numbers, texts)]
    with pytest.raises(TypeError, match=r"before row 2 .* and text from there"):
        list(iter_lists(frames, group_column="qid"))


def test_times_as_list_ids_in_two_units_are_refused():
    days = pd.DataFrame({"qid": pd.to_datetime([0, 1], unit="D")})
    frames = [days.astype(f"datetime64[{unit}]") for unit in ("s", "ns")]
    with pytest.raises(TypeError, match=r"datetime64\[s\] before row 2"):
        list(iter_lists(frames, group_column="qid"))


def test_list_ids_may_be_whole_numbers_of_any_type():
    frames = [
        pd.DataFrame({"qid": np.array(ids, dtype)})
        for ids, dtype in (([1, 2], "i4"), ([], "O"), ([2, 3], "f8"), ([3, 4], "u1"))
    ]
    pieces = iter_lists(frames, group_column="qid", chunk_rows=1)
    assert [len(piece) for piece in pieces] == [1, 2, 2, 1]


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=12))
def test_lists_seen_before_are_known_as_by_a_set(parts):
    seen, known = SeenLists(), set()
    for part in parts:
        again = seen.add(id_keys(np.array(part, dtype=np.int64)))
        expected = [one in known or one in part[:i] for i, one in enumerate(part)]
        assert again.tolist() == expected
        known.update(part)


def test_lists_seen_take_8_bytes_each_in_few_runs():
    seen, part = SeenLists(), 1000
    for start in range(0, 300_000, part):
        seen.add(np.arange(start, start + part, dtype=np.uint64))
    assert sum(run.nbytes for run in seen.runs) == 8 * 300_000
    assert len(seen.runs) <= np.log2(300)


# One frame -------------------------------------------------------------------------


@kinds
def test_one_frame_is_scored_with_its_rows_in_any_order(kind, rows, ranker, expected):
    order = np.random.default_rng(0).permutation(len(rows))
    frame = KINDS[kind](rows.iloc[order])
    scorer = ListScorer(ranker, group_column="qid", keep=["item"], list_value=True)
    scored = scorer(frame)
    assert type(scored) is type(frame)
    assert_array_equal(np.asarray(scored["item"]), order)
    assert_allclose(np.asarray(scored["score"]), expected.scores[order], **CLOSE)
    per_row = expected.list_value.value[np.unique(rows["qid"], return_inverse=True)[1]]
    assert_allclose(np.asarray(scored["list_value"]), per_row[order], **CLOSE)


def test_a_pandas_frame_keeps_its_index(rows, ranker):
    frame = rows.set_index(pd.Index(np.arange(len(rows))[::-1], name="key"))
    scorer = ListScorer(ranker, group_column="qid")
    pd.testing.assert_index_equal(scorer(frame).index, frame.index)
    streamed = pd.concat(scorer(cut(frame, [5, 100])))
    pd.testing.assert_index_equal(streamed.index, frame.index)


@kinds
def test_frames_without_rows_give_the_columns_and_their_types(kind, rows, ranker):
    scorer = ListScorer(ranker, group_column="qid", keep=["item"], item_value=True)
    full, empty = KINDS[kind](rows), KINDS[kind](rows[:0])

    def types(frame):
        return pd.Series(frame.schema if hasattr(frame, "schema") else frame.dtypes)

    (streamed,) = scorer([empty, empty])
    for scored in (scorer(empty), streamed):
        assert len(scored) == 0
        assert list(types(scored)) == list(types(scorer(full)))
    assert list(scorer(iter([]))) == []
    several = list(scorer([empty, full, empty]))
    assert_array_equal(column(several, "item"), rows["item"])


# What the ranker is given ----------------------------------------------------------


@both
@kinds
def test_a_ranker_fitted_on_arrays_is_given_all_other_columns(make, kind, rows):
    X, y, groups = make_lists(n_lists=60, sizes=(1, 30))
    ranker = make().fit(X, y, groups=groups)
    scorer = ListScorer(ranker, group_column="qid", keep=["item"])
    scored = list(scorer([KINDS[kind](rows)]))
    assert_allclose(column(scored, "score"), ranker.predict(X, groups), **CLOSE)
    with pytest.raises(ValueError, match="fitted on 4 columns without names"):
        list(ListScorer(ranker, group_column="qid")([KINDS[kind](rows)]))


@pytest.mark.parametrize("group_column", ["qid", 4])
def test_a_ranker_that_finds_its_ids_in_x_is_given_them_too(group_column, rows):
    _, y, _ = make_lists(n_lists=60, sizes=(1, 30))
    with_ids = rows[[*NAMES, "qid"]]
    X = with_ids if group_column == "qid" else with_ids.to_numpy()
    ranker = rankformer(group_column=group_column).fit(X, y)
    scored = list(ListScorer(ranker, group_column="qid", keep=["item"])([rows]))
    assert_allclose(column(scored, "score"), ranker.predict(X), **CLOSE)
    assert ranker.group_column == group_column


@pytest.mark.parametrize(
    "around",
    [
        make_pipeline,
        lambda ranker: GridSearchCV(ranker, {"max_epochs": [1]}, cv=2),
    ],
    ids=["pipeline", "search"],
)
@pytest.mark.filterwarnings("ignore::sklearn_rankformer.CutListsWarning")
def test_a_ranker_inside_another_finds_its_ids_in_x_too(around, rows):
    _, y, _ = make_lists(n_lists=60, sizes=(1, 30))
    X = rows[[*NAMES, "qid"]]
    estimator = around(mlp(group_column="qid")).fit(X, y)
    scored = list(ListScorer(estimator, group_column="qid")([rows]))
    assert_allclose(column(scored, "score"), estimator.predict(X), **CLOSE)
    behind = make_pipeline(FunctionTransformer(), estimator).fit(X, y)
    with pytest.raises(ValueError, match="Fit it with group_column=None"):
        ListScorer(behind, group_column="qid")


@pytest.mark.parametrize("group_column", [None, "qid"])
def test_an_adapter_is_scored_as_it_predicts(group_column, rows):
    from sklearn.ensemble import HistGradientBoostingRegressor

    y = make_lists(n_lists=60, sizes=(1, 30))[1]
    regressor = HistGradientBoostingRegressor(max_iter=5)
    adapter = RankerAdapter(regressor, group_column=group_column)
    X = rows[NAMES] if group_column is None else rows[[*NAMES, "qid"]]
    ids = rows["qid"]
    adapter.fit(X, y, groups=ids)
    frames = list(ListScorer(adapter, group_column="qid")(cut(rows, [50, 300])))
    predicted = adapter.predict(X, groups=ids)
    assert_array_equal(column(frames, "score"), predicted)


PIPELINE = make_pipeline(StandardScaler(), Ridge())


@kinds
@pytest.mark.parametrize(
    "model", [Ridge(), PIPELINE, GridSearchCV(PIPELINE, {"ridge__alpha": [1.0]}, cv=2)]
)
def test_models_that_take_no_ids_score_what_they_are_given(kind, model, rows):
    model.fit(rows[NAMES], rows["item"] % 7)
    scorer = ListScorer(model, group_column="qid")
    frames = list(scorer(KINDS[kind](part) for part in cut(rows, [100, 101])))
    expected = model.predict(rows[NAMES])
    assert_allclose(column(frames, "score"), expected, rtol=1e-9)


@kinds
def test_categories_and_missing_values_of_some_batches_only(kind):
    X, y, groups = make_lists(n_lists=60)
    rows = pd.DataFrame(X, columns=NAMES)
    first, last = np.arange(len(rows)) < 100, np.arange(len(rows)) > 200
    rows["whole"] = pd.array(np.arange(len(rows)) % 5, dtype="Int64")
    rows.loc[last, "whole"] = None
    rows["a"] = rows["a"].mask(first)
    colours = np.where(first, "red", np.where(last, "green", "blue")).astype(object)
    rows["colour"] = pd.Categorical(np.where(groups % 4, colours, None))
    ranker = rankformer().fit(rows, y, groups=groups)
    parts = cut(
        rows.assign(qid=[f"q{one}" for one in groups]), range(50, len(rows), 50)
    )
    for part in parts:  # each with its own categories
        part["colour"] = part["colour"].cat.remove_unused_categories()
    with small_pieces():
        frames = list(
            ListScorer(ranker, group_column="qid", keep=["colour"])(
                KINDS[kind](part) for part in parts
            )
        )
    assert_allclose(column(frames, "score"), ranker.predict(rows, groups), **CLOSE)
    assert_array_equal(column(frames, "qid"), [f"q{one}" for one in groups])


# Processes -------------------------------------------------------------------------


def test_a_path_travels_alone_and_is_opened_once_a_process(path, rows, expected):
    serving._opened.cache_clear()
    with mock.patch.object(serving, "load", wraps=serving.load) as load:
        for _ in range(3):  # as each task of an engine unpickles its own
            packed = pickle.dumps(ListScorer(path, group_column="qid"))
            assert len(packed) < 500
            scored = list(pickle.loads(packed)([rows]))
    assert load.call_count == 1
    assert_allclose(column(scored, "score"), expected.scores, **CLOSE)


def test_a_file_that_was_replaced_is_opened_again(rows, tmp_path, ranker):
    file = tmp_path / "ranker.safetensors"
    save(ranker, file)
    scorer = ListScorer(file, group_column="qid")
    before = column(list(scorer([rows])), "score")
    _, y, groups = make_lists(n_lists=60, sizes=(1, 30))
    other = copy.copy(ranker).set_params(random_state=3)
    save(other.fit(rows[NAMES], y, groups=groups), file)
    assert (column(list(scorer([rows])), "score") != before).any()


def test_a_file_replaced_within_a_stream_changes_no_score_of_it(
    rows, tmp_path, ranker, scores
):
    def frames():
        yield rows[:400]
        file.write_bytes(b"another ranker")
        yield rows[400:]

    file = tmp_path / "ranker.safetensors"
    save(ranker, file)
    with small_pieces():
        scored = list(ListScorer(file, group_column="qid")(frames()))
    assert_array_equal(column(scored, "score"), scores["stream"])


def test_a_ranker_travels_itself(rows, ranker, expected):
    scorer = pickle.loads(pickle.dumps(ListScorer(ranker, group_column="qid")))
    assert_allclose(column(list(scorer([rows])), "score"), expected.scores, **CLOSE)


# What is refused -------------------------------------------------------------------


def test_arguments_that_make_no_sense_are_refused(ranker, rows):
    with pytest.raises(TypeError, match=r"Give \['item'\]"):
        ListScorer(ranker, group_column="qid", keep="item")
    with pytest.raises(TypeError, match="or the path of a saved one, got int"):
        ListScorer(3, group_column="qid")
    with pytest.raises(ValueError, match="Rename it first"):
        ListScorer(ranker, group_column="qid", keep=["score"])
    pointwise = mlp().fit(
        rows[NAMES], make_lists(n_lists=60, sizes=(1, 30))[1], rows["qid"]
    )
    scorer = ListScorer(pointwise, group_column="qid", item_value=True)
    with pytest.raises(ValueError, match="item_value need a RankFormerRanker"):
        scorer(rows)


@pytest.mark.parametrize(
    "call", [lambda f: f(["a"]), lambda f: f({"a": 1}), lambda f: f(3)]
)
def test_what_is_no_frame_is_refused(call, ranker):
    scorer = ListScorer(ranker, group_column="qid")
    with pytest.raises(TypeError, match="frame"):
        list(call(scorer))


def test_frames_of_two_kinds_are_refused(rows, ranker):
    scorer = ListScorer(ranker, group_column="qid")
    with pytest.raises(TypeError, match="goes on with Table"):
        list(scorer([rows, KINDS["table"](rows)]))


@kinds
def test_columns_and_ids_that_are_missing_are_refused_by_name(kind, rows, ranker):
    scorer = ListScorer(ranker, group_column="qid", keep=["item"])
    for name in ("qid", "item", "b"):
        for frames in (
            [rows.drop(columns=name)],
            [rows[:3], rows[3:].drop(columns=name)],
        ):
            with pytest.raises(ValueError, match=f"no column '{name}'"):
                list(scorer(KINDS[kind](frame) for frame in frames))
    ids = rows["qid"].astype(object)
    ids[7] = None
    frame = KINDS[kind](rows.assign(qid=pd.array(ids, dtype="Int64")))
    with pytest.raises(ValueError, match="no list id in 1 of the"):
        list(scorer([frame]))
    with pytest.raises(ValueError, match=r"no list id|contains"):
        scorer(frame)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_ids_that_are_nan_are_counted_as_missing(make, rows, ranker):
    columns = {name: rows[name].to_numpy() for name in rows}
    columns["qid"] = np.where(np.arange(len(rows)) == 7, np.nan, columns["qid"])
    with pytest.raises(ValueError, match=f"no list id in 1 of the {len(rows)} rows"):
        list(ListScorer(ranker, group_column="qid")([make(columns)]))


@pytest.mark.parametrize("kind", ["pandas", "table"])
@pytest.mark.parametrize("name", ["qid", "b"])
def test_a_column_that_is_there_twice_is_refused_by_name(kind, name, rows, ranker):
    twice = pd.concat([rows, rows[[name]]], axis=1)
    if kind == "table":
        table = pa.Table.from_pandas(rows)
        twice = table.append_column(name, table[name])
    with pytest.raises(ValueError, match=f"more than one column '{name}'"):
        list(ListScorer(ranker, group_column="qid")([twice]))


# Loops of one's own ----------------------------------------------------------------


@kinds
def test_iter_lists_gives_all_columns_of_whole_lists(kind, rows):
    parts = [KINDS[kind](part) for part in cut(rows, range(0, len(rows), 13))]
    frames = list(iter_lists(iter(parts), group_column="qid", chunk_rows=40))
    assert {type(frame) for frame in frames} == {type(parts[0])}
    for name in rows:
        assert_array_equal(column(frames, name), rows[name])
    ids = [set(np.asarray(frame["qid"]).tolist()) for frame in frames]
    assert sum(map(len, ids)) == len(set(rows["qid"]))
    assert all(len(frame) >= 40 for frame in frames[:-1])


@pytest.mark.parametrize("bad", [0, -1, 2.5, None])
def test_iter_lists_refuses_lengths_below_one(bad, rows):
    with pytest.raises((TypeError, ValueError), match="chunk_rows"):
        iter_lists([rows], group_column="qid", chunk_rows=bad)


@kinds
def test_iter_lists_asks_for_a_list_around_one_frame(kind, rows):
    with pytest.raises(TypeError, match=r"got one .*iter_lists\(\[frame\]"):
        iter_lists(KINDS[kind](rows), group_column="qid")


def test_iter_lists_refuses_what_it_cannot_cut(rows):
    with pytest.raises(ValueError, match="no column 'list'"):
        list(iter_lists([rows], group_column="list"))
    with pytest.raises(ValueError, match="comes again"):
        list(iter_lists([rows, rows], group_column="qid"))
