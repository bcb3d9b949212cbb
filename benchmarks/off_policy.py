"""Are values estimated from clicks right on average, and do their intervals hold?

A world of many lists in which the chance of a click is known. Each log shows some of
them, drawn at random, to users who look at position p with chance p ** -strength; the
order is that of a middling ranker, or random. From each log a good ranking is judged,
and compared with one that is a little worse and with the one that was shown. The truth
is known from the world.

    python benchmarks/off_policy.py --publish

"bias" is the mean estimate less the truth, in standard errors of a mean of 200 logs:
within 2 it could not be distinguished from chance there. "covered" is the share of the
95 % intervals that hold the truth, "width" is how wide they are.
"""

import warnings
from itertools import pairwise

import numpy as np
from _report import markdown_table, write_results
from _run import add_jobs, parse, parser_of, run_jobs

from sklearn_rankformer._lists import split_lists
from sklearn_rankformer.counterfactual import off_policy_difference, off_policy_score
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.simulation import (
    examination_propensities,
    rank_positions,
    relevance_probability,
)

STRENGTHS = (0.0, 1.0, 2.0)
ORDERS = ("ranked", "random")
SIZES = (1000, 100)
K, BOUND = 5, 0.1
# Name, metric, and arguments of the estimator: which chances, and which model.
CASES = [
    ("clicks as they are", "dcg", {"propensities": "ones"}),
    ("ips", "dcg", {"propensities": "shown"}),
    ("ips", "precision", {"propensities": "shown"}),
    ("snips", "dcg", {"propensities": "shown", "estimator": "snips"}),
    ("snips", "recall", {"propensities": "shown", "estimator": "snips"}),
    ("ips, bounded", "dcg", {"propensities": "bounded"}),
]
BOUNDED = {"propensities": "bounded", "examination": "shown", "estimator": "dr"}
CASES += [
    ("dr, bounded, crude model", "dcg", {**BOUNDED, "predicted": "crude"}),
    ("dr, bounded, true model", "dcg", {**BOUNDED, "predicted": "true"}),
    ("dr, bounded, true model", "precision", {**BOUNDED, "predicted": "true"}),
]
# Only of a random order are the mean chances other than those at the position shown.
MEAN = {"propensities": "mean", "examination": "shown", "estimator": "dr"}
DRAWN = [
    ("ips, mean chances", "dcg", {"propensities": "mean"}),
    ("snips, mean chances", "dcg", {"propensities": "mean", "estimator": "snips"}),
    ("dr, mean chances, crude model", "dcg", {**MEAN, "predicted": "crude"}),
    ("dr, mean chances, true model", "dcg", {**MEAN, "predicted": "true"}),
]
# What the new ranking is compared with in each judgement.
AGAINST = {"value": None, "difference": "rival", "gain": "old"}
HEADINGS = {
    "value": "a ranking",
    "difference": "two new ones compared",
    "gain": "a new one compared with that shown",
}
UNBIASED = {"ips", "snips", "dr, bounded, true model"}
EFFECTIVE = (0, 10, 30, 100, 300, np.inf)


def make_world(n_lists, seed):
    """Lists with known chances of a click, and scores of three rankers."""
    _, y, groups, utility = make_ranking(
        n_lists, list_size=(5, 15), random_state=seed, return_utility=True
    )
    rng = np.random.default_rng(seed)
    old, rival = (utility + rng.normal(scale=s, size=len(y)) for s in (2.0, 0.7))
    return {
        "groups": groups,
        "lists": split_lists(groups),
        "relevance": 0.05 + 0.45 * relevance_probability(y),
        "old": old,
        "new": utility,
        "rival": rival,
    }


def credits(world, name, metric):
    """What a row counts for in the value of a ranking: the metric's own formula."""
    position = rank_positions(world[name], world["groups"])
    lengths = world["lists"].lengths[world["lists"].codes]
    worth = {
        "dcg": 1 / np.log2(position + 1),
        "precision": 1 / np.minimum(K, lengths),
        "recall": 1.0,
    }
    return np.where(position <= K, worth[metric], 0)


def truth(world, metric, against, per_item):
    """Value of the new ranking, or what it has above another's."""
    credit = credits(world, "new", metric)
    if against:
        credit = credit - credits(world, against, metric)
    count = world["relevance"].sum() if per_item else world["lists"].n_lists
    return (credit * world["relevance"]).sum() / count


def draw_log(world, strength, order, n_lists, rng):
    """Clicks on lists drawn with replacement: rows, their lists, clicks, chances."""
    lists = world["lists"]
    drawn = rng.integers(0, lists.n_lists, n_lists)
    rows, lengths = lists.rows(drawn), lists.lengths[drawn]
    groups = np.repeat(np.arange(n_lists), lengths)
    scores = rng.random(len(rows)) if order == "random" else world["old"][rows]
    shown = examination_propensities(rank_positions(scores, groups), eta=strength)
    clicks = rng.random(len(rows)) < shown * world["relevance"][rows]
    means = np.bincount(groups, shown) / lengths
    chances = {"ones": np.ones(len(rows)), "shown": shown, "mean": means[groups]}
    chances["bounded"] = np.maximum(shown, BOUND)
    return rows, groups, clicks, chances


