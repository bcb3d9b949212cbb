"""Is the predicted value of an item a probability, comparable between lists?

`predict_item_value` gives the chance that an item's label is positive: a sentence that
answers (WikiQA), an article that is clicked (EBNeRD). It is measured over all items by
log-loss, Brier score and AUC, and by NDCG@10 of the order that follows from it, against
LightGBM's classifier on the rows, raw and with isotonic regression on the lists that
everyone chooses by.

    python benchmarks/item_value.py --data DIR --jobs 2 --publish
"""

import numpy as np
from _compare import (
    auc_by_weight,
    log_loss_of,
    paired_interval,
    per_list_ndcg,
    pooled_interval,
    positive_chance,
)
from _data import own_split
from _report import markdown_table, write_results
from _rivals import fit_classifier, fit_with_val
from _run import add_runs, network_params, parse, parser_of, run_jobs
from sklearn.isotonic import IsotonicRegression

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer._lists import split_lists

SETS = ("wikiqa answers", "ebnerd clicks")
OURS = "RankFormer"

# Isotonic regression gives 0 and 1, which one wrong item makes infinitely bad.
SUREST = 1e-4


def run(name, model, seed, data_dir, quick):
    """Outcome and list of each test item, and a model's chance of a positive."""
    parts = own_split(name, data_dir, quick)
    chances = {"RankFormer": by_network, "LightGBM": by_rivals}[model]
    test = parts[2]
    return {
        "positive": test[1],
        "groups": test[2],
        "probability": chances(*parts, seed, quick),
    }


def by_network(train, val, test, seed, quick):
    """Chances by the default, which holds nothing out but ``val``."""
    ranker = RankFormerRanker(random_state=seed, **network_params(quick))
    value = fit_with_val(ranker, train, val).predict_item_value(test[0], test[2])
    return {OURS: positive_chance(value.proba, value.levels)}


def by_rivals(train, val, test, seed, quick):
    """Chances without a network."""
    rival = fit_classifier(train[:2], val[:2], seed, quick)
    raw, held = (rival.predict_proba(part[0])[:, 1] for part in (test, val))
    bounds = {"y_min": SUREST, "y_max": 1 - SUREST}
    isotonic = IsotonicRegression(out_of_bounds="clip", **bounds).fit(held, val[1])
    return {
        "base rate": np.full(len(raw), np.append(train[1], val[1]).mean()),
        "LightGBM": raw,
        "LightGBM, isotonic": isotonic.predict(raw),
    }


# Measures over all items, each as a function of the items' weights.


def auc(result, model):
    return auc_by_weight(result["positive"], result["probability"][model])


def brier(result, model):
    return _mean_of((result["probability"][model] - result["positive"]) ** 2)


def log_loss(result, model):
    return _mean_of(log_loss_of(result["positive"], result["probability"][model]))


def _mean_of(loss):
    return lambda weight: weight @ loss / weight.sum()


MEASURES = {"log_loss": log_loss, "brier": brier, "auc": auc}


def summarise(done):
    """One row per data set and model, with its gaps to RankFormer."""
    rows = []
    for name in dict.fromkeys(task["name"] for task, _ in done):
        runs = by_seed([one for one in done if one[0]["name"] == name])
        weight = np.ones(len(runs[0]["positive"]))
        for model in runs[0]["probability"]:
            row = {
                "data": name,
                "model": model,
                "runs": len(runs) if model == OURS else 1,
            }
            row |= {"items": len(weight), "share": runs[0]["positive"].mean()}
            row["mean"] = np.mean([r["probability"][model].mean() for r in runs])
            ranks = model != "base rate"
            for key, measure in MEASURES.items():
                if key != "auc" or ranks:
                    row[key] = np.mean([measure(r, model)(weight) for r in runs])
                    if model != OURS:
                        row[f"{key}_gap"] = gap(runs, model, measure)
            if ranks:
                row |= order(runs, model)
            rows.append(row)
    return rows


def by_seed(done):
    """What was found with each seed of the network, beside the rivals' one seed."""
    rivals = next(r["probability"] for t, r in done if t["model"] == "LightGBM")
    return [
        {**result, "probability": {**rivals, **result["probability"]}}
        for task, result in done
        if task["model"] == OURS
    ]


def gap(runs, model, measure):
    """A model's measure above RankFormer's, lists and seeds drawn."""
    lists = split_lists(runs[0]["groups"])

    def gap_of(result):
        ours, theirs = measure(result, OURS), measure(result, model)
        return lambda n: theirs(n[lists.codes]) - ours(n[lists.codes])

    return pooled_interval(
        [gap_of(r) for r in runs],
        [lists.n_lists] * len(runs),
        np.random.default_rng(0),
        shared=True,
    )


def order(runs, model):
    """NDCG@10 of the order by chance, and above RankFormer's by how much."""
    theirs, ours = (
        np.stack(
            [
                per_list_ndcg(r["positive"], r["probability"][m], r["groups"])
                for r in runs
            ]
        )
        for m in (model, OURS)
    )
    row = {"ndcg": np.nanmean(theirs)}
    if model != OURS:
        row["ndcg_gap"] = paired_interval(theirs, ours, np.random.default_rng(0))
    return row


def page(rows):
    """The Markdown page: the measures, then the gaps."""
    columns = {
        "data": "data",
        "model": "model",
        "log_loss": "log-loss",
        "brier": "Brier score",
        "auc": "AUC",
        "ndcg": "NDCG@10",
        "mean": "mean chance",
        "share": "share positive",
        "items": "test items",
        "runs": "runs",
    }
    gaps = {"data": "data", "model": "above RankFormer's by [95 %]"}
    gaps |= {f"{key}_gap": columns[key] for key in (*MEASURES, "ndcg")}
    others = [row for row in rows if row["model"] != OURS]
    return f"{markdown_table(rows, columns)}\n{markdown_table(others, gaps)}"


def main(argv=None):
    """Run, and write the tables."""
    parser = parser_of(__doc__, "item_value")
    add_runs(parser, seeds=3)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    args = parse(parser, argv)
    common = {"data_dir": args.data, "quick": args.quick}
    tasks = [
        {"name": name, "model": model, "seed": seed, **common}
        for seed in range(args.seeds)
        for name in args.sets
        for model in ("LightGBM", OURS)
        if seed == 0 or model == OURS  # GBDTs hardly move with their seed
    ]
    done = run_jobs(run, tasks, args)
    rows = summarise(done)
    text = page(rows)
    print(text)
    write_results(args, text, {"rows": rows}, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
