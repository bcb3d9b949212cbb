"""The example that tracks a ranker with MLflow runs, where MLflow is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "mlflow_tracking.py"


def test_a_model_logged_with_mlflow_gives_the_rankers_scores(tmp_path):
    pytest.importorskip("mlflow.pyfunc")
    pytest.importorskip("sqlalchemy")
    command = [sys.executable, str(EXAMPLE), "--epochs", "1"]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert not run.returncode, run.stderr
    parameters, *_, last = run.stdout.splitlines()
    assert last == "the model gives the ranker's scores: True"
    for name in ("test_ndcg_at_10", "train_loss", "valid_ndcg"):
        assert name in parameters
