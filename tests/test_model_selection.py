"""Splits by lists: no list is ever cut, and the promised balance holds."""

import re
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import uniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    LeaveOneGroupOut,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedGroupKFold,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)

from sklearn_rankformer.adapters import RankerAdapter
from sklearn_rankformer.model_selection import (
    ListKFold,
    TimeSeriesListSplit,
    check_group_cv,
    train_test_split,
)

seeds = st.integers(0, 10_000)


def make_rows(seed, n_lists=None):
    """Scattered lists of 1 to 6 rows with labels 0 to 3: X, y, groups."""
    rng = np.random.default_rng(seed)
    n_lists = n_lists or int(rng.integers(6, 40))
    names = rng.choice(1000, n_lists, replace=False)
    groups = rng.permutation(np.repeat(names, rng.integers(1, 7, n_lists)))
    y = rng.integers(0, 4, len(groups)) * rng.integers(0, 2, len(groups))
    return rng.normal(size=(len(groups), 3)), y, groups


def values_of(y, groups):
    return {one: y[groups == one].max() for one in np.unique(groups)}


# -- train_test_split -----------------------------------------------------------------


@given(seeds, st.booleans(), st.sampled_from([0.25, 0.5, 0.9, 3]))
def test_split_keeps_lists_whole_and_rows_in_order(seed, stratify, test_size):
    X, y, groups = make_rows(seed, 12)
    row = np.arange(len(y))
    X_train, X_test, y_train, y_test, groups_train, groups_test = train_test_split(
        np.column_stack([X, row]),
        y,
        groups,
        test_size=test_size,
        random_state=seed,
        stratify_lists=stratify,
    )
    rows = [side[:, -1].astype(int) for side in (X_train, X_test)]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), row)
    for side, side_y, side_groups in zip(
        rows, (y_train, y_test), (groups_train, groups_test), strict=True
    ):
        assert (np.diff(side) > 0).all()
        np.testing.assert_array_equal(side_y, y[side])
        np.testing.assert_array_equal(side_groups, groups[side])
    assert not set(groups_train) & set(groups_test)
    n_test = {0.25: 3, 0.5: 6, 0.9: 11, 3: 3}[test_size]
    assert len(set(groups_test)) == n_test


@given(seeds, st.floats(0.1, 0.8))
def test_stratified_split_represents_each_level_to_within_one_list(seed, test_size):
    X, y, groups = make_rows(seed)
    *_, groups_test = train_test_split(
        X, y, groups, test_size=test_size, random_state=seed, stratify_lists=True
    )
    values = values_of(y, groups)
    share = len(set(groups_test)) / len(values)
    for level in set(values.values()):
        of_level = {one for one, value in values.items() if value == level}
        assert abs(len(of_level & set(groups_test)) - share * len(of_level)) < 1


