"""Drift of features is seen where it is, and chance is not taken for it."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from sklearn_rankformer import RankerAdapter
from sklearn_rankformer._categories import Categories
from sklearn_rankformer._columns import learn_columns
from sklearn_rankformer.monitoring import (
    N_POINTS,
    DriftDisplay,
    _reference,
    drift_report,
)
from sklearn_rankformer.persistence import load, save

from .factories import both, mlp, rankformer


def draw(n_lists, seed):
    """Rows of many kinds: bell, skewed, the same in a list, rare, mostly 0, levels."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_lists), rng.integers(2, 20, n_lists))
    n_rows, of_list = len(groups), rng.normal(size=n_lists)[groups]
    columns = [
        rng.normal(size=n_rows),
        np.exp(of_list + 0.5 * rng.normal(size=n_rows)),
        of_list,
        rng.random(n_rows) < 0.01,
        np.where(rng.random(n_rows) < 0.6, 0, rng.exponential(size=n_rows)),
        rng.integers(0, 5, n_rows),
    ]
    return np.column_stack(columns), groups, rng.integers(0, 3, n_rows)


@pytest.fixture(scope="module")
def ranker():
    X, groups, y = draw(400, 0)
    return mlp().fit(X, y, groups=groups)


def drifted(report):
    return [row.feature for row in report.rows if row.drifted]


def by_feature(report):
    return {row.feature: row for row in report.rows}


def test_lists_like_those_of_training_rarely_have_a_drifted_feature(ranker):
    windows = [draw(n, seed) for n in (30, 150) for seed in range(1, 31)]
    found = [drifted(drift_report(ranker, X, g, random_state=0)) for X, g, _ in windows]
    # Five in a hundred are allowed; of 60, more than 8 would come once in 500 times.
    assert sum(map(bool, found)) <= 8


@pytest.mark.parametrize("feature", [0, 1, 2, 4, 5])
def test_a_shifted_feature_is_found_first(ranker, feature):
    X, groups, _ = draw(200, 1)
    X[:, feature] += 0.8 * X[:, feature].std()
    report = drift_report(ranker, X, groups, random_state=0)
    assert drifted(report) == [f"x{feature}"]
    assert report.rows[0].feature == f"x{feature}"


def test_a_feature_that_spreads_around_the_same_middle_is_found(ranker):
    X, groups, _ = draw(200, 1)
    X[:, 0] *= 2
    assert drifted(drift_report(ranker, X, groups, random_state=0)) == ["x0"]


def test_a_value_that_no_longer_comes_is_no_drift_if_that_may_be_luck(ranker):
    X, groups, _ = draw(30, 1)
    X[:, 3] = 0  # one row in a hundred was 1
    row = by_feature(drift_report(ranker, X, groups, random_state=0))["x3"]
    assert row.distance > 0
    assert not row.drifted


