"""Position bias undone: in a real log, Expedia's hotel searches, and in simulated ones.

Expedia: a third of the searches were shown in random order (`random_bool`). There the
click rate of a position is attention alone, which gives the propensities. Rankers learn
from clicks as they are, weighed by one over the propensity, and with `position=`. They
are judged on random-order searches that neither the estimate nor the training has seen,
where position says nothing of relevance.

Simulated: lists shown by a good ranker (a GBDT that has learned 50 lists' labels), a
poor one (a feature of no use) or in random order, to users who look at position p with
chance p ** -strength. Rankers learn from clicks as they are, weighed by the true
propensities or by estimated ones, and with `position=`; they are judged by the true
relevance of other lists. How much of the gap between clicks as they are and true
propensities is closed is said where that gap is beyond noise.

    python benchmarks/position_bias.py --data DIR --jobs 2 --publish
    python benchmarks/position_bias.py --only simulated --jobs 2 --publish
"""

import argparse

import numpy as np
from _compare import in_own_columns, paired_interval, per_list_ndcg
from _data import list_folds, load_lists
from _report import markdown_table, write_results
from _run import add_runs, by_setting, network_params, parse, parser_of, run_jobs
from sklearn.ensemble import HistGradientBoostingRegressor

from sklearn_rankformer import MLPRanker, RankFormerRanker
from sklearn_rankformer.simulation import (
    estimate_propensities,
    examination_propensities,
    inverse_propensity_weights,
    rank_positions,
    simulate_position_biased_clicks,
)

SHOWN = (1, 2, 3, 5, 10, 20, 30)
MAX_WEIGHT = 10
STRENGTHS = (0.0, 1.0, 2.0)
RANKERS = ("good", "poor", "random")
# Each list is shown to so many: of few clicks, noise would hide any bias.
N_USERS = 3
NAIVE, TRUE = "clicks as they are", "true propensities"


