"""RankerMixin: a ranker of one's own scores, ranks and searches like the others."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from sklearn_rankformer import MissingGroupsWarning, RankerMixin
from sklearn_rankformer.metrics import ndcg_score


class ByDistance(RankerMixin, BaseEstimator):
    """Ranks by the distance from the mean of the list, and needs lists for that."""

    def __init__(self, sign=-1.0):
        self.sign = sign

    def fit(self, X, y, groups=None):
        self.needs_groups_ = groups is not None
        return self

    def predict(self, X, groups=None):
        if groups is None and self.needs_groups_:
            raise ValueError("predict needs groups")
        groups = np.zeros(len(X), dtype=int) if groups is None else groups
        means = np.bincount(groups, X[:, 0]) / np.maximum(np.bincount(groups), 1)
        return self.sign * np.abs(X[:, 0] - means[groups])


class WithParameters(ByDistance):
    """The same, with parameters in place of the defaults of the mixin."""

    def __init__(self, sign=-1.0, group_column=None, gain="exp"):
        super().__init__(sign)
        self.group_column = group_column
        self.gain = gain

    def fit(self, X, y, groups=None):
        self.needs_groups_ = True
        return self

    def predict(self, X, groups=None):
        if self.group_column is not None:
            groups = self.get_groups(X)
        return super().predict(X, groups)


@pytest.fixture
def data():
    """Rows in random order, labelled by how near they are to the mean of their list."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(12), 5))
    X = rng.normal(size=(60, 2)) + 10 * groups[:, None]
    means = np.bincount(groups, X[:, 0]) / np.bincount(groups)
    near = np.digitize(-np.abs(X[:, 0] - means[groups]), [-1.0, -0.5, -0.2])
    return X, near, groups


def test_score_is_ndcg_at_ten_of_predictions_with_groups(data):
    X, y, groups = data
    ranker = ByDistance().fit(X, y, groups)
    assert ranker.score(X, y, groups=groups) == ranker.score(X, y, qid=groups) == 1
    backwards = ByDistance(sign=1.0).fit(X, y, groups)
    weight = 1.0 + groups
    expected = ndcg_score(
        y, backwards.predict(X, groups), groups, k=10, sample_weight=weight
    )
    assert backwards.score(X, y, groups, weight) == expected < 0.9


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda y: y[:3], "y has 3 entries for 60 rows of X"),
        (lambda y: y - 5, "y must not be negative"),
        (lambda y: np.where(y > 0, np.nan, 0), "y contains NaN"),
    ],
)
def test_score_names_the_labels_as_its_argument_does(change, match, data):
    X, y, groups = data
    ranker = ByDistance().fit(X, y, groups)
    with pytest.raises(ValueError, match=f"^{match}"):
        ranker.score(X, change(y), groups)


def test_gain_is_that_of_the_ranker(data):
    X, y, groups = data
    ranker = WithParameters(sign=1.0, gain="linear").fit(X, y, groups)
    expected = ndcg_score(y, ranker.predict(X, groups), groups, k=10, gain="linear")
    assert ranker.score(X, y, groups) == expected
    assert ByDistance.gain == "exp"


def test_rank_puts_the_best_of_each_list_first(data):
    X, y, groups = data
    ranker = ByDistance().fit(X, y, groups)
    scores = ranker.predict(X, groups)
    best = [
        rows[np.argsort(-scores[rows], kind="stable")][:2]
        for rows in (np.flatnonzero(groups == one) for one in np.unique(groups))
    ]
    for name in ("groups", "qid"):
        rows = ranker.rank(X, k=2, **{name: groups})
        np.testing.assert_array_equal(rows, np.concatenate(best))


@pytest.mark.parametrize("method", ["score", "rank"])
def test_both_names_at_once_raise(method, data):
    X, y, groups = data
    ranker = ByDistance().fit(X, y, groups)
    labels = {"y": y} if method == "score" else {}
    with pytest.raises(ValueError, match="groups and its alias qid were both given"):
        getattr(ranker, method)(X, groups=groups, qid=groups, **labels)


