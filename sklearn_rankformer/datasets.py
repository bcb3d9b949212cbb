"""Ranking data: a synthetic world with rich context, and readers of LETOR files.

Everything returns flat rows, ``(X, y, groups)``: one row per item, one label per row,
one list id per row. `make_ranking` draws them:

>>> from sklearn_rankformer.datasets import make_ranking
>>> X, y, groups = make_ranking(n_lists=3, list_size=4, random_state=0)
>>> X.shape, groups.tolist()
((12, 20), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])

`load_letor` reads the text files in which ranking data are published:

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> folder = TemporaryDirectory()
>>> path = Path(folder.name, "train.txt")
>>> size = path.write_text('''2 qid:7 1:0.5 3:2 # a comment
... 0 qid:7 2:1
... 1 qid:9 1:0.25
... ''')
>>> from sklearn_rankformer.datasets import load_letor
>>> X, y, groups = load_letor(path)
>>> X.tolist()
[[0.5, 0.0, 2.0], [0.0, 1.0, 0.0], [0.25, 0.0, 0.0]]
>>> y.tolist(), groups.tolist()
([2, 0, 1], [7, 7, 9])

`load_letor_fold` reads the three parts of a benchmark's fold with the same columns.
Files too large for memory become arrays on disk, once, from which rows are read as they
are needed:

>>> from sklearn_rankformer.datasets import convert_letor, load_converted
>>> paths = convert_letor(path, Path(folder.name, "arrays"))
>>> X, y, groups = load_converted(Path(folder.name, "arrays"))
>>> type(X).__name__, X.shape
('memmap', (3, 3))
>>> del X
>>> folder.cleanup()

`convert` does so with tables in Parquet, Arrow and CSV files; their columns keep their
names and categories, and come back as a pandas frame. `ParquetLists` names such files
for `fit` to read by itself, each of several processes its own part.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_random_state

from ._checks import check_count, check_real
from ._conversion import (
    COLUMNS,
    check_names,
    codes_file,
    find_layout,
    read_columns,
    refuse_two_purposes,
    write_header,
    write_tables,
)
from ._letor import Reader, read_files, to_layout, typed_ids, typed_labels
from ._synthetic import ROLES, draw_lists
from ._tablefiles import refuse_same_file

_CONVERTED = ("X.npy", "y.npy", "groups.npy")
_CONVERT_AGAIN = "Empty the directory, and convert again."


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
        good its items are on average. The rest is drawn at random, and shows in no
        feature.
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
        Also return the utility without its noise: no scores can rank better.
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
      features standardised within the list do show;
    - taste :math:`c_2 = \\tanh(3 m_j(z_0 z_1)) (z_3 + z_4)`: which way two features
      count is seen only from the items together;
    - crowding :math:`c_3 = -m_j(\\cos(1.5 (z_5 - z_{5j})))`: items unlike the others
      in one respect are more relevant, so that near-duplicates devalue each other.

    Scaled to unit variance, these give :math:`c = (c_1 + \\sqrt 2 c_2 + c_3) / 2` and
    :math:`u = a + s c`, s the context strength. Its part within the list, scaled to
    variance 1, plus 0.7 times the list's value, is the utility. That value is
    :math:`\\sqrt\\lambda\\, m_j(u) + \\sqrt{1 - \\lambda}\\, h_j`, both terms scaled to
    variance 1, :math:`\\lambda` the list signal and h normal. What makes an item good
    thus makes its list good, and labels are utility plus noise cut at thresholds that
    hold for all lists: a list without positives shows what bad items look like.

    Examples
    --------
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=50, random_state=0)
    >>> X.shape[1], len(set(groups.tolist())), sorted(set(y.tolist()))
    (20, 50, [0, 1, 2])
    """
    list_size = _check_list_size(list_size)
    check_count(n_lists, "n_lists")
    check_count(n_informative, "n_informative", ROLES)
    check_count(n_features, "n_features", n_informative)
    check_real(context_strength, "context_strength")
    check_real(list_signal, "list_signal", largest=1)
    check_real(list_share, "list_share", largest=1)
    check_real(empty_share, "empty_share", largest=1)
    check_count(n_levels, "n_levels", 2)
    check_real(noise, "noise")

    X, y, groups, utility = draw_lists(
        check_random_state(random_state),
        n_lists=n_lists,
        list_size=list_size,
        n_features=n_features,
        n_informative=n_informative,
        context_strength=context_strength,
        list_signal=list_signal,
        list_share=list_share,
        empty_share=empty_share,
        n_levels=n_levels,
        noise=noise,
    )
    return (X, y, groups, utility) if return_utility else (X, y, groups)


