"""Every way through scikit-learn: what works with lists, what is refused, what cuts.

`PATHS` says what comes of each path, once with metadata routing and once with
``group_column``; each path is run both ways and must come out as said. Scores are held
against those of `Way.by_hand`, which uses none of scikit-learn's tools, and a callback
looks at every list that anything was trained on. ``docs/paths.md`` is the same list as
a page: ``python -m tests.test_paths`` writes it.
"""

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path as File

import joblib
import numpy as np
import pytest
from scipy.stats import randint
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import (
    RFE,
    SelectFromModel,
    SelectKBest,
    SequentialFeatureSelector,
    f_regression,
)
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from skorch.callbacks import Callback

from sklearn_rankformer import (
    MissingGroupsWarning,
    StackingRanker,
    VotingRanker,
    WithinListScaler,
)
from sklearn_rankformer.comparison import compare_rankers
from sklearn_rankformer.metrics import mean_reciprocal_rank, ndcg_score
from sklearn_rankformer.model_selection import check_group_cv
from sklearn_rankformer.scoring import get_scorer

from .conftest import make_lists
from .factories import TINY, mlp, rankformer

pd = pytest.importorskip("pandas")

PAGE = File(__file__).parents[1] / "docs" / "paths.md"
FEATURES = ["a", "b", "c", "d"]
CV = GroupKFold(2)
NDCG = partial(ndcg_score, k=10)
SIZES = {"rank__d_model": [4, 8]}


class Witness(Callback):
    """Keeps the lists that rankers were trained on; all copies share what they saw."""

    seen = []

    def on_train_begin(self, net, X=None, **kwargs):
        self.seen.append(dict(zip(X.lists.ids, X.lists.lengths, strict=True)))


class Way:
    """Small lists in mixed order, and how a ranker learns of them."""

    def __init__(self, routed):
        X, self.y, groups = make_lists(n_lists=24, sizes=(2, 7))
        mixed = np.random.default_rng(0).permutation(len(X))
        self.features, self.y, self.groups = X[mixed], self.y[mixed], groups[mixed]
        self.routed = routed
        self.X = pd.DataFrame(self.features, columns=FEATURES)
        if not routed:
            self.X["qid"] = self.groups

    def ranker(self, **params):
        """Return a small ranker."""
        own = {} if self.routed else {"group_column": "qid"}
        fast = {**TINY, "max_epochs": 2, "num_layers": 1, "callbacks": [Witness()]}
        return rankformer(**{**fast, **own, **params})

    def pipeline(self, select=None, **params):
        """Scale and select the features, leave the list ids alone, rank."""
        select = clone(select or SelectKBest(f_regression, k=3))
        numbers = make_pipeline(StandardScaler(), select)
        prepare = ColumnTransformer(
            [("numbers", numbers, FEATURES)],
            remainder="passthrough",
            verbose_feature_names_out=False,
        )
        model = Pipeline([("prepare", prepare), ("rank", self.ranker(**params))])
        return model if self.routed else model.set_output(transform="pandas")

    @property
    def given(self):
        """What methods of estimators are given beside X and y."""
        return {"groups": self.groups} if self.routed else {}

    @property
    def given_to_cv(self):
        """What functions with a ``cv`` are given beside X and y."""
        if self.routed:
            return {"params": {"groups": self.groups}}
        return {"groups": self.groups}

    def by_hand(self, train, test, *, select=None, metric=NDCG, held=None, **params):
        """Score of the pipeline on the test rows, by none of scikit-learn's tools."""
        scaler = StandardScaler().fit(self.features[train])
        select = clone(select or SelectKBest(f_regression, k=3))
        select.fit(scaler.transform(self.features[train]), self.y[train])
        X = select.transform(scaler.transform(self.features))
        ranker = self.ranker(group_column=None, callbacks=None, **params)
        ranker.fit(X[train], self.y[train], groups=self.groups[train])
        scores = ranker.predict(X[test], groups=self.groups[test])
        return metric(self.y[test], scores, self.groups[test])

    @property
    def splits(self):
        """The splits of `CV`."""
        return list(CV.split(self.features, groups=self.groups))

    def cut_lists(self):
        """Lists that a ranker was trained on with other rows than they have."""
        true = dict(zip(*np.unique(self.groups, return_counts=True), strict=True))
        return {i for lists in Witness.seen for i, n in lists.items() if true[i] != n}


