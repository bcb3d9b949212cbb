"""Ranking data: a synthetic world with rich context, and readers of LETOR files.

Everything returns flat rows, ``(X, y, groups)``: one row per item, one label per row,
one list id per row. `make_ranking` draws them; `load_letor` reads the text files that
ranking research passes round; `convert_letor` turns files too large for memory into
arrays that can be memory-mapped.
"""

import gzip
import io
import math
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from sklearn.datasets import load_svmlight_file
from sklearn.utils import Bunch, check_random_state, check_scalar

_ROLES = 6  # Columns that the context of `make_ranking` reads one by one.
_BLOCK_BYTES = 4_000_000
_MOST_FEATURES = 1_000_000  # Beyond it, an index is taken for a slip of the pen.
_COMMENT = re.compile(rb"#[^\n]*")
_LARGEST_VALUE = float(np.finfo(np.float32).max)
_CONVERTED = ("X.npy", "y.npy", "groups.npy")


def make_ranking(
    n_lists=200,
    *,
    list_size=(5, 40),
    n_features=20,
    n_informative=8,
    context_strength=1.0,
    list_signal=0.5,
    list_share=0.3,
    empty_share=0.25,
    n_levels=3,
    noise=0.3,
    return_utility=False,
    random_state=None,
):
    """Draw lists of items whose relevance depends on the item and on its list.

    A 10-dollar item means something else among 5-dollar items than among 20-dollar
    ones. Here ``context_strength`` says how much of that there is: at 0 each item is
    as relevant in any list, and a good model of single rows is all one needs; at
    large values most depends on the other items shown, and in ways which features
    standardised or ranked within their list recover only in part.

    Parameters
    ----------
    n_lists : int, default=200
        Number of lists.
    list_size : int or (int, int), default=(5, 40)
        Items per list; of a pair (low, high) each list draws a size, both included.
    n_features : int, default=20
        Number of features.
    n_informative : int, default=8
        The first ``n_informative`` features matter, at least 6; the others are noise.
    context_strength : float, default=1.0
        Weight of the context beside the item's own relevance, which has weight 1.
    list_signal : float, default=0.5
        Share, from 0 to 1, of the variance of the list's value that follows from how
        good its items are on average. The rest is drawn at random, and no feature
        tells it.
    list_share : float, default=0.3
        Share, from 0 to 1, of the variance of the features that the items of a list
        have in common. Lists much alike inside and unlike one another are those where
        knowing a list to be bad says most about its items.
    empty_share : float, default=0.25
        Share of lists without any positive label, from 0 to 1, kept to the nearest
        whole list. One threshold holds for all lists, so that few empty lists come
        with many positive items: about 15 % at 0.25, most of them at 0.
    n_levels : int, default=3
        Labels are 0, ..., ``n_levels - 1``; each further level keeps the upper half
        of the positive items below it.
    noise : float, default=0.3
        Standard deviation of the noise in the utility, which has standard deviation 1
        within lists.
    return_utility : bool, default=False
        Also return the utility without its noise: the best scores that there can be.
    random_state : int, RandomState instance or None, default=None
        Seed. Another seed is another world with other weights: draw training and test
        lists together, and split them by ``groups``.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features), float64
        Features on very different scales; every third is heavy-tailed.
    y : ndarray of shape (n_rows,), int64
        Labels.
    groups : ndarray of shape (n_rows,), int64
        List of each row, 0 to ``n_lists - 1``; the rows of a list are contiguous.
    utility : ndarray of shape (n_rows,), float64
        Noise-free utility; only if ``return_utility``.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type or out of its range.

    Notes
    -----
    Latent features :math:`z_{ij}` of item i in list j are standard normal, the share
    `list_share` of their variance common to the list. Exceptions are :math:`z_0` and
    :math:`z_1`, which share nothing but have the correlation +0.7 in one half of the
    lists, and -0.7 in the other. X shows :math:`1000^{1 - 2 k / p} (z_k + 2)`,
    :math:`e^{1.5 z_k}` and :math:`100 / (1 + e^{-z_k})` by turns, k = 0, ..., p - 1.

    With :math:`m_j` the mean over list j and random unit vectors v and w,

    - item relevance :math:`a = v^T z + w^T |z|` over the informative features;
    - typical price :math:`c_1 = -|z_2 - m_j(z_2)|`: standing within the list, which
      features standardised within the list do tell;
    - taste :math:`c_2 = \\tanh(3 m_j(z_0 z_1)) (z_3 + z_4)`: which way two features
      count is seen only from the items together;
    - crowding :math:`c_3 = -m_j(\\cos(1.5 (z_5 - z_{5j})))`: items unlike the others
      in one respect are worth more, so that near-duplicates devalue each other.

    Scaled to unit variance, these give :math:`c = (c_1 + \\sqrt 2 c_2 + c_3) / 2` and
    :math:`u = a + s c`, s the context strength. Its part within the list, scaled to
    variance 1, plus 0.7 times the list's value, is the utility. That value is
    :math:`\\sqrt\\lambda\\, m_j(u) + \\sqrt{1 - \\lambda}\\, h_j`, both terms scaled to
    variance 1, :math:`\\lambda` the list signal and h normal. What makes an item good
    thus makes its list good, and labels are utility plus noise cut at thresholds that
    hold for all lists: a list without positives tells what bad items look like.

    Examples
    --------
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=50, random_state=0)
    >>> X.shape[1], len(set(groups.tolist())), sorted(set(y.tolist()))
    (20, 50, [0, 1, 2])
    """
    low, high = _check_list_size(list_size)
    check_scalar(n_lists, "n_lists", Integral, min_val=1)
    check_scalar(n_informative, "n_informative", Integral, min_val=_ROLES)
    check_scalar(n_features, "n_features", Integral, min_val=n_informative)
    _check_real(context_strength, "context_strength")
    _check_real(list_signal, "list_signal", largest=1)
    _check_real(list_share, "list_share", largest=1)
    _check_real(empty_share, "empty_share", largest=1)
    check_scalar(n_levels, "n_levels", Integral, min_val=2)
    _check_real(noise, "noise")

    random = check_random_state(random_state)
    lengths = random.randint(low, high + 1, n_lists)
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
    answer = _as_measured(z), y, world.groups
    return (*answer, utility) if return_utility else answer


