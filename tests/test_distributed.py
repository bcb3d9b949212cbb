"""Several processes that train together give what one gives."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from .conftest import make_lists
from .factories import rankformer

WORKER = """
import sys
import numpy as np
import torch
import torch.distributed as dist
from tests.test_distributed import fitted_scores

torch.set_num_threads(1)
dist.init_process_group("gloo")
np.save(sys.argv[1] + str(dist.get_rank()), fitted_scores())
dist.destroy_process_group()
"""


def fitted_scores():
    X, y, groups = make_lists(n_lists=60)
    # One list longer than the batch is a batch of its own: a share can be empty.
    groups[groups < 4] = 0
    ranker = rankformer(
        max_epochs=4,
        batch_items=24,
        dropout=0.0,
        feature_dropout=0.0,
        device="cpu",
        precision="float32",
    )
    return ranker.fit(X, y, groups=groups).predict(X, groups=groups)


def test_two_processes_score_as_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "scores")],
            env=env | {"RANK": str(rank)},
            cwd=Path(__file__).parents[1],
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    first, second = (np.load(tmp_path / f"scores{rank}.npy") for rank in range(2))
    np.testing.assert_array_equal(first, second)
    # Sums in another order, which Adam's first steps magnify: measured 4e-5 apart, on
    # scores up to 1.4.
    np.testing.assert_allclose(first, fitted_scores(), atol=5e-4)
