"""What the documentation says is so: examples run, names exist, docstrings hold."""

import doctest
import inspect
import pkgutil
import re
import tomllib
from importlib import import_module
from itertools import chain
from pathlib import Path

import pytest
from sklearn import config_context

import sklearn_rankformer

ROOT = Path(__file__).parent.parent
NAME = sklearn_rankformer.__name__
MODULES = [module.name for module in pkgutil.iter_modules(sklearn_rankformer.__path__)]
PAGES = ["README.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]


# Pages whose code is not run, and why.
NOT_RUN = {"docs/performance.md": "torchrun starts its processes"}

# What makes an example small.
SMALLER = [
    (r"n_lists=\d+", "n_lists=40"),
    (r"RankFormerRanker\(", "RankFormerRanker(max_epochs=1, d_model=8, n_members=1, "),
    (r"MLPRanker\(", "MLPRanker(max_epochs=1, n_members=1, "),
    (r"n_estimators=\d+", "n_estimators=5"),
    (r"max_epochs=1, (.*?)(, )?max_epochs=\d+", r"max_epochs=1, \1"),
]


def public_names():
    """Every name users are meant to import, as a dotted path inside the package."""
    names = [name for name in sklearn_rankformer.__all__ if name != "__version__"]
    for module in (m for m in MODULES if not m.startswith("_")):
        shown = getattr(import_module(f"{NAME}.{module}"), "__all__", [])
        names += [f"{module}.{name}" for name in shown]
    return names


def in_reference():
    """Every name in the API reference."""
    dotted = r"^   ([A-Za-z_]+(?:\.[A-Za-z_]+)*)$"
    return re.findall(dotted, text_of("docs/api.md"), re.MULTILINE)


def resolve(path):
    """Object of a dotted path inside the package."""
    first, _, rest = path.partition(".")
    if not rest:
        return getattr(sklearn_rankformer, first)
    return getattr(import_module(f"{NAME}.{first}"), rest)


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_are_true(module):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(import_module(f"{NAME}.{module}"), optionflags=flags)
    assert result.failed == 0


def test_reference_names_exist_and_none_is_left_out():
    listed = in_reference()
    assert len(listed) == len(set(listed))
    for path in listed:
        assert callable(resolve(path))
    shown = {resolve(path) for path in listed}
    missing = [path for path in public_names() if resolve(path) not in shown]
    assert not missing


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def code_of(page):
    """The python blocks of a page, as one text on the lines where they stand."""
    code, inside = [], False
    for line in text_of(page).splitlines():
        fence = line.startswith("```")
        code.append(line if inside and not fence else "")
        inside = line == "```python" or (inside and not fence)
    return "\n".join(code)


RUN = [page for page in PAGES if code_of(page).strip() and page not in NOT_RUN]


@pytest.fixture
def hidden_figures():
    """Figures that are never shown, and closed after the test."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.close("all")
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.mark.parametrize("page", RUN)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_code_of_the_page_runs(page, tmp_path, monkeypatch, request):
    code = code_of(page)
    for library in ("lightgbm", "pandas", "pyarrow", "skops", "onnx"):
        if library in code:
            pytest.importorskip(library)
    if "Display" in code:
        request.getfixturevalue("hidden_figures")
    for large, small in SMALLER:
        code = re.sub(large, small, code)
    monkeypatch.chdir(tmp_path)
    with config_context():  # a page may switch routing on
        exec(compile(code, page, "exec"), {"__name__": "page"})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_tutorial_runs(tmp_path, monkeypatch, hidden_figures):
    for library in ("lightgbm", "pandas"):
        pytest.importorskip(library)
    code = text_of("examples/plot_tutorial.py")
    smaller = {
        "n_lists=1500": "n_lists=60",
        '"n_members": 2, "max_epochs": 10': '"n_members": 1, "max_epochs": 1',
        "n_estimators=60": "n_estimators=5",
    }
    for large, small in smaller.items():
        assert large in code
        code = code.replace(large, small)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "tutorial", "exec"), {"__name__": "tutorial"})


@pytest.mark.parametrize("page", NOT_RUN)
def test_pages_that_are_not_run_hold_code(page):
    assert code_of(page).strip()


def test_tests_that_pages_name_exist():
    named = [re.findall(r"`(test_\w+\.py)::(\w+)`", text_of(page)) for page in PAGES]
    named = dict.fromkeys(chain(*named))
    assert named
    for file, function in named:
        assert f"\ndef {function}(" in text_of(f"tests/{file}"), f"{file}::{function}"


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text_of(page)):
        assert ((ROOT / page).parent / target).exists(), target


def checked_docstrings():
    """Public functions and classes, and the methods they bring themselves."""
    for path in dict.fromkeys([*public_names(), *in_reference()]):
        thing = resolve(path)
        yield path
        if not inspect.isclass(thing):
            continue
        others = [base for base in thing.__mro__ if not of_package(base)]
        for name, member in vars(thing).items():
            mine = not any(hasattr(base, name) for base in others)
            if callable(member) and not name.startswith("_") and mine:
                yield f"{path}.{name}"


def of_package(thing):
    return thing.__module__.startswith(NAME)


def test_docstrings_follow_numpydoc():
    validate = pytest.importorskip("numpydoc.validate").validate
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    checks = settings["tool"]["numpydoc_validation"]["checks"]
    assert checks[0] == "all"
    found = [
        f"{path}: {code} {message}"
        for path in checked_docstrings()
        for code, message in validate(f"{NAME}.{path}")["errors"]
        if code not in checks
    ]
    assert not found, "\n".join(found)
