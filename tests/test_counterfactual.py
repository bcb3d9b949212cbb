"""Estimates from clicks against loops, exact expectations and simulated logs."""

import math
import warnings
from itertools import pairwise, permutations, product
from statistics import mean, stdev

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sklearn_rankformer.counterfactual import off_policy_difference, off_policy_score
from sklearn_rankformer.metrics import dcg_score, precision_at_k
from sklearn_rankformer.simulation import (
    rank_positions,
    simulate_position_biased_clicks,
)

POSSIBLE = [
    ("dcg", "ips"),
    ("dcg", "snips"),
    ("dcg", "dr"),
    ("precision", "ips"),
    ("precision", "dr"),
    ("recall", "snips"),
]
each_estimate = pytest.mark.parametrize(("metric", "estimator"), POSSIBLE)
few_clicks = pytest.mark.filterwarnings("ignore:The estimate rests on:UserWarning")

CHANCES = st.floats(0.05, 1)


# Loops, one list at a time -----------------------------------------------------------


def credits_of(scores, metric, k):
    """Credit of each item, the mean over all orders that the scores allow."""
    n = len(scores)
    k = n if k is None else min(k, n)
    worth = {
        "dcg": [1 / math.log2(place + 2) for place in range(k)],
        "precision": [1 / k] * k,
        "recall": [1.0] * k,
    }[metric] + [0.0] * (n - k)
    orders = [
        order
        for order in permutations(range(n))
        if all(scores[i] >= scores[j] for i, j in pairwise(order))
    ]
    return [mean(worth[order.index(i)] for order in orders) for i in range(n)]


def sums_of(problem, estimator, credit):
    """Of each list: credits times relevance, and relevance, as sums."""
    gained, total = {}, {}
    for i, id_ in enumerate(problem["groups"]):
        c, p = problem["clicks"][i], problem["propensities"][i]
        relevance = c / p
        if estimator == "dr":
            model, seen = problem["predicted"][i], problem["examination"][i]
            relevance = model + (c - seen * model) / p
        gained[id_] = gained.get(id_, 0.0) + credit[i] * relevance
        total[id_] = total.get(id_, 0.0) + relevance
    return list(gained.values()), list(total.values())


def effective(problem, credit):
    """Number of clicks of equal weight that would say as much."""
    columns = credit, problem["clicks"], problem["propensities"]
    terms = [worth * c / p for worth, c, p in zip(*columns, strict=True)]
    squares = sum(x * x for x in terms)
    return sum(terms) ** 2 / squares if squares else 0.0


def loop(problem, scores, metric, estimator, k):
    """Value, standard error and effective clicks."""
    credit = [0.0] * len(scores)
    for id_ in set(problem["groups"]):
        rows = [i for i, one in enumerate(problem["groups"]) if one == id_]
        for i, worth in zip(
            rows, credits_of([scores[i] for i in rows], metric, k), strict=True
        ):
            credit[i] = worth
    n_effective = effective(problem, credit)
    if estimator == "snips":
        n_effective = min(n_effective, effective(problem, [1 - one for one in credit]))
    gained, total = sums_of(problem, estimator, credit)
    n = len(gained)
    if estimator != "snips":
        return mean(gained), stdev(gained) / math.sqrt(n), n_effective
    left_out = [
        sum(gained[:j] + gained[j + 1 :]) / sum(total[:j] + total[j + 1 :])
        for j in range(n)
    ]
    centre = mean(left_out)
    error = math.sqrt((n - 1) / n * sum((one - centre) ** 2 for one in left_out))
    return sum(gained) / sum(total), error, n_effective