def run(strength, order, n_lists, n_logs, world_size, seed):
    """For each case, its truth and, log after log, what was found."""
    world = make_world(world_size, seed)
    rng = np.random.default_rng(seed)
    models = {"true": world["relevance"]}
    models["crude"] = np.full(len(models["true"]), models["true"].mean())
    cases = CASES + (DRAWN if order == "random" else [])
    judged = ["value", "difference"] + (["gain"] if order == "ranked" else [])
    found = {}
    for _ in range(n_logs):
        rows, groups, clicks, chances = draw_log(world, strength, order, n_lists, rng)
        known = {**chances, **{name: model[rows] for name, model in models.items()}}
        for name, metric, arguments in cases:
            options = {key: known.get(one, one) for key, one in arguments.items()}
            options |= {"clicks": clicks, "groups": groups, "metric": metric, "k": K}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="The estimate rests on")
                results = {one: judge(world, rows, one, options) for one in judged}
            for one, result in results.items():
                per_item = arguments.get("estimator") == "snips"
                found.setdefault((name, metric, one, per_item), []).append(
                    [result.value, result.low, result.high, result.n_effective]
                )
    return [
        {
            "estimator": name,
            "metric": f"{metric}@{K}",
            "judged": one,
            "truth": truth(world, metric, AGAINST[one], per_item),
            "found": np.array(values),
        }
        for (name, metric, one, per_item), values in found.items()
    ]


def judge(world, rows, judged, options):
    """The estimate of a log."""
    new = world["new"][rows]
    if AGAINST[judged] is None:
        return off_policy_score(scores=new, **options)
    other = world[AGAINST[judged]][rows]
    return off_policy_difference(scores_a=new, scores_b=other, **options)


def summarise(done):
    """One row per case: bias, coverage, width, effective clicks."""
    rows = []
    for task, cases in done:
        for case in cases:
            value, low, high, n_effective = case["found"].T
            rows.append(
                {key: task[key] for key in ("strength", "order", "n_lists")}
                | {key: case[key] for key in ("estimator", "metric", "judged", "truth")}
                | {
                    "bias": (value.mean() - case["truth"])
                    / (value.std() / np.sqrt(200)),
                    "covered": covers(case).mean(),
                    "width": np.nanmean(high - low),
                    "n_effective": np.median(n_effective),
                }
            )
    return rows


def covers(case):
    """Which intervals hold the truth; one that could not be had holds nothing."""
    _, low, high, _ = case["found"].T
    return (low <= case["truth"]) & (case["truth"] <= high)


def by_effective_number(done):
    """Coverage by effective clicks, of what is unbiased, all logs together."""
    rows = [
        {"effective clicks": f"{least} to {most}".replace("to inf", "and more")}
        for least, most in pairwise(EFFECTIVE)
    ]
    for judged in AGAINST:
        cases = [
            case
            for _, of_task in done
            for case in of_task
            if case["judged"] == judged and case["estimator"] in UNBIASED
        ]
        held = np.concatenate([covers(case) for case in cases])
        n_effective = np.concatenate([case["found"][:, 3] for case in cases])
        place = np.searchsorted(EFFECTIVE, n_effective, side="right") - 1
        for j, row in enumerate(rows):
            row[f"{judged}s"] = int((place == j).sum())
            row[judged] = held[place == j].mean() if (place == j).any() else ""
    return rows


def page(rows, by_number):
    """The Markdown page."""
    parts = []
    for order in ORDERS:
        for judged, what in HEADINGS.items():
            chosen = [
                row
                for row in rows
                if (row["order"], row["judged"]) == (order, judged)
                and row["n_lists"] == SIZES[0]
            ]
            if not chosen:
                continue
            shown = "by a middling ranker" if order == "ranked" else "in random order"
            parts += [f"Shown {shown}, {what}:\n", _by_strength(chosen)]
    columns = {
        "effective clicks": "effective clicks",
        "value": ("covered, a ranking", ".3f"),
        "values": ("logs", ",d"),
        "difference": ("covered, two new ones", ".3f"),
        "differences": ("logs", ",d"),
        "gain": ("covered, new and shown", ".3f"),
        "gains": ("logs", ",d"),
    }
    parts += ["By effective clicks:\n", markdown_table(by_number, columns)]
    return "\n".join(parts)


def _by_strength(rows):
    merged = {}
    for row in rows:
        line = merged.setdefault((row["estimator"], row["metric"]), {**row})
        for key in ("bias", "covered", "width"):
            line[f"{key} {row['strength']:g}"] = row[key]
    columns = {"estimator": "estimator", "metric": "metric"}
    for strength in STRENGTHS:
        columns |= {
            f"bias {strength:g}": (f"strength {strength:g}: bias", "+.1f"),
            f"covered {strength:g}": ("covered", ".3f"),
            f"width {strength:g}": ("width", ".3f"),
        }
    return markdown_table(list(merged.values()), columns)


def main(argv=None):
    """Run, and write the tables."""
    parser = parser_of(__doc__, "off_policy")
    parser.add_argument("--seed", type=int, default=0, help="of the world and its logs")
    parser.add_argument("--logs", type=int, default=1000, help="logs of each setting")
    add_jobs(parser)
    args = parse(parser, argv)
    size = {"n_logs": args.logs, "world_size": 20_000}
    if args.quick:
        size = {"n_logs": 5, "world_size": 500}
    tasks = [
        {"strength": strength, "order": order, "n_lists": n_lists, "seed": args.seed}
        | size
        for n_lists in SIZES
        for order in ORDERS
        for strength in STRENGTHS
    ]
    done = run_jobs(run, tasks, args)
    rows, by_number = summarise(done), by_effective_number(done)
    text = page(rows, by_number)
    print(text)
    write_results(args, text, {"rows": rows, "by_effective_number": by_number})


if __name__ == "__main__":
    main()
