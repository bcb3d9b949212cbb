from ._groups import Lists, rank_rows, split_lists  # noqa: F401
