"""Load a server on loopback, and print what it bore.

    python load.py --requests 2000

starts ``server.py`` with a ranker fitted here, then sends lists of 50 items from 1, 8
and 32 clients: latencies, requests per second, errors, and the server's memory.
"""

import argparse
import http.client
import json
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
    """Resident memory of a process and its children, in MiB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    kib = 0
    for one in (str(pid), *children):
        for line in Path(f"/proc/{one}/status").read_text().splitlines():
            kib += int(line.split()[1]) if line.startswith("VmRSS") else 0
    return kib / 1024


def load(port, pid, body, n_clients, n_requests):
    """One row of the table."""
    seconds, errors, before = [], [], memory(pid)
    given = (port, body, n_requests // n_clients, seconds, errors)
    clients = [Thread(target=ask, args=given) for _ in range(n_clients)]
    start = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    rate = len(seconds) / (time.perf_counter() - start)
    p50, p99 = 1e3 * np.percentile(seconds, [50, 99])
    print(
        f"| {n_clients} | {len(seconds)} | {p50:.1f} | {p99:.1f} | {rate:.0f} "
        f"| {len(errors)} | {before:.0f} | {memory(pid):.0f} |",
        flush=True,
    )
    return errors


def main():
    """Start the server, and load it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/ranker.onnx"
        body = write_ranker(path)
        command = [sys.executable, HERE / "server.py", path, "--port", "0"]
        command += ["--workers", str(given.workers)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                port = int(server.stdout.readline().rpartition(":")[2])
                print(
                    "| clients | requests | p50 ms | p99 ms | requests/s | errors "
                    "| MiB before | MiB after |"
                )
                print("|" + " ---: |" * 8)
                for n_clients in CLIENTS:
                    load(port, server.pid, body, n_clients, given.requests)
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
