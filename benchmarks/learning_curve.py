"""From how many lists on does a neural ranker beat a tuned GBDT on a real click log?

EBNeRD is a log of news shown and clicked; labels: 0 nothing, 1 click, 2 click and read.
Lists of days 0 to 5 are learned from, in nested samples of rising size; day 6 stops and
chooses; 10,000 lists of the second week test. Networks are single fits of the default,
averaged over seeds at the largest size. GBDTs are the best of several settings on day
6, each with and without every feature also standardised within its list; XGBoost and
CatBoost, slow to tune, up to 10,000 lists.

    python benchmarks/learning_curve.py --data DIR --jobs 2 --publish
"""

import time

import numpy as np
from _compare import paired_interval, per_list_ndcg
from _data import load_lists, parts_by_day, parts_of
from _report import markdown_table, save_figure, write_results
from _rivals import GRIDS, fit_with_val, grid_of, with_list_features
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs

from sklearn_rankformer import MLPRanker, RankFormerRanker

SIZES = (100, 300, 1000, 3000, 10_000, 21_318)
NETWORKS = {"RankFormer": RankFormerRanker, "MLP": MLPRanker}
WITH_LISTS = ", list features"
# How many settings of each library are tried: time decides.
N_TRIED = {"LightGBM": 6, "XGBoost": 2, "CatBoost": 1}
MOST_LISTS = {"XGBoost": 10_000, "CatBoost": 10_000}


def run(model, n_lists, seed, data_dir, quick):
    """NDCG@10 of each test list, and seconds of the fit that was chosen."""
    parts = split(n_lists, data_dir, quick)
    if model.endswith(WITH_LISTS):
        parts = with_list_features(parts)
    train, val, test = parts
    tried = []
    for ranker in candidates(model, seed, quick):
        start = time.perf_counter()
        fit_with_val(ranker, train, val)
        seconds = time.perf_counter() - start
        tried.append((ranker.score(*val), seconds, ranker))
    _, seconds, best = max(tried, key=lambda one: one[0])
    scores = best.predict(test[0], groups=test[2])
    return {"ndcg": per_list_ndcg(test[1], scores, test[2]), "seconds": seconds}


def split(n_lists, data_dir, quick):
    """Training, validation and test lists; smaller samples lie within larger ones."""
    data = load_lists("ebnerd", data_dir)
    ids, first = np.unique(data.groups, return_index=True)
    early, *others = parts_by_day(ids, data.day[first])
    chosen = early[:n_lists], *others
    most = 200 if quick else None
    return parts_of(data, *(np.isin(data.groups, part[:most]) for part in chosen))


def candidates(model, seed, quick):
    """Rankers that are tried; the best on the validation lists is tested."""
    if model in NETWORKS:
        return [NETWORKS[model](random_state=seed, **network_params(quick))]
    library = model.removesuffix(WITH_LISTS)
    return grid_of(library, seed)[: 1 if quick else N_TRIED[library]]


def summarise(done):
    """One row per size and model, with RankFormer's lead over it."""
    rows = []
    for (size,), _ in by_setting(done, "n_lists"):
        here = [one for one in done if one[0]["n_lists"] == size]
        found = {model: results for (model,), results in by_setting(here, "model")}
        ours = np.stack([r["ndcg"] for r in found["RankFormer"]])
        for model, results in found.items():
            theirs = np.stack([r["ndcg"] for r in results])
            row = {"n_lists": size, "model": model, "seeds": len(results)}
            row["ndcg"] = np.nanmean(theirs)
            row["seconds"] = np.median([r["seconds"] for r in results])
            if model != "RankFormer":
                rng = np.random.default_rng(0)
                mean = np.broadcast_to(theirs.mean(axis=0), ours.shape)
                row["lead"] = paired_interval(ours, mean, rng)
            rows.append(row)
    return rows


def draw(rows):
    """Quality and time of a fit against the number of lists."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for model in dict.fromkeys(row["model"] for row in rows):
        here = [row for row in rows if row["model"] == model]
        sizes = [row["n_lists"] for row in here]
        own = model in NETWORKS
        style = {"linewidth": 2.5 if model == "RankFormer" else 1.2}
        style |= {"linestyle": "-" if own or model.endswith(WITH_LISTS) else ":"}
        colour = list(NETWORKS | GRIDS).index(model.removesuffix(WITH_LISTS))
        style |= {"color": f"C{colour}", "marker": "o", "markersize": 4}
        axes[0].plot(sizes, [row["ndcg"] for row in here], label=model, **style)
        axes[1].plot(sizes, [row["seconds"] for row in here], **style)
    for ax in axes:
        ax.set_xscale("log")
        ax.set_xlabel("lists learned from")
    axes[0].set_ylabel("NDCG@10 of the week after")
    axes[1].set_ylabel("seconds of one fit, one thread")
    axes[1].set_yscale("log")
    figure.legend(loc="outside right center", frameon=False)
    return figure


def models():
    """Networks, and each GBDT without and with list features."""
    return [
        *NETWORKS,
        *(f"{name}{kind}" for name in GRIDS for kind in ("", WITH_LISTS)),
    ]


def main(argv=None):
    """Run, write the table, draw the figure."""
    parser = parser_of(__doc__, "learning_curve")
    add_runs(parser, seeds=3)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--models", nargs="+", default=models(), choices=models())
    args = parse(parser, argv)
    tasks = [
        {"model": model, "n_lists": size, "seed": seed}
        | {"data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
        for size in args.sizes
        for model in args.models
        if size <= MOST_LISTS.get(model.removesuffix(WITH_LISTS), size)
        if seed == 0 or (model in NETWORKS and size == max(args.sizes))
    ]
    done = run_jobs(run, tasks, args)
    rows = summarise(done)
    columns = {
        "n_lists": ("lists", "d"),
        "model": "model",
        "ndcg": "NDCG@10",
        "lead": "RankFormer's lead [95 %]",
        "seconds": ("fit s", ".1f"),
        "seeds": "seeds",
    }
    page = markdown_table(rows, columns)
    print(page)
    write_results(args, page, {"rows": rows}, (len(done), len(tasks)))
    save_figure(args, draw(rows))


if __name__ == "__main__":
    main()
