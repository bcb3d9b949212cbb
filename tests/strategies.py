"""Ragged lists as they come: one item, ties, no label, all labels equal, huge scores.

`ranked_lists` draws them, `pad` turns them into the padded tensors of the losses, with
rubbish in the padding so that a test notices whoever reads it.
"""

from typing import NamedTuple

import torch
from hypothesis import strategies as st

MAX_SIZE = 7


class RankedList(NamedTuple):
    """One list: floats of equal length, one per item."""

    scores: list
    gains: list
    weights: list


# Whole numbers and eighths: squares and cubes of them stay apart in float64.
cells = st.integers(-80, 80).map(lambda i: i / 8)

SCALES = st.sampled_from([1.0, 1e4])


@st.composite
def ranked_lists(draw, *, distinct=False, min_size=1, max_size=MAX_SIZE):
    """Draw one list; `distinct` keeps its scores apart by at least a tenth."""
    size = draw(st.integers(min_size, max_size))
    places = st.lists(
        st.integers(-20, 20), min_size=size, max_size=size, unique=distinct
    )
    scale = draw(SCALES)
    scores = [place / 20 * scale * (2 if distinct else 1) for place in draw(places)]
    return RankedList(scores, draw(gains(size)), draw(item_weights(size)))


def gains(size):
    """Gains of one list, the ones that teach nothing among them."""
    graded = st.sampled_from([0.0, 1.0, 3.0, 7.0])
    return st.one_of(
        st.just([0.0] * size),
        st.sampled_from([1.0, 15.0]).map(lambda g: [g] * size),
        st.lists(graded, min_size=size, max_size=size),
        st.lists(st.floats(0.0, 5.0, width=32), min_size=size, max_size=size),
    )


def item_weights(size):
    """All one, or all different."""
    return st.one_of(
        st.just([1.0] * size),
        st.lists(st.floats(0.1, 3.0), min_size=size, max_size=size),
    )


def batches(**kwargs):
    """Some lists that share a batch."""
    return st.lists(ranked_lists(**kwargs), min_size=1, max_size=4)


@st.composite
def list_ids(draw, max_lists=6, max_rows=30):
    """Row by row the id of its list, contiguous or scattered, no list empty."""
    ids = draw(st.lists(st.integers(0, max_lists - 1), min_size=1, max_size=max_rows))
    return sorted(ids) if draw(st.booleans()) else ids


def pad(lists, *, extra=0, rubbish=9e3, dtype=torch.float64):
    """Tensors (scores, gains, mask, weights) of shape (n_lists, list_size + extra)."""
    size = max(len(one.scores) for one in lists) + extra

    def table(rows, filling):
        full = [list(row) + [filling] * (size - len(row)) for row in rows]
        return torch.tensor(full, dtype=dtype)

    mask = table([[1.0] * len(one.scores) for one in lists], 0.0).bool()
    return (
        table([one.scores for one in lists], rubbish),
        table([one.gains for one in lists], 11.0),
        mask,
        table([one.weights for one in lists], 13.0),
    )