@pytest.mark.parametrize("stratify", [False, True])
def test_split_follows_random_state(stratify):
    X, y, groups = make_rows(0, 40)

    def tested(seed):
        *_, groups_test = train_test_split(
            X, y, groups, random_state=seed, stratify_lists=stratify
        )
        return set(groups_test)

    assert tested(1) == tested(1)
    assert len({frozenset(tested(seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize(
    "kind", ["list", "csr", "pandas", "polars", "Table", "RecordBatch"]
)
def test_split_gives_back_the_kind_it_was_given(kind):
    X, y, groups = make_rows(3)
    expected = train_test_split(X, y, groups, random_state=0)
    if kind == "list":
        given_data = X.tolist(), y.tolist(), groups.tolist()
    elif kind == "csr":
        given_data = sp.csr_array(X), y, groups
    elif kind in ("Table", "RecordBatch"):
        arrow = pytest.importorskip("pyarrow")
        table = getattr(arrow, kind).from_arrays([*X.T], list("abcd")[: X.shape[1]])
        given_data = (
            table,
            arrow.array(y),
            arrow.chunked_array([groups]),
        )
    else:
        frames = pytest.importorskip(kind)
        given_data = frames.DataFrame(X), frames.Series(y), frames.Series(groups)
    parts = train_test_split(*given_data, random_state=0)
    for part, value, source in zip(
        parts, expected, np.repeat(np.arange(3), 2), strict=True
    ):
        assert type(part) is type(given_data[source])
        dense = part.toarray() if sp.issparse(part) else np.asarray(part)
        np.testing.assert_array_equal(dense, value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"groups": None}, ValueError, "train_test_split needs groups="),
        ({"groups": np.arange(3)}, ValueError, "inconsistent numbers of samples"),
        ({"groups": np.arange(10) + 0.5}, ValueError, "fractional list id 0.5"),
        ({"test_size": 0.0}, ValueError, "share between 0 and 1 or a number of lists"),
        ({"test_size": 1.0}, ValueError, "share between 0 and 1 or a number of lists"),
        ({"test_size": True}, ValueError, "share between 0 and 1 or a number of lists"),
        ({"test_size": "half"}, ValueError, "got 'half'"),
        ({"test_size": 0}, ValueError, "leaves no list on one side: 0 of 10 lists"),
        ({"test_size": 10}, ValueError, "leaves no list on one side: 10 of 10"),
        ({"test_size": 0.99}, ValueError, "leaves no list on one side: 10 of 10"),
        ({"y": np.full(10, np.nan), "stratify_lists": True}, ValueError, "y contains"),
    ],
)
def test_split_that_cannot_be_made_raises(change, error, message):
    good = {"X": np.zeros((10, 2)), "y": np.zeros(10), "groups": np.arange(10)}
    with pytest.raises(error, match=message):
        train_test_split(**{**good, **change})


def test_further_arrays_are_split_like_the_rows():
    pandas = pytest.importorskip("pandas")
    X, y, groups = make_rows(4)
    row = np.arange(len(y))
    frame = pandas.DataFrame({"row": row}, index=row[::-1])
    *_, groups_train, groups_test, rows_train, rows_test, frame_train, frame_test = (
        train_test_split(X, y, groups, row, frame, random_state=0)
    )
    np.testing.assert_array_equal(groups[rows_train], groups_train)
    np.testing.assert_array_equal(groups[rows_test], groups_test)
    np.testing.assert_array_equal(frame_train.row, rows_train)
    np.testing.assert_array_equal(frame_test.row, rows_test)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        train_test_split(X, y, groups, row[1:])


@given(seeds, st.sampled_from([0.2, 0.5, 3]), st.sampled_from([float, "M8[s]"]))
def test_the_latest_lists_are_held_out(seed, test_size, kind):
    X, y, groups = make_rows(seed, 12)
    times = np.random.default_rng(seed).integers(1, 30, 1000)[groups].astype(kind)
    n_test = {0.2: 3, 0.5: 6, 3: 3}[test_size]
    starts = np.sort([times[groups == one][0] for one in np.unique(groups)])
    if starts[-n_test] == starts[0]:
        return
    parts = train_test_split(X, y, groups, times, times=times, test_size=test_size)
    *_, groups_train, groups_test, times_train, times_test = parts
    assert times_train.max() < times_test.min() == starts[-n_test]
    assert len(set(groups_test)) == (starts >= starts[-n_test]).sum()
    assert not set(groups_train) & set(groups_test)
    assert len(groups_train) + len(groups_test) == len(y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": np.zeros(10)}, "No list is earlier than the lists of time 0.0"),
        ({"times": np.arange(9)}, "times has 9 entries for 10 rows"),
        ({"times": [*range(9), np.nan]}, "times must be numbers or datetime64"),
        (
            {"times": np.ma.masked_array(np.arange(10), np.arange(10) == 3)},
            "times has 1 masked entries",
        ),
        ({"stratify_lists": True}, "stratify_lists draws lists, and with times none"),
        ({"groups": np.arange(10) // 2}, "times differ within the list 0"),
    ],
)
def test_a_split_by_times_that_cannot_be_made_raises(change, message):
    good = {"X": np.zeros((10, 2)), "y": np.zeros(10), "groups": np.arange(10)}
    good["times"] = np.arange(10)
    with pytest.raises(ValueError, match=message):
        train_test_split(**{**good, **change})


# -- ListKFold ------------------------------------------------------------------------


@given(seeds, st.integers(2, 6), st.booleans())
def test_folds_are_alike_in_number_and_value_of_lists(seed, n_splits, shuffle):
    X, y, groups = make_rows(seed)
    values = values_of(y, groups)
    folds = ListKFold(n_splits, shuffle=shuffle, random_state=seed if shuffle else None)
    tested = []
    for train, test in folds.split(X, y, groups):
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == len(y)
        tested.append(np.unique(groups[test]))
    np.testing.assert_array_equal(np.sort(np.concatenate(tested)), np.unique(groups))
    assert np.ptp([len(fold) for fold in tested]) <= 1
    for level in range(4):
        counts = [sum(values[one] == level for one in fold) for fold in tested]
        assert np.ptp(counts) <= 1


def test_folds_balance_lists_where_group_k_fold_balances_rows():
    groups = np.repeat(np.arange(10), [90, *[1] * 9])
    y = np.zeros(len(groups))

    def counts(folds):
        splits = folds.split(groups, y, groups)
        return sorted(len(np.unique(groups[test])) for _, test in splits)

    assert counts(GroupKFold(2)) == [1, 9]
    assert counts(ListKFold(2, random_state=0)) == [5, 5]


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_folds_of_real_valued_lists_are_alike_in_mean_value(scale):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 3)
    y = scale * rng.exponential(size=150)
    values = np.array(list(values_of(y, groups).values()))
    splits = ListKFold(5, random_state=0).split(groups, y, groups)
    sums = [values[np.unique(groups[test])].sum() for _, test in splits]
    assert np.ptp(sums) <= np.ptp(values)


def test_folds_follow_random_state():
    X, y, groups = make_rows(1)

    def first(**params):
        return next(ListKFold(3, **params).split(X, y, groups))[1].tolist()

    assert first(random_state=0) == first(random_state=0)
    assert len({str(first(random_state=seed)) for seed in range(5)}) > 1
    assert first(shuffle=False) == first(shuffle=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": None}, "ListKFold needs groups="),
        ({"y": None}, "Ranking requires y to be passed"),
        ({"y": [0, np.nan, 1, 2]}, "y contains NaN"),
        ({"groups": [1, 1, 2, 3]}, "ListKFold needs at least 4 lists, got 3"),
    ],
)
def test_folds_that_cannot_be_made_raise(change, message):
    good = {"X": np.zeros((4, 1)), "y": np.zeros(4), "groups": np.arange(4)}
    with pytest.raises(ValueError, match=message):
        list(ListKFold(4).split(**{**good, **change}))


