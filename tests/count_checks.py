"""Counts scikit-learn's checks: ``python -m tests.count_checks`` writes docs/checks.md.

The numbers are those of a run of the contract tests; if one fails, the page stays.
"""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
import sklearn

from benchmarks._report import markdown_table

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "checks.md"
FILES = ["test_sklearn_contract.py", "test_adapters.py"]
KINDS = ("passed", "skipped", "expected to fail")

HEAD = f"""\
# scikit-learn's checks

Results of the estimators under `sklearn.utils.estimator_checks` of scikit-learn
{sklearn.__version__}, written by `python -m tests.count_checks`. A check is expected to
fail only if it contradicts what a list is, needs more precision than float32 has, or
expects an error message that the wrapped library does not give. If an expected failure
passes, the run fails.

"""


class Outcomes:
    """pytest plugin that counts how the checks of each estimator came out."""

    def __init__(self):
        self.counts = {}
        self.reasons = {}

    def pytest_runtest_logreport(self, report):
        """Take in one report: calls, and skips that come before the call."""
        if "[" not in report.nodeid or not (report.when == "call" or report.skipped):
            return
        called, _, check = report.nodeid.split("[")[1].rstrip("]").rpartition("-")
        estimator = ": ".join(re.findall(r"(\w+)\(", called)[:2])
        expected = hasattr(report, "wasxfail")
        outcome = "expected to fail" if expected else report.outcome
        self.counts.setdefault(estimator, Counter())[outcome] += 1
        if expected:
            reason = report.wasxfail.removeprefix("reason: ")
            self.reasons.setdefault((check, reason), []).append(estimator)


def page(outcomes):
    """Return the text of the page."""
    counts = [
        {"Estimator": f"`{name}`", **{kind: found[kind] for kind in KINDS}}
        for name, found in outcomes.counts.items()
    ]
    reasons = [
        {"Check": f"`{check}`", "Estimators": ", ".join(names), "Reason": reason}
        for (check, reason), names in outcomes.reasons.items()
    ]
    return (
        HEAD
        + markdown_table(counts, ["Estimator", *KINDS])
        + "\n## Why\n\n"
        + markdown_table(reasons, ["Check", "Estimators", "Reason"])
    )


def main():
    """Run the checks and write the page; returns the exit status of pytest."""
    outcomes = Outcomes()
    files = [str(TESTS / name) for name in FILES]
    status = pytest.main(["-q", "-k", "scikit_learn", *files], plugins=[outcomes])
    if status == 0:
        PAGE.write_text(page(outcomes), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
