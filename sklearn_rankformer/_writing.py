"""Files that are written completely or not at all."""

import os
import secrets
import shutil
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
    file = _behind_link(path)
    if not file.parent.is_dir():
        raise FileNotFoundError(f"The folder of {file} does not exist. Make it first.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file in one step, once all of the new one is written.

    Parameters
    ----------
    path : Path
        File to write, or to replace. Of a symbolic link the file that it points to is
        replaced, and a file that is there leaves its permissions to the new one: as if
        it had been opened and written.

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
    file = _behind_link(path)
    # In the same folder, so that one step replaces. By a name of its own, as others may
    # write the same file: threads, and processes that have one id in two containers.
    unfinished = file.parent / _unfinished(path, secrets.token_hex(8))
    try:
        yield unfinished
        with open(unfinished, "rb+") as written:
            os.fsync(written.fileno())
        _take_permissions(file, unfinished)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what processes left that were killed while they wrote a file."""
    for unfinished in _behind_link(path).parent.glob(_unfinished(path, "*")):
        unfinished.unlink(missing_ok=True)


def _take_permissions(file: Path, unfinished: Path) -> None:
    # Only if they differ: where no file has its own, they cannot be set either.
    if file.exists() and file.stat().st_mode != unfinished.stat().st_mode:
        shutil.copymode(file, unfinished)


def _behind_link(path: Path) -> Path:
    """The file that a symbolic link points to, whether it is there or not."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _unfinished(path: Path, name: str) -> str:
    return f".{path.stem}.{name}.tmp{path.suffix}"