def load_letor(
    path, *, n_features=None, zero_based="auto", sizes=None, dtype=np.float32
):
    """Read a ranking data set in LETOR (svmlight with ``qid``) format.

    MSLR-WEB, LETOR, Istella and Yahoo data come so: one item per line,
    ``label qid:id index:value index:value ...``, anything after ``#`` a comment. So
    do the examples of LightGBM and XGBoost, whose lists stand in a file of sizes
    instead. Indices may come in any order. Beside the result only little memory is
    needed.

    Parameters
    ----------
    path : str or path-like
        File to read, UTF-8; compressed with gzip if its name ends in ``.gz``.
    n_features : int, default=None
        Number of columns of X; None takes as many as the largest index needs.
    zero_based : bool or "auto", default="auto"
        Whether the first column has index 0. "auto" says yes if any row of the file
        has index 0, as in scikit-learn. Give it where parts of a data set are read
        one by one: a part in which index 0 is missing by chance would come out
        shifted.
    sizes : str or path-like, default=None
        File that gives the number of rows of each list, one per line, for files
        without ``qid``. None looks beside the file for its name followed by
        ``.query`` (as LightGBM has it) or ``.group`` (as XGBoost has it).
    dtype : numpy.float32 or numpy.float64, default=numpy.float32
        Type of X.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features)
        Features. Those not named in a line are 0, as svmlight has it. ``nan`` and
        values beyond the range of float32 become NaN: Istella writes
        1.797e308 for a missing value.
    y : ndarray of shape (n_rows,), int64 or float64
        Labels, int64 if all are whole numbers below 2**53.
    groups : ndarray of shape (n_rows,), int64 or str
        List ids, int64 if all are plain integers. Otherwise they are text as it is
        written, so that 1 and 01 are two lists. With sizes, lists are 0, 1, ...

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds no rows, is cut off, packed or in UTF-16, its sizes do not
        add up to its rows, or a line is damaged: no list id, something that is no
        number, an index that is negative or beyond ``n_features``. The message names
        file, line and text.

    Warns
    -----
    UserWarning
        If an index stands twice in a row. The last value is taken, as by the reader
        of TF-Ranking, whose example needs it; scikit-learn's refuses such rows.
    """
    reader = _reader(n_features, zero_based, dtype)
    return read_files([path], reader, sizes)[0]


def load_letor_fold(
    directory, fold=None, *, n_features=None, zero_based="auto", dtype=np.float32
):
    """Read training, validation and test part of one fold.

    Parameters
    ----------
    directory : str or path-like
        Directory that holds ``Fold1``, ``Fold2``, ... (or ``fold1``, ...).
    fold : int, default=None
        Number of the fold; None if ``directory`` is itself the fold.
    n_features : int, default=None
        Number of columns; None takes as many as the largest index of all needs.
    zero_based : bool or "auto", default="auto"
        Whether the first column has index 0. "auto" says yes if any row of the three
        files has index 0.
    dtype : numpy.float32 or numpy.float64, default=numpy.float32
        Type of the features.

    Returns
    -------
    fold : sklearn.utils.Bunch
        ``train``, ``vali`` and ``test``, each ``(X, y, groups)`` as from
        `load_letor`, of the same columns and types. They come from ``train.txt``,
        ``vali.txt`` and ``test.txt``, or the same names with ``.gz``, and where these
        hold no ``qid`` from the files of sizes beside them; lists are then numbered
        through all three.

    Raises
    ------
    FileNotFoundError
        If the directory or one of the files is missing.
    ValueError
        If a file is damaged, as `load_letor` says, or some have ids and some do not.
    """
    place = _fold_directory(Path(directory), fold)
    names = ("train", "vali", "test")
    paths = [_part_path(place, name) for name in names]
    parts = read_files(paths, _reader(n_features, zero_based, dtype))
    return Bunch(**dict(zip(names, parts, strict=True)))


