"""Several processes that train together on the same rows give what one gives."""

import numpy as np
import torch.distributed as dist

from .conftest import make_lists
from .factories import rankformer
from .processes import run_together


def fitted():
    X, y, groups = make_lists(n_lists=60)
    # One list longer than the batch is a batch of its own: a share can be empty.
    groups[groups < 4] = 0
    ranker = rankformer(
        max_epochs=4,
        batch_items=24,
        dropout=0.0,
        feature_dropout=0.0,
        device="cpu",
        precision="float32",
    )
    return ranker.fit(X, y, groups=groups), ranker.predict(X, groups=groups)


def fit_in_a_group(folder):
    dist.init_process_group("gloo")
    ranker, scores = fitted()
    dist.destroy_process_group()
    return scores, [epoch["train_loss"] for epoch in ranker.history_]


def test_two_processes_score_as_one(tmp_path):
    (first, losses), (second, other_losses) = run_together(fit_in_a_group, tmp_path)
    np.testing.assert_array_equal(first, second)
    ranker, expected = fitted()
    # Sums in another order, which Adam's first steps magnify: measured 4e-7 apart, on
    # scores up to 1.6.
    np.testing.assert_allclose(first, expected, atol=2e-5)
    # Each has its share of the lists, and all know of the loss on all.
    assert losses == other_losses
    alone = [epoch["train_loss"] for epoch in ranker.history_]
    np.testing.assert_allclose(losses, alone, rtol=0.05)
