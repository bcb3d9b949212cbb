"""Files of tables, read and written batch by batch with a bounded memory.

pyarrow's own scanner of data sets reads far ahead: of row groups of 400 MB it held 1 to
1.8 GB at a time, where the plain reader of Parquet files holds 0.2 GB. So each format
has its plain reader here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from ._frames import check_columns, joining
from ._writing import replacing

BATCH_ROWS = 2**15
# Through which a column of Parquet is read, instead of all that a row group has of it.
BUFFER_BYTES = 2**16
CSV_BLOCK_BYTES = 2**22
# Text of CSV is missing where there is nothing, not even quotes. A number is missing
# where there is "NA" and the like, too.
EMPTY_IS_MISSING = {
    "null_values": [""],
    "strings_can_be_null": True,
    "quoted_strings_can_be_null": False,
}


class _Format(NamedTuple):
    """How files of one format are read and written.

    Attributes
    ----------
    schema : callable
        ``schema(path)``: pyarrow's schema of all columns, guessed where not `typed`.
    batches : callable
        ``batches(path, schema)``: iterator of record batches of these columns.
    n_rows : callable
        ``n_rows(path)``: how many there are, or None where only reading would tell.
    writer : callable
        ``writer(path, schema)``: context manager with ``write_batch``.
    typed : bool
        Whether a file says of which types its columns are.
    """

    schema: Callable[[str], Any]
    batches: Callable[[str, Any], Iterator]
    n_rows: Callable[[str], int | None]
    writer: Callable[[str, Any], Any]
    typed: bool = True


def refuse_same_file(paths: Sequence[Any]) -> None:
    """Raise ValueError if a file is given twice: its rows would be, too.

    A file may be given by itself and by its folder, or under the name of a link to it.
    """
    files = [Path(path).resolve() for path in paths]
    if len({*files}) < len(files):
        twice = next(path for path in files if files.count(path) > 1)
        raise ValueError(f"{twice} is given twice. Give each file once.")


class TableFiles:
    """Files of tables, one after the other.

    Parameters
    ----------
    source : str, path-like, or list of these
        Files in the given order; of a folder and the folders in it all that end as a
        table does, in the order of their names, except files and folders whose name
        begins with a dot or an underscore.

    Attributes
    ----------
    paths : list of str
        The files, at least one.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    FileNotFoundError
        If there is no such file, or no table in a folder.
    ValueError
        If no file is given, one is given twice, or the ending of one is of no known
        format.
    """

    def __init__(self, source: Any):
        _import_pyarrow()
        sources = source if isinstance(source, list | tuple) else [source]
        self.paths = [str(path) for one in sources for path in _files_of(Path(one))]
        if not self.paths:
            raise ValueError("No file was given. Give at least one.")
        for path in self.paths:
            format_of(path)
        refuse_same_file(self.paths)

    @cached_property
    def schema(self) -> Any:
        """pyarrow's schema of the first file; of CSV, its types are guesses."""
        return _schema(self.paths[0])

    @property
    def typed(self) -> bool:
        """Whether the first file says of which types its columns are."""
        return format_of(self.paths[0]).typed

    def count_rows(self) -> int | None:
        """Return the number of rows, or None where only reading would tell."""
        total = 0
        for path in self.paths:
            n_rows = format_of(path).n_rows(path)
            if n_rows is None:
                return None
            total += n_rows
        return total

    def batches(
        self, columns: Sequence | None = None, texts: Sequence = ()
    ) -> Iterator:
        """Read batch by batch.

        Parameters
        ----------
        columns : sequence of str, default=None
            Columns to read; None reads those of the first file.
        texts : sequence of str, default=()
            Columns to read from CSV as text, letter by letter. The types of others are
            guessed there, from the first megabytes of a file: of "007" and "7" the
            number 7 would be made. Whole numbers in columns that are named are read as
            float64, as fractions may follow.

        Yields
        ------
        batch : pyarrow.RecordBatch
            All of one schema: where a column has several types of numbers, of the type
            that holds all.

        Raises
        ------
        ValueError
            If a file is damaged or lacks a column.
        TypeError
            If a column has types that do not go together.
        """
        import pyarrow as pa

        wanted = self.schema.names if columns is None else list(columns)
        found = [self.schema, *map(_schema, self.paths[1:])]
        schemas = []
        for path, schema in zip(self.paths, found, strict=True):
            if not format_of(path).typed:
                schema = _better_guess(schema, columns or (), texts)
            schemas.append(_choose(wanted, path, schema))
        # Before the first row: whoever writes what is read has one type for each
        # column.
        with joining(pa.ArrowException):
            common = pa.unify_schemas(schemas, promote_options="permissive")
        if not all(format_of(path).typed for path in self.paths):
            # Where nothing was seen of a column of CSV, numbers may follow.
            common = _without_nulls(common, [pa.float64()] * len(common))
        for path, schema in zip(self.paths, schemas, strict=True):
            with _naming(path):
                seen = _without_nulls(schema, common.types)
                for batch in format_of(path).batches(path, seen):
                    yield batch.select(wanted).cast(common)
        # So that files without rows have columns, too.
        yield _no_rows(common)


