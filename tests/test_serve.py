"""The example server, started on loopback, answers as the ranker does."""

import http.client
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from sklearn_rankformer.export import to_onnx

from .factories import mlp, rankformer
from .test_export import TOLERANCE, float32_lists

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("pandas")

from .test_runtime import frame_of

if not Path("/proc/self").exists():
    pytest.skip("forks and reads /proc", allow_module_level=True)

SERVER = Path(__file__).parent.parent / "examples" / "serve" / "server.py"
ARROW = "application/vnd.apache.arrow.stream"


class Client:
    """A running server."""

    def __init__(self, path, workers=1):
        command = [sys.executable, SERVER, path, "--port", "0"]
        command += ["--workers", str(workers)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def ask(self, body=None, kind="application/json", path="/rank"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            method = "GET" if body is None else "POST"
            body = json.dumps(body) if isinstance(body, dict | list) else body
            connection.request(method, path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def ranker():
    X, y, groups = float32_lists()
    return rankformer().fit(frame_of(X), y, groups=groups)


@pytest.fixture(scope="module")
def path(ranker, tmp_path_factory):
    path = tmp_path_factory.mktemp("serve") / "ranker.onnx"
    to_onnx(ranker, path)
    return path


@pytest.fixture(scope="module")
def server(path):
    client = Client(path)
    yield client
    client.stop()


@pytest.fixture(scope="module")
def items():
    return frame_of(float32_lists(seed=1)[0][:20])


def json_rows(frame):
    return json.loads(frame.to_json(orient="records"))


def arrow_stream(frame, **further):
    """The bytes of a frame, and of further columns, of whatever name."""
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_pandas(frame)
    for name, column in further.items():
        table = table.append_column(name, pa.array(column))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_health_says_what_requests_must_hold(server):
    status, answer = server.ask(path="/health")
    assert (status, answer["status"]) == (200, "ok")
    assert answer["features"] == ["price", "kind", "age", "size"]


@pytest.mark.parametrize("form", ["items", "columns", "arrow"])
def test_answers_are_the_rankers_in_every_form(server, ranker, items, form):
    kind, rows = "application/json", json_rows(items)
    if form == "items":
        body = {"items": rows}
    elif form == "columns":
        body = {"columns": {name: [r[name] for r in rows] for name in rows[0]}}
    else:
        body, kind = arrow_stream(items), ARROW
    status, answer = server.ask(body, kind)
    expected = ranker.predict_all(items, np.zeros(len(items)))
    assert status == 200
    np.testing.assert_allclose(answer["scores"], expected.scores, atol=TOLERANCE)
    assert answer["order"] == np.argsort(-np.array(answer["scores"])).tolist()
    value = expected.list_value.value[0]
    np.testing.assert_allclose(answer["list_value"], value, atol=5 * TOLERANCE)
    values = expected.item_value.value
    np.testing.assert_allclose(answer["item_value"], values, atol=5 * TOLERANCE)


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        ("{", "application/json", 400, "The body must be"),
        ({"rows": []}, "application/json", 400, "The body must be"),
        (b"no arrow", ARROW, 400, "The body must be"),
        ({"items": [{"price": 1}]}, "application/json", 422, "['kind', 'age', 'size']"),
        (
            {"columns": {"price": [], "kind": [], "age": [], "size": []}},
            "application/json",
            422,
            "No items",
        ),
        ({"items": []}, "application/json", 422, "No items"),
        (
            {"columns": {"price": [1] * 2001, "kind": ["u"] * 2001}},
            "application/json",
            413,
            "At most 2000 items, got 2001",
        ),
        (
            {"items": [{"price": "cheap", "kind": "u", "age": 1, "size": 5}]},
            "application/json",
            422,
            "must hold numbers and do not: ['price']",
        ),
        (
            {"items": [{"price": 1, "kind": ["u"], "age": 1, "size": 5}]},
            "application/json",
            422,
            "must hold one value an item and do not: ['kind']",
        ),
    ],
    ids=["json", "keys", "arrow", "names", "empty", "none", "many", "types", "nested"],
)
def test_answers_to_bad_requests_say_what_is_wrong(server, body, kind, status, message):
    found, answer = server.ask(body, kind)
    assert found == status
    assert message in answer["error"]


def test_a_failure_inside_is_answered_in_json_and_logged(path):
    app = runpy.run_path(str(SERVER))["create_app"](path)

    def fail():
        raise MemoryError("the inside")

    app.answer = lambda environ: fail()
    log, statuses = io.StringIO(), []
    asked = {"REQUEST_METHOD": "POST", "wsgi.errors": log}
    body = app(asked, lambda status, headers: statuses.append(status))
    assert statuses == ["500 Internal Server Error"]
    assert json.loads(b"".join(body)) == {
        "error": "The server failed. Its log says why."
    }
    assert "MemoryError: the inside" in log.getvalue()


def test_health_may_be_asked_without_its_body(server, path):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("HEAD", "/health")
    answer = connection.getresponse()
    assert (answer.status, int(answer.headers["Content-Length"]) > 0) == (200, True)
    connection.close()
    app = runpy.run_path(str(SERVER))["create_app"](path)
    for route in ("/health", "/nowhere"):
        asked = {"REQUEST_METHOD": "HEAD", "PATH_INFO": route}
        assert app(asked, lambda status, headers: None) == []


def small_bodies_of_large_frames():
    """A name of its own for each item; many rows of nulls, which take no bytes."""
    pa = pytest.importorskip("pyarrow")
    yield 413, json.dumps({"items": [{f"k{i}": 1} for i in range(3000)]}).encode(), ""
    few = [{f"k{i}-{j}": 1 for j in range(20)} for i in range(1000)]
    yield 422, json.dumps({"items": few}).encode(), ""
    columns = {name: {f"{name}{i}": 1 for i in range(3000)} for name in ("age", "size")}
    yield 400, json.dumps({"columns": columns}).encode(), ""
    schema = pa.schema([("price", pa.null()), ("kind", pa.null())])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([pa.nulls(10**7)] * 2, schema=schema))
    yield 413, sink.getvalue().to_pybytes(), ARROW


