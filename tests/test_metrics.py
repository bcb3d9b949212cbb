"""Metrics against loops over every order of the tied rows."""

import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_rankformer import metrics
from sklearn_rankformer.metrics import METRICS, ndcg_score

TIES = ("average", "pessimistic", "stable")
CUT = sorted(set(METRICS) - {"kendall_tau"})
BOUNDED = sorted(set(METRICS) - {"kendall_tau", "dcg"})


def dcg(labels, k):
    return sum((2**y - 1) / np.log2(i + 2) for i, y in enumerate(labels[:k]))


def ndcg(labels, k):
    return dcg(labels, k) / dcg(sorted(labels, reverse=True), k)


def reciprocal_rank(labels, k):
    for i, y in enumerate(labels[:k]):
        if y >= 1:
            return 1 / (i + 1)
    return 0.0


def err(labels, k):
    total, reading = 0.0, 1.0
    for i, y in enumerate(labels[:k]):
        stop = (2**y - 1) / 2**4
        total += reading * stop / (i + 1)
        reading *= 1 - stop
    return total


def average_precision(labels, k):
    n_relevant = sum(y >= 1 for y in labels)
    total, hits = 0.0, 0
    for i, y in enumerate(labels[:k]):
        if y >= 1:
            hits += 1
            total += hits / (i + 1)
    return total / min(n_relevant, k)


def precision(labels, k):
    return sum(y >= 1 for y in labels[:k]) / min(k, len(labels))


def recall(labels, k):
    return sum(y >= 1 for y in labels[:k]) / sum(y >= 1 for y in labels)


LOOPS = {
    "dcg": dcg,
    "err": err,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "ndcg": ndcg,
    "precision": precision,
    "recall": recall,
}
OPTIONS = {"err": {"max_label": 4}}


def loop(name, labels, scores, k, ties):
    """Value of one list: mean, minimum or first over all orders that scores allow."""
    rows = range(len(labels))
    orders = [p for p in permutations(rows) if all(np.diff(scores[list(p)]) <= 0)]
    k = len(labels) if k is None else k
    values = [LOOPS[name]([labels[i] for i in order], k) for order in orders]
    return {"average": np.mean, "pessimistic": min, "stable": lambda v: v[0]}[ties](
        values
    )


GRADES = st.sampled_from([0, 0, 1, 2, 3, 4])


