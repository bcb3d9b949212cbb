"""Cross-validations that cut lists are noticed, and no others."""

import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rankformer import (
    CutListsWarning,
    DistilledRanker,
    RankerAdapter,
    RankerMixin,
)
from sklearn_rankformer._groups import check_groups
from sklearn_rankformer._lists import any_cut, digest_lists, split_lists
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.scoring import get_scorer, make_ranking_scorer

from .conftest import make_lists
from .factories import TINY, mlp, rankformer

KINDS = {
    "int": lambda ids: np.array(ids, dtype=np.int64),
    "small": lambda ids: np.array(ids, dtype=np.int8),
    "unsigned": lambda ids: np.array(ids, dtype=np.int64).view(np.uint64),
    "str": lambda ids: np.array([f"query {one * 37}" for one in ids], dtype=str),
    "bytes": lambda ids: np.array([b"q%d" % (one * 37) for one in ids], dtype=bytes),
    "long int": lambda ids: np.array([(one + 9) * 2**70 for one in ids], dtype=object),
    "time": lambda ids: np.array(ids, dtype="M8[D]"),
}


def lists_of_kind(kind, ids):
    return split_lists(check_groups(KINDS[kind](ids), len(ids)))


# -- digests --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_list_is_cut_if_its_id_is_known_with_another_number_of_rows(kind, data):
    some_ids = st.lists(st.integers(-5, 5), min_size=1, max_size=20)
    trained, scored = data.draw(some_ids), data.draw(some_ids)
    sizes = Counter(trained)
    expected = any(sizes[one] not in (0, n) for one, n in Counter(scored).items())
    digest = digest_lists(lists_of_kind(kind, trained))
    assert any_cut(digest, lists_of_kind(kind, scored)) == expected
    assert not any_cut(digest, lists_of_kind(kind, trained[::-1]))


def test_a_text_is_known_again_in_an_array_of_another_width():
    digest = digest_lists(split_lists(np.array(["a", "a", "longer name"])))
    assert any_cut(digest, split_lists(np.array(["a"])))
    assert not any_cut(digest, split_lists(np.array(["longer name"])))
    assert not any_cut(digest, split_lists(np.array(["b", "a", "a"])))


def test_a_digest_takes_sixteen_bytes_a_list():
    digest = digest_lists(split_lists(np.repeat(np.arange(1000), 7)))
    assert digest.nbytes == 16 * 1000


# -- cross-validation -----------------------------------------------------------------


class ByFirstColumn(RankerMixin, BaseEstimator):
    """A ranker of somebody's own, which keeps a digest or not."""

    def __init__(self, sign=1, digest=True):
        self.sign = sign
        self.digest = digest

    def fit(self, X, y, groups=None):
        self.fitted_ = True
        if self.digest:
            self.trained_lists_ = digest_lists(split_lists(np.asarray(groups)))
        return self

    def predict(self, X, groups=None):
        return self.sign * X[:, 0]


RANKERS = {
    "adapter": RankerAdapter(Ridge()),
    "distilled": DistilledRanker(Ridge(), Ridge()),
    "own": ByFirstColumn(),
    "mlp": mlp(**TINY),
    "rankformer": rankformer(**TINY),
    "pipeline": make_pipeline(StandardScaler(), RankerAdapter(Ridge())),
}
CUTTING = {
    "3": 3,
    "rows": KFold(3),
    "shuffled rows": KFold(3, shuffle=True, random_state=0),
    "drawn rows": ShuffleSplit(2, random_state=0),
}
WHOLE = {
    "groups": GroupKFold(3),
    "drawn groups": GroupShuffleSplit(2, random_state=0),
    "the same rows": [(np.arange(200), np.arange(200))],
}


@pytest.fixture
def data():
    """200 rows of about 45 lists, with ids as text."""
    X, y, groups = make_lists(n_lists=60)
    return X[:200], y[:200], np.array([f"query {one}" for one in groups[:200]])


def search(ranker, kind, **params):
    """A search of one candidate."""
    if kind is RandomizedSearchCV:
        return kind(ranker, {}, n_iter=1, **params)
    return kind(ranker, {}, **params)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("scoring", [None, get_scorer("ndcg@10")], ids=["own", "ndcg"])
