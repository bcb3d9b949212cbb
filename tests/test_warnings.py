"""Warnings point at the user's line, wherever in the stack they are raised."""

import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_rankformer
from sklearn_rankformer import MissingGroupsWarning, MLPRanker
from sklearn_rankformer._warnings import warn_missing_groups, warn_user

ROOT = Path(sklearn_rankformer.__file__).parent.parent

# Each call stands on a line of its own, which the warning must name.
SCRIPT = """\
import sys
import warnings

import numpy as np
import sklearn
from joblib import Parallel, delayed, parallel_config
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rankformer import (
    DistilledRanker,
    MLPRanker,
    RankerAdapter,
    RankerMixin,
    WithinListScaler,
)
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.scoring import get_scorer


class Ranker(RankerMixin, sklearn.base.BaseEstimator):
    def __init__(self, sign=1):
        self.sign = sign

    def fit(self, X, y, groups=None):
        self.fitted_ = True
        return self

    def predict(self, X, groups=None):
        return self.sign * X[:, 0]


X, y = np.arange(60.0).reshape(30, 2) % 7, np.arange(30) % 3
groups = np.repeat(np.arange(6), 5)
ids = {"groups": groups}
adapter, distilled = RankerAdapter(Ridge()), DistilledRanker(Ridge(), Ridge())
pipeline, ranker = make_pipeline(StandardScaler(), Ranker()), Ranker()
search = GridSearchCV(ranker, {"sign": [-1, 1]}, cv=3)
nothing = np.zeros(30)
scaled = make_pipeline(StandardScaler(), adapter)
network = MLPRanker(max_epochs=1, n_members=1, hidden_layer_sizes=(4,))
for one in (adapter, pipeline, ranker):
    one.fit(X, y)

CALLS = [
    lambda: distilled.fit(X, y),
    lambda: network.fit(X, y),
    lambda: network.fit(X, y, groups=np.arange(30)),
    lambda: network.partial_fit(X, y),
    lambda: make_pipeline(WithinListScaler(), network).fit(X, y),
    lambda: adapter.score(X, y),
    lambda: ranker.score(X, y),
    lambda: pipeline.score(X, y),
    lambda: search.fit(X, y),
    lambda: cross_val_score(pipeline, X, y),
    lambda: adapter.fit(X, y[:, None]),
    lambda: ndcg_score(nothing, nothing, groups),
    lambda: get_scorer("map")(ranker, X, nothing, groups=groups),
]
ROUTED = [
    lambda: cross_val_score(ranker, X, nothing, params=ids, cv=GroupKFold(2)),
    lambda: search.set_params(cv=GroupKFold(2)).fit(X, nothing, groups=groups),
    lambda: cross_val_score(network, X, y, params=ids, cv=4),
    lambda: GridSearchCV(scaled, {}, cv=4).fit(X, y, groups=groups),
]


def check(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    own = [one for one in caught if "scores are non-finite" not in str(one.message)]
    assert own, call
    for one in own:
        where = one.filename, one.lineno
        assert where == (__file__, call.__code__.co_firstlineno), (where, one.message)
        print(one.category.__name__)


for call in CALLS:
    check(call)
with sklearn.config_context(enable_metadata_routing=True):
    for call in ROUTED:
        check(call)
"""


def test_every_warning_names_a_line_of_the_users_file(tmp_path):
    path = tmp_path / "users_script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) == {
        "CutListsWarning",
        "DataConversionWarning",
        "MissingGroupsWarning",
        "UndefinedMetricWarning",
        "UserWarning",
    }


def test_no_warning_is_raised_past_the_one_way():
    package = Path(sklearn_rankformer.__file__).parent
    for path in package.glob("*.py"):
        if path.stem != "_warnings":
            assert "warnings.warn(" not in path.read_text(encoding="utf-8"), path


def test_missing_groups_are_named_with_both_ways_out():
    with pytest.warns(MissingGroupsWarning) as caught:
        warn_missing_groups(MLPRanker(), "fit")
    assert caught[0].filename == __file__
    routing = "enable_metadata_routing=True"
    for part in ("MLPRanker.fit", "groups=...", routing, "group_column=..."):
        assert part in str(caught[0].message)


def test_a_warning_without_any_line_of_the_user_is_still_given():
    alone = {"__name__": "sklearn_rankformer.alone", "warn_user": warn_user}
    with pytest.warns(UserWarning, match="far away") as caught:
        exec(compile("warn_user('far away')", "alone.py", "exec"), alone)
    assert caught[0].filename == __file__
