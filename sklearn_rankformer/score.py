"""Score the lists of a file: python -m sklearn_rankformer.score.

    python -m sklearn_rankformer.score ranker.safetensors in.parquet out.parquet \\
        --group qid --keep item

The rows of a list must follow one another. Memory stays bounded, however long the file.
The output appears when all is scored; if anything fails, what was there before stays.
Exit status: 0 if all is written, 1 if not, 2 if the arguments make no sense, 130 after
Ctrl-C.
"""

import argparse
import copy
import sys
from dataclasses import replace
from pathlib import Path

from ._tablefiles import TableFiles, format_of, write_batches
from ._writing import check_place
from .serving import ListScorer

# Arrow's errors are of these kinds, too.
EXPECTED = (
    *(OSError, ValueError, TypeError, LookupError),
    *(ImportError, NotImplementedError),
)


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    status : int
        Exit status, as the module says.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        n_rows = _run(args)
    except KeyboardInterrupt:
        print("\ninterrupted: nothing was written", file=sys.stderr)
        return 130
    except EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote the scores of {n_rows} rows to {args.output}", file=sys.stderr)
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_rankformer.score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("ranker", help="file written by persistence.save")
    parser.add_argument(
        "input", help="file or folder: .parquet, .arrow, .feather, .csv, .csv.gz"
    )
    parser.add_argument("output", help="file to write, in any of these formats")
    parser.add_argument(
        "--group", required=True, metavar="COLUMN", help="column of the list ids"
    )
    parser.add_argument(
        "--keep", nargs="+", default=(), metavar="COLUMN", help="columns to hand on"
    )
    parser.add_argument(
        "--list-value", action="store_true", help="add the value of each row's list"
    )
    parser.add_argument(
        "--item-value", action="store_true", help="add the value of each item"
    )
    return parser


def _run(args):
    """Score, and return the number of rows."""
    files = TableFiles(args.input)
    kind = ListScorer if files.typed else _TextScorer
    scorer = kind(
        args.ranker,
        group_column=args.group,
        keep=args.keep,
        list_value=args.list_value,
        item_value=args.item_value,
    )
    _check_output(args.input, files.paths, args.output)
    names = files.schema.names
    needed, texts = scorer.columns_needed(names), scorer.columns_of_text(names)
    with _progress_bar(files.count_rows()) as bar:
        scored = scorer(files.batches(needed, texts))
        return write_batches(_counted(scored, bar), args.output)


class _TextScorer(ListScorer):
    """Scores of files without types, in which all categories are read as text.

    In memory the text "1" is not the number 1. In a file that knows only text it is:
    if a type was guessed for each column, long integers beside a gap would lose digits,
    and all numbers beside one other text would be unknown.
    """

    def _ranker(self):
        ranker = super()._ranker()
        model = getattr(ranker, "_model", None)
        columns = getattr(model, "columns", None)
        if columns is None:
            return ranker
        ranker = copy.copy(ranker)
        columns = replace(columns, categories=replace(columns.categories, spelled=True))
        ranker._model = replace(model, columns=columns)
        return ranker


def _check_output(source, paths, output):
    format_of(output)
    check_place(Path(output))
    if Path(output).resolve() in [Path(path).resolve() for path in paths]:
        raise ValueError(f"{output} is read and cannot be written, too.")
    if (
        Path(source).is_dir()
        and Path(source).resolve() in Path(output).resolve().parents
    ):
        raise ValueError(f"{output} would become part of {source}. Write elsewhere.")


def _progress_bar(total):
    from tqdm import tqdm  # comes with skorch

    # None: only where somebody looks at it.
    return tqdm(total=total, unit=" rows", unit_scale=True, disable=None)


def _counted(batches, bar):
    for batch in batches:
        yield batch
        bar.update(batch.num_rows)


if __name__ == "__main__":
    sys.exit(main())
