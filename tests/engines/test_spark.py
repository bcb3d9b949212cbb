"""Spark, in local mode: real tasks in processes of their own."""

from importlib.util import find_spec

import numpy as np
import pytest

SCHEMA = "qid long, item long, score float, list_value double, item_value double"

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        find_spec("pyspark") is None, reason='pip install "sklearn-rankformer[spark]"'
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyspark"),
    pytest.mark.filterwarnings("ignore::FutureWarning:pyspark"),
    pytest.mark.filterwarnings("ignore::UserWarning:pyspark"),
    # Sockets to the JVM, closed when Spark pleases.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def spark():
    """Two cores, and batches so short that they cut most lists."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "10")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture
def rows(spark, world):
    """Lists whole within four partitions."""
    rows = spark.read.parquet(world.rows)
    return rows.repartition(4, "qid").sortWithinPartitions("qid")


@pytest.mark.parametrize("method", ["mapInPandas", "mapInArrow"])
def test_four_partitions_give_the_scores_of_predict(method, rows, world):
    scored = getattr(rows, method)(world.scorer, SCHEMA)
    assert scored.rdd.getNumPartitions() == 4
    world.check(scored.toPandas())


def test_a_list_that_comes_again_fails_the_job_by_name(spark, world):
    from pyspark.errors import PythonException

    unsorted = spark.read.parquet(world.rows).repartition(1)
    with pytest.raises(PythonException, match="of group_column='qid' comes again"):
        unsorted.mapInPandas(world.scorer, SCHEMA).collect()


def test_lists_cut_by_partitions_go_unnoticed(spark, world):
    # Each partition looks whole from inside: only repartition("qid") helps.
    rows = spark.read.parquet(world.rows).repartition(4, "item")
    rows = rows.sortWithinPartitions("qid")
    scored = rows.mapInPandas(world.scorer, SCHEMA).toPandas().sort_values("item")
    expected = world.expected["score"]
    assert not np.allclose(scored["score"], expected, rtol=0, atol=1e-3)
