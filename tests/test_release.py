"""What a release is made of: tools/release.py, without building anything."""

import re
import runpy
from pathlib import Path

import pytest

import sklearn_rankformer

ROOT = Path(__file__).parent.parent
tool = runpy.run_path(str(ROOT / "tools" / "release.py"))

COMMITTED = {"README.md", "sklearn_rankformer/__init__.py", "tests/a.py", ".ci/run"}
VERSION = sklearn_rankformer.__version__
INFO = f"sklearn_rankformer-{VERSION}.dist-info/"
WHEEL = {"sklearn_rankformer/__init__.py", *(INFO + name for name in tool["IN_WHEEL"])}
SDIST = COMMITTED - {".ci/run"} | {"PKG-INFO"}


def test_the_version_is_the_same_everywhere():
    assert tool["heading"](ROOT, VERSION)  # unreleased, or a date
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {VERSION}\n" in citation
    # The tests may run where only the installed package is.
    source = Path(sklearn_rankformer.__file__)
    assert tool["read_version"](source.parents[1]) == VERSION


def test_a_changelog_of_another_version_is_refused(tmp_path):
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 0.9 (1 May)\n")
    with pytest.raises(SystemExit, match=r"opens with 0\.9, not 1\.2"):
        tool["heading"](tmp_path, "1.2")


def test_readme_for_an_index_has_no_relative_link():
    absolute, base = tool["absolute"], "https://p/o/n"
    assert absolute("![a](b.png) [c](d.md#e) [f](https://g)", base, "1") == (
        f"![a]({base}/raw/v1/b.png) [c]({base}/blob/v1/d.md#e) [f](https://g)"
    )
    text = absolute((ROOT / "README.md").read_text(encoding="utf-8"), base, "1")
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    assert all(target.startswith("https://") for target in targets)


def test_metadata_of_a_release_name_its_address(tmp_path):
    for name in ("README.md", "setup.cfg"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    tool["address_copy"](tmp_path, "https://p/o/n", "1.2")
    setup = (tmp_path / "setup.cfg").read_text(encoding="utf-8")
    assert "\n    Source = https://p/o/n\n" in setup
    assert "\n    Changelog = https://p/o/n/blob/v1.2/CHANGELOG.md\n" in setup


def test_archives_of_what_is_committed_hold_no_surprise():
    assert not any(tool["surprises"](COMMITTED, SDIST, WHEEL, VERSION).values())


@pytest.mark.parametrize(
    ("sdist", "wheel", "where", "what"),
    [
        (SDIST - {"tests/a.py"}, WHEEL, "missing in the sdist", "tests/a.py"),
        (SDIST | {"notes.txt"}, WHEEL, "only in the sdist", "notes.txt"),
        (SDIST, WHEEL | {"tests/a.py"}, "only in the wheel", "tests/a.py"),
        (
            SDIST,
            WHEEL - {INFO + "licenses/LICENSE"},
            "missing in the wheel",
            INFO + "licenses/LICENSE",
        ),
    ],
)
def test_a_surprise_in_an_archive_is_named(sdist, wheel, where, what):
    found = tool["surprises"](COMMITTED, sdist, wheel, VERSION)
    assert found.pop(where) == {what}
    assert not any(found.values())
