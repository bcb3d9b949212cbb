"""Everything that is checked before a release, one session each: ``nox -l`` lists them.

Sessions are fresh environments with pinned versions: `constraints.txt` is the newest
set that was tested, `constraints-oldest.txt` the oldest that setup.cfg allows. torch is
the same in both, as its numbers and its wheels change with each version. CI runs the
same sessions with ``--no-venv --no-install``, in the one environment that it makes.
"""

import shutil
import tempfile
from pathlib import Path

import nox

nox.options.sessions = ["lint", "typecheck", "tests", "docs"]
nox.options.reuse_existing_virtualenvs = True

PINS = {"newest": "constraints.txt", "oldest": "constraints-oldest.txt"}


def install(session, *what, pins="newest"):
    """Install torch first, so that its build for this machine stays."""
    session.install("-q", "-c", PINS[pins], "torch")
    session.install("-q", "-c", PINS[pins], *what)


@nox.session
@nox.parametrize("pins", list(PINS), ids=list(PINS))
def tests(session, pins):
    """Run the tests on the newest and on the oldest supported dependencies."""
    extra = {"newest": ".[test]", "oldest": ".[gbdt,plot,frames,files]"}[pins]
    tools = ["hypothesis", "pytest", "pytest-timeout", "pytest-xdist"]
    install(session, "-e", extra, *tools, pins=pins)
    session.run("python", "-m", "pytest", "-n", "auto", *session.posargs)


@nox.session
def engines(session):
    """Score on Spark (which needs Java), Dask and Ray; skipped where one is missing."""
    tools = ["hypothesis", "pytest", "pytest-timeout"]
    install(session, "-e", ".[files,frames,spark,dask,ray]", *tools)
    session.run("python", "-m", "pytest", "-m", "engine", *session.posargs)


@nox.session
def coverage(session):
    """Print which lines the tests run."""
    install(session, "-e", ".[test]", "coverage")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "report", "--show-missing", "--skip-covered")


@nox.session
def docs(session):
    """Build the documentation, gallery included; a warning is an error."""
    install(session, "-e", ".[docs]")
    # -E: pages read before would bring no warnings.
    options = ["-E", "-q", "-W", "--keep-going", "-b", "html", *session.posargs]
    session.run("sphinx-build", *options, "docs", "docs/_build/html")


@nox.session
def browser(session):
    """Open every page of the built site in Chromium; needs it and its driver."""
    session.install("-q", "-c", PINS["newest"], "selenium")
    site = session.posargs or ["docs/_build/html"]
    session.run("python", "tools/check_site.py", *site)


@nox.session
def lint(session):
    """Check style, format and docstrings."""
    install(session, "ruff", "numpydoc", "-e", ".")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    modules = sorted(map(str, Path("sklearn_rankformer").glob("*.py")))
    session.run("numpydoc", "lint", *modules)


@nox.session
def typecheck(session):
    """Check the types of the private modules."""
    install(session, "mypy", "-e", ".")
    session.run("mypy")


@nox.session(reuse_venv=False)
def release(session):
    """Build what is published, check it, test it from elsewhere: -- [ADDRESS] [...].

    With ADDRESS, where the repository is shown, the files stay in dist/; without, it is
    a rehearsal. Further arguments go to pytest.
    """
    address = [word for word in session.posargs if word.startswith("https://")]
    others = [word for word in session.posargs if word not in address]
    session.install("-q", "-c", PINS["newest"], "build", "twine")
    with tempfile.TemporaryDirectory() as elsewhere:
        out = Path("dist").resolve() if address else Path(elsewhere, "dist")
        session.run("python", "tools/release.py", str(out), *address)
        sdist, wheel = map(str, sorted(out.iterdir(), key=lambda path: path.suffix))
        # It renders README as the index does.
        session.run("python", "-m", "twine", "check", "--strict", sdist, wheel)
        install(session, f"{wheel}[test]")
        session.run("python", "-m", "pip", "check")
        shutil.unpack_archive(sdist, elsewhere, filter="data")
        source = next(Path(elsewhere).glob("sklearn_rankformer-*"))
        shutil.rmtree(source / "sklearn_rankformer")
        with session.chdir(source):
            session.run("python", "-m", "pytest", "-n", "auto", *others)