class _World(NamedTuple):
    groups: np.ndarray
    lengths: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        return np.cumsum(self.lengths) - self.lengths

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean over the list of each row."""
        return (np.add.reduceat(values, self.starts) / self.lengths)[self.groups]


def _check_list_size(list_size) -> tuple[int, int]:
    sizes = list_size if isinstance(list_size, tuple | list) else (list_size,) * 2
    if len(sizes) != 2:
        raise ValueError(f"list_size must be an int or (low, high), got {list_size!r}.")
    for size in sizes:
        check_scalar(size, "list_size", Integral, min_val=1)
    if sizes[0] > sizes[1]:
        raise ValueError(f"list_size must be (low, high), got {list_size!r}.")
    return int(sizes[0]), int(sizes[1])


def _check_real(value, name: str, largest=None) -> None:
    check_scalar(value, name, Real, min_val=0, max_val=largest)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}.")


def _latent_features(
    world: _World, n_features: int, list_share: float, random
) -> np.ndarray:
    n_lists, n_rows = len(world.lengths), len(world.groups)
    z = random.standard_normal((n_rows, n_features))
    shared = random.standard_normal((n_lists, n_features - 2))
    z[:, 2:] *= math.sqrt(1 - list_share)
    z[:, 2:] += math.sqrt(list_share) * shared[world.groups]
    correlation = np.where(random.uniform(size=n_lists) < 0.5, -0.7, 0.7)[world.groups]
    z[:, 1] = correlation * z[:, 0] + math.sqrt(1 - 0.7**2) * z[:, 1]
    return z


def _item_relevance(z: np.ndarray, random) -> np.ndarray:
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


def load_letor(path, *, n_features=None, dtype=np.float32):
    """Read a ranking data set in LETOR (svmlight with ``qid``) format.

    MSLR-WEB, LETOR, Istella and Yahoo data come so: one item per line,
    ``label qid:id index:value index:value ...``, indices from 1 and increasing,
    anything after ``#`` a comment. The file is parsed in blocks of a few megabytes,
    so that beside the result only little memory is needed.

    Parameters
    ----------
    path : str or path-like
        File to read; compressed with gzip if its name ends in ``.gz``.
    n_features : int, default=None
        Number of columns of X; None takes the largest index in the file.
    dtype : numpy.float32 or numpy.float64, default=numpy.float32
        Type of X.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features)
        Features. Those not named in a line are 0, as svmlight has it. ``nan`` and
        values beyond the range of float32 become NaN: Istella writes
        1.797e308 for a missing value.
    y : ndarray of shape (n_rows,), int64 or float64
        Labels, int64 if all are whole numbers.
    groups : ndarray of shape (n_rows,), int64 or str
        List ids, int64 if all are written as integers.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds no rows, is cut off, or a line is damaged: no ``qid``,
        something that is no number, an index that is below 1, repeated, smaller than
        the one before it, or larger than ``n_features``. The message names file,
        line and text.
    """
    dtype = _check_dtype(dtype)
    _check_n_features(n_features)
    blocks = list(_read_blocks(path, n_features, dtype))
    shape = sum(len(block.y) for block in blocks), _width(blocks, n_features)
    y, groups = _join_labels(blocks), _join_ids(blocks)
    X = np.zeros(shape, dtype)
    stop = len(X)
    while blocks:  # A block is let go as soon as it is copied.
        block = blocks.pop()
        X[stop - len(block.y) : stop, : block.X.shape[1]] = block.X
        stop -= len(block.y)
    return X, y, groups


def load_letor_fold(directory, fold=None, *, n_features=None, dtype=np.float32):
    """Read training, validation and test part of one fold.

    Parameters
    ----------
    directory : str or path-like
        Directory that holds ``Fold1``, ``Fold2``, ... (or ``fold1``, ...).
    fold : int, default=None
        Number of the fold; None if ``directory`` is itself the fold.
    n_features : int, default=None
        Number of columns; None takes the largest index in any of the three files.
    dtype : numpy.float32 or numpy.float64, default=numpy.float32
        Type of the features.

    Returns
    -------
    fold : sklearn.utils.Bunch
        ``train``, ``vali`` and ``test``, each ``(X, y, groups)`` as from
        `load_letor`, with equally many columns. They come from ``train.txt``,
        ``vali.txt`` and ``test.txt``, or the same names with ``.gz``.

    Raises
    ------
    FileNotFoundError
        If the directory or one of the files is missing.
    ValueError
        If a file is damaged, as `load_letor` says.
    """
    place = _fold_directory(Path(directory), fold)
    names = ("train", "vali", "test")
    paths = [_part_path(place, name) for name in names]
    parts = [load_letor(path, n_features=n_features, dtype=dtype) for path in paths]
    width = max(X.shape[1] for X, _, _ in parts)
    return Bunch(
        **{
            name: (_widened(X, width), y, groups)
            for name, (X, y, groups) in zip(names, parts, strict=True)
        }
    )


def convert_letor(path, directory, *, n_features=None, overwrite=False):
    """Write LETOR files as arrays that can be memory-mapped.

    The text is read twice: once for its size, labels and ids, which stay in memory
    (16 bytes a row), and once for the features, of which one block of a few
    megabytes is held at a time. The arrays appear in ``directory`` when all is
    written; a conversion that fails leaves none behind.

    Parameters
    ----------
    path : path-like or list of path-like
        Files in the format of `load_letor`; several are joined in the given order.
    directory : str or path-like
        Where to write ``X.npy`` (float32), ``y.npy`` and ``groups.npy``. It is made
        if need be.
    n_features : int, default=None
        Number of columns of X; None takes the largest index in the files.
    overwrite : bool, default=False
        Whether such arrays in the directory may be replaced.

    Returns
    -------
    paths : sklearn.utils.Bunch
        ``X``, ``y``, ``groups``: paths of the files written.

    Raises
    ------
    FileExistsError
        If the directory holds such arrays and ``overwrite`` is False.
    FileNotFoundError, ValueError
        As `load_letor`, or if ``path`` is an empty list.

    See Also
    --------
    load_converted : Open the arrays.
    """
    _check_n_features(n_features)
    sources = list(path) if isinstance(path, list | tuple) else [path]
    if not sources:
        raise ValueError("path is an empty list. Give at least one LETOR file.")
    directory = Path(directory)
    there = [name for name in _CONVERTED if (directory / name).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{directory} already holds {', '.join(there)}. Give another directory, "
            f"or overwrite=True to replace them."
        )
    directory.mkdir(parents=True, exist_ok=True)
    # Inside the directory, so that moving the files cannot cross file systems.
    with tempfile.TemporaryDirectory(dir=directory, prefix=".converting-") as unready:
        _write_arrays(sources, Path(unready), n_features)
        for name in there:
            (directory / name).unlink()
        for name in _CONVERTED:
            os.replace(Path(unready) / name, directory / name)
    return Bunch(**{name.removesuffix(".npy"): directory / name for name in _CONVERTED})


def load_converted(directory):
    """Open what `convert_letor` wrote, the features memory-mapped.

    Parameters
    ----------
    directory : str or path-like
        Directory given to `convert_letor`.

    Returns
    -------
    X : numpy.memmap of shape (n_rows, n_features), float32
        Features, read-only, on disk.
    y : ndarray of shape (n_rows,), int64 or float64
        Labels.
    groups : ndarray of shape (n_rows,), int64 or str
        List ids.

    Raises
    ------
    FileNotFoundError
        If one of the three files is missing.
    ValueError
        If the three differ in their number of rows.
    """
    paths = [Path(directory) / name for name in _CONVERTED]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"{directory} holds no {', '.join(missing)}. Write them with convert_letor."
        )
    X = np.load(paths[0], mmap_mode="r", allow_pickle=False)
    y, groups = (np.load(path, allow_pickle=False) for path in paths[1:])
    if not len(X) == len(y) == len(groups):
        raise ValueError(
            f"{directory} holds {len(X)} rows of X, {len(y)} of y and {len(groups)} of "
            f"groups. Convert again with convert_letor(..., overwrite=True)."
        )
    return X, y, groups


class _Block(NamedTuple):
    """Some consecutive rows of a file; ids still as they are written."""

    X: np.ndarray
    y: np.ndarray
    ids: np.ndarray


class _Place(NamedTuple):
    """Where a block comes from, for error messages."""

    path: object
    first_line: int


def _check_dtype(dtype) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}.")
    return dtype


def _check_n_features(n_features) -> None:
    if n_features is not None:
        check_scalar(n_features, "n_features", Integral, min_val=1)


def _width(blocks: list[_Block], n_features: int | None) -> int:
    return n_features or max(block.X.shape[1] for block in blocks)


def _join_labels(blocks: list[_Block]) -> np.ndarray:
    y = np.concatenate([block.y for block in blocks])
    whole = (y == np.rint(y)).all() and np.abs(y).max() < 2**53
    return y.astype(np.int64) if whole else y


def _join_ids(blocks: list[_Block]) -> np.ndarray:
    if all(block.ids.dtype.kind == "i" for block in blocks):
        return np.concatenate([block.ids for block in blocks])
    return np.concatenate([block.ids.astype(str) for block in blocks])


def _fold_directory(directory: Path, fold) -> Path:
    if fold is None:
        return directory
    check_scalar(fold, "fold", Integral, min_val=1)
    for name in (f"Fold{fold}", f"fold{fold}"):
        if (directory / name).is_dir():
            return directory / name
    raise FileNotFoundError(
        f"{directory} holds no Fold{fold}. If it is itself the fold, give fold=None."
    )


def _part_path(place: Path, name: str) -> Path:
    for suffix in (".txt", ".txt.gz"):
        if (place / f"{name}{suffix}").exists():
            return place / f"{name}{suffix}"
    raise FileNotFoundError(f"{place} holds neither {name}.txt nor {name}.txt.gz.")


def _widened(X: np.ndarray, width: int) -> np.ndarray:
    return X if X.shape[1] == width else np.pad(X, ((0, 0), (0, width - X.shape[1])))


def _write_arrays(sources: list, directory: Path, n_features: int | None) -> None:
    def read() -> Iterator[_Block]:
        for source in sources:
            yield from _read_blocks(source, n_features, np.dtype(np.float32))

    # A view of no rows remembers the width, and keeps no block alive.
    blocks = [_Block(np.empty((0, b.X.shape[1])), b.y, b.ids) for b in read()]
    y, groups = _join_labels(blocks), _join_ids(blocks)
    shape = len(y), _width(blocks, n_features)
    with open(directory / "X.npy", "wb") as file:
        header = np.lib.format.header_data_from_array_1_0(np.empty((0, 0), np.float32))
        np.lib.format.write_array_header_1_0(file, header | {"shape": shape})
        for block in read():
            _widened(block.X, shape[1]).tofile(file)
    np.save(directory / "y.npy", y)
    np.save(directory / "groups.npy", groups)


def _read_blocks(path, n_features: int | None, dtype: np.dtype) -> Iterator[_Block]:
    """Parse a file block by block, a block always ending with its line."""
    empty = True
    for place, text in _read_text(path):
        block = _parse_fast(text, n_features, dtype)
        if block is None:
            block = _parse_lines(text, place, n_features, dtype)
        if len(block.y):
            empty = False
            yield block
    if empty:
        raise ValueError(f"{path} holds no rows like 'label qid:id index:value'.")


def _read_text(path) -> Iterator[tuple[_Place, bytes]]:
    line, rest = 1, b""
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rb") as file:
        while read := _read_some(file, path):
            whole, newline, tail = read.rpartition(b"\n")
            if not newline:
                rest += read
                continue
            text = rest + whole + newline
            yield _Place(path, line), text
            line, rest = line + text.count(b"\n"), tail
    if rest:
        yield _Place(path, line), rest + b"\n"


def _read_some(file, path) -> bytes:
    try:
        return file.read(_BLOCK_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path} cannot be unpacked: {error}. It is cut off, damaged, or no gzip "
            f"file."
        ) from error


def _parse_fast(text: bytes, n_features: int | None, dtype: np.dtype) -> _Block | None:
    """Parse a block in compiled code; None where anything in it is unusual."""
    if b"_" in text:
        text = _COMMENT.sub(b"", text)
    if b"_" in text:  # It would read 1_000 as a number.
        return None
    try:
        X, y, ids = load_svmlight_file(
            io.BytesIO(text), n_features=n_features, query_id=True, zero_based=False
        )
    except (ValueError, OverflowError):
        return None
    too_wide = n_features is None and X.shape[1] > _MOST_FEATURES
    if len(ids) != len(y) or not np.isfinite(y).all() or too_wide:
        return None
    X.data = _without_sentinels(X.data).astype(dtype)
    return _Block(X.toarray(), y, ids)


def _without_sentinels(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) > _LARGEST_VALUE, np.nan, values)


def _written_ids(written: list[bytes]) -> np.ndarray:
    ids = np.array([_text(word) for word in written], dtype=str)
    if not np.char.isdecimal(np.char.lstrip(ids, "-")).all():
        return ids
    try:
        return ids.astype(np.int64)
    except (ValueError, OverflowError):
        return ids


def _parse_lines(
    text: bytes, place: _Place, n_features: int | None, dtype: np.dtype
) -> _Block:
    """Parse line by line, slowly, so that an error can say where it lies."""
    labels, written, rows = [], [], []
    for number, line in enumerate(text.split(b"\n"), place.first_line):
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        try:
            labels.append(_label(words[0]))
            written.append(_written_id(words[1:2]))
            rows.append([_pair(word) for word in words[2:]])
            _check_indices([index for index, _ in rows[-1]], n_features)
        except ValueError as error:
            _refuse(place.path, number, line, error)
    width = n_features or max((row[-1][0] for row in rows if row), default=1)
    X = np.zeros((len(rows), width))
    for filled, row in zip(X, rows, strict=True):
        for index, value in row:
            filled[index - 1] = value
    X = _without_sentinels(X).astype(dtype)
    return _Block(X, np.array(labels, dtype=np.float64), _written_ids(written))


def _text(word: bytes) -> str:
    return word.decode(errors="backslashreplace")


def _refuse(path, number: int, line: bytes, error: Exception) -> NoReturn:
    shown = line[:80].decode(errors="backslashreplace")
    raise ValueError(f"{path}, line {number}: {error} The line reads {shown!r}.")


def _number(word: bytes, what: str) -> float:
    try:
        if b"_" in word:  # Python would read 1_000 as a number.
            raise ValueError
        return float(word)
    except ValueError:
        raise ValueError(f"{what} {_text(word)!r} is not a number.") from None


def _label(word: bytes) -> float:
    label = _number(word, "label")
    if not math.isfinite(label):
        raise ValueError(f"label {_text(word)!r} is not finite.")
    return label


def _written_id(words: list[bytes]) -> bytes:
    if not words or not words[0].startswith(b"qid:") or words[0] == b"qid:":
        raise ValueError("the list id, qid:..., must follow the label.")
    return words[0].removeprefix(b"qid:")


def _pair(word: bytes) -> tuple[int, float]:
    index, colon, value = word.partition(b":")
    if not colon or not index.isdigit():
        raise ValueError(f"{_text(word)!r} is not of the form index:value.")
    return int(index), _number(value, f"value of feature {int(index)},")


def _check_indices(indices: list[int], n_features: int | None) -> None:
    if indices and indices[0] < 1:
        raise ValueError("feature indices must start from 1, got 0.")
    for before, index in pairwise(indices):
        if index <= before:
            raise ValueError(
                f"feature indices must increase, got {index} after {before}."
            )
    if indices and n_features is not None and indices[-1] > n_features:
        raise ValueError(
            f"feature index {indices[-1]} exceeds n_features={n_features}. Raise it, "
            f"or give n_features=None."
        )
    if indices and n_features is None and indices[-1] > _MOST_FEATURES:
        raise ValueError(
            f"feature index {indices[-1]} is too large for a dense array. If it is no "
            f"slip, give n_features."
        )