@st.composite
def problems(draw):
    """A small log, rows in any order, with clicks in two lists at least."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    groups = draw(st.permutations(np.repeat(np.arange(len(sizes)), sizes).tolist()))
    n = len(groups)

    def column(values):
        return draw(st.lists(values, min_size=n, max_size=n))

    clicks = column(st.sampled_from([0, 0, 1, 2.5]))
    assume(len({g for g, c in zip(groups, clicks, strict=True) if c > 0}) >= 2)
    problem = {
        "clicks": clicks,
        "groups": groups,
        "propensities": column(CHANCES),
        "predicted": column(st.floats(0, 2)),
        "examination": column(st.floats(0, 1)),
    }
    return problem, column(st.integers(-2, 2))


def score(problem, scores, estimator, **options):
    given_ = {**problem, **options}
    if estimator != "dr":
        given_ = {
            key: value
            for key, value in given_.items()
            if key not in ("predicted", "examination")
        }
    return off_policy_score(scores=scores, estimator=estimator, **given_)


@few_clicks
@each_estimate
@given(drawn=problems(), k=st.sampled_from([None, 1, 2, 9]))
def test_value_and_error_equal_loops_over_lists_and_orders_of_ties(
    metric, estimator, drawn, k
):
    problem, scores = drawn
    found = score(problem, scores, estimator, metric=metric, k=k)
    value, error, n_effective = loop(problem, scores, metric, estimator, k)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.n_effective == pytest.approx(n_effective)
    assert found.n_lists == len(set(problem["groups"]))
    if n_effective:
        assert found.standard_error == pytest.approx(error, abs=1e-9)
    elif found.value != 1:
        assert np.isnan([found.standard_error, found.low, found.high]).all()


@few_clicks
@each_estimate
@given(drawn=problems(), seed=st.integers(0, 2**32 - 1))
def test_order_of_rows_names_of_lists_and_scale_of_scores_do_not_matter(
    metric, estimator, drawn, seed
):
    problem, scores = drawn
    found = score(problem, scores, estimator, metric=metric, k=2)
    rows = np.random.default_rng(seed).permutation(len(scores))
    names = np.array(["e", "b", "d", "a", "c"])
    moved = {key: np.asarray(value)[rows] for key, value in problem.items()}
    moved["groups"] = names[moved["groups"]]
    again = score(
        moved, np.exp(np.asarray(scores)[rows]), estimator, metric=metric, k=2
    )
    for key, value in found.items():
        assert_allclose(again[key], value, rtol=1e-6, atol=1e-9)


@few_clicks
@each_estimate
@given(drawn=problems(), other=st.integers(0, 2**32 - 1))
def test_difference_is_that_of_the_values_and_changes_sign(
    metric, estimator, drawn, other
):
    problem, scores = drawn
    if estimator != "dr":
        problem = {k: problem[k] for k in ("clicks", "groups", "propensities")}
    options = {**problem, "metric": metric, "estimator": estimator, "k": 2}
    others = np.random.default_rng(other).normal(size=len(scores))
    a, b = (off_policy_score(scores=one, **options) for one in (scores, others))
    found = off_policy_difference(scores_a=scores, scores_b=others, **options)
    assert found.value == pytest.approx(a.value - b.value, abs=1e-9)
    turned = off_policy_difference(scores_a=others, scores_b=scores, **options)
    assert_allclose([turned.low, turned.high], [-found.high, -found.low], atol=1e-9)
    same = off_policy_difference(scores_a=scores, scores_b=scores, **options)
    assert (same.value, same.low, same.high, same.standard_error) == (0, 0, 0, 0)


# What estimates mean ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "function", "options"),
    [("dcg", dcg_score, {"gain": "linear"}), ("precision", precision_at_k, {})],
)
def test_where_all_is_examined_the_value_is_the_metric_of_the_clicks(
    metric, function, options
):
    clicks, groups, scores = log_of_clicks()
    expected = function(clicks, scores, groups, k=3, empty="zero", **options)
    ones = np.ones(len(clicks))
    found = off_policy_score(
        clicks, scores, groups, propensities=ones, metric=metric, k=3
    )
    assert found.value == pytest.approx(expected)


def test_self_normalised_dcg_is_ndcg_where_each_list_has_one_relevant_item():
    groups = np.repeat(np.arange(60), 4)
    clicks = np.tile([0, 0, 1, 0], 60)
    scores = np.random.default_rng(0).normal(size=240)
    expected = dcg_score(clicks, scores, groups, k=3)  # the best is 1
    found = off_policy_score(
        clicks,
        scores,
        groups,
        propensities=np.ones(240),
        k=3,
        estimator="snips",
    )
    assert found.value == pytest.approx(expected)


def test_self_normalised_values_need_only_ratios_of_propensities():
    clicks, groups, scores = log_of_clicks()
    propensities = np.random.default_rng(1).uniform(0.2, 1, len(clicks))
    results = [
        off_policy_score(
            clicks,
            scores,
            groups,
            propensities=factor * propensities,
            metric="recall",
            k=2,
            estimator="snips",
        )
        for factor in (1, 0.25)
    ]
    assert_allclose(list(results[0].values()), list(results[1].values()))


def test_model_cancels_out_where_propensities_are_those_at_the_position_shown():
    clicks, groups, scores = log_of_clicks()
    rng = np.random.default_rng(1)
    propensities = rng.uniform(0.2, 1, len(clicks))
    plain = off_policy_score(clicks, scores, groups, propensities=propensities)
    modelled = off_policy_score(
        clicks,
        scores,
        groups,
        propensities=propensities,
        estimator="dr",
        predicted=rng.uniform(size=len(clicks)),
        examination=propensities,
    )
    assert_allclose(list(modelled.values()), list(plain.values()))


def expected_value(seen, **options):
    """Mean estimate over all that may be clicked in a list of three, and the truth.

    Two lists that are always clicked stand beside it, for there to be a spread.
    """
    relevance = np.array([0.3, 0.9, 0.5])
    chance = relevance * seen
    groups, scores = [0, 0, 0, 1, 2], [0.2, 0.1, 0.8, 0, 0]
    total = 0.0
    for clicks in product((0, 1), repeat=3):
        found = off_policy_score([*clicks, 1, 1], scores, groups, k=2, **options)
        total += np.prod(np.where(clicks, chance, 1 - chance)) * found.value
    truth = dcg_score(
        [*relevance, 1, 1], scores, groups, k=2, gain="linear", empty="zero"
    )
    return total, truth


SHOWN = np.array([1.0, 0.5, 0.2])


@few_clicks
def test_inverse_propensity_scoring_is_unbiased_over_all_clicks():
    mean_value, truth = expected_value(SHOWN, propensities=[*SHOWN, 1, 1])
    assert mean_value == pytest.approx(truth, abs=1e-12)
    mean_value, truth = expected_value(SHOWN, propensities=[1] * 5)
    assert mean_value < truth - 0.1


@few_clicks
def test_right_model_makes_up_for_wrong_propensities():
    found = expected_value(
        SHOWN,
        propensities=[1, 0.9, 0.7, 1, 1],
        estimator="dr",
        predicted=[0.3, 0.9, 0.5, 1, 1],
        examination=[*SHOWN, 1, 1],
    )
    assert found[0] == pytest.approx(found[1], abs=1e-12)


@few_clicks
def test_right_propensities_make_up_for_a_wrong_model():
    """Of a logging ranker that shows one of two orders, each every other time."""
    orders = np.array([[1.0, 0.5, 0.2], [0.2, 0.5, 1.0]])
    values, truths = zip(
        *(
            expected_value(
                shown,
                propensities=[*orders.mean(axis=0), 1, 1],
                estimator="dr",
                predicted=[0.9, 0.0, 2.0, 0, 7],
                examination=[*shown, 1, 1],
            )
            for shown in orders
        ),
        strict=True,
    )
    assert np.mean(values) == pytest.approx(truths[0], abs=1e-12)


# Intervals ----------------------------------------------------------------------------


def log_of_clicks(n_lists=80, seed=0):
    """Clicks, groups and scores of lists of 1 to 6 rows."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_lists), rng.integers(1, 7, n_lists))
    return rng.integers(0, 2, len(groups)), groups, rng.normal(size=len(groups))