def convert_letor(path, directory, *, n_features=None, zero_based="auto"):
    """Write LETOR files as arrays that can be memory-mapped.

    The text is read twice: once for its size, labels and ids, which stay in memory,
    and once for the features, of which one block of a few megabytes is held at a
    time. The arrays appear in ``directory`` when all is written; a conversion that
    fails leaves none behind. One that is killed leaves a folder whose name begins
    with ``.converting-``, which can be removed.

    Parameters
    ----------
    path : path-like or list of path-like
        Files in the format of `load_letor`, with files of sizes beside them if they
        have no ids; several are joined in the given order, and an id that stands in
        two of them is one list.
    directory : str or path-like
        Where to write ``X.npy`` (float32), ``y.npy`` and ``groups.npy``. It is made
        if need be.
    n_features : int, default=None
        Number of columns of X; None takes as many as the largest index of all needs.
    zero_based : bool or "auto", default="auto"
        Whether the first column has index 0. "auto" says yes if any row of the files
        has index 0.

    Returns
    -------
    paths : sklearn.utils.Bunch
        ``X``, ``y``, ``groups``: paths of the files written.

    Raises
    ------
    FileExistsError
        If the directory holds such arrays already.
    FileNotFoundError, ValueError
        As `load_letor`, or if ``path`` is an empty list or has a file twice, some of
        the files have ids and some do not, or a file changes while it is read.

    See Also
    --------
    load_converted : Open the arrays.
    """
    readers = [_reader(n_features, zero_based, np.float32) for _ in range(2)]
    sources = list(path) if isinstance(path, list | tuple) else [path]
    if not sources:
        raise ValueError("path is an empty list. Give at least one LETOR file.")
    refuse_same_file(sources)
    directory = Path(directory)
    with _all_or_nothing(directory) as unready:
        _write_arrays(sources, unready, *readers)
    return Bunch(**{name.removesuffix(".npy"): directory / name for name in _CONVERTED})


def convert(
    path,
    directory,
    *,
    group_column,
    label_column,
    features=None,
    categorical_features="from_dtype",
):
    """Write tables from files as arrays that can be memory-mapped.

    The files are read once, a few megabytes at a time; labels and list ids stay in
    memory. If the rows of a list lie apart, all is read once more and sorted by DuckDB,
    on disk where the 512 MB that it is given do not suffice. The arrays appear in
    ``directory`` when all is written, as with `convert_letor`.

    Parameters
    ----------
    path : str, path-like, or list of these
        Files or folders of files in Parquet, Arrow or CSV format, recognised by their
        endings (.parquet, .pq, .arrow, .feather, .ipc, .csv, .csv.gz). Those of a
        folder are read in the order of their names, without what is hidden or begins
        with an underscore. All have the same columns.
    directory : str or path-like
        Where to write. It is made if need be.
    group_column, label_column : str
        Columns of the list ids and of the labels.
    features : sequence of str, default=None
        Columns of X; None takes all others but the index of a pandas frame.
    categorical_features : "from_dtype", sequence of str or None, default="from_dtype"
        Which of them hold categories: those that pandas and polars write as categories,
        those named, or none. CSV has no such type: name them. They are read letter by
        letter there, and are numbers if all of a column are written as plainly as "7".

    Returns
    -------
    directory : Path
        For `load_converted`.

    Raises
    ------
    FileExistsError
        If the directory holds converted data already.
    FileNotFoundError
        If there is no such file.
    ImportError
        If pyarrow is not installed, or DuckDB where it is needed: both come with the
        extra ``files``.
    TypeError
        If one text is given in place of names of columns.
    ValueError
        If a column is missing, there twice or given for two purposes, a feature is
        neither a number nor a category, a number is infinite or too large for float32,
        a label or a list id is missing, or a file is given twice.

    See Also
    --------
    load_converted : Open the arrays.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from sklearn_rankformer.datasets import convert, load_converted
    >>> rows = pd.DataFrame(
    ...     {"qid": [7, 7, 9], "price": [2.5, None, 1.0], "clicked": [1, 0, 0]}
    ... ).assign(colour=pd.Categorical(["red", "blue", None]))
    >>> with TemporaryDirectory() as folder:
    ...     rows.to_parquet(f"{folder}/rows.parquet")
    ...     where = convert(
    ...         f"{folder}/rows.parquet",
    ...         f"{folder}/arrays",
    ...         group_column="qid",
    ...         label_column="clicked",
    ...     )
    ...     X, y, groups = load_converted(where)
    ...     print(X)
       price colour
    0    2.5    red
    1    NaN   blue
    2    1.0    NaN
    """
    layout = find_layout(
        path, group_column, label_column, features, categorical_features
    )
    directory = Path(directory)
    with _all_or_nothing(directory) as unready:
        write_tables([path], unready, layout)
    return directory


