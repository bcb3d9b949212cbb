"""From which strength of context on does a listwise model pay?

`make_ranking(context_strength=...)` is swept from 0, where each item is as relevant in
any list, upwards. LightGBM competes twice: on the features as they are, and with each
feature's z-score and rank within its list beside it, the best it can be given by hand.

    python benchmarks/context_crossing.py --jobs 2 --publish
"""

import numpy as np
from _compare import in_own_columns, paired_interval, per_list_ndcg
from _data import list_folds, load_lists, parts_of
from _report import markdown_table, save_figure, write_results
from _rivals import fit_lightgbm, fit_with_val, with_list_features
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs

from sklearn_rankformer import MLPRanker, RankFormerRanker

STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
BY_HAND = "LightGBM, list features"


def run(strength, seed, n_lists, quick):
    """NDCG@10 of each test list and model, in one world."""
    world = {"n_lists": n_lists, "context_strength": strength, "random_state": seed}
    data = load_lists("synthetic", **world)
    folds = list_folds(data.groups, seed)
    train, val, test = parts_of(data, folds >= 2, folds == 1, folds == 0)
    X_test, y_test, groups_test = test
    found = {}
    params = {"random_state": seed, **network_params(quick)}
    for name, ranker in {
        "RankFormer": RankFormerRanker(**params),
        "MLP": MLPRanker(**params),
    }.items():
        fit_with_val(ranker, train, val)
        found[name] = ranker.predict(X_test, groups_test)
    found["LightGBM"] = fit_lightgbm(train, val, seed, quick).predict(X_test)
    seen, watched, new = with_list_features((train, val, test), with_rank=True)
    found[BY_HAND] = fit_lightgbm(seen, watched, seed, quick).predict(new[0])
    found["noise-free utility"] = data.utility[folds == 0]
    return {
        n: per_list_ndcg(y_test, scores, groups_test) for n, scores in found.items()
    }


def summarise(done):
    """One row per strength and model, with RankFormer's lead over it."""
    rows = []
    for (strength,), worlds in by_setting(done, "strength"):
        for model in worlds[0]:
            values = in_own_columns([world[model] for world in worlds])
            row = {"strength": strength, "model": model, "seeds": len(worlds)}
            row["ndcg"] = float(np.nanmean(values))
            if model not in ("RankFormer", "noise-free utility"):
                ours = in_own_columns([world["RankFormer"] for world in worlds])
                rng = np.random.default_rng(0)
                row["lead"] = paired_interval(ours, values, rng)
            rows.append(row)
    return rows


def crossing(rows):
    """Lowest strength from which on RankFormer leads beyond the interval, or None."""
    ahead = {r["strength"]: r["lead"]["low"] > 0 for r in rows if r["model"] == BY_HAND}
    lowest = None
    for strength in sorted(ahead, reverse=True):
        if not ahead[strength]:
            break
        lowest = strength
    return lowest


def page(rows):
    """The Markdown page."""
    columns = {
        "strength": "context strength",
        "model": "model",
        "ndcg": "NDCG@10",
        "lead": "RankFormer's lead [95 %]",
        "seeds": "worlds",
    }
    lowest = crossing(rows)
    result = (
        f"From context strength {lowest:g} on, RankFormer is significantly better than "
        f"LightGBM with list features.\n"
        if lowest is not None
        else "At no strength up to the largest is RankFormer significantly better than "
        "LightGBM with list features.\n"
    )
    return f"{result}\n{markdown_table(rows, columns)}"


def draw(rows):
    """NDCG against the strength of context."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for model in dict.fromkeys(row["model"] for row in rows):
        points = [(r["strength"], r["ndcg"]) for r in rows if r["model"] == model]
        style = "k:" if model == "noise-free utility" else "o-"
        axis.plot(*zip(*points, strict=True), style, label=model)
    axis.set(xlabel="context strength", ylabel="NDCG@10")
    axis.legend()
    return figure


def main(argv=None):
    """Run, and write table and figure."""
    parser = parser_of(__doc__, "context_crossing")
    add_runs(parser)
    parser.add_argument("--lists", type=int, default=2000, help="3/5 of them to train")
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS)
    args = parse(parser, argv)
    n_lists = 150 if args.quick else args.lists
    tasks = [
        {"strength": s, "seed": seed, "n_lists": n_lists, "quick": args.quick}
        for seed in range(args.seeds)
        for s in args.strengths
    ]
    done = run_jobs(run, tasks, args)
    done.sort(key=lambda one: one[0]["strength"])
    rows = summarise(done)
    text = page(rows)
    print(text)
    results = {"rows": rows, "crossing": crossing(rows)}
    write_results(args, text, results, (len(done), len(tasks)))
    save_figure(args, draw(rows))


if __name__ == "__main__":
    main()
