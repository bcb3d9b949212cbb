"""Modules import downwards only, and nobody pays for an import that goes unused.

A module that is missing from `MAY_IMPORT` fails: it needs a place first.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_rankformer

PACKAGE = Path(sklearn_rankformer.__file__).parent
NAME = PACKAGE.name

# Each layer imports from those above it here; within a layer, only from what is named.
NOTHING = frozenset()
GROUND = {"_warnings", "_lists", "_pairs", "_tables", "_figures"}
GROUND |= {"_frames", "_functions", "_tablefiles", "_writing"}
CHECKS = {"_checks", "_letor"}
IDS = {"_groups"}
BOTTOM = GROUND | CHECKS | IDS
PARTS = {
    "_auto",
    "_config",
    "_device",
    "_files",
    "_losses",
    "_processes",
    "_categories",
    "metrics",
    "preprocessing",
    "simulation",
    "datasets",
    "calibration",
    "counterfactual",
    "interleaving",
}
DATA = {"_layers", "_network", "_columns", "_positions", "_rows", "_chances"}
TOOLS = {"model_selection"}
SCORING = {"scoring"}
MIXIN = {"_mixin"}
MODELS = {"_models"}
ADAPTERS = {"adapters"}
ENGINES = {"search_engines"}
RUNTIME = {"runtime"}
AROUND = {"comparison", "ensemble"}
# From the network up to a trained model, each knows those before it.
LOOP = ["_batching", "_inference", "_callbacks", "_training", "_model", "_fit"]
BASE = {"_neural_ranker"}
RANKER = {"_ranker"}
EXTRAS = {"distillation", "persistence", "export"}
STREAMS = {"_streams"}
SHARDS = {"_shards"}
VARIANTS = {"_variants"}
EXPLANATIONS = {"_explanations", "_attributions", "_uncertainty"}
SHOWN = {"inspection"}
BELOW_ADAPTERS = BOTTOM | PARTS | TOOLS | MIXIN | MODELS | SCORING
BELOW_LOOP = BOTTOM | PARTS | DATA
BELOW_RANKERS = (
    BELOW_LOOP | TOOLS | MIXIN | MODELS | SCORING | ADAPTERS | frozenset(LOOP)
)
WINDOW = {
    "_mixin",
    "_ranker",
    "_warnings",
    "adapters",
    "distillation",
    "ensemble",
    "preprocessing",
}

MAY_IMPORT = {
    **dict.fromkeys(GROUND, NOTHING),
    "_tablefiles": {"_writing", "_frames"},
    **dict.fromkeys(CHECKS, GROUND),
    **dict.fromkeys(IDS, GROUND | CHECKS),
    **dict.fromkeys(PARTS, BOTTOM),
    "_layers": NOTHING,
    "_network": {"_config", "_layers"},
    "_columns": BOTTOM | {"_categories", "_processes"},
    "_positions": BOTTOM | {"_categories"},
    "_rows": BOTTOM | {"metrics", "_processes"},
    "_chances": BOTTOM | {"_rows"},
    **dict.fromkeys(TOOLS, BOTTOM | PARTS),
    **dict.fromkeys(MIXIN, BOTTOM | PARTS),
    **dict.fromkeys(MODELS, MIXIN | GROUND),
    **dict.fromkeys(SCORING, BOTTOM | PARTS | MIXIN | MODELS),
    **dict.fromkeys(ADAPTERS, BOTTOM | PARTS | MIXIN | MODELS),
    **dict.fromkeys(ENGINES, MODELS),
    **dict.fromkeys(RUNTIME, BOTTOM | PARTS),
    **dict.fromkeys(
        AROUND, BOTTOM | PARTS | TOOLS | MIXIN | MODELS | SCORING | ADAPTERS
    ),
    # The ready-made pair has a RankFormer in it.
    "ensemble": BELOW_ADAPTERS | ADAPTERS | RANKER,
    **{module: BELOW_LOOP | {*LOOP[:i]} for i, module in enumerate(LOOP)},
    **dict.fromkeys(BASE, BELOW_RANKERS | SHARDS),
    **dict.fromkeys(RANKER, BELOW_RANKERS | BASE),
    **dict.fromkeys(EXTRAS, BELOW_RANKERS | BASE | RANKER),
    **dict.fromkeys(STREAMS, BOTTOM),
    "_conversion": BOTTOM | STREAMS,
    "_synthetic": NOTHING,
    "datasets": BOTTOM | {"_conversion", "_synthetic"},
    **dict.fromkeys(SHARDS, BOTTOM | PARTS | {"_conversion", "_rows"}),
    "serving": BOTTOM | STREAMS | MODELS | {"_neural_ranker", "persistence"},
    "score": BOTTOM | {"serving"},
    "monitoring": BOTTOM | {"_columns", "_variants", "_neural_ranker"},
    **dict.fromkeys(VARIANTS, BOTTOM | MODELS),
    **dict.fromkeys(EXPLANATIONS, BOTTOM | MODELS | SCORING | VARIANTS),
    **dict.fromkeys(SHOWN, BOTTOM | PARTS | MODELS | EXPLANATIONS),
    "__init__": WINDOW,  # for type checkers, and on first use
}

USE_TORCH = {"_device", "_files", "_layers", "_losses", "_network", "_processes"}
USE_TORCH |= {*LOOP, *BASE, *RANKER, *EXTRAS}
# skorch runs the loop; the others name its callbacks, or its version.
USE_SKORCH = {"_callbacks", "_training", "_fit", *BASE, "persistence", "_files"}
ON_FIRST_USE = {
    "matplotlib",
    "pandas",
    "polars",
    "pyarrow",
    "duckdb",
    "lightgbm",
    "xgboost",
    "catboost",
}
REQUIRED = {"numpy", "scipy", "sklearn", "torch", "skorch", "safetensors"}

MODULES = sorted(PACKAGE.glob("*.py"))
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)


def imports(tree, package=NAME):
    """Yield (dotted name, whether it is imported with the module) of each import."""
    later = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = ".".join(filter(None, [package * bool(node.level), node.module]))
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, node not in later


def own_modules(tree, known):
    """Return the names of the package's own modules that are imported anywhere."""
    parts = [name.split(".") for name, _ in imports(tree)]
    return {rest[0] for top, *rest in parts if top == NAME and rest} & known