def same(value, expected):
    """Whether scores agree up to the rounding of float32."""
    np.testing.assert_allclose(value, expected, atol=1e-6)


def search_scores(way, search, prefix="rank__"):
    """Check each score of a search against the one by hand."""
    results = search.cv_results_
    for i, params in enumerate(results["params"]):
        params = {name.removeprefix(prefix): value for name, value in params.items()}
        for k, (train, test) in enumerate(way.splits):
            by_hand = way.by_hand(train, test, **params)
            same(results[f"split{k}_test_score"][i], by_hand)


# The paths ---------------------------------------------------------------------------


def ranker_alone(way):
    ranker = way.ranker().fit(way.X, way.y, **way.given)
    scores = ranker.predict(way.X, **way.given)
    same(ranker.score(way.X, way.y, **way.given), NDCG(way.y, scores, way.groups))
    best = ranker.rank(way.X, k=1, **way.given)
    assert [way.groups[row] for row in best] == list(np.unique(way.groups))
    assert all(
        scores[row] == scores[way.groups == way.groups[row]].max() for row in best
    )
    value = ranker.predict_list_value(way.X, **way.given)
    np.testing.assert_array_equal(value.groups, np.unique(way.groups))


def pipeline(way, select=None):
    (train, test), _ = way.splits
    model = way.pipeline(select)
    sub = {name: value[train] for name, value in way.given.items()}
    model.fit(way.X.iloc[train], way.y[train], **sub)
    sub = {name: value[test] for name, value in way.given.items()}
    value = way.by_hand(train, test, select=select)
    same(model.score(way.X.iloc[test], way.y[test], **sub), value)
    scores = model.predict(way.X.iloc[test], **sub)
    same(NDCG(way.y[test], scores, way.groups[test]), value)


def pipeline_list_value(way):
    model = way.pipeline().fit(way.X, way.y, **way.given)
    value = model[-1].predict_list_value(model[:-1].transform(way.X), **way.given)
    np.testing.assert_array_equal(value.groups, np.unique(way.groups))
    model.predict_list_value(way.X, **way.given)


def names_before_ranker(way):
    model = way.pipeline().set_output(transform="pandas")
    model.fit(way.X, way.y, **way.given)
    assert set(model[-1].feature_names_in_) < set(FEATURES)
    assert len(model[-1].feature_names_in_) == 3


def list_scaler(way):
    model = make_pipeline(WithinListScaler(), way.ranker())
    model.fit(way.X, way.y, groups=way.groups)
    X = WithinListScaler().fit_transform(way.X, groups=way.groups)
    ranker = way.ranker().fit(X, way.y, groups=way.groups)
    expected = ranker.score(X, way.y, groups=way.groups)
    same(model.score(way.X, way.y, groups=way.groups), expected)


def target_transformer(way):
    model = TransformedTargetRegressor(way.ranker(), check_inverse=False)
    model.fit(way.X, way.y, **way.given)
    ranker = way.ranker().fit(way.X, way.y, **way.given)
    same(model.predict(way.X, **way.given), ranker.predict(way.X, **way.given))


def held_out_through_pipeline(way):
    val = way.groups < 8
    model = way.pipeline()
    model.transform_input = ["X_val"]
    extra = {"X_val": way.X[val], "y_val": way.y[val]}
    if way.routed:
        extra |= {"groups": way.groups, "groups_val": way.groups[val]}
    else:
        extra = {f"rank__{name}": value for name, value in extra.items()}
    model.fit(way.X, way.y, **extra)
    expected = model.score(way.X[val], way.y[val], groups=way.groups[val])
    same(model[-1].kept_score_, expected)


def held_out_through_search(way):
    val = way.groups < 8
    extra = {"X_val": way.X[val], "y_val": way.y[val]}
    if way.routed:
        extra["groups_val"] = way.groups[val]
    search = GridSearchCV(way.ranker(), {"d_model": [4]}, cv=CV)
    search.fit(way.X, way.y, groups=way.groups, **extra)
    train, test = way.splits[1]
    ranker = way.ranker(d_model=4, group_column=None)
    ranker.fit(
        way.features[train],
        way.y[train],
        groups=way.groups[train],
        X_val=way.features[val],
        y_val=way.y[val],
        groups_val=way.groups[val],
    )
    value = ranker.score(way.features[test], way.y[test], groups=way.groups[test])
    same(search.cv_results_["split1_test_score"], value)


