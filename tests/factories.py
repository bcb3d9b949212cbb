"""Small rankers for tests: they learn in a moment, and enough to differ."""

import pytest

from sklearn_rankformer import MLPRanker, RankFormerRanker

SMALL = {"n_members": 2, "n_bins": 4, "max_epochs": 3, "random_state": 0}
# Where hundreds of fits are to raise, or only have to run.
TINY = {"n_members": 1, "n_bins": 2, "max_epochs": 1}


def rankformer(**params):
    cells = {"d_model": 16, "nhead": 2, "dim_feedforward": 16}
    return RankFormerRanker(**{**SMALL, **cells, **params})


def mlp(**params):
    return MLPRanker(**{**SMALL, "hidden_layer_sizes": (16, 8), **params})


both = pytest.mark.parametrize("make", [rankformer, mlp])
