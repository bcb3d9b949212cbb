"""Drafts obey their rules, and users who prefer neither ranker are found to do so."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sklearn_rankformer.interleaving import interleave, interleaving_test
from sklearn_rankformer.simulation import simulate_position_biased_clicks

from .strategies import list_ids

SEEDS = st.integers(0, 2**32 - 1)
KS = st.sampled_from([None, 1, 2, 3, 50])


@given(groups=list_ids(), seed=SEEDS, k=KS)
def test_each_team_adds_its_best_item_left_once_a_round(groups, seed, k):
    groups = np.array(groups)
    rng = np.random.default_rng(seed)
    scores = dict(zip("ab", rng.integers(-3, 3, (2, len(groups))), strict=True))
    shown = interleave(scores["a"], scores["b"], groups, k=k, random_state=seed)
    start = 0
    for id_ in np.unique(groups):
        left = set(np.flatnonzero(groups == id_).tolist())
        n = len(left) if k is None else min(k, len(left))
        mine = slice(start, start + n)
        assert_array_equal(shown.positions[mine], np.arange(1, n + 1))
        for row, team in zip(shown.rows[mine], shown.teams[mine], strict=True):
            assert row == min(left, key=lambda i: (-scores[team][i], i))
            left.remove(row)
        teams = shown.teams[mine]
        assert (teams[: n // 2 * 2 : 2] != teams[1::2][: n // 2]).all()
        start += n
    assert start == len(shown.rows) == len(shown.teams) == len(shown.positions)


@given(groups=list_ids(), seed=SEEDS)
def test_order_of_rows_does_not_matter(groups, seed):
    groups, rng = np.array(groups), np.random.default_rng(seed)
    a, b = rng.normal(size=(2, len(groups)))
    moved = rng.permutation(len(groups))
    shown = interleave(a, b, groups, k=3, random_state=seed)
    again = interleave(a[moved], b[moved], groups[moved], k=3, random_state=seed)
    assert_array_equal(moved[again.rows], shown.rows)
    assert_array_equal(again.teams, shown.teams)


def test_either_team_leads_every_other_round_on_average():
    groups = np.repeat(np.arange(10_000), 4)
    a, b = np.random.default_rng(0).normal(size=(2, 40_000))
    teams = interleave(a, b, groups, random_state=0).teams.reshape(-1, 4)
    leads = teams[:, [0, 2]] == "a"
    assert (abs(leads.mean(axis=0) - 0.5) < 5 * 0.5 / 100).all()
    # Rounds are drawn one by one.
    assert abs((leads[:, 0] == leads[:, 1]).mean() - 0.5) < 5 * 0.5 / 100


def experiment(y, a, b, groups, seed):
    """Users who look at position p with chance 1 / p, and what their clicks say."""
    shown = interleave(a, b, groups, k=5, random_state=seed)
    log = simulate_position_biased_clicks(y[shown.rows], shown.positions, rng=seed)
    return interleaving_test(shown.teams, log.labels, groups[shown.rows])


def lists_to_show(n_lists=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 8 * n_lists)
    return y, np.repeat(np.arange(n_lists), 8), rng


@pytest.mark.parametrize("same", [True, False], ids=["the same", "equally good"])
def test_rankers_that_are_alike_share_the_clicks_and_are_seldom_told_apart(same):
    found = []
    for seed in range(500):
        y, groups, rng = lists_to_show(seed=seed)
        a, b = y + rng.normal(size=(2, len(y)))
        found.append(experiment(y, a, a if same else b, groups, seed))
    p_values = np.array([one.p_value for one in found])
    # The sign test is discrete, and so on the safe side; but not by far.
    for level in (0.05, 0.2, 0.5):
        margin = 3 * np.sqrt(level * (1 - level) / 500)
        assert level - 0.1 * level - 0.02 - margin < (p_values <= level).mean()
        assert (p_values <= level).mean() < level + margin
    won = np.array([[one.wins_a, one.wins_b] for one in found]).sum(axis=0)
    assert abs(won[0] - won[1]) < 4 * np.sqrt(won.sum())
    covered = [one.low <= 0.5 <= one.high for one in found]
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 500)


def test_better_ranker_wins_under_either_name():
    y, groups, rng = lists_to_show(1000)
    good, poor = y + rng.normal(size=len(y)), rng.normal(size=len(y))
    won = experiment(y, good, poor, groups, 0)
    assert won.low > 0.5
    assert won.p_value < 1e-6
    lost = experiment(y, poor, good, groups, 0)
    assert lost.high < 0.5
    assert lost.p_value < 1e-6


def test_lists_are_won_by_clicked_items_whatever_their_order():
    teams = np.array(list("aabbabbaabab"))
    clicks = [1, 1, 5, 0, 0, 1, 0, 2, 1, 1, 0, 0]
    groups = np.repeat(["v", "w", "x", "y", "z"], [4, 2, 2, 2, 2])
    found = interleaving_test(teams, clicks, groups)
    assert (found.wins_a, found.ties, found.wins_b) == (2, 2, 1)
    rows = np.random.default_rng(0).permutation(12)
    again = interleaving_test(teams[rows], np.array(clicks)[rows], groups[rows])
    assert again == found


@given(wins_a=st.integers(0, 40), wins_b=st.integers(0, 40), ties=st.integers(0, 5))
def test_interval_and_p_value_are_those_of_the_sign_test(wins_a, wins_b, ties):
    n = wins_a + wins_b
    teams = ["a"] * wins_a + ["b"] * wins_b + ["a"] * (ties + 1)
    clicks = [1] * n + [0] * (ties + 1)
    found = interleaving_test(teams, clicks, np.arange(len(teams)))
    assert (found.wins_a, found.wins_b, found.ties) == (wins_a, wins_b, ties + 1)
    if not n:
        assert np.isnan(found.preference)
        assert (found.low, found.high, found.p_value) == (0, 1, 1)
        return
    tail = sum(comb(n, j) for j in range(max(wins_a, wins_b), n + 1)) / 2**n
    assert found.p_value == pytest.approx(min(1, 2 * tail))
    assert found.preference == wins_a / n

    def at_least(share, hits):
        return sum(
            comb(n, j) * share**j * (1 - share) ** (n - j) for j in range(hits, n + 1)
        )

    if wins_a:
        assert at_least(found.low, wins_a) == pytest.approx(0.025)
    if wins_b:
        assert 1 - at_least(found.high, wins_a + 1) == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, np.nan], [1, 2], [0, 0]), "scores_a contains NaN"),
        (([1, 2], [1], [0, 0]), "scores_b has 1 entries for 2 rows of scores_a"),
        (([1, 2], [1, 2], [0]), "groups has 1 entries"),
        (([], [], []), "scores_a is empty"),
    ],
)
def test_scores_that_cannot_be_interleaved_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        interleave(*arguments)


@pytest.mark.parametrize("k", [0, 1.5, True])
def test_cut_offs_that_are_none_are_refused(k):
    with pytest.raises(ValueError, match="k must be None or an integer"):
        interleave([1, 2], [1, 2], [0, 0], k=k)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", "c"], [0, 1], [0, 0]), r"'a' and 'b', got .*'c'.* in row 1"),
        (([0, 1], [0, 1], [0, 0]), "teams must hold 'a' and 'b'"),
        ((["a", None], [0, 1], [0, 0]), "'a' and 'b', got None in row 1"),
        ((["a", "b"], [0, -1], [0, 0]), "clicks must not be negative"),
        ((["a", "b"], [0], [0, 0]), "clicks has 1 entries for 2 rows of teams"),
        ((["a", "b"], [0, 1], [0]), "groups has 1 entries"),
        (([], [], []), "teams is empty"),
    ],
)
def test_teams_and_clicks_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        interleaving_test(*arguments)


def test_a_missing_team_is_named_that_cannot_be_compared():
    pandas = pytest.importorskip("pandas")
    teams = pandas.Series(["a", pandas.NA], dtype="string")
    with pytest.raises(ValueError, match=r"'a' and 'b', got <NA> in row 1"):
        interleaving_test(teams, [0, 1], [0, 0])
