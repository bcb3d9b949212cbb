"""Dask, in threads and in the processes of a cluster on this machine."""

from importlib.util import find_spec

import numpy as np
import pytest

META = {"qid": "int64", "item": "int64", "score": "float32"}
META |= {"list_value": "float64", "item_value": "float64"}

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        find_spec("distributed") is None,
        reason='pip install "sklearn-rankformer[dask]"',
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:dask"),
    pytest.mark.filterwarnings("ignore::FutureWarning:dask"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def read(world):
    """The rows in four partitions that cut lists."""
    import dask.dataframe as dd

    rows = dd.read_parquet(world.rows)
    assert rows.npartitions == 4
    return rows


TOGETHER = {
    "shuffle": lambda rows: rows.shuffle("qid"),
    "set_index": lambda rows: rows.set_index("qid", drop=False),
}


@pytest.mark.parametrize("way", TOGETHER)
def test_partitions_give_the_scores_of_predict(way, world):
    scored = TOGETHER[way](read(world)).map_partitions(world.scorer, meta=META)
    world.check(scored.compute(scheduler="threads"))


def test_processes_of_a_cluster_give_the_scores_of_predict(world):
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster):
        rows = read(world).shuffle("qid")
        world.check(rows.map_partitions(world.scorer, meta=META).compute())


def test_lists_cut_by_partitions_go_unnoticed(world):
    scored = read(world).map_partitions(world.scorer, meta=META)
    scored = scored.compute(scheduler="threads").sort_values("item")
    expected = world.expected["score"]
    assert not np.allclose(scored["score"], expected, rtol=0, atol=1e-3)