def foreign_private_names(tree, known):
    """Return what is taken from the package's other modules that is private there.

    Private modules may be imported, as layers of the package; their private names may
    not, neither by an import nor as attributes.
    """
    modules, taken = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {a.asname for a in node.names if a.name.startswith(NAME + ".")}
        elif isinstance(node, ast.ImportFrom):
            own = node.level or (node.module or "").partition(".")[0] == NAME
            for alias in node.names if own else ():
                if alias.name in known:
                    modules.add(alias.asname or alias.name)
                elif alias.name.startswith("_") and alias.name != "__version__":
                    taken.add(alias.name)
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return taken | {
        node.attr
        for node in attributes
        if isinstance(node.value, ast.Name)
        and node.value.id in modules
        and node.attr.startswith("_")
    }


def outside_packages(tree):
    """Return the top-level packages of others that are imported with the module."""
    tops = {name.split(".")[0] for name, at_import in imports(tree) if at_import}
    return tops - {NAME} - sys.stdlib_module_names


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@each_module
def test_module_has_its_place(path):
    assert path.stem in MAY_IMPORT


@each_module
def test_module_imports_only_from_below(path):
    known = set(MAY_IMPORT) | {one.stem for one in MODULES}
    assert own_modules(parse(path), known) <= MAY_IMPORT[path.stem]


@each_module
def test_module_takes_no_private_names_from_others(path):
    known = set(MAY_IMPORT) | {one.stem for one in MODULES}
    assert not foreign_private_names(parse(path), known)


@each_module
def test_module_imports_only_what_it_may_at_once(path):
    outside = outside_packages(parse(path))
    allowed = {"numpy"} if path.stem in GROUND | IDS else REQUIRED
    assert not outside & ON_FIRST_USE
    assert outside <= allowed
    assert "torch" not in outside or path.stem in USE_TORCH
    assert "skorch" not in outside or path.stem in USE_SKORCH


def test_no_module_lies_deeper():
    assert MODULES
    assert sorted(PACKAGE.rglob("*.py")) == MODULES


PLANTED = """
import os, torch.nn as nn
from . import metrics as m
from ._losses import softmax_loss
from sklearn_rankformer.adapters import RankerAdapter
import sklearn_rankformer._groups

if os.name:
    import pandas

class Lazy:
    def plot(self):
        import matplotlib.pyplot as plt
        from .inspection import plot
"""


def test_every_form_of_import_is_seen():
    tree = ast.parse(PLANTED)
    assert own_modules(tree, set(MAY_IMPORT)) == {
        "metrics",
        "_losses",
        "adapters",
        "_groups",
        "inspection",
    }
    assert outside_packages(tree) == {"torch", "pandas"}


def test_private_names_of_others_are_seen_however_they_are_taken():
    tree = ast.parse(
        """
from . import __version__, _training as training, metrics
from ._groups import check_groups
from .adapters import _fresh, RankerAdapter
from sklearn_rankformer.scoring import _predict as predict
import sklearn_rankformer._lists as lists
from sklearn.base import _fit_context

training.train, training._loop, metrics._gains, lists._keys, RankerAdapter._private
"""
    )
    expected = {"_fresh", "_predict", "_loop", "_gains", "_keys"}
    assert foreign_private_names(tree, set(MAY_IMPORT)) == expected


def test_what_needs_no_network_loads_no_torch():
    light = ["metrics", "scoring", "adapters", "datasets", "model_selection"]
    light += ["inspection", "calibration", "comparison", "ensemble"]
    light += ["counterfactual", "interleaving", "search_engines", "runtime"]
    there = [name for name in light if (PACKAGE / f"{name}.py").exists()]
    code = f"import sys; from {NAME} import {', '.join(there)}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert {f"{NAME}.{name}" for name in there} <= loaded
    # Not pandas and matplotlib: scikit-learn and SciPy may import those themselves.
    assert not loaded & {"torch", "skorch", "lightgbm", "xgboost", "catboost"}


@each_module
def test_the_map_in_contributing_names_every_module(path):
    contributing = Path(__file__).parents[1] / "CONTRIBUTING.md"
    assert f"- `{path.stem}`: " in contributing.read_text(encoding="utf-8")
