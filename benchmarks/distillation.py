"""How much of a RankFormer's gain does a GBDT keep that learns its scores?

On labels and on simulated clicks: the teacher, the same GBDT fitted on the labels, on
the teacher's scores, and both again with labels for a quarter of the lists only, the
others unlabelled. LightGBM at its best of four settings, chosen and stopped on a fifth
of the labelled lists, says whether the teacher beats what labels alone can do. The
share kept is the student's gain over the GBDT on labels, as a share of the teacher's;
it means something only where the teacher wins.

    python benchmarks/distillation.py --data DIR --jobs 2 --publish
"""

import time

import numpy as np
from _compare import in_own_columns, paired_interval, per_list_ndcg
from _data import feedback_of, folds_of, load_lists
from _report import markdown_table, write_results
from _rivals import fit_lightgbm, gbdt
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator

from sklearn_rankformer import RankerAdapter, RankFormerRanker, WithinListScaler
from sklearn_rankformer.distillation import DistilledRanker

SETS = ("synthetic labels", "synthetic clicks", "noisy labels", "mq2008 labels")
SETS += ("mq2008 clicks", "mslr labels", "expedia labels")
LABELLED = (1.0, 0.25)
TUNED = "LightGBM tuned on labels"


def run(name, labelled, seed, data_dir, quick):
    """NDCG@10 of each test list and model, and seconds to predict."""
    source, kind = name.split()
    world = {"n_lists": 200 if quick else 1500, "random_state": seed}
    if source == "noisy":  # labels of items alone, most of them noise
        source, world = "synthetic", {**world, "noise": 2.0, "context_strength": 0.0}
    data = load_lists(source, data_dir, **world)
    folds = folds_of(data, seed // 5)
    rng = np.random.default_rng(seed)
    train, test = folds != seed % 5, folds == seed % 5
    queries = rng.permutation(np.unique(data.groups[train]))
    known = np.isin(data.groups, queries[: round(labelled * len(queries))]) & train
    X, y, groups = feedback_of(data, np.flatnonzero(known), kind, rng)
    more = {}
    if labelled < 1:
        rest = train & ~known
        more = {"X_unlabelled": data.X[rest], "groups_unlabelled": data.groups[rest]}
    new = data.X[test], data.groups[test]
    params = {"random_state": seed, **network_params(quick)}
    teacher = RankFormerRanker(**params).fit(X, y, groups)
    scores, seconds = {}, {}
    models = {"teacher": teacher}
    for student, estimator in students(seed, quick).items():
        models[f"{student} on labels"] = RankerAdapter(estimator).fit(X, y, groups)
        distilled = DistilledRanker(FrozenEstimator(teacher), estimator)
        models[f"{student} distilled"] = distilled.fit(X, groups=groups, **more)
    for model, ranker in models.items():
        scores[model] = ranker.predict(*new)
        seconds[model] = latency(ranker, *new)
    val = np.isin(groups, np.unique(groups)[::5])
    tuned = [(X[part], y[part], groups[part]) for part in (~val, val)]
    scores[TUNED] = fit_lightgbm(*tuned, seed, quick).predict(new[0])
    add_by_hand(scores, X, y, groups, *new, teacher, more, seed, quick)
    y_test, groups_test = data.y[test], data.groups[test]
    ndcg = {m: per_list_ndcg(y_test, s, groups_test) for m, s in scores.items()}
    return {"ndcg": ndcg, "seconds": seconds}


def students(seed, quick):
    """The GBDTs that learn labels or scores, with the same settings for both."""
    n_trees, rate = 20 if quick else 500, 0.05
    return {
        "HistGB": HistGradientBoostingRegressor(
            max_iter=n_trees,
            learning_rate=rate,
            early_stopping=False,
            random_state=seed,
        ),
        "LightGBM": gbdt(
            "LightGBM", n_trees=n_trees, seed=seed, learning_rate=rate, num_leaves=15
        ),
    }


def add_by_hand(scores, X, y, groups, X_new, groups_new, teacher, more, seed, quick):
    """The regressor once more, with z-scores and ranks within the list to see by."""

    def relative(X, groups):
        return WithinListScaler().fit_transform(X, groups=groups)

    seen, new = relative(X, groups), relative(X_new, groups_new)
    soft = _centred(teacher.predict(X, groups), groups)
    X_soft = seen
    if more:
        extra = more["X_unlabelled"], more["groups_unlabelled"]
        soft = np.concatenate([soft, _centred(teacher.predict(*extra), extra[1])])
        X_soft = np.concatenate([seen, relative(*extra)])
    for label, rows, target in (("on labels", seen, y), ("distilled", X_soft, soft)):
        student = students(seed, quick)["HistGB"].fit(rows, target)
        scores[f"HistGB, list features, {label}"] = student.predict(new)


def _centred(scores, groups):
    codes = np.unique(groups, return_inverse=True)[1]
    return scores - (np.bincount(codes, scores) / np.bincount(codes))[codes]


def latency(ranker, X, groups, repeats=7):
    """Median seconds to score one list, and to score all: (one, all)."""
    one = groups == groups[0]
    parts = ((X[one], groups[one]), (X, groups))
    return [np.median([_seconds(ranker, *p) for _ in range(repeats)]) for p in parts]


def _seconds(ranker, X, groups):
    start = time.perf_counter()
    ranker.predict(X, groups)
    return time.perf_counter() - start


def summarise(done):
    """One row per data set, share of labels and GBDT."""
    rows = []
    for (name, labelled), results in by_setting(done, "name", "labelled"):
        runs = [result["ndcg"] for result in results]
        values = {m: in_own_columns([one[m] for one in runs]) for m in runs[0]}
        for student in ("HistGB", "LightGBM", "HistGB, list features,"):
            of_labels, distilled = (
                values[f"{student} {how}"] for how in ("on labels", "distilled")
            )
            row = {"data": name, "labelled": labelled, "gbdt": student.rstrip(",")}
            row["teacher"] = float(np.nanmean(values["teacher"]))
            row["on labels"] = float(np.nanmean(of_labels))
            row["distilled"] = float(np.nanmean(distilled))
            row["tuned"] = float(np.nanmean(values[TUNED]))
            rng = np.random.default_rng(0)
            row["teacher gain"] = paired_interval(values["teacher"], of_labels, rng)
            row["gain"] = paired_interval(distilled, of_labels, rng)
            wins = row["teacher gain"]["low"] > 0
            kept = row["gain"]["difference"] / row["teacher gain"]["difference"]
            row["kept"] = f"{kept:.0%}" if wins else "-"
            row["seeds"] = len(runs)
            rows.append(row)
    return rows


def speeds(done):
    """Median milliseconds to predict, for each data set and model."""
    rows = []
    for (name,), results in by_setting(done, "name"):
        runs = [result["seconds"] for result in results]
        for model in runs[0]:
            one, everything = np.median([run[model] for run in runs], axis=0) * 1000
            row = {"data": name, "model": model, "one": one, "all": everything}
            rows.append(row)
    return rows


def page(rows, times):
    """The Markdown page."""
    columns = {
        "data": "data",
        "labelled": "share labelled",
        "gbdt": "student",
        "teacher": "teacher",
        "on labels": "on labels",
        "distilled": "distilled",
        "teacher gain": "teacher - on labels [95 %]",
        "gain": "distilled - on labels [95 %]",
        "tuned": TUNED,
        "kept": "kept",
        "seeds": "seeds",
    }
    parts = ["NDCG@10 of the true labels; `kept` only where the teacher wins:\n"]
    parts += [markdown_table(rows, columns)]
    parts += ["Milliseconds to predict, one thread:\n"]
    columns = {"data": "data", "model": "model"}
    columns |= {"one": ("one list", ".2f"), "all": ("all lists", ".1f")}
    return "\n".join([*parts, markdown_table(times, columns)])


def main(argv=None):
    """Run, and write the tables."""
    parser = parser_of(__doc__, "distillation")
    add_runs(parser)
    parser.add_argument("--sets", nargs="+", default=SETS)
    args = parse(parser, argv)
    common = {"data_dir": args.data, "quick": args.quick}
    tasks = [
        {"name": name, "labelled": labelled, "seed": seed, **common}
        for seed in range(args.seeds)
        for labelled in LABELLED
        for name in args.sets
    ]
    done = run_jobs(run, tasks, args)
    rows, times = summarise(done), speeds(done)
    text = page(rows, times)
    print(text)
    results = {"rows": rows, "milliseconds": times}
    write_results(args, text, results, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
