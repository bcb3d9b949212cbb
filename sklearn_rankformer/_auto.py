"""Sizes that follow from the data, where a parameter of a ranker is "auto".

Each is a rule of one number, and falls or rises with it, so that what a ranker did can
be told from what it was given. How they were chosen is in docs/notes.md.
"""

import math

# Lists that teach order: below the first dropout is full, beyond the second it is off.
FEW_LISTS, MANY_LISTS = 500, 20_000
MOST_DROPOUT = 0.3

# Batches grow from the first to the second, so that an epoch has this many at least.
SMALL_BATCH, LARGE_BATCH = 512, 2048
MIN_BATCHES = 100


def auto_dropout(n_lists: int) -> float:
    """Return the dropout rate for this many lists that teach order.

    A network of this size overfits few lists and cannot overfit many. In between the
    rate falls in proportion to the logarithm of their number.
    """
    spread = math.log(MANY_LISTS / FEW_LISTS)
    left = math.log(MANY_LISTS / max(n_lists, 1)) / spread
    return round(MOST_DROPOUT * min(max(left, 0.0), 1.0), 3)


def auto_batch_items(n_rows: int) -> int:
    """Return the items of a batch for this many rows, a power of two.

    Large batches cost less a row; but an epoch of too few of them learns too little.
    """
    most = 2 ** int(math.log2(max(n_rows / MIN_BATCHES, 1)))
    return min(max(most, SMALL_BATCH), LARGE_BATCH)
