"""Sizes that follow from the data, where a parameter of a ranker is "auto".

Each is a rule of one number, and falls or rises with it, so that what a ranker did can
be predicted from what it was given. How they were chosen is in docs/notes.md.
"""

import math

# Lists that teach order: below the first dropout is full, beyond the second it is off.
FEW_LISTS, MANY_LISTS = 300, 15_000
MOST_DROPOUT = 0.3

# Batches double from the smallest to the largest, which is that of one process, as long
# as an epoch consists of at least `MIN_BATCHES`.
SMALL_BATCH, LARGE_BATCH = 512, 1024
MIN_BATCHES = 60
MOST_LONGER = 2.0


def auto_dropout(n_lists: int) -> float:
    """Return the dropout rate for this many lists that teach order.

    A network of this size overfits few lists and cannot overfit many. In between the
    rate falls in proportion to the logarithm of their number.
    """
    spread = math.log(MANY_LISTS / FEW_LISTS)
    left = math.log(MANY_LISTS / max(n_lists, 1)) / spread
    return round(MOST_DROPOUT * min(max(left, 0.0), 1.0), 3)


def auto_batch_items(n_rows: int, n_processes: int = 1) -> int:
    """Return the items of a batch for this many rows, of all processes together.

    Larger batches cost less a row, but an epoch of few steps learns little.
    """
    items = SMALL_BATCH
    most = min(LARGE_BATCH * n_processes, n_rows / MIN_BATCHES)
    while 2 * items <= most:
        items *= 2
    return items


def longer_steps(batch_items: int) -> float:
    """Return the factor of the learning rate for batches of this size.

    Where several processes share a larger batch there are fewer steps, of gradients
    that are less noisy. With Adam the rate that suits grows with the square root of the
    batch (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient
    algorithms"). Measured at 2,048 items only, so it stops at twice the rate.
    """
    return min(max(math.sqrt(batch_items / LARGE_BATCH), 1.0), MOST_LONGER)
