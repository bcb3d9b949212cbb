"""LETOR text for tests, and how it comes to lie in a file."""

import gzip

SMALL = """\
2 qid:10 1:0.5 2:-1e-3 3:7 # docid = GX029-35 prob = 0.1
0 qid:10 1:0.25 3:8

1 qid:7 2:1.5
"""


def write(path, text, newline="\n"):
    """Write text or bytes, compressed if the name ends in .gz; return the path."""
    data = text if isinstance(text, bytes) else text.replace("\n", newline).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
