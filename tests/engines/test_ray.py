"""Ray, in processes on this machine."""

from importlib.util import find_spec

import numpy as np
import pytest

from sklearn_rankformer.serving import ListScorer

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        find_spec("ray") is None, reason='pip install "sklearn-rankformer[ray]"'
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def ray():
    """Two processes."""
    import ray
    import ray.data

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


def to_pandas(scored):
    """A frame of NumPy's types."""
    frame = scored.to_pandas()
    return frame.astype(dict.fromkeys(frame, "float64"))


def test_blocks_of_whole_lists_give_the_scores_of_predict(ray, world):
    rows = ray.data.read_parquet(world.rows).repartition(4, keys=["qid"])
    options = {"batch_size": None, "batch_format": "pyarrow"}
    world.check(to_pandas(rows.map_batches(world.scorer, **options)))


def test_actors_that_load_once_give_the_scores_of_predict(ray, world):
    scorer = world.scorer
    rows = ray.data.read_parquet(world.rows).repartition(4, keys=["qid"])
    scored = rows.map_batches(
        ListScorer,
        fn_constructor_args=[scorer.ranker_or_path],
        fn_constructor_kwargs={
            "group_column": "qid",
            "keep": ["item"],
            "list_value": True,
            "item_value": True,
        },
        batch_size=None,
        batch_format="pandas",
        concurrency=1,
    )
    world.check(to_pandas(scored))


def test_lists_cut_by_blocks_go_unnoticed(ray, world):
    rows = ray.data.read_parquet(world.rows).repartition(4)
    options = {"batch_size": None, "batch_format": "pyarrow"}
    scored = to_pandas(rows.map_batches(world.scorer, **options)).sort_values("item")
    expected = world.expected["score"]
    assert not np.allclose(scored["score"], expected, rtol=0, atol=1e-3)