def grid_search(way):
    search = GridSearchCV(way.ranker(), {"max_epochs": [1, 2]}, cv=CV)
    search.fit(way.X, way.y, groups=way.groups)
    for i, max_epochs in enumerate([1, 2]):
        for k, (train, test) in enumerate(way.splits):
            ranker = way.ranker(max_epochs=max_epochs, group_column=None)
            X, y, groups = way.features, way.y, way.groups
            ranker.fit(X[train], y[train], groups=groups[train])
            value = ranker.score(X[test], y[test], groups=groups[test])
            same(search.cv_results_[f"split{k}_test_score"][i], value)


def grid_search_pipeline(way, **options):
    search = GridSearchCV(way.pipeline(), SIZES, cv=CV, **options)
    search_scores(way, search.fit(way.X, way.y, groups=way.groups))
    every = np.arange(len(way.y))
    score = search.score(way.X, way.y, **way.given)
    size = search.best_params_["rank__d_model"]
    same(score, way.by_hand(every, every, d_model=size))


def grid_search_scorers(way):
    scoring = {"ndcg": get_scorer("ndcg@10"), "mrr": get_scorer("mrr")}
    search = GridSearchCV(way.pipeline(), SIZES, cv=CV, scoring=scoring, refit="mrr")
    search.fit(way.X, way.y, groups=way.groups)
    for name, metric in [("ndcg", NDCG), ("mrr", mean_reciprocal_rank)]:
        for k, (train, test) in enumerate(way.splits):
            value = way.by_hand(train, test, metric=metric, d_model=4)
            same(search.cv_results_[f"split{k}_test_{name}"][0], value)


def search_predict(way):
    search = GridSearchCV(way.pipeline(), SIZES, cv=CV)
    search.fit(way.X, way.y, groups=way.groups)
    scores = search.best_estimator_.predict(way.X, **way.given)
    same(search.predict(way.X), scores)


def randomized_search(way):
    search = RandomizedSearchCV(
        way.pipeline(), {"rank__max_epochs": randint(1, 4)}, n_iter=2, random_state=0
    )
    search.set_params(cv=CV).fit(way.X, way.y, groups=way.groups)
    search_scores(way, search)


def halving_epochs(way):
    search = HalvingGridSearchCV(
        way.pipeline(),
        SIZES,
        resource="rank__max_epochs",
        min_resources=1,
        max_resources=2,
        factor=2,
        cv=CV,
    )
    search.fit(way.X, way.y, groups=way.groups)
    assert search.n_resources_ == [1, 2]
    search_scores(way, search)


def halving_rows(way):
    search = HalvingGridSearchCV(
        way.pipeline(), SIZES, min_resources=50, factor=2, cv=CV, random_state=0
    )
    search.fit(way.X, way.y, groups=way.groups)


def several_scorers(way):
    scoring = {"ndcg": get_scorer("ndcg@10"), "mrr": get_scorer("mrr")}
    result = cross_validate(
        way.pipeline(), way.X, way.y, cv=CV, scoring=scoring, **way.given_to_cv
    )
    for name, metric in [("ndcg", NDCG), ("mrr", mean_reciprocal_rank)]:
        same(
            result[f"test_{name}"],
            [way.by_hand(*split, metric=metric) for split in way.splits],
        )


def nested_search(way):
    search = GridSearchCV(way.pipeline(), SIZES, cv=CV)
    given = (
        way.given_to_cv
        if way.routed
        else {**way.given_to_cv, "params": {"groups": way.groups}}
    )
    result = cross_validate(
        search, way.X, way.y, cv=CV, return_estimator=True, error_score="raise", **given
    )
    for search, value, split in zip(
        result["estimator"], result["test_score"], way.splits, strict=True
    ):
        same(value, way.by_hand(*split, d_model=search.best_params_["rank__d_model"]))


def predict_by_folds(way):
    scores = cross_val_predict(way.pipeline(), way.X, way.y, cv=CV, **way.given_to_cv)
    for train, test in way.splits:
        value = NDCG(way.y[test], scores[test], way.groups[test])
        same(value, way.by_hand(train, test))


