"""Have Ray Train start the processes, which read Parquet files of whole lists.

Needs pip install -e ".[files,ray]" and "ray[train]" in a checkout. Ray's own data sets
are not used: their batches cut lists.

    python examples/distributed/with_ray.py rows/ ranker.safetensors
"""

import sys
from os.path import abspath

from ray.train import ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from with_torchrun import train


def main(rows, path):
    """Train in two processes that Ray has joined to one another."""
    trainer = TorchTrainer(
        lambda config: train(**config),
        # Ray's processes run in folders of their own.
        train_loop_config={"rows": abspath(rows), "path": abspath(path)},
        scaling_config=ScalingConfig(num_workers=2),
        torch_config=TorchConfig(backend="gloo"),
    )
    trainer.fit()


if __name__ == "__main__":
    main(*sys.argv[1:])
