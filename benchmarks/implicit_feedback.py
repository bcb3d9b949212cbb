r"""What lists without clicks are worth: trained on simulated clicks, judged by truth.

Users of the RankFormer paper's model see selections of at most 16 items of lists with
relevance labels. Rankers learn their clicks and purchases, and are judged on other
lists by the relevance behind the clicks, and by clicks. One factor is varied at a time:
the weight of the listwide loss, the share of lists without clicks, the number of lists.

    python benchmarks/implicit_feedback.py --sets synthetic --quick
    python benchmarks/implicit_feedback.py --data DIR --jobs 2 --publish
    python benchmarks/implicit_feedback.py --sets scarce --seeds 10 --first-seed 40 \
        --name implicit_feedback_confirmed --publish

Wherever the share is varied, the lists with clicks stay as many: the question is what
the others add. Seed s tests fold s of the data, or a world of its own if synthetic;
worlds from 40 on confirm, or do not, what the first 40 of "scarce" suggest.

The set "scarce" is a synthetic world made for lists without clicks to tell something:
few lists with clicks, four times as many without, items of a list much alike, no
context. There a linear choice model is fitted beside the networks: what it gains says
how much there is to be had. The set "expedia" is not simulated: its own clicks and
bookings teach and judge.

Networks have two members here, half of the default, for the sake of more seeds, and 15
epochs, so that weights are compared over the same number of steps.
"""

import numpy as np
import torch
from _compare import paired_interval, per_list_ndcg
from _data import folds_of, load_lists, parts_of, simulated_clicks
from _report import markdown_table, save_figure, write_results
from _rivals import fit_lightgbm, fit_with_val
from _run import add_runs, network_params, parse, parser_of, run_jobs

from sklearn_rankformer import MLPRanker, RankFormerRanker
from sklearn_rankformer._categories import find_categories
from sklearn_rankformer._columns import learn_columns

SETS = ("synthetic", "scarce", "mq2008", "mslr", "expedia")
WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
SIZES = (0.1, 0.25, 0.5, 0.75, 1.0)
SHARES = (0.0, 0.5, 0.8)
LIST_SIGNALS = (0.0, 0.5, 1.0)
CENTRE = {"weight": 0.25, "share": 0.5, "size": 1.0, "list_signal": 1.0}
# What `make_ranking` is given beside the defaults, for each synthetic set.
WORLDS = {"synthetic": {}, "scarce": {"list_share": 0.7, "context_strength": 0.0}}
SCARCE = {"share": 0.8, "n_clicked": 60}
SCARCE_WEIGHTS = (0.0, 0.25, 1.0, 4.0)
SCARCE_SEEDS = 8  # times as many as elsewhere: few lists make noisy fits
NAMES = {"true": "true relevance", "clicks": "clicks"}


def tasks_of(name, first, seeds, options):
    """All settings for one data set, seed after seed, the centre first."""
    times = SCARCE_SEEDS if name == "scarce" and not options["quick"] else 1
    settings = [{}]
    if name not in ("scarce", "expedia"):
        settings += [{"share": share} for share in SHARES if share != CENTRE["share"]]
        settings += [{"size": size} for size in SIZES if size != CENTRE["size"]]
    if name == "synthetic":
        settings += [{"list_signal": signal} for signal in LIST_SIGNALS[:-1]]
    return [
        {"name": name, **options, "seed": seed, "varied": one}
        for seed in range(first, first + times * seeds)
        for one in settings
    ]


def centre_of(name):
    """Settings of a data set where none is varied."""
    return {**CENTRE, **SCARCE} if name == "scarce" else CENTRE


