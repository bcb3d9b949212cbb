"""Is the predicted value of a list a probability one can act on?

`predict_list_value` gives the chance that a list holds a positive label: a right answer
(WikiQA), an article that is read (EBNeRD), a relevant document (MQ2008), a click where
feedback is simulated. It is measured by Brier score, log-loss and AUC, against the base
rate and LightGBM's classifier on aggregates of the list, and drawn as a reliability
curve. Everyone learns from the same lists and chooses by the same others.

    python benchmarks/list_value.py --data DIR --jobs 2 --publish
"""

import warnings

import numpy as np
from _compare import (
    auc_by_weight,
    in_own_columns,
    log_loss_of,
    paired_interval,
    pooled_interval,
    positive_chance,
)
from _data import (
    OWN_SPLITS,
    feedback_of,
    folds_of,
    list_folds,
    load_lists,
    own_split,
)
from _report import markdown_table, save_figure, write_results
from _rivals import fit_classifier, fit_with_val
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs
from sklearn.calibration import calibration_curve

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer._lists import split_lists

# Runs of each set: one a fold, or one a seed where the split is given.
SETS = {
    "wikiqa answers": 3,
    "ebnerd reads": 3,
    "synthetic labels": 5,
    "mq2008 labels": 5,
    "synthetic clicks": 5,
    "mq2008 clicks": 5,
}
OURS = "RankFormer"


def run(name, seed, data_dir, quick):
    """Outcome of each test list, and every model's probability that it is positive."""
    if name in OWN_SPLITS:
        train, val, test = own_split(name, data_dir, quick)
    else:
        train, val, test = dealt_split(name, seed, data_dir, quick)
    learned, held, new = (is_positive(part) for part in (train, val, test))
    rival = fit_classifier(
        (list_features(*train[::2]), learned),
        (list_features(*val[::2]), held),
        seed,
        quick,
    )
    ranker = RankFormerRanker(random_state=seed, **network_params(quick))
    value = fit_with_val(ranker, train, val).predict_list_value(test[0], test[2])
    return {
        "positive": new,
        "probability": {
            "base rate": np.full(len(new), np.append(learned, held).mean()),
            "LightGBM on aggregates": rival.predict_proba(list_features(*test[::2]))[
                :, 1
            ],
            OURS: positive_chance(value.proba, ranker.levels_),
        },
    }


