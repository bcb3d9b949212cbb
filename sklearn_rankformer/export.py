"""A fitted ranker as an ONNX graph: raw features and list lengths in, scores out.

Input transform, padding, network and the mean over the members all lie in the graph, so
that serving needs onnxruntime and nothing else: no torch, no scikit-learn, no Python.
Writing needs onnx:

>>> import onnxruntime  # doctest: +SKIP
>>> from sklearn_rankformer.export import to_onnx
>>> to_onnx(ranker, "ranker.onnx")  # doctest: +SKIP
>>> session = onnxruntime.InferenceSession("ranker.onnx")  # doctest: +SKIP
>>> given = {"X": X.astype("float32"), "lengths": [3, 5]}  # doctest: +SKIP
>>> scores, list_proba = session.run(None, given)  # doctest: +SKIP
"""

import json
import logging
import warnings
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from . import __version__
from ._chances import item_thresholds
from ._columns import Columns
from ._ranker import MLPRanker, RankFormerRanker
from ._warnings import warn_user
from ._writing import replacing

OPSET = 18


def to_onnx(ranker, path):
    """Write a fitted ranker as an ONNX file.

    The graph takes

    - ``X``, float32 of shape (n_rows, n_features): raw features in the order of the
      columns seen by `fit` (without `group_column`), NaN where missing, the rows of
      each list one after another. A categorical column holds codes: the position of
      the category in the file's metadata entry ``categories``. NaN and codes beyond
      stand for unknown.
    - ``lengths``, int64 of shape (n_lists,): rows of each list, at least 1 each, n_rows
      in sum.

    and gives

    - ``scores``, float32 of shape (n_rows,), as `predict` does;
    - ``list_proba``, float32 of shape (n_lists, n_levels), as `predict_list_value`
      does, and ``item_proba``, float32 of shape (n_rows, n_item_levels), as
      `predict_item_value` does, if the ranker has these methods.

    The metadata entries, all JSON, are ``categories`` (list of categories by column),
    ``feature_names``, ``levels``, ``item_levels``, ``allow_nan`` (whether numbers may
    be missing), ``needs_groups`` (whether `predict` refuses rows without list ids) and
    ``version`` of this package. The graph itself checks nothing: where ``allow_nan`` is
    false it reads NaN as 0.

    Parameters
    ----------
    ranker : RankFormerRanker or MLPRanker
        The fitted ranker. It is not changed.
    path : str or path-like
        File to write. It is replaced in one step.

    Raises
    ------
    ImportError
        If onnx is not installed.
    TypeError
        If the ranker is of another class.
    sklearn.exceptions.NotFittedError
        If the ranker is not fitted.

    See Also
    --------
    sklearn_rankformer.runtime.OnnxRanker : Runs the file, on raw categories.

    Notes
    -----
    Opset 18; the numbers of rows and lists may be any. Scores agree with those of
    `predict` on float32 features, in precision "float32", to 1e-5. Values so close that
    float32 cannot tell them apart are one value to the graph.

    All lists of a call are padded to the longest of them: cut many lists into calls of
    similar lengths, with some hundred rows each. `runtime.OnnxRanker` does that.

    Examples
    --------
    >>> from sklearn_rankformer.export import to_onnx
    >>> to_onnx(ranker, "ranker.onnx")  # doctest: +SKIP
    """
    _check_ranker(ranker)
    _import_onnx()
    with _usual_defaults(), replacing(Path(path)) as unfinished:
        graph = RankerGraph(ranker).eval()
        _export(graph, str(unfinished))
        _add_metadata(str(unfinished), _metadata_of(ranker))


