"""A ranker behind HTTP: one pass through the network for scores and list value.

    python server.py ranker.onnx --port 8000 --workers 2
    RANKER=ranker.onnx gunicorn --preload --workers 2 "server:create_app()"

The file is written by `sklearn_rankformer.export.to_onnx`; torch is not needed. A
request is one list, as rows, as columns, or as an Arrow stream:

    POST /rank  {"items": [{"price": 80, "stars": 4}, {"price": 95, "stars": 5}]}
    POST /rank  {"columns": {"price": [80, 95], "stars": [4, 5]}}
    GET /health

The answer has ``scores`` in the order of the items, ``order`` with the best first,
and, with listwide heads, ``list_value`` and ``item_value``: the expected labels. A list
holds at most MOST_ITEMS items, as attention takes memory with their square.
"""

import argparse
import json
import os
import signal
import traceback
from numbers import Real
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import numpy as np
import pandas as pd

from sklearn_rankformer.runtime import OnnxRanker

ARROW = "application/vnd.apache.arrow.stream"
MOST_BYTES = 16 * 2**20
MOST_ITEMS = 2000


class Refused(Exception):
    """A request that cannot be answered, with its HTTP status."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def create_app(path=None):
    """Load and warm up the ranker at `path`, or named by the variable RANKER."""
    return App(OnnxRanker(path or os.environ["RANKER"], n_threads=1))


class App:
    """WSGI application, so that any WSGI server can run it."""

    def __init__(self, ranker):
        if ranker.feature_names_in_ is None:
            raise ValueError("Requests name their features: fit the ranker on a frame.")
        self.ranker = ranker
        self.names = ranker.feature_names_in_.tolist()
        self.numeric = [
            name
            for name, categorical in zip(self.names, ranker.categorical_, strict=True)
            if not categorical
        ]
        self.others = [name for name in self.names if name not in self.numeric]
        # The first call of a graph plans its memory.
        for size in (1, 50):
            self.rank(pd.DataFrame(0.0, index=range(size), columns=self.names))

    def __call__(self, environ, start_response):
        """Answer one request."""
        try:
            status, answer = "200 OK", self.answer(environ)
        except Refused as refused:
            status, answer = refused.status, {"error": str(refused)}
        except Exception:
            # The client is told nothing of the inside, the log is told all.
            traceback.print_exc(file=environ["wsgi.errors"])
            status = "500 Internal Server Error"
            answer = {"error": "The server failed. Its log says why."}
        body = json.dumps(answer).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def answer(self, environ):
        """Route the request."""
        route = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if route in (("GET", "/health"), ("HEAD", "/health")):
            return {"status": "ok", "features": self.names, "pid": os.getpid()}
        if route != ("POST", "/rank"):
            raise Refused("404 Not Found", "There are POST /rank and GET /health.")
        kind = environ.get("CONTENT_TYPE", "")
        frame = read_frame(read_body(environ), kind, self.names)
        self.check(frame)
        try:
            return self.rank(frame)
        except (TypeError, ValueError) as error:
            raise Refused("422 Unprocessable Content", str(error)) from error

    def check(self, frame):
        """Refuse a request of no or many items, or of other names or types."""
        if not len(frame):
            raise Refused("422 Unprocessable Content", "No items.")
        refuse_many(len(frame))
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise Refused("422 Unprocessable Content", f"Features missing: {missing}.")
        if not frame.columns.is_unique:
            raise Refused("422 Unprocessable Content", "Features given twice.")
        odd = [name for name in self.numeric if not holds_numbers(frame[name])]
        if odd:
            message = f"Features that must hold numbers and do not: {odd}."
            raise Refused("422 Unprocessable Content", message)
        # As search engines give fields: a list would be an unknown category.
        nested = [name for name in self.others if not holds_values(frame[name])]
        if nested:
            message = f"Features that must hold one value an item and do not: {nested}."
            raise Refused("422 Unprocessable Content", message)

    def rank(self, frame):
        """Scores and values from one pass."""
        one_list = np.zeros(len(frame), int)
        if not hasattr(self.ranker, "predict_all"):
            scores, answer = self.ranker.predict(frame, one_list), {}
        else:
            result = self.ranker.predict_all(frame, one_list)
            scores = result.scores
            answer = {
                "list_value": float(result.list_value.value[0]),
                "item_value": result.item_value.value.tolist(),
            }
        order = np.argsort(-scores, kind="stable").tolist()
        return {"scores": scores.tolist(), "order": order, **answer}


def holds_numbers(column):
    """Whether nothing but numbers and truth values is there."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return True
    # With nulls among them, truth values are objects.
    return all(isinstance(value, Real) for value in column.dropna())


