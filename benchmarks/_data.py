"""Lists to rank, real or synthetic, and their folds.

Real data are never part of the project. ``--data`` or the environment variable
``SKLEARN_RANKFORMER_DATA`` names the directory that holds them as ``.npz`` files with
``X``, ``y`` and ``qid``, or as LETOR folders.
"""

import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_rankformer.datasets import load_letor_fold, make_ranking
from sklearn_rankformer.simulation import simulate_implicit_feedback

DATA_VARIABLE = "SKLEARN_RANKFORMER_DATA"
FILES = {
    "mq2008": "mq2008.npz",
    "mslr": "mslr_web_sample.npz",
    "expedia": "expedia_click_book.npz",
    "wikiqa": "wikiqa.npz",
    "ebnerd": "ebnerd_demo.npz",
    "trecdl": "trecdl.npz",
    "clueweb09": "clueweb09.npz",
}

# Data sets that come with a split of their own, and the least label that is positive:
# EBNeRD's labels are 1 for a click and 2 for a click that was read.
OWN_SPLITS = {
    "wikiqa answers": ("wikiqa", 1),
    "ebnerd clicks": ("ebnerd", 1),
    "ebnerd reads": ("ebnerd", 2),
}


def load_lists(name_or_path, data_dir=None, **world):
    """Load ranking data by name, or from a file or folder.

    Parameters
    ----------
    name_or_path : str or path-like
        "synthetic" draws `make_ranking`; the keys of `FILES` are looked for in the data
        directory; anything else is an ``.npz`` file, or a LETOR folder, whose first
        fold is read and joined.
    data_dir : path-like, default=None
        Data directory; None takes it from ``SKLEARN_RANKFORMER_DATA``.
    **world
        Arguments of `make_ranking`.

    Returns
    -------
    lists : Bunch
        ``name``, ``X``, ``y`` (int64), ``groups``; ``fold`` (from 0, or None) where
        there are official folds; what other arrays the file holds, or the noise-free
        ``utility`` of synthetic items.
    """
    if name_or_path == "synthetic":
        X, y, groups, utility = make_ranking(**world, return_utility=True)
        return Bunch(
            name="synthetic", X=X, y=y, groups=groups, fold=None, utility=utility
        )
    path = find_data(name_or_path, data_dir)
    if path.is_dir():
        fold = load_letor_fold(path, None if (path / "train.txt").exists() else 1)
        joined = zip(fold.train, fold.vali, fold.test, strict=True)
        X, y, groups = (np.concatenate(one) for one in joined)
        return Bunch(name=path.name, X=X, y=y, groups=groups, fold=None)
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    fold = arrays.pop("fold", None)
    return Bunch(
        name=str(name_or_path) if name_or_path in FILES else path.stem,
        X=arrays.pop("X"),
        y=arrays.pop("y").astype(np.int64),
        groups=arrays.pop("qid"),
        fold=None if fold is None else fold.astype(np.int64) - fold.min(),
        **arrays,
    )


def find_data(name_or_path, data_dir=None):
    """Return the path of a data set, or raise with what was looked for."""
    directory = Path(data_dir or os.environ.get(DATA_VARIABLE, "."))
    path = directory / FILES.get(str(name_or_path), str(name_or_path))
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist. Give --data, or set {DATA_VARIABLE} to the "
            f"directory that holds {path.name}."
        )
    return path


def list_folds(groups, seed=0, n_folds=5):
    """Deal whole lists into folds at random: ndarray of shape (n_rows,), from 0."""
    ids, codes = np.unique(groups, return_inverse=True)
    return (np.random.RandomState(seed).permutation(len(ids)) % n_folds)[codes]


def folds_of(data, seed=0):
    """Fold of each row: the official ones, or else five dealt at random.

    WikiQA's parts, 0 to learn, 1 to choose and 2 to test, become folds of which the
    first is to be tested.
    """
    if data.name == "wikiqa":
        return 2 - data.fold
    return list_folds(data.groups, seed) if data.fold is None else data.fold


def one_fold(folds, fold):
    """Rows to learn from, to choose by (the next fold) and to test on, as masks."""
    test, val = folds == fold, folds == (fold + 1) % (folds.max() + 1)
    return ~test & ~val, val, test


def own_split(name, data_dir=None, quick=False):
    """Lists to learn, to choose by and to test, with labels 0 and 1.

    Parameters
    ----------
    name : str
        A key of `OWN_SPLITS`. WikiQA's parts are its publishers'. EBNeRD is split by
        time: a quarter of the lists of days 0 to 5, day 6, and 10,000 lists of the
        second week.
    data_dir : path-like, default=None
        As in `load_lists`.
    quick : bool, default=False
        At most 100 lists of each part.

    Returns
    -------
    train, val, test : (X, y, groups)
    """
    source, least = OWN_SPLITS[name]
    data = load_lists(source, data_dir)
    data.y = (data.y >= least).astype(np.int64)
    ids, first = np.unique(data.groups, return_index=True)
    if source == "ebnerd":
        early, *others = parts_by_day(ids, data.day[first])
        parts = [early[: len(early) // 4], *others]
    else:
        parts = [ids[data.fold[first] == part] for part in range(3)]
    most = 100 if quick else None
    return parts_of(data, *(np.isin(data.groups, part[:most]) for part in parts))


def parts_by_day(ids, day):
    """Ids of the lists of days 0 to 5, of day 6, and of 10,000 of the second week."""
    early, late = (
        np.random.RandomState(0).permutation(ids[rows]) for rows in (day < 6, day > 6)
    )
    return early, ids[day == 6], late[:10_000]


def parts_of(data, *choices):
    """(X, y, groups) of each choice of rows, a mask or indices."""
    return [(data.X[rows], data.y[rows], data.groups[rows]) for rows in choices]


def some_lists(part, n_lists, seed):
    """Draw so many whole lists of (X, y, groups) at random."""
    X, y, groups = part
    drawn = np.random.default_rng(seed).permutation(np.unique(groups))[:n_lists]
    rows = np.isin(groups, drawn)
    return X[rows], y[rows], groups[rows]


def feedback_of(data, rows, kind, rng, n_repeats=2):
    """X, y, groups of some rows: their labels, or clicks that are simulated."""
    if kind == "labels":
        return data.X[rows], data.y[rows], data.groups[rows]
    shown = simulated_clicks(data, rows, n_repeats, rng)
    return data.X[shown.rows], shown.labels, shown.groups


def simulated_clicks(data, rows, n_repeats, rng):
    """Clicks on selections of these lists; ``rows`` of the result are rows of data."""
    shown = simulate_implicit_feedback(
        data.y[rows],
        data.groups[rows],
        n_repeats=n_repeats,
        max_label=int(data.y.max()),
        rng=rng,
    )
    shown.rows = rows[shown.rows]
    return shown
