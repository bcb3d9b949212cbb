#!/usr/bin/env bash
# Release check: what users install is what is tested. Builds the wheel from what is
# committed, installs it into a clean environment, and runs the tests from outside the
# checkout. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir "$place/source" "$place/elsewhere"
git archive HEAD | tar -x -C "$place/source"

python3 -m venv "$place/venv"
pip="$place/venv/bin/pip"
"$pip" install -q -c constraints.txt torch
"$pip" wheel -q --no-deps -w "$place" "$place/source"
wheel=$(echo "$place"/*.whl)
echo "built $(basename "$wheel"):"
"$place/venv/bin/python" -m zipfile -l "$wheel" | awk '{print "  " $1}' | tail -n +2
"$pip" install -q -c constraints.txt "$wheel[test]"

cp -r "$place/source/." "$place/elsewhere"
rm -r "$place/elsewhere/sklearn_rankformer"
cd "$place/elsewhere"
"$place/venv/bin/python" - <<'PYTHON'
import sys
import sklearn_rankformer
home = sklearn_rankformer.__file__
assert home.startswith(sys.prefix), f"tested would be {home}, not the wheel"
print("installed", sklearn_rankformer.__version__, "at", home)
PYTHON
"$place/venv/bin/python" -m pytest -q -p no:cacheprovider "$@"
