"""Same seed, same scores: bit by bit, or within a tolerance that was measured.

``python -m tests.test_determinism`` writes the reference scores anew, after a change
that is meant to alter them, and prints how far the scores move with threads.
"""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_rankformer import MLPRanker, RankFormerRanker
from sklearn_rankformer._device import pick_precision
from sklearn_rankformer.datasets import make_ranking

REFERENCE = Path(__file__).parent / "data" / "reference_scores.json"

# Threads and instruction sets change the order in which float32 sums are taken, and
# training carries the difference on. Measured with torch 2.13, scores spreading by 0.3:
# nothing between one and two threads, at most 3e-6 between the vector instructions of
# one x86-64 CPU. At a learning rate of 1e-2 two CPUs, one with matrix units, were 1e-2
# apart: steps of what a column counts are 60 times as long. A GPU was not at hand.
THREADS_TOLERANCE = 1e-5
REFERENCE_TOLERANCE = 1e-3
GPU_TOLERANCE = 1e-3

# All that shapes the scores is given: the defaults may change, the reference not.
SHARED = {
    "loss": "softmax",
    "gain": "exp",
    "dropout": 0.2,
    "feature_dropout": 0.1,
    "n_bins": 8,
    "n_members": 2,
    "input_transform": "quantile",
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "max_epochs": 5,
    "batch_items": 256,
    "validation_fraction": 0.2,
    "n_iter_no_change": 10,
    "random_state": 0,
}
RANKERS = {
    "RankFormerRanker": (
        RankFormerRanker,
        {
            "d_model": 16,
            "num_layers": 2,
            "nhead": 2,
            "dim_feedforward": 32,
            "listwide_weight": 0.25,
            "list_features": True,
        },
    ),
    "MLPRanker": (MLPRanker, {"hidden_layer_sizes": (32, 16)}),
}

each = pytest.mark.parametrize("name", RANKERS)


def fit_and_score(name):
    """Scores of new lists, on the CPU: (n_rows,), float32."""
    make, own = RANKERS[name]
    X, y, groups = make_ranking(n_lists=40, random_state=0)
    ranker = make(**SHARED, **own, device="cpu", precision="float32")
    ranker.fit(X, y, groups=groups)
    X, y, groups = make_ranking(n_lists=10, random_state=1)
    return ranker.predict(X, groups=groups)


def fit_with_threads(threads):
    """Scores of all rankers, as lists, fitted with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return {name: fit_and_score(name).tolist() for name in RANKERS}
    finally:
        torch.set_num_threads(before)


def fit_elsewhere():
    """Scores from a process of its own: with one thread, and with two."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.test_determinism", "--fit"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONHASHSEED": "random"},
    )
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def here():
    return fit_with_threads(1)


@pytest.fixture(scope="module")
def elsewhere():
    return fit_elsewhere()


@each
def test_same_seed_gives_the_same_bits_in_two_processes(name, here, elsewhere):
    assert elsewhere[0][name] == here[name]


@each
def test_scores_agree_across_numbers_of_threads(name, elsewhere):
    one, two = (scores[name] for scores in elsewhere)
    np.testing.assert_allclose(two, one, rtol=0, atol=THREADS_TOLERANCE)


@each
def test_scores_agree_with_those_stored(name, here):
    stored = json.loads(REFERENCE.read_text())["scores"][name]
    np.testing.assert_allclose(here[name], stored, rtol=0, atol=REFERENCE_TOLERANCE)


@each
def test_another_seed_gives_scores_beyond_the_tolerance(name, monkeypatch):
    stored = json.loads(REFERENCE.read_text())["scores"][name]
    monkeypatch.setitem(SHARED, "random_state", 1)
    assert np.abs(fit_and_score(name) - stored).max() > 10 * REFERENCE_TOLERANCE


@each
def test_what_a_cpu_predicts_does_not_depend_on_the_precision(name):
    """So a ranker scores the same on a CPU with matrix units and on one without."""
    make, own = RANKERS[name]
    # Of fewer lists steps are few, and rounding decides which columns count at first.
    X, y, groups = make_ranking(n_lists=150, random_state=0)
    params = {**SHARED, **own, "device": "cpu"}
    ranker = make(**params, precision="bfloat16").fit(X, y, groups=groups)
    scores = ranker.predict(X, groups=groups)
    moved = pickle.loads(pickle.dumps(ranker.set_params(precision="float32")))
    assert moved.precision_ == "float32"
    np.testing.assert_array_equal(moved.predict(X, groups=groups), scores)
    exact = moved.fit(X, y, groups=groups).predict(X, groups=groups)
    assert (exact != scores).any(), "trained otherwise"
    assert np.corrcoef(exact, scores)[0, 1] > 0.95, "but to much the same"


@pytest.mark.parametrize("fast", [True, False])
def test_auto_takes_bfloat16_on_gpus_that_are_fast_at_it(fast, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: fast)
    found = pick_precision("auto", torch.device("cuda"))
    assert found == ("bfloat16" if fast else "float32")
    assert pick_precision("auto", torch.device("cpu")) == "float32"
    assert pick_precision("bfloat16", torch.device("cpu")) == "bfloat16"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@each
def test_scores_of_one_model_agree_between_gpu_and_cpu(name):
    make, own = RANKERS[name]
    X, y, groups = make_ranking(n_lists=40, random_state=0)
    params = {**SHARED, **own, "precision": "float32"}
    ranker = make(**params, device="cuda").fit(X, y, groups=groups)
    on_gpu = ranker.predict(X, groups=groups)
    moved = pickle.loads(pickle.dumps(ranker.set_params(device="cpu")))
    on_cpu = moved.predict(X, groups=groups)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=0, atol=GPU_TOLERANCE)


def main(arguments):
    if arguments == ["--fit"]:
        sys.stdout.write(json.dumps([fit_with_threads(n) for n in (1, 2)]))
        return
    (one, two), (again, _) = fit_elsewhere(), fit_elsewhere()
    for name in RANKERS:
        between = np.abs(np.subtract(one[name], two[name])).max()
        sys.stdout.write(
            f"{name}: same bits twice: {one[name] == again[name]}; 1 and 2 threads "
            f"differ by {between:.1e}; spread of scores {np.std(one[name]):.2f}\n"
        )
    REFERENCE.parent.mkdir(exist_ok=True)
    content = {"torch": str(torch.__version__), "scores": one}
    REFERENCE.write_text(json.dumps(content, indent=0) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
