"""Shared by all tests: one torch thread per worker, and small lists to rank."""

import numpy as np
import pytest
import torch
from hypothesis import settings
from sklearn import config_context

from sklearn_rankformer import _letor

torch.set_num_threads(1)

# Machines are shared: how long an example takes says nothing about the code.
settings.register_profile("lists", deadline=None, max_examples=40)
settings.load_profile("lists")


@pytest.fixture
def routing():
    """Metadata routing switched on for one test."""
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(params=[1, 2**18], ids=["one row a block", "one block"])
def blocks(request, monkeypatch):
    """LETOR text read in blocks of one row, and then all in one."""
    monkeypatch.setattr(_letor, "_BLOCK_CELLS", request.param)


def make_lists(n_lists=40, n_features=4, sizes=(1, 9), seed=0):
    """Lists whose labels 0, 1, 2 follow from two features; every third has none."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(*sizes, n_lists)
    groups = np.repeat(np.arange(n_lists), lengths)
    X = rng.normal(size=(len(groups), n_features))
    signal = X[:, 0] - X[:, 1] + 0.1 * rng.normal(size=len(groups))
    y = np.digitize(signal, [0.5, 1.5])
    y[groups % 3 == 0] = 0
    return X, y, groups


def make_clear_lists(n_lists=80, size=8, seed=0):
    """Lists in which the item of the largest sum of two columns is the good one."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_lists, size, 4))
    y = np.zeros((n_lists, size), dtype=int)
    y[np.arange(n_lists), X[..., :2].sum(-1).argmax(1)] = 1
    return X.reshape(-1, 4), y.ravel(), np.repeat(np.arange(n_lists), size)


@pytest.fixture
def lists():
    """X, y and groups of small lists."""
    return make_lists()