def test_a_small_body_takes_little_memory_whatever_frame_it_would_be(path):
    app = runpy.run_path(str(SERVER))["create_app"](path)
    for expected, body, kind in small_bodies_of_large_frames():
        asked = {"REQUEST_METHOD": "POST", "PATH_INFO": "/rank", "CONTENT_TYPE": kind}
        asked |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        statuses = []
        tracemalloc.start()
        app(asked, lambda status, headers, to=statuses: to.append(status))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [status[:3] for status in statuses] == [str(expected)]
        assert peak < 2**24


def test_unknown_routes_are_refused(server):
    assert server.ask(path="/nowhere")[0] == 404


@pytest.mark.parametrize(
    ("length", "status"), [(2**30, 413), ("9" * 5000, 413), (-1, 400), ("x", 400)]
)
def test_bodies_of_no_sensible_length_are_refused(server, length, status):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("POST", "/rank")
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_a_body_of_unknown_length_is_refused_with_the_way_out(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("POST", "/rank")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 411
    assert "Content-Length" in json.loads(answer.read())["error"]
    connection.close()


def test_features_given_twice_are_refused(server, items):
    body = arrow_stream(items, price=items["price"])
    status, answer = server.ask(body, ARROW)
    assert (status, answer["error"]) == (422, "Features given twice.")


def test_a_damaged_arrow_stream_is_refused_and_ends_no_worker(server, items):
    body = arrow_stream(items.drop(columns="kind"), kind=["abcd"] * len(items))
    offsets = np.arange(0, 4 * len(items) + 1, 4, dtype=np.int32)
    whole = offsets.tobytes()
    assert body.count(whole) == 1
    offsets[1:] += 2**30
    damaged = body.replace(whole, offsets.tobytes())
    status, answer = server.ask(damaged, ARROW)
    assert (status, answer["error"][:16]) == (400, "The body must be")
    assert server.ask(path="/health")[0] == 200


def test_truth_values_may_be_missing(server, ranker, items):
    rows = json_rows(items.assign(age=True))
    for row in rows[::3]:
        row["age"] = None
    status, answer = server.ask({"items": rows})
    ages = np.where(np.arange(len(items)) % 3 == 0, np.nan, 1.0)
    given = items.assign(age=ages)
    expected = ranker.predict(given, np.zeros(len(items)))
    assert status == 200
    np.testing.assert_allclose(answer["scores"], expected, atol=TOLERANCE)


def test_a_content_type_may_have_capitals_and_parameters(server, items):
    body = arrow_stream(items)
    plain = server.ask(body, ARROW)
    assert plain[0] == 200
    assert server.ask(body, f"{ARROW.title()}; charset=binary") == plain


def test_clients_at_once_all_get_their_own_answer(server, ranker, items):
    rows, expected = json_rows(items), {}
    for size in range(1, 17):
        part = items.iloc[:size]
        expected[size] = ranker.predict(part, np.zeros(size))
    found = {}

    def ask(size):
        found[size] = [server.ask({"items": rows[:size]})[1]["scores"] for _ in "1234"]

    threads = [Thread(target=ask, args=(size,)) for size in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for size, scores in expected.items():
        for answer in found[size]:
            np.testing.assert_allclose(answer, scores, atol=TOLERANCE)


def test_forked_workers_share_the_socket_and_end_together(path, items):
    client = Client(path, workers=3)
    body, deadline, pids = {"items": json_rows(items)}, time.monotonic() + 60, set()
    expected = client.ask(body)[1]
    while len(pids) < 2 and time.monotonic() < deadline:
        pids.add(client.ask(path="/health")[1]["pid"])
        assert client.ask(body)[1] == expected
    assert len(pids) > 1
    client.stop()
    for pid in pids - {client.process.pid}:
        assert gone(pid)


def test_gunicorn_forks_workers_that_answer_and_end_when_told(path, items, ranker):
    pytest.importorskip("gunicorn")
    tools = runpy.run_path(str(SERVER.parent / "load.py"))
    port = tools["free_port"]()
    # Patience that nobody has: a worker that does not end by itself fails the test.
    command = [*tools["in_gunicorn"](port, 2, path), "--graceful-timeout", "600"]
    environment = {**os.environ, "RANKER": str(path)}
    process = subprocess.Popen(
        command,
        cwd=SERVER.parent,
        env=environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        tools["wait_for"](port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/rank", json.dumps({"items": json_rows(items)}))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        expected = ranker.predict(items, np.zeros(len(items)))
        np.testing.assert_allclose(answer["scores"], expected, atol=TOLERANCE)
        process.terminate()
        assert process.wait(timeout=120) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def gone(pid):
    """Whether a process has ended, once it has had time to."""
    for _ in range(100):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    return False


def test_a_ranker_without_listwide_heads_is_served(tmp_path, items):
    X, y, groups = float32_lists()
    ranker = mlp().fit(frame_of(X), y, groups=groups)
    to_onnx(ranker, tmp_path / "ranker.onnx")
    client = Client(tmp_path / "ranker.onnx")
    status, answer = client.ask({"items": json_rows(items)})
    client.stop()
    assert (status, sorted(answer)) == (200, ["order", "scores"])
    np.testing.assert_allclose(answer["scores"], ranker.predict(items), atol=TOLERANCE)