def vespa_profile(ranker, name="ranker", *, features=None):
    """Return a Vespa rank profile that fits the file of `to_onnx`.

    Vespa ranks documents one by one, and no document sees the others. So an
    `MLPRanker`, which needs no others, scores in the second phase, on the content
    nodes. For a `RankFormerRanker` the profile only hands on the features of each hit:
    a searcher in the container joins them to one list and evaluates the model, as the
    comment in the profile says.

    Parameters
    ----------
    ranker : RankFormerRanker or MLPRanker
        The fitted ranker, without categorical features.
    name : str, default="ranker"
        Name of the profile, and of the file without ``.onnx``.
    features : list of str, default=None
        Vespa's expression for each column of X, such as ``bm25(title)``. None takes
        ``attribute(column)`` of the columns' names.

    Returns
    -------
    profile : str
        To be put into the schema.

    Raises
    ------
    TypeError
        If the ranker is of another class.
    ValueError
        If the ranker has categories, or `features` does not fit its columns.

    Notes
    -----
    The text follows https://docs.vespa.ai/en/ranking/onnx.html. Its shapes are tested
    on onnxruntime; no Vespa was at hand.
    """
    _check_ranker(ranker)
    columns = ranker._model.columns
    if len(columns.categorical):
        raise ValueError(
            f"The columns {columns.categorical.tolist()} of X are categorical, and "
            f"Vespa computes numbers only. Fit on numeric features."
        )
    names = getattr(ranker, "feature_names_in_", None)
    if features is None and names is not None:
        features = [f"attribute({column})" for column in names]
    n_features = ranker.n_features_in_
    if features is None or len(features) != n_features:
        raise ValueError(
            f"features must hold Vespa's expression for each of the {n_features} "
            f"columns of X, got {features!r}."
        )
    row = f"tensor<float>(d0[1],d1[{n_features}]):[[{', '.join(features)}]]"
    parts = {"name": name, "row": row, "n": n_features}
    pointwise = isinstance(ranker, MLPRanker)
    return (VESPA_ITEMS if pointwise else VESPA_LISTS).format(**parts)


VESPA_ITEMS = """\
rank-profile {name} {{
    function X() {{
        expression: {row}
    }}
    function lengths() {{
        expression: tensor<float>(d0[1]):[1]
    }}
    onnx-model {name} {{
        file: models/{name}.onnx
        input "X": X
        input "lengths": lengths
        output "scores": scores
    }}
    second-phase {{
        expression: sum(onnx({name}).scores)
    }}
}}
"""
VESPA_LISTS = """\
# A searcher reads X of the best hits, and evaluates models/{name}.onnx once a query:
#   X        tensor<float>(d0[hits],d1[{n}]), one row a hit
#   lengths  tensor<float>(d0[1]), the number of hits
#   scores   tensor<float>(d0[hits]), in the order of the rows
rank-profile {name} {{
    function X() {{
        expression: {row}
    }}
    match-features: X
}}
"""


class NormalScores(nn.Module):
    """The columns that `Columns.transform` gives, made by tensor operations.

    Knots stay in float64, so that a value falls between the same two as in numpy.

    Parameters
    ----------
    columns : Columns
        The fitted ones.

    Shape
    -----
    (n_rows, n_features) -> (n_rows, n_columns)
    """

    def __init__(self, columns: Columns):
        super().__init__()
        self.quantiles = columns.quantiles and len(columns.numeric) > 0
        self.has_categories = len(columns.categorical) > 0
        sizes = np.array(columns.categories.cardinalities, dtype=np.float32)
        self.register_buffer("numeric", torch.tensor(columns.numeric))
        self.register_buffer("flagged", torch.tensor(columns.flagged))
        self.register_buffer("categorical", torch.tensor(columns.categorical))
        self.register_buffer("cardinalities", torch.tensor(sizes))
        if self.quantiles:
            n_numeric, self.n_knots = columns.knots.shape
            # Searched by halves, a table needs one place less than a power of two.
            self.width = 2 ** self.n_knots.bit_length() - 1
            beyond = (0, 0), (0, self.width - self.n_knots)
            # X is float32 here, whose range needs no shift.
            real = np.ldexp(columns.knots, -columns.shifts[:, None])
            _warn_beyond_float32(columns.numeric, real)
            knots = np.pad(real, beyond, constant_values=np.inf)
            # Infinity passes the places beyond, too, and saturates like any other.
            scores = np.pad(columns.scores, beyond, mode="edge")
            self.register_buffer("knots", torch.tensor(knots.ravel()))
            self.register_buffer("scores", torch.tensor(scores.ravel()))
            self.register_buffer("starts", self.width * torch.arange(n_numeric))

    def forward(self, X: Tensor) -> Tensor:
        numeric = X[:, self.numeric]
        if self.quantiles:
            numeric = self._interpolate(numeric.double()).float()
        parts = [numeric, X[:, self.flagged].isnan().float()]
        if self.has_categories:
            codes = X[:, self.categorical]
            known = (codes > -1.0) & (codes + 1.0 < self.cardinalities)
            parts.append((codes.floor() + 1.0).masked_fill(~known, 0.0))
        columns = torch.cat(parts, 1)
        return columns.masked_fill(columns.isnan(), 0.0)

    def _interpolate(self, x: Tensor) -> Tensor:
        """Piecewise-linear between the knots around x, constant beyond them."""
        n_below = torch.zeros_like(x, dtype=torch.int64)
        step = (self.width + 1) // 2
        while step:
            further = n_below + step
            passed = self.knots[self.starts + further - 1] <= x
            n_below = torch.where(passed, further, n_below)
            step //= 2
        left = self.starts + (n_below - 1).clamp(min=0)
        right = self.starts + n_below.clamp(max=self.n_knots - 1)
        low, gap = self.knots[left], self.knots[right] - self.knots[left]
        # Beyond the outermost knots, left and right are the same one.
        share = ((x - low) / gap).masked_fill(gap <= 0.0, 0.0)
        scores = self.scores[left] + share * (self.scores[right] - self.scores[left])
        return scores.masked_fill(x.isnan(), 0.0)


