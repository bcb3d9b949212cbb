"""Is an order as sure as it is said to be?

Worlds of `make_ranking`, where the noise-free utility says which item is better. Three
sources of the chance that one item belongs above another are held against it and
against the labels, on lists that nobody has seen:

- votes: the share of the network's members that score it higher;
- normal: the mean lead over its standard deviation among the members, as a normal
  deviate;
- `inspection.rank_uncertainty`, its temperature fitted by the labels of 100 held-out
  lists, or 30 of them: for RankFormer, for LightGBM, and for both together;

and beside them the logistic function of the mean lead alone, likewise fitted, which
knows nothing of members. Of the intervals of ranks, the share is counted that holds the
rank by utility.

    python benchmarks/rank_uncertainty.py --seeds 3 --jobs 2 --publish
"""

import numpy as np
from _compare import log_loss_of
from _report import markdown_table, write_results
from _rivals import gbdt
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs
from scipy import special  # a bare ndtr cannot go to another process

from sklearn_rankformer import RankerAdapter, RankFormerRanker
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.inspection import rank_uncertainty

WORLDS = ((100, 1.0), (400, 1.0), (400, 0.0))  # training lists, context strength
N_VAL, N_FEW, N_TEST = 100, 30, 200
COVERAGE = 0.9
OURS = "RankFormer, rank_uncertainty"
FEW = f"RankFormer, rank_uncertainty on {N_FEW} lists"
NORMAL = "RankFormer, normal"
EDGES = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])


def run(n_train, strength, seed, quick):
    """Chances of all pairs of the test lists, their outcomes, and covered ranks."""
    n_val, n_test = (20, 20) if quick else (N_VAL, N_TEST)
    X, y, groups, utility = make_ranking(
        n_lists=n_train + n_val + n_test,
        context_strength=strength,
        return_utility=True,
        random_state=seed,
    )
    train = groups < n_train
    val = (groups >= n_train) & (groups < n_train + n_val)
    network = RankFormerRanker(random_state=seed, **network_params(quick))
    trees = RankerAdapter(gbdt("LightGBM", n_trees=100, seed=seed))
    for ranker in (network, trees):
        ranker.fit(X[train], y[train], groups=groups[train])
    few = val & (groups < n_train + N_FEW)
    kinds = {
        OURS: network,
        FEW: network,
        "LightGBM, rank_uncertainty": trees,
        "both, rank_uncertainty": [network, trees],
        "RankFormer, mean lead alone": _MeanOnly(network),
    }
    fitted = {}
    for name, one in kinds.items():
        on = few if name == FEW else val
        held = {"X_val": X[on], "y_val": y[on], "groups_val": groups[on]}
        found = rank_uncertainty(one, X, groups, 0, **held)
        fitted[name] = found.temperature
    parts = []
    for j in np.unique(groups[groups >= n_train + n_val]):
        rows = groups == j
        parts.append(of_list(kinds, fitted, X[rows], y[rows], utility[rows], seed))
    return {
        "temperature": {name: t.tolist() for name, t in fitted.items()},
        "pairs": joined([pairs for pairs, _ in parts]),
        "ranks": joined([ranks for _, ranks in parts]),
    }


class _MeanOnly:
    """A ranker whose members are hidden."""

    def __init__(self, ranker):
        self.ranker = ranker

    def predict(self, X, groups):
        return self.ranker.predict(X, groups=groups)


def of_list(kinds, fitted, X, y, utility, seed):
    """Chances and outcomes of the pairs of one list, and the fate of its ranks."""
    n, groups = len(y), np.zeros(len(y), dtype=int)
    above, below = np.triu_indices(n, 1)
    true_rank = 1 + np.argsort(np.argsort(-utility))
    pairs = {
        "better": utility[above] > utility[below],
        "higher": np.sign(y[above] - y[below]),
    }
    ranks = {"size": np.full(n, n)}
    for name, ranker in kinds.items():
        found = rank_uncertainty(
            ranker,
            X,
            groups,
            0,
            temperature=fitted[name],
            coverage=COVERAGE,
            random_state=seed,
        )
        place = np.argsort(found.rows)
        pairs[name] = found.proba[place][:, place][above, below]
        rank = true_rank[found.rows]
        ranks[f"{name}: inside"] = (found.low <= rank) & (rank <= found.high)
        ranks[f"{name}: width"] = (found.high - found.low + 1) / n
    scores = member_scores(kinds[OURS], X)
    leads = scores[:, above] - scores[:, below]
    pairs["RankFormer, votes"] = (leads > 0).mean(0)
    spread = np.maximum(leads.std(0, ddof=1), 1e-12) if len(leads) > 1 else 1.0
    pairs[NORMAL] = special.ndtr(leads.mean(0) / spread)
    return pairs, ranks


