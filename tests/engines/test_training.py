"""The scripts of examples/distributed train one ranker in two real processes."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.persistence import load

EXAMPLES = Path(__file__).parents[2] / "examples" / "distributed"
# What a script needs beside pyarrow.
NEEDS = {
    "with_torchrun": [],
    "with_dask": ["distributed"],
    "with_ray": ["ray", "pydantic"],
    "with_spark": ["pyspark"],
}
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]

pytestmark = pytest.mark.engine


def test_every_script_is_run_here_and_short():
    found = {path.stem: path.read_text(encoding="utf-8") for path in EXAMPLES.iterdir()}
    assert found.keys() == NEEDS.keys()
    assert max(len(text.splitlines()) for text in found.values()) <= 40


@pytest.mark.parametrize("script", NEEDS)
def test_two_processes_train_on_their_own_files(script, tmp_path):
    for library in NEEDS[script]:
        if find_spec(library) is None:
            pytest.skip(f"needs {library}")
    X, y, groups = make_ranking(n_lists=60, random_state=0)
    rows = pd.DataFrame(X).add_prefix("f").assign(qid=groups, clicked=y)
    table, folder = tmp_path / "table.parquet", tmp_path / "rows"
    given = [folder]
    if script == "with_spark":  # which writes the files itself
        rows.sample(frac=1, random_state=0).to_parquet(table)
        given = [table, folder]
    else:
        folder.mkdir()
        for part in range(4):
            rows[groups % 4 == part].to_parquet(folder / f"{part}.parquet")
    launcher = TORCHRUN if script == "with_torchrun" else []
    command = [*launcher, EXAMPLES / f"{script}.py", *given, tmp_path / "ranker"]
    paths = [str(EXAMPLES), str(EXAMPLES.parents[1])]
    env = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | env,
        cwd=tmp_path,
        check=True,
        timeout=240,
    )
    scores = load(tmp_path / "ranker").predict(rows.filter(regex="^f"), groups)
    assert np.isfinite(scores).all()