def test_effective_clicks_are_all_clicks_where_their_weights_are_equal():
    clicks = np.random.default_rng(0).integers(0, 2, 400)
    log = {"clicks": clicks, "groups": np.repeat(np.arange(100), 4)}
    log |= {"propensities": np.full(400, 0.5), "metric": "precision"}
    found = off_policy_score(scores=np.arange(400), **log)
    assert found.n_effective == pytest.approx(clicks.sum())
    log["propensities"][np.flatnonzero(clicks)[0]] = 1e-6
    with pytest.warns(UserWarning, match=r"rests on 1\.0 effective clicks"):
        found = off_policy_score(scores=np.arange(400), **log)
    assert found.n_effective == pytest.approx(1, abs=1e-3)


def test_bounds_of_a_mean_lie_where_the_corrected_statistic_meets_the_quantile():
    from scipy.stats import skew, t

    clicks, groups, scores = log_of_clicks()
    found = off_policy_score(
        clicks, scores, groups, propensities=np.full(len(clicks), 0.5), k=2
    )
    n = found.n_lists
    values = dcg_score(
        2 * clicks,
        scores,
        groups,
        k=2,
        gain="linear",
        empty="zero",
        reduction="none",
    ).value
    a = skew(values) / math.sqrt(n)
    reach = t.ppf(0.975, min(found.n_effective, n) - 1)
    for bound, expected in ((found.low, reach), (found.high, -reach)):
        s = (found.value - bound) / found.standard_error
        corrected = s + a * s**2 / 3 + a**2 * s**3 / 27 + a / 6
        assert corrected == pytest.approx(expected)