def run(seed, data_dir, quick):
    """NDCG@10 of random-order test searches, for every way to train."""
    data = load_lists("expedia", data_dir)
    is_random = data.random_bool == 1
    test = is_random & (list_folds(data.groups, seed // 5) == seed % 5)
    table = estimate_propensities(
        data.position[~test], data.y[~test], randomized=is_random[~test]
    )
    propensities = examination_propensities(data.position[~test], table=table)
    weight = inverse_propensity_weights(
        data.y[~test], propensities, max_weight=MAX_WEIGHT
    )
    train = data.X[~test], data.y[~test], data.groups[~test]
    ways = {
        NAIVE: {},
        "weighed": {"sample_weight": weight},
        "position=": {"position": data.position[~test]},
    }
    params = {"random_state": seed, **network_params(quick)}
    found = {}
    for name, kind in (("RankFormer", RankFormerRanker), ("MLP", MLPRanker)):
        for how, more in ways.items():
            ranker = kind(**params).fit(*train, **more)
            scores = ranker.predict(data.X[test], data.groups[test])
            values = per_list_ndcg(data.y[test], scores, data.groups[test])
            found[f"{name}, {how}"] = values
    return found


def click_rates(data):
    """Rows of the table of positions: rates in both kinds of search, propensity."""
    is_random, clicked = data.random_bool == 1, data.y > 0
    table = estimate_propensities(data.position, data.y, randomized=is_random)
    rows = []
    for position in SHOWN:
        here = data.position == position
        row = {"position": position, "propensity": table[position - 1]}
        for name, chosen in (("random", is_random), ("ranked", ~is_random)):
            row[f"{name} rows"] = int((here & chosen).sum())
            row[name] = clicked[here & chosen].mean()
        rows.append(row)
    return rows


def summarise(done):
    """One row per model and way to train; what it gains."""
    results = [result for _, result in done]
    values = {m: in_own_columns([r[m] for r in results]) for m in results[0]}
    rows = []
    for model, ours in values.items():
        row = {"model": model, "NDCG@10": np.nanmean(ours), "seeds": len(results)}
        kind, how = model.split(", ")
        if how != NAIVE:
            plain = values[f"{kind}, {NAIVE}"]
            row["gain"] = paired_interval(ours, plain, np.random.default_rng(0))
        rows.append(row)
    return rows


def page(rates, rows):
    """The Markdown page."""
    by_position = {
        "position": "position",
        "random": "click rate, random order",
        "random rows": "rows",
        "ranked": "click rate, as ranked",
        "ranked rows": "rows",
        "propensity": "propensity",
    }
    by_model = {
        "model": "trained on",
        "NDCG@10": "NDCG@10",
        "seeds": "seeds",
        "gain": "above clicks as they are [95 %]",
    }
    return f"{markdown_table(rates, by_position)}\n{markdown_table(rows, by_model)}"


def run_simulated(strength, shown_by, seed, quick):
    """NDCG@10 of test lists, by the true relevance, for every way to train."""
    n_lists = 250 if quick else 1000
    data = load_lists(
        "synthetic", n_lists=n_lists, list_size=(5, 15), random_state=seed
    )
    rng = np.random.default_rng(seed)
    test = data.groups >= 0.8 * n_lists
    rows = np.tile(np.flatnonzero(~test), N_USERS)
    X, y = data.X[rows], data.y[rows]
    groups = data.groups[rows] + n_lists * np.repeat(
        np.arange(N_USERS), len(rows) // N_USERS
    )
    position = rank_positions(_shown_scores(data, shown_by, rng)[rows], groups)
    log = simulate_position_biased_clicks(y, position, eta=strength, rng=rng)
    estimated = _estimated(y, groups, position, strength, rng)
    propensities = {TRUE: log.propensities, "estimated propensities": estimated}
    found = {}
    for how, more in _ways(log.labels, position, propensities).items():
        ranker = RankFormerRanker(random_state=seed, **network_params(quick))
        ranker.fit(X, log.labels, groups, **more)
        scores = ranker.predict(data.X[test], data.groups[test])
        found[how] = per_list_ndcg(data.y[test], scores, data.groups[test])
    return found


def _shown_scores(data, shown_by, rng):
    """Scores of the ranker in place, which knows no more than features tell."""
    if shown_by == "random":
        return rng.random(len(data.y))
    if shown_by == "poor":  # a feature that has nothing to do with relevance
        return data.X[:, -1]
    few = data.groups < 50
    learner = HistGradientBoostingRegressor(max_iter=30, random_state=0)
    return learner.fit(data.X[few], data.y[few]).predict(data.X)


def _estimated(y, groups, position, strength, rng):
    """Propensities by a fifth of the lists, shown once more in random order."""
    again = groups % 5 == 0
    shuffled = rank_positions(rng.random(again.sum()), groups[again])
    clicks = simulate_position_biased_clicks(
        y[again], shuffled, eta=strength, max_label=y.max(), rng=rng
    )
    table = estimate_propensities(shuffled, clicks.labels)
    # Positions that no list of the sample has are looked at as the last one is.
    return examination_propensities(np.minimum(position, len(table)), table=table)


def _ways(clicks, position, propensities):
    """Arguments of `fit` for each way to train."""
    ways = {NAIVE: {}}
    for name, chances in propensities.items():
        weight = inverse_propensity_weights(clicks, chances, max_weight=MAX_WEIGHT)
        ways[name] = {"sample_weight": weight}
    return ways | {"position=": {"position": position}}


def summarise_simulated(done):
    """One row per bed and way to train: what it gains, and its share of the gap."""
    rows = []
    for (strength, shown_by), results in by_setting(done, "strength", "shown_by"):
        values = {how: in_own_columns([r[how] for r in results]) for how in results[0]}
        gains = {
            how: paired_interval(ours, values[NAIVE], np.random.default_rng(0))
            for how, ours in values.items()
            if how != NAIVE
        }
        for how, ours in values.items():
            row = {"strength": f"{strength:g}", "shown by": shown_by, "trained on": how}
            row |= {"NDCG@10": np.nanmean(ours), "seeds": len(results)}
            if how != NAIVE:
                row["gain"] = gains[how]
            if how not in (NAIVE, TRUE) and gains[TRUE].low > 0:
                row["closed"] = gains[how].difference / gains[TRUE].difference
            rows.append(row)
    return rows


def page_simulated(rows):
    """The Markdown page of the simulated logs."""
    return markdown_table(
        rows,
        {
            "strength": "strength",
            "shown by": "shown by",
            "trained on": "trained on",
            "NDCG@10": "NDCG@10",
            "seeds": "seeds",
            "gain": "gained [95 %]",
            "closed": ("of the gap", ".0%"),
        },
    )


def main_expedia(args):
    """Run on Expedia's log, and write the tables."""
    tasks = [
        {"seed": seed, "data_dir": args.data, "quick": args.quick}
        for seed in range(args.seeds)
    ]
    done = run_jobs(run, tasks, args)
    rates, rows = click_rates(load_lists("expedia", args.data)), summarise(done)
    text = page(rates, rows)
    print(text)
    results = {"rates": rates, "rows": rows}
    write_results(args, text, results, (len(done), len(tasks)))


def main_simulated(args):
    """Run on simulated logs, and write the table beside the other's."""
    tasks = [
        {"strength": strength, "shown_by": name, "seed": seed, "quick": args.quick}
        for seed in range(args.seeds)
        for strength in STRENGTHS
        for name in RANKERS
    ]
    done = run_jobs(run_simulated, tasks, args)
    rows = summarise_simulated(done)
    text = page_simulated(rows)
    print(text)
    named = argparse.Namespace(**{**vars(args), "name": f"{args.name}_simulated"})
    write_results(named, text, {"rows": rows}, (len(done), len(tasks)))


def main(argv=None):
    """Run, and write the tables."""
    parser = parser_of(__doc__, "position_bias")
    add_runs(parser)
    beds = {"expedia": main_expedia, "simulated": main_simulated}
    parser.add_argument("--only", choices=beds, help="which logs (default: both)")
    args = parse(parser, argv)
    for name, run_bed in beds.items():
        if args.only in (None, name):
            run_bed(args)


if __name__ == "__main__":
    main()
