"""Every library's ranking metric next to ours, each in that library's own convention.

`CASES` is the one list of what must agree; the test suite runs it, and this script
prints it as the table of the user guide::

    python benchmarks/metric_parity.py --seed 0

All peers judge the same scores: nothing is trained. LightGBM and XGBoost are given
the scores as the start of a model without trees.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version

import numpy as np
from _report import markdown_table

from sklearn_rankformer.metrics import METRICS

CUTOFFS = (1, 3, None)
# LightGBM always cuts: a cut-off beyond every list stands in for none.
BEYOND = 1000


@dataclass(frozen=True)
class Problem:
    """Labels, scores and lists of consecutive rows."""

    labels: np.ndarray
    scores: np.ndarray
    groups: np.ndarray

    @cached_property
    def lists(self) -> list[np.ndarray]:
        """Row indices of each list."""
        ends = np.flatnonzero(np.diff(self.groups)) + 1
        return np.split(np.arange(len(self.groups)), ends)

    @property
    def sizes(self) -> list[int]:
        """Number of rows of each list."""
        return [len(rows) for rows in self.lists]

    def where(self, keep: np.ndarray) -> "Problem":
        """Problem of the chosen rows."""
        return Problem(self.labels[keep], self.scores[keep], self.groups[keep])


def draw_problem(rng: np.random.Generator, *, n_lists: int = 60) -> Problem:
    """Draw lists of 1 to 14 rows with many ties, a fifth of them without relevance."""
    sizes = rng.integers(1, 15, n_lists)
    sizes[: n_lists // 6] = 1
    groups = np.repeat(np.arange(n_lists), sizes)
    labels = rng.integers(0, 4, len(groups)).astype(np.float64)
    labels[np.isin(groups, rng.choice(n_lists, n_lists // 5, replace=False))] = 0
    # Quarters survive the float32 of the peers without a change of order.
    scores = rng.integers(-4, 5, len(groups)) / 4
    return Problem(labels, scores, groups)


@dataclass(frozen=True)
class Case:
    """One metric of one peer, and our arguments which give the same number.

    Attributes
    ----------
    package : str
        Name on the package index, also the one to import, but for scikit-learn.
    metric : str
        What the peer calls it.
    theirs : callable
        Maps a `Problem` and a cut-off `k`, None for none, to the peer's number.
    ours : str
        Name in `METRICS`.
    arguments : dict
        Our arguments, but for `k`.
    binary, pairs_only : bool
        Whether the peer takes only labels 0 and 1, only lists of two rows and more.
    """

    package: str
    metric: str
    theirs: Callable[[Problem, int | None], float]
    ours: str
    arguments: dict = field(default_factory=dict)
    binary: bool = False
    pairs_only: bool = False

    def difference(self, problem: Problem, k: int | None) -> float:
        """Absolute difference between their number and ours."""
        if self.binary:
            labels = np.minimum(problem.labels, 1)
            problem = Problem(labels, problem.scores, problem.groups)
        if self.pairs_only:
            problem = problem.where(np.repeat(problem.sizes, problem.sizes) > 1)
        ours = METRICS[self.ours](
            problem.labels, problem.scores, problem.groups, k=k, **self.arguments
        )
        return abs(self.theirs(problem, k) - ours)


def _sklearn(name: str):
    def value(problem: Problem, k: int | None) -> float:
        from sklearn import metrics

        score = getattr(metrics, name)
        labels, scores = problem.labels, problem.scores
        return np.mean([score([labels[r]], [scores[r]], k=k) for r in problem.lists])

    return value


def _lightgbm(name: str):
    def value(problem: Problem, k: int | None) -> float:
        import lightgbm

        data = lightgbm.Dataset(
            np.zeros((len(problem.labels), 1)),
            problem.labels,
            group=problem.sizes,
            init_score=problem.scores,
            params={"verbose": -1},
        )
        task = {"objective": "lambdarank", "metric": name, "eval_at": k or BEYOND}
        booster = lightgbm.Booster({**task, "num_threads": 1, "verbose": -1}, data)
        return booster.eval_train()[0][2]

    return value


def _xgboost(name: str, suffix: str = "", **parameters):
    def value(problem: Problem, k: int | None) -> float:
        import xgboost

        data = xgboost.DMatrix(
            np.zeros((len(problem.labels), 1)),
            problem.labels,
            base_margin=problem.scores,
            qid=problem.groups,
        )
        metric = (name if k is None else f"{name}@{k}") + suffix
        task = {"objective": "rank:ndcg", "eval_metric": metric, "nthread": 1}
        booster = xgboost.Booster({**task, **parameters}, [data])
        return float(booster.eval(data).rsplit(":", 1)[1])

    return value


def _catboost(name: str, *options: str, label_unit: float = 1.0):
    def value(problem: Problem, k: int | None) -> float:
        from catboost.utils import eval_metric

        chosen = (f"top={k}",) * (k is not None) + options
        metric = f"{name}:{';'.join(chosen)}" if chosen else name
        labels, groups = problem.labels * label_unit, problem.groups
        return eval_metric(labels, problem.scores, metric, group_id=groups)[0]

    return value


def _sklearn_cases() -> Iterator[Case]:
    arguments = {"gain": "linear", "ties": "average", "empty": "zero"}
    for ours in ("ndcg", "dcg"):
        name = f"{ours}_score"
        theirs = _sklearn(name)
        yield Case("scikit-learn", name, theirs, ours, arguments, pairs_only=True)


def _lightgbm_cases() -> Iterator[Case]:
    arguments = {"ties": "stable", "empty": "one"}
    ndcg = {"gain": "exp", **arguments}
    yield Case("lightgbm", "ndcg", _lightgbm("ndcg"), "ndcg", ndcg)
    yield Case("lightgbm", "map", _lightgbm("map"), "map", arguments)


def _xgboost_cases() -> Iterator[Case]:
    for suffix, empty in (("", "one"), ("-", "zero")):
        arguments = {"ties": "stable", "empty": empty}
        for gain in ("exp", "linear"):
            shown = f"ndcg{suffix}, ndcg_exp_gain={gain == 'exp'}"
            theirs = _xgboost("ndcg", suffix, ndcg_exp_gain=gain == "exp")
            yield Case("xgboost", shown, theirs, "ndcg", {"gain": gain, **arguments})
        theirs = _xgboost("map", suffix, objective="rank:map")
        yield Case("xgboost", f"map{suffix}", theirs, "map", arguments, binary=True)
    theirs = _xgboost("pre", objective="rank:map")
    yield Case("xgboost", "pre", theirs, "precision", arguments, binary=True)


def _catboost_cases() -> Iterator[Case]:
    for name, empty in (("NDCG", "one"), ("DCG", "zero")):
        for kind, gain in (("type=Base", "linear"), ("type=Exp", "exp")):
            arguments = {"gain": gain, "ties": "pessimistic", "empty": empty}
            theirs = _catboost(name, kind)
            yield Case("catboost", f"{name}:{kind}", theirs, name.lower(), arguments)
    for name, ours, empty in (
        ("MRR", "mrr", "zero"),
        ("MAP", "map", "zero"),
        ("PrecisionAt", "precision", "zero"),
        ("RecallAt", "recall", "one"),
    ):
        arguments = {"ties": "pessimistic", "empty": empty}
        yield Case("catboost", name, _catboost(name), ours, arguments)
    # CatBoost takes the label itself, from 0 to 1, as the chance to satisfy.
    arguments = {"gain": "linear", "ties": "pessimistic", "empty": "zero"}
    theirs = _catboost("ERR", label_unit=1 / 3)
    yield Case("catboost", "ERR", theirs, "err", {**arguments, "max_label": 3})


CASES = [
    *_sklearn_cases(),
    *_lightgbm_cases(),
    *_xgboost_cases(),
    *_catboost_cases(),
]


def largest_difference(
    case: Case, k: int | None, *, seed: int = 0, n_problems: int = 20
) -> float:
    """Largest absolute difference over random problems."""
    rng = np.random.default_rng(seed)
    return max(case.difference(draw_problem(rng), k) for _ in range(n_problems))


def describe(case: Case) -> dict[str, str]:
    """The case's row in the table, all but what is measured."""
    return {
        "library": case.package,
        "its metric": f"`{case.metric}`",
        "our metric": f"`{METRICS[case.ours].__name__}`",
        **{name: case.arguments.get(name, "") for name in ("gain", "ties", "empty")},
    }


def table(*, seed: int = 0, n_problems: int = 20) -> str:
    """The table in Markdown, one row per case."""
    rows = [
        describe(case)
        | {
            "largest": max(
                largest_difference(case, k, seed=seed, n_problems=n_problems)
                for k in CUTOFFS
            )
        }
        for case in CASES
    ]
    columns = {name: name for name in describe(CASES[0])}
    return markdown_table(rows, columns | {"largest": ("largest difference", ".0e")})


def main(argv: list[str] | None = None) -> None:
    """Print the versions and the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random problems")
    parser.add_argument(
        "--problems",
        type=int,
        default=20,
        help="random problems per case, 60 lists each",
    )
    options = parser.parse_args(argv)
    packages = dict.fromkeys(case.package for case in CASES)
    print(f"Versions: {', '.join(f'{one} {version(one)}' for one in packages)}.\n")
    print(table(seed=options.seed, n_problems=options.problems))


if __name__ == "__main__":
    main()