def importance(way):
    scores = []

    def watched(*args):
        scores.append(get_scorer("ndcg@10")(*args))
        return scores[-1]

    model = way.pipeline().fit(way.X, way.y, **way.given)
    drops = permutation_importance(
        model, way.X, way.y, scoring=watched, n_repeats=1, random_state=0
    ).importances_mean
    every = np.arange(len(way.y))
    same(scores[0], way.by_hand(every, every))
    same(drops, scores[0] - np.array(scores[1:]))
    assert (drops != 0).sum() == 4  # one feature was not selected


def curve_of_rows(way):
    learning_curve(
        way.pipeline(), way.X, way.y, cv=CV, train_sizes=[0.5, 1.0], **way.given_to_cv
    )


def curve_of_parameter(way):
    _, scores = validation_curve(
        way.pipeline(),
        way.X,
        way.y,
        cv=CV,
        param_name="rank__d_model",
        param_range=[4, 8],
        scoring=get_scorer("ndcg@10"),
        **way.given_to_cv,
    )
    for size, row in zip([4, 8], scores, strict=True):
        same(row, [way.by_hand(*split, d_model=size) for split in way.splits])


def forward_selection(way):
    selector = SequentialFeatureSelector(
        way.ranker(),
        n_features_to_select=1,
        cv=CV if way.routed else way.splits,
        scoring=get_scorer("ndcg@10"),
    )
    selector.fit(way.X, way.y, **way.given)
    X, y, g = way.features, way.y, way.groups
    means = []
    for j in range(4):
        fits = [
            (way.ranker().fit(X[a][:, [j]], y[a], groups=g[a]), b)
            for a, b in way.splits
        ]
        means.append(
            np.mean([r.score(X[b][:, [j]], y[b], groups=g[b]) for r, b in fits])
        )
    assert selector.get_support().nonzero()[0] == np.argmax(means)


def elimination(way):
    RFE(way.ranker()).fit(way.X, way.y, **way.given)


def bagging(way, ask=False, **params):
    X = way.X.to_numpy()
    ranker = way.ranker() if way.routed else way.ranker(group_column=-1)
    if ask and way.routed:
        ranker.set_fit_request(sample_weight=True)
    model = BaggingRegressor(ranker, n_estimators=2, random_state=0, **params)
    model.fit(X, way.y, **way.given)
    members = [m.predict(X, **way.given) for m in model.estimators_]
    assert not np.allclose(*members)
    same(np.mean(members, axis=0), model.predict(X, **way.given))


def stacking(way):
    StackingRegressor([("rank", way.ranker())]).fit(way.X, way.y, **way.given)


def voting(way):
    VotingRegressor([("rank", way.ranker())]).fit(way.X, way.y, **way.given)


def relative(scores, groups):
    """Scores less the mean of their list, over their standard deviation in it."""
    found = np.empty(len(scores))
    for one in np.unique(groups):
        inside = scores[groups == one]
        found[groups == one] = (inside - inside.mean()) / inside.std()
    return found


def ensemble(way, kind, **params):
    """An ensemble of a ranker and a pipeline, the two fitted by hand on all rows."""
    own = {} if way.routed else {"group_column": "qid"}
    ranker = way.ranker(group_column=None)
    members = [("plain", ranker), ("scaled", make_pipeline(StandardScaler(), ranker))]
    model = kind(members, **params, **own).fit(way.X, way.y, **way.given)
    scaled = StandardScaler().fit_transform(way.features)
    return model, [
        clone(ranker).fit(X, way.y, groups=way.groups).predict(X, groups=way.groups)
        for X in (way.features, scaled)
    ]


def vote_of_rankers(way):
    model, scores = ensemble(way, VotingRanker)
    by_hand = np.mean([relative(one, way.groups) for one in scores], axis=0)
    same(model.predict(way.X, **way.given), by_hand)


def search_over_vote(way):
    vote = ensemble(way, VotingRanker)[0]
    grid = {"plain__d_model": [4, 8], "scaled": ["drop"]}
    search = GridSearchCV(vote, grid, cv=CV).fit(way.X, way.y, groups=way.groups)
    X, y, groups = way.features, way.y, way.groups
    for i, size in enumerate([4, 8]):
        for k, (train, test) in enumerate(way.splits):
            ranker = way.ranker(d_model=size, group_column=None)
            ranker.fit(X[train], y[train], groups=groups[train])
            value = ranker.score(X[test], y[test], groups=groups[test])
            same(search.cv_results_[f"split{k}_test_score"][i], value)


