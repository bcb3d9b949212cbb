"""Bad input, all of it: what comes in, which error says so, and what stays as it was.

`CASES` is the table. Each case changes one argument of a call that would work. Either
the call raises the error of the table and a ranker fitted before scores as before, or,
where the table names no error, the input is fit for use and every score is finite.
``python -m tests.test_bad_input`` prints how many cases of each kind there are.
"""

import gzip
import pickle
from collections import Counter
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache, partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.utils._param_validation import (
    InvalidParameterError,
    make_constraint,
)

from sklearn_rankformer import (
    DistilledRanker,
    RankerAdapter,
    StackingRanker,
    VotingRanker,
    WithinListScaler,
    persistence,
)
from sklearn_rankformer.datasets import load_letor
from sklearn_rankformer.metrics import METRICS
from sklearn_rankformer.model_selection import ListKFold, check_group_cv
from sklearn_rankformer.scoring import get_scorer, make_ranking_scorer

from .conftest import make_lists
from .factories import TINY, mlp, rankformer

LEAST: dict[str, Any] = {**TINY, "device": "cpu"}
MAKERS = {
    "RankFormerRanker": partial(
        rankformer, **LEAST, d_model=8, dim_feedforward=8, num_layers=1
    ),
    "MLPRanker": partial(mlp, **LEAST, hidden_layer_sizes=(8,)),
}
X, Y, GROUPS = make_lists(n_lists=12)
N_ROWS, N_FEATURES = X.shape
BOTH_ERRORS = (TypeError, ValueError)


META = torch.zeros(N_ROWS, device="meta")
NOW = datetime(2020, 1, 1, tzinfo=UTC)


class Case(NamedTuple):
    """One change to the arguments of a call, and what must come of it."""

    kind: str
    name: str
    change: dict
    error: Any = None  # None: the call works, and scores are finite
    message: str = ""


def set_at(values, place, value):
    """Copy of the values with one of them replaced."""
    changed = np.array(values, dtype=np.result_type(values, np.asarray(value)))
    changed[place] = value
    return changed


def objects(*first):
    """An object column that begins with the given values."""
    column = np.array([0] * N_ROWS, dtype=object)
    for place, value in enumerate(first):
        column[place] = value
    return column


GROUP_CASES = [
    ("NaN", set_at(GROUPS, 0, np.nan), ValueError, "groups contains NaN"),
    ("infinity", set_at(GROUPS, 0, np.inf), ValueError, "groups contains infinity"),
    ("fraction", set_at(GROUPS, 0, 0.5), ValueError, "fractional list id 0.5"),
    ("float beyond 2**53", GROUPS + 2.0**60, ValueError, r"beyond 2\*\*53"),
    ("float16 beyond 2**11", np.float16(GROUPS * 4096), ValueError, r"beyond 2\*\*11"),
    ("one too few", GROUPS[:-1], ValueError, "groups has .* entries for"),
    ("one too many", [*GROUPS, 1], ValueError, "groups has .* entries for"),
    ("none at all", [], ValueError, "groups has 0 entries for"),
    ("sizes of lists", np.bincount(GROUPS), ValueError, "look like list sizes"),
    ("2-D", np.zeros((N_ROWS, 2)), ValueError, "groups must be 1-D"),
    ("a scalar", 3, ValueError, "groups must be 1-D"),
    ("a text", "query", ValueError, "groups must be 1-D"),
    ("a dict", {"a": 1}, ValueError, "groups must be 1-D"),
    ("complex", GROUPS + 1j, TypeError, "groups has dtype complex128"),
    ("int and str objects", objects("a"), TypeError, "type int, str"),
    ("None among objects", objects(None), ValueError, "None: row 0 has no list id"),
    ("tuples as objects", objects((1, 2)), TypeError, "type int, tuple"),
    ("NaN among str, a list", ["a"] * (N_ROWS - 1) + [np.nan], ValueError, "NaN: row"),
    ("int among str, a list", ["a"] * (N_ROWS - 1) + [1], TypeError, "int, str"),
    ("None among str", ["a"] * (N_ROWS - 1) + [None], ValueError, "None: row"),
    ("masked", np.ma.masked_array(GROUPS, mask=GROUPS == 5), ValueError, "masked ent"),
    ("not a time", np.array(["NaT"] * N_ROWS, "M8[s]"), ValueError, "contains NaT"),
    ("ragged", [[1]] * (N_ROWS - 1) + [[1, 2]], BOTH_ERRORS, "groups|inhomogeneous"),
    ("records", np.zeros(N_ROWS, "i4,i4"), TypeError, "groups has dtype"),
    ("huge integers", GROUPS + 2**62, None, ""),
    ("unsigned 64 bit", np.uint64(GROUPS) + np.uint64(2**63), None, ""),
    ("integers beyond 64 bit", objects(2**80, 2**80, -(2**80)), None, ""),
    ("negative", -GROUPS, None, ""),
    ("strings", np.char.add("query ", GROUPS.astype(str)), None, ""),
    ("bytes", GROUPS.astype("S4"), None, ""),
    ("objects of str", GROUPS.astype(str).astype(object), None, ""),
    ("whole floats", GROUPS.astype(np.float32), None, ""),
    ("one list", np.zeros(N_ROWS, int), None, ""),
    ("lists of one item", np.arange(N_ROWS), UserWarning, "more than one item"),
    ("rows scattered", np.arange(N_ROWS) % 7, None, ""),
    ("a tensor without data", META, TypeError, "groups is a tensor without"),
    ("dates with a zone", objects(NOW), TypeError, "type datetime, int"),
    ("a tensor", torch.tensor(GROUPS), None, ""),
]

