"""Train in the workers of a Dask cluster, each reading files of its own.

Needs pip install -e ".[files,dask]" in a checkout. Workers have one thread, so that
each runs one process of the training.

    python examples/distributed/with_dask.py rows/ ranker.safetensors
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlparse

from dask.distributed import Client
from with_torchrun import train


def join(variables, *paths):
    """In a worker: train as under torchrun."""
    os.environ.update(variables)
    train(*paths)


def main(*paths):
    """Train in all workers of the cluster, here two on this machine."""
    paths = [os.path.abspath(path) for path in paths]
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        client.upload_file(str(Path(__file__).with_name("with_torchrun.py")))
        workers = list(client.scheduler_info()["workers"])
        same = {"MASTER_ADDR": urlparse(workers[0]).hostname, "MASTER_PORT": "29500"}
        same["WORLD_SIZE"] = str(len(workers))
        tasks = [
            client.submit(join, {**same, "RANK": str(rank)}, *paths, workers=[worker])
            for rank, worker in enumerate(workers)
        ]
        client.gather(tasks)


if __name__ == "__main__":
    main(*sys.argv[1:])