def stack_of_rankers(way):
    model, scores = ensemble(way, StackingRanker, cv=CV)
    weights = model.final_estimator_.estimator_
    columns = np.column_stack([relative(one, way.groups) for one in scores])
    same(model.predict(way.X, **way.given), weights.predict(columns))


def comparison_of_rankers(way):
    rankers = {"pipeline": way.pipeline(), "vote": ensemble(way, VotingRanker)[0]}
    # Those that read the ids from a column are given them as well.
    result = compare_rankers(rankers, way.X, way.y, way.groups, cv=CV)
    found = result.values["ndcg@10"]["pipeline"]
    for train, test in way.splits:
        value = np.nanmean(found[np.unique(way.groups[test])])
        same(value, way.by_hand(train, test))


def copies(way):
    model = way.pipeline().fit(way.X, way.y, **way.given)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    scores = model.predict(way.X, **way.given)
    for twin in (
        pickle.loads(pickle.dumps(model)),
        joblib.load(file),
        copy.deepcopy(model),
    ):
        np.testing.assert_array_equal(twin.predict(way.X, **way.given), scores)
    assert "RankFormerRanker" in estimator_html_repr(model)
    fresh = clone(model)
    with pytest.raises(NotFittedError):
        fresh[-1].predict(way.X, **way.given)
    fresh.fit(way.X, way.y, **way.given)
    np.testing.assert_array_equal(fresh.predict(way.X, **way.given), scores)


# What comes of them ------------------------------------------------------------------


@dataclass(frozen=True)
class Refused:
    """An error whose message holds these words."""

    message: str
    error: type = ValueError

    def __str__(self):
        return f"refused: “{self.message}”"


@dataclass(frozen=True)
class Cuts:
    """It runs, but on lists of which rows are missing or doubled."""

    def __str__(self):
        return "runs, but **cuts lists**"


WORKS = "works"
NEEDS_GROUPS = Refused("was fitted with groups, so predict needs them too")
NO_REGRESSOR = Refused("The estimator RankFormerRanker should be a regressor")


@dataclass(frozen=True)
class Path:
    """One path, what comes of it either way, and the safe way where it is needed."""

    name: str
    run: Callable
    routed: object = WORKS
    column: object = WORKS
    instead: str = ""


