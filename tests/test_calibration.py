"""Segments show whose skill it is, and a threshold keeps the precision it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binom, binomtest
from sklearn.metrics import brier_score_loss, precision_score

from sklearn_rankformer import calibration as module
from sklearn_rankformer.calibration import (
    _passed,
    answer_curve,
    brier_by_segment,
    pick_threshold,
    precision_bounds,
)


@st.composite
def judged(draw, min_size=1):
    """Outcomes, chances with ties, segments, and another order of them."""
    pair = st.tuples(st.booleans(), st.integers(0, 10), st.sampled_from("abc"))
    rows = draw(st.lists(pair, min_size=min_size, max_size=60))
    good, tenths, segment = (np.array(of) for of in zip(*rows, strict=True))
    order = np.array(draw(st.permutations(range(len(rows)))))
    return good, tenths / 10, segment, order


def sample(seed=0, n_samples=1000):
    """Calibrated chances, spread evenly."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(size=n_samples)
    return rng.uniform(size=n_samples) < chance, chance


# By segment ---------------------------------------------------------------------------


@given(judged())
def test_segments_are_scored_as_if_each_came_alone(data):
    good, chance, segment, _ = data
    result = brier_by_segment(good, chance, segment)
    assert_array_equal(result.segment, np.unique(segment))
    for j, name in enumerate(result.segment):
        inside = segment == name
        rate = np.full(inside.sum(), good[inside].mean())
        assert result.n_samples[j] == inside.sum()
        assert_allclose(result.base_rate[j], rate[0])
        for score, of in [("brier", chance[inside]), ("base_brier", rate)]:
            expected = brier_score_loss(good[inside], of, pos_label=True)
            assert_allclose(result[score][j], expected, atol=1e-12)


@pytest.mark.parametrize("missing", [np.nan, None, 1])
def test_segments_that_mix_text_with_others_are_refused(missing):
    with pytest.raises(TypeError, match="Give a name to missing ones"):
        brier_by_segment([0, 1], [0.5, 0.5], ["a", missing])


@given(judged())
def test_segments_part_the_lists_and_add_up_to_all(data):
    good, chance, segment, _ = data
    parts, whole = (brier_by_segment(good, chance, of) for of in (segment, None))
    assert parts.n_samples.sum() == whole.n_samples[0] == len(good)
    mean = np.average(parts.brier, weights=parts.n_samples)
    assert_allclose([parts.total_brier, mean], whole.brier[0], atol=1e-12)
    assert_allclose(parts.total_base_brier, whole.base_brier[0])
    # What segments alone explain is never negative.
    assert parts.within_base_brier <= parts.total_base_brier + 1e-12


@given(judged())
def test_no_order_of_the_lists_changes_a_score(data):
    good, chance, segment, order = data
    before = brier_by_segment(good, chance, segment)
    after = brier_by_segment(good[order], chance[order], segment[order])
    assert_array_equal(before.segment, after.segment)
    for name in set(before) - {"segment"}:
        assert_allclose(before[name], after[name], atol=1e-12)


def test_skill_that_is_all_the_segments_shows():
    rng = np.random.default_rng(0)
    phone = rng.uniform(size=2000) < 0.5
    chance = np.where(phone, 0.2, 0.7)
    good = rng.uniform(size=2000) < chance
    result = brier_by_segment(good, chance, phone)
    assert result.total_brier < 0.8 * result.total_base_brier
    assert result.total_brier >= result.within_base_brier


# The curve ----------------------------------------------------------------------------


@given(judged())
def test_each_point_of_the_curve_answers_from_its_threshold_on(data):
    good, score, _, _ = data
    curve = answer_curve(good, score)
    assert_array_equal(curve.threshold, np.unique(score)[::-1])
    for j, threshold in enumerate(curve.threshold):
        answered = score >= threshold
        assert curve.n_answered[j] == answered.sum()
        assert_allclose(curve.share[j], answered.mean())
        assert_allclose(curve.precision[j], precision_score(good, answered))
        test = binomtest(int(good[answered].sum()), int(answered.sum()))
        bound = test.proportion_ci(confidence_level=0.9).low  # 5 % on either side
        assert_allclose(curve.low[j], bound, atol=1e-9)


@given(judged())
def test_neither_order_nor_a_monotone_change_moves_the_curve(data):
    good, score, _, order = data
    before = answer_curve(good, score)
    after = answer_curve(good[order], np.exp(3 * score[order]) - 7)
    for name in set(before) - {"threshold"}:
        assert_array_equal(before[name], after[name])


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_bounds_hold_as_often_as_they_say(confidence):
    # Summed over all outcomes, so nothing is left to luck.
    hits = np.arange(31)
    low, high = precision_bounds(hits, np.full(31, 30), confidence)
    for share in (0.01, 0.3, 0.77, 0.99):
        chances = binom.pmf(hits, 30, share)
        assert chances[low <= share].sum() >= confidence - 1e-12
        assert chances[high >= share].sum() >= confidence - 1e-12


