"""One process of `shards.py`: fit in memory or on shards, and say what came of it.

python benchmarks/_shard_worker.py task.json     # or under torchrun
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pyarrow import parquet
from shards import GROUP, LABEL

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer._rows import digest_arrays
from sklearn_rankformer.datasets import ParquetLists
from sklearn_rankformer.persistence import Checkpoint

OPENED = set()


def note_opened_files():
    """Have pyarrow say which Parquet files this process opens."""
    plain = parquet.ParquetFile.__init__

    def noting(self, source, *args, **kwargs):
        OPENED.add(Path(str(source)).name)
        plain(self, source, *args, **kwargs)

    parquet.ParquetFile.__init__ = noting


def rows_per_second(ranker, n_rows):
    """Rows trained on in a second, held-out ones and reading left out."""
    share = 1 - ranker.validation_fraction
    seconds = sum(epoch["dur"] for epoch in ranker.history_)
    return share * n_rows * ranker.n_iter_ / seconds


def main(path):
    """Fit as the task says, and write what came of it for this rank."""
    task = json.loads(Path(path).read_text(encoding="utf-8"))
    rank, out = os.environ.get("RANK", "0"), Path(task["out"])
    torch.set_num_threads(1)
    # By which the process can be killed.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    (out / f"pid-{rank}").write_text(f"{attempt} {os.getpid()}", encoding="utf-8")
    note_opened_files()
    callbacks = [Checkpoint(out / "checkpoint")] if task["checkpoint"] else None
    ranker = RankFormerRanker(
        random_state=task["seed"], callbacks=callbacks, **task["params"]
    )
    start, cpu = time.perf_counter(), time.process_time()
    if task["in_memory"]:
        rows = pd.read_parquet(task["shards"])
        y, groups = rows.pop(LABEL), rows.pop(GROUP)
        ranker.fit(rows, y, groups=groups)
    else:
        ranker.fit(ParquetLists(task["shards"], group=GROUP, label=LABEL))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    weights = ranker.module_.state_dict()
    scores = {}
    if rank == "0":
        for name in ("day 6", "week two"):
            rows = pd.read_parquet(out.parent / f"{name}.parquet")
            scores[name] = ranker.predict(
                rows.drop(columns=[GROUP, LABEL]), rows[GROUP]
            )
    np.savez(
        out / f"result-{rank}.npz",
        seconds=seconds,
        cpu=cpu,
        speed=rows_per_second(ranker, task["n_rows"]),
        digest=digest_arrays(weights[name].numpy() for name in sorted(weights)),
        lists=ranker.trained_lists_,
        opened=sorted(OPENED),
        **scores,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