@pytest.mark.parametrize("splitter", [ListKFold, TimeSeriesListSplit])
@pytest.mark.parametrize("n_splits", [1, 2.5, "3"])
def test_number_of_splits_is_checked(splitter, n_splits):
    with pytest.raises(ValueError, match="n_splits must be an integer of 2 or more"):
        splitter(n_splits)


# -- TimeSeriesListSplit --------------------------------------------------------------


@given(seeds, st.integers(2, 5))
def test_training_lists_come_before_the_tested_ones(seed, n_splits):
    X, y, groups = make_rows(seed)
    first = {one: np.flatnonzero(groups == one)[0] for one in np.unique(groups)}
    tested = []
    for train, test in TimeSeriesListSplit(n_splits).split(X, y, groups):
        latest = max(first[one] for one in groups[train])
        assert latest < min(first[one] for one in groups[test])
        assert len(train) == sum(np.isin(groups, groups[train]))
        assert len(test) == sum(np.isin(groups, groups[test]))
        tested += sorted(set(groups[test]))
    by_time = sorted(first, key=first.get)
    assert sorted(tested) == sorted(by_time[-len(tested) :])


@given(seeds, st.integers(2, 4), st.sampled_from([float, np.int64, "M8[s]"]))
def test_times_decide_where_they_are_given(seed, n_splits, kind):
    X, _, groups = make_rows(seed)
    times = ((groups * 7919) % 25).astype(np.int64).astype(kind)
    splits = TimeSeriesListSplit(n_splits).split(X, groups=groups, times=times)
    try:
        splits = list(splits)
    except ValueError as error:
        assert "No list is earlier" in str(error)  # noqa: PT017
        return
    assert len(splits) == n_splits
    for train, test in splits:
        assert times[train].max() < times[test].min()
        assert not set(groups[train]) & set(groups[test])


