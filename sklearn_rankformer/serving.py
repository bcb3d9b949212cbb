"""Scores for more rows than fit into memory, on any engine that sends frames.

`ListScorer` is one object that can be pickled and called: an iterator of frames in, an
iterator of frames out. It carries a list that is cut by the border of two frames over
to the next, so that each list is scored whole:

>>> import pandas as pd
>>> from sklearn_rankformer import MLPRanker
>>> from sklearn_rankformer.datasets import make_ranking
>>> from sklearn_rankformer.serving import ListScorer
>>> X, y, groups = make_ranking(n_lists=20, random_state=0)
>>> features = pd.DataFrame(X).add_prefix("f")
>>> ranker = MLPRanker(max_epochs=1, random_state=0).fit(features, y, groups=groups)
>>> rows = features.assign(qid=groups, item=range(len(y)))
>>> batches = (rows[i : i + 7] for i in range(0, len(rows), 7))
>>> scorer = ListScorer(ranker, group_column="qid", keep=["item"])
>>> scored = pd.concat(scorer(batches))
>>> list(scored)
['qid', 'item', 'score']
>>> bool((abs(scored["score"] - ranker.predict(features)) < 1e-6).all())
True

`python -m sklearn_rankformer.score` does this from file to file, and `iter_lists` gives
the whole lists themselves.
"""

import copy
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._checks import check_count
from ._frames import as_rows, frame_library, select_columns
from ._groups import check_groups
from ._lists import split_lists
from ._models import group_column_of, predict_scores, ranker_of, unwrap
from ._neural_ranker import NeuralRanker
from ._streams import whole_lists
from ._tablefiles import TableFiles
from .persistence import load

# How many numbers, of all columns, are scored at a time: 32 MB in float64.
PIECE_CELLS = 2**22

SCORES = ("score", "list_value", "item_value")


