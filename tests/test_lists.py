"""Where the rows of each list lie, against loops over the ids."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sklearn_rankformer._groups import check_groups
from sklearn_rankformer._lists import (
    lists_of,
    one_list,
    places,
    rank_rows,
    split_lists,
    tied_places,
)

small_ids = st.lists(st.integers(-3, 3), max_size=30)
text_ids = st.lists(st.text(max_size=3).filter(lambda s: "\0" not in s), max_size=20)
any_ids = st.one_of(small_ids, text_ids).map(lambda ids: check_groups(ids, len(ids)))


def rows_of(ids, wanted):
    return [row for row, one in enumerate(ids) if one == wanted]


# -- split_lists ----------------------------------------------------------------------


@given(any_ids)
def test_each_list_holds_its_rows_in_their_order(groups):
    lists = split_lists(groups)
    np.testing.assert_array_equal(lists.ids, np.unique(groups))
    assert lists.n_rows == len(groups)
    assert lists.n_lists == len(lists.ids) == len(lists.lengths)
    for position, one in enumerate(lists.ids):
        rows = lists.rows(np.array([position]))
        assert rows.tolist() == rows_of(groups, one)
        assert lists.lengths[position] == len(rows)


@given(any_ids)
def test_values_split_and_put_back_are_unchanged(groups):
    lists = split_lists(groups)
    values = np.arange(len(groups))
    rows = lists.rows(np.arange(lists.n_lists))
    restored = np.full(len(groups), -1)
    restored[rows] = values[rows]
    np.testing.assert_array_equal(restored, values)


@given(any_ids, st.randoms(use_true_random=False))
def test_rows_of_chosen_lists_follow_the_choice(groups, random):
    lists = split_lists(groups)
    chosen = random.sample(range(lists.n_lists), k=random.randint(0, lists.n_lists))
    expected = [row for j in chosen for row in rows_of(groups, lists.ids[j])]
    rows = lists.rows(np.array(chosen, dtype=np.int64))
    np.testing.assert_array_equal(rows, expected)


@given(any_ids)
def test_codes_look_up_the_ids(groups):
    lists = split_lists(groups)
    np.testing.assert_array_equal(lists.ids[lists.codes], groups)


@given(any_ids, st.sampled_from([np.add, np.maximum, np.minimum]))
def test_reduce_equals_a_loop_over_lists(groups, ufunc):
    values = np.random.default_rng(0).integers(-9, 9, len(groups)).astype(float)
    lists = split_lists(groups)
    expected = [ufunc.reduce(values[rows_of(groups, one)]) for one in lists.ids]
    np.testing.assert_array_equal(lists.reduce(ufunc, values), expected)


@given(small_ids, st.integers(1, 5))
def test_increasing_relabelling_changes_no_rows(ids, factor):
    groups = np.array(ids, dtype=np.int64)
    before, after = split_lists(groups), split_lists(groups * factor + 7)
    everything = np.arange(before.n_lists)
    np.testing.assert_array_equal(before.lengths, after.lengths)
    np.testing.assert_array_equal(before.rows(everything), after.rows(everything))
    np.testing.assert_array_equal(before.codes, after.codes)


@given(small_ids)
def test_lists_in_one_piece_are_not_moved(ids):
    groups = np.array(ids, dtype=np.int64)
    runs = 1 + int((groups[1:] != groups[:-1]).sum()) if ids else 0
    in_one_piece = runs == len(set(ids))
    assert (split_lists(groups).order is None) == in_one_piece


# -- without ids ----------------------------------------------------------------------


@given(st.integers(0, 9))
def test_rows_without_ids_are_one_list(n_rows):
    for lists in (one_list(n_rows), lists_of(None, n_rows)):
        assert lists.n_lists == (n_rows > 0)
        assert lists.n_rows == n_rows
        np.testing.assert_array_equal(lists.codes, np.zeros(n_rows))


@given(small_ids)
def test_ids_that_are_there_are_used(ids):
    groups = np.array(ids, dtype=np.int64)
    np.testing.assert_array_equal(
        lists_of(groups, len(ids)).codes, split_lists(groups).codes
    )


# -- rank_rows ------------------------------------------------------------------------


@given(any_ids, st.one_of(st.none(), st.integers(1, 4)))
def test_rank_rows_equals_a_stable_sort_of_each_list(groups, k):
    scores = np.random.default_rng(1).integers(0, 3, len(groups)).astype(np.float32)
    lists = split_lists(groups)
    expected = [
        row
        for one in lists.ids
        for row in sorted(rows_of(groups, one), key=lambda row: -scores[row])[:k]
    ]
    np.testing.assert_array_equal(rank_rows(scores, lists, k), expected)


# -- places ---------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5)))
def test_places_count_within_each_list(lengths):
    expected = [place for length in lengths for place in range(length)]
    counted = places(np.array(lengths, dtype=np.int64))
    np.testing.assert_array_equal(counted, expected)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_ties_share_the_mean_of_their_places(rows):
    rows = sorted(rows)
    codes, values = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    expected = [
        np.mean([rows.index(row), rows.index(row) + rows.count(row) - 1])
        - [one for one, _ in rows].index(row[0])
        for row in rows
    ]
    np.testing.assert_array_equal(tied_places(values, codes), expected)