# The threshold ------------------------------------------------------------------------


def rising(place):
    return place


def steep(place):
    return 1 / (1 + np.exp(-12 * (place - 0.5)))


def one_cliff(place):
    return np.where(place > 0.6, 0.85, 0.3)


def dip(place):
    """The precision falls to .54, and is above .7 again from .7 of the lists on."""
    return np.where(place > 0.85, 0.95, np.where(place > 0.6, 0.3, 0.9))


def tied(place):
    return np.ceil(place * 8) / 8


WORLDS = [(rising, 0.7), (steep, 0.8), (one_cliff, 0.8), (dip, 0.7), (tied, 0.76)]
FINE = (np.arange(200_000) + 0.5) / 200_000


def simulate(pick, world, n_samples, n_draws=2000):
    """Threshold of each draw, as its true precision and the share it truly answers.

    A list's place in the population, from 0 to 1, makes its chance and its score.
    """
    score = tied if world is tied else rising
    rng = np.random.default_rng(0)
    places = rng.uniform(size=(n_draws, n_samples))
    good = rng.uniform(size=places.shape) < world(places)
    thresholds = [pick(*draw) for draw in zip(good, score(places), strict=True)]
    answered = len(FINE) - np.searchsorted(score(FINE), thresholds)
    true = true_precision(world)[np.maximum(answered, 1) - 1]
    return np.where(answered > 0, true, 1.0), answered / len(FINE)


def true_precision(world):
    """Of those that answer 1, 2, ... of the fine population, the best first."""
    return np.cumsum(world(FINE)[::-1]) / np.arange(1, len(FINE) + 1)


def measured_only(good, score, precision):
    """The loosest threshold whose precision looks right."""
    curve = answer_curve(good, score)
    right = curve.precision >= precision
    return curve.threshold[right][-1] if right.any() else np.inf


@pytest.mark.parametrize(("n_samples", "confidence"), [(300, 0.95), (1500, 0.9)])
@pytest.mark.parametrize(("world", "precision"), WORLDS)
@pytest.mark.filterwarnings("ignore:No threshold promises")
def test_true_precision_falls_short_as_rarely_as_promised(
    world, precision, n_samples, confidence
):
    def pick(good, score):
        return pick_threshold(
            good, score, precision=precision, confidence=confidence
        ).threshold

    precisions, _ = simulate(pick, world, n_samples)
    error = np.sqrt(confidence * (1 - confidence) / len(precisions))
    short = (precisions < precision).mean()
    assert short <= 1 - confidence + 3 * error


def test_a_threshold_picked_by_measured_precision_would_fall_short():
    # What the simulation must be able to see.
    precisions, _ = simulate(
        lambda good, score: measured_only(good, score, 0.7), rising, 300, n_draws=500
    )
    assert (precisions < 0.7).mean() > 0.4


def test_a_test_that_passes_hands_its_level_on_and_one_that_fails_loses_it():
    shares = np.array([0.05, 0.1, 0.2, 0.5])  # fresh levels .02, .02, none, .02
    for p_values, expected in [
        ([0.02, 0.04, 0.04, 0.06], [1, 1, 1, 1]),
        ([0.03, 0.02, 0.03, 0.02], [0, 1, 0, 1]),
        ([0.03, 0.03, 0.00, 0.03], [0, 0, 1, 0]),
    ]:
        passed = _passed(np.array(p_values) - 1e-9, shares, 0.06)
        assert_array_equal(passed, np.array(expected, dtype=bool))


def test_where_every_hypothesis_is_true_few_sequences_reject_any():
    shares = np.arange(1, 51) / 50
    p_values = np.random.default_rng(0).uniform(size=(4000, 50))
    wrong = np.mean([_passed(each, shares, 0.2).any() for each in p_values])
    assert 0.15 < wrong <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / 4000)


@pytest.mark.parametrize(("world", "precision"), WORLDS[:3])
def test_with_many_lists_it_answers_most_of_what_an_oracle_would(world, precision):
    def pick(good, score):
        return pick_threshold(good, score, precision=precision).threshold

    _, answered = simulate(pick, world, n_samples=20_000, n_draws=20)
    oracle = (true_precision(world) >= precision).sum() / len(FINE)
    assert answered.min() > 0.9 * oracle


@given(judged(min_size=30), st.floats(0.3, 0.8))
@pytest.mark.filterwarnings("ignore:No threshold promises")
def test_neither_order_nor_a_monotone_change_moves_who_is_answered(data, precision):
    good, score, _, order = data
    changed = np.exp(3 * score) - 7
    before = pick_threshold(good, score, precision=precision)
    after = pick_threshold(good[order], changed[order], precision=precision)
    assert_array_equal(score >= before.threshold, changed >= after.threshold)
    for name in set(before) - {"threshold"}:
        assert_array_equal(before[name], after[name])


