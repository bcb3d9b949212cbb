"""Files that are written completely or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_place(path: Path) -> None:
    """Refuse a path that no file can be written to.

    Raises
    ------
    FileNotFoundError
        If its folder is not there.
    IsADirectoryError
        If it is a folder itself.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder of {path} does not exist. Make it first.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file in one step, once all of the new one is written.

    Parameters
    ----------
    path : Path
        File to write, or to replace.

    Yields
    ------
    unfinished : Path
        What to write to instead, with the same ending. It takes the place of `path` at
        the end; after an exception it is removed.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        As `check_place`.
    """
    check_place(path)
    # In the same folder, so that one step replaces. By a name of its own, as others may
    # write the same file: threads, and processes that have one id in two containers.
    unfinished = path.with_name(_unfinished(path, secrets.token_hex(8)))
    try:
        yield unfinished
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what processes left that were killed while they wrote a file."""
    for unfinished in path.parent.glob(_unfinished(path, "*")):
        unfinished.unlink(missing_ok=True)


def _unfinished(path: Path, name: str) -> str:
    return f".{path.stem}.{name}.tmp{path.suffix}"