def write_batches(batches: Iterable, path: str) -> int:
    """Write record batches to a file that appears when all are written.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        At least one, all of one schema.
    path : str
        File to write; one that is there is replaced in one step at the end. If the
        batches end with an exception, it is left as it was.

    Returns
    -------
    n_rows : int
        How many were written.
    """
    batches = iter(batches)
    first = next(batches)
    n_rows = first.num_rows
    with (
        replacing(Path(path)) as unfinished,
        format_of(path).writer(str(unfinished), first.schema) as writer,
    ):
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


def format_of(path: str) -> _Format:
    """Return how files of this ending are read and written."""
    for endings, one in _FORMATS.items():
        if path.lower().endswith(endings):
            return one
    raise ValueError(
        f"{path} is of no known format. Its name must end in {', '.join(_endings())}."
    )


def _endings() -> tuple[str, ...]:
    return tuple(ending for group in _FORMATS for ending in group)


def _schema(path: str) -> Any:
    with _naming(path):
        return format_of(path).schema(path)


def _better_guess(schema: Any, columns: Sequence, texts: Sequence) -> Any:
    """The schema of a file without types, by what is known of its columns.

    See `TableFiles.batches`.
    """
    import pyarrow as pa

    def kind(field: Any) -> Any:
        if field.name in texts:
            return pa.string()
        whole = field.type == pa.int64()
        return pa.float64() if whole and field.name in columns else field.type

    return pa.schema([(field.name, kind(field)) for field in schema])


def _choose(wanted: list, path: str, schema: Any) -> Any:
    """The wanted columns of a file's schema."""
    import pyarrow as pa

    check_columns(wanted, schema.names, path)
    fields = [_roomy(schema.field(name)) for name in wanted]
    return pa.schema(fields, schema.metadata)


def _without_nulls(schema: Any, kinds: list) -> Any:
    """A schema whose columns without any value are of these types."""
    import pyarrow as pa

    pairs = zip(schema, kinds, strict=True)
    fields = [f.with_type(k) if pa.types.is_null(f.type) else f for f, k in pairs]
    return pa.schema(fields, schema.metadata)


def _roomy(field: Any) -> Any:
    """A field that can be joined and written, whose dictionary may grow.

    pandas counts the categories of one file in 8 bits if that will do, and those of all
    files may be more. polars writes texts as views, which Arrow neither takes out of a
    dictionary nor writes to CSV.
    """
    import pyarrow as pa

    kind = field.type
    if not pa.types.is_dictionary(kind):
        return field.with_type(_without_view(kind))
    values = _without_view(kind.value_type)
    return field.with_type(pa.dictionary(pa.int32(), values, kind.ordered))