@st.composite
def problems(draw, labels=GRADES):
    """Labels, scores and ids of 1 to 5 lists of 1 to 5 rows, rows in any order."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    groups = draw(st.permutations(np.repeat(np.arange(len(sizes)), sizes).tolist()))
    y = draw(st.lists(labels, min_size=len(groups), max_size=len(groups)))
    s = draw(st.lists(st.integers(-2, 2), min_size=len(groups), max_size=len(groups)))
    return np.array(y, dtype=float), np.array(s) / 2, np.array(groups)


def per_list(name, y, s, groups, **options):
    result = METRICS[name](y, s, groups, reduction="none", **options)
    return dict(zip(result.groups.tolist(), result.value, strict=True))


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("name", CUT)
@given(problem=problems(), k=st.sampled_from([None, 1, 2, 3, 9]))
@settings(max_examples=25, deadline=None)
def test_value_equals_loop_over_every_order_of_ties(name, ties, problem, k):
    y, s, groups = problem
    options = OPTIONS.get(name, {})
    values = per_list(name, y, s, groups, k=k, ties=ties, **options)
    for id_, value in values.items():
        rows = groups == id_
        if y[rows].max() < 1:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(loop(name, y[rows], s[rows], k, ties))


@given(problem=problems())
@settings(max_examples=100, deadline=None)
def test_kendall_tau_equals_scipy_per_list(problem):
    y, s, groups = problem
    for id_, value in per_list("kendall_tau", y, s, groups).items():
        rows = groups == id_
        if len(set(y[rows])) == 1:
            assert np.isnan(value)
        elif len(set(s[rows])) == 1:
            assert value == 0
        else:
            assert value == pytest.approx(kendalltau(y[rows], s[rows]).statistic)


def test_kendall_tau_equals_scipy_on_long_lists_without_ties():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 3, 1000)
    y, s = rng.random(1000), rng.normal(size=1000)
    for id_, value in per_list("kendall_tau", y, s, groups).items():
        rows = groups == id_
        assert value == pytest.approx(kendalltau(y[rows], s[rows]).statistic)


def test_ndcg_of_a_list_worked_by_hand():
    y, s, groups = [0, 1, 3], [3.0, 2.0, 1.0], [7, 7, 7]
    linear = (1 / np.log2(3) + 3 / 2) / (3 + 1 / np.log2(3))
    exponential = (1 / np.log2(3) + 7 / 2) / (7 + 1 / np.log2(3))
    assert ndcg_score(y, s, groups, gain="linear") == pytest.approx(linear)
    assert ndcg_score(y, s, groups) == pytest.approx(exponential)
    assert linear == pytest.approx(0.5869, abs=1e-4)


@pytest.mark.parametrize(("share", "n_lists"), [(0.05, 20), (0.5, 3), (0.001, 1)])
def test_err_of_binary_labels_equals_mrr_under_long_ties(share, n_lists):
    rng = np.random.default_rng(0)
    groups = rng.integers(0, n_lists, 3000)
    y = (rng.random(3000) < share).astype(float)
    s = rng.integers(0, 4, 3000)
    for k in (None, 1, 10, 70):
        for ties in TIES:
            chances = {"max_label": 1, "gain": "linear"}
            stops = METRICS["err"](y, s, groups, k=k, ties=ties, **chances)
            expected = METRICS["mrr"](y, s, groups, k=k, ties=ties)
            assert stops == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", sorted(METRICS))
@given(problem=problems(), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_order_of_rows_and_names_of_lists_change_nothing(name, problem, seed):
    y, s, groups = problem
    options = OPTIONS.get(name, {})
    before = per_list(name, y, s, groups, **options)
    order = np.random.default_rng(seed).permutation(len(y))
    names = np.array([f"list {99 - id_}" for id_ in groups])
    after = per_list(name, y[order], s[order], names[order], **options)
    for id_, value in before.items():
        assert after[f"list {99 - id_}"] == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("name", sorted(METRICS))
@given(problem=problems())
@settings(max_examples=25, deadline=None)
def test_other_lists_do_not_change_a_list(name, problem):
    y, s, groups = problem
    options = OPTIONS.get(name, {})
    together = per_list(name, y, s, groups, **options)
    for id_, value in together.items():
        rows = groups == id_
        alone = per_list(name, y[rows], s[rows], groups[rows], **options)
        assert alone[id_] == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("name", sorted(METRICS))
@given(problem=problems())
@settings(max_examples=25, deadline=None)
def test_only_the_order_of_scores_matters(name, problem):
    y, s, groups = problem
    metric = METRICS[name]
    before = metric(y, s, groups, empty="zero", **OPTIONS.get(name, {}))
    for scores in (s * 2.0**1000, s * 2.0**-1000 - 0.0, np.exp(s)):
        after = metric(y, scores, groups, empty="zero", **OPTIONS.get(name, {}))
        assert after == before


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("name", BOUNDED)
@given(
    problem=problems(labels=st.floats(0, 9)),
    weights=st.lists(st.floats(1e-300, 1e300), min_size=5, max_size=5),
)
@settings(max_examples=25, deadline=None)
def test_weighted_metric_stays_within_zero_and_one(name, ties, problem, weights):
    y, s, groups = problem
    y[0] = 1
    weight = np.array(weights)[groups]
    for empty in ("skip", "zero", "one"):
        options = {"ties": ties, "empty": empty}
        if empty == "skip":
            options["k"] = 2
        value = METRICS[name](y, s, groups, sample_weight=weight, **options)
        assert 0 <= value <= 1


@pytest.mark.parametrize("name", BOUNDED)
def test_perfect_order_of_full_lists_scores_one_or_says_why(name):
    y = np.array([2, 1, 1, 2.5, 1])
    groups = [0, 0, 0, 1, 1]
    value = METRICS[name](y, y, groups, **OPTIONS.get(name, {}))
    assert (value == 1) == (name != "err")


@pytest.mark.parametrize("name", sorted(METRICS))
def test_weights_equal_repeated_lists(name):
    y, s = [0, 1, 2, 2, 0, 0, 1], [1, 2, 3, 1, 2, 3, 1]
    groups = np.array([0, 0, 0, 1, 1, 2, 2])
    options = OPTIONS.get(name, {})
    values = per_list(name, y, s, groups, **options)
    weighted = METRICS[name](
        y, s, groups, sample_weight=np.array([3.0, 1.0, 0.0])[groups], **options
    )
    assert weighted == pytest.approx((3 * values[0] + values[1]) / 4)


def test_weighted_ndcg_counts_an_empty_list_as_one_by_its_own_weight():
    # LightGBM 4.7 adds 1 here without the weight and comes out above 1.
    y, s, groups = [1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 1]
    value = ndcg_score(
        y, s, groups, k=1, empty="one", sample_weight=[0.1, 0.1, 0.3, 0.3]
    )
    assert value == pytest.approx(0.75)


@pytest.mark.parametrize(("empty", "mean"), [("zero", 0.5), ("one", 1.0), ("skip", 1)])
@pytest.mark.parametrize("name", ["map", "mrr", "ndcg", "precision", "recall"])
def test_list_without_relevant_item_follows_empty(name, empty, mean):
    y, s, groups = [1, 0, 0], [1, 0, 0], [5, 5, 4]
    assert METRICS[name](y, s, groups, k=1, empty=empty) == mean
    result = METRICS[name](y, s, groups, k=1, empty=empty, reduction="none")
    filler = {"zero": 0, "one": 1, "skip": np.nan}[empty]
    np.testing.assert_array_equal(result.groups, [4, 5])
    np.testing.assert_array_equal(result.value, [filler, 1])


@pytest.mark.parametrize("name", sorted(METRICS))
def test_empty_raise_names_the_first_such_list(name):
    with pytest.raises(ValueError, match=r"1 of 2 lists .* 'b'.*empty='skip'"):
        METRICS[name]([0, 1, 0], [1, 2, 3], ["a", "a", "b"], empty="raise")


@pytest.mark.parametrize("name", sorted(METRICS))
def test_all_lists_left_out_gives_nan_and_warns(name):
    with pytest.warns(UndefinedMetricWarning, match="empty='zero'"):
        assert np.isnan(METRICS[name]([0, 0], [1, 2], [1, 1]))


def test_weight_on_left_out_lists_only_gives_nan_and_warns():
    with pytest.warns(UndefinedMetricWarning):
        value = ndcg_score([1, 0, 0], [1, 2, 3], [1, 1, 2], sample_weight=[0, 0, 1])
    assert np.isnan(value)


def test_single_item_list_with_relevance_counts():
    assert ndcg_score([2], [0.3], ["only"]) == 1


def test_min_label_sets_what_is_relevant():
    y, s, groups = [1, 2, 0], [3, 2, 1], [0, 0, 0]
    assert METRICS["mrr"](y, s, groups) == 1
    assert METRICS["mrr"](y, s, groups, min_label=2) == 0.5
    assert METRICS["precision"](y, s, groups, min_label=0.5) == pytest.approx(2 / 3)


def test_max_label_sets_the_top_of_the_scale():
    y, s, groups = [1, 0], [1, 0], [0, 0]
    assert METRICS["err"](y, s, groups) == pytest.approx(1 / 2)
    assert METRICS["err"](y, s, groups, max_label=4) == pytest.approx(1 / 16)
    assert METRICS["err"](y, s, groups, max_label=4, gain="linear") == 1 / 4


@pytest.mark.parametrize("label", [0.1, 0.7, 1 / 3, 1e-3])
def test_labels_in_float32_reach_the_same_number_in_float64(label):
    y, s, groups = np.array([label, 0], np.float32), [1, 2], [0, 0]
    assert METRICS["mrr"](y, s, groups, min_label=label) == 0.5
    below = label - 1e-6
    assert METRICS["mrr"]([label, below], s, groups, min_label=label) == 0.5
    options = {"gain": "linear", "max_label": label}
    assert METRICS["err"](y, s, groups, **options) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="max_label is"):
        METRICS["err"](y, s, groups, max_label=below)


def test_err_of_huge_labels_does_not_overflow():
    assert METRICS["err"]([5000, 0], [1, 0], [0, 0]) == pytest.approx(1)


def test_gain_callable_equals_named_gain():
    y, s, groups = np.array([0.0, 1.5, 3.0]), [1, 2, 0], [0, 0, 0]
    named = ndcg_score(y, s, groups, gain="exp")
    assert ndcg_score(y, s, groups, gain=lambda y: 2**y - 1) == pytest.approx(named)


def test_exponential_gain_keeps_the_digits_of_small_labels():
    y, s, groups = np.array([1.0, 2.0]) * 1e-14, [1, 0], [0, 0]
    linear = ndcg_score(y, s, groups, gain="linear")
    assert ndcg_score(y, s, groups) == pytest.approx(linear, rel=1e-9)


def test_exponential_gain_that_overflows_names_linear_gain():
    y, s, groups = [0, 2000], [1, 0], [0, 0]
    with pytest.raises(ValueError, match=r'label is 2000\. Use gain="linear"'):
        ndcg_score(y, s, groups)
    assert ndcg_score(y, s, groups, gain="linear") == pytest.approx(1 / np.log2(3))
    with pytest.raises(ValueError, match=r"overflow.*Divide the labels"):
        ndcg_score([1e308, 1e308], s, groups, gain="linear")


@pytest.mark.parametrize("gain", [lambda y: y[:1], lambda y: -y, lambda y: y / 0])
def test_gain_callable_with_bad_output_raises(gain):
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="gain must map"):
        ndcg_score([0, 1], [1, 0], [0, 0], gain=gain)


def test_gain_that_looks_labels_up_in_a_table_is_told_that_they_are_floats():
    table = np.array([0.0, 1.0, 3.0])
    with pytest.raises(IndexError) as raised:
        ndcg_score([0, 2], [1, 0], [0, 0], gain=lambda labels: table[labels])
    assert "gain=lambda labels: table[labels.astype(int)]" in raised.value.__notes__[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": [0, np.nan]}, "y_true contains NaN"),
        ({"y_true": [0, -1]}, "y_true must not be negative, got -1"),
        ({"y_true": [[0, 1]]}, r"y_true must be 1-D, got shape \(1, 2\).*flat"),
        ({"y_true": [], "y_score": [], "groups": []}, "y_true is empty"),
        ({"y_score": [0, np.inf]}, "y_score contains infinity"),
        ({"y_score": [0, 1, 2]}, "y_score has 3 entries for 2 rows of y_true"),
        ({"groups": None}, "groups must be 1-D"),
        ({"groups": [2]}, "look like list sizes"),
        ({"sample_weight": [1, 2]}, "sample_weight differs within the list"),
        ({"sample_weight": [0, 0]}, "sample_weight is zero on all rows"),
        ({"sample_weight": [-1, -1]}, "negative weight -1"),
        ({"sample_weight": [1]}, "sample_weight has 1 entries for 2 rows"),
        ({"sample_weight": [np.nan] * 2}, "sample_weight contains NaN"),
        ({"empty": "drop"}, "empty must be one of .*got 'drop'"),
        ({"reduction": None}, "reduction must be one of .*got None"),
    ],
)
@pytest.mark.parametrize("name", sorted(METRICS))
def test_bad_input_raises_and_says_what_is_wrong(name, change, message):
    good = {"y_true": [0, 1], "y_score": [1, 0], "groups": [0, 0]}
    with pytest.raises(ValueError, match=message):
        METRICS[name](**{**good, **change})


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "5"])
@pytest.mark.parametrize("name", CUT)
def test_bad_cutoff_raises(name, k):
    with pytest.raises(ValueError, match="k must be None or an integer of 1 or more"):
        METRICS[name]([0, 1], [1, 0], [0, 0], k=k)


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("ndcg", {"ties": "first"}, "ties must be one of"),
        ("ndcg", {"gain": "cubic"}, "gain must be one of"),
        ("err", {"gain": np.exp}, "gain must be one of"),
        ("err", {"max_label": 0.5}, "max_label is 0.5, but y_true goes up to 1"),
        ("err", {"max_label": np.nan}, "max_label must be a finite number, got nan"),
        ("map", {"min_label": 0}, "min_label must be above 0, got 0"),
    ],
)
def test_bad_option_raises(name, option, message):
    with pytest.raises(ValueError, match=message):
        METRICS[name]([0, 1], [1, 0], [0, 0], **option)


@pytest.mark.parametrize("min_label", [None, "1", [1], np.nan, np.inf])
@pytest.mark.parametrize("name", ["map", "mrr", "precision", "recall"])
def test_a_lowest_label_that_is_no_number_is_named(name, min_label):
    with pytest.raises((TypeError, ValueError), match="min_label must be"):
        METRICS[name]([0, 1], [1, 0], [0, 0], min_label=min_label)


@pytest.mark.parametrize("values", [["a", "b"], [1j, 2], [object(), 1]])
@pytest.mark.parametrize("argument", ["y_true", "y_score", "sample_weight"])
def test_what_is_not_a_number_raises_and_names_the_argument(argument, values):
    good = {"y_true": [0, 1], "y_score": [1, 0], "groups": [0, 0]}
    with pytest.raises(ValueError, match=f"{argument} must hold numbers"):
        ndcg_score(**{**good, argument: values})


@pytest.mark.parametrize("name", sorted(METRICS))
def test_inputs_are_read_only_and_of_any_real_type(name):
    y = np.array([0, 1, 1, 0], dtype=np.int8)
    s = np.array([1, 3, 2, 2], dtype=np.float16)
    groups = np.array(["a", "a", "b", "b"])
    for array in (y, s, groups):
        array.flags.writeable = False
    expected = METRICS[name](y, s, groups)
    assert METRICS[name](y.astype(bool), s.tolist(), groups.tolist()) == expected
    assert METRICS[name](y[:, None], s[:, None], groups[:, None]) == expected
    assert METRICS[name](y.astype(object), s.astype(object), groups) == expected
    weight = np.ones(4)
    weight.flags.writeable = False
    assert METRICS[name](y, s, groups, sample_weight=weight) == expected


def test_frames_columns_are_accepted():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"y": [0, 1, 2], "s": [1.0, 2.0, 0.0], "q": list("aab")})
    assert ndcg_score(frame.y, frame.s, frame.q) == 1


def test_no_numpy_warning_leaks_from_extreme_scores():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in METRICS:
            METRICS[name]([1, 0, 2], [1.7e308, -1.7e308, 5e-324], [0, 0, 0])


@pytest.mark.parametrize("name", ["err", "mrr", "dcg", "ndcg"])
def test_chances_too_small_for_a_float_are_zero_whatever_numpy_is_set_to_raise(name):
    labels, scores = np.tile([4, 0], 1500), np.zeros(3000)
    tiny, far_apart = 1e-310 * labels, np.where(labels > 3, 900, 1)
    for one in (labels, far_apart, *([tiny] if name != "mrr" else [])):
        expected = METRICS[name](one, scores, np.zeros(3000))
        with np.errstate(all="raise"):
            assert METRICS[name](one, scores, np.zeros(3000)) == expected


def test_every_metric_is_public():
    assert sorted(f.__name__ for f in METRICS.values()) == metrics.__all__
