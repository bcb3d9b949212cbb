"""What happens around the steps of the training loop."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from sklearn_rankformer._callbacks import ClipGradients
from sklearn_rankformer._network import build
from sklearn_rankformer._training import FlatAdamW

from .test_network import RANKFORMER


@pytest.mark.parametrize("aggregates_are_large", [True, False])
def test_large_gradients_of_aggregates_and_of_the_rest_hold_only_themselves_back(
    aggregates_are_large,
):
    network = build(replace(RANKFORMER, n_positions=3))
    optimizer = FlatAdamW([{"params": list(network.parameters())}])
    of_head = set(network.pooled_head.parameters())
    large, small = [], []
    for weight in network.parameters():
        is_large = (weight in of_head) is aggregates_are_large
        weight.grad.fill_(10.0 if is_large else 1e-4)
        (large if is_large else small).append(weight.grad)
    clip = ClipGradients(limit=1.0)
    net = SimpleNamespace(module_=network, optimizer_=optimizer)
    clip.on_train_begin(net)
    clip.on_grad_computed(net)
    assert all((gradient == 1e-4).all() for gradient in small)
    squares = sum(float((gradient**2).sum()) for gradient in large)
    assert squares == pytest.approx(1.0, rel=1e-4)
