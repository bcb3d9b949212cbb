"""What `fit` is given to learn from, of which each process may read a part from files.

Files are dealt to the processes whole, and each opens its own only. What must be known
of the others, such as categories and whether a list lies in two files, is agreed.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._categories import Categories, distinct_values, find_categories
from ._conversion import (
    COLUMNS,
    KEYS,
    WEIGHT,
    Layout,
    find_layout,
    plain_numbers,
    read_columns,
    write_tables,
)
from ._frames import as_rows
from ._groups import check_groups
from ._lists import id_keys, split_lists
from ._processes import ALONE, Peers
from ._rows import in_weighed_lists
from ._tablefiles import TableFiles
from .datasets import ParquetLists, load_converted

# Keys of lists are compared among processes so many at a time.
KEYS_AT_ONCE = 2**20


@dataclass(frozen=True)
class Given:
    """Rows that this process is to learn from, as they came.

    Attributes
    ----------
    X, y, groups, qid, sample_weight, position
        As in `RankFormerRanker.fit`.
    categories : Categories or None
        Those of the rows of all processes; None if they are yet to be found.
    positions : Categories or None
        Shown positions, likewise.
    heaviest : float or None
        Largest weight of the rows of all processes; None if these are all.
    peers : Peers
        Processes that hold the other rows.
    """

    X: Any
    y: Any
    groups: Any = None
    qid: Any = None
    sample_weight: Any = None
    position: Any = None
    categories: Categories | None = None
    positions: Categories | None = None
    heaviest: float | None = None
    peers: Peers = ALONE


def deal_files(paths: Sequence[str], n: int) -> list[list[str]]:
    """Deal files to processes, so that their sizes add up to about the same.

    Parameters
    ----------
    paths : sequence of str
        Files; only their sizes are asked for.
    n : int
        Number of processes.

    Returns
    -------
    dealt : list of n lists of str
        Files of each process, in the order given.

    Raises
    ------
    ValueError
        If there are fewer files than processes.
    """
    if len(paths) < n:
        raise ValueError(
            f"{len(paths)} files cannot be dealt to {n} processes, each of which reads "
            f"files of its own. Write {n} or more, of similar sizes, or start fewer "
            f"processes."
        )
    sizes = [os.stat(path).st_size for path in paths]
    loads = [(0, 0, rank) for rank in range(n)]
    dealt: list[list[int]] = [[] for _ in range(n)]
    # The largest first, each to whom has least.
    for i in sorted(range(len(paths)), key=lambda i: (-sizes[i], i)):
        load, n_files, rank = min(loads)
        loads[rank] = load + sizes[i], n_files + 1, rank
        dealt[rank].append(i)
    return [[paths[i] for i in sorted(mine)] for mine in dealt]


def read_shard(lists: ParquetLists, categorical_features: Any, peers: Peers) -> Given:
    """Read the files of this process, and agree with the others on what they hold.

    Parameters
    ----------
    lists : ParquetLists
        What to read.
    categorical_features : "from_dtype", sequence of str or None
        As in `RankFormerRanker`, by name.
    peers : Peers
        Processes among which the files are dealt.

    Raises
    ------
    ImportError, OSError, TypeError, ValueError
        In all processes, if one of them cannot read its files, a file lacks a column,
        a list lies in two files, or a category or a list id is text in one file and a
        number in another.
    """
    with peers.all_or_none():
        first = peers.rank == 0
        plan: Any = _plan(lists, categorical_features, peers.n) if first else None
    dealt, layout = peers.first(plan)
    files = dealt[peers.rank]
    with peers.all_or_none():
        read = _read(files, layout)
    _refuse_two_kinds(read.kinds, lists.group, peers)
    _refuse_split_lists(read.keys, files, lists.group, peers)
    X, weight = read.X, read.weight
    known = {name: _merged(peers.gather(v), name) for name, v in read.values.items()}
    for name, values in known.items() if layout.guessed else ():
        numbers = plain_numbers(values)
        if numbers is not None:
            # Lists without weight, which are not counted, may hold further texts.
            meant = {t: numbers.get(t, _alone(t)) for t in X[name].cat.categories}
            X[name] = X[name].map(meant).astype("category")
            known[name] = sorted(set(numbers.values()))
    position = positions = None
    if lists.position is not None:
        X, position = X.drop(columns=lists.position), X[lists.position].to_numpy()
        places = np.array(known.pop(lists.position), dtype=object)
        ids = check_groups(places, len(places), name="position", entry="position")
        positions = find_categories(ids[:, None], [0])
    mask = np.array([name in known for name in X], dtype=bool)
    return Given(
        X,
        read.y,
        read.groups,
        sample_weight=weight,
        position=position,
        categories=Categories(mask, tuple(known.values())),
        positions=positions,
        heaviest=None if weight is None else peers.most(float(weight.max())),
        peers=peers,
    )


def refuse_beside(given: dict[str, Any], group_column: Any) -> None:
    """Refuse what `ParquetLists` names itself, as columns of the files.

    Parameters
    ----------
    given : dict
        Arguments of `fit` by name, None where they were not given.
    group_column : object or None
        Parameter of the ranker.

    Raises
    ------
    ValueError
        If there is any.
    """
    beside = [name for name, value in given.items() if value is not None]
    if beside:
        raise ValueError(
            f"{', '.join(beside)} cannot be given beside ParquetLists, which names "
            f"columns of its files: ParquetLists(path, group=..., label=..., "
            f"position=..., weight=...)."
        )
    if group_column is not None:
        raise ValueError(
            f"group_column={group_column!r} is a column of X, and ParquetLists keeps "
            f"its column of list ids out of X. Set group_column=None."
        )


def _plan(
    lists: ParquetLists, categorical_features: Any, n: int
) -> tuple[list[list[str]], Layout]:
    """Files of each process, and the layout that all have."""
    dealt = deal_files(TableFiles(lists.path).paths, n)
    # Columns are read off a file of rank 0, so that none is opened by two processes.
    layout = find_layout(
        dealt[0][0],
        lists.group,
        lists.label,
        lists.features,
        categorical_features,
        [name for name in (lists.position, lists.weight) if name is not None],
    )
    # Its values become codes, as those of categories do.
    place = () if lists.position is None else (lists.position,)
    return dealt, replace(
        layout,
        features=(*layout.features, *place),
        categorical=layout.categorical | {*place},
        weight=lists.weight,
        keyed=True,
    )


class _Read(NamedTuple):
    """What the files of this process hold.

    Attributes
    ----------
    X, y, groups : DataFrame, ndarray, ndarray
        As from `load_converted`; a column of positions lies in X, as codes.
    weight : ndarray of shape (n_rows,), or None
    keys : ndarray of shape (n_lists,), uint64
        Of the lists, in the order found.
    kinds : dict of str
        What the list ids are, each with a file of it.
    values : dict of list
        Those of each column of codes that rows of weight hold.
    """

    X: Any
    y: np.ndarray
    groups: np.ndarray
    weight: np.ndarray | None
    keys: np.ndarray
    kinds: dict[str, str]
    values: dict[str, list]


def _read(files: list[str], layout: Layout) -> _Read:
    # Mapped arrays stay readable when their files are removed, so that a process that
    # is killed later leaves none behind. On Windows files in use are not removed.
    with tempfile.TemporaryDirectory(
        prefix="lists-", ignore_cleanup_errors=True
    ) as folder:
        place = Path(folder)
        # What texts stand for, those of all processes decide.
        kinds = write_tables(files, place, replace(layout, guessed=False))
        X, y, groups = load_converted(place)
        columns = read_columns(place / COLUMNS)
        weight = None if layout.weight is None else np.load(place / WEIGHT)
        keys = np.load(place / KEYS)
    counted = in_weighed_lists(split_lists(groups), weight)
    found = {
        name: _values_in(X[name], values, counted)
        for name, values in columns
        if values is not None
    }
    return _Read(X, y, groups, weight, keys, kinds, found)


def _values_in(column: Any, values: list, counted: np.ndarray) -> list:
    """Those of the values of a column of codes that its counted rows hold."""
    codes = np.unique(column.cat.codes.to_numpy()[counted])
    return [values[code] for code in codes if code >= 0]


def _merged(parts: list[list], name: str) -> list:
    values = np.array([v for part in parts for v in part], dtype=object)
    merged = distinct_values(values, repr(name))
    # A file holds a column of one type, so that these come from two.
    if len({isinstance(value, str) for value in merged}) > 1:
        raise TypeError(
            f"Some files hold text in the column {name!r} and others numbers: the text "
            f"'1' would be another value than the number 1. Give the column one type "
            f"in all of them."
        )
    return merged


def _refuse_two_kinds(kinds: dict[str, str], group: str, peers: Peers) -> None:
    """Raise TypeError in all processes if list ids are text here and numbers there."""
    found = {k: path for part in peers.gather(kinds) for k, path in part.items()}
    if len(found) > 1:
        shown = ", ".join(f"{kind} in {path}" for kind, path in sorted(found.items()))
        raise TypeError(
            f"The list ids of group={group!r} are {shown}: the rows of one list would "
            f"be those of two. Give the column one type in all files."
        )


def _alone(text: str) -> Any:
    """The number that a text of CSV stands for if it is the only one, or itself."""
    return (plain_numbers([text]) or {text: text})[text]


# Lists in two files -------------------------------------------------------------------


def _refuse_split_lists(
    keys: np.ndarray, files: list[str], group: str, peers: Peers
) -> None:
    """Raise ValueError in all processes if a list lies in two files of any of them."""
    # By a part of the keys at a time, so that no process holds those of all lists.
    n_slices = 1 + peers.total(len(keys)) // KEYS_AT_ONCE
    # Times the golden ratio, which spreads ids of any pattern evenly.
    spread = keys * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
    slices = spread % np.uint64(n_slices)
    for i in range(n_slices):
        together = np.sort(peers.join(keys[slices == i]))
        again = together[1:][together[1:] == together[:-1]]
        if len(again):
            _refuse(again[0], files, group, peers)


def _refuse(key: np.uint64, files: list[str], group: str, peers: Peers) -> None:
    found: dict[str, Any] = {}
    for path in files:
        for batch in TableFiles(path).batches([group], [group]):
            ids = check_groups(as_rows(batch)[group].to_numpy(), len(batch))
            shown = ids.astype(str) if ids.dtype.kind in "Mm" else ids
            for one in shown[id_keys(ids) == key][:1].tolist():
                found[path] = one
    # From file to id, of all processes.
    everywhere = {k: v for part in peers.gather(found) for k, v in part.items()}
    list_id = next(iter(everywhere.values()))
    raise ValueError(
        f"List {list_id!r} of group={group!r} lies in more than one file: "
        f"{', '.join(sorted(everywhere))}. A list is never trained in parts: write all "
        f"of its rows to one file."
    )
