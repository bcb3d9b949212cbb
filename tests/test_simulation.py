"""Simulated users keep to their closed forms, and inputs stay as they were.

Counts are compared with their binomial expectation at five standard deviations, with
fixed seeds.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_rankformer.simulation import (
    estimate_propensities,
    examination_propensities,
    inverse_propensity_weights,
    rank_positions,
    relevance_probability,
    sample_selections,
    simulate_cascade_clicks,
    simulate_clicks,
    simulate_implicit_feedback,
    simulate_position_biased_clicks,
)

MANY = 40_000
# Of the published user model: labels 0 to 4, kappa 0.1, click noise 0.1.
INTENTS = [
    [1, 0, 0],
    [0.9333333, 0.06, 0.0066667],
    [0.8, 0.18, 0.02],
    [0.5333333, 0.42, 0.0466667],
    [0, 0.9, 0.1],
]
CLICKED = [0.10, 0.16, 0.28, 0.52, 1]
PURCHASED = [0, 0.0666667, 0.2, 0.4666667, 1]

labels_and_groups = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n),
        st.lists(st.integers(-3, 12), min_size=n, max_size=n),
    )
)


def assert_rate(hits, probability):
    spread = np.sqrt(probability * (1 - probability) / len(hits))
    assert abs(np.mean(hits) - probability) <= 5 * spread + 1e-12


def ladder(n_lists):
    """Lists of the labels 0 to m, each m from 0 to 4 in turn."""
    tops = np.arange(n_lists) % 5
    y = np.concatenate([np.arange(top + 1) for top in tops])
    return y, np.repeat(np.arange(n_lists), tops + 1), tops


# relevance_probability


def test_relevance_probability_is_that_of_the_published_model():
    rho = relevance_probability([0, 1, 2, 3, 4])
    assert_allclose(rho, [0, 1 / 15, 3 / 15, 7 / 15, 1], rtol=1e-14)


def test_relevance_probability_keeps_the_scale_of_max_label():
    assert_allclose(relevance_probability([0, 1, 2], 4), [0, 1 / 15, 3 / 15])
    assert_allclose(relevance_probability([0, 1, 2]), [0, 1 / 3, 1])


def test_relevance_probability_of_labels_without_any_positive_is_zero():
    assert_array_equal(relevance_probability([0, 0]), [0, 0])
    assert_array_equal(relevance_probability([0, 0], 0), [0, 0])


def test_relevance_probability_stays_finite_for_huge_labels():
    assert_allclose(relevance_probability([0, 1999, 2000]), [0, 0.5, 1])


@given(st.lists(st.floats(0, 50), min_size=1), st.floats(50, 60))
def test_relevance_probability_is_a_probability_and_grows_with_the_label(y, largest):
    rho = relevance_probability(y, largest)
    assert ((rho >= 0) & (rho <= 1)).all()
    assert (np.diff(rho[np.argsort(y)]) >= 0).all()


# sample_selections


@settings(deadline=None)
@given(
    labels_and_groups, st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32 - 1)
)
def test_selections_hold_rows_of_one_list_without_replacement(
    drawn, n_repeats, max_items, seed
):
    groups = np.array(drawn[1])
    ids, sizes = np.unique(groups, return_counts=True)
    rows, selections = sample_selections(
        groups, n_repeats=n_repeats, max_items=max_items, rng=seed
    )
    assert_array_equal(groups[rows], ids[selections % len(ids)])
    assert (np.diff(selections) >= 0).all()
    assert len(set(zip(rows, selections, strict=True))) == len(rows)
    expected = np.tile(np.minimum(sizes, max_items), n_repeats)
    assert_array_equal(np.bincount(selections), expected)


def test_selections_show_each_item_and_each_order_equally_often():
    rows, selections = sample_selections(
        ["a"] * 5, n_repeats=MANY, max_items=2, rng=np.random.default_rng(0)
    )
    for row in range(5):
        assert_rate((rows.reshape(-1, 2) == row).any(axis=1), 2 / 5)
    assert_rate(rows[::2] < rows[1::2], 1 / 2)
    assert_array_equal(selections, np.repeat(np.arange(MANY), 2))


def test_selections_of_a_tensor_are_those_of_the_array():
    torch = pytest.importorskip("torch")
    groups = np.array([3, 1, 3, 1, 2])
    for one, other in zip(
        sample_selections(torch.tensor(groups), rng=0),
        sample_selections(groups, rng=0),
        strict=True,
    ):
        assert_array_equal(one, other)


def test_selections_of_unsorted_string_ids_follow_their_lists():
    groups = np.array(["b", "a", "b", "a", "c"])
    rows, selections = sample_selections(groups, n_repeats=2, rng=0)
    assert_array_equal(np.sort(rows[:5]), np.arange(5))
    assert_array_equal(groups[rows], np.array(["a", "b", "c"])[selections % 3])


# simulate_clicks


def test_intents_come_at_the_published_rates():
    y, groups, tops = ladder(5 * MANY)
    clicks = simulate_clicks(y, groups, rng=0)
    assert_allclose(clicks.intent_probabilities[:5], INTENTS, atol=1e-6)
    for top in range(5):
        for intent in range(3):
            hits = clicks.intents[tops == top] == intent
            assert_rate(hits, clicks.intent_probabilities[top, intent])


@pytest.mark.parametrize("purchase_label", [2, 4])
def test_clicks_and_purchases_come_at_the_published_rates(purchase_label):
    y, groups, _ = ladder(10 * MANY)
    clicks = simulate_clicks(
        y, groups, purchase_label=purchase_label, max_label=4, rng=0
    )
    assert_allclose(clicks.click_probabilities[10:15], CLICKED, atol=1e-6)
    assert_allclose(clicks.purchase_probabilities[10:15], PURCHASED, atol=1e-6)
    intent = clicks.intents[groups]
    for label in range(5):
        of = y == label
        assert_rate(clicks.labels[of & (intent == 1)] == 1, CLICKED[label])
        bought = clicks.labels[of & (intent == 2)]
        assert_rate(bought == purchase_label, clicks.purchase_probabilities[10 + label])
        # A click shows in the label only where no purchase covers it.
        uncovered = CLICKED[label] * (1 - clicks.purchase_probabilities[10 + label])
        assert_rate(bought == 1, uncovered)
    assert not clicks.labels[intent == 0].any()
    assert set(clicks.labels.tolist()) == {0, 1, purchase_label}


def test_purchase_intent_is_the_share_of_purchases_among_the_intents():
    y, groups = np.tile([0, 2], MANY), np.repeat(np.arange(MANY), 2)
    clicks = simulate_clicks(y, groups, max_label=4, purchase_intent=0.7, rng=0)
    assert_rate(clicks.intents[clicks.intents > 0] == 2, 0.7)
    assert_rate(clicks.intents > 0, 1 / 5)


def test_irrelevant_items_are_clicked_by_chance_but_never_purchased():
    y, groups = np.tile([0, 4], MANY), np.repeat(np.arange(MANY), 2)
    clicks = simulate_clicks(y, groups, purchase_intent=1, click_noise=0.3, rng=0)
    assert_rate(clicks.labels[y == 0] == 1, 0.3)
    assert not (clicks.labels[y == 0] == 2).any()
    assert (clicks.labels[y == 4] == 2).all()


def test_max_label_makes_parts_of_a_data_set_alike():
    y, groups = np.array([0, 1, 2, 2]), np.array([0, 0, 0, 1])
    whole = simulate_clicks(np.append(y, 4), np.append(groups, 2), rng=0)
    part = simulate_clicks(y, groups, max_label=4, rng=0)
    assert_array_equal(whole.click_probabilities[:4], part.click_probabilities)
    assert_array_equal(whole.intent_probabilities[:2], part.intent_probabilities)


def test_propensity_is_the_chance_of_any_intent_in_the_list_of_the_row():
    clicks = simulate_clicks([0, 3, 0, 4], ["b", "b", "a", "c"], rng=0)
    assert_array_equal(clicks.groups, ["a", "b", "c"])
    assert_allclose(clicks.propensities, [7 / 15, 7 / 15, 0, 1])


@settings(deadline=None)
@given(labels_and_groups, st.integers(0, 2**32 - 1))
def test_rows_in_another_order_have_the_same_probabilities(drawn, seed):
    y, groups = map(np.array, drawn)
    order = np.random.default_rng(seed).permutation(len(y))
    one = simulate_clicks(y, groups, rng=0)
    other = simulate_clicks(y[order], groups[order], rng=0)
    assert_array_equal(one.intents, other.intents)
    for key in ("click_probabilities", "purchase_probabilities", "propensities"):
        assert_array_equal(one[key][order], other[key])


# simulate_implicit_feedback


@settings(deadline=None)
@given(labels_and_groups, st.integers(0, 2**32 - 1))
def test_feedback_is_consistent_with_its_intents(drawn, seed):
    y, groups = map(np.array, drawn)
    shown = simulate_implicit_feedback(y, groups, n_repeats=3, max_items=4, rng=seed)
    n_lists = len(np.unique(groups))
    assert len(shown.intents) == 3 * n_lists
    assert shown.rows.shape == shown.groups.shape == shown.labels.shape
    assert_array_equal(np.unique(shown.groups), np.arange(3 * n_lists))
    assert (shown.labels <= shown.intents[shown.groups]).all()
    rho = relevance_probability(y)[shown.rows]
    best = [rho[shown.groups == group].max() for group in shown.groups]
    assert_array_equal(shown.propensities, best)


def test_feedback_takes_the_scale_from_all_labels_not_only_those_shown():
    y = np.array([1] * 50 + [4])
    shown = simulate_implicit_feedback(
        y, np.zeros(51), n_repeats=20, max_items=1, rng=0
    )
    expected = np.where(shown.rows == 50, 1, 1 / 15)
    assert_allclose(shown.propensities, expected)


def test_feedback_has_the_label_coding_of_the_published_code():
    y, groups, _ = ladder(500)
    shown = simulate_implicit_feedback(y, groups, purchase_label=4, rng=0)
    assert set(shown.labels.tolist()) == {0, 1, 4}


# positions and examination


def test_positions_fall_with_the_score_and_ties_keep_their_order():
    positions = rank_positions([1, 3, 2, 2, 5, 5], ["a", "b", "a", "a", "b", "b"])
    assert_array_equal(positions, [3, 3, 1, 2, 1, 2])


def test_examination_follows_the_power_law_or_the_table():
    assert_allclose(
        examination_propensities([1, 2, 4], eta=2), [1, 1 / 4, 1 / 16], rtol=1e-14
    )
    assert_array_equal(examination_propensities([1, 9], eta=0), [1, 1])
    assert_array_equal(examination_propensities([3, 1], table=[1, 0.5, 0.2]), [0.2, 1])


def test_position_biased_clicks_come_at_the_product_of_both_probabilities():
    y = np.tile([0, 4, 2], MANY)
    positions = np.tile([1, 2, 3], MANY)
    clicks = simulate_position_biased_clicks(y, positions, eta=0.5, rng=0)
    for position, clicked in zip([1, 2, 3], [0.1, 1, 0.28], strict=True):
        of = positions == position
        seen = position**-0.5
        assert_allclose(clicks.propensities[of], seen)
        assert_allclose(clicks.click_probabilities[of], clicked)
        assert_rate(clicks.examined[of], seen)
        assert_rate(clicks.labels[of], seen * clicked)
    assert not clicks.labels[~clicks.examined].any()


# cascade


def examined_by_loop(p_click, p_satisfied):
    reached, chances = 1.0, []
    for click, satisfied in zip(p_click, p_satisfied, strict=True):
        chances.append(reached)
        reached *= 1 - click * satisfied
    return chances


def test_cascade_examines_and_clicks_at_its_closed_form():
    y, places = np.array([4, 0, 2, 1, 3]), np.array([2, 5, 1, 9, 3])
    top_down = np.argsort(places)
    rho = relevance_probability(y)[top_down]
    p_click = 0.2 + 0.8 * rho
    expected = examined_by_loop(p_click, 0.6 * rho)
    clicks = simulate_cascade_clicks(
        np.tile(y, MANY),
        np.repeat(np.arange(MANY), 5),
        np.tile(places, MANY),
        satisfaction=0.6,
        click_noise=0.2,
        rng=0,
    )
    for item, chance, click in zip(top_down, expected, p_click, strict=True):
        assert_allclose(clicks.propensities[item::5], chance, rtol=1e-12)
        assert_rate(clicks.examined[item::5], chance)
        assert_rate(clicks.labels[item::5], chance * click)


def test_cascade_ends_for_good_at_the_item_that_always_satisfies():
    clicks = simulate_cascade_clicks(
        [0, 4, 1, 1], [7, 7, 7, 8], [1, 2, 3, 1], satisfaction=1, rng=0
    )
    assert_array_equal(clicks.examined, [True, True, False, True])
    assert_array_equal(clicks.propensities, [1, 1, 0, 1])
    assert clicks.labels[1] == 1


@settings(deadline=None)
@given(labels_and_groups, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_cascade_examines_each_list_from_the_top_without_gaps(
    drawn, seed, satisfaction
):
    y, groups = map(np.array, drawn)
    positions = rank_positions(np.random.default_rng(seed).random(len(y)), groups)
    clicks = simulate_cascade_clicks(
        y,
        groups,
        positions,
        satisfaction=satisfaction,
        rng=seed,
    )
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        rows = rows[np.argsort(positions[rows])]
        assert clicks.examined[rows[0]]
        assert (np.diff(clicks.examined[rows].astype(int)) <= 0).all()
        assert (np.diff(clicks.propensities[rows]) <= 0).all()
    assert not clicks.labels[~clicks.examined].any()


# propensity weights


def test_inverse_propensity_weights_count_clicks_only():
    weights = inverse_propensity_weights([0, 1, 2, 0], [0.5, 0.5, 0.01, 0])
    assert_allclose(weights, [1, 2, 100, 1])
    bounded = inverse_propensity_weights(
        [0, 1, 2, 0], [0.5, 0.5, 0.01, 0], max_weight=9
    )
    assert_allclose(bounded, [1, 2, 9, 1])


def test_weighted_clicks_are_unbiased_for_clicks_at_full_attention():
    positions = np.tile(np.arange(1, 6), MANY)
    y = np.tile([0, 1, 2, 3, 4], MANY)
    clicks = simulate_position_biased_clicks(y, positions, rng=0)
    weights = inverse_propensity_weights(clicks.labels, clicks.propensities)
    for label in range(5):
        of = y == label
        estimate = (weights * clicks.labels)[of]
        error = 5 * estimate.std() / np.sqrt(MANY)
        assert abs(estimate.mean() - CLICKED[label]) <= error
        if label:
            assert clicks.labels[of].mean() < CLICKED[label] - error


# estimate_propensities


def test_estimate_finds_the_attention_behind_a_randomized_log():
    rng = np.random.default_rng(0)
    positions = rng.integers(1, 11, 20 * MANY)
    y = rng.integers(0, 5, 20 * MANY)
    clicks = simulate_position_biased_clicks(y, positions, rng=rng)
    table = estimate_propensities(positions, clicks.labels)
    assert_allclose(table, 1 / np.arange(1, 11), rtol=0.06)
    assert table[0] == 1


def test_estimate_leaves_out_rows_shown_in_the_order_of_relevance():
    rng = np.random.default_rng(0)
    positions = np.tile(rng.integers(1, 4, 2 * MANY), 2)
    y = rng.integers(0, 5, 4 * MANY)
    randomized = np.arange(4 * MANY) < 2 * MANY
    y[~randomized] = np.where(positions[~randomized] == 1, 4, 0)
    clicks = simulate_position_biased_clicks(y, positions, eta=0.5, rng=rng).labels
    table = estimate_propensities(positions, clicks, randomized=randomized)
    assert_allclose(table, [1, 2**-0.5, 3**-0.5], rtol=0.05)
    assert estimate_propensities(positions, clicks)[1] < 0.5


def test_estimate_by_hand():
    positions = [1, 1, 2, 2, 2, 2, 5, 5, 5, 5, 5, 5, 5, 5]
    clicks = [1, 1, 2, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1]
    # A row at the average rate of 3 in 7 makes 17/7 clicks of 3, of 5 and of 9 rows.
    table = estimate_propensities(positions, clicks)
    assert_allclose(table, [1, 3 / 5, 23 / 45, 19 / 45, 1 / 3])


def test_estimate_pools_positions_whose_rates_rise():
    table = estimate_propensities([1, 1, 2, 2, 3, 3, 3, 3], [1, 1, 0, 0, 1, 1, 0, 0])
    assert_allclose(table, [1, 9 / 20, 9 / 20])  # 5/6 first, then 3 of 8


def test_estimate_keeps_a_position_without_clicks_above_zero():
    table = estimate_propensities([1, 2, 2], [1, 0, 0])
    assert_allclose(table, [1, 1 / 6])  # 2/3 first, then 1/9


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=80))
def test_estimate_is_a_falling_table_that_examination_takes(log):
    positions, clicks = map(np.array, zip(*log, strict=True))
    clicks[0] = True
    table = estimate_propensities(positions, clicks)
    assert len(table) == positions.max()
    assert table[0] == 1
    assert table[-1] > 0
    assert (np.diff(table) <= 0).all()
    propensities = examination_propensities(positions, table=table)
    assert_array_equal(propensities, table[positions - 1])


# What holds for all of them

Y = np.array([0, 1, 4, 2, 0, 3])
GROUPS = np.array([5, 5, 3, 3, 5, 3])
POSITIONS = np.array([1, 2, 1, 2, 3, 3])
RANDOM = {
    "sample_selections": lambda rng: sample_selections(GROUPS, max_items=2, rng=rng),
    "simulate_clicks": lambda rng: simulate_clicks(Y, GROUPS, rng=rng),
    "simulate_implicit_feedback": lambda rng: simulate_implicit_feedback(
        Y, GROUPS, rng=rng
    ),
    "simulate_position_biased_clicks": lambda rng: simulate_position_biased_clicks(
        Y, POSITIONS, rng=rng
    ),
    "simulate_cascade_clicks": lambda rng: simulate_cascade_clicks(
        Y, GROUPS, POSITIONS, rng=rng
    ),
}


def flat(answer):
    arrays = answer.values() if isinstance(answer, dict) else answer
    return np.concatenate([np.ravel(array).astype(float) for array in arrays])


@pytest.mark.parametrize("name", RANDOM)
def test_equal_seeds_give_equal_answers_and_others_do_not(name):
    simulate = RANDOM[name]
    assert_array_equal(flat(simulate(1)), flat(simulate(np.random.default_rng(1))))
    draws = {flat(simulate(seed)).tobytes() for seed in range(20)}
    assert len(draws) > 1


@pytest.mark.parametrize("name", RANDOM)
def test_inputs_and_the_global_generator_stay_as_they_were(name):
    before = [array.copy() for array in (Y, GROUPS, POSITIONS)]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    RANDOM[name](0)
    for array, copy in zip((Y, GROUPS, POSITIONS), before, strict=True):
        assert_array_equal(array, copy)
    assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_probabilities_too_small_for_a_float_are_zero_whatever_numpy_is_set_to_raise():
    n = 400
    with np.errstate(all="raise"):
        assert relevance_probability([1, 2000])[0] == 0
        assert examination_propensities([1, 10**6], eta=60)[1] == 0
        log = simulate_cascade_clicks(np.full(n, 4), np.zeros(n), np.arange(n) + 1)
    assert log.propensities[-1] == 0


def test_answers_share_no_memory_with_inputs():
    labels, propensities = np.array([1.0, 0]), np.array([1.0, 1])
    weights = inverse_propensity_weights(labels, propensities)
    weights[:] = 7
    assert_array_equal(labels, [1, 0])
    assert_array_equal(propensities, [1, 1])


BAD = {
    "negative label": (lambda: simulate_clicks([0, -1], [0, 0]), "y must not be neg"),
    "missing label": (lambda: simulate_clicks([0, np.nan], [0, 0]), "y contains NaN"),
    "labels as words": (
        lambda: simulate_clicks(["a", "b"], [0, 0]),
        "y must hold numbers, 0 for not relevant .* got dtype <U1",
    ),
    "2-D labels": (
        lambda: relevance_probability([[1, 2]]),
        r"y must be 1-D, got shape \(1, 2\)",
    ),
    "no rows": (lambda: simulate_clicks([], []), "y is empty. Give at least one row"),
    "no groups": (lambda: sample_selections([]), "groups is empty. Give at least one"),
    "groups too short": (lambda: simulate_clicks([0, 1], [0]), "1 entries for 2 rows"),
    "max_label below": (
        lambda: relevance_probability([3], 2),
        "max_label is 2, but y goes up to 3",
    ),
    "max_label NaN": (
        lambda: relevance_probability([3], np.nan),
        "max_label must be a finite number, got nan",
    ),
    "noise above 1": (lambda: simulate_clicks([1], [0], click_noise=2), "click_noise"),
    "noise NaN": (
        lambda: simulate_clicks([1], [0], click_noise=np.nan),
        "click_noise must be a finite",
    ),
    "purchase below click": (
        lambda: simulate_clicks([1], [0], purchase_label=1),
        "purchase_label must be an integer of 2 or more, got 1",
    ),
    "no items": (
        lambda: sample_selections([0], max_items=0),
        "max_items must be an integer of 1 or more, got 0",
    ),
    "no repeats": (
        lambda: sample_selections([0], n_repeats=0),
        "n_repeats must be an integer of 1 or more, got 0",
    ),
    "position 0": (
        lambda: examination_propensities([0, 1]),
        "positions must be whole numbers from 1, .*got 0",
    ),
    "half position": (
        lambda: examination_propensities([1.5]),
        "positions must be whole numbers from 1, .*got 1.5",
    ),
    "position that stands for none": (
        lambda: examination_propensities(np.array([1, 2**64 - 1], np.uint64)),
        "positions must be .* up to 4294967295, got 1.84467e.* that were not shown",
    ),
    "short table": (
        lambda: examination_propensities([3], table=[1, 0.5]),
        "table has 2 positions, but positions go up to 3",
    ),
    "table above 1": (
        lambda: examination_propensities([1], table=[1.5]),
        "table must lie between 0 and 1",
    ),
    "eta negative": (lambda: examination_propensities([1], eta=-1), "eta"),
    "positions too few": (
        lambda: simulate_position_biased_clicks([0, 1], [1]),
        "positions has 1 entries for 2 rows of y",
    ),
    "cascade positions too few": (
        lambda: simulate_cascade_clicks([0, 1], [0, 0], [1]),
        "positions has 1 entries for 2 rows of y",
    ),
    "cascade position twice": (
        lambda: simulate_cascade_clicks([0, 1, 1], [4, 4, 5], [2, 2, 2]),
        "positions holds 2 twice in one list",
    ),
    "scores NaN": (lambda: rank_positions([np.nan], [0]), "scores contains NaN"),
    "propensity of a click 0": (
        lambda: inverse_propensity_weights([0, 1], [0, 0]),
        "first in row 1",
    ),
    "propensities too few": (
        lambda: inverse_propensity_weights([0, 1], [1]),
        "propensities has 1 entries for 2 rows of labels",
    ),
    "max_weight below 1": (
        lambda: inverse_propensity_weights([1], [1], max_weight=0.5),
        "max_weight",
    ),
    "no clicks": (lambda: estimate_propensities([1, 2], [0, 0]), "no positive value"),
    "no randomized clicks": (
        lambda: estimate_propensities([1, 2], [1, 0], randomized=[False, True]),
        "no positive value",
    ),
    "mask of rows": (
        lambda: estimate_propensities([1, 2], [1, 0], randomized=[0, 3]),
        "randomized must hold True or False, got 3",
    ),
    "mask too short": (
        lambda: estimate_propensities([1, 2], [1, 0], randomized=[True]),
        "randomized has 1 entries for 2 rows of positions",
    ),
    "masked labels": (
        lambda: simulate_clicks(np.ma.masked_array([0, 1], [0, 1]), [0, 0]),
        "y has 1 masked entries",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
