"""Our numbers are each peer's numbers, in that peer's own convention.

The cases live with the script that prints them for the user guide.
"""

from pathlib import Path

import metric_parity as parity
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("k", parity.CUTOFFS, ids=lambda k: f"k={k}")
@pytest.mark.parametrize(
    "case", parity.CASES, ids=lambda case: f"{case.package}-{case.metric}"
)
def test_metric_equals_peer_in_its_convention(case, k):
    if case.package != "scikit-learn":
        pytest.importorskip(case.package)
    assert parity.largest_difference(case, k, seed=1, n_problems=5) < 1e-6


@pytest.mark.parametrize("wrong", ["ties", "empty", "gain"])
def test_parity_problems_tell_conventions_apart(wrong):
    pytest.importorskip("catboost")
    other = {"ties": "average", "empty": "skip", "gain": "linear"}
    (case,) = (c for c in parity.CASES if c.metric == "NDCG:type=Exp")
    arguments = {**case.arguments, wrong: other[wrong]}
    changed = parity.Case(case.package, case.metric, case.theirs, case.ours, arguments)
    assert parity.largest_difference(changed, 3, n_problems=2) > 1e-3


def test_parity_problems_hold_ties_empty_lists_and_single_items():
    problem = parity.draw_problem(np.random.default_rng(0))
    tops = [problem.labels[rows].max() for rows in problem.lists]
    assert min(problem.sizes) == 1
    assert {0.0, 1.0} <= {min(top, 1) for top in tops}
    assert any(len(set(problem.scores[r])) < len(r) for r in problem.lists)


def test_user_guide_table_has_a_row_for_every_case():
    guide = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in guide]
    packages = {case.package for case in parity.CASES}
    shown = [cells for cells in rows if cells and cells[0] in packages]
    assert len(shown) == len(parity.CASES)
    for cells, case in zip(shown, parity.CASES, strict=True):
        assert cells[:-1] == list(parity.describe(case).values())
        assert float(cells[-1]) < 1e-6