def test_a_ranker_that_needs_groups_says_so_before_the_warning(data):
    X, y, groups = data
    ranker = ByDistance().fit(X, y, groups)
    with pytest.raises(ValueError, match="predict needs groups"):
        ranker.score(X, y)
    with pytest.raises(ValueError, match="predict needs groups"):
        ranker.rank(X)


def test_rows_without_ids_are_one_list_and_score_warns(data):
    X, y, _ = data
    ranker = ByDistance().fit(X, y)
    scores = ranker.predict(X)
    with pytest.warns(MissingGroupsWarning, match=r"ByDistance\.score got no groups"):
        score = ranker.score(X, y)
    assert score == ndcg_score(y, scores, np.zeros(60, int), k=10)
    np.testing.assert_array_equal(ranker.rank(X), np.argsort(-scores, kind="stable"))


@pytest.mark.parametrize("k", [0, 1.5, "3", True])
def test_rank_refuses_a_k_that_is_no_count(k, data):
    X, y, groups = data
    with pytest.raises(ValueError, match="k must be None or an integer of 1 or more"):
        ByDistance().fit(X, y, groups).rank(X, groups, k=k)


class AsGiven(ByDistance):
    """The same scores in a form of one's own."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def predict(self, X, groups=None):
        return self.form(super().predict(X, groups))


@pytest.mark.parametrize("form", [np.ndarray.tolist, np.vstack], ids=["list", "column"])
def test_scores_may_come_as_a_list_or_a_column(form, data):
    X, y, groups = data
    ranker, plain = AsGiven(form).fit(X, y, groups), ByDistance().fit(X, y, groups)
    assert ranker.score(X, y, groups) == plain.score(X, y, groups)
    np.testing.assert_array_equal(ranker.rank(X, groups), plain.rank(X, groups))


@pytest.mark.parametrize(
    ("form", "match"),
    [
        (lambda s: np.where(s < -1, np.nan, s), "AsGiven scores .* of 60 rows as NaN"),
        (lambda s: s[1:], r"AsGiven predicts an array of shape \(59,\) for 60 rows"),
        (lambda s: np.c_[s, s], r"predicts an array of shape \(60, 2\) for 60 rows"),
    ],
    ids=["nan", "short", "two columns"],
)
def test_rank_refuses_scores_that_order_nothing(form, match, data):
    X, y, groups = data
    with pytest.raises(ValueError, match=match):
        AsGiven(form).fit(X, y, groups).rank(X, groups)


def test_group_column_stands_for_groups(data):
    X, y, groups = data
    with_ids = np.column_stack([X, groups])
    plain = ByDistance(sign=1.0).fit(X, y, groups)
    column = WithParameters(sign=1.0, group_column=2).fit(with_ids, y)
    assert column.score(with_ids, y) == plain.score(X, y, groups)
    np.testing.assert_array_equal(column.rank(with_ids, k=1), plain.rank(X, groups, 1))
    np.testing.assert_array_equal(column.get_groups(with_ids), groups)
    with pytest.raises(ValueError, match="groups differs from the list ids in group_c"):
        column.score(with_ids, y, groups + 1)
    with pytest.raises(ValueError, match="ByDistance has no list ids to find in X"):
        plain.get_groups(X)


@pytest.mark.usefixtures("routing")
def test_searches_hand_on_groups_without_being_asked(data):
    X, y, groups = data
    pipeline = make_pipeline(FunctionTransformer(), ByDistance())
    search = GridSearchCV(
        pipeline,
        {"bydistance__sign": [1.0, -1.0]},
        cv=GroupKFold(3),
        error_score="raise",
    ).fit(X, y, groups=groups)
    assert search.best_params_ == {"bydistance__sign": -1.0}
    assert search.score(X, y, groups=groups) == 1
    result = cross_validate(
        ByDistance(), X, y, cv=GroupKFold(3), params={"groups": groups}
    )
    np.testing.assert_array_equal(result["test_score"], [1, 1, 1])


def test_defaults_are_no_parameters():
    assert ByDistance().get_params() == {"sign": -1.0}
    assert clone(ByDistance(sign=2.0)).sign == 2.0
    assert get_tags(ByDistance()).target_tags.required
