"""Tables, and the files that results are written to."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np

LIBRARIES = ("numpy", "scikit-learn", "torch", "lightgbm", "xgboost", "catboost")
# Where things lie on one machine says nothing about a result.
NOT_RECORDED = {"data", "cache", "out", "publish", "name"}


def markdown_table(rows, columns):
    """Write rows (dicts) as a Markdown table.

    Parameters
    ----------
    rows : list of dict
        One per line; a missing key leaves its cell empty. Floats get four digits; an
        interval from `paired_interval` is written as "+0.0123 [+0.0010, +0.0240]".
    columns : list of str, or dict
        Keys to show. A dict maps them to their headings, or to pairs of a heading and
        a format for the numbers, such as ".1%".

    Returns
    -------
    table : str
        Numbers stand to the right. Ends with a newline.
    """
    if not isinstance(columns, dict):
        columns = {key: key for key in columns}
    shown = {
        key: (one, "") if isinstance(one, str) else one for key, one in columns.items()
    }
    lines = [[heading for heading, _ in shown.values()]]
    lines += [["---" if _is_text(rows, key) else "---:" for key in shown]]
    for row in rows:
        lines += [[_cell(row.get(key, ""), form) for key, (_, form) in shown.items()]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _is_text(rows, key):
    return all(isinstance(row.get(key, ""), str) for row in rows)


def _cell(value, form):
    if isinstance(value, dict) and "difference" in value:
        parts = (value["difference"], value["low"], value["high"])
        return "{:+.4f} [{:+.4f}, {:+.4f}]".format(*parts)
    if isinstance(value, float | np.floating):
        return format(value, form or ".4f")
    return str(value) if isinstance(value, str) else format(value, form)


def write_results(args, page, results, runs=None):
    """Write ``<args.out>/<args.name>.json`` and ``.md``, and say where they are.

    Parameters
    ----------
    args : argparse.Namespace
        From `_run.parse`. Its settings stand in the JSON, beside a description of the
        machine.
    page : str
        The page, in Markdown. A run that is not whole says so above it.
    results : dict
        What was measured; arrays become lists, NaN becomes null.
    runs : (int, int), default=None
        How many runs were done, and how many were planned.
    """
    settings = {k: v for k, v in vars(args).items() if k not in NOT_RECORDED}
    if runs is not None:
        settings |= dict(zip(("n_done", "n_planned"), runs, strict=True))
    measured = {"machine": describe_machine(), **settings, **results}
    text = json.dumps(_plain(measured), indent=1) + "\n"
    _path(args, ".json").write_text(text, encoding="utf-8")
    _path(args, ".md").write_text(_caveat(args, runs) + page, encoding="utf-8")
    print(f"wrote {_path(args, '.md')} and .json")


def save_figure(args, figure):
    """Write ``<args.out>/<args.name>.png``, and say where it is."""
    figure.savefig(_path(args, ".png"), dpi=120)
    print(f"wrote {_path(args, '.png')}")


def _path(args, suffix):
    return args.out / f"{args.name}{suffix}"


def _caveat(args, runs):
    if args.quick:
        return "A quick run, to see it work: these numbers mean nothing.\n\n"
    if runs is not None and runs[0] < runs[1]:
        return f"Cut short: {runs[0]} of {runs[1]} runs.\n\n"
    return ""


def describe_machine():
    """Versions and cores on which a result was measured."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        **versions,
    }


def _plain(value):
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
