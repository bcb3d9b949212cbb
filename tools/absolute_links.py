"""Print README with absolute links, as a package index needs them.

A package index shows README away from the repository, where relative links and pictures
lead nowhere. Before a release:

    python tools/absolute_links.py https://HOST/OWNER/NAME/blob/v0.1.0/ > out.md

and build from a copy in which README.md is that file. For pictures give the address of
raw files as the second argument.
"""

import re
import sys
from pathlib import Path

LINK = re.compile(r"(!?\[[^\]]*\]\()(?![a-z]+:|#)([^)\s]+)\)")


def absolute(text, pages, pictures):
    """Put an address in front of each relative link, and another for pictures."""

    def lead(match):
        start, target = match.groups()
        return f"{start}{pictures if start.startswith('!') else pages}{target})"

    return LINK.sub(lead, text)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    readme = Path(__file__).parents[1] / "README.md"
    print(
        absolute(readme.read_text(encoding="utf-8"), sys.argv[1], sys.argv[-1]), end=""
    )
