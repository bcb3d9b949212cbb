"""Scores from an ONNX file: what the graph leaves to its caller, without torch.

The graph of `export.to_onnx` takes float32 rows list by list, codes for categories, and
pads all lists of a call to the longest. `OnnxRanker` takes what a ranker takes, in any
order: it encodes categories by the file's own table, and gives the graph lists of
similar length in small batches, without which padding costs ten times the work. It
starts fast, as torch is never imported.

>>> from sklearn_rankformer.runtime import OnnxRanker
>>> ranker = OnnxRanker("ranker.onnx")  # doctest: +SKIP
>>> ranker.predict_all(frame, groups).list_value.value  # doctest: +SKIP
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import available_if

from ._categories import Categories
from ._checks import refuse_beyond_float32
from ._frames import check_columns
from ._groups import resolve_groups
from ._lists import Lists, cut_batches, lists_of
from ._tables import as_table, reading, refuse_empty_table, rows_to_array

__all__ = ["OnnxRanker"]

# Padded items in a call of the graph: more no longer fit the cache.
BATCH_ITEMS = 512


def _has_list_value(ranker):
    # Hides the method, so that hasattr tells what may be called.
    if len(ranker._outputs) == 1:
        raise AttributeError(
            "predict_all needs the listwide heads, which this ranker was fitted "
            "without. Use predict."
        )
    return True


class OnnxRanker:
    """A ranker that was written by `export.to_onnx`, run by onnxruntime.

    Parameters
    ----------
    path : str or path-like
        The ONNX file.
    n_threads : int, default=1
        Threads of one call. Where calls come from several threads or processes, one
        each keeps them from waiting for one another.

    Attributes
    ----------
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,), or None
        Their names, if the ranker was fitted on a frame.
    categorical_ : ndarray of shape (n_features,), bool
        Which of them are categories.
    levels_ : ndarray of shape (n_levels,)
        Levels of list value, as of the ranker.

    Raises
    ------
    ImportError
        If onnxruntime is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or not one of `export.to_onnx`.

    See Also
    --------
    sklearn_rankformer.export.to_onnx : Writes the file.

    Notes
    -----
    It cannot be pickled, as no session of onnxruntime can: send other processes the
    path, and make one of it in each.

    Examples
    --------
    >>> from sklearn_rankformer.runtime import OnnxRanker
    >>> OnnxRanker("ranker.onnx").predict(X, groups)  # doctest: +SKIP
    """

    def __init__(self, path, *, n_threads=1):
        self._session = _open(path, n_threads)
        self._outputs = [output.name for output in self._session.get_outputs()]
        texts = self._session.get_modelmeta().custom_metadata_map
        if "needs_groups" not in texts:
            raise ValueError(
                f"{path} does not say what its columns are. Write it by "
                f"sklearn_rankformer.export.to_onnx of this version."
            )
        names, categories, self._allow_nan, self._needs_groups = (
            json.loads(texts[key])
            for key in ("feature_names", "categories", "allow_nan", "needs_groups")
        )
        self.feature_names_in_ = (
            None if names is None else np.array(names, dtype=object)
        )
        self.n_features_in_ = self._session.get_inputs()[0].shape[1]
        self.levels_ = np.array(json.loads(texts["levels"]))
        self._item_levels = np.array(json.loads(texts["item_levels"]))
        columns = map(str, range(self.n_features_in_)) if names is None else names
        self.categorical_ = np.array([column in categories for column in columns])
        self._categories = Categories(self.categorical_, tuple(categories.values()))

    def encode(self, X):
        """Turn raw features into what the graph takes.

        Parameters
        ----------
        X : array-like or frame of shape (n_rows, n_features)
            Features as the ranker takes them, raw categories included. Of a frame the
            columns of the fit are taken by name; others may be there.

        Returns
        -------
        X : ndarray of shape (n_rows, n_features), float32
            Codes in place of categories, -1 where unknown or missing.

        Raises
        ------
        TypeError, ValueError
            If X is sparse or has no rows; if a column is missing or there twice, or
            holds what it did not in `fit`; if a number is missing or beyond float32 and
            the ranker was fitted with ``input_transform=None``.
        """
        return self._encode(as_table(X))

    def predict(self, X, groups=None):
        """Score the items of each list.

        Parameters
        ----------
        X : array-like or frame of shape (n_rows, n_features)
            Features, as in `encode`.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, in any order. None is refused where the ranker itself
            would refuse it.

        Returns
        -------
        scores : ndarray of shape (n_rows,), float32
            As `RankFormerRanker.predict` gives them, to 1e-5.
        """
        return self._run(X, groups, ["scores"])[1]["scores"]

    @available_if(_has_list_value)
    def predict_all(self, X, groups=None):
        """Predict scores, list value and item value in one pass.

        Parameters
        ----------
        X : array-like or frame of shape (n_rows, n_features)
            Features, as in `encode`.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, in any order. None is refused where the ranker itself
            would refuse it.

        Returns
        -------
        result : Bunch
            ``scores``, ``list_value`` and ``item_value``, as of
            `RankFormerRanker.predict_all`.

        Raises
        ------
        AttributeError
            If the ranker has no listwide heads.
        """
        lists, found = self._run(X, groups, self._outputs)
        of_lists, of_items = found["list_proba"], found["item_proba"]
        return Bunch(
            scores=found["scores"],
            list_value=Bunch(
                groups=lists.ids, proba=of_lists, value=of_lists @ self.levels_
            ),
            item_value=Bunch(
                levels=self._item_levels,
                proba=of_items,
                value=of_items @ self._item_levels,
            ),
        )

    def _encode(self, X: Any) -> np.ndarray:
        with reading("X"):
            X = self._choose_columns(X)
            owner = type(self).__name__
            numbers = self._categories.encode(X, allow_nan=self._allow_nan, owner=owner)
            # A request may be an array of its own, which is not to be changed.
            with np.errstate(over="ignore"):  # refused here, or saturated by the graph
                numbers = np.array(numbers, dtype=np.float32)
        if not self._allow_nan:
            refuse_beyond_float32(numbers)
        # The graph counts categories from 0.
        numbers[:, self.categorical_] -= 1
        return numbers

    def _choose_columns(self, X: Any) -> Any:
        if hasattr(X, "columns") and self.feature_names_in_ is not None:
            names = self.feature_names_in_.tolist()
            check_columns(names, list(X.columns), "X")
            refuse_empty_table(X, type(self).__name__)
            return X[names]
        if issparse(X):
            raise TypeError("X is a sparse matrix. Give X.toarray().")
        X = rows_to_array(X)
        if len(X.shape) != 2 or X.shape[1] != self.n_features_in_ or not len(X):
            raise ValueError(
                f"X has shape {X.shape}, but must have {self.n_features_in_} columns, "
                f"in the order of those that fit saw, and at least one row."
            )
        return X

    def _run(
        self, X: Any, groups: Any, names: list[str]
    ) -> tuple[Lists, dict[str, np.ndarray]]:
        """The lists, and the graph's outputs in the order of rows or lists."""
        X, ids = resolve_groups(as_table(X), groups)
        X = self._encode(X)
        if ids is None and self._needs_groups:
            raise ValueError(
                "The ranker was fitted with groups, and an item's score depends on its "
                "list. Pass groups=... with one list id per row, or "
                "groups=np.zeros(len(X)) to rank all rows as one list."
            )
        lists = lists_of(ids, len(X))
        found: dict[str, np.ndarray] = {}
        for batch in cut_batches(lists.lengths, lists.lengths, BATCH_ITEMS):
            rows = lists.rows(batch)
            given = {"X": X[rows], "lengths": lists.lengths[batch].astype(np.int64)}
            outputs = self._session.run(names, given)
            for name, values in zip(names, outputs, strict=True):
                whole, place = (
                    (lists.n_lists, batch) if name == "list_proba" else (len(X), rows)
                )
                if name not in found:
                    found[name] = np.empty((whole, *values.shape[1:]), values.dtype)
                found[name][place] = values
        return lists, found


def _open(path: Any, n_threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "OnnxRanker needs onnxruntime. Install it by: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist.")
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
    # onnxruntime's errors have no class in common.
    except Exception as error:
        raise ValueError(
            f"{path} is damaged or no ONNX file: {error}. Write it by "
            f"sklearn_rankformer.export.to_onnx."
        ) from error
