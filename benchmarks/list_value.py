"""Is the predicted value of a list a probability one can act on?

`predict_list_value` gives the chance that a list holds a positive label (a click, in
simulated feedback). It is measured by the Brier score, against the base rate and
GBDT classifiers on features of the whole list, and drawn as a reliability curve.

    python benchmarks/list_value.py --data DIR --jobs 2 --publish
"""

import numpy as np
from _compare import in_own_columns, paired_interval
from _data import feedback_of, folds_of, load_lists
from _report import markdown_table, save_figure, write_results
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs
from sklearn.calibration import calibration_curve
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer._lists import split_lists

SETS = ("synthetic labels", "synthetic clicks", "mq2008 labels", "mq2008 clicks")
OURS = "RankFormer"


def run(name, seed, data_dir, quick):
    """Outcome of each test list, and every model's probability that it is positive."""
    source, kind = name.split()
    world = {"n_lists": 200 if quick else 1500, "random_state": seed}
    data = load_lists(source, data_dir, **world)
    folds = folds_of(data, seed // 5)
    rng = np.random.default_rng(seed)
    train, test = (
        feedback_of(data, np.flatnonzero(rows), kind, rng, n_repeats)
        # Each test list once: two selections of its items are not two lists.
        for rows, n_repeats in ((folds != seed % 5, 2), (folds == seed % 5, 1))
    )
    positive, new = _is_positive(train), _is_positive(test)
    found = {"base rate": np.full(len(new), positive.mean())}
    params = {"random_state": seed, **network_params(quick)}
    ranker = RankFormerRanker(**params).fit(*train)
    value = ranker.predict_list_value(test[0], test[2])
    found[OURS] = 1 - value.proba[:, ranker.levels_ == 0].sum(axis=1)
    for label, whole in (("means", False), ("means, spread and extremes", True)):
        gbdt = HistGradientBoostingClassifier(
            learning_rate=0.05, early_stopping=True, random_state=seed
        )
        gbdt.fit(list_features(*train[::2], whole), positive)
        probability = gbdt.predict_proba(list_features(*test[::2], whole))[:, 1]
        found[f"GBDT on list {label}"] = probability
    return {"positive": new, "probability": found}


def _is_positive(part):
    return split_lists(part[2]).reduce(np.maximum, part[1]) > 0


def list_features(X, groups, whole):
    """Mean of each feature over the list; with ``whole``, spread and extremes too."""
    lists = split_lists(groups)
    n = lists.lengths
    columns = []
    for x in np.asarray(X, dtype=np.float64).T:
        mean = lists.reduce(np.add, x) / n
        columns.append(mean)
        if whole:
            spread = lists.reduce(np.add, (x - mean[lists.codes]) ** 2) / n
            columns += [np.sqrt(spread)]
            columns += [lists.reduce(ufunc, x) for ufunc in (np.maximum, np.minimum)]
    return np.column_stack([*columns, n])


def summarise(done):
    """One row per data set and model; the Brier score's gap to RankFormer's."""
    rows, curves = [], {}
    for (name,), runs in by_setting(done, "name"):
        positive = np.concatenate([r["positive"] for r in runs])
        stacked = {
            model: np.concatenate([r["probability"][model] for r in runs])
            for model in runs[0]["probability"]
        }
        losses = {m: (p - positive) ** 2 for m, p in stacked.items()}
        ends = np.cumsum([len(r["positive"]) for r in runs])[:-1]
        by_seed = {
            m: in_own_columns(np.split(loss, ends)) for m, loss in losses.items()
        }
        for model, p in stacked.items():
            row = {"data": name, "model": model, "lists": len(p), "seeds": len(runs)}
            row |= {"brier": losses[model].mean(), "mean": p.mean()}
            row["share"] = positive.mean()
            if model != "base rate":
                row["auc"] = roc_auc_score(positive, p)
                share, mean = calibration_curve(positive, p, strategy="quantile")
                curves.setdefault(name, {})[model] = {"mean": mean, "share": share}
            if model != OURS:
                row["gap"] = paired_interval(
                    by_seed[model], by_seed[OURS], np.random.default_rng(0)
                )
            rows.append(row)
    return rows, curves


def page(rows):
    """The Markdown page."""
    columns = {
        "data": "data",
        "model": "model",
        "brier": "Brier score",
        "gap": "above RankFormer's by [95 %]",
        "auc": "AUC",
        "mean": "mean probability",
        "share": "share positive",
        "lists": "lists",
    }
    return markdown_table(rows, columns)


def draw(curves):
    """Reliability curves, one panel per data set."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(curves), figsize=(3 * len(curves), 3.2), layout="constrained"
    )
    for axis, (name, models) in zip(np.atleast_1d(axes), curves.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for model, curve in models.items():
            axis.plot(curve["mean"], curve["share"], marker=".", label=model)
        axis.set(title=name, xlabel="predicted probability", ylabel="share positive")
    figure.legend(
        *axis.get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    return figure


def main(argv=None):
    """Run, and write table and figure."""
    parser = parser_of(__doc__, "list_value")
    add_runs(parser)
    parser.add_argument("--sets", nargs="+", default=SETS)
    args = parse(parser, argv)
    tasks = [
        {"name": name, "seed": seed, "data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
        for name in args.sets
    ]
    done = run_jobs(run, tasks, n_jobs=args.jobs, minutes=args.minutes)
    rows, curves = summarise(done)
    text = page(rows)
    print(text)
    results = {"rows": rows, "curves": curves}
    write_results(args, text, results, (len(done), len(tasks)))
    save_figure(args, draw(curves))


if __name__ == "__main__":
    main()
