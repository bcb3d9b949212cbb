"""Do neural rankers lead where features are many and rich, and lists are many?

The RankFormer paper takes it for granted. Two text sets, WikiQA (questions and the
sentences of a page) and TREC DL (passages), are ranked by hand-made features alone, and
by these with embeddings of the texts beside them, at three sizes. The rival is
LightGBM, each feature also standardised within its list, the best of six settings on
the validation lists.

    python benchmarks/rich_features.py --data DIR --jobs 2 --publish
"""

import numpy as np
from _compare import paired_interval, per_list_ndcg
from _data import folds_of, load_lists, one_fold, parts_of
from _report import markdown_table, write_results
from _rivals import fit_best, fit_with_val, grid_of, with_list_features
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs

from sklearn_rankformer import RankFormerRanker

SETS = ("wikiqa", "trecdl")
# How the names of the columns begin that come from embeddings.
EMBEDDED = "e_"
KINDS = ("hand-made", "+ embeddings")
SHARES = (0.1, 0.3, 1.0)


def run(name, kind, share, model, fold, seed, data_dir, quick):
    """NDCG@10 of each test list, and the sizes of what was learned from."""
    train, val, test = split(name, kind, share, fold, data_dir, quick)
    shape = {"n_lists": len(np.unique(train[2])), "n_features": train[0].shape[1]}
    if model == "RankFormer":
        ranker = RankFormerRanker(random_state=seed, **network_params(quick))
        fit_with_val(ranker, train, val)
        scores = ranker.predict(test[0], groups=test[2])
    else:
        seen, watched, new = with_list_features((train, val, test))
        settings = grid_of("LightGBM", seed)[: 1 if quick else None]
        scores = fit_best(settings, seen, watched).predict(new[0], groups=new[2])
    return {"ndcg": per_list_ndcg(test[1], scores, test[2]), **shape}


def split(name, kind, share, fold, data_dir, quick):
    """A share of the training lists, validation and test lists, with their columns."""
    data = load_lists(name, data_dir)
    embedded = np.char.startswith(data.feature_names, EMBEDDED)
    data.X = data.X[:, ~embedded if kind == "hand-made" else slice(None)]
    learn, val, test = one_fold(folds_of(data), fold)
    ids = np.random.RandomState(0).permutation(np.unique(data.groups[learn]))
    some = ids[: round((0.1 if quick else share) * len(ids))]
    return parts_of(data, np.isin(data.groups, some), val, test)


def summarise(done):
    """One row per set, kind of features and size, with RankFormer's lead."""
    rows = []
    names = ("name", "kind", "share")
    for (name, kind, share), _ in by_setting(done, *names):
        wanted = [name, kind, share]
        here = [one for one in done if [one[0][n] for n in names] == wanted]
        found = {model: results for (model,), results in by_setting(here, "model")}
        theirs = per_seed(here, "LightGBM")
        ours = per_seed(here, "RankFormer")
        row = {"data": name, "features": kind, "RankFormer": np.nanmean(ours)}
        row["n_lists"] = found["RankFormer"][0]["n_lists"]
        row["n_features"] = found["RankFormer"][0]["n_features"]
        row["LightGBM"] = np.nanmean(theirs)
        row["lead"] = paired_interval(
            ours, np.broadcast_to(theirs, ours.shape), np.random.default_rng(0)
        )
        rows.append(row | {"seeds": len(ours)})
    return rows


def per_seed(done, model):
    """Values of all test lists, those of one seed in one row."""
    seeds = {}
    for task, result in done:
        if task["model"] == model:
            seeds.setdefault(task["seed"], []).append(result["ndcg"])
    return np.stack([np.concatenate(folds) for folds in seeds.values()])


def main(argv=None):
    """Run, and write the table."""
    parser = parser_of(__doc__, "rich_features")
    add_runs(parser, seeds=3)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    args = parse(parser, argv)
    tasks = [
        {"name": name, "kind": kind, "share": share, "model": model, "fold": fold}
        | {"seed": seed, "data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
        for name in args.sets
        for kind in KINDS
        for share in SHARES
        for model in ("LightGBM", "RankFormer")
        for fold in range(1 if name == "wikiqa" or args.quick else 5)
        if seed == 0 or model == "RankFormer"  # GBDTs hardly move with their seed
    ]
    done = run_jobs(run, tasks, args)
    rows = summarise(done)
    columns = {
        "data": "data",
        "features": "features",
        "n_features": ("number", "d"),
        "n_lists": ("lists", "d"),
        "RankFormer": "RankFormer",
        "LightGBM": "LightGBM",
        "lead": "RankFormer's lead [95 %]",
        "seeds": "seeds",
    }
    page = markdown_table(rows, columns)
    print(page)
    write_results(args, page, {"rows": rows}, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