LABEL_CASES = [
    ("NaN", set_at(Y, 0, np.nan), ValueError, "y contains NaN"),
    ("infinity", set_at(Y, 0, np.inf), ValueError, "y contains infinity"),
    ("minus infinity", set_at(Y, 0, -np.inf), ValueError, "y contains infinity"),
    ("masked", np.ma.masked_array(Y, mask=Y == 1), ValueError, "y has .* masked"),
    ("negative", set_at(Y, 0, -1), ValueError, "y must not be negative, got -1"),
    ("words", np.array(["good"] * N_ROWS), ValueError, "y must hold numbers"),
    ("mixed objects", objects("good", 1), ValueError, "y must hold numbers"),
    ("None among objects", objects(None), ValueError, "y contains NaN|hold numbers"),
    ("None", None, BOTH_ERRORS, "y"),
    ("complex", Y + 1j, BOTH_ERRORS, "[Cc]omplex|y must hold numbers"),
    ("dates", np.array(["2020-01-01"] * N_ROWS, "M8[D]"), BOTH_ERRORS, "numbers"),
    ("2-D", np.column_stack([Y, Y]), ValueError, "y must be 1-D"),
    ("one too few", Y[:-1], ValueError, "inconsistent numbers of samples"),
    ("none at all", Y[:0], ValueError, "inconsistent|0 sample"),
    ("a scalar", 1, BOTH_ERRORS, "1d array|Singleton|shape"),
    ("gain overflows float64", Y * 1e4, ValueError, 'gain="linear"'),
    ("gain overflows float32", Y * 100, ValueError, 'gain="linear"'),
    ("all zero", 0 * Y, UserWarning, "All labels are equal within each"),
    ("all equal", 0 * Y + 3, UserWarning, "All labels are equal within each"),
    ("boolean", Y > 0, None, ""),
    ("digits as text", Y.astype(str), None, ""),
    ("objects of int", Y.astype(object), None, ""),
    ("fractions", Y / 7, None, ""),
    ("tiny", Y * 1e-300, None, ""),
    ("one positive", np.arange(N_ROWS) == 5, None, ""),
    ("integers beyond float64", objects(10**400), ValueError, "y must hold numbers"),
    ("a tensor without data", META, TypeError, "y is a tensor without"),
    ("ragged", [[1], [1, 2]] * N_ROWS, ValueError, "y cannot be used"),
    ("a tensor with a gradient", torch.tensor(Y * 1.0).requires_grad_(), None, ""),
    ("half precision", torch.tensor(Y).bfloat16(), None, ""),
]

X_NAN_COLUMN = X.copy()
X_NAN_COLUMN[:, 1] = np.nan
FEATURE_CASES = [
    ("infinity", set_at(X, (0, 0), np.inf), ValueError, "X contains infinity"),
    ("minus infinity", set_at(X, (0, 0), -np.inf), ValueError, "X contains infinity"),
    (
        "infinity, sparse",
        sparse.csr_array(set_at(X, (0, 0), np.inf)),
        ValueError,
        "inf",
    ),
    ("complex", X + 1j, ValueError, "Complex data not supported"),
    ("complex, sparse", sparse.csr_array(X + 1j), ValueError, "Complex data not supp"),
    ("3-D", X[:, :, None], ValueError, "X must be 2-D|dim 3"),
    ("1-D", X[:, 0], ValueError, "1D array|X must be 2-D"),
    ("a scalar", 5, BOTH_ERRORS, "scalar array|2-D|has no len|array-like"),
    ("None", None, BOTH_ERRORS, "None"),
    ("a text", "features", TypeError, "X must have rows and columns, got str"),
    ("words", np.full(X.shape, "red"), ValueError, "convert string to float|str"),
    ("words as objects", np.full(X.shape, "red", object), ValueError, "to float"),
    ("dates", X.astype("M8[D]"), TypeError, r"X has dtype datetime64\[D\]"),
    ("durations", X.astype("m8[s]"), TypeError, r"X has dtype timedelta64\[s\]"),
    ("no columns", X[:, :0], ValueError, "0 feature"),
    ("no rows", X[:0], ValueError, "0 entries|0 rows|0 sample|entries for 0"),
    ("ragged", [[1.0, 2.0], [3.0]], ValueError, "inhomogeneous|entries"),
    ("one too few", X[:-1], ValueError, "entries for"),
    ("column of NaN", X_NAN_COLUMN, None, ""),
    ("nothing but NaN", np.full(X.shape, np.nan), None, ""),
    ("constant", np.ones(X.shape), None, ""),
    ("1e38", X * 1e38, None, ""),
    ("1e308", np.abs(X) / np.abs(X).max() * 1e308, None, ""),
    ("1e-320", X * 1e-320, None, ""),
    ("boolean", X > 0, None, ""),
    ("small integers", (X * 50).astype(np.int8), None, ""),
    ("float16", X.astype(np.float16), None, ""),
    ("objects of float", X.astype(object), None, ""),
    ("sparse", sparse.coo_array(X), None, ""),
    ("sparse without entries", sparse.csr_array(X.shape), None, ""),
    ("read-only", np.frombuffer(X.tobytes()).reshape(X.shape), None, ""),
    ("a generator", (row for row in X), TypeError, "X must have rows and columns"),
    ("a dict", {"a": X[:, 0]}, TypeError, "X must have rows and columns"),
    ("a sparse column", sparse.coo_array(X[:, 0]), ValueError, "must be 2-D|cannot be"),
    ("a sparse tensor", torch.tensor(X).to_sparse(), TypeError, "to_dense"),
    ("beyond float64", np.full(X.shape, 10**400, object), ValueError, "X cannot be us"),
    ("masked, all of it", np.ma.masked_all(X.shape), None, ""),
    ("huge, both signs", np.sign(X) * 1.7e308, None, ""),
    ("wide floats", X.astype(np.longdouble), None, ""),
    ("column-major, strided", np.asfortranarray(X)[:, ::-1], None, ""),
]