PATHS = [
    Path("`fit`, `predict`, `score`, `rank`, `predict_list_value`", ranker_alone),
    Path(
        "`Pipeline.fit`, `predict`, `score` (`ColumnTransformer` of `StandardScaler` "
        "and `SelectKBest`, then ranker)",
        pipeline,
    ),
    Path(
        "`SelectFromModel` before the ranker",
        partial(pipeline, select=SelectFromModel(Ridge())),
    ),
    Path("frames before the ranker by `set_output`", names_before_ranker),
    Path(
        "`WithinListScaler` before the ranker",
        list_scaler,
        column=Refused("Pipeline.fit does not accept the groups parameter"),
        instead="The scaler has no `group_column`: switch routing on.",
    ),
    Path(
        "`Pipeline.predict_list_value`",
        pipeline_list_value,
        Refused("has no attribute 'predict_list_value'", AttributeError),
        Refused("has no attribute 'predict_list_value'", AttributeError),
        "`pipe[-1].predict_list_value(pipe[:-1].transform(X), groups=groups)`",
    ),
    Path("`TransformedTargetRegressor`", target_transformer),
    Path(
        '`Pipeline(..., transform_input=["X_val"])` with `X_val`',
        held_out_through_pipeline,
        column=Refused(
            "`transform_input` parameter can only be set if metadata routing is enabled"
        ),
        instead="Leave `X_val` out; whole lists are then held out of the training "
        "rows.",
    ),
    Path("a search with `X_val`, of another length than `X`", held_out_through_search),
    Path("`GridSearchCV` of a ranker", grid_search),
    Path("`GridSearchCV` of a pipeline", grid_search_pipeline),
    Path(
        "`GridSearchCV` of a pipeline with `n_jobs=2`",
        partial(grid_search_pipeline, n_jobs=2),
    ),
    Path(
        "`GridSearchCV` of a pipeline with a scorer object",
        partial(grid_search_pipeline, scoring=get_scorer("ndcg@10")),
    ),
    Path("`GridSearchCV` of a pipeline with several scorers", grid_search_scorers),
    Path(
        "`predict` of a search",
        search_predict,
        NEEDS_GROUPS,
        instead="`search.best_estimator_.predict(X, groups=groups)`",
    ),
    Path("`RandomizedSearchCV`", randomized_search),
    Path('`HalvingGridSearchCV(resource="...max_epochs")`', halving_epochs),
    Path(
        "`HalvingGridSearchCV` with its default `n_samples`",
        halving_rows,
        Cuts(),
        Cuts(),
        'Make epochs the resource: `resource="max_epochs"`.',
    ),
    Path("`cross_validate` with several scorers", several_scorers),
    Path("nested: `cross_validate` of a `GridSearchCV`", nested_search),
    Path(
        "`cross_val_predict`",
        predict_by_folds,
        NEEDS_GROUPS,
        instead="Use `group_column`, or loop over `cv.split(X, y, groups)`.",
    ),
    Path("`validation_curve`", curve_of_parameter),
    Path(
        "`learning_curve`",
        curve_of_rows,
        Cuts(),
        Cuts(),
        "Fit on `train_test_split(X, y, groups, test_size=...)` for several sizes.",
    ),
    Path(
        "`permutation_importance`",
        importance,
        Refused("ndcg@10 got no groups, so it cannot tell one list from another"),
        instead="Use `group_column`; the drop shown for that column itself is that "
        "of items assigned to lists at random.",
    ),
    Path(
        "`SequentialFeatureSelector`",
        forward_selection,
        column=Refused("must be an integer index, as X is no frame"),
        instead="It would drop the column of ids: switch routing on.",
    ),
    Path(
        "`RFE`",
        elimination,
        Refused("should have `coef_` or `feature_importances_` attribute"),
        Refused("must be an integer index, as X is no frame", TypeError),
        "`SequentialFeatureSelector`, or any selector that uses another model.",
    ),
    Path(
        "`BaggingRegressor`",
        bagging,
        Cuts(),
        instead="`BaggingRegressor(ranker.set_fit_request(sample_weight=True))` draws "
        "rows as weights, so that lists stay whole; without routing it does so in any "
        "case.",
    ),
    Path(
        "`BaggingRegressor` of a ranker that asks for `sample_weight`",
        partial(bagging, ask=True),
    ),
    Path(
        "`BaggingRegressor(bootstrap=False)`: other seeds, same rows",
        partial(bagging, bootstrap=False),
    ),
    Path(
        "`StackingRegressor`",
        stacking,
        NO_REGRESSOR,
        NO_REGRESSOR,
        "It would split rows: `StackingRanker`.",
    ),
    Path(
        "`VotingRegressor`",
        voting,
        NO_REGRESSOR,
        NO_REGRESSOR,
        "Scores of two rankers have no common scale: `VotingRanker`.",
    ),
    Path("`VotingRanker` of a ranker and a pipeline", vote_of_rankers),
    Path("`GridSearchCV` of a `VotingRanker`", search_over_vote),
    Path("`StackingRanker` of a ranker and a pipeline", stack_of_rankers),
    Path("`compare_rankers` of a pipeline and a `VotingRanker`", comparison_of_rankers),
    Path("`clone`, pickle, joblib, `deepcopy`, HTML", copies),
]

HEAD = """\
# Paths through scikit-learn

Which of scikit-learn's tools work with lists, which raise an error, and which cut
lists. Each path is tested with metadata routing on, and with `group_column`: then
routing is off and the ids are a column of `X`, but splitters still get `groups`.
"Works" means that the scores equal those computed by hand with the right lists. Written
by `python -m tests.test_paths` with scikit-learn 1.9.

See also [pipelines and searches](pipelines.md), which has recipes, and [splitting
lists](model_selection.md).

## What needs a different approach

| Path | Result | Instead |
|---|---|---|
"""

WORKING = """
## What works

Both ways, with routing and with `group_column`:

"""