def run(name, seed, varied, data_dir, n_clicked, quick):
    """Train every model in one setting; per query and model, NDCG@10 of both kinds."""
    if name == "expedia":
        return run_own(name, seed, data_dir, quick)
    at = {"n_clicked": n_clicked, **centre_of(name), **varied}
    world = {"n_lists": 200 if quick else 1000, "list_signal": at["list_signal"]}
    world |= {"random_state": seed, **WORLDS.get(name, {})}
    data = load_lists("synthetic" if name in WORLDS else name, data_dir, **world)
    folds = folds_of(data, seed // 5)
    rng = np.random.default_rng(seed)
    test = _simulate(data, np.flatnonzero(folds == seed % 5), 5, rng)
    queries = np.unique(data.groups[folds != seed % 5])
    queries = rng.permutation(queries)[: max(20, round(at["size"] * len(queries)))]
    pool = _simulate(data, np.flatnonzero(np.isin(data.groups, queries)), 10, rng)
    pool = _with_share(pool, round(at["size"] * at["n_clicked"]), at["share"], rng)
    chosen = np.isin(pool.query, queries[: len(queries) // 7 + 1])
    train, val = _rows(data, pool, ~chosen), _rows(data, pool, chosen)
    found = {}
    models = scarce if name == "scarce" else fitted
    for model, ranker in models(train, val, seed, varied, quick):
        scores = ranker.predict(data.X[test.rows], test.groups)
        found[model] = _judge(data.y[test.rows], scores, test)
    first = pool.labels[np.unique(pool.groups, return_index=True)[1]]
    return {"ndcg": found, "n_lists": len(first), "n_rows": len(pool.rows)}


def run_own(name, seed, data_dir, quick):
    """Train on the labels that real users gave, and judge by them."""
    data = load_lists(name, data_dir)
    folds = folds_of(data, seed // 5)
    test, val = folds == seed % 5, folds == (seed + 1) % 5
    train, val, (X, y, groups) = parts_of(data, ~test & ~val, val, test)
    found, ids = {}, np.unique(groups).tolist()
    for model, ranker in fitted(train, val, seed, {}, quick):
        values = per_list_ndcg(y, ranker.predict(X, groups), groups).tolist()
        found[model] = {"clicks": dict(zip(ids, values, strict=True))}
    return {"ndcg": found, "n_lists": len(np.unique(train[2])), "n_rows": len(train[1])}


def _simulate(data, rows, n_repeats, rng):
    """Show selections of these rows; ``query`` is the list they were drawn from."""
    shown = simulated_clicks(data, rows, n_repeats, rng)
    shown.query = data.groups[shown.rows]
    return shown


def _with_share(shown, n_clicked, share, rng):
    """Keep at most so many lists with clicks, and others to make up the share.

    The lists with clicks are the same whatever the share.
    """
    best = np.maximum.reduceat(
        shown.labels, np.unique(shown.groups, return_index=True)[1]
    )
    clicked, empty = (rng.permutation(np.flatnonzero(c)) for c in (best > 0, best == 0))
    most = int(len(empty) * (1 - max(SHARES)) / max(SHARES))
    clicked = clicked[: min(n_clicked, most)]
    empty = empty[: round(len(clicked) * share / (1 - share))]
    ids = np.unique(shown.groups)[np.concatenate([clicked, empty])]
    kept = np.isin(shown.groups, ids)
    for name in ("rows", "groups", "labels", "query"):
        shown[name] = shown[name][kept]
    return shown


def _rows(data, shown, chosen):
    return data.X[shown.rows[chosen]], shown.labels[chosen], shown.groups[chosen]


def _judge(y, scores, test):
    """NDCG@10 of each query, the mean of its selections; by truth and by clicks."""
    first = np.unique(test.groups, return_index=True)[1]
    ids, query = np.unique(test.query[first], return_inverse=True)
    found = {}
    for kind, labels in (("true", y), ("clicks", test.labels)):
        values = per_list_ndcg(labels, scores, test.groups)
        counted = ~np.isnan(values)
        n = np.bincount(query[counted], minlength=len(ids))
        total = np.bincount(query[counted], values[counted], minlength=len(ids))
        mean = np.where(n > 0, total / np.maximum(n, 1), np.nan)
        found[kind] = dict(zip(ids.tolist(), mean.tolist(), strict=True))
    return found


# The models --------------------------------------------------------------------------


def fitted(train, val, seed, varied, quick):
    """Yield (name, fitted ranker) for each model of the setting."""
    weights = (0.0, CENTRE["weight"]) if varied or quick else WEIGHTS
    params = members(seed, quick)
    rankers = rankformers(weights, params)
    rankers["MLP"] = MLPRanker(**params)
    for name, ranker in rankers.items():
        yield name, fit_with_val(ranker, train, val)
    if not varied:
        ranker = published_ranker(train[0].shape[1], params)
        yield "published settings", fit_with_val(ranker, _raised(train), _raised(val))
    yield "LightGBM", fit_lightgbm(train, val, seed, quick)


def members(seed, quick):
    """Parameters that all networks here have in common."""
    same = {"n_members": 2, "max_epochs": 15}
    return {"random_state": seed, **same, **network_params(quick)}


def rankformers(weights, params):
    """One ranker for each listwide weight."""
    return {
        f"RankFormer {weight:g}": RankFormerRanker(listwide_weight=weight, **params)
        for weight in weights
    }


def scarce(train, val, seed, varied, quick):
    """Yield (name, fitted ranker): the networks, and the linear choice model."""
    params = members(seed, quick)
    for name, ranker in rankformers(SCARCE_WEIGHTS, params).items():
        yield name, fit_with_val(ranker, train, val)
    for weight in (0.0, 1.0):
        yield f"linear {weight:g}", LinearChoice(weight).fit(*train)


class LinearChoice:
    """Multinomial logit with an outside option: to click nothing.

    An item's score is linear in the normal scores of its features and their absolute
    values: just the form that item relevance has in `make_ranking`. The softmax of the
    scores says which item is clicked; whether any is, their logsumexp beside the
    outside option's worth (McFadden 1974).
    """

    RIDGE = 0.02

    def __init__(self, weight):
        self.weight = weight

    def fit(self, X, y, groups):
        """Fit all parameters at once by LBFGS."""
        self.columns = learn_columns(
            find_categories(X, None), X, quantiles=True, seed=0
        )
        x = self._features(X)
        codes = torch.from_numpy(np.unique(groups, return_inverse=True)[1])
        gains = torch.from_numpy(2.0**y - 1)
        total = _sum_by(codes, gains)
        clicked, target = total > 0, gains / total.clamp(min=1e-9)[codes]
        self.slope = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
        outside = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [self.slope, outside], max_iter=200, line_search_fn="strong_wolfe"
        )

        def loss():
            optimizer.zero_grad()
            scores = x @ self.slope
            top = scores.detach().max()  # one for all lists: the slopes are small
            lse = _sum_by(codes, (scores - top).exp()).log() + top
            order = -(target * (scores - lse[codes])).sum() / clicked.sum()
            value = torch.nn.functional.binary_cross_entropy_with_logits(
                outside[0] * lse + outside[1], clicked.double()
            )
            total = order + self.weight * value + self.RIDGE * (self.slope**2).sum()
            total.backward()
            return total

        optimizer.step(loss)
        return self

    def predict(self, X, groups):
        """Scores of items, which do not depend on their lists."""
        return (self._features(X) @ self.slope.detach()).numpy()

    def _features(self, X):
        x = torch.from_numpy(self.columns.transform(X)).double()
        return torch.cat([x, x.abs()], 1)


def _sum_by(codes, values):
    zeros = torch.zeros(int(codes.max()) + 1, dtype=values.dtype)
    return zeros.index_add(0, codes, values)


def published_loss(scores, gains, mask, weights):
    """Softmax loss with raw labels for weights, divided by the length of the list.

    ``weights`` holds the scale that makes a batch's sum a mean over lists.
    """
    lowest = torch.finfo(scores.dtype).min
    log_p = scores.masked_fill(~mask, lowest).log_softmax(-1).masked_fill(~mask, 0.0)
    gains = (weights * gains).masked_fill(~mask, 0.0)
    return -(gains * log_p).sum(-1) / mask.sum(-1).clamp(min=1)


def published_ranker(n_features, params):
    """The published code's settings, as far as the parameters of the package reach.

    One head, three layers of the features' own width, raw labels, strength 1, its
    dropout, weight decay and peak learning rate. What remains ours: a linear input map
    of that width, gates on context, the token's size, normalisation without parameters,
    ReLU, 15 epochs of small batches with a schedule of ours, clipping, early stopping.
    """
    return RankFormerRanker(
        loss=published_loss,
        gain="linear",
        listwide_weight=1.0,
        d_model=n_features,
        nhead=1,
        num_layers=3,
        dim_feedforward=512,
        dropout=0.25,
        feature_dropout=0.0,
        n_bins=0,
        list_features=False,
        learning_rate=1e-3,
        weight_decay=0.1,
        **{**params, "n_members": 1},
    )


def _raised(part):
    """Purchases labelled 4, as in the published code."""
    X, y, groups = part
    return X, np.where(y == 2, 4, y), groups


# The tables --------------------------------------------------------------------------


def values_of(done, name, model, kind, varied):
    """Per seed and query: (n_seeds, n_queries), NaN where not tested."""
    found = [
        _in_its_world(result["ndcg"][model][kind], task)
        for task, result in done
        if task["name"] == name and task["varied"] == varied
    ]
    queries = sorted(set().union(*found))
    place = {query: i for i, query in enumerate(queries)}
    values = np.full((len(found), len(queries)), np.nan)
    for row, one in zip(values, found, strict=True):
        row[[place[query] for query in one]] = list(one.values())
    return values


def _in_its_world(values, task):
    """Synthetic lists are others for every seed, though their ids are the same."""
    if task["name"] not in WORLDS:
        return values
    return {(task["seed"], query): value for query, value in values.items()}


def compare(done, name, varied):
    """One row per model: both means, and the gain over no listwide loss."""
    results = [r for t, r in done if t["name"] == name and t["varied"] == varied]
    rows = []
    for model in results[0]["ndcg"]:
        row = {"data": name, **varied, "model": model, "seeds": len(results)}
        row["lists"] = round(np.mean([result["n_lists"] for result in results]))
        base = "linear 0" if model.startswith("linear") else "RankFormer 0"
        for kind in results[0]["ndcg"][model]:
            ours = values_of(done, name, model, kind, varied)
            theirs = values_of(done, name, base, kind, varied)
            row[kind] = float(np.nanmean(ours))
            if model != base:
                rng = np.random.default_rng(0)
                row[f"{kind} gain"] = paired_interval(ours, theirs, rng)
        rows.append(row)
    return rows


def summarise(done):
    """All rows, setting by setting."""
    settings = []
    for task, _ in done:
        if (task["name"], task["varied"]) not in settings:
            settings.append((task["name"], task["varied"]))
    return [row for setting in settings for row in compare(done, *setting)]


def page(rows):
    """The Markdown page."""
    gain = "gain over listwide weight 0 [95 %]"
    columns = {"data": "data", "model": "model"}
    scores = {"true": "NDCG@10, true relevance", "true gain": gain}
    scores |= {"clicks": "NDCG@10, clicks", "clicks gain": gain}
    scores |= {"lists": "lists, a seventh held out", "seeds": "seeds"}
    centre = [r for r in rows if not set(r) & set(CENTRE)]
    parts = ["Half of the training lists without clicks, in `scarce` four fifths:\n"]
    parts += [markdown_table(centre, columns | scores)]
    for factor, heading in (
        ("share", "share of lists without clicks"),
        ("size", "share of the training lists"),
        ("list_signal", "`list_signal` of `make_ranking`"),
    ):
        varied = [r for r in rows if factor in r]
        if varied:
            parts += [f"Another {heading}:\n"]
            parts += [
                markdown_table(
                    varied, {"data": "data", factor: heading, "model": "model"} | scores
                )
            ]
    return "\n".join(parts)


def draw(rows):
    """Gain of the listwide loss against the share of empty lists, and its weight."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.4), sharey=True, layout="constrained"
    )
    centre = f"RankFormer {CENTRE['weight']:g}"
    for name in dict.fromkeys(row["data"] for row in rows if "true" in row):
        ours = [r for r in rows if r["data"] == name and "true gain" in r]
        plain = [r for r in ours if not set(r) & set(CENTRE)]
        by_share = {
            r.get("share", centre_of(name)["share"]): r["true gain"]
            for r in ours
            if r["model"] == centre and not {"size", "list_signal"} & set(r)
        }
        by_weight = {
            float(r["model"].split()[1]): r["true gain"]
            for r in plain
            if r["model"].startswith("RankFormer")
        }
        for axis, points in ((left, by_share), (right, by_weight)):
            _draw_gains(axis, points, name)
    left.set(xlabel="share of training lists without clicks", ylabel="NDCG@10 gained")
    right.set(xlabel="listwide weight")
    for axis in (left, right):
        axis.axhline(0, color="grey", linewidth=0.8)
    left.legend()
    return figure


def _draw_gains(axis, points, name):
    at = sorted(points)
    middle = np.array([points[one]["difference"] for one in at])
    low = np.array([points[one]["low"] for one in at])
    high = np.array([points[one]["high"] for one in at])
    axis.errorbar(at, middle, [middle - low, high - middle], marker="o", label=name)


def main(argv=None):
    """Run, and write tables and figure."""
    parser = parser_of(__doc__, "implicit_feedback")
    add_runs(parser)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--clicked", type=int, default=200, help="lists with clicks")
    parser.add_argument("--first-seed", type=int, default=0, help="count from here")
    args = parse(parser, argv)
    options = {
        "data_dir": args.data,
        "n_clicked": 150 if args.quick else args.clicked,
        "quick": args.quick,
    }
    tasks = [
        task
        for name in args.sets
        for task in tasks_of(name, args.first_seed, args.seeds, options)
    ]
    tasks.sort(key=lambda task: task["seed"])
    done = run_jobs(run, tasks, args)
    rows = summarise(done)
    text = page(rows)
    print(text)
    write_results(args, text, {"rows": rows}, (len(done), len(tasks)))
    save_figure(args, draw(rows))


if __name__ == "__main__":
    main()