def member_scores(ranker, X):
    """Scores of one list by each member of the network."""
    rows, lists, model = ranker._check_new_rows(X, np.zeros(len(X), int), None, "")
    return model.member_scores(rows, lists).astype(float)


def joined(parts):
    """The same arrays of all lists, one after the other."""
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


def judge(chance, outcome):
    """Log-loss of the chances, and how far they are off, in bins, on average."""
    sure, right = np.maximum(chance, 1 - chance), outcome == (chance > 0.5)
    right = np.where(chance == 0.5, 0.5, right)
    bins = np.clip(np.searchsorted(EDGES, sure, side="right") - 1, 0, len(EDGES) - 2)
    count = np.bincount(bins, minlength=len(EDGES) - 1)
    said = np.bincount(bins, sure, len(EDGES) - 1) / np.maximum(count, 1)
    came = np.bincount(bins, right, len(EDGES) - 1) / np.maximum(count, 1)
    return {
        "log_loss": log_loss_of(outcome, chance).mean(),
        "off": (count * np.abs(said - came)).sum() / count.sum(),
        "said": said,
        "came": came,
        "share": count / count.sum(),
    }


def summarise(done):
    """Rows of both tables: one per world and source, and one per bin."""
    rows, bins = [], []
    for (n_train, strength), results in by_setting(done, "n_train", "strength"):
        world = {"lists": n_train, "context": strength, "seeds": len(results)}
        pairs, ranks = (joined([r[k] for r in results]) for k in ("pairs", "ranks"))
        differ = pairs["higher"] != 0
        for name in [n for n in pairs if n not in ("better", "higher")]:
            row = {**world, "source": name}
            by_utility = judge(pairs[name], pairs["better"])
            by_label = judge(pairs[name][differ], pairs["higher"][differ] > 0)
            for kind, found in (("utility", by_utility), ("label", by_label)):
                row |= {f"{kind}_{key}": found[key] for key in ("log_loss", "off")}
            if f"{name}: inside" in ranks:
                row["inside"] = ranks[f"{name}: inside"].mean()
                row["width"] = ranks[f"{name}: width"].mean()
                fits = [r["temperature"][name] for r in results]
                row["temperature"] = np.mean(fits, axis=0)
            rows.append(row)
        bins += reliability(world, pairs, differ)
    return rows, bins


def reliability(world, pairs, differ):
    """One row per bin of chances: how many pairs of different labels came as said."""
    outcome = pairs["higher"][differ] > 0
    ours, normal = (judge(pairs[name][differ], outcome) for name in (OURS, NORMAL))
    rows = []
    for b in range(len(EDGES) - 1):
        row = {**world, "bin": f"{EDGES[b]:g} to {EDGES[b + 1]:g}"}
        for kind, found in (("ours", ours), ("normal", normal)):
            row |= {f"{kind}_{k}": found[k][b] for k in ("share", "said", "came")}
        rows.append(row)
    return rows


def page(rows, bins):
    """The Markdown page."""
    by_source = {
        "lists": "lists",
        "context": ("context", "g"),
        "source": "source of the chance",
        "label_log_loss": ("log-loss, labels", ".3f"),
        "label_off": ("off by", ".3f"),
        "utility_log_loss": ("log-loss, utility", ".3f"),
        "utility_off": ("off by", ".3f"),
        "inside": (f"ranks in their {COVERAGE:.0%} interval", ".1%"),
        "width": ("width, share of the list", ".2f"),
    }
    by_bin = {
        "lists": "lists",
        "context": ("context", "g"),
        "bin": "chance of the likelier order",
        "ours_share": ("rank_uncertainty: pairs", ".1%"),
        "ours_said": ("mean chance", ".3f"),
        "ours_came": ("right", ".3f"),
        "normal_share": ("normal: pairs", ".1%"),
        "normal_said": ("mean chance", ".3f"),
        "normal_came": ("right", ".3f"),
    }
    return f"{markdown_table(rows, by_source)}\n{markdown_table(bins, by_bin)}"


def main(argv=None):
    """Run, and write the tables."""
    parser = parser_of(__doc__, "rank_uncertainty")
    add_runs(parser, seeds=3)
    args = parse(parser, argv)
    worlds = ((40, 1.0),) if args.quick else WORLDS
    tasks = [
        {"n_train": n, "strength": s, "seed": seed, "quick": args.quick}
        for seed in range(args.seeds)
        for n, s in worlds
    ]
    done = run_jobs(run, tasks, args)
    rows, bins = summarise(done)
    text = page(rows, bins)
    print(text)
    write_results(args, text, {"rows": rows, "bins": bins}, (len(done), len(tasks)))


if __name__ == "__main__":
    main()