def dealt_split(name, seed, data_dir, quick):
    """A fold to test; of the others' lists a tenth to choose by, the rest to learn."""
    source, kind = name.split()
    world = {"n_lists": 200 if quick else 1500, "random_state": seed}
    data = load_lists(source, data_dir, **world)
    tested = folds_of(data, seed // 5) == seed % 5
    others, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    held = list_folds(data.groups[others], seed, n_folds=10) == 0
    rng = np.random.default_rng(seed)
    # Each test list once: two selections of its items are not two lists.
    return [
        feedback_of(data, rows, kind, rng, n_repeats)
        for rows, n_repeats in ((others[~held], 2), (others[held], 2), (test, 1))
    ]


def is_positive(part):
    """Whether each list holds a label above 0."""
    return split_lists(part[2]).reduce(np.maximum, part[1]) > 0


def list_features(X, groups):
    """Mean, spread, maximum and minimum of each feature over the list; its log size.

    Missing values are left out; an aggregate of nothing is missing.
    """
    lists = split_lists(groups)
    X = np.asarray(X, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # all missing
        rows = [
            np.concatenate([f(X[one], axis=0) for f in AGGREGATES])
            for one in (lists.rows(np.array([i])) for i in range(lists.n_lists))
        ]
    return np.column_stack([np.array(rows), np.log(lists.lengths)])


AGGREGATES = (np.nanmean, np.nanstd, np.nanmax, np.nanmin)


def summarise(done):
    """One row per data set and model, with the gaps to RankFormer; the curves."""
    rows, curves = [], {}
    for (name,), runs in by_setting(done, "name"):
        positive = np.concatenate([r["positive"] for r in runs])
        for model in runs[0]["probability"]:
            p = np.concatenate([r["probability"][model] for r in runs])
            row = {"data": name, "model": model, "runs": len(runs)}
            row |= {"brier": ((p - positive) ** 2).mean(), "mean": p.mean()}
            row |= {"log_loss": log_loss_of(positive, p).mean()}
            row |= {"share": positive.mean(), "lists": n_tested(name, runs)}
            if model != "base rate":
                row["auc"] = np.mean([auc_of(r, model)(one(r)) for r in runs])
                share, mean = calibration_curve(positive, p, strategy="quantile")
                curves.setdefault(name, {})[model] = {"mean": mean, "share": share}
            if model != OURS:
                row["brier_gap"] = brier_gap(name, runs, model)
                if model != "base rate":
                    row["auc_gap"] = auc_gap(name, runs, model)
            rows.append(row)
    return rows, curves


def n_tested(name, runs):
    """Lists tested: the same ones in each run, or a fold in each."""
    sizes = [len(r["positive"]) for r in runs]
    return sizes[0] if name in OWN_SPLITS else sum(sizes)


def one(result):
    return np.ones(len(result["positive"]))


def auc_of(result, model):
    """AUC of one run, as a function of the lists' weights."""
    return auc_by_weight(result["positive"], result["probability"][model])


def brier_gap(name, runs, model):
    """Brier score of a model above RankFormer's, lists and runs drawn."""
    stack = np.stack if name in OWN_SPLITS else in_own_columns
    losses = [
        stack([(r["probability"][m] - r["positive"]) ** 2 for r in runs])
        for m in (model, OURS)
    ]
    return paired_interval(*losses, np.random.default_rng(0))


def auc_gap(name, runs, model):
    """AUC of RankFormer above a model's, lists and runs drawn."""

    def gap_of(result):
        ours, theirs = auc_of(result, OURS), auc_of(result, model)
        return lambda n: ours(n) - theirs(n)

    return pooled_interval(
        [gap_of(r) for r in runs],
        [len(r["positive"]) for r in runs],
        np.random.default_rng(0),
        shared=name in OWN_SPLITS,
    )


def page(rows):
    """The Markdown page."""
    columns = {
        "data": "data",
        "model": "model",
        "auc": "AUC",
        "auc_gap": "RankFormer's above it by [95 %]",
        "brier": "Brier score",
        "brier_gap": "above RankFormer's by [95 %]",
        "log_loss": "log-loss",
        "mean": ("mean chance", ".3f"),
        "share": ("share positive", ".3f"),
        "lists": "test lists",
        "runs": "runs",
    }
    return markdown_table(rows, columns)


def draw(curves):
    """Reliability curves, one panel per data set."""
    import matplotlib.pyplot as plt

    n_columns = min(3, len(curves))
    n_rows = -(-len(curves) // n_columns)
    size = (3.4 * n_columns, 3.2 * n_rows)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=size, layout="constrained", squeeze=False
    )
    for axis in axes.flat[len(curves) :]:
        axis.remove()
    for axis, (name, models) in zip(axes.flat, curves.items(), strict=False):
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for model, curve in models.items():
            axis.plot(curve["mean"], curve["share"], marker=".", label=model)
        axis.set(title=name, xlabel="predicted chance", ylabel="share positive")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3)
    return figure


def main(argv=None):
    """Run, and write table and figure."""
    parser = parser_of(__doc__, "list_value")
    add_runs(parser)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    args = parse(parser, argv)
    tasks = [
        {"name": name, "seed": seed, "data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
        for name in args.sets
        if name not in OWN_SPLITS or seed < SETS[name]
    ]
    done = run_jobs(run, tasks, args)
    rows, curves = summarise(done)
    text = page(rows)
    print(text)
    results = {"rows": rows, "curves": curves}
    write_results(args, text, results, (len(done), len(tasks)))
    save_figure(args, draw(curves))


if __name__ == "__main__":
    main()
