"""The pages of the user guide are true: their code runs, what they name exists."""

import re
from pathlib import Path

import pytest
from sklearn import config_context

ROOT = Path(__file__).parents[1]
RUN = ["groups.md", "pipelines.md"]
REQUESTS = (ROOT / "docs" / "requests.md").read_text(encoding="utf-8")
REFERENCES = re.findall(r"`(test_\w+\.py::\w+)`", REQUESTS)


@pytest.mark.parametrize("name", RUN)
def test_code_of_the_page_runs(name):
    pytest.importorskip("pandas")
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    names = {}
    with config_context():
        for block in blocks:
            exec(compile(block, name, "exec"), names)


@pytest.mark.parametrize("reference", sorted(set(REFERENCES)))
def test_tests_that_answer_requests_exist(reference):
    file, _, function = reference.partition("::")
    assert f"\ndef {function}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")