ONES = np.ones(N_ROWS)
WEIGHT_CASES = [
    ("negative", set_at(ONES, 0, -1), ValueError, "[Nn]egative"),
    ("NaN", set_at(ONES, 0, np.nan), ValueError, "NaN"),
    ("infinity", set_at(ONES, 0, np.inf), ValueError, "infinity"),
    ("all zero", 0 * ONES, ValueError, "zero"),
    ("one too few", ONES[:-1], ValueError, "entries for|inconsistent"),
    ("2-D", np.ones((N_ROWS, 2)), ValueError, "must be 1-?D"),
    ("words", np.array(["heavy"] * N_ROWS), ValueError, "to float"),
    ("complex", ONES + 1j, BOTH_ERRORS, "[Cc]omplex"),
    ("huge", 1e300 * ONES, None, ""),
    ("tiny", 1e-300 * ONES, None, ""),
    ("next to nothing", 5e-324 * (1 + GROUPS), None, ""),
    ("one per list", np.ones(12), ValueError, "repeat the weight of each list"),
    ("masked", np.ma.masked_array(ONES, GROUPS == 5), ValueError, "masked entries"),
    ("of very different size", np.geomspace(1e-30, 1e30, N_ROWS), None, ""),
    ("zero but for one list", (GROUPS == 5).astype(float), UserWarning, "no order"),
    ("zero but for one row", (np.arange(N_ROWS) == 5) * 1.0, UserWarning, "no order"),
    ("boolean", GROUPS > 2, None, ""),
]

HELD = {"X_val": X, "y_val": Y, "groups_val": GROUPS}
VALIDATION_CASES = [
    ("X_val alone", {"X_val": X, "groups_val": GROUPS}, ValueError, "requires y_val"),
    ("y_val alone", {"y_val": Y}, ValueError, "was given without X_val"),
    ("groups_val alone", {"groups_val": GROUPS}, ValueError, "given without X_val"),
    ("no groups_val", {"X_val": X, "y_val": Y}, ValueError, "came without groups_val"),
    ("negative y_val", HELD | {"y_val": Y - 1}, ValueError, "y_val must not be neg"),
    ("NaN in y_val", HELD | {"y_val": Y * np.nan}, ValueError, "y_val contains NaN"),
    ("short y_val", HELD | {"y_val": Y[1:]}, ValueError, "inconsistent numbers"),
    (
        "short groups_val",
        HELD | {"groups_val": [1]},
        ValueError,
        "groups_val has 1 ent",
    ),
    ("NaN ids", HELD | {"groups_val": GROUPS * np.nan}, ValueError, "groups_val cont"),
    ("narrow X_val", HELD | {"X_val": X[:, 1:]}, ValueError, "features"),
    ("inf in X_val", HELD | {"X_val": X + np.inf}, ValueError, "X_val .*infinity"),
    ("X_val no table", HELD | {"X_val": open}, TypeError, "X_val must have rows"),
    ("masked y_val", HELD | {"y_val": np.ma.masked_equal(Y, 1)}, ValueError, "y_val h"),
    ("y_val overflows", HELD | {"y_val": Y * 1e4}, ValueError, 'gain="linear"'),
    ("no rows", {k: v[:0] for k, v in HELD.items()}, ValueError, "0 sample"),
    ("groups and qid", {"qid": GROUPS}, ValueError, "both given"),
    ("no positives", HELD | {"y_val": 0 * Y}, None, ""),
    ("labels never seen", HELD | {"y_val": Y + 7}, None, ""),
    ("missing features", HELD | {"X_val": X * np.nan}, None, ""),
]

FIT_CASES = [
    *(Case("groups", n, {"groups": v}, e, m) for n, v, e, m in GROUP_CASES),
    *(Case("labels", n, {"y": v}, e, m) for n, v, e, m in LABEL_CASES),
    *(Case("features", n, {"X": v}, e, m) for n, v, e, m in FEATURE_CASES),
    *(Case("weights", n, {"sample_weight": v}, e, m) for n, v, e, m in WEIGHT_CASES),
    *(Case("validation", n, v, e, m) for n, v, e, m in VALIDATION_CASES),
]

PREDICT_CASES = [
    *(
        Case("groups", n, {"groups": v}, None if e is UserWarning else e, m)
        for n, v, e, m in GROUP_CASES
    ),
    *(Case("features", n, {"X": v}, e, m) for n, v, e, m in FEATURE_CASES),
    Case("features", "a column less", {"X": X[:, 1:]}, ValueError, "3 features"),
    Case(
        "features", "a column more", {"X": X[:, [0, *range(4)]]}, ValueError, "5 feat"
    ),
    Case("groups", "groups and qid", {"qid": GROUPS}, ValueError, "both given"),
]


def short(case):
    """Name of a case in reports."""
    return f"{case.kind}: {case.name}"


@cache
def fitted(name):
    """A fitted ranker, pickled, and its scores."""
    ranker = MAKERS[name]().fit(X, Y, groups=GROUPS)
    return pickle.dumps(ranker), ranker.predict(X, groups=GROUPS)


INTACT: dict[str, Any] = {}


