"""Pairs of items of one list, counted without forming them, all lists at once."""

import numpy as np


def dense_ranks(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return ranks within the lists, from 0, ties sharing one rank.

    Parameters
    ----------
    values, codes : ndarray of shape (n_rows,)
        Value and list of each row, in any order.

    Returns
    -------
    ranks : ndarray of shape (n_rows,), int64
        Whole numbers in the order of the values of each list.
    """
    order = np.lexsort((values, codes))
    values, codes = values[order], codes[order]
    starts = np.diff(codes, prepend=-1) != 0
    new = np.concatenate([[True], values[1:] != values[:-1]]) | starts
    count = np.cumsum(new)
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = count - count[starts][codes]
    return ranks


def tied_pairs(codes: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """Count the pairs of each list that agree in all the keys.

    Parameters
    ----------
    codes, *keys : ndarray of shape (n_rows,)
        List of each row, and values to compare.

    Returns
    -------
    n_pairs : ndarray of shape (n_lists,), int64
        One number per list.
    """
    order = np.lexsort((*keys, codes))
    new = np.zeros(len(codes), dtype=bool)
    for key in (codes, *keys):
        new |= np.diff(key[order], prepend=-1) != 0
    starts = np.flatnonzero(new)
    sizes = np.diff(starts, append=len(codes))
    return np.add.reduceat(
        sizes * (sizes - 1) // 2,
        np.flatnonzero(np.diff(codes[order[starts]], prepend=-1)),
    )


def discordant_pairs(
    codes: np.ndarray, labels: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Count the pairs of each list whose scores contradict their labels.

    Parameters
    ----------
    codes, labels, scores : ndarray of shape (n_rows,), int64
        List of each row, and both as `dense_ranks` gives them.

    Returns
    -------
    n_pairs : ndarray of shape (n_lists,), int64
        One number per list.

    Notes
    -----
    The rows stand by label, so these are the inversions of the scores. Two scores
    first differ in some bit: from the highest bit down, count the 1s that stand in
    front of 0s where all higher bits agree, then part the rows by that bit.
    """
    order = np.lexsort((scores, labels, codes))
    n_bits = int(scores.max()).bit_length()
    # List and rank in one integer: rows of two lists differ in a higher bit, and so are
    # never compared.
    keys = (codes[order] << n_bits) | scores[order]
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    discordant = np.zeros(len(starts), dtype=np.int64)
    for bit in reversed(range(n_bits)):
        one = keys >> bit & 1
        ones = np.cumsum(one) - one
        segment = np.diff(keys >> (bit + 1), prepend=-1) != 0
        ones -= np.maximum.accumulate(np.where(segment, ones, 0))
        discordant += np.add.reduceat(np.where(one, 0, ones), starts)
        keys = keys[np.argsort(keys >> bit, kind="stable")]
    return discordant