def _warn_beyond_float32(numeric: np.ndarray, knots: np.ndarray) -> None:
    """Warn of columns that float32 cannot hold, or in which it sees half the values."""
    with np.errstate(all="ignore"):
        single = knots.astype(np.float32)
        n_seen = (np.diff(single) > 0).sum(1)
    lost = ~np.isfinite(single).all(1) | (2 * n_seen < (np.diff(knots) > 0).sum(1))
    if lost.any():
        warn_user(
            f"The graph takes float32, which holds the columns "
            f"{numeric[lost].tolist()} of X badly: its scores differ from those of "
            f"predict. Scale these columns before fit."
        )


class RankerGraph(nn.Module):
    """All that `predict` does, from raw rows to scores.

    Shape
    -----
    X : (n_rows, n_features), float32; lengths : (n_lists,), int64
    returns : scores (n_rows,), and list_proba (n_lists, n_levels) with a listwide head
    """

    def __init__(self, ranker):
        super().__init__()
        self.n_features = ranker.n_features_in_
        model = ranker._model
        self.transform = NormalScores(model.columns)
        self.module = deepcopy(model.module).cpu().eval()
        self.outputs = ["scores"]
        if model.has_list_value:
            self.outputs += ["list_proba", "item_proba"]
            matched = item_thresholds(model.item_levels, model.levels)
            n_thresholds = len(model.calibration.lists)
            self.register_buffer("matched", torch.tensor(matched % (n_thresholds + 1)))
            lists, items = model.calibration.lists, model.calibration.items
            self.register_buffer("of_lists", torch.tensor(lists.T))
            self.register_buffer("of_items", torch.tensor(items.T))

    def forward(self, X: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        rows, mask = _place_items(lengths)
        scores, views = self.module(self.transform(X)[rows], mask)
        # What padding scores goes to a place after the last row, and is cut off.
        n_rows = X.shape[0]
        place = torch.where(mask, rows, n_rows).flatten()
        scores = scores.mean(0)
        flat = torch.zeros(n_rows + 1).scatter(0, place, scores.flatten())
        if len(self.outputs) == 1:
            return (flat[:n_rows],)
        if views is None:  # where all lists of training had one value
            logits = torch.zeros(lengths.shape[0], 0, dtype=torch.float64)
        else:
            logits = self._list_logits(views.mean(0).double())
        items = self._item_logits(scores.double(), mask, logits).flatten(0, 1)
        by_row = torch.zeros(n_rows + 1, items.shape[1], dtype=items.dtype)
        by_row = by_row.index_copy(0, place, items)[:n_rows]
        return flat[:n_rows], _level_proba(logits), _level_proba(by_row)

    def _list_logits(self, views: Tensor) -> Tensor:
        """The views joined: see `list_logits`."""
        return (views * self.of_lists[:-1]).sum(1) + self.of_lists[-1]

    def _item_logits(self, scores: Tensor, mask: Tensor, logits: Tensor) -> Tensor:
        """See `item_chances`: (n_lists, list_size, n_thresholds)."""
        share, value, size, intercept = self.of_items
        log_share = scores.masked_fill(~mask, -torch.inf).log_softmax(-1)
        log_size = mask.sum(-1).double().log()
        # A threshold that stands for none, -1, finds the zeros at the end.
        padded = F.pad(logits, (0, 1))
        of_list = value * padded[:, self.matched] + size * log_size[:, None]
        return share * log_share[:, :, None] + of_list[:, None] + intercept


def _place_items(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Row index and mask of each item: (n_lists, list_size)."""
    place = torch.arange(lengths.max())
    lengths = lengths.unsqueeze(1)
    starts = lengths.cumsum(0) - lengths
    return starts + torch.minimum(place, lengths - 1), place < lengths


def _level_proba(logits: Tensor) -> Tensor:
    """Falling chances, then their differences; see `to_proba`."""
    above = logits.sigmoid()
    falling = [torch.ones_like(above.sum(1))]  # also of no threshold
    for k in range(above.shape[1]):
        falling.append(torch.minimum(falling[-1], above[:, k]))
    falling.append(torch.zeros_like(falling[0]))
    stacked = torch.stack(falling, 1)
    return (stacked[:, :-1] - stacked[:, 1:]).float()


def _check_ranker(ranker):
    if not isinstance(ranker, RankFormerRanker | MLPRanker):
        raise TypeError(
            f"ranker must be a RankFormerRanker or MLPRanker, got "
            f"{type(ranker).__name__}. Export other estimators by their own tools."
        )
    check_is_fitted(ranker)


def _import_onnx():
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "to_onnx needs onnx. Install it by: pip install sklearn-rankformer[onnx]"
        ) from error
    return onnx


def _export(graph, path):
    """Trace the graph into a file.

    The newer exporter takes twenty seconds where this one takes one, with the same
    numbers out.
    """
    axes = {"X": "n_rows", "lengths": "n_lists"}
    axes |= {"scores": "n_rows", "list_proba": "n_lists", "item_proba": "n_rows"}
    names = ["X", "lengths", *graph.outputs]
    with _quiet():
        torch.onnx.export(
            graph,
            (torch.zeros(5, graph.n_features), torch.tensor([2, 3])),
            path,
            input_names=names[:2],
            output_names=graph.outputs,
            opset_version=OPSET,
            dynamic_axes={name: {0: axes[name]} for name in names},
            dynamo=False,
        )


@contextmanager
def _usual_defaults():
    """Trace with torch's own default device and dtypes, whatever the user has set.

    The exporter gives plain numbers the default dtype, which is one for all threads.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextmanager
def _quiet():
    """What the exporters say is about tracing, and nothing a user could fix."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _metadata_of(ranker):
    """What a client has to know about the columns, and what it may not leave out."""
    names = getattr(ranker, "feature_names_in_", None)
    columns = ranker._model.columns
    known = zip(columns.categorical.tolist(), columns.categories.known, strict=True)
    categories = {j if names is None else names[j]: values for j, values in known}
    return {
        "categories": categories,
        "feature_names": None if names is None else names.tolist(),
        "levels": ranker._model.levels.values.tolist(),
        "item_levels": ranker._model.item_levels.values.tolist(),
        "allow_nan": columns.quantiles,
        "needs_groups": ranker._needs_groups and ranker.fitted_with_groups_,
        "version": __version__,
    }


def _add_metadata(path, metadata):
    onnx = _import_onnx()
    model = onnx.load(path)
    texts = {
        name: json.dumps(value, allow_nan=False) for name, value in metadata.items()
    }
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model)
    onnx.save(model, path)
