"""Counts scikit-learn's checks: ``python -m tests.count_checks`` writes docs/checks.md.

The numbers are those of a run of the contract tests; if one fails, the page stays.
"""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
import sklearn

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "checks.md"
FILES = ["test_sklearn_contract.py", "test_adapters.py"]

HEAD = f"""\
# scikit-learn's checks

How each estimator fares under `sklearn.utils.estimator_checks`, scikit-learn
{sklearn.__version__}. `python -m tests.count_checks` runs them and writes this page.
A check is expected to fail only where it contradicts what a list is, asks for more than
float32 can give, or wants words that the wrapped library does not use. An expected
failure that passes fails the run.

| Estimator | passed | skipped | expected to fail |
|---|---|---|---|
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
    kinds = ("passed", "skipped", "expected to fail")
    rows = [
        f"| `{name}` | " + " | ".join(str(counts[kind]) for kind in kinds) + " |"
        for name, counts in outcomes.counts.items()
    ]
    reasons = [
        f"| `{check}` | {', '.join(names)} | {reason} |"
        for (check, reason), names in outcomes.reasons.items()
    ]
    why = "\n\n## Why\n\n| Check | Estimators | Reason |\n|---|---|---|\n"
    return HEAD + "\n".join(rows) + why + "\n".join(reasons) + "\n"


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
