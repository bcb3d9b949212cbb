"""Processes, threads, interrupts and other people's global settings change nothing."""

import os
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Thread

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

from sklearn_rankformer import (
    DistilledRanker,
    RankerAdapter,
    WithinListScaler,
    simulation,
)
from sklearn_rankformer.datasets import load_letor, make_ranking
from sklearn_rankformer.inspection import (
    attention_maps,
    explain_pair,
    list_permutation_importance,
)
from sklearn_rankformer.metrics import METRICS
from sklearn_rankformer.model_selection import (
    ListKFold,
    TimeSeriesListSplit,
    check_group_cv,
    train_test_split,
)
from sklearn_rankformer.persistence import load, save
from sklearn_rankformer.scoring import get_scorer

from .conftest import make_lists
from .factories import both, mlp, rankformer


def fit_and_predict(make):
    X, y, groups = make_lists()
    return make().fit(X, y, groups=groups).predict(X, groups=groups)


# Processes ---------------------------------------------------------------------------

FORKED = """
import os, sys, time
import numpy as np
import torch
from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.datasets import make_ranking

torch.set_num_threads(2)
X, y, groups = make_ranking(n_lists=100, random_state=0)
ranker = RankFormerRanker(max_epochs=1, random_state=0).fit(X, y, groups=groups)
expected = ranker.predict(X, groups=groups)  # the pool of threads is there now
child = os.fork()
if not child:
    same = np.allclose(ranker.predict(X, groups=groups), expected, atol=1e-5)
    ranker.partial_fit(X, y, groups=groups)
    os._exit(0 if same else 3)
for _ in range(600):
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.1)
os.kill(child, 9)
sys.exit("the forked process hangs")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_after_fit_predicts_and_learns():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


# Threads -----------------------------------------------------------------------------


@both
def test_the_same_seed_gives_the_same_bits_in_threads_side_by_side(make):
    before = torch.get_rng_state()
    expected = fit_and_predict(make)
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(fit_and_predict, [make] * 4):
            np.testing.assert_array_equal(scores, expected)
    assert torch.equal(torch.get_rng_state(), before)


@both
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_ranker_in_training_answers_as_before_until_it_is_done(make, method):
    X, y, groups = make_lists()
    ranker = make(max_epochs=8).fit(X, y, groups=groups)
    before, served = ranker.predict(X, groups=groups), []
    ranker.set_params(random_state=1)
    learner = Thread(target=lambda: getattr(ranker, method)(X, y, groups=groups))
    learner.start()
    while learner.is_alive():
        served.append(ranker.predict(X, groups=groups))
    learner.join()
    after = ranker.predict(X, groups=groups)
    assert (after != before).any()
    known = {before.tobytes(), after.tobytes()}
    assert {scores.tobytes() for scores in served} <= known


def test_explanations_and_scores_in_threads_never_disturb_one_another():
    names = ["attention", "pair", "importance", "list values", "adapter", "a scorer"]
    expected = {name: flat(PUBLIC[name]()) for name in names}
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda name: flat(PUBLIC[name]()), names * 4)
        for name, found in zip(names * 4, results, strict=True):
            for one, other in zip(found, expected[name], strict=True):
                np.testing.assert_array_equal(one, other, err_msg=name)


@both
def test_a_search_in_threads_finds_what_one_after_the_other_finds(make):
    from joblib import parallel_config

    X, y, groups = make_lists()
    grid = {"dropout": [0.1, 0.3], "n_bins": [0, 3]}
    search = GridSearchCV(make(), grid, cv=GroupKFold(2), error_score="raise")
    with config_context(enable_metadata_routing=True):
        alone = clone(search).fit(X, y, groups=groups).cv_results_
        with parallel_config("threading", n_jobs=2):
            found = search.fit(X, y, groups=groups).cv_results_
    for name in alone:
        if "test_score" in name:
            np.testing.assert_array_equal(found[name], alone[name])


# Global settings ---------------------------------------------------------------------


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device():
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


SETTINGS = {
    "default dtype": default_dtype,
    "default device": default_device,
    "deterministic algorithms": deterministic,
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "floating-point errors": lambda: np.errstate(all="raise"),
    "pandas output": lambda: config_context(transform_output="pandas"),
    "polars output": lambda: config_context(transform_output="polars"),
    "no checks for finite numbers": lambda: config_context(assume_finite=True),
    "warnings as errors": warnings_as_errors,
}


def frame(X):
    pd = pytest.importorskip("pandas")
    kinds = np.where(X[:, 0] > 0, "u", "v")
    return pd.DataFrame(X, columns=list("abcd")).assign(kind=pd.Categorical(kinds))


@both
@pytest.mark.parametrize("setting", SETTINGS)
def test_global_settings_change_nothing(make, setting, tmp_path):
    X, y, groups = make_lists()
    X = frame(X)
    expected = make().fit(X, y, groups=groups)
    further = make().fit(X, y, groups=groups).partial_fit(X, y, groups=groups)
    with SETTINGS[setting]():
        ranker = make().fit(X, y, groups=groups)
        scores = ranker.predict(X, groups=groups)
        save(ranker, tmp_path / "ranker", optimizer=True)
        loaded = load(tmp_path / "ranker")
        ranker.partial_fit(X, y, groups=groups)
    np.testing.assert_array_equal(scores, expected.predict(X, groups=groups))
    after = further.predict(X, groups=groups)
    np.testing.assert_array_equal(ranker.predict(X, groups=groups), after)
    # What was loaded under the setting can learn on without it.
    loaded.partial_fit(X, y, groups=groups)
    np.testing.assert_array_equal(loaded.predict(X, groups=groups), after)


# What each public function gives. Huge numbers of both signs overflow in sums.
X, Y, GROUPS = make_lists(n_lists=30)
HUGE = np.column_stack([X[:, :2], np.where(X[:, 2] > 0, 1.7e308, -1.7e308)])
FITTED = {
    "rankformer": rankformer(max_epochs=1).fit(X, Y, groups=GROUPS),
    "mlp": mlp(max_epochs=1).fit(X, Y, groups=GROUPS),
    "adapter": RankerAdapter(Ridge()).fit(X, Y, groups=GROUPS),
}
PUBLIC = {
    **{name: lambda m=m: m(Y, X[:, 0], GROUPS) for name, m in METRICS.items()},
    "a scorer": lambda: get_scorer("ndcg@10")(FITTED["mlp"], X, Y, groups=GROUPS),
    "columns at the ends": lambda: (
        mlp(max_epochs=1).fit(HUGE, Y, groups=GROUPS).predict(HUGE)
    ),
    "adapter": lambda: clone(FITTED["adapter"]).fit(X, Y, groups=GROUPS).predict(X),
    "distilled": lambda: (
        DistilledRanker(mlp(max_epochs=1), Ridge())
        .fit(X, Y, groups=GROUPS)
        .predict(X, groups=GROUPS)
    ),
    "list values": lambda: FITTED["rankformer"].predict_list_value(X, GROUPS).proba,
    "scaler": lambda: np.asarray(WithinListScaler().fit_transform(HUGE, groups=GROUPS)),
    "attention": lambda: attention_maps(FITTED["rankformer"], X, GROUPS, 4),
    "pair": lambda: explain_pair(FITTED["rankformer"], X, GROUPS, *pair_of(4)),
    "importance": lambda: (
        list_permutation_importance(
            FITTED["mlp"], X, Y, GROUPS, n_repeats=2, random_state=0
        ).importances_mean
    ),
    "made lists": lambda: make_ranking(n_lists=5, random_state=0)[0],
    "folds": lambda: [
        test for _, test in ListKFold(3, random_state=0).split(X, Y, GROUPS)
    ],
    "folds in time": lambda: [
        test for _, test in TimeSeriesListSplit(2).split(X, Y, GROUPS, times=GROUPS)
    ],
    "checked folds": lambda: (
        check_group_cv(ListKFold(3, random_state=0), X, Y, GROUPS).n_splits
    ),
    "a hold-out": lambda: train_test_split(X, Y, GROUPS, random_state=0)[0],
    "clicks": lambda: simulation.simulate_clicks(Y, GROUPS, rng=0),
    "feedback": lambda: simulation.simulate_implicit_feedback(Y, GROUPS, rng=0),
    "propensities": lambda: simulation.examination_propensities(
        simulation.rank_positions(X[:, 0], GROUPS)
    ),
}


def pair_of(one):
    """Rows of two items of a list."""
    return np.flatnonzero(GROUPS == one)[:2]


def flat(result):
    """All arrays in what a function gives."""
    if isinstance(result, dict):
        result = tuple(result.values())
    if isinstance(result, tuple | list) and not all(np.ndim(r) == 0 for r in result):
        return [array for part in result for array in flat(part)]
    return [np.asarray(result)]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", PUBLIC)
def test_global_settings_change_no_public_function(name, setting):
    expected = flat(PUBLIC[name]())
    with SETTINGS[setting]():
        found = flat(PUBLIC[name]())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("setting", SETTINGS)
def test_global_settings_change_no_file(setting, tmp_path):
    path = tmp_path / "data.txt"
    path.write_text(
        "\n".join(
            f"{label} qid:{one} 1:{row[0]} 2:{row[1]}"
            for label, one, row in zip(Y, GROUPS, X, strict=True)
        )
    )
    expected = load_letor(path)
    with SETTINGS[setting]():
        found = load_letor(path)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("setting", SETTINGS)
def test_global_settings_change_no_onnx_graph(setting, tmp_path):
    pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    from sklearn_rankformer.export import to_onnx

    ranker = FITTED["rankformer"]
    with SETTINGS[setting]():
        to_onnx(ranker, tmp_path / "ranker.onnx")
    session = ort.InferenceSession(tmp_path / "ranker.onnx")
    single, lengths = X.astype(np.float32), np.bincount(GROUPS)
    found = session.run(None, {"X": single, "lengths": lengths})
    all_of_it = ranker.predict_all(single, groups=GROUPS)
    expected = [
        all_of_it.scores,
        all_of_it.list_value.proba,
        all_of_it.item_value.proba,
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


# Interrupts --------------------------------------------------------------------------


class Press(torch.nn.Module):
    """A loss during which the user presses Ctrl-C, once."""

    def __init__(self, at):
        super().__init__()
        self.left = at

    def forward(self, scores, gains, mask, weights):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        return (scores * weights * mask).sum(-1)


@pytest.fixture
def keys():
    """Ctrl-C raises, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@both
@pytest.mark.usefixtures("keys")
def test_one_key_press_ends_a_fit_and_leaves_it_the_best_weights_so_far(make):
    X, y, groups = make_lists()
    ranker = make(loss=Press(30), max_epochs=100)
    with (
        pytest.warns(UserWarning, match="interrupted in epoch"),
        pytest.raises(KeyboardInterrupt),
    ):
        ranker.fit(X, y, groups=groups)
    assert 1 <= ranker.n_iter_ < 100
    assert np.isfinite(ranker.predict(X, groups=groups)).all()
    assert ranker.kept_epoch_ is not None


@pytest.mark.usefixtures("keys")
def test_one_key_press_ends_a_search():
    X, y, groups = make_lists()
    search = GridSearchCV(
        rankformer(loss=Press(5), max_epochs=5),
        {"dropout": [0.1, 0.2, 0.3]},
        cv=GroupKFold(2),
        refit=False,
    )
    with (
        config_context(enable_metadata_routing=True),
        pytest.warns(UserWarning, match="interrupted in epoch"),
        pytest.raises(KeyboardInterrupt),
    ):
        search.fit(X, y, groups=groups)
    assert not hasattr(search, "cv_results_")