@contextmanager
def unchanged(name):
    """Hand out a fitted ranker, which must score as before when it comes back."""
    pickled, before = fitted(name)
    ranker = INTACT.pop(name, None) or pickle.loads(pickled)
    parameters = ranker.get_params()
    yield ranker
    ranker.set_params(**parameters)
    np.testing.assert_array_equal(ranker.predict(X, groups=GROUPS), before)
    assert ranker.n_features_in_ == N_FEATURES
    INTACT[name] = ranker


each_ranker = pytest.mark.parametrize("name", MAKERS)


@each_ranker
@pytest.mark.parametrize("case", FIT_CASES, ids=short)
def test_fit_takes_or_refuses(case, name):
    call = {"X": X, "y": Y, "groups": GROUPS} | case.change
    if case.error in (None, UserWarning):
        expected = nullcontext()
        if case.error is UserWarning:
            expected = pytest.warns(UserWarning, match=case.message)
        with expected as warned:
            ranker = MAKERS[name]().fit(**call)
        assert warned is None or len(warned) == 1
        scores = ranker.predict(call["X"], groups=call["groups"])
        assert scores.shape == (N_ROWS,)
        assert np.isfinite(scores).all()
        return
    with unchanged(name) as ranker:
        with pytest.raises(case.error, match=case.message):
            ranker.fit(**call)
        if case.kind != "validation":
            with pytest.raises(case.error, match=case.message):
                ranker.partial_fit(**call)


@each_ranker
@pytest.mark.parametrize("case", PREDICT_CASES, ids=short)
def test_predict_takes_or_refuses(case, name):
    call = {"X": X, "groups": GROUPS} | case.change
    with unchanged(name) as ranker:
        if case.error is None:
            scores = ranker.predict(**call)
            assert scores.shape == (N_ROWS,)
            assert np.isfinite(scores).all()
            return
        methods = [ranker.predict, ranker.rank, partial(ranker.score, y=Y)]
        if hasattr(ranker, "predict_list_value"):
            methods.append(ranker.predict_list_value)
        for method in methods:
            with pytest.raises(case.error, match=case.message):
                method(**call)


# Names of columns ---------------------------------------------------------------------


def frame(columns):
    return pytest.importorskip("pandas").DataFrame(dict(zip(columns, X.T, strict=True)))


NAMED = {
    "another name": ("a", "b", "c", "e"),
    "another order": ("b", "a", "c", "d"),
    "one missing": ("a", "b", "c"),
    "one more": ("a", "b", "c", "d", "e"),
}


@each_ranker
@pytest.mark.parametrize("columns", NAMED.values(), ids=NAMED)
def test_other_column_names_are_refused(columns, name):
    ranker = MAKERS[name]().fit(frame("abcd"), Y, groups=GROUPS)
    before = ranker.predict(frame("abcd"), groups=GROUPS)
    wide = np.column_stack([X, X])[:, : len(columns)]
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="feature names should match"):
        ranker.predict(pandas.DataFrame(wide, columns=columns), groups=GROUPS)
    np.testing.assert_array_equal(ranker.predict(frame("abcd"), groups=GROUPS), before)


# Parameters ---------------------------------------------------------------------------

SUSPECTS = {
    "an object": object(),
    "a text": "no such choice",
    "a float": 2.5,
    "minus one": -1,
    "zero": 0,
    "one": 1,
    "NaN": np.nan,
    "infinity": np.inf,
    "None": None,
    "complex": 1j,
    "a list": [0.5],
    "a dict": {},
    "bytes": b"auto",
}


def parameter_cases(estimator):
    """Every parameter with every suspect that its constraints leave out."""
    for parameter, constraints in type(estimator)._parameter_constraints.items():
        allowed = [make_constraint(constraint) for constraint in constraints]
        for name, value in SUSPECTS.items():
            if not any(one.is_satisfied_by(value) for one in allowed):
                yield Case(
                    "parameters",
                    f"{parameter} is {name}",
                    {parameter: value},
                    InvalidParameterError,
                    f"'{parameter}' parameter",
                )


def nothing(*tensors):
    return None


def one_number(scores, gains, mask, weights):
    return scores.sum()


def detached(scores, gains, mask, weights):
    return ((scores - gains) ** 2 * mask * weights).sum(-1).detach()


def of_numpy(*tensors):
    return detached(*tensors).numpy()


def not_a_number(scores, gains, mask, weights):
    return (scores * np.nan).sum(-1)


