"""The GBDTs that the networks compete with, and how their settings are chosen.

`gbdt` is the one place that knows what each library calls its parameters. Threads are
one unless asked for: runs side by side must not fight for cores.
"""

from importlib import import_module
from importlib.util import find_spec

from sklearn_rankformer import RankerAdapter, WithinListScaler

# Module, class, and what makes the library optimise NDCG without a word on the screen.
LIBRARIES = {
    "LightGBM": ("lightgbm", "LGBMRanker", {"verbosity": -1}),
    "XGBoost": ("xgboost", "XGBRanker", {"objective": "rank:ndcg"}),
    "CatBoost": (
        "catboost",
        "CatBoostRanker",
        {"verbose": False, "allow_writing_files": False},
    ),
}

# Settings tried for each library; the first is its default.
GRIDS = {
    "LightGBM": [
        {"learning_rate": 0.1},
        {"learning_rate": 0.05, "num_leaves": 7, "colsample_bytree": 0.5},
        {"learning_rate": 0.05, "num_leaves": 15, "min_child_samples": 50},
        {"learning_rate": 0.03, "num_leaves": 31, "colsample_bytree": 0.3},
        {"learning_rate": 0.05, "num_leaves": 7, "objective": "rank_xendcg"},
        {"learning_rate": 0.05, "num_leaves": 31, "objective": "rank_xendcg"},
    ],
    "XGBoost": [
        {"learning_rate": 0.3},
        {"learning_rate": 0.05, "max_depth": 3, "colsample_bytree": 0.5},
        {"learning_rate": 0.05, "max_depth": 5, "subsample": 0.7},
        {"learning_rate": 0.05, "max_depth": 6, "min_child_weight": 20},
    ],
    "CatBoost": [
        {},
        {"learning_rate": 0.05, "depth": 4},
        {"learning_rate": 0.05, "depth": 6, "loss_function": "QuerySoftMax"},
    ],
}

# Settings tried for a classifier by LightGBM.
CLASSIFIER_GRID = [
    {"num_leaves": 7},
    {"num_leaves": 15},
    {"num_leaves": 31},
    {"num_leaves": 15, "min_child_samples": 60},
]

# LightGBM is not listed: the adapter has it stop by NDCG@10 already.
STOP_BY_NDCG_10 = {
    "XGBoost": {"eval_metric": "ndcg@10"},
    "CatBoost": {"eval_metric": "NDCG:top=10;type=Exp"},
}


def gbdt(library, *, n_trees, seed=0, n_threads=1, **params):
    """Make one library's ranker, unfitted and without an adapter.

    Parameters
    ----------
    library : str
        A key of `LIBRARIES`.
    n_trees, seed, n_threads : int
        The same for all libraries.
    **params
        The library's own.
    """
    module, name, own = LIBRARIES[library]
    threads = "thread_count" if library == "CatBoost" else "n_jobs"
    common = {"n_estimators": n_trees, "random_state": seed, threads: n_threads}
    return getattr(import_module(module), name)(**{**own, **common, **params})


def installed():
    """Names of the libraries that can be imported."""
    return [name for name, (module, *_) in LIBRARIES.items() if find_spec(module)]


def grid_of(library, seed=0, n_threads=1):
    """Unfitted rankers with the settings of `GRIDS`, which stop early."""
    common = {"n_trees": 1000, "seed": seed, "n_threads": n_threads}
    common |= STOP_BY_NDCG_10.get(library, {})
    return [
        RankerAdapter(gbdt(library, **common, **params), early_stopping_rounds=100)
        for params in GRIDS[library]
    ]


def with_list_features(parts, with_rank=False):
    """The same rows, each feature also standardised, and ranked, within its list.

    Parameters
    ----------
    parts : iterable of (X, y, groups)
        Lists to learn, to choose by and to test on.
    with_rank : bool, default=False
        Whether to add the ranks.
    """
    scaler = WithinListScaler(with_rank=with_rank)
    return [(scaler.fit_transform(X, groups=g), y, g) for X, y, g in parts]


def fit_lightgbm(train, val, seed, quick=False):
    """LightGBM at its best of four settings, chosen and stopped on ``val``.

    Parameters
    ----------
    train, val : (X, y, groups)
        Lists to learn, and lists to choose by.
    seed : int
        Random state.
    quick : bool, default=False
        One setting and few trees.

    Returns
    -------
    ranker : RankerAdapter
        The fitted ranker with the highest NDCG@10 on ``val``.
    """
    settings = [
        {"objective": objective, "num_leaves": num_leaves}
        for objective in ("lambdarank", "rank_xendcg")
        for num_leaves in (15, 63)
    ]
    common = {"n_trees": 20 if quick else 1000, "learning_rate": 0.05, "seed": seed}
    rankers = [
        RankerAdapter(gbdt("LightGBM", **common, **params), early_stopping_rounds=50)
        for params in settings[: 1 if quick else None]
    ]
    return fit_best(rankers, train, val)


def fit_best(rankers, train, val):
    """Fit all; return the one with the highest NDCG@10 on ``val``."""
    fitted = [fit_with_val(ranker, train, val) for ranker in rankers]
    return max(fitted, key=lambda ranker: ranker.score(*val))


def fit_with_val(ranker, train, val):
    """Fit on ``train``, stop by ``val``, both (X, y, groups); return the ranker."""
    X_val, y_val, groups_val = val
    return ranker.fit(*train, X_val=X_val, y_val=y_val, groups_val=groups_val)


def fit_classifier(train, val, seed, quick=False):
    """LightGBM's classifier at its best setting, chosen and stopped on ``val``.

    Parameters
    ----------
    train, val : (X, outcome)
        Rows to learn, and rows to choose by; outcomes are 0 or 1.
    seed : int
        Random state.
    quick : bool, default=False
        One setting and few trees.

    Returns
    -------
    classifier : lightgbm.LGBMClassifier
        Of the settings of `CLASSIFIER_GRID`, the one with the least log-loss.
    """
    from lightgbm import LGBMClassifier, early_stopping

    common = {
        "n_estimators": 20 if quick else 2000,
        "learning_rate": 0.03,
        "colsample_bytree": 0.5,
        "subsample": 0.8,
        "subsample_freq": 1,
        "random_state": seed,
        "n_jobs": 1,
        "verbosity": -1,
    }
    X_val, outcome_val = val
    stop = [early_stopping(100, verbose=False)]
    fitted = [
        LGBMClassifier(**common, **params).fit(
            *train, eval_X=X_val, eval_y=outcome_val, callbacks=stop
        )
        for params in CLASSIFIER_GRID[: 1 if quick else None]
    ]
    return min(fitted, key=lambda one: one.best_score_["valid_0"]["binary_logloss"])