def test_lists_of_one_time_are_never_on_both_sides():
    groups = np.arange(6)
    times = np.array([0, 1, 2, 2, 2, 3])
    splits = list(TimeSeriesListSplit(2).split(groups, groups=groups, times=times))
    assert [[side.tolist() for side in split] for split in splits] == [
        [[0, 1], [2, 3]],
        [[0, 1], [4, 5]],
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": None}, "TimeSeriesListSplit needs groups="),
        ({"groups": [1, 1, 2, 2]}, "needs at least 3 lists, got 2"),
        ({"times": [1, 2, 3]}, "times has 3 entries for 4 rows"),
        ({"times": np.ones((4, 2))}, r"times must be 1-D, got shape \(4, 2\)"),
        ({"times": [1, 2, 3, np.nan]}, "times must be numbers or datetime64 and none"),
        ({"times": list("abcd")}, "times must be numbers or datetime64"),
        ({"groups": [1, 1, 2, 3], "times": [1, 2, 3, 4]}, "times differ within the li"),
        ({"times": [1, 1, 1, 1]}, "No list is earlier than the lists of time 1"),
    ],
)
def test_times_that_give_no_order_raise(change, message):
    good = {"X": np.zeros((4, 1)), "groups": np.arange(4)}
    with pytest.raises(ValueError, match=message):
        list(TimeSeriesListSplit(2).split(**{**good, **change}))


# -- in scikit-learn's tools ----------------------------------------------------------


@pytest.mark.parametrize("splitter", [ListKFold(3), TimeSeriesListSplit(3)])
def test_splitters_work_unrouted(splitter):
    X, y, groups = make_rows(5)
    adapter = RankerAdapter(Ridge(), group_column=0)
    scores = cross_val_score(
        adapter,
        np.column_stack([groups, X]),
        y,
        groups=groups,
        cv=splitter,
        error_score="raise",
    )
    assert scores.shape == (3,)
    assert splitter.get_n_splits() == 3


@pytest.mark.parametrize("splitter", [ListKFold(3), TimeSeriesListSplit(3)])
def test_splitters_ask_for_groups_when_routed(splitter):
    X, y, groups = make_rows(5)
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            RankerAdapter(Ridge()), {"estimator__alpha": [1.0]}, cv=splitter
        ).fit(X, y, groups=groups)
    assert search.n_splits_ == 3


def test_times_are_routed_to_the_splitter():
    X, y, groups = make_rows(5)
    times = -groups
    splitter = TimeSeriesListSplit(3)
    expected = list(splitter.split(X, y, groups, times))
    with sklearn.config_context(enable_metadata_routing=True):
        result = cross_validate(
            RankerAdapter(Ridge()),
            X,
            y,
            cv=splitter,
            params={"groups": groups, "times": times},
            return_indices=True,
        )
    for side, column in (("train", 0), ("test", 1)):
        for rows, split in zip(result["indices"][side], expected, strict=True):
            np.testing.assert_array_equal(rows, split[column])


SEARCHES = {
    "grid": lambda ranker, **options: GridSearchCV(
        ranker, {"estimator__alpha": [0.1, 1.0]}, **options
    ),
    "random": lambda ranker, **options: RandomizedSearchCV(
        ranker, {"estimator__alpha": [0.1, 1.0]}, n_iter=1, **options
    ),
    "halving": lambda ranker, **options: HalvingGridSearchCV(
        ranker, {"estimator__alpha": [0.1, 1.0]}, min_resources=60, **options
    ),
    "random halving": lambda ranker, **options: HalvingRandomSearchCV(
        ranker, {"estimator__alpha": uniform()}, min_resources=60, **options
    ),
}
OF_LISTS = {
    "times": (TimeSeriesListSplit(3), ["groups", "times"]),
    "order": (TimeSeriesListSplit(3), ["groups"]),
    "folds": (ListKFold(3, random_state=0), ["groups"]),
}


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("splits", OF_LISTS)
@pytest.mark.parametrize("kind", SEARCHES)
def test_every_search_hands_on_what_the_splitters_ask_for(kind, splits):
    X, y, groups = make_rows(5, 60)
    splitter, names = OF_LISTS[splits]
    metadata = {"groups": groups, "times": -groups}
    asked = {name: metadata[name] for name in names}
    search = SEARCHES[kind](RankerAdapter(Ridge()), cv=splitter, error_score="raise")
    search.fit(X, y, **asked)
    assert search.n_splits_ == 3
    assert 0 < search.score(X, y, groups=groups) <= 1


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("splits", OF_LISTS)
@pytest.mark.parametrize(
    "validate",
    [
        cross_val_score,
        cross_validate,
        learning_curve,
        partial(
            validation_curve, param_name="estimator__alpha", param_range=[0.1, 1.0]
        ),
        partial(permutation_test_score, n_permutations=3),
    ],
    ids=["scores", "validate", "learning", "validation", "permutation"],
)
def test_every_validation_hands_on_what_the_splitters_ask_for(validate, splits):
    X, y, groups = make_rows(5, 60)
    splitter, names = OF_LISTS[splits]
    metadata = {"groups": groups, "times": -groups}
    asked = {name: metadata[name] for name in names}
    validate(RankerAdapter(Ridge()), X, y, cv=splitter, params=asked)