def outcome(path):
    """Both outcomes of a path in one cell."""
    if path.routed == path.column:
        return str(path.routed)
    return f"routing on: {path.routed}<br>`group_column`: {path.column}"


def page():
    """Return the text of ``docs/paths.md``."""
    works = [p for p in PATHS if p.routed == p.column == WORKS]
    rows = [
        f"| {p.name} | {outcome(p)} | {p.instead} |" for p in PATHS if p not in works
    ]
    names = [f"- {p.name}" for p in works]
    return HEAD + "\n".join(rows) + "\n" + WORKING + "\n".join(names) + "\n"


@pytest.fixture(params=[True, False], ids=["routing", "group_column"])
def way(request):
    with config_context(enable_metadata_routing=request.param):
        yield Way(request.param)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name.replace("`", ""))
def test_path_comes_out_as_the_page_says(path, way):
    expected = path.routed if way.routed else path.column
    Witness.seen.clear()
    if isinstance(expected, Refused):
        with pytest.raises(expected.error) as error:
            path.run(way)
        assert expected.message in str(error.value)
        return
    path.run(way)
    assert Witness.seen
    assert bool(way.cut_lists()) == isinstance(expected, Cuts)


def test_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page()


def test_wrong_lists_would_score_otherwise(way):
    train, test = way.splits[0]
    right = way.by_hand(train, test)
    way.groups = np.random.default_rng(0).permutation(way.groups)
    assert abs(way.by_hand(train, test) - right) > 1e-3


# Neither way -------------------------------------------------------------------------


@pytest.fixture
def unaware():
    """Pipeline that knows of no lists, and its data."""
    way = Way(routed=True)
    return way.pipeline(), way


def test_unrouted_search_without_group_column_warns_in_fit_and_in_score(unaware):
    model, way = unaware
    search = GridSearchCV(model, {"rank__d_model": [4]}, cv=CV)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MissingGroupsWarning)
        search.fit(way.X, way.y, groups=way.groups)
    texts = [str(w.message) for w in caught if w.category is MissingGroupsWarning]
    for method in ("RankFormerRanker.fit", "RankFormerRanker.score"):
        hits = [text for text in texts if text.startswith(method)]
        assert hits
        assert all("groups=..." in t and "group_column=..." in t for t in hits)
        assert all("enable_metadata_routing=True" in t for t in hits)


@pytest.mark.filterwarnings("ignore::sklearn_rankformer.MissingGroupsWarning")
def test_unrouted_scorer_without_group_column_raises(unaware):
    model, way = unaware
    with pytest.raises(ValueError, match="ndcg@10 got no groups"):
        cross_validate(
            model,
            way.X,
            way.y,
            cv=CV,
            groups=way.groups,
            scoring=get_scorer("ndcg@10"),
            error_score="raise",
        )


def test_score_without_groups_warns_even_where_predict_needs_none(unaware):
    _, way = unaware
    ranker = mlp(**TINY)
    ranker.fit(way.X, way.y, groups=way.groups)
    with pytest.warns(MissingGroupsWarning, match=r"MLPRanker.score got no groups"):
        ranker.score(way.X, way.y)


def test_folds_that_cut_lists_are_found_before_the_search(unaware):
    _, way = unaware
    with pytest.raises(ValueError, match="on both sides of split 0"):
        check_group_cv(5, way.X, way.y, way.groups)
    assert check_group_cv(CV, way.X, way.y, way.groups) is CV


@pytest.mark.parametrize("fewer", [0, 1])
def test_search_slices_validation_data_only_if_as_long_as_X(fewer, monkeypatch):
    way = Way(routed=False)
    lengths = []

    class Watch(Callback):
        def on_train_begin(self, net, **kwargs):
            lengths.append(net.plan.origin.held.lists.n_rows)

    monkeypatch.setattr(Witness, "on_train_begin", Watch.on_train_begin)
    n_val = len(way.X) - fewer
    search = GridSearchCV(way.ranker(), {"d_model": [8]}, cv=CV, refit=False)
    search.fit(
        way.X, way.y, groups=way.groups, X_val=way.X[:n_val], y_val=way.y[:n_val]
    )
    train_lengths = [len(train) for train, _ in way.splits]
    assert lengths == ([n_val, n_val] if fewer else train_lengths)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