def load_converted(directory):
    """Open what `convert` or `convert_letor` wrote, the features memory-mapped.

    Parameters
    ----------
    directory : str or path-like
        Directory given to either of them.

    Returns
    -------
    X : pandas.DataFrame or numpy.memmap of shape (n_rows, n_features)
        Features, read-only, on disk: a frame from `convert`, with the names of the
        columns, numbers as float32 and categories as such; an array of float32 from
        `convert_letor`.
    y : ndarray of shape (n_rows,), int64 or float64
        Labels.
    groups : ndarray of shape (n_rows,), int64 or str
        List ids. `convert` numbers those that are no integers of 64 bits from 0, in the
        order of the lists: of each row, a text would take more memory than all else.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ImportError
        If pandas is not installed, where X is a frame.
    ValueError
        If a file is cut off or damaged, or they differ in their number of rows.
    """
    paths = [Path(directory) / name for name in _CONVERTED]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"{directory} holds no {', '.join(missing)}. Write them with convert or "
            f"convert_letor."
        )
    X = _mapped(paths[0], 2, np.float32)
    y = np.array(_mapped(paths[1], 1, np.int64, np.float64))
    groups = np.array(_mapped(paths[2], 1, np.int64, np.str_))
    if not len(X) == len(y) == len(groups):
        raise ValueError(
            f"{directory} holds {len(X)} rows of X, {len(y)} of y and {len(groups)} of "
            f"groups. {_CONVERT_AGAIN}"
        )
    if (Path(directory) / COLUMNS).exists():
        X = _as_frame(X, Path(directory))
    return X, y, groups


@dataclass(frozen=True)
class ParquetLists:  # numpydoc ignore=PR02
    """Files of whole lists, for `fit` to read in place of X, y and groups.

    Where several processes train together, each opens files of its own only: see
    Notes. Alone, one process reads them all. Rows are read in batches, and numbers kept
    as float32 in a temporary file, so that they need not fit into memory.

    Parameters
    ----------
    path : str, path-like, or list of these
        Files or folders of files in Parquet, Arrow or CSV format, as in `convert`. All
        have the same columns, and no list lies in two files.
    group : str
        Column of the list ids. Rows of a list that lie apart in their file are brought
        together by DuckDB.
    label : str
        Column of the labels.
    features : sequence of str, default=None
        Columns of X; None takes all others but the index of a pandas frame.
    position : str, default=None
        Column of shown positions, as `fit` takes them.
    weight : str, default=None
        Column of row weights, as `fit` takes them.

    Raises
    ------
    TypeError
        If ``features`` is one text. By `fit`: if list ids, positions or categories are
        text in one file and numbers in another.
    ValueError
        If one column is given for two purposes. By `fit`: if a column is missing, a
        list lies in two files, a file is given twice, there are fewer files than
        processes, or the files of a process hold no rows; in all processes, if anything
        is wrong in one.

    See Also
    --------
    convert : Write the arrays for good, for many fits.

    Notes
    -----
    Processes train together if `torch.distributed` is initialised, or under
    ``torchrun`` and whatever sets the same variables (RANK, WORLD_SIZE, MASTER_ADDR,
    MASTER_PORT).
    All see the files under the same path, and call `fit` with the same arguments and
    an integer `random_state`. Rank 0 lists the files and deals them by their sizes.

    The temporary file lies where `tempfile.gettempdir` says (``TMPDIR``).

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_rankformer import MLPRanker
    >>> from sklearn_rankformer.datasets import ParquetLists, make_ranking
    >>> import pandas as pd
    >>> X, y, groups = make_ranking(n_lists=40, random_state=0)
    >>> rows = pd.DataFrame(X).add_prefix("f").assign(qid=groups, clicks=y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows[groups < 20].to_parquet(f"{folder}/part-0.parquet")
    ...     rows[groups >= 20].to_parquet(f"{folder}/part-1.parquet")
    ...     lists = ParquetLists(folder, group="qid", label="clicks")
    ...     ranker = MLPRanker(max_epochs=1, random_state=0).fit(lists)
    >>> len(ranker.trained_lists_)
    40
    """

    path: Any
    _: KW_ONLY
    group: str
    label: str
    features: Sequence[str] | None = None
    position: str | None = None
    weight: str | None = None

    def __post_init__(self):
        check_names(self.features, "features")
        given = [self.group, self.label, self.position, self.weight]
        features = () if self.features is None else self.features
        refuse_two_purposes([name for name in [*given, *features] if name])