@pytest.mark.parametrize("n_values", [2, 30, 256])
def test_of_few_values_the_distance_is_that_of_both_samples(n_values):
    rng = np.random.default_rng(0)
    old, new = rng.integers(0, n_values, 5000), rng.integers(1, n_values + 3, 4000)
    X, new = old[:, None].astype(float), new[:, None].astype(float)
    groups = np.arange(5000) // 10
    ranker = mlp().fit(X, old % 2, groups=groups)
    row = drift_report(ranker, new, np.arange(4000) // 10).rows[0]
    expected = ks_2samp(old, new[:, 0]).statistic
    # Exact but for the values between those compared.
    assert expected - (0 if n_values <= N_POINTS else 0.03) <= row.distance + 1e-9
    assert row.distance <= expected + 1e-9


def test_of_many_values_the_distance_is_close_to_that_of_both_samples(ranker):
    X, groups, _ = draw(200, 1)
    old = draw(400, 0)[0]
    X[:, :2] += [0.2, 1]
    found = by_feature(drift_report(ranker, X, groups))
    for j in (0, 1, 2, 4):
        expected = ks_2samp(old[:, j], X[:, j]).statistic
        assert found[f"x{j}"].distance == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("n_values", [2, 7, 256])
def test_shares_of_few_values_are_read_off_the_table_exactly(n_values):
    values = np.random.default_rng(n_values).integers(0, n_values, 20_000)
    X = values[:, None].astype(float)
    columns = learn_columns(
        Categories(np.array([False]), ()), X, quantiles=True, seed=0
    )
    points, shares, whole = _reference(columns.knots[0], columns.scores[0])
    assert whole
    expected = [(values <= point).mean() for point in points]
    np.testing.assert_allclose(shares, expected, atol=1e-9)


@both
def test_the_order_of_rows_does_not_matter(make):
    X, groups, y = draw(60, 0)
    fitted = make().fit(X, y, groups=groups)
    X, groups, _ = draw(50, 1)
    order = np.random.default_rng(0).permutation(len(X))
    first = drift_report(fitted, X, groups, random_state=0)
    second = drift_report(fitted, X[order], groups[order], random_state=0)
    assert str(first) == str(second)
    assert [row.limit for row in first.rows] == [row.limit for row in second.rows]


def test_lists_are_not_taken_for_independent_rows(ranker):
    # Each list ten times as long, with nothing new in it: no more is known.
    X, groups, _ = draw(60, 1)
    short = by_feature(drift_report(ranker, X, groups, random_state=0))
    long = drift_report(
        ranker, np.repeat(X, 10, axis=0), np.repeat(groups, 10), random_state=0
    )
    for name, row in by_feature(long).items():
        assert row.limit == pytest.approx(short[name].limit, rel=1e-5)


def test_unknown_categories_are_counted_apart_from_missing_ones():
    pd = pytest.importorskip("pandas")
    X, groups, y = draw(60, 0)
    kinds = np.array(["a", "b"])[y % 2]
    frame = pd.DataFrame({"price": X[:, 0], "kind": pd.Categorical(kinds)})
    fitted = rankformer().fit(frame, y, groups=groups)
    new = frame.astype({"kind": object})
    new.loc[:4, "kind"], new.loc[5:6, "kind"], new.loc[7, "kind"] = "z", "y", None
    report = drift_report(fitted, new, groups)
    row = by_feature(report)["kind"]
    assert list(row.unknown.items()) == [("z", 5), ("y", 2)]
    assert row.missing == 1 / len(new)
    assert np.isnan(row.distance)
    frame = report.to_frame().set_index("feature")
    assert frame.loc["kind", "unknown"] == 7
    assert frame.loc["price", "unknown"] == 0


def test_missing_values_that_training_did_not_have_are_named(ranker):
    X, groups, _ = draw(60, 1)
    X[::10, 0] = np.nan
    report = drift_report(ranker, X, groups)
    row = by_feature(report)["x0"]
    assert row.new_missing
    assert row.missing == np.isnan(X[:, 0]).mean()
    assert not row.drifted
    assert "(new)" in str(report)


def test_a_feature_without_any_value_is_not_compared(ranker):
    X, groups, _ = draw(60, 1)
    X[:, 0] = np.nan
    row = by_feature(drift_report(ranker, X, groups, random_state=0))["x0"]
    assert np.isnan(row.distance)
    assert row.missing == 1
    assert not row.drifted


def test_constant_features_are_listed_and_not_compared():
    X, groups, y = draw(60, 0)
    X[:, 1] = 3
    row = by_feature(drift_report(mlp().fit(X, y, groups=groups), X, groups))["x1"]
    assert row.kind == "constant"
    assert np.isnan(row.distance)


def test_lengths_and_values_of_lists_come_with_their_errors():
    X, groups, y = draw(60, 0)
    fitted = rankformer().fit(X, y, groups=groups)
    report = drift_report(fitted, X, groups)
    lengths = np.bincount(groups)
    assert report.n_lists == 60
    assert report.list_length.mean == pytest.approx(lengths.mean())
    assert report.list_length.se == pytest.approx(lengths.std(ddof=1) / np.sqrt(60))
    values = fitted.predict_list_value(X, groups).value
    assert report.list_value.mean == pytest.approx(values.mean())
    assert drift_report(mlp().fit(X, y, groups=groups), X, groups).list_value is None


def test_a_loaded_ranker_gives_the_same_report(ranker, tmp_path):
    X, groups, _ = draw(60, 1)
    save(ranker, tmp_path / "ranker.safetensors")
    loaded = load(tmp_path / "ranker.safetensors")
    given = {"n_training_lists": 400, "random_state": 0}
    reports = [drift_report(one, X, groups, **given) for one in (ranker, loaded)]
    assert str(reports[0]) == str(reports[1])
    # It alone does not know how many lists it was fitted on.
    exact = by_feature(drift_report(loaded, X, groups, random_state=0))
    for name, row in by_feature(reports[0]).items():
        assert row.limit == pytest.approx(exact[name].limit * np.sqrt(1 + 60 / 400))


def test_rows_count_one_by_one_where_there_are_no_lists():
    X, _, y = draw(60, 0)
    with pytest.warns(UserWarning, match="groups"):
        fitted = mlp().fit(X, y)
    assert drift_report(fitted, X).n_lists == len(X)


def test_plain_lists_give_the_report_of_an_array(ranker):
    X, groups, _ = draw(60, 1)
    reports = (
        drift_report(ranker, given, groups, random_state=0) for given in (X, X.tolist())
    )
    assert len({str(report) for report in reports}) == 1


@pytest.mark.filterwarnings("error")
def test_one_list_is_refused_before_anything_is_computed_of_it():
    X, groups, y = draw(60, 0)
    fitted = rankformer().fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="at least two lists, got 1"):
        drift_report(fitted, X, np.zeros(len(X)))


def test_what_cannot_be_compared_is_refused(ranker):
    X, groups, y = draw(60, 0)
    with pytest.raises(ValueError, match="at least two lists, got 1"):
        drift_report(ranker, X, np.zeros(len(X)))
    plain = mlp(input_transform=None).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="input_transform='quantile'"):
        drift_report(plain, X, groups)
    with pytest.raises(TypeError, match="got RankerAdapter"):
        drift_report(RankerAdapter(mlp()), X, groups)


def test_the_display_draws_the_most_drifted_features(ranker):
    pytest.importorskip("matplotlib").use("agg")
    X, groups, _ = draw(60, 1)
    X[:, 4] += 1
    report = drift_report(ranker, X, groups, random_state=0)
    display = DriftDisplay.from_report(report, n_features=3)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == [row.feature for row in report.rows[:3]]
    assert labels[0] == "x4"
    assert [bar.get_width() for bar in display.ax_.patches] == [
        row.distance for row in report.rows[:3]
    ]
