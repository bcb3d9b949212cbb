"""Train on Parquet files of whole lists, in as many processes as torchrun starts.

Needs pip install -e ".[files]" in a checkout. On one machine:

    torchrun --standalone --nproc_per_node 2 --max_restarts 3 \
        examples/distributed/with_torchrun.py rows/ ranker.safetensors

Columns: qid (list ids), clicked (labels), and features. If a process dies, torchrun
starts all of them again, and they go on after the last epoch written.
"""

import os
import sys

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.datasets import ParquetLists
from sklearn_rankformer.persistence import Checkpoint, save


def train(rows, path):
    """Fit in each process, and save in one; all see both paths."""
    lists = ParquetLists(rows, group="qid", label="clicked")
    ranker = RankFormerRanker(random_state=0, callbacks=[Checkpoint(f"{path}.epochs")])
    ranker.fit(lists)
    if os.environ["RANK"] == "0":
        save(ranker.set_params(callbacks=None), path)
        print(f"{len(ranker.trained_lists_)} lists, NDCG@10 {ranker.kept_score_:.4f}")


if __name__ == "__main__":
    train(*sys.argv[1:])