def _without_view(kind: Any) -> Any:
    import pyarrow as pa

    return pa.large_string() if pa.types.is_string_view(kind) else kind


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Have errors of a reader say which file it was."""
    try:
        yield
    # Arrow has not all compressions and casts everywhere.
    except (OSError, ValueError, LookupError, NotImplementedError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _no_rows(schema: Any) -> Any:
    import pyarrow as pa

    arrays = [column.combine_chunks() for column in schema.empty_table().columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _import_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Reading tables from files needs pyarrow: pip install "
            '"sklearn-rankformer[files]".'
        ) from error


def _files_of(path: Path) -> list[Path]:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    if not path.is_dir():
        return [path]
    found = sorted(
        one
        for one in path.rglob("*")
        # Spark writes folders whose names end as those of files do.
        if one.is_file()
        and one.name.lower().endswith(_endings())
        and not any(part.startswith((".", "_")) for part in one.relative_to(path).parts)
    )
    if not found:
        raise FileNotFoundError(f"{path} holds no file that ends in {_endings()}.")
    return found


# Formats ------------------------------------------------------------------------------


def _open_parquet(path: str) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False)


def _parquet_schema(path: str) -> Any:
    with _open_parquet(path) as file:
        return file.schema_arrow


def _parquet_batches(path: str, schema: Any) -> Iterator:
    options = {"columns": schema.names, "use_threads": False}
    with _open_parquet(path) as file:
        # One thread: several hold a column chunk each.
        yield from file.iter_batches(BATCH_ROWS, **options)


def _count_parquet(path: str) -> int:
    with _open_parquet(path) as file:
        return file.metadata.num_rows


def _parquet_writer(path: str, schema: Any) -> Any:
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(path, schema)


def _arrow_schema(path: str) -> Any:
    import pyarrow as pa

    with pa.memory_map(path) as file:
        return pa.ipc.open_file(file).schema


def _arrow_batches(path: str, schema: Any) -> Iterator:
    import pyarrow as pa

    with pa.memory_map(path) as file:
        reader = pa.ipc.open_file(file)
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)


def _count_arrow(path: str) -> int:
    import pyarrow as pa

    with pa.memory_map(path) as file:
        reader = pa.ipc.open_file(file)
        batches = range(reader.num_record_batches)
        return sum(reader.get_batch(i).num_rows for i in batches)


@contextmanager
def _arrow_writer(path: str, schema: Any) -> Iterator:
    import pyarrow as pa

    # A file holds one dictionary a column, and each batch has its own.
    kinds = [k.value_type if pa.types.is_dictionary(k) else k for k in schema.types]
    plain = pa.schema(zip(schema.names, kinds, strict=True))
    with pa.ipc.new_file(path, plain) as writer:
        yield SimpleNamespace(write_batch=lambda b: writer.write_batch(b.cast(plain)))


def _compression(path: str) -> str | None:
    # By the ending in any case; Arrow itself knows ".gz" only.
    return "gzip" if path.lower().endswith(".gz") else None


def _open_csv(path: str, kinds: dict[str, Any], **missing: Any) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    return csv.open_csv(
        pa.input_stream(path, compression=_compression(path)),
        csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(include_columns=list(kinds), column_types=kinds, **missing),
    )


def _csv_schema(path: str) -> Any:
    return _open_csv(path, {}).schema


def _csv_batches(path: str, schema: Any) -> Iterator:
    import pyarrow as pa

    kinds = dict(zip(schema.names, schema.types, strict=True))
    letters = {name: kind for name, kind in kinds.items() if kind == pa.string()}
    others = {name: kind for name, kind in kinds.items() if name not in letters}
    # A reader has one rule of what is missing, so that two go side by side.
    parts: tuple = (others, {}), (letters, EMPTY_IS_MISSING)
    readers = [_open_csv(path, part, **missing) for part, missing in parts if part]
    for batches in zip(*readers, strict=True):
        found = {name: batch[name] for batch in batches for name in batch.schema.names}
        yield pa.RecordBatch.from_arrays([found[name] for name in kinds], [*kinds])


@contextmanager
def _csv_writer(path: str, schema: Any) -> Iterator:
    import pyarrow as pa
    from pyarrow import csv

    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    if nested:
        raise TypeError(
            f"CSV cannot hold the lists or structures of the column "
            f"{', '.join(map(repr, nested))}. Write a Parquet or Arrow file."
        )
    with (
        pa.output_stream(path, compression=_compression(path)) as file,
        csv.CSVWriter(file, schema) as writer,
    ):
        yield writer


_FORMATS = {
    (".parquet", ".pq"): _Format(
        _parquet_schema, _parquet_batches, _count_parquet, _parquet_writer
    ),
    (".arrow", ".feather", ".ipc"): _Format(
        _arrow_schema, _arrow_batches, _count_arrow, _arrow_writer
    ),
    (".csv", ".csv.gz"): _Format(
        _csv_schema, _csv_batches, lambda path: None, _csv_writer, typed=False
    ),
}