MEANING_CASES = [
    ("device unknown", {"device": "tpu-9000"}, ValueError, "no torch device"),
    ("columns unknown", {"categorical_features": ["x"]}, ValueError, "column 'x'"),
    ("column out of range", {"categorical_features": [9]}, ValueError, "the column 9"),
    ("mask too short", {"categorical_features": [True]}, ValueError, "boolean mask"),
    ("fractional column", {"categorical_features": [0.5]}, ValueError, "column 0.5"),
    ("group_column by name", {"group_column": "qid"}, TypeError, "integer index"),
    ("group_column too far", {"group_column": 9}, ValueError, "out of bounds"),
    ("group_column no ids", {"group_column": 0}, ValueError, "fractional list id"),
    ("gain of one number", {"gain": np.sum}, ValueError, "gain must map"),
    ("gain below 0", {"gain": np.negative}, ValueError, "gain must map"),
    ("gain of NaN", {"gain": lambda y: y * np.nan}, ValueError, "gain must map"),
    (
        "gain of infinity",
        {"gain": lambda y: np.where(y, np.inf, 0)},
        ValueError,
        "overflow",
    ),
    ("loss of nothing", {"loss": nothing}, ValueError, "one loss per list.*None"),
    ("loss of one number", {"loss": one_number}, ValueError, "one loss per list"),
    ("loss of NumPy", {"loss": of_numpy}, ValueError, "a tensor of .* got ndarray"),
    ("loss detached", {"loss": detached}, ValueError, "without a gradient"),
    ("loss of NaN", {"loss": not_a_number}, ValueError, "NaN .* Return 0"),
    ("no callbacks", {"callbacks": [1]}, TypeError, "callbacks"),
    ("classes of callbacks", {"callbacks": [dict]}, TypeError, "callbacks"),
]
OWN_CASES = {
    "RankFormerRanker": [
        ("heads do not fit", {"d_model": 15}, ValueError, "multiple of nhead=2"),
    ],
    "MLPRanker": [
        ("no layer", {"hidden_layer_sizes": ()}, ValueError, "hidden_layer_sizes"),
        ("layer of none", {"hidden_layer_sizes": (8, 0)}, ValueError, "positive int"),
        ("layer of half", {"hidden_layer_sizes": (8, 0.5)}, ValueError, "positive int"),
        ("2-D layers", {"hidden_layer_sizes": [[8]]}, ValueError, "positive int"),
    ],
}
PARAMETER_CASES = [
    (name, case)
    for name, make in MAKERS.items()
    for case in [
        *parameter_cases(make()),
        *(
            Case("parameters", n, change, error, message)
            for n, change, error, message in MEANING_CASES + OWN_CASES[name]
        ),
    ]
]


@pytest.mark.parametrize(
    ("name", "case"),
    PARAMETER_CASES,
    ids=[f"{n}: {c.name}" for n, c in PARAMETER_CASES],
)
def test_bad_parameters_are_named(name, case):
    with unchanged(name) as ranker:
        ranker.set_params(**case.change)
        with pytest.raises(case.error, match=case.message):
            ranker.fit(X, Y, groups=GROUPS)


@each_ranker
def test_every_parameter_is_in_the_table(name):
    table = {p for n, c in PARAMETER_CASES if n == name for p in c.change}
    assert table == set(MAKERS[name]().get_params())


@each_ranker
def test_unknown_parameters_are_refused(name):
    with pytest.raises(TypeError, match="max_epoch"):
        MAKERS[name](max_epoch=3)
    with pytest.raises(ValueError, match="Invalid parameter 'max_epoch'"):
        MAKERS[name]().set_params(max_epoch=3)


# Training that goes wrong -------------------------------------------------------------


def fails_in_the_third_batch():
    """Make a loss that works twice, and so has moved the weights by then."""
    calls = iter([False, False, True])

    def loss(scores, gains, mask, weights):
        if next(calls):
            raise RuntimeError("third batch")
        return ((scores - gains) ** 2 * mask * weights).sum(-1)

    return loss


@each_ranker
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize(
    ("params", "advice"),
    [
        ({"learning_rate": 1e30, "max_epochs": 3}, "diverged.* Lower learning_rate"),
        ({"loss": not_a_number}, "loss returned NaN .* Return 0"),
    ],
    ids=["learning rate", "loss"],
)
def test_diverged_training_raises_with_advice(params, advice, warm_start, name):
    with unchanged(name) as ranker:
        ranker.set_params(warm_start=warm_start, **params)
        with pytest.raises(ValueError, match=advice):
            ranker.fit(X, Y, groups=GROUPS)


@each_ranker
@pytest.mark.parametrize("method", ["fit", "warm fit", "partial_fit"])
def test_training_that_breaks_half_way_leaves_the_weights_alone(method, name):
    with unchanged(name) as ranker:
        ranker.set_params(
            loss=fails_in_the_third_batch(),
            warm_start=method == "warm fit",
            batch_items=8,
        )
        with pytest.raises(RuntimeError, match="third batch"):
            getattr(ranker, method.removeprefix("warm "))(X, Y, groups=GROUPS)


@each_ranker
def test_partial_fit_goes_on_with_the_parameters_of_now(name):
    pickled, _ = fitted(name)
    params = {"loss": "lambda", "gain": "linear", "learning_rate": 0.01}
    ranker = pickle.loads(pickled).set_params(**params)
    copied = pickle.loads(pickle.dumps(ranker))
    same = pickle.loads(pickled)
    for one in (ranker, copied, same):
        one.partial_fit(X, Y, groups=GROUPS)
    scores = ranker.predict(X, groups=GROUPS)
    np.testing.assert_array_equal(scores, copied.predict(X, groups=GROUPS))
    assert not np.allclose(scores, same.predict(X, groups=GROUPS))


@each_ranker
def test_weights_that_are_not_finite_give_no_scores(name):
    ranker = pickle.loads(fitted(name)[0])
    for part, parameter in ranker.module_.named_parameters():
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter.fill_(np.nan)
        # What predict does not ask, the heads of list value, cannot spoil it.
        only_value = part.startswith(("list_head.", "pooled_head."))
        ask = ranker.predict_all if only_value else ranker.predict
        with pytest.raises(ValueError, match="not finite"):
            ask(X, groups=GROUPS)
        with torch.no_grad():
            parameter.copy_(before)
    assert np.isfinite(ranker.predict(X, groups=GROUPS)).all()


@each_ranker
@pytest.mark.parametrize("method", ["predict", "rank", "score", "predict_list_value"])
def test_an_unfitted_ranker_says_so(method, name):
    ranker = MAKERS[name]()
    if not hasattr(ranker, method):
        return
    y = (Y,) if method == "score" else ()
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(ranker, method)(X, *y, GROUPS)


