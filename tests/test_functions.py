"""Functions known again: unchanged ones everywhere, changed ones nowhere."""

import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from sklearn_rankformer._functions import digest_function

BASE = """
import math, re
import numpy as np

FACTOR = 2

def helper(x):
    return FACTOR * x

def outer(power, table=None):
    def made(x, *, shift=0.5):
        "Words."
        inner = lambda z: helper(z) ** power
        return math.floor(inner(x)) + shift + (x in {"a", "b", "c"}) + (table is None)
    return made

function = outer(3, np.arange(4))
"""


def made_of(source):
    there = {"__name__": "theirs"}
    exec(source, there)
    return there["function"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("math.floor", "math.ceil"),
        ("+ shift", "- shift"),
        ("shift=0.5", "shift=0.25"),
        ("FACTOR = 2", "FACTOR = 3"),
        ("FACTOR * x", "FACTOR + x"),
        ("** power", "* power"),
        ("outer(3,", "outer(4,"),
        ("arange(4)", "arange(5)"),
        ('"a", "b"', '"a", "d"'),
    ],
)
def test_a_change_of_what_it_does_changes_the_digest(old, new):
    assert old in BASE
    changed = made_of(BASE.replace(old, new))
    assert digest_function(changed) != digest_function(made_of(BASE))


def test_a_move_within_the_file_or_another_function_there_changes_nothing():
    moved = "def unread(x):\n    return 1\n\n# Words.\n" + BASE.replace("\n", "\n\n")
    assert digest_function(made_of(moved)) == digest_function(made_of(BASE))


def test_other_processes_find_the_same_digest():
    code = f"""
import sys
from sklearn_rankformer._functions import digest_function
there = {{"__name__": "theirs"}}
exec({BASE!r}, there)
print(digest_function(there["function"]))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == digest_function(made_of(BASE))


def test_arguments_of_a_partial_count():
    function = made_of(BASE)
    digests = {
        digest_function(one)
        for one in (function, partial(function, shift=1), partial(function, shift=2))
    }
    assert len(digests) == 3


def test_a_function_may_call_itself():
    def down(n):
        return n and down(n - 1)

    assert digest_function(down) == digest_function(down)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.random.default_rng(0), r"it reads Generator.* no plain value"),
        (re.compile("x"), r"it reads re.compile"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(value, message):
    with pytest.raises(TypeError, match=message):
        digest_function(lambda: value)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="is no function"):
        digest_function(np.sqrt)
