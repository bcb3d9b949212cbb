"""Rows in files as engines read them, a saved ranker, and what it says of the rows."""

import os
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_rankformer.persistence import save
from sklearn_rankformer.serving import ListScorer

from ..conftest import make_lists
from ..factories import rankformer

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

NAMES = ["a", "b", "c", "d"]


class World(NamedTuple):
    """What the tests of all engines share.

    Attributes
    ----------
    rows : str
        Folder of four Parquet files, in which the rows of a list lie apart.
    scorer : ListScorer
        Of a saved ranker.
    expected : DataFrame
        Each item's list, score and values, as predicted at once; in order of items.
    """

    rows: str
    scorer: ListScorer
    expected: object

    def check(self, scored):
        """Scores and values are those of whole lists, each item's once."""
        scored = scored.sort_values("item").reset_index(drop=True)
        assert list(scored) == list(self.expected)
        for name in ("qid", "item"):
            assert_array_equal(scored[name], self.expected[name])
        for name in ("score", "list_value", "item_value"):
            assert_allclose(scored[name], self.expected[name], rtol=0, atol=1e-6)


@pytest.fixture(scope="package")
def world(tmp_path_factory):
    """600 lists of 1 to 29 items."""
    folder = tmp_path_factory.mktemp("world")
    X, y, groups = make_lists(n_lists=600, sizes=(1, 30))
    ranker = rankformer().fit(pd.DataFrame(X, columns=NAMES), y, groups=groups)
    save(ranker, folder / "ranker.safetensors")
    rows = pd.DataFrame(X, columns=NAMES).assign(qid=groups, item=np.arange(len(y)))
    predicted = ranker.predict_all(rows[NAMES], groups=groups)
    expected = rows[["qid", "item"]].assign(
        score=predicted.scores,
        list_value=predicted.list_value.value[groups],
        item_value=predicted.item_value.value,
    )
    os.mkdir(folder / "rows")
    mixed = rows.sample(frac=1, random_state=0)
    for part in range(4):
        mixed[part::4].to_parquet(folder / "rows" / f"{part}.parquet", index=False)
    scorer = ListScorer(
        folder / "ranker.safetensors",
        group_column="qid",
        keep=["item"],
        list_value=True,
        item_value=True,
    )
    return World(str(folder / "rows"), scorer, expected)