@pytest.mark.parametrize("cv", CUTTING)
@pytest.mark.parametrize("name", RANKERS)
def test_splits_of_rows_warn(name, cv, scoring, data):
    X, y, groups = data
    options = {"cv": CUTTING[cv], "scoring": scoring, "params": {"groups": groups}}
    with pytest.warns(CutListsWarning, match="splitter of whole lists") as caught:
        cross_val_score(RANKERS[name], X, y, **options)
    assert {one.filename for one in caught} == {__file__}
    assert len({str(one.message) for one in caught}) == 1


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("scoring", [None, get_scorer("ndcg@10")], ids=["own", "ndcg"])
@pytest.mark.parametrize("cv", WHOLE)
@pytest.mark.parametrize("name", RANKERS)
def test_splits_of_whole_lists_do_not(name, cv, scoring, data):
    X, y, groups = data
    cross_validate(
        RANKERS[name],
        X,
        y,
        cv=WHOLE[cv],
        scoring=scoring,
        params={"groups": groups},
        return_train_score=True,
        error_score="raise",
    )


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("kind", [GridSearchCV, RandomizedSearchCV])
def test_searches_warn_and_their_own_score_does_not(kind, data):
    X, y, groups = data
    with pytest.warns(CutListsWarning):
        cut = search(RankerAdapter(Ridge()), kind, cv=3).fit(X, y, groups=groups)
    assert 0 < cut.score(X[:50], y[:50], groups=groups[:50]) <= 1
    whole = search(RankerAdapter(Ridge()), kind, cv=GroupKFold(3))
    whole.set_params(return_train_score=True).fit(X, y, groups=groups)


@pytest.mark.usefixtures("routing")
def test_searches_in_threads_warn(data):
    from joblib import parallel_config

    X, y, groups = data
    with parallel_config("threading"), pytest.warns(CutListsWarning):
        search(RankerAdapter(Ridge()), GridSearchCV, cv=3, n_jobs=2).fit(
            X, y, groups=groups
        )


@pytest.mark.usefixtures("routing")
def test_learning_curves_of_whole_lists_do_not_warn(data):
    X, y, groups = data
    learning_curve(
        RankerAdapter(Ridge()),
        X,
        y,
        cv=GroupKFold(3),
        params={"groups": groups},
        train_sizes=[20, 57, 100],
        error_score="raise",
    )


def test_lists_named_in_a_column_of_X_are_known_too(data):
    X, y, groups = data
    ids = np.unique(groups, return_inverse=True)[1]
    ranker = RankerAdapter(Ridge(), group_column=0)
    with pytest.warns(CutListsWarning):
        cross_val_score(ranker, np.column_stack([ids, X]), y, cv=3)
    cross_val_score(ranker, np.column_stack([ids, X]), y, groups=ids, cv=GroupKFold(3))


def test_other_data_with_the_same_ids_may_be_scored(data):
    X, y, groups = data
    others, labels, ids = make_lists(n_lists=60, seed=1)
    names = np.array([f"query {one}" for one in ids])
    for name in ("adapter", "distilled", "own", "mlp"):
        ranker = clone(RANKERS[name]).fit(X, y, groups=groups)
        ranker.score(others, labels, groups=names)
        get_scorer("map")(ranker, others, labels, groups=names)


@pytest.mark.usefixtures("routing")
def test_one_parameter_or_one_filter_turns_the_check_off(data):
    X, y, groups = data
    scorer = make_ranking_scorer(ndcg_score, k=10, check_lists=False)
    options = {"cv": 3, "params": {"groups": groups}, "error_score": "raise"}
    ranker = RankerAdapter(Ridge())
    off = cross_val_score(ranker, X, y, scoring=scorer, **options)
    assert repr(scorer) == "make_ranking_scorer(ndcg_score, check_lists=False, k=10)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CutListsWarning)
        on = cross_val_score(ranker, X, y, scoring=get_scorer("ndcg@10"), **options)
    np.testing.assert_array_equal(on, off)


@pytest.mark.usefixtures("routing")
def test_a_ranker_that_keeps_no_digest_is_not_checked(data):
    X, y, groups = data
    ranker = ByFirstColumn(digest=False)
    cross_val_score(ranker, X, y, cv=3, params={"groups": groups}, error_score="raise")
