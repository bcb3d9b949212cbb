"""Build what is published, and check that nothing else is in it.

    python tools/release.py OUT [ADDRESS]

The sdist is built from what is committed, the wheel from the sdist, both into OUT.
ADDRESS is where the repository is shown, such as https://HOST/OWNER/NAME: README's
links lead there, as a package index shows README away from its neighbours, and so do
the metadata. Without ADDRESS it is a rehearsal, with an address that does not exist.
`nox -s release` goes on from here: it renders, installs and tests.
"""

import ast
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME = "sklearn_rankformer"
NOWHERE = "https://example.org/sklearn-rankformer"

LINK = re.compile(r"(!?\[[^\]]*\]\()(?![a-z]+:|#)([^)\s]+)\)")

# Beside the package itself.
IN_WHEEL = {"METADATA", "RECORD", "WHEEL", "top_level.txt", "licenses/LICENSE"}
# Of no use without the repository, and written by setuptools.
NOT_IN_SDIST = (".ci/", ".github/", ".gitignore", ".pre-commit-config.yaml")
ONLY_IN_SDIST = ("PKG-INFO", f"{NAME}.egg-info/")


def absolute(text, address, version):
    """Let each relative link of a page lead to `address`, and pictures to raw files."""

    def lead(match):
        start, target = match.groups()
        way = "raw" if start.startswith("!") else "blob"
        return f"{start}{address}/{way}/v{version}/{target})"

    return LINK.sub(lead, text)


def read_version(root):
    """The version as the package has it, read without an import."""
    text = (root / NAME / "__init__.py").read_text(encoding="utf-8")
    return ast.literal_eval(re.search(r"^__version__ = (.+)$", text, re.M)[1])


def heading(root, version):
    """What follows the version in the changelog's first heading, such as its date."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    named, rest = re.search(r"^## (\S+)(.*)$", text, re.M).groups()
    if named != version:
        raise SystemExit(f"CHANGELOG.md opens with {named}, not {version}.")
    return rest.strip()


def address_copy(root, address, version):
    """Write `address` into README and metadata of a copy."""
    readme = root / "README.md"
    text = absolute(readme.read_text(encoding="utf-8"), address, version)
    readme.write_text(text, "utf-8")
    urls = {
        "Source": address,
        "Changelog": f"{address}/blob/v{version}/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }
    lines = "".join(f"\n    {name} = {url}" for name, url in urls.items())
    setup = root / "setup.cfg"
    text = setup.read_text(encoding="utf-8")
    setup.write_text(
        text.replace("[metadata]", f"[metadata]\nproject_urls ={lines}", 1), "utf-8"
    )


def surprises(committed, sdist, wheel, version):
    """Names that the archives lack, or should not have.

    Parameters
    ----------
    committed, sdist, wheel : set of str
        Files of the repository and of both archives, relative to their roots.
    version : str
    """
    source = {name for name in committed if not name.startswith(NOT_IN_SDIST)}
    found = {name for name in sdist if not name.startswith(ONLY_IN_SDIST)}
    info = f"{NAME}-{version}.dist-info/"
    package = {name for name in committed if name.startswith(f"{NAME}/")}
    package |= {info + name for name in IN_WHEEL}
    return {
        "missing in the sdist": source - found,
        "only in the sdist": found - source,
        "missing in the wheel": package - wheel,
        "only in the wheel": wheel - package,
    }


def files(folder):
    """Names of the files below a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in paths}


def build(out, address, version):
    """Build both archives of what is committed; end with what is wrong in them."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place)
        archive = subprocess.check_output(["git", "archive", "HEAD"], cwd=ROOT)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(place, filter="data")
        committed = files(copy)
        address_copy(copy, address, version)
        command = [sys.executable, "-m", "build", "--outdir", str(out), place]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    with tarfile.open(sdist) as tar:
        names = {m.name.partition("/")[2] for m in tar.getmembers() if m.isfile()}
    inside = set(zipfile.ZipFile(wheel).namelist())
    found = surprises(committed, names, inside, version)
    wrong = [f"{what}: {sorted(which)}" for what, which in found.items() if which]
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"{sdist.name}: {len(names)} files")
    print(f"{wheel.name}: the package, its licence and its metadata, nothing else")


def main():
    """Check that version and changelog agree, then build."""
    if not 2 <= len(sys.argv) <= 3:
        raise SystemExit(__doc__)
    out, address = Path(sys.argv[1]), (*sys.argv[2:], NOWHERE)[0].rstrip("/")
    version = read_version(ROOT)
    dated = heading(ROOT, version)
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} holds files: remove them, so that none is published.")
    if address != NOWHERE and "unreleased" in dated:
        raise SystemExit(f"CHANGELOG.md says {dated}: give it the date first.")
    build(out, address, version)


if __name__ == "__main__":
    main()
