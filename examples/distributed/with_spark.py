"""Write whole lists with Spark, and have its TorchDistributor start the training.

Needs pip install -e ".[files,spark]" in a checkout, and Java. Paths are those of a
folder that all machines see; on a cluster, set local_mode=False.

    python examples/distributed/with_spark.py table.parquet rows/ ranker.safetensors
"""

import sys
from pathlib import Path

from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession

N = 2


def main(table, rows, path):
    """Write at least as many files as processes, each of whole lists."""
    spark = SparkSession.builder.master(f"local[{N}]").getOrCreate()
    lists = spark.read.parquet(table).repartition(4 * N, "qid")
    lists.sortWithinPartitions("qid").write.parquet(rows)
    script = str(Path(__file__).with_name("with_torchrun.py"))
    processes = TorchDistributor(num_processes=N, local_mode=True, use_gpu=False)
    processes.run(script, rows, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
