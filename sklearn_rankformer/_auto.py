"""Sizes that follow from the data, where a parameter of a ranker is "auto".

Each is a rule of one number, and falls or rises with it, so that what a ranker did can
be predicted from what it was given. How they were chosen is in docs/notes.md.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class FallingRate:
    """A rate that falls with the number of lists that teach order.

    A network of this size overfits few lists and cannot overfit many. In between the
    rate falls in proportion to the logarithm of their number.

    Attributes
    ----------
    most : float
        The rate up to `few` lists; it is 0 from `many` on.
    few, many : int
        Numbers of lists.
    """

    most: float
    few: int
    many: int

    def at(self, n_lists: int) -> float:
        """Return the rate for this many lists."""
        left = math.log(self.many / max(n_lists, 1)) / math.log(self.many / self.few)
        return round(self.most * min(max(left, 0.0), 1.0), 3)


DROPOUT = FallingRate(0.3, few=300, many=15_000)
FEATURE_DROPOUT = FallingRate(0.1, few=1000, many=2000)


class Rates(NamedTuple):
    """What a network hides in training, as parameters of a ranker."""

    dropout: float
    feature_dropout: float


# Batches double from the smallest to the largest, which is that of one process, as long
# as an epoch consists of at least `MIN_BATCHES`.
SMALL_BATCH, LARGE_BATCH = 512, 1024
MIN_BATCHES = 60
MOST_LONGER = 2.0


def auto_rates(n_lists: int) -> Rates:
    """Return the rates for this many lists that teach order."""
    return Rates(DROPOUT.at(n_lists), FEATURE_DROPOUT.at(n_lists))


def auto_batch_items(n_rows: int, n_processes: int = 1) -> int:
    """Return the items of a batch for this many rows, of all processes together.

    Larger batches cost less a row, but an epoch of few steps learns little.
    """
    items = SMALL_BATCH
    most = min(LARGE_BATCH * n_processes, n_rows / MIN_BATCHES)
    while 2 * items <= most:
        items *= 2
    return items


# Epochs, and those to try instead as long as they make fewer steps than this.
EPOCHS = 15
MORE_EPOCHS = (45, 135)
MOST_STEPS = 750


def longer_steps(batch_items: int) -> float:
    """Return the factor of the learning rate for batches of this size.

    Where several processes share a larger batch there are fewer steps, of gradients
    that are less noisy. With Adam the rate that suits grows with the square root of the
    batch (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient
    algorithms"). Measured at 2,048 items only, so it stops at twice the rate.
    """
    return min(max(math.sqrt(batch_items / LARGE_BATCH), 1.0), MOST_LONGER)
