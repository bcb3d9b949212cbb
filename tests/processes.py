"""Several processes that run one function of the tests together, as under torchrun."""

import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

WORKER = "from tests.processes import work; work()"


def work():
    """In a worker: call the function, and leave behind what it returns."""
    import torch

    torch.set_num_threads(1)
    # Ignored in what a shell runs in the background, and inherited from there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module, name, folder = sys.argv[1:]
    result = getattr(importlib.import_module(module), name)(Path(folder))
    place = Path(folder, f"result-{os.environ['RANK']}")
    place.write_bytes(pickle.dumps(result))


def start(function, folder, n=2, **variables):
    """Start n processes that call ``function(folder)``, each knowing its rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(n),
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    arguments = [function.__module__, function.__name__, str(folder)]
    return [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments],
            env=env | {"RANK": str(rank)},
            cwd=Path(__file__).parents[1],
        )
        for rank in range(n)
    ]


def run_together(function, folder, n=2, timeout=600, **variables):
    """Return what ``function(folder)`` returned in each of n processes."""
    workers = start(function, folder, n, **variables)
    try:
        assert [worker.wait(timeout) for worker in workers] == [0] * n
    finally:
        stop(workers)
    results = [Path(folder, f"result-{rank}") for rank in range(n)]
    return [pickle.loads(path.read_bytes()) for path in results]


def stop(workers):
    """Kill those that still run."""
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
