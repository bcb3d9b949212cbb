"""The shop window: what users import, at run time and for type checkers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_rankformer

ROOT = Path(sklearn_rankformer.__file__).parent.parent

LINES = """\
import numpy as np

from sklearn_rankformer import MLPRanker, RankerAdapter, RankerMixin, RankFormerRanker
from sklearn_rankformer.metrics import ndcg_score

X, y = np.zeros((4, 2)), np.array([0, 1, 0, 2])
ranker = RankFormerRanker(max_epochs=3).fit(X, y, groups=[1, 1, 2, 2])
scores = ranker.predict(X, groups=[1, 1, 2, 2])
print(ndcg_score(y, scores, [1, 1, 2, 2]), ranker.rank(X, groups=[1, 1, 2, 2], k=1))
mixin: RankerMixin = MLPRanker()
"""
CLASSES = [name for name in sklearn_rankformer.__all__ if name != "__version__"]


def test_every_name_in_the_window_is_there():
    assert sorted(sklearn_rankformer.__all__) == dir(sklearn_rankformer)
    for name in CLASSES:
        assert getattr(sklearn_rankformer, name).__name__ == name


def test_a_name_that_is_not_in_the_window_raises():
    with pytest.raises(AttributeError, match="has no attribute 'RankForm'"):
        _ = sklearn_rankformer.RankForm


@pytest.mark.timeout(600)
def test_type_checkers_see_the_classes_and_a_users_slips(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    revealed = "".join(f"reveal_type(sklearn_rankformer.{name})\n" for name in CLASSES)
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(LINES + "import sklearn_rankformer\n" + revealed, "utf-8")
    wrong.write_text(LINES.replace("max_epochs", "max_epoch"), "utf-8")
    # An editable install has to be shown to mypy, one among others mypy finds itself.
    shown = {} if ROOT.name == "site-packages" else {"MYPYPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--ignore-missing-imports"]
        + ["--follow-imports=silent", str(right), str(wrong)],
        capture_output=True,
        text=True,
        cwd=tmp_path,  # so that the settings of this project play no part
        env={**os.environ, **shown},
    )
    errors = [line for line in run.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1, run.stdout + run.stderr
    assert errors[0].startswith("wrong.py:7: ")
    assert 'Unexpected keyword argument "max_epoch"' in errors[0]
    for name in CLASSES:
        home = getattr(sklearn_rankformer, name).__module__
        assert f"-> {home}.{name}" in run.stdout, run.stdout