def test_the_pick_is_a_point_of_the_curve_that_proves_the_precision():
    good, chance = sample()
    picked = pick_threshold(good, chance, precision=0.75, confidence=0.9)
    curve = answer_curve(good, chance, confidence=0.9)
    at = int(np.flatnonzero(curve.threshold == picked.threshold)[0])
    assert {name: of[at] for name, of in curve.items()} == dict(picked)
    assert picked.low >= 0.75
    tail = binomtest(
        round(picked.precision * picked.n_answered),
        picked.n_answered,
        0.75,
        alternative="greater",
    )
    assert tail.pvalue <= 0.1


def test_a_higher_precision_or_confidence_answers_no_more():
    good, chance = sample()
    shares = [
        pick_threshold(good, chance, precision=precision, confidence=confidence).share
        for precision, confidence in [(0.6, 0.8), (0.7, 0.8), (0.7, 0.99), (0.8, 0.99)]
    ]
    assert (np.diff(shares) < 0).all()


def test_where_no_threshold_qualifies_nothing_is_answered_and_the_reason_is_given():
    good, chance = sample(n_samples=200)
    with pytest.warns(UserWarning, match=r"answers 80 of 200 lists, 85.0% of them"):
        picked = pick_threshold(good, chance, precision=0.95)
    assert not (chance >= picked.threshold).any()
    assert (picked.n_answered, picked.share) == (0, 0)
    assert np.isnan([picked.precision, picked.low]).all()
    with pytest.warns(UserWarning, match="takes 408 good lists, and 200 came"):
        pick_threshold(good, chance, precision=0.99)


def test_as_many_good_lists_as_it_takes_are_enough():
    # .9 to the power of 39 is the first below a third of .05.
    picked = pick_threshold(np.ones(39), np.zeros(39), precision=0.9)
    assert picked.n_answered == 39
    with pytest.warns(UserWarning, match="takes 39 good lists, and 38 came"):
        pick_threshold(np.ones(38), np.zeros(38), precision=0.9)


# Slips --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "chance", "message"),
    [
        ([0, 1, 2], [0.1, 0.2, 0.3], "y_true must hold 0 and 1, or booleans, got 2"),
        ([0, 1], [0.1, 0.2, 0.3], "y_.* has 3 entries for 2 rows of y_true"),
        ([], [], "y_true is empty"),
        ([0, 1], [0.1, np.nan], "contains NaN"),
        ([0, 1], [[0.1, 0.9], [0.2, 0.8]], "must be 1-D"),
    ],
)
def test_bad_pairs_are_refused_with_the_argument_named(good, chance, message):
    for function in (brier_by_segment, answer_curve):
        with pytest.raises(ValueError, match=message):
            function(good, chance)
    with pytest.raises(ValueError, match=message):
        pick_threshold(good, chance, precision=0.5)


@pytest.mark.parametrize("name", ["precision", "confidence"])
@pytest.mark.parametrize("value", [0, 1, -0.1, 95, np.nan])
def test_promises_lie_between_0_and_1(name, value):
    with pytest.raises(ValueError, match=name):
        pick_threshold([0, 1], [0.1, 0.9], **{"precision": 0.5, name: value})


def test_errors_too_small_for_a_float_are_none_whatever_numpy_is_set_to_raise():
    with np.errstate(all="raise"):
        assert brier_by_segment([0, 0], [1e-200, 0]).total_brier == 0


def test_chances_summed_over_classes_may_pass_1_by_rounding():
    classes = np.exp(3 * np.random.default_rng(0).normal(size=(2000, 5)))
    classes = (classes / classes.sum(axis=1, keepdims=True)).astype(np.float32)
    chance = classes.sum(axis=1)
    assert chance.max() > 1
    assert brier_by_segment(np.ones(2000), chance).total_brier < 1e-12


def test_scores_are_no_chances():
    with pytest.raises(
        ValueError, match="y_prob must hold chances from 0 to 1, got -3"
    ):
        brier_by_segment([0, 1], [-3.0, 2.0])
    with pytest.raises(ValueError, match=r"from 0 to 1, got 0\.1 to 1\.00001\. Calib"):
        brier_by_segment([0, 1], [0.1, 1.00001])


def test_bad_segments_are_refused():
    with pytest.raises(ValueError, match=r"segment has shape \(1,\), expected \(2,\)"):
        brier_by_segment([0, 1], [0.1, 0.9], ["a"])
    with pytest.raises(TypeError, match="segment mixes values"):
        brier_by_segment([0, 1], [0.1, 0.9], np.array(["a", None], dtype=object))


def test_everything_public_is_there():
    assert all(hasattr(module, name) for name in module.__all__)