def holds_values(column):
    """Whether no list or object is there."""
    return all(pd.api.types.is_hashable(value) for value in column)


def read_body(environ):
    """The request's body, if it is not too large."""
    length = environ.get("CONTENT_LENGTH")
    if not length:
        message = "Send a Content-Length: a body in chunks is not read."
        raise Refused("411 Length Required", message)
    if not length.isdecimal():
        raise Refused("400 Bad Request", f"Content-Length is {length!r}.")
    # Of thousands of digits Python makes no number.
    if len(length) > 20 or int(length) > MOST_BYTES:
        raise Refused("413 Content Too Large", f"At most {MOST_BYTES} bytes.")
    return environ["wsgi.input"].read(int(length))


def read_frame(body, kind, names):
    """The items of a request as a frame with the features of these names."""
    try:
        if kind.partition(";")[0].strip().lower() == ARROW:
            return read_arrow(body, names)
        return read_json(body, names)
    except Refused:
        raise
    # What parsers of foreign bytes raise is of many kinds.
    except Exception as error:
        message = (
            f'The body must be {{"items": [...]}}, {{"columns": {{...}}}} or an Arrow '
            f"stream of type {ARROW}: {error}"
        )
        raise Refused("400 Bad Request", message) from error


# A few bytes can be a large frame: names that differ from item to item, of which each
# is a column, and columns of nulls. So items are counted, and names chosen, before.


def read_arrow(body, names):
    """The items of an Arrow stream."""
    import pyarrow as pa

    table = pa.ipc.open_stream(body).read_all()
    refuse_many(table.num_rows)
    # Arrow trusts what it reads: a wrong offset would end the process.
    table.validate(full=True)
    wanted = [i for i, name in enumerate(table.schema.names) if name in names]
    return table.select(wanted).to_pandas(ignore_metadata=True)


def read_json(body, names):
    """The items of a JSON body."""
    request = json.loads(body)
    if "columns" in request:
        columns = request["columns"]
        if not all(isinstance(column, list) for column in columns.values()):
            raise ValueError("each column must be a list.")
        return pd.DataFrame(columns)
    items = request["items"]
    refuse_many(len(items))
    return pd.DataFrame(
        [{name: item[name] for name in names if name in item} for item in items]
    )


def refuse_many(n_items):
    """Refuse more items than attention has memory for."""
    if n_items > MOST_ITEMS:
        message = f"At most {MOST_ITEMS} items, got {n_items}."
        raise Refused("413 Content Too Large", message)


# The standard library's server, for trying out; production has gunicorn. -------------


class Server(ThreadingMixIn, WSGIServer):
    """A thread a connection."""

    daemon_threads = True
    request_queue_size = 128


class Quiet(WSGIRequestHandler):
    """No line on stderr for each request."""

    def log_message(self, *args):
        """Say nothing."""


def main():
    """Load once, then fork the workers: they share the socket and the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    app = create_app(given.path)
    server = Server(("127.0.0.1", given.port), Quiet)
    server.set_app(app)
    # With port 0 the system chooses one: say which.
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    workers = []
    for _ in range(given.workers - 1):
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            server.serve_forever()
        workers.append(pid)
    signal.signal(signal.SIGTERM, lambda *_: stop(workers))
    server.serve_forever()


def stop(workers):
    """Take the workers along."""
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    raise SystemExit(0)


if __name__ == "__main__":
    main()
