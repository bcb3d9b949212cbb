"""Naive float64 versions of the formulas: one list, or one pair, at a time.

Written from the papers and docstrings, sharing no code with the package. Nothing here
is fast and nothing is clever; each function is meant to be checked by eye.
"""

import math
from statistics import NormalDist

# Losses of one list ------------------------------------------------------------------


def softmax_loss(scores, gains, weights):
    """Minus the sum of w_i * p_i * log softmax(s)_i, with p the gains' shares."""
    total = sum(gains)
    if total == 0:
        return 0.0
    highest = max(scores)
    log_norm = highest + math.log(sum(math.exp(s - highest) for s in scores))
    loss = 0.0
    for s, g, w in zip(scores, gains, weights, strict=True):
        loss -= w * g / total * (s - log_norm)
    return loss


def lambda_loss(scores, gains, weights, k, order=None):
    """LambdaRank pairs with an item among the first `k`, by NDCG moved, log-normed.

    `order` holds the items from the first rank to the last; by default the highest
    score is first, and the first of equals.
    """
    n_items = len(scores)
    if order is None:
        order = sorted(range(n_items), key=lambda i: -scores[i])
    rank = {item: place + 1 for place, item in enumerate(order)}
    best = sum(g * discount(r + 1) for r, g in enumerate(sorted(gains, reverse=True)))
    loss = total = 0.0
    for i in range(n_items):
        for j in range(n_items):
            if gains[i] <= gains[j] or min(rank[i], rank[j]) > k:
                continue
            gap = abs(discount(rank[i]) - discount(rank[j]))
            moved = (gains[i] - gains[j]) * gap / best
            total += moved
            loss += weights[i] * moved * softplus(scores[j] - scores[i])
    return loss * math.log2(1 + total) / total if total > 0 else 0.0


def mixed_loss(scores, gains, weights):
    """All of the softmax loss and half of the pairs among the first 50."""
    pairs = lambda_loss(scores, gains, weights, 50)
    return softmax_loss(scores, gains, weights) + pairs / 2


def ordinal_loss(logits, level):
    """Mean cross-entropy of the questions: is the level above threshold 0, 1, ...?"""
    loss = 0.0
    for k, logit in enumerate(logits):
        loss += softplus(-logit) if level > k else softplus(logit)
    return loss / len(logits) if logits else 0.0


def discount(rank):
    """Weight of a rank, 1 for the first."""
    return 1 / math.log2(1 + rank)


def softplus(x):
    """Return log(1 + e^x) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


# Features ----------------------------------------------------------------------------


def standardize(values):
    """(x - mean) / standard deviation over what is there; 0 where all are equal."""
    there = [v for v in values if not math.isnan(v)]
    if not there:
        return list(values)
    mean = math.fsum(there) / len(there)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in there) / len(there))
    if len(set(there)) == 1:
        return [math.nan if math.isnan(v) else 0.0 for v in values]
    return [(v - mean) / std for v in values]


def rank_share(values):
    """Average rank from 0 (lowest) to 1, what is missing left out; 0.5 if alone."""
    there = [v for v in values if not math.isnan(v)]
    shares = []
    for v in values:
        below = sum(other < v for other in there)
        equal = sum(other == v for other in there)
        if math.isnan(v):
            shares.append(math.nan)
        elif len(there) == 1:
            shares.append(0.5)
        else:
            shares.append((below + (equal - 1) / 2) / (len(there) - 1))
    return shares


def normal_score(value, column):
    """Inverse normal of the share of the column below `value`, ties counted half."""
    there = [v for v in column if not math.isnan(v)]
    below = sum(v < value for v in there)
    equal = sum(v == value for v in there)
    return NormalDist().inv_cdf((below + equal / 2) / len(there))
