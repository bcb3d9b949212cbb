"""DistilledRanker: the student learns what the teacher says, and nothing else."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_rankformer import (
    MissingGroupsWarning,
    MLPRanker,
    RankerAdapter,
    RankFormerRanker,
    WithinListScaler,
)
from sklearn_rankformer.distillation import DistilledRanker
from sklearn_rankformer.metrics import ndcg_score


class FirstColumn(RegressorMixin, BaseEstimator):
    """Scores by the first column, in whatever list: a teacher known exactly."""

    def __init__(self, shift_lists=False):
        self.shift_lists = shift_lists

    def fit(self, X, y, groups=None, sample_weight=None):
        self.seen_ = {"y": y, "groups": groups, "sample_weight": sample_weight}
        return self

    def predict(self, X, groups=None):
        scores = np.asarray(X)[:, 0].astype(float)
        return scores + 100 * groups if self.shift_lists else scores


class Recorder(RegressorMixin, BaseEstimator):
    """Keeps what `fit` is given; takes groups, so that nothing is put around it."""

    def fit(self, X, y, groups=None):
        self.X_, self.y_, self.groups_ = X, y, groups
        return self

    def predict(self, X, groups=None):
        return np.zeros(len(X))


def taught(X, groups, soft_labels, y=None, **params):
    """What a student is given when `FirstColumn` teaches."""
    y = np.zeros(len(X)) if y is None else y
    ranker = DistilledRanker(
        FirstColumn(), Recorder(), soft_labels=soft_labels, **params
    )
    return ranker.fit(X, y, groups).student_


# -- soft labels ----------------------------------------------------------------------

ragged = st.lists(
    st.lists(st.floats(-20, 20), min_size=1, max_size=6), min_size=1, max_size=5
)


def flat(lists):
    X = np.concatenate(lists)[:, None]
    return X, np.repeat(np.arange(len(lists)), [len(one) for one in lists])


@given(ragged)
@settings(max_examples=40, deadline=None)
def test_scores_are_those_of_the_teacher_centred_in_each_list(lists):
    student = taught(*flat(lists), "scores")
    expected = [s - np.mean(one) for one in lists for s in one]
    np.testing.assert_allclose(student.y_, expected, atol=1e-10)


@given(ragged, st.floats(0.3, 3.0), st.integers(2, 16))
@settings(max_examples=40, deadline=None)
def test_gains_are_in_proportion_to_the_softmax_of_the_scores(
    lists, temperature, n_grades
):
    params = {"temperature": temperature, "n_grades": n_grades}
    student = taught(*flat(lists), "gains", **params)
    gains = np.split(2**student.y_ - 1, np.cumsum([len(one) for one in lists])[:-1])
    for one, gain in zip(lists, gains, strict=True):
        p = np.exp(np.array(one) / temperature)
        np.testing.assert_allclose(gain / gain.sum(), p / p.sum(), atol=1e-9)
    assert student.y_.max() == pytest.approx(n_grades - 1)


@given(ragged)
@settings(max_examples=40, deadline=None)
def test_grades_are_whole_numbers_in_the_order_of_the_scores(lists):
    X, groups = flat(lists)
    grades = taught(X, groups, "grades", n_grades=5).y_
    assert grades.dtype.kind == "i"
    assert set(grades) <= {0, 1, 2, 3, 4}
    for one in np.unique(groups):
        by_score = grades[groups == one][np.argsort(X[groups == one, 0])]
        assert (np.diff(by_score) >= 0).all()
        assert by_score[-1] == 4


def test_a_shift_of_all_scores_of_a_list_changes_no_soft_label(lists):
    X, y, groups = lists
    for kind in ("scores", "gains"):
        plain, shifted = (
            DistilledRanker(FirstColumn(shift), Recorder(), soft_labels=kind)
            .fit(X, y, groups)
            .student_.y_
            for shift in (False, True)
        )
        np.testing.assert_allclose(plain, shifted, atol=1e-9)


@pytest.mark.parametrize(
    ("student", "kind"),
    [
        (Ridge(), "scores"),
        (RankerAdapter(Ridge()), "scores"),
        (make_pipeline(StandardScaler(), Ridge()), "scores"),
        (MLPRanker(), "gains"),
        (RankFormerRanker(), "gains"),
        (make_pipeline(StandardScaler(), MLPRanker()), "gains"),
        (GridSearchCV(RankFormerRanker(), {}), "gains"),
        (RankerAdapter(make_pipeline(StandardScaler(), MLPRanker())), "gains"),
        ("lightgbm.LGBMRanker", "grades"),
        ("xgboost.XGBRanker", "grades"),
        ("catboost.CatBoostRanker", "grades"),
    ],
)
def test_soft_labels_suit_the_student(student, kind, lists):
    from sklearn_rankformer.distillation import _kind_of

    if isinstance(student, str):
        module, name = student.split(".")
        student = getattr(pytest.importorskip(module), name)()
        assert _kind_of(RankerAdapter(student)) == kind
        assert _kind_of(make_pipeline(RankerAdapter(student))) == kind
    assert _kind_of(student) == kind


# -- teacher and student --------------------------------------------------------------


def test_a_student_that_can_copy_the_teacher_does(lists):
    X, y, _ = lists
    ranker = DistilledRanker(FirstColumn(), LinearRegression())
    # With one list, the constant that is taken off is the same for all rows.
    scores = ranker.fit(X, y, np.zeros(len(X))).predict(X)
    np.testing.assert_allclose(scores, X[:, 0] - X[:, 0].mean(), atol=1e-10)


def test_the_teacher_learns_labels_groups_and_weights(lists):
    X, y, groups = lists
    weight = 1.0 + groups
    ranker = DistilledRanker(FirstColumn(), Ridge())
    seen = ranker.fit(X, y, groups, sample_weight=weight).teacher_.seen_
    for name, given_value in {
        "y": y,
        "groups": groups,
        "sample_weight": weight,
    }.items():
        np.testing.assert_array_equal(seen[name], given_value)


def test_the_student_learns_no_labels_once_the_teacher_is_frozen(lists):
    X, y, groups = lists
    teacher = FrozenEstimator(FirstColumn().fit(X, y))
    ranker = DistilledRanker(teacher, DecisionTreeRegressor(random_state=0))
    without = clone(ranker).fit(X, groups=groups).predict(X)
    np.testing.assert_array_equal(without, clone(ranker).fit(X, y, groups).predict(X))


def test_a_frozen_rankformer_is_used_as_it_is(lists):
    X, y, groups = lists
    teacher = RankFormerRanker(max_epochs=1, random_state=0).fit(X, y, groups)
    before = teacher.predict(X, groups)
    ranker = DistilledRanker(FrozenEstimator(teacher), Ridge()).fit(X, groups=groups)
    assert ranker.teacher_.estimator is teacher
    np.testing.assert_array_equal(teacher.predict(X, groups), before)


@pytest.mark.parametrize(
    "student", ["lightgbm.LGBMRanker", "xgboost.XGBRanker", "catboost.CatBoostRanker"]
)
def test_library_rankers_learn_the_order_of_the_teacher(student, lists):
    module, name = student.split(".")
    quiet = {
        "lightgbm": {"verbosity": -1, "min_child_samples": 2, "n_estimators": 20},
        "xgboost": {"n_estimators": 20},
        "catboost": {"iterations": 20, "verbose": 0, "allow_writing_files": False},
    }
    X, _, groups = lists
    backwards = X[:, 0] < 0  # labels that the teacher does not care for
    estimator = getattr(pytest.importorskip(module), name)(**quiet[module])
    ranker = DistilledRanker(FirstColumn(), estimator).fit(X, backwards, groups)
    wanted = (X[:, 0] > 0.5).astype(int)
    assert ndcg_score(wanted, ranker.predict(X), groups) > 0.9


def test_a_network_student_learns_the_order_of_the_teacher(lists):
    X, y, groups = lists
    student = MLPRanker(max_epochs=12, n_members=1, dropout=0.0, random_state=0)
    ranker = DistilledRanker(FirstColumn(), student).fit(X, y, groups)
    assert ndcg_score((X[:, 0] > 0.5).astype(int), ranker.predict(X), groups) > 0.9


def test_neither_teacher_nor_student_given_is_fitted_or_changed(lists):
    teacher, student = Ridge(alpha=3), RankerAdapter(Ridge(alpha=4))
    given_X, given_y, given_groups = (one.copy() for one in lists)
    DistilledRanker(teacher, student).fit(*lists)
    assert not hasattr(teacher, "coef_")
    assert not hasattr(student, "estimator_")
    for one, kept in zip(lists, (given_X, given_y, given_groups), strict=True):
        np.testing.assert_array_equal(one, kept)


# -- unlabelled and validation lists --------------------------------------------------


def test_unlabelled_lists_are_added_under_ids_of_their_own(lists):
    X, y, groups = lists
    ranker = DistilledRanker(FirstColumn(), Recorder(), soft_labels="scores")
    more = {"X_unlabelled": X[::-1], "groups_unlabelled": groups[::-1]}
    student = ranker.fit(X, y, groups, **more).student_
    np.testing.assert_array_equal(student.X_, np.concatenate([X, X[::-1]]))
    np.testing.assert_allclose(student.y_[len(X) :], student.y_[: len(X)][::-1])
    assert not set(student.groups_[: len(X)]) & set(student.groups_[len(X) :])


def test_frames_and_sparse_matrices_are_stacked_as_they_are(lists):
    X, y, groups = lists
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd")).assign(
        city=pd.Categorical(np.where(X[:, 1] > 0, "x", "y"))
    )
    student = HistGradientBoostingRegressor(
        max_iter=3, categorical_features="from_dtype"
    )
    for rows in (frame, sp.csr_array(X)):
        learner = student if rows is frame else Ridge()
        ranker = DistilledRanker(FrozenEstimator(FirstColumn().fit(X, y)), learner)
        if rows is not frame:
            ranker = DistilledRanker(RankerAdapter(Ridge()), learner)
        ranker.fit(rows, y, groups, X_unlabelled=rows, groups_unlabelled=groups)
        assert ranker.predict(rows).shape == y.shape


def test_polars_frames_are_stacked_too(lists):
    X, y, groups = lists
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(X, schema=list("abcd"))
    ranker = DistilledRanker(FirstColumn(), Recorder())
    ranker.fit(frame, y, groups, X_unlabelled=frame, groups_unlabelled=groups)
    assert len(ranker.student_.X_) == 2 * len(X)


def test_frames_of_other_types_are_refused(lists):
    X, y, groups = lists
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    with pytest.raises(TypeError, match="same column types as X"):
        DistilledRanker(FirstColumn(), Ridge()).fit(
            frame,
            y,
            groups,
            X_unlabelled=frame.astype("float32"),
            groups_unlabelled=groups,
        )


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("array", "sparse", r"X_unlabelled is a sparse matrix.*toarray"),
        ("frame", "array", "X_unlabelled must be a frame"),
        ("frame", "other types", "same column types as X"),
    ],
)
def test_unlabelled_rows_of_another_kind_are_refused_before_the_teacher_learns(
    kind, more, message, lists
):
    X, y, groups = lists
    frame = pytest.importorskip("pandas").DataFrame(X, columns=list("abcd"))
    kinds = {
        "array": X,
        "sparse": sp.csr_matrix(X),
        "frame": frame,
        "other types": frame.astype("float32"),
    }
    further = {"X_unlabelled": kinds[more], "groups_unlabelled": groups}
    ranker = DistilledRanker(Ridge(), Ridge())
    with pytest.raises(TypeError, match=message):
        ranker.fit(kinds[kind], y, groups, **further)
    assert not hasattr(ranker, "teacher_")


def test_the_student_stops_on_what_the_teacher_says_of_the_validation_lists(lists):
    lightgbm = pytest.importorskip("lightgbm")
    X, y, groups = lists
    student = RankerAdapter(
        lightgbm.LGBMRanker(n_estimators=200, verbosity=-1, min_child_samples=2),
        early_stopping_rounds=3,
    )
    teacher = MLPRanker(max_epochs=1, random_state=0)
    ranker = DistilledRanker(teacher, student, temperature=0.1)
    ranker.fit(X, y, groups, X_val=X, y_val=y, groups_val=groups)
    assert ranker.student_.estimator_.best_iteration_ > 0


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize(
    "member",
    [
        Ridge(),
        RankerAdapter(Ridge()),
        make_pipeline(StandardScaler(), Ridge()),
        make_pipeline(WithinListScaler(), Ridge()),
    ],
)
def test_validation_lists_of_no_use_are_refused_before_the_teacher_learns(
    role, member, lists, routing
):
    X, y, groups = lists
    network = MLPRanker(max_epochs=1, random_state=0)
    ranker = DistilledRanker(**{"teacher": network, "student": network, role: member})
    with pytest.raises(ValueError, match=f"the {role} .* cannot use it"):
        ranker.fit(X, y, groups, X_val=X, y_val=y, groups_val=groups)
    assert not hasattr(ranker, "teacher_")


def test_pipelines_transform_the_validation_lists_too(lists, routing):
    X, y, groups = lists
    val = {"y_val": y[:60], "groups_val": groups[:60]}
    network = MLPRanker(max_epochs=2, random_state=0)
    pipe = make_pipeline(FunctionTransformer(np.negative), network)
    whole = DistilledRanker(pipe, pipe).fit(X, y, groups, X_val=X[:60], **val)
    plain = DistilledRanker(network, network)
    plain.fit(-X, y, groups, X_val=-X[:60], **val)
    for role in ("teacher_", "student_"):
        watched, expected = getattr(whole, role)[-1], getattr(plain, role)
        assert watched.kept_score_ == expected.kept_score_


def test_weights_reach_a_teacher_at_the_end_of_a_pipeline(lists, routing):
    X, y, groups = lists
    weight = 1.0 + groups
    pipe = make_pipeline(StandardScaler(), MLPRanker(max_epochs=1, random_state=0))
    ranker = DistilledRanker(pipe, Ridge()).fit(X, y, groups, sample_weight=weight)
    pipe[-1].set_fit_request(sample_weight=True)
    pipe[0].set_fit_request(sample_weight=False)
    pipe.fit(X, y, groups=groups, sample_weight=weight)
    np.testing.assert_array_equal(
        ranker.teacher_.predict(X, groups=groups), pipe.predict(X, groups=groups)
    )


# -- list ids -------------------------------------------------------------------------


def test_a_student_of_single_rows_needs_no_groups_and_one_of_lists_does(lists):
    X, y, groups = lists
    fast = DistilledRanker(FirstColumn(), Ridge()).fit(X, y, groups)
    np.testing.assert_array_equal(fast.predict(X), fast.predict(X, groups))
    of_lists = DistilledRanker(FirstColumn(), RankFormerRanker(max_epochs=1))
    with pytest.raises(ValueError, match="fitted with groups"):
        of_lists.fit(X, y, groups).predict(X)


def test_group_column_gives_what_groups_gives(lists):
    X, y, groups = lists
    with_ids = np.column_stack([X, groups])
    plain = DistilledRanker(FirstColumn(), Ridge()).fit(X, y, groups)
    column = DistilledRanker(FirstColumn(), Ridge(), group_column=4)
    column.fit(with_ids, y)
    np.testing.assert_array_equal(column.predict(with_ids), plain.predict(X))
    assert column.score(with_ids, y) == plain.score(X, y, groups)
    np.testing.assert_array_equal(column.rank(with_ids, k=1), plain.rank(X, groups, 1))
    np.testing.assert_array_equal(column.get_groups(with_ids), groups)
    with pytest.raises(ValueError, match="group_column is None"):
        plain.get_groups(X)


def test_score_is_ndcg_at_ten_of_the_student(lists):
    X, y, groups = lists
    ranker = DistilledRanker(FirstColumn(), Ridge()).fit(X, y, qid=groups)
    expected = ndcg_score(y, ranker.predict(X), groups, k=10)
    assert ranker.score(X, y, qid=groups) == expected


def test_no_groups_warn_and_mean_one_list(lists):
    X, y, _ = lists
    with pytest.warns(MissingGroupsWarning, match=r"DistilledRanker\.fit"):
        ranker = DistilledRanker(FirstColumn(), RankFormerRanker(max_epochs=1)).fit(
            X, y
        )
    assert ranker.predict(X).shape == y.shape
    with pytest.warns(MissingGroupsWarning, match=r"DistilledRanker\.score"):
        ranker.score(X, y)


# -- rankers in disguise, rows taken for lists ----------------------------------------


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_librarys_ranker_inside_a_pipeline_is_refused(role, lists):
    lightgbm = pytest.importorskip("lightgbm")
    hidden = make_pipeline(StandardScaler(), lightgbm.LGBMRanker(verbosity=-1))
    members = {"teacher": Ridge(), "student": Ridge(), role: hidden}
    with pytest.raises(TypeError, match="keeps list ids from the LGBMRanker inside"):
        DistilledRanker(**members).fit(*lists)


def test_a_pipeline_that_routes_groups_to_another_step_is_refused_too(lists, routing):
    lightgbm = pytest.importorskip("lightgbm")
    hidden = make_pipeline(WithinListScaler(), lightgbm.LGBMRanker(verbosity=-1))
    with pytest.raises(TypeError, match="keeps list ids from the LGBMRanker inside"):
        DistilledRanker(Ridge(), hidden).fit(*lists)
    way_out = make_pipeline(
        WithinListScaler(), RankerAdapter(lightgbm.LGBMRanker(verbosity=-1))
    )
    ranker = DistilledRanker(FirstColumn(), way_out).fit(*lists)
    assert ranker.score(*lists) > 0


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_regressor_with_a_ranking_objective_is_refused(role, lists):
    xgboost = pytest.importorskip("xgboost")
    hidden = xgboost.XGBRegressor(objective="rank:ndcg")
    members = {"teacher": Ridge(), "student": Ridge(), role: hidden}
    with pytest.raises(TypeError, match="Use XGBRanker with this objective"):
        DistilledRanker(**members).fit(*lists)


def test_a_frozen_search_over_a_list_model_teaches_with_groups(lists, routing):
    X, y, groups = lists
    teacher = GridSearchCV(
        RankFormerRanker(max_epochs=1, random_state=0), {}, cv=GroupKFold(2)
    ).fit(X, y, groups=groups)
    ranker = DistilledRanker(FrozenEstimator(teacher), Recorder(), soft_labels="scores")
    soft = ranker.fit(X, groups=groups).student_.y_
    scores = teacher.best_estimator_.predict(X, groups).astype(float)
    means = (np.bincount(groups, scores) / np.bincount(groups))[groups]
    np.testing.assert_allclose(soft, scores - means, atol=1e-6)


def test_a_column_named_by_a_member_deep_inside_is_refused(lists):
    inner = make_pipeline(StandardScaler(), MLPRanker(group_column=1))
    with pytest.raises(ValueError, match="Set group_column on DistilledRanker"):
        DistilledRanker(Ridge(), inner).fit(*lists)


def test_one_weight_per_list_raises_with_the_way_out(lists):
    X, y, groups = lists
    weight = np.ones(len(np.unique(groups)))
    with pytest.raises(ValueError, match=r"entries for .* rows\. There are .* lists"):
        DistilledRanker(Ridge(), Ridge()).fit(X, y, groups, sample_weight=weight)


def test_sizes_of_lists_name_the_way_out(lists):
    X, y, groups = lists
    with pytest.raises(TypeError, match=r"DistilledRanker\.fit\(\) has no argument"):
        DistilledRanker(Ridge(), Ridge()).fit(X, y, group=np.bincount(groups))


def test_one_id_per_row_warns_where_a_member_learns_from_lists(lists):
    X, y, _ = lists
    lightgbm = pytest.importorskip("lightgbm")
    teacher = RankerAdapter(lightgbm.LGBMRanker(verbosity=-1, n_estimators=2))
    with pytest.warns(UserWarning, match="has more than one item") as caught:
        DistilledRanker(teacher, Ridge()).fit(X, y, np.arange(len(y)))
    assert {one.filename for one in caught} == {__file__}


def test_masked_entries_are_missing_values(lists):
    X, y, groups = lists
    masked = np.ma.masked_array(X.copy(), mask=X > 1)
    masked.data[masked.mask] = -999
    boosting = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=2)
    by_nan, by_mask = (
        DistilledRanker(boosting, boosting).fit(one, y, groups).predict(one)
        for one in (np.where(X > 1, np.nan, X), masked)
    )
    np.testing.assert_array_equal(by_nan, by_mask)


# -- the contract ---------------------------------------------------------------------


def test_clone_and_pickle_keep_a_frozen_teacher(lists):
    X, y, groups = lists
    teacher = FrozenEstimator(
        RankFormerRanker(max_epochs=1, random_state=0).fit(X, y, groups)
    )
    ranker = clone(DistilledRanker(teacher, Ridge(), temperature=2.0))
    assert ranker.teacher.estimator is teacher.estimator
    ranker.fit(X, groups=groups)
    again = pickle.loads(pickle.dumps(ranker))
    np.testing.assert_array_equal(again.predict(X), ranker.predict(X))


def test_clones_keep_what_sklearn_cannot_clone():
    catboost = pytest.importorskip("catboost")
    trees = catboost.CatBoostRanker(cat_features=["a"], verbose=0)
    copied = clone(clone(DistilledRanker(trees, trees, temperature=2.0)))
    for role in ("teacher", "student"):
        assert getattr(copied, role) is not trees
        assert copied.get_params()[f"{role}__cat_features"] == ["a"]
    assert copied.temperature == 2.0


def test_searches_reach_teacher_and_student_with_routing(lists, routing):
    X, y, groups = lists
    search = GridSearchCV(
        DistilledRanker(RankerAdapter(Ridge()), Ridge()),
        {"student__alpha": [1.0, 1e6], "teacher__estimator__alpha": [1.0]},
        cv=GroupKFold(3),
    )
    search.fit(X, y, groups=groups)
    assert search.cv_results_["mean_test_score"].shape == (2,)
    assert 0 <= search.score(X, y, groups=groups) <= 1


def test_groups_reach_a_pipeline_student_that_asks_for_them(lists, routing):
    X, y, groups = lists
    student = make_pipeline(WithinListScaler(), LinearRegression())
    ranker = DistilledRanker(FirstColumn(), student).fit(X, y, groups)
    assert ranker.student_[0].fitted_with_groups_
    centred = X[:, 0] - (np.bincount(groups, X[:, 0]) / np.bincount(groups))[groups]
    scores = ranker.predict(X, groups)
    assert np.corrcoef(scores, centred)[0, 1] > 0.85
    np.testing.assert_array_equal(
        np.unique(cross_val_score(ranker, X, y, cv=2, params={"groups": groups}) > 0),
        [True],
    )


@pytest.mark.parametrize(
    ("params", "fit", "error", "message"),
    [
        ({"soft_labels": "hard"}, {}, ValueError, "soft_labels"),
        ({"temperature": 0}, {}, ValueError, "temperature"),
        ({"n_grades": 1}, {}, ValueError, "n_grades"),
        ({"teacher": 3}, {}, ValueError, "teacher"),
        ({}, {"y": None}, ValueError, r"FrozenEstimator\(teacher\)"),
        ({"teacher": FrozenEstimator(Ridge())}, {}, ValueError, "not fitted"),
        ({"student": FrozenEstimator(Ridge())}, {}, TypeError, "student is frozen"),
        (
            {"student": MLPRanker(group_column=1)},
            {},
            ValueError,
            "Set group_column on DistilledRanker",
        ),
        ({}, {"y_val": [1.0]}, ValueError, "y_val was given without X_val"),
        (
            {},
            {"groups_unlabelled": [1]},
            ValueError,
            "groups_unlabelled was given without X_unlabelled",
        ),
        (
            {},
            {"X_unlabelled": np.ones((2, 4))},
            ValueError,
            "X_unlabelled came without groups_unlabelled",
        ),
        (
            {},
            {"X_unlabelled": np.ones((2, 3)), "groups_unlabelled": [0, 0]},
            ValueError,
            "expecting 4 features",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(params, fit, error, message, lists):
    X, y, groups = lists
    ranker = DistilledRanker(**{"teacher": Ridge(), "student": Ridge(), **params})
    with pytest.raises(error, match=message):
        ranker.fit(X, **{"y": y, "groups": groups, **fit})


def test_weights_for_a_frozen_teacher_are_refused(lists):
    X, y, groups = lists
    ranker = DistilledRanker(FrozenEstimator(FirstColumn().fit(X, y)), Ridge())
    with pytest.raises(ValueError, match="a frozen teacher learns no labels"):
        ranker.fit(X, y, groups, sample_weight=np.ones(len(X)))


def test_a_teacher_that_scores_infinity_is_refused(lists):
    X, y, groups = lists

    class Lost(FirstColumn):
        def predict(self, X, groups=None):
            return np.full(len(X), np.inf)

    ranker = DistilledRanker(Lost(), Ridge())
    with pytest.raises(ValueError, match="scores NaN or infinity"):
        ranker.fit(X, y, groups)
    assert ranker.teacher_.seen_  # it can be looked at
    with pytest.raises(NotFittedError):
        ranker.predict(X)


def test_importing_the_module_needs_no_torch():
    code = (
        "import sys, sklearn_rankformer.distillation; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


WEIGHTS = (
    "the check takes a weight for a repetition of an independent row; here weights go "
    "to the teacher alone, and the student learns its scores of every row"
)


@pytest.mark.filterwarnings(
    "ignore::sklearn_rankformer.MissingGroupsWarning",
    "ignore:Can't check dok sparse matrix:UserWarning",
)
@parametrize_with_checks(
    [
        DistilledRanker(Ridge(), Ridge()),
        DistilledRanker(
            MLPRanker(max_epochs=1, random_state=0),
            HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=1),
        ),
    ],
    expected_failed_checks=lambda ranker: {
        "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
        "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
    },
)
def test_the_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)
