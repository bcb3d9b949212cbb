"""The world from which `datasets.make_ranking` draws its lists; formulas are there."""

import math
from typing import NamedTuple

import numpy as np

ROLES = 6  # Columns that the context reads one by one.


def draw_lists(
    random: np.random.RandomState,
    *,
    n_lists: int,
    list_size: tuple[int, int],
    n_features: int,
    n_informative: int,
    context_strength: float,
    list_signal: float,
    list_share: float,
    empty_share: float,
    n_levels: int,
    noise: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return features, labels, list ids and utility; arguments as of `make_ranking`."""
    # A seed's world depends on the order of these draws: never change it.
    lengths = random.randint(list_size[0], list_size[1] + 1, n_lists)
    world = _World(np.repeat(np.arange(n_lists), lengths), lengths)
    z = _latent_features(world, n_features, list_share, random)
    worth = _item_relevance(z[:, :n_informative], random)
    worth += context_strength * _context(z, world)
    hidden = random.standard_normal(n_lists)[world.groups]
    value = _unit(world.mean(worth)) * math.sqrt(list_signal)
    value += hidden * math.sqrt(1 - list_signal)
    utility = _unit(worth - world.mean(worth)) + 0.7 * value
    noisy = utility + noise * random.standard_normal(len(utility))
    y = _cut_into_levels(noisy, world, empty_share, n_levels)
    return _as_measured(z), y, world.groups, utility


class _World(NamedTuple):
    groups: np.ndarray
    lengths: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        return np.cumsum(self.lengths) - self.lengths

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean over the list of each row."""
        return (np.add.reduceat(values, self.starts) / self.lengths)[self.groups]


def _latent_features(
    world: _World, n_features: int, list_share: float, random: np.random.RandomState
) -> np.ndarray:
    n_lists, n_rows = len(world.lengths), len(world.groups)
    z = random.standard_normal((n_rows, n_features))
    shared = random.standard_normal((n_lists, n_features - 2))
    # The first two share nothing but the sign of their correlation.
    z[:, 2:] *= math.sqrt(1 - list_share)
    z[:, 2:] += math.sqrt(list_share) * shared[world.groups]
    correlation = np.where(random.uniform(size=n_lists) < 0.5, -0.7, 0.7)[world.groups]
    z[:, 1] = correlation * z[:, 0] + math.sqrt(1 - 0.7**2) * z[:, 1]
    return z


def _item_relevance(z: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    slope, fold = random.standard_normal((2, z.shape[1]))
    relevance = z @ (slope / np.linalg.norm(slope))
    relevance += np.abs(z) @ (fold / np.linalg.norm(fold))
    return _unit(relevance)


def _context(z: np.ndarray, world: _World) -> np.ndarray:
    price = -np.abs(z[:, 2] - world.mean(z[:, 2]))
    taste = np.tanh(3 * world.mean(z[:, 0] * z[:, 1])) * (z[:, 3] + z[:, 4])
    # cos(a - b) = cos a cos b + sin a sin b, so that no pair need be formed.
    cos, sin = np.cos(1.5 * z[:, 5]), np.sin(1.5 * z[:, 5])
    crowding = -(cos * world.mean(cos) + sin * world.mean(sin))
    return (_unit(price) + math.sqrt(2) * _unit(taste) + _unit(crowding)) / 2


def _unit(values: np.ndarray) -> np.ndarray:
    values = values - values.mean()
    spread = values.std()
    # Lists of one item, or a single list, leave only rounding errors to scale.
    return values / spread if spread > 1e-9 else np.zeros_like(values)


def _cut_into_levels(
    utility: np.ndarray, world: _World, empty_share: float, n_levels: int
) -> np.ndarray:
    best = np.sort(np.maximum.reduceat(utility, world.starts))
    n_empty = round(empty_share * len(best))
    # Nothing up to the best item of the last empty list counts as positive.
    lowest = best[n_empty - 1] if n_empty else np.nextafter(best[0], -np.inf)
    positive = utility[utility > lowest]
    if not len(positive):
        return np.zeros(len(utility), dtype=np.int64)
    upper_halves = 1 - 0.5 ** np.arange(1, n_levels - 1)
    thresholds = np.append(lowest, np.quantile(positive, upper_halves))
    return np.searchsorted(thresholds, utility, side="left").astype(np.int64)


def _as_measured(z: np.ndarray) -> np.ndarray:
    powers = 1 - 2 * np.arange(z.shape[1]) / z.shape[1]
    X = np.empty_like(z)
    X[:, 0::3] = 1000.0 ** powers[0::3] * (z[:, 0::3] + 2)
    X[:, 1::3] = np.exp(1.5 * z[:, 1::3])
    X[:, 2::3] = 100 / (1 + np.exp(-z[:, 2::3]))
    return X
