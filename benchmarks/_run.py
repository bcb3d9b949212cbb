"""How benchmarks are run: their arguments, where results go, many runs side by side.

One rule for where results go: only ``--publish`` writes to ``docs/results``. Any other
run writes to ``--out``, or to a new temporary directory, and says where.
"""

import argparse
import tempfile
import time
from pathlib import Path

import joblib
import torch
from _data import DATA_VARIABLE
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

PUBLISHED = Path(__file__).resolve().parent.parent / "docs" / "results"


def parser_of(description, name=None):
    """Make a parser with the arguments that every benchmark takes.

    Parameters
    ----------
    description : str
        The benchmark's docstring, shown as it is.
    name : str, default=None
        Default stem of the files written.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny, to see it run")
    parser.add_argument("--name", default=name, help="stem of the files written")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--out", type=Path, help="directory (default: a temporary one)")
    place.add_argument(
        "--publish", action="store_true", help="write what docs/results shows"
    )
    return parser


def add_jobs(parser):
    """Add the arguments of a benchmark that calls `run_jobs`."""
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread")
    parser.add_argument("--minutes", type=float, help="start nothing after this time")
    parser.add_argument(
        "--cache",
        help="directory that keeps finished runs: empty it when the package changes",
    )


def add_runs(parser, seeds=5):
    """Add the arguments of a benchmark of many runs, on data, with several seeds."""
    parser.add_argument("--data", help=f"data directory (default: ${DATA_VARIABLE})")
    parser.add_argument("--seeds", type=int, default=seeds)
    add_jobs(parser)


def parse(parser, argv=None):
    """Parse, and settle the directory of the results, ``out``; a quick run is small."""
    args = parser.parse_args(argv)
    if args.publish and args.quick:
        parser.error("--publish asks for a whole run: leave out --quick")
    if args.out and args.out.resolve().is_relative_to(PUBLISHED):
        parser.error(f"--out is in {PUBLISHED}: that is for --publish to write")
    if args.publish:
        args.out = PUBLISHED
    args.out = args.out or Path(tempfile.mkdtemp(prefix="benchmark-"))
    args.out.mkdir(parents=True, exist_ok=True)
    if args.quick and "seeds" in args:
        args.seeds = min(args.seeds, 2)
    return args


def network_params(quick):
    """Defaults of the package, or next to nothing for a quick run."""
    return {"max_epochs": 2, "n_members": 1} if quick else {}


def run_jobs(function, tasks, args):
    """Call ``function(**task)`` for each task; start none once the time is up.

    Order the tasks by seed, and a run cut short has whole seeds.

    Parameters
    ----------
    function : callable
        A function of a module, which processes can find.
    tasks : list of dict
        Arguments of each call.
    args : argparse.Namespace
        With the arguments of `add_jobs`: ``jobs`` processes with one thread each, 1 of
        which is this one; nothing is started after so many ``minutes``; ``cache`` names
        a directory that keeps finished runs, and gives them back whatever the package
        has become since.

    Returns
    -------
    done : list of (dict, object)
        Tasks that ran, in the order of ``tasks``, and what they returned.
    """
    start, results = time.monotonic(), {}

    def in_time():
        for number, task in enumerate(tasks):
            spent = time.monotonic() - start
            if args.minutes is not None and spent > 60 * args.minutes:
                return
            kept = _place_of(function, task, args.cache)
            yield delayed(_on_one_thread)(function, number, task, kept)

    pool = Parallel(
        args.jobs,
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch=args.jobs,
    )
    for number, result in pool(in_time()):
        results[number] = result
        spent = (time.monotonic() - start) / 60
        line = f"[{spent:6.1f} min] {len(results)}/{len(tasks)} {tasks[number]}"
        print(line, flush=True)
    return [(tasks[number], results[number]) for number in sorted(results)]


def by_setting(done, *names):
    """Yield the values of some arguments, in the order in which they first came.

    Parameters
    ----------
    done : list of (dict, object)
        As from `run_jobs`.
    *names : str
        The arguments.

    Yields
    ------
    values, results : tuple, list
        One value per name, and what all tasks with these values returned.
    """
    results = {}
    for task, result in done:
        results.setdefault(tuple(task[name] for name in names), []).append(result)
    yield from results.items()


def _on_one_thread(function, number, task, kept):
    torch.set_num_threads(1)
    with threadpool_limits(1):
        if kept is None:
            return number, function(**task)
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            joblib.dump(function(**task), kept)
        return number, joblib.load(kept)


def _place_of(function, task, cache):
    """Where the cache keeps what the function returns for this task."""
    if cache is None:
        return None
    # The module's name would be __main__ for every benchmark.
    name = Path(function.__code__.co_filename).stem
    return Path(cache) / f"{name}-{joblib.hash(task)}.joblib"
