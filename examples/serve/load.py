"""Load a server on loopback, and print what it bore.

    python load.py --requests 2000
    python load.py --requests 50000 --clients 32 --gunicorn --workers 2

starts ``server.py`` with a ranker fitted here, alone or in gunicorn, then sends lists
of 50 items from 1, 8 and 32 clients: latencies, requests per second, errors, and the
server's memory before, after a tenth of the requests, and at the end.
"""

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread

import numpy as np

HERE = Path(__file__).parent
CLIENTS = (1, 8, 32)
ITEMS = 50


def write_ranker(path):
    """Fit a default ranker for one epoch: what it learns does not matter here."""
    import pandas as pd

    from sklearn_rankformer import RankFormerRanker
    from sklearn_rankformer.datasets import make_ranking
    from sklearn_rankformer.export import to_onnx

    X, y, groups = make_ranking(n_lists=200, random_state=0)
    frame = pd.DataFrame(X, columns=[f"f{j}" for j in range(X.shape[1])])
    ranker = RankFormerRanker(max_epochs=1, random_state=0)
    to_onnx(ranker.fit(frame, y, groups=groups), path)
    rows = frame.iloc[np.arange(ITEMS) % len(frame)]
    return json.dumps({"items": rows.to_dict("records")})


def alone(port, workers, path):
    """Command of the standard library's server."""
    options = ["--port", str(port), "--workers", str(workers)]
    return [sys.executable, "server.py", path, *options]


def in_gunicorn(port, workers, path):
    """Command of gunicorn, which forks its workers after the ranker was loaded."""
    options = ["--preload", "--workers", str(workers), "--bind", f"127.0.0.1:{port}"]
    return [sys.executable, "-m", "gunicorn", *options, "server:create_app()"]


def free_port():
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, seconds=60):
    """Return once the server answers."""
    for _ in range(10 * seconds):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"The server does not answer after {seconds} s.")


def ask(port, body, n_requests, seconds, errors):
    """Send requests one after the other."""
    for _ in range(n_requests):
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", "/rank", body)
            answer = connection.getresponse()
            scores = json.loads(answer.read()).get("scores", [])
            if answer.status != 200 or len(scores) != ITEMS:
                errors.append(answer.status)
        except (OSError, ValueError, http.client.HTTPException) as error:
            errors.append(repr(error))
        finally:
            connection.close()
        seconds.append(time.perf_counter() - start)


def memory(pid):
    """Memory of a process and its children in MiB, what they share counted once."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    kib = 0
    for one in (str(pid), *children):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            kib += int(line.split()[1]) if line.startswith("Pss:") else 0
    return kib / 1024


def load(port, pid, body, n_clients, n_requests):
    """One row of the table."""
    seconds, errors, used = [], [], [memory(pid)]
    given = (port, body, n_requests // n_clients, seconds, errors)
    clients = [Thread(target=ask, args=given) for _ in range(n_clients)]
    start = time.perf_counter()
    for client in clients:
        client.start()
    while len(seconds) < n_requests // 10 and clients[0].is_alive():
        time.sleep(0.1)
    used += [memory(pid)]
    for client in clients:
        client.join()
    rate = len(seconds) / (time.perf_counter() - start)
    used += [memory(pid)]
    p50, p99 = 1e3 * np.percentile(seconds, [50, 99])
    print(
        f"| {n_clients} | {len(seconds)} | {p50:.1f} | {p99:.1f} | {rate:.0f} "
        f"| {len(errors)} | {' | '.join(f'{m:.0f}' for m in used)} |",
        flush=True,
    )
    return errors


def main():
    """Start the server, and load it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--gunicorn", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/ranker.onnx"
        body = write_ranker(path)
        port = free_port()
        command = in_gunicorn if given.gunicorn else alone
        with subprocess.Popen(
            command(port, given.workers, path),
            cwd=HERE,
            env={**os.environ, "RANKER": path},
            stdout=subprocess.DEVNULL,
        ) as server:
            try:
                wait_for(port)
                print(
                    "| clients | requests | p50 ms | p99 ms | requests/s | errors "
                    "| MiB before | after a tenth | at the end |"
                )
                print("|" + " ---: |" * 9)
                for n_clients in given.clients:
                    load(port, server.pid, body, n_clients, given.requests)
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