# Scores, metrics, folds, transformers -------------------------------------------------


@each_ranker
@pytest.mark.parametrize(
    ("gain", "labels", "way_out"),
    [
        ("linear", Y * 1e300, "Divide the labels"),
        ("linear", Y * 8e307, "Divide the labels"),
        (lambda y: y * 1e300, Y, "Have gain give less"),
        (lambda y: y * 8e307, Y, "Have gain give less"),
    ],
)
def test_overflowing_gains_name_a_way_out_that_helps(gain, labels, way_out, name):
    with pytest.raises(ValueError, match=way_out):
        MAKERS[name](gain=gain).fit(X, labels, groups=GROUPS)


@pytest.mark.parametrize(
    "gain", [lambda y: y + 1j, lambda y: "a", lambda y: None, lambda y: y[1:]]
)
def test_gains_that_are_no_numbers_are_refused(gain):
    with pytest.raises(ValueError, match="gain must map"):
        MAKERS["MLPRanker"](gain=gain).fit(X, Y, groups=GROUPS)


@each_ranker
def test_a_hold_out_of_all_lists_is_refused(name):
    with pytest.raises(ValueError, match=r"validation_fraction=0.99 of 12 lists leav"):
        MAKERS[name](validation_fraction=0.99).fit(X, Y, groups=GROUPS)


