"""Few lists: do as many epochs as `max_epochs="auto"` takes order new lists better?

With few lists 15 epochs are few steps. Too few, where labels follow clearly from the
features; too many already, where they are mostly noise. "auto" finds out. The same
draws of 60 and of 200 lists are learned from by the default, by the default with 15
epochs, and by LightGBM at the best of six settings (a fifth of the lists to choose by;
each feature also standardised within its list). Worlds with clear labels and one with
noisy ones are synthetic, with 500 test lists of 12 items, two of them good; clicks
(EBNeRD), right answers (WikiQA), judgements (MQ2008) and bookings (Expedia) are real.

    python benchmarks/epochs.py --data DIR --jobs 2 --publish
"""

import time
from collections import Counter

import numpy as np
from _compare import paired_interval, per_list_ndcg
from _data import folds_of, load_lists, own_split, parts_of, some_lists
from _report import markdown_table, write_results
from _rivals import fit_best, grid_of, with_list_features
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs
from sklearn.utils import Bunch

from sklearn_rankformer import RankFormerRanker

N_LISTS = (60, 200)
N_POOL, N_TEST, LIST_SIZE, N_GOOD = 1000, 500, 12, 2
# What makes an item good, of standard normal columns.
UTILITIES = {
    "a sum": lambda x: x[..., 0] + x[..., 1],
    "a product": lambda x: x[..., 0] + x[..., 1] + 2 * x[..., 2] * x[..., 3],
    "a sine": lambda x: np.sin(3 * x[..., 0]),
    "steps": lambda x: (
        (x[..., :4] > 0.3).sum(-1)
        + 2.0 * (x[..., 4:6] > 0).all(-1)
        - 2.0 * (x[..., 6:8] > 0).all(-1)
    ),
}
# Name: what is good, number of columns, standard deviation of the noise.
WORLDS = {
    "a sum of two of 20 columns": ("a sum", 20, 0.2),
    "a product": ("a product", 20, 0.2),
    "a product, 500 columns": ("a product", 500, 0.2),
    "a sine": ("a sine", 20, 0.2),
    "steps": ("steps", 20, 0.2),
    "a sum, mostly noise": ("a sum", 20, 3.0),
}
MADE = {"make_ranking": 1.0, "make_ranking, no context": 0.0}
REAL = ("ebnerd clicks", "wikiqa answers", "mq2008", "expedia")
MODELS = ("15 epochs", "auto", "LightGBM")


def run(name, n_lists, model, seed, data_dir, quick):
    """NDCG@10 of each test list, seconds of the fit and epochs taken."""
    pool, (X_test, y_test, groups_test) = pool_and_test(name, data_dir, quick)
    train = some_lists(pool, n_lists, seed)
    start = time.perf_counter()
    if model == "LightGBM":
        ranker, X_test = lightgbm(train, (X_test, y_test, groups_test), seed, quick)
    else:
        params = {"max_epochs": 15} if model == "15 epochs" else {}
        ranker = RankFormerRanker(random_state=seed, **params, **network_params(quick))
        ranker.fit(*train)
    seconds = time.perf_counter() - start
    scores = ranker.predict(X_test, groups=groups_test)
    return {
        "ndcg": per_list_ndcg(y_test, scores, groups_test),
        "seconds": seconds,
        "epochs": getattr(ranker, "max_epochs_", None),
    }


def lightgbm(train, test, seed, quick):
    """LightGBM at its best setting by a fifth of the lists, and the test columns."""
    X, y, groups = train
    drawn = np.random.default_rng(seed).permutation(np.unique(groups))
    held = np.isin(groups, drawn[: len(drawn) // 5])
    parts = [(X[part], y[part], groups[part]) for part in (~held, held)]
    seen, watched, new = with_list_features([*parts, test])
    settings = grid_of("LightGBM", seed)[: 1 if quick else None]
    return fit_best(settings, seen, watched), new[0]


def pool_and_test(name, data_dir, quick):
    """Lists to draw from, and the test lists."""
    if name in WORLDS:
        data = world(*WORLDS[name])
        of_test = data.groups >= N_POOL
    elif name in MADE:
        shape = {"n_lists": N_POOL + N_TEST, "context_strength": MADE[name]}
        data = load_lists("synthetic", **shape, random_state=0)
        of_test = data.groups >= N_POOL
    elif name in ("mq2008", "expedia"):
        data = load_lists(name, data_dir)
        of_test = folds_of(data) == 0
    else:
        pool, _, test = own_split(name, data_dir, quick)
        return pool, test
    return parts_of(data, ~of_test, of_test)


def world(utility, n_columns, noise):
    """Lists of a world."""
    rng = np.random.default_rng(0)
    n = N_POOL + N_TEST
    x = rng.normal(size=(n, LIST_SIZE, n_columns))
    worth = UTILITIES[utility](x) + noise * rng.normal(size=x.shape[:2])
    y = (worth.argsort(1).argsort(1) >= LIST_SIZE - N_GOOD).astype(np.int64)
    groups = np.repeat(np.arange(n), LIST_SIZE)
    return Bunch(X=x.reshape(-1, n_columns), y=y.ravel(), groups=groups)


def summarise(done):
    """One row per data and number of lists."""
    rows = []
    for (name, n_lists), _ in by_setting(done, "name", "n_lists"):
        wanted = name, n_lists
        here = [one for one in done if (one[0]["name"], one[0]["n_lists"]) == wanted]
        found = {model: results for (model,), results in by_setting(here, "model")}
        row = {"data": name, "lists": n_lists}
        ndcg = {}
        for model, results in found.items():
            ndcg[model] = np.stack([one["ndcg"] for one in results])
            row[model] = np.nanmean(ndcg[model])
            row[f"{model} s"] = np.median([one["seconds"] for one in results])
        taken = Counter(one["epochs"] for one in found.get("auto", ()))
        row["epochs"] = ", ".join(f"{n} x {e}" for e, n in sorted(taken.items()))
        if {"auto", "15 epochs"} <= found.keys():
            rng = np.random.default_rng(0)
            row["gain"] = paired_interval(ndcg["auto"], ndcg["15 epochs"], rng)
        rows.append(row | {"draws": len(found[MODELS[0]])})
    return rows


def main(argv=None):
    """Run, and write the table."""
    parser = parser_of(__doc__, "epochs")
    add_runs(parser, seeds=3)
    names = (*WORLDS, *MADE, *REAL)
    parser.add_argument("--sets", nargs="+", default=names, choices=names)
    args = parse(parser, argv)
    tasks = [
        {"name": name, "n_lists": n, "model": model, "seed": seed}
        | {"data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
        for name in args.sets
        for n in (N_LISTS[:1] if args.quick else N_LISTS)
        for model in MODELS
    ]
    done = run_jobs(run, tasks, args)
    rows = summarise(done)
    columns = {
        "data": "data",
        "lists": "lists",
        "15 epochs": "15 epochs",
        "auto": '"auto"',
        "gain": "gain [95 %]",
        "epochs": "draws x epochs",
        "LightGBM": "LightGBM",
        "15 epochs s": ("15 epochs, s", ".1f"),
        "auto s": ('"auto", s', ".1f"),
        "LightGBM s": ("LightGBM, s", ".1f"),
        "draws": "draws",
    }
    page = markdown_table(rows, columns)
    print(page)
    write_results(args, page, {"rows": rows}, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
