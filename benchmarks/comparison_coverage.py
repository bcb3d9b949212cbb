"""Does the interval of a comparison hold what it promises?

Lists are drawn, and two rankers of equal skill order them: the true difference is 0,
and an interval of 95 % should hold it in 95 % of the comparisons. Beside
`paired_interval` stand Student's t and the percentiles of the bootstrap over the same
differences. In the last world the rankers are unlike: one wins often and little, the
other rarely and much.

    python benchmarks/comparison_coverage.py --seed 0 --publish
"""

import numpy as np
from _compare import per_list_ndcg
from _report import markdown_table, write_results
from _run import parse, parser_of
from scipy import stats

from sklearn_rankformer.comparison import paired_interval

N_LISTS = (30, 100, 400)
LIST_SIZE = 12
GRADES, CHANCES = [0, 1, 2, 3], [0.7, 0.15, 0.1, 0.05]


def graded(n_lists, rng):
    """Labels 0 to 3, one after the other."""
    return rng.choice(GRADES, p=CHANCES, size=(n_lists, LIST_SIZE))


def one_relevant(n_lists, rng):
    """One item of each list is relevant."""
    return 2 * (np.arange(LIST_SIZE) == rng.integers(LIST_SIZE, size=(n_lists, 1)))


def equal_rankers(labels, rng, *, common, skill=1.0, k=10):
    """Differences of NDCG@k; of their noise the rankers share the part `common`."""
    groups = np.repeat(np.arange(len(labels)), LIST_SIZE)
    shared = skill * labels + np.sqrt(common) * rng.normal(size=labels.shape)
    own = np.sqrt(1 - common) * rng.normal(size=(2, *labels.shape))
    first, second = (
        per_list_ndcg(labels.ravel(), (shared + noise).ravel(), groups, k)
        for noise in own
    )
    return first - second


def unequal_shape(n_lists, rng):
    """Differences of mean 0: +0.05 in 80 % of the lists, -0.4 in 10 %, else 0."""
    return rng.choice([0.05, -0.4, 0.0], p=[0.8, 0.1, 0.1], size=n_lists)


WORLDS = {
    "graded labels, independent rankers": lambda n, rng: equal_rankers(
        graded(n, rng), rng, common=0.0
    ),
    "graded labels, rankers alike": lambda n, rng: equal_rankers(
        graded(n, rng), rng, common=0.96
    ),
    "one relevant item, rankers alike": lambda n, rng: equal_rankers(
        one_relevant(n, rng), rng, common=0.96, skill=0.5
    ),
    "the same, first position only": lambda n, rng: equal_rankers(
        one_relevant(n, rng), rng, common=0.96, skill=0.5, k=1
    ),
    "not equal: often a little, rarely a lot": unequal_shape,
}


def intervals(gap, rng):
    """Bounds of each method on one set of differences."""
    n_lists, mean = len(gap), gap.mean()
    half = stats.t.ppf(0.975, n_lists - 1) * gap.std(ddof=1) / np.sqrt(n_lists)
    draws = rng.choice(gap, (999, n_lists)).mean(axis=1)
    ours = paired_interval(
        gap, 0 * gap, n_resamples=999, random_state=rng.integers(2**31)
    )
    return {
        "ours": (ours.low, ours.high),
        "t": (mean - half, mean + half),
        "percentile": np.quantile(draws, [0.025, 0.975]),
    }


def measure(world, n_lists, n_comparisons, rng):
    """One row of the table."""
    held, tied, widths = {}, [], []
    for _ in range(n_comparisons):
        gap = WORLDS[world](n_lists, rng)
        gap = gap[~np.isnan(gap)]
        tied.append(np.mean(gap == 0))
        for name, (low, high) in intervals(gap, rng).items():
            # Bounds of differences that are all 0 are 0 but for rounding.
            held.setdefault(name, []).append(low <= 1e-12 and high >= -1e-12)
            if name == "ours":
                widths.append(high - low)
    row = {"world": world, "lists": n_lists, "tied": float(np.mean(tied))}
    row |= {name: float(np.mean(one)) for name, one in held.items()}
    return row | {"width": float(np.median(widths))}


def main(argv=None):
    """Simulate, and write the table."""
    parser = parser_of(__doc__, "comparison_coverage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--comparisons", type=int, default=2000, help="of each row")
    args = parse(parser, argv)
    if args.quick:
        args.comparisons = 20
    rng = np.random.default_rng(args.seed)
    rows = []
    for world in WORLDS:
        for n_lists in N_LISTS:
            rows.append(measure(world, n_lists, args.comparisons, rng))
            print(rows[-1], flush=True)
    columns = {
        "world": "lists and rankers",
        "lists": "lists",
        "tied": ("tied", ".0%"),
        "ours": ("`paired_interval`", ".1%"),
        "t": ("Student's t", ".1%"),
        "percentile": ("bootstrap percentiles", ".1%"),
        "width": "median width",
    }
    table = markdown_table(rows, columns)
    page = f"Share of {args.comparisons} intervals that hold 0.\n\n{table}"
    print(page)
    write_results(args, page, {"rows": rows})


if __name__ == "__main__":
    main()