class ListScorer:
    """Scores of whole lists out of a stream of frames, or of one frame.

    It is called with an iterator of frames, of pandas, polars or pyarrow (tables or
    record batches), and gives an iterator of frames of that kind: what Spark's
    `mapInPandas` and `mapInArrow` ask for, and whatever else reads batch by batch. The
    rows of a list must follow one another; where frames begin and end does not matter.
    Called with one frame, as by Dask's `map_partitions` and Ray's `map_batches`, it
    takes the rows, in any order, for whole lists and gives one frame.

    Parameters
    ----------
    ranker_or_path : ranker, str or path-like
        A fitted ranker, regressor, or pipeline or search that ends in one; or a file
        written by `persistence.save`. A path is what travels to other processes, each
        of which opens the file once; a ranker travels itself, weights and all, with
        every task.
    group_column : str
        Column of the list ids.
    keep : sequence of str, default=()
        Further columns of the frames to hand on, such as the items' ids.
    list_value, item_value : bool, default=False
        Whether to add the ``value`` of `predict_list_value`, the same on all rows of a
        list, and that of `predict_item_value`. One pass through the network gives all.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, ``keep`` holds a name that scores are
        given, or a ranker with a `group_column` lies behind transformers. By a call: if
        a column or a list id is missing, the ranker has no list value, or a list comes
        again after others; the message names it.

    See Also
    --------
    iter_lists : Frames of whole lists, for loops of your own.

    Notes
    -----
    What comes out has the columns ``group_column``, those of ``keep``, ``score``,
    ``list_value`` and ``item_value``, row by row in the order given. Scores are float32
    as `predict` gives them; values are float64.

    The ranker is given the columns that it was fitted on, by their names. One that was
    fitted on arrays knows no names: it is given all columns except ``group_column``
    and those of ``keep``, in their order.

    Of an iterator, what is held at a time is four million numbers, one list, one
    incoming frame, and 8 bytes for each list met so far (16 while they are merged), so
    that a list that comes again is noticed. An integer is its own 8 bytes; two texts
    share theirs only by chance: one in a million, among six million lists.

    An iterator is cut for scoring by its rows alone: whatever the frames, the scores
    have the same bits on the same machine. From those of `predict` on all rows they
    differ by the rounding of float32, as lists of other lengths pad them.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from sklearn_rankformer import MLPRanker
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> from sklearn_rankformer.serving import ListScorer
    >>> X, y, groups = make_ranking(n_lists=20, random_state=0)
    >>> ranker = MLPRanker(max_epochs=1).fit(X, y, groups=groups)
    >>> table = pa.table([groups, *X.T], names=["qid", *(f"f{i}" for i in range(20))])
    >>> scorer = ListScorer(ranker, group_column="qid")
    >>> for scored in scorer(table.to_batches(max_chunksize=100)):
    ...     print(type(scored).__name__, scored.num_rows == len(y), scored.schema.names)
    RecordBatch True ['qid', 'score']
    """

    def __init__(
        self,
        ranker_or_path,
        *,
        group_column,
        keep=(),
        list_value=False,
        item_value=False,
    ):
        if isinstance(keep, str):
            raise TypeError(f"keep must hold names of columns. Give [{keep!r}].")
        self.group_column = group_column
        self.keep = tuple(keep)
        self.list_value = bool(list_value)
        self.item_value = bool(item_value)
        taken = [name for name in self._handed_on() if name in SCORES]
        if taken:
            raise ValueError(
                f"The column {taken[0]!r} would stand beside the scores of that name. "
                f"Rename it first."
            )
        if isinstance(ranker_or_path, str | os.PathLike):
            # Whoever opens it may have another working directory.
            self.ranker_or_path = os.path.abspath(ranker_or_path)
        elif hasattr(ranker_or_path, "predict"):
            check_is_fitted(ranker_or_path)
            self.ranker_or_path = _without_group_column(ranker_or_path)
        else:
            raise TypeError(
                f"ranker_or_path must be a fitted ranker or the path of a saved one, "
                f"got {type(ranker_or_path).__name__}."
            )

    def __call__(self, frames):
        """Score the lists of an iterator of frames, or of one frame.

        Parameters
        ----------
        frames : frame, or iterable of frames
            Of pandas, polars or pyarrow, all of one kind.

        Returns
        -------
        scored : frame, or iterator of frames
            One row for each row given, in the same order. Frames that come out of an
            iterator are cut elsewhere than those that went in.
        """
        if frame_library(frames) is not None:
            return self._score_frame(frames)
        if isinstance(frames, Mapping | str) or not isinstance(frames, Iterable):
            raise TypeError(
                f"Give a frame of pandas, polars or pyarrow, or an iterable of such, "
                f'got {type(frames).__name__}. (In Ray, set batch_format="pyarrow".)'
            )
        return self._score_stream(frames)

    def columns_needed(self, names):
        """Say which columns are handed on or shown to the ranker.

        Whoever reads columns one by one, as from Parquet, can leave out the others.

        Parameters
        ----------
        names : sequence of str
            Columns that there are, in their order.

        Returns
        -------
        needed : list of str
            Those that frames must have.

        Raises
        ------
        ValueError
            If the ranker was fitted on columns without names, and on another number.
        """
        return self._columns(self._ranker(), names)

    def columns_of_text(self, names):
        """Say which columns to read as text from files without types, such as CSV.

        Parameters
        ----------
        names : sequence of str
            Columns that there are, in their order.

        Returns
        -------
        texts : list of str
            List ids and columns handed on, letter by letter, unless they are numbers to
            the ranker; and its categories of text.
        """
        ranker = self._ranker()
        texts, numbers = _texts_and_numbers(ranker, self._features(ranker, names))
        kept = [name for name in self.keep if name not in numbers]
        return list(dict.fromkeys([self.group_column, *kept, *texts]))

    def _columns(self, ranker, names):
        return list(dict.fromkeys([*self._handed_on(), *self._features(ranker, names)]))

    def _score_frame(self, frame):
        library, ranker = frame_library(frame), self._ranker()
        needed = self._columns(ranker, library.names(frame))
        frame = select_columns(as_rows(frame), library, needed)
        ids = library.column(frame, self.group_column)
        name = f"group_column={self.group_column!r}"
        codes = split_lists(check_groups(ids, len(frame), name=name)).codes
        return self._score(ranker, frame, library, codes)

    def _score_stream(self, frames):
        ranker = self._ranker()  # one for the whole stream, should the file be replaced
        # By what the network sees: other columns handed on change no bit.
        length = max(1, PIECE_CELLS // ranker.n_features_in_)
        pick = partial(self._columns, ranker)
        pieces = whole_lists(frames, self.group_column, length, pick)
        for frame, library, lengths in pieces:
            # Numbers as ids: texts would be compared row by row.
            codes = np.repeat(np.arange(len(lengths)), lengths)
            yield self._score(ranker, frame, library, codes)

    def _score(self, ranker, frame, library, codes):
        """The columns handed on, and beside them the scores of whole lists."""
        features = self._features(ranker, library.names(frame))
        if hasattr(ranker, "feature_names_in_"):
            X = library.select(frame, features)
        else:  # scikit-learn warns of names that were not there in fit
            X = np.column_stack([library.column(frame, name) for name in features])
        found = self._predict(ranker, X, codes)
        kept = library.select(frame, self._handed_on())
        return library.finish(library.add(kept, found))

    def _predict(self, ranker, X, codes):
        wanted = [n for n in ("list_value", "item_value") if getattr(self, n)]
        if wanted and not hasattr(ranker, "predict_all"):
            raise ValueError(
                f"{' and '.join(wanted)} need a RankFormerRanker fitted with "
                f"listwide_weight > 0, and this is {ranker!r}. Leave them out."
            )
        if not len(codes):
            kind = np.float32 if isinstance(ranker, NeuralRanker) else np.float64
            return {"score": np.zeros(0, kind), **dict.fromkeys(wanted, np.zeros(0))}
        if not wanted:
            return {"score": predict_scores(ranker, X, codes)}
        result = ranker.predict_all(X, groups=codes)
        values = {
            "list_value": result.list_value.value[codes],
            "item_value": result.item_value.value,
        }
        return {"score": result.scores, **{name: values[name] for name in wanted}}

    def _ranker(self):
        if not isinstance(self.ranker_or_path, str):
            return self.ranker_or_path
        # A file that was replaced is another ranker.
        status = os.stat(self.ranker_or_path)
        return _opened(self.ranker_or_path, status.st_mtime_ns, status.st_size)

    def _handed_on(self):
        return list(dict.fromkeys([self.group_column, *self.keep]))

    def _features(self, ranker, names):
        if hasattr(ranker, "feature_names_in_"):
            return list(ranker.feature_names_in_)
        features = [name for name in names if name not in self._handed_on()]
        if len(features) != ranker.n_features_in_:
            raise ValueError(
                f"The ranker was fitted on {ranker.n_features_in_} columns without "
                f"names, and beside group_column and keep the frame has "
                f"{len(features)}: {features[:5]}... Leave out columns that are no "
                f"features or name them in keep, or fit on a frame."
            )
        return features


def iter_lists(source, *, group_column, chunk_rows=2**16):
    """Give the rows of files or of a stream as frames of whole lists.

    For loops of your own, such as `partial_fit` or statistics on more rows than fit
    into memory.

    Parameters
    ----------
    source : str, path-like, list of these, or iterable of frames
        Files or folders of files in Parquet, Arrow or CSV format; or frames of pandas,
        polars or pyarrow, all of one kind. The rows of a list follow one another, over
        the borders of files and frames as well.
    group_column : str
        Column of the list ids.
    chunk_rows : int, default=65536
        A frame ends with the list that makes it this long.

    Returns
    -------
    frames : iterator of frames
        Of the kind that came in, pyarrow record batches from files. No list is in two
        of them. Of CSV files, list ids are text, and the types of other columns are
        guessed from the first megabytes of a file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If something is no frame, a column or a list id is missing, or a list comes
        again after others; the message names it.

    See Also
    --------
    ListScorer : Scores of such a stream.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_rankformer.serving import iter_lists
    >>> rows = pd.DataFrame({"qid": [1, 1, 2, 3, 3, 3], "price": range(6)})
    >>> halves = [rows[:5], rows[5:]]
    >>> for frame in iter_lists(halves, group_column="qid", chunk_rows=3):
    ...     print(frame["qid"].tolist())
    [1, 1, 2]
    [3, 3, 3]
    """
    check_count(chunk_rows, "chunk_rows")
    if frame_library(source) is not None:  # which gives its columns, if iterated over
        raise TypeError(
            f"source must be files or an iterable of frames, got one "
            f"{type(source).__name__}. Give it in a list: iter_lists([frame], ...)."
        )
    if _is_files(source):
        source = TableFiles(source).batches(texts=[group_column])
    pieces = whole_lists(source, group_column, chunk_rows)
    return (library.finish(frame) for frame, library, _ in pieces)


def _is_files(source):
    one = source[0] if isinstance(source, list | tuple) and source else source
    return isinstance(one, str | os.PathLike)


def _texts_and_numbers(ranker, names):
    """Which of a ranker's features are categories to come as text, and the others."""
    columns = getattr(getattr(ranker, "_model", None), "columns", None)
    if columns is None:
        return [], []
    as_text = zip(columns.categorical, columns.categories.as_text, strict=True)
    texts = [names[j] for j, is_text in as_text if is_text]
    return texts, [name for name in names if name not in texts]


@lru_cache(maxsize=2)
def _opened(path, *version):
    """A saved ranker, kept for the next task in this process."""
    return _without_group_column(load(path))


def _without_group_column(estimator):
    """The estimator as one that is given its list ids beside X."""
    column = group_column_of(estimator)
    if column is None:
        return estimator
    transforms, ranker = unwrap(estimator)
    if transforms or ranker is not ranker_of(estimator):
        raise ValueError(
            f"The ranker takes its list ids from the column {column!r} of an X that "
            f"{type(estimator).__name__} changes first, and ListScorer gives them "
            f"beside X. Fit it with group_column=None, and groups=... beside X."
        )
    ranker = copy.copy(ranker)
    ranker.group_column = None
    return ranker