def test_splitters_show_their_parameters():
    assert (
        repr(ListKFold(4)) == "ListKFold(n_splits=4, random_state=None, shuffle=True)"
    )
    assert repr(TimeSeriesListSplit(4)) == "TimeSeriesListSplit(n_splits=4)"


# -- check_group_cv -------------------------------------------------------------------


@pytest.mark.parametrize(
    "cv",
    [
        GroupKFold(3),
        StratifiedGroupKFold(3),
        GroupShuffleSplit(3, random_state=0),
        LeaveOneGroupOut(),
        ListKFold(3),
        TimeSeriesListSplit(3),
    ],
)
def test_splitters_of_whole_lists_pass_the_check(cv):
    X, y, groups = make_rows(7)
    y[:9] = np.arange(9) % 3
    assert check_group_cv(cv, X, y, groups) is cv


@pytest.mark.parametrize(
    "cv",
    [
        None,
        4,
        KFold(4),
        KFold(4, shuffle=True, random_state=0),
        ShuffleSplit(2, random_state=0),
    ],
)
def test_splitters_of_rows_fail_the_check(cv):
    groups = np.tile(["cat", "dog", "eel"], 8)
    X, y = np.zeros((24, 1)), np.arange(24.0)
    with pytest.raises(
        ValueError, match=r"[23] of 3 lists on both sides of split 0.* id (cat|dog), "
    ):
        check_group_cv(cv, X, y, groups)


def test_one_cut_list_is_found_and_named():
    groups = np.array([4, 9, 9, 4, 7])
    whole, cut = ([1, 2, 4], [0, 3]), ([0, 1, 2], [3, 4])
    with pytest.raises(ValueError, match=r"1 of 3 lists on both sides of split 1.* 4"):
        check_group_cv([whole, cut], groups, groups=groups)


def test_splits_given_one_by_one_can_be_used_after_the_check():
    groups = np.array([4, 9, 9, 4, 7])
    cv = check_group_cv(iter([([1, 2, 4], [0, 3])]), groups, groups=groups)
    ((train, test),) = cv.split(groups)
    assert (train, test) == ([1, 2, 4], [0, 3])


def test_check_without_groups_raises():
    with pytest.raises(ValueError, match="check_group_cv needs groups="):
        check_group_cv(3, np.zeros((4, 1)), np.zeros(4))


@pytest.mark.parametrize(
    "make",
    [
        lambda days: days.tz_localize("Asia/Tokyo"),
        lambda days: list(days.date),
        lambda days: days.to_pydatetime(),
        lambda days: list(days.astype(str)),
    ],
)
def test_times_of_other_kinds_are_refused_with_a_way_out_that_works(make):
    pandas = pytest.importorskip("pandas")
    groups = np.arange(8) // 2
    days = pandas.to_datetime(np.array([3, 0, 2, 1])[groups], unit="D")
    times = make(days)
    with pytest.raises(ValueError, match="times must be numbers") as caught:
        train_test_split(groups, groups, groups, times=times)
    way_out = re.search(r"become such by (.*)\.$", str(caught.value)).group(1)
    plain = eval(way_out, {"pandas": pandas, "times": times})
    *_, test = train_test_split(groups, groups, groups, times=plain)
    assert set(test) == {0}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (([1], None, [1]), "y"),
        ((None, [1], [1]), "X"),
        (([1],) * 3 + (None,), "arrays"),
    ],
)
def test_none_in_place_of_rows_is_refused_by_name(given, name):
    with pytest.raises(ValueError, match=f"got None as {name}"):
        train_test_split(*given)