@each_ranker
@pytest.mark.parametrize("device", ["meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device, name):
    with pytest.raises(ValueError, match=f"device='{device}' is not there"):
        MAKERS[name](device=device).fit(X, Y, groups=GROUPS)


METRIC_CASES = [
    ("NaN label", {"y_true": set_at(Y, 0, np.nan)}, ValueError, "y_true contains NaN"),
    ("negative label", {"y_true": Y - 1}, ValueError, "must not be negat"),
    ("words", {"y_true": ["good"] * N_ROWS}, ValueError, "y_true must hold"),
    ("2-D labels", {"y_true": X}, ValueError, "y_true must be 1-D"),
    ("no rows", {k: [] for k in ("y_true", "y_score", "groups")}, ValueError, "empty"),
    ("NaN score", {"y_score": X[:, 0] * np.nan}, ValueError, "y_score contains NaN"),
    ("infinite score", {"y_score": X[:, 0] + np.inf}, ValueError, "y_score contains"),
    ("complex score", {"y_score": X[:, 0] + 1j}, ValueError, "y_score must hold"),
    ("short scores", {"y_score": X[1:, 0]}, ValueError, "y_score has .* entries"),
    ("NaN ids", {"groups": GROUPS * np.nan}, ValueError, "groups contains NaN"),
    ("short ids", {"groups": GROUPS[1:]}, ValueError, "groups has .* entries"),
    ("NaN weight", {"sample_weight": ONES * np.nan}, ValueError, "sample_weight cont"),
    ("no weight", {"sample_weight": 0 * ONES}, ValueError, "zero on all rows"),
    ("negative weight", {"sample_weight": -ONES}, ValueError, "negative weight"),
    (
        "weights within a list",
        {"sample_weight": np.arange(N_ROWS)},
        ValueError,
        "differs within",
    ),
    ("unknown rule", {"empty": "drop"}, ValueError, "empty must be one of"),
    ("unknown reduction", {"reduction": "sum"}, ValueError, "reduction must be one of"),
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("case", METRIC_CASES, ids=lambda case: case[0])
def test_metrics_refuse(case, metric):
    _, change, error, message = case
    call = {"y_true": Y, "y_score": X[:, 0], "groups": GROUPS} | change
    with pytest.raises(error, match=message):
        METRICS[metric](**call)


SCORER_CASES = [
    ("a typo", lambda: get_scorer("ndgc@10"), ValueError, "Did you mean 'ndcg'"),
    ("cut-off 0", lambda: get_scorer("ndcg@0"), ValueError, "No scorer"),
    ("cut-off of tau", lambda: get_scorer("kendall_tau@3"), ValueError, "No scorer"),
    ("a number", lambda: get_scorer(10), ValueError, "No scorer"),
    ("no metric", lambda: make_ranking_scorer("ndcg"), TypeError, "must be a function"),
    (
        "unknown argument",
        lambda: make_ranking_scorer(METRICS["ndcg"], cut=3),
        TypeError,
        "cannot be called",
    ),
    (
        "no groups",
        lambda: get_scorer("map")(MAKERS["MLPRanker"]().fit(X, Y, GROUPS), X, Y),
        ValueError,
        "got no groups",
    ),
    (
        "a list over folds",
        lambda: check_group_cv(KFold(3, shuffle=True, random_state=0), X, Y, GROUPS),
        ValueError,
        "list",
    ),
    (
        "scaler of inf",
        lambda: WithinListScaler().fit(X + np.inf, groups=GROUPS),
        ValueError,
        "infinity",
    ),
    (
        "scaler, short ids",
        lambda: WithinListScaler().fit(X, groups=GROUPS[1:]),
        ValueError,
        "groups has",
    ),
    (
        "scaler, words",
        lambda: WithinListScaler().fit(np.full(X.shape, "red"), groups=GROUPS),
        ValueError,
        "to float",
    ),
    (
        "scaler, option",
        lambda: WithinListScaler(output="both").fit(X, groups=GROUPS),
        ValueError,
        "output must be",
    ),
]


@pytest.mark.parametrize("case", SCORER_CASES, ids=lambda case: case[0])
def test_tools_refuse(case):
    _, call, error, message = case
    with pytest.raises(error, match=message):
        call()


# Rankers around others ----------------------------------------------------------------

AROUND = {
    "adapter": lambda: RankerAdapter(Ridge()),
    "vote": lambda: VotingRanker([("line", Ridge())]),
    "stack": lambda: StackingRanker([("line", Ridge())], cv=ListKFold(3)),
    "student": lambda: DistilledRanker(Ridge(), Ridge()),
}
REFUSED = {
    "labels": (X[:, :1], Y - np.nan, GROUPS),
    "fewer labels without ids": (X, Y[1:], None),
    "a frame with fewer labels": ("frame", Y[1:], GROUPS),
    "held-out features": (X[:, :1], Y, GROUPS, X),
}


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("kind", AROUND)
@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore::sklearn_rankformer.MissingGroupsWarning")
def test_a_refused_fit_leaves_rankers_around_others_as_they_were(case, kind, fitted):
    ranker = AROUND[kind]()
    if fitted:
        ranker.fit(X, Y, groups=GROUPS)
    before = dict(vars(ranker))
    rows, labels, ids, *held_out = REFUSED[case]
    if isinstance(rows, str):
        rows = pytest.importorskip("pandas").DataFrame(X).add_prefix("x")
    val = {"X_val": held_out[0], "y_val": Y, "groups_val": GROUPS} if held_out else {}
    with pytest.raises(BOTH_ERRORS):
        ranker.fit(rows, labels, groups=ids, **val)
    assert vars(ranker) == before


# Damaged LETOR files ------------------------------------------------------------------

LINES = b"".join(
    b"%d qid:%d 1:%.3f 2:%.3f # item\n" % (label, group, *row[:2])
    for label, group, row in zip(Y, GROUPS, X, strict=True)
)
FILE_CASES = [
    ("empty", b"", "holds no rows"),
    ("blank lines", b"\n\n  \n", "holds no rows"),
    ("comments only", b"# nothing\n", "holds no rows"),
    ("a web page", b"<!DOCTYPE html>\n<html></html>\n", "line 1: label"),
    ("csv", b"label,qid,f1\n1,3,0.5\n", "line 1: label"),
    ("svmlight without qid", b"1 1:0.5 2:0.25\n", "line 1: the list id"),
    ("utf-16", LINES.decode().encode("utf-16"), "line 1"),
    ("byte order mark", b"\xef\xbb\xbf" + LINES, None),
    ("zero bytes", LINES + b"\0" * 512, "line"),
    ("bytes of an image", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "line 1"),
    ("gzip without the name", gzip.compress(LINES), "line 1"),
    ("cut in a number", LINES + b"1 qid:9 1:", "value of feature 1"),
    ("cut in the id", LINES + b"1 qid:", "the list id"),
    ("cut after the label", LINES + b"1", "the list id"),
    ("negative index", LINES + b"1 qid:9 -1:1\n", "not of the form"),
    ("index beyond memory", LINES + b"1 qid:9 99999999999:2\n", "too large"),
    ("index beyond 64 bit", LINES + b"1 qid:9 %d:2\n" % 2**80, "too large"),
    ("label NaN", LINES + b"nan qid:9 1:1\n", "not finite"),
    ("label infinite", LINES + b"inf qid:9 1:1\n", "not finite"),
    ("comma as point", LINES + b"1 qid:9 1:0,5\n", "is not a number"),
    ("two lines in one", LINES.rstrip() + b" 1 qid:9 1:1", None),
    ("a line glued on", LINES.replace(b" # item\n", b" ", 1), "not of the form"),
]


@pytest.mark.parametrize("case", FILE_CASES, ids=lambda case: case[0])
def test_damaged_letor_files_are_named(case, tmp_path):
    _, content, message = case
    path = tmp_path / "data.txt"
    path.write_bytes(content)
    if message is None:  # nothing lost, or behind the sign of a comment
        assert len(load_letor(path)[1]) == N_ROWS
        return
    with pytest.raises(ValueError, match=rf"data\.txt.*{message}"):
        load_letor(path)


@pytest.mark.parametrize("damage", ["cut off", "bytes changed", "no gzip", "empty"])
def test_damaged_archives_are_named(damage, tmp_path):
    packed = gzip.compress(LINES)
    path = tmp_path / "data.txt.gz"
    path.write_bytes(
        {
            "cut off": packed[:-20],
            "bytes changed": packed[:30] + b"\xff" * 8 + packed[38:],
            "no gzip": LINES,
            "empty": b"",
        }[damage]
    )
    with pytest.raises(ValueError, match=r"data\.txt\.gz"):
        load_letor(path)


@pytest.mark.filterwarnings("ignore:.*a feature index stands twice:UserWarning")
@settings(max_examples=150)
@given(st.data())
def test_any_damage_is_read_as_rows_or_named(tmp_path_factory, data):
    content = bytearray(LINES[:400])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(st.binary(max_size=3))
        content[place : place + data.draw(st.integers(0, 20))] = new
    path = tmp_path_factory.mktemp("letor") / "data.txt"
    path.write_bytes(bytes(content))
    try:
        X, y, groups = load_letor(path)
    except ValueError as error:
        found = str(error)
    else:
        found = str(path)
        assert len(X) == len(y) == len(groups) > 0
        assert np.isfinite(y).all()
        assert not np.isinf(X).any()
    assert found.startswith(str(path))


# Any sequence of calls ----------------------------------------------------------------

# What overflows under one gain is in order under another.
BAD = [
    case
    for case in FIT_CASES
    if case.error not in (None, UserWarning) and "gain" not in case.message
]


OF_NETWORK = ["n_members", "n_bins", "dropout", "input_transform"]


class AnySequence(RuleBasedStateMachine):
    """Whatever is called in whatever order, a ranker keeps its promises."""

    @initialize(name=st.sampled_from(sorted(MAKERS)))
    def start(self, name):
        self.ranker = MAKERS[name]()
        self.scores = self.width = None
        self.made = {}

    def remember(self, width):
        self.width = width
        self.probe = np.random.default_rng(1).normal(size=(N_ROWS, width))
        self.scores = self.ranker.predict(self.probe, groups=GROUPS)

    @rule(width=st.integers(1, 5), n_lists=st.integers(1, 14), seed=st.integers(0, 9))
    def fit(self, width, n_lists, seed):
        if self.ranker.warm_start and self.width:
            width = self.width
        self.train("fit", width, n_lists, seed)

    @rule(n_lists=st.integers(1, 14), seed=st.integers(0, 9))
    def partial_fit(self, n_lists, seed):
        self.train("partial_fit", self.width or 3, n_lists, seed)

    def train(self, method, width, n_lists, seed):
        X, y, groups = make_lists(n_lists, width + (width < 2), seed=seed)
        before = [part.copy() for part in (X, y, groups)]
        train = partial(getattr(self.ranker, method), X[:, :width], y, groups)
        asked = {name: getattr(self.ranker, name) for name in OF_NETWORK}
        goes_on = self.width and (method == "partial_fit" or self.ranker.warm_start)
        if goes_on and asked != self.made:
            with pytest.raises(ValueError, match="made with other values than"):
                train()
            self.ranker.set_params(**self.made)
        else:
            self.made = asked
        assert train() is self.ranker
        for part, copied in zip((X, y, groups), before, strict=True):
            np.testing.assert_array_equal(part, copied)
        self.remember(width)

    @rule(
        case=st.sampled_from(BAD),
        method=st.sampled_from(["fit", "partial_fit"]),
    )
    def refuse(self, case, method):
        if method == "partial_fit" and case.kind == "validation":
            return
        call = {"X": X, "y": Y, "groups": GROUPS} | case.change
        with pytest.raises(BOTH_ERRORS):
            getattr(self.ranker, method)(**call)

    @rule(
        params=st.fixed_dictionaries(
            {},
            optional={
                "max_epochs": st.integers(1, 2),
                "learning_rate": st.sampled_from([1e-4, 1e-2]),
                "n_members": st.integers(1, 2),
                "n_bins": st.integers(0, 3),
                "dropout": st.sampled_from([0.0, 0.5]),
                "loss": st.sampled_from(["softmax", "lambda"]),
                "gain": st.sampled_from(["exp", "linear"]),
                "input_transform": st.sampled_from(["quantile", None]),
                "validation_fraction": st.sampled_from([None, 0.2]),
                "warm_start": st.booleans(),
                "batch_items": st.sampled_from([1, 16, 1024]),
                "random_state": st.sampled_from([0, 1, None]),
            },
        )
    )
    def set_params(self, params):
        self.ranker.set_params(**params)
        assert self.ranker.get_params() | params == self.ranker.get_params()

    @rule()
    def clone_it(self):
        copied = clone(self.ranker)
        assert copied.get_params() == self.ranker.get_params()
        assert not hasattr(copied, "module_")
        with pytest.raises(NotFittedError):
            copied.predict(X, groups=GROUPS)

    @rule()
    def pickle_it(self):
        self.ranker = pickle.loads(pickle.dumps(self.ranker))

    @precondition(lambda self: self.scores is not None)
    @rule()
    def save_and_load_it(self):
        with TemporaryDirectory() as place:
            persistence.save(self.ranker, f"{place}/ranker.safetensors")
            self.ranker = persistence.load(f"{place}/ranker.safetensors")

    @precondition(lambda self: self.scores is not None)
    @rule(seed=st.integers(0, 9))
    def reorder(self, seed):
        rows = np.random.default_rng(seed).permutation(N_ROWS)
        shuffled = self.ranker.predict(self.probe[rows], groups=GROUPS[rows])
        scale = np.abs(self.scores).max() + 1
        np.testing.assert_allclose(shuffled, self.scores[rows], atol=1e-5 * scale)

    @invariant()
    def scores_stay_as_they_were_learned(self):
        if getattr(self, "scores", None) is None:
            return
        scores = self.ranker.predict(self.probe, groups=GROUPS)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(scores, self.scores)

    @invariant()
    def attributes_agree(self):
        if getattr(self, "scores", None) is None:
            return
        ranker = self.ranker
        assert ranker.n_features_in_ == self.width
        assert ranker.n_iter_ == len(ranker.history_) >= 1
        assert (np.diff(getattr(ranker, "levels_", [0, 1])) > 0).all()
        assert ranker.fitted_with_groups_


TestAnySequence = pytest.mark.filterwarnings(
    "ignore:.*no order to learn", "ignore:y has lists whose highest label"
)(AnySequence.TestCase)
TestAnySequence.settings = settings(max_examples=25, stateful_step_count=12)


if __name__ == "__main__":
    counted = Counter(f"fit: {case.kind}" for case in FIT_CASES)
    counted |= Counter(f"predict: {case.kind}" for case in PREDICT_CASES)
    counted |= Counter(f"parameters: {name}" for name, _ in PARAMETER_CASES)
    counted["column names"] = len(NAMED)
    counted["metrics"] = len(METRIC_CASES) * len(METRICS)
    counted["scorers, folds, scaler"] = len(SCORER_CASES)
    counted["files"] = len(FILE_CASES) + 4
    for kind, count in counted.items():
        print(f"{kind:<32}{count:>5}")
    print(f"{'all':<32}{counted.total():>5}")