def _check_list_size(list_size) -> tuple[int, int]:
    sizes = list_size if isinstance(list_size, tuple | list) else (list_size,) * 2
    if len(sizes) != 2:
        raise ValueError(f"list_size must be an int or (low, high), got {list_size!r}.")
    low, high = (check_count(size, "list_size") for size in sizes)
    if low > high:
        raise ValueError(f"list_size must be (low, high), got {list_size!r}.")
    return low, high


def _reader(n_features, zero_based, dtype) -> Reader:
    if n_features is not None:
        # More would not fit into the 64 bits of a position in a block.
        n_features = check_count(n_features, "n_features", largest=2**31 - 1)
    if not (isinstance(zero_based, bool) or zero_based == "auto"):
        raise ValueError(
            f"zero_based must be True, False or 'auto', got {zero_based!r}."
        )
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}.")
    return Reader(n_features, zero_based, dtype)


def _fold_directory(directory: Path, fold) -> Path:
    if fold is None:
        return directory
    check_count(fold, "fold")
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


@contextmanager
def _all_or_nothing(directory: Path) -> Iterator[Path]:
    """A folder whose files appear in `directory` unless an exception is raised."""
    _check_free(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # Inside the directory, so that moving the files cannot cross file systems.
    with tempfile.TemporaryDirectory(dir=directory, prefix=".converting-") as unready:
        yield Path(unready)
        # Another process may have written here meanwhile.
        _check_free(directory)
        # X.npy, without which nothing is loaded, comes last.
        for path in sorted(Path(unready).iterdir(), reverse=True):
            os.replace(path, directory / path.name)


def _as_frame(X: np.memmap, directory: Path):
    """The columns as a frame that holds no number of its own."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            f"{directory} holds columns with names, which become a pandas frame: pip "
            f"install pandas."
        ) from error
    columns = read_columns(directory / COLUMNS)
    numeric = [name for name, categories in columns if categories is None]
    if len(numeric) != X.shape[1]:
        raise ValueError(
            f"{directory} holds {X.shape[1]} columns of numbers, and names "
            f"{len(numeric)}. {_CONVERT_AGAIN}"
        )
    frame = pd.DataFrame(X, columns=numeric, copy=False)
    for j, (name, categories) in enumerate(columns):
        if categories is not None:
            codes = _mapped(directory / codes_file(j), 1, np.int8, np.int16, np.int32)
            within = -1 <= codes.min() <= codes.max() < len(categories)
            if len(codes) != len(X) or not within:
                raise ValueError(f"{codes.filename} is damaged. {_CONVERT_AGAIN}")
            frame.insert(j, name, pd.Categorical.from_codes(codes, categories))
    return frame


def _check_free(directory: Path) -> None:
    there = [name for name in (*_CONVERTED, COLUMNS) if (directory / name).exists()]
    if there:
        raise FileExistsError(
            f"{directory} already holds {', '.join(there)}. Open them with "
            f"load_converted, remove them, or give another directory."
        )


def _write_arrays(sources: list, directory: Path, reader: Reader, again: Reader):
    blocks = [
        (block.labels, block.ids) for path in sources for block in reader.read(path)
    ]
    first, width = reader.layout()
    labels, ids = (np.concatenate(column) for column in zip(*blocks, strict=True))
    n_rows, same = 0, True
    # The header needs the shape, which only a first reading of the text can give.
    with open(directory / "X.npy", "wb") as file:
        write_header(file, (len(labels), width))
        for block in (block for path in sources for block in again.read(path)):
            to_layout(block.X, first, width).tofile(file)
            # Of a file that changes meanwhile, X would get the labels of other rows.
            same &= np.array_equal(block.labels, labels[n_rows : n_rows + len(block.X)])
            n_rows += len(block.X)
    if not same or again != reader or n_rows != len(labels):
        raise ValueError(
            f"{', '.join(map(str, sources))} changed while being read. Convert again "
            f"when writing is over."
        )
    np.save(directory / "y.npy", typed_labels([labels])[0])
    np.save(directory / "groups.npy", typed_ids([ids])[0])


def _mapped(path: Path, ndim: int, *types: type) -> np.memmap:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OverflowError, SyntaxError, TokenError) as error:
        raise ValueError(
            f"{path} is cut off or damaged: {error}. {_CONVERT_AGAIN}"
        ) from error
    fits = array.ndim == ndim and array.dtype.type in types and array.dtype.isnative
    if not fits or array.offset + array.nbytes != path.stat().st_size:
        raise ValueError(
            f"{path} is damaged: it holds {array.dtype} of shape {array.shape}, which "
            f"is not what was written or not all of it. {_CONVERT_AGAIN}"
        )
    return array