def test_bounds_of_a_share_agree_with_those_of_its_complement_and_lie_within_0_and_1():
    rng = np.random.default_rng(0)
    log = {"clicks": rng.integers(0, 2, 300), "groups": np.repeat(np.arange(100), 3)}
    log |= {"propensities": rng.uniform(0.3, 1, 300)}
    log |= {"metric": "recall", "estimator": "snips"}
    scores = rng.normal(size=300)
    # The first of three is one share, the other two are the rest.
    top = off_policy_score(scores=scores, k=1, **log)
    rest = off_policy_score(scores=-scores, k=2, **log)
    assert 0 < top.low < top.value < top.high < 1
    assert_allclose(
        [rest.value, rest.low, rest.high], 1 - np.array([top.value, top.high, top.low])
    )
    assert rest.n_effective == pytest.approx(top.n_effective)


def test_recall_of_all_positions_is_known_whatever_is_clicked():
    clicks, groups, scores = log_of_clicks()
    found = off_policy_score(
        clicks,
        scores,
        groups,
        propensities=np.ones(len(clicks)),
        metric="recall",
        estimator="snips",
    )
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert found.standard_error == pytest.approx(0, abs=1e-12)


def test_few_clicks_are_warned_of_and_none_give_no_interval():
    groups, clicks = np.repeat(np.arange(40), 2), np.tile([0, 1], 40)
    options = {"propensities": np.ones(80), "k": 1}
    with pytest.warns(UserWarning, match=r"0\.0 effective clicks, fewer than 10"):
        found = off_policy_score(clicks, -clicks, groups, **options)
    assert found.value == 0
    assert np.isnan([found.standard_error, found.low, found.high]).all()
    options |= {"metric": "recall", "estimator": "snips"}
    with pytest.warns(UserWarning, match=r"0\.0 effective clicks"):
        found = off_policy_score(clicks, clicks, groups, **options)
    assert found.value == 1
    assert np.isnan([found.standard_error, found.low, found.high]).all()
    options |= {"metric": "dcg", "estimator": "ips"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = off_policy_score(clicks, clicks, groups, **options)
    assert (found.value, found.n_effective, found.n_lists) == (1, 40, 40)


def simulated(n_logs=800, n_lists=400):
    """Truths, and estimates from many logs, for each estimator and comparison."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, (5000, 6))
    new, rival, old = (y + rng.normal(scale=s, size=y.shape) for s in (1, 2, 2))
    groups = np.repeat(np.arange(5000), 6)
    position = rank_positions(old.ravel(), groups)
    log = simulate_position_biased_clicks(y.ravel(), position, rng=rng)
    relevance, seen = log.click_probabilities, log.propensities
    options = {"groups": groups, "k": 3, "gain": "linear", "empty": "zero"}
    values = [dcg_score(relevance, s.ravel(), **options) for s in (new, rival)]
    truths = {"ips": values, "dr": values}
    truths["snips"] = np.divide(values, relevance.sum() / 5000)
    found = {(name, kind): [] for name in truths for kind in ("one", "two")}
    for _ in range(n_logs):
        rows = (6 * rng.integers(0, 5000, (n_lists, 1)) + np.arange(6)).ravel()
        clicks, p = rng.random(len(rows)) < (seen * relevance)[rows], seen[rows]
        a, b = new.ravel()[rows], rival.ravel()[rows]
        for name in truths:
            options = {"propensities": p, "k": 3, "estimator": name}
            options |= {"clicks": clicks, "groups": np.repeat(np.arange(n_lists), 6)}
            if name == "dr":
                options["propensities"] = np.maximum(p, 0.4)
                options |= {"examination": p, "predicted": relevance[rows]}
            one = off_policy_score(scores=a, **options)
            two = off_policy_difference(scores_a=a, scores_b=b, **options)
            found[name, "one"].append([one.value, one.low, one.high])
            found[name, "two"].append([two.value, two.low, two.high])
    return {
        (name, kind): (a if kind == "one" else a - b, np.array(found[name, kind]))
        for name, (a, b) in truths.items()
        for kind in ("one", "two")
    }


def test_in_simulated_logs_estimates_are_unbiased_and_intervals_cover_the_truth():
    for case, (truth, found) in simulated().items():
        value, low, high = found.T
        # Two standard errors of 200 logs; of so many more, chance alone is far below.
        assert abs(value.mean() - truth) < 2 * value.std() / np.sqrt(200), case
        assert 0.92 <= np.mean((low <= truth) & (truth <= high)) <= 0.98, case


@pytest.mark.parametrize(
    ("estimator", "metric", "k", "against"),
    [
        ("ips", "dcg", None, "shown"),
        ("ips", "precision", 1, "shown"),
        ("snips", "dcg", None, "shown"),
        ("ips", "dcg", 5, "rival"),
        ("snips", "dcg", 5, "rival"),
    ],
)
def test_intervals_of_a_gain_cover_the_truth_whether_or_not_it_is_skewed(
    estimator, metric, k, against
):
    """Few clicks far down, of large weight, speak for what differs from what was shown.

    Of a gain over the ranking shown that makes a skewed mean, of one over another new
    ranking a mean with heavy tails on both sides.
    """
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, (5000, 8))
    old, good, fair = (y + rng.normal(scale=s, size=y.shape) for s in (2, 1, 1.3))
    new, other = (good, fair) if against == "rival" else (y / 2 - old, old)
    position = rank_positions(old.ravel(), np.repeat(np.arange(5000), 8))
    log = simulate_position_biased_clicks(y.ravel(), position, eta=1.5, rng=rng)
    relevance, seen = log.click_probabilities, log.propensities
    options = {"metric": metric, "estimator": estimator, "k": k}
    # Where all are seen and clicked as often as they are relevant, that is the truth.
    truth = off_policy_difference(
        relevance,
        new.ravel(),
        other.ravel(),
        np.repeat(np.arange(5000), 8),
        propensities=np.ones(len(relevance)),
        **options,
    ).value
    below, above, groups = 0, 0, np.repeat(np.arange(200), 8)
    for _ in range(800):
        rows = (8 * rng.integers(0, 5000, (200, 1)) + np.arange(8)).ravel()
        found = off_policy_difference(
            rng.random(len(rows)) < (seen * relevance)[rows],
            new.ravel()[rows],
            other.ravel()[rows],
            groups,
            propensities=seen[rows],
            **options,
        )
        assert found.n_effective > 10
        below, above = below + (found.high < truth), above + (found.low > truth)
    assert 800 - below - above >= 0.93 * 800
    assert max(below, above) <= 0.05 * 800


# Refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -0.5, 1.5])
def test_propensities_that_are_none_are_refused_with_their_rows(wrong):
    with pytest.raises(ValueError, match=rf"got 2 that do not: {wrong} in row 1, .* 3"):
        off_policy_score(
            [1, 1, 0, 0], [1, 2, 3, 4], [0, 1, 2, 2], propensities=[1, wrong] * 2
        )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metric": "ndcg"}, "not linear in relevance"),
        ({"metric": "map"}, "metric must be one of"),
        ({"metric": "recall"}, "Give metric='precision'"),
        ({"metric": "precision", "estimator": "snips"}, "Give metric='recall'"),
        ({"estimator": "dm"}, "estimator must be one of"),
        ({"estimator": "dr"}, "needs predicted"),
        ({"estimator": "dr", "predicted": [1] * 4}, "needs examination"),
        ({"predicted": [1] * 4}, "predicted has no use for estimator='ips'"),
        ({"examination": [1] * 4}, "examination has no use for estimator='ips'"),
        ({"clicks": [1, 0, 0, 0]}, "feedback in 1 lists"),
        ({"clicks": [1, -1, 0, 0]}, "clicks must not be negative"),
        ({"scores": [1, 2]}, "scores has 2 entries for 4 rows of clicks"),
        ({"propensities": [1, 1]}, "propensities has 2 entries"),
        ({"groups": [0, 1]}, "groups has 2 entries"),
        ({"k": 0}, "k must be None or an integer"),
    ],
)
def test_what_cannot_be_estimated_is_refused(changed, message):
    given_ = {
        "clicks": [1, 0, 1, 0],
        "scores": [1, 2, 3, 4],
        "groups": [0, 0, 1, 1],
        "propensities": [1, 0.5, 1, 0.5],
    }
    with pytest.raises(ValueError, match=message):
        off_policy_score(**{**given_, **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"predicted": [-1, 0, 0, 0]}, "predicted must not be negative"),
        ({"predicted": [1]}, "predicted has 1 entries"),
        ({"examination": [2, 0, 0, 0]}, "examination must hold chances from 0 to 1"),
        ({"examination": [1]}, "examination has 1 entries"),
    ],
)
def test_models_that_are_none_are_refused(changed, message):
    given_ = {"predicted": [1, 0, 0, 0], "examination": [1, 0, 0, 0]}
    with pytest.raises(ValueError, match=message):
        off_policy_score(
            [1, 0, 1, 0],
            [1, 2, 3, 4],
            [0, 0, 1, 1],
            propensities=[1] * 4,
            estimator="dr",
            **{**given_, **changed},
        )
