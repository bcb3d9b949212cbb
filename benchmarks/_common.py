"""What the accuracy benchmarks share: lists, folds, paired intervals, jobs, results.

Real data are never part of the project. ``--data`` or the environment variable
``SKLEARN_RANKFORMER_DATA`` names the directory that holds them as ``.npz`` files with
``X``, ``y`` and ``qid``, or as LETOR folders.
"""

import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from sklearn_rankformer import RankerAdapter
from sklearn_rankformer.datasets import load_letor_fold, make_ranking
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.simulation import simulate_implicit_feedback

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
DATA_VARIABLE = "SKLEARN_RANKFORMER_DATA"
FILES = {
    "mq2008": "mq2008.npz",
    "mslr": "mslr_web_sample.npz",
    "expedia": "expedia_click_book.npz",
}
LIBRARIES = ("numpy", "scikit-learn", "torch", "lightgbm", "xgboost", "catboost")


def load_lists(name_or_path, data_dir=None, **world):
    """Load ranking data by name, or from a file or folder.

    Parameters
    ----------
    name_or_path : str or path-like
        "synthetic" draws `make_ranking`; "mq2008", "mslr" and "expedia" are looked for
        in the data directory; anything else is an ``.npz`` file, or a LETOR folder,
        whose first fold is read and joined.
    data_dir : path-like, default=None
        Data directory; None takes it from ``SKLEARN_RANKFORMER_DATA``.
    **world
        Arguments of `make_ranking`.

    Returns
    -------
    lists : Bunch
        ``name``, ``X``, ``y`` (int64), ``groups``; ``fold`` (from 0, or None) where
        there are official folds; what other arrays the file holds, or the noise-free
        ``utility`` of synthetic items.
    """
    if name_or_path == "synthetic":
        X, y, groups, utility = make_ranking(**world, return_utility=True)
        return Bunch(
            name="synthetic", X=X, y=y, groups=groups, fold=None, utility=utility
        )
    path = find_data(name_or_path, data_dir)
    if path.is_dir():
        parts = load_letor_fold(path, None if (path / "train.txt").exists() else 1)
        parts = [parts.train, parts.vali, parts.test]
        X, y, groups = (np.concatenate(one) for one in zip(*parts, strict=True))
        return Bunch(name=path.name, X=X, y=y, groups=groups, fold=None)
    with np.load(path, allow_pickle=False) as file:
        held = {key: file[key] for key in file.files}
    fold = held.pop("fold", None)
    return Bunch(
        name=str(name_or_path) if name_or_path in FILES else path.stem,
        X=held.pop("X"),
        y=held.pop("y").astype(np.int64),
        groups=held.pop("qid"),
        fold=None if fold is None else fold.astype(np.int64) - fold.min(),
        **held,
    )


def find_data(name_or_path, data_dir=None):
    """Return the path of a data set, or raise with what was looked for."""
    directory = Path(data_dir or os.environ.get(DATA_VARIABLE, "."))
    path = directory / FILES.get(str(name_or_path), str(name_or_path))
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist. Give --data, or set {DATA_VARIABLE} to the "
            f"directory that holds {path.name}."
        )
    return path


def list_folds(groups, seed=0, n_folds=5):
    """Deal whole lists into folds at random: ndarray of shape (n_rows,), from 0."""
    ids, codes = np.unique(groups, return_inverse=True)
    return (np.random.RandomState(seed).permutation(len(ids)) % n_folds)[codes]


def feedback_of(data, rows, kind, rng, n_repeats=2):
    """X, y, groups of some rows: their labels, or clicks that are simulated."""
    if kind == "labels":
        return data.X[rows], data.y[rows], data.groups[rows]
    shown = simulate_implicit_feedback(
        data.y[rows],
        data.groups[rows],
        n_repeats=n_repeats,
        max_label=int(data.y.max()),
        rng=rng,
    )
    return data.X[rows][shown.rows], shown.labels, shown.groups


def paired_interval(per_list_a, per_list_b, rng, n_boot=2000, level=0.95):
    """Mean difference a - b over the same lists, with a bootstrap interval.

    Parameters
    ----------
    per_list_a, per_list_b : array-likes of shape (n_lists,) or (n_seeds, n_lists)
        Metric of each list; NaN where a list is left out or was not tested.
    rng : numpy.random.Generator
        Source of randomness.
    n_boot : int, default=2000
        Number of bootstrap samples.
    level : float, default=0.95
        Coverage.

    Returns
    -------
    interval : Bunch
        ``difference``, ``low``, ``high``, ``n_lists``, ``n_seeds``.

    Notes
    -----
    Lists are drawn with replacement, and so are the seeds if there are several: a
    training run is a sample too, and what is common to all of its lists would go
    unnoticed otherwise. Drawing both errs on the wide side (Owen 2007, "The pigeonhole
    bootstrap").
    """
    gap = np.atleast_2d(np.asarray(per_list_a, float) - np.asarray(per_list_b, float))
    gap = gap[:, ~np.isnan(gap).all(axis=0)]
    there = ~np.isnan(gap)
    filled = np.where(there, gap, 0.0)
    n_seeds, n_lists = gap.shape
    lists = rng.multinomial(n_lists, np.full(n_lists, 1 / n_lists), size=n_boot)
    seeds = np.ones((n_boot, 1))
    if n_seeds > 1:
        seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_boot)
    counted = np.einsum("bs,sb->b", seeds, there @ lists.T.astype(float))
    means = np.einsum("bs,sb->b", seeds, filled @ lists.T) / np.maximum(counted, 1)
    tail = (1 - level) / 2
    low, high = np.quantile(means[counted > 0], [tail, 1 - tail])
    return Bunch(
        difference=float(filled.sum() / there.sum()),
        low=float(low),
        high=float(high),
        n_lists=n_lists,
        n_seeds=n_seeds,
    )


def markdown_table(rows, columns):
    """Write rows (dicts) as a Markdown table.

    Parameters
    ----------
    rows : list of dict
        One per line; a missing key leaves its cell empty. Floats get four digits; an
        interval from `paired_interval` is written as "+0.0123 [+0.0010, +0.0240]".
    columns : list of str, or dict of str to str
        Keys to show, with their headings if they differ.

    Returns
    -------
    table : str
        Ends with a newline.
    """
    headings = columns if isinstance(columns, dict) else {c: c for c in columns}
    lines = [list(headings.values())]
    lines += [[_cell(row.get(key, "")) for key in headings] for row in rows]
    ruler = ["---" if i == 0 else "---:" for i in range(len(headings))]
    lines.insert(1, ruler)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cell(value):
    if isinstance(value, dict) and "difference" in value:
        parts = (value["difference"], value["low"], value["high"])
        return "{:+.4f} [{:+.4f}, {:+.4f}]".format(*parts)
    if isinstance(value, float | np.floating):
        return f"{value:.4f}"
    return str(value)


def write_results(path_stem, results, markdown):
    """Write ``docs/results/<stem>.json`` and ``.md``; the JSON says what it ran on.

    Parameters
    ----------
    path_stem : str or path-like
        Name under ``docs/results``, or an absolute path, without suffix.
    results : dict
        What was measured; arrays become lists, NaN becomes null.
    markdown : str
        The page.

    Returns
    -------
    stem : pathlib.Path
        Where they are, without suffix.
    """
    stem = RESULTS / path_stem
    stem.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain({"machine": describe_machine(), **results}), indent=1)
    stem.with_suffix(".json").write_text(text + "\n")
    stem.with_suffix(".md").write_text(markdown)
    return stem


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


def run_jobs(function, tasks, *, n_jobs=1, minutes=None):
    """Call ``function(**task)`` for each task; start none once the time is up.

    Order the tasks by seed, and a run cut short has whole seeds.

    Parameters
    ----------
    function : callable
        A function of a module, which processes can find.
    tasks : list of dict
        Arguments of each call.
    n_jobs : int, default=1
        Processes, each with one thread; 1 stays in this one.
    minutes : float, default=None
        Start nothing after this many minutes.

    Returns
    -------
    done : list of (dict, object)
        Tasks that ran, in the order of ``tasks``, and what they returned.
    """
    start, results = time.monotonic(), {}

    def in_time():
        for number, task in enumerate(tasks):
            if minutes is not None and time.monotonic() - start > 60 * minutes:
                return
            yield delayed(_one_thread)(function, number, task)

    pool = Parallel(
        n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=n_jobs
    )
    for number, result in pool(in_time()):
        results[number] = result
        spent = (time.monotonic() - start) / 60
        told = f"[{spent:6.1f} min] {len(results)}/{len(tasks)} {tasks[number]}"
        print(told, flush=True)
    return [(tasks[number], results[number]) for number in sorted(results)]


def _one_thread(function, number, task):

    torch.set_num_threads(1)
    with threadpool_limits(1):
        return number, function(**task)


def add_run_arguments(parser):
    """Add the arguments every benchmark takes."""
    parser.add_argument("--data", help=f"data directory (default: ${DATA_VARIABLE})")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread")
    parser.add_argument("--minutes", type=float, help="start nothing after this time")
    parser.add_argument("--quick", action="store_true", help="tiny, to see it run")
    parser.add_argument("--out", default=str(RESULTS), help="directory of the results")


def parse_run(parser, argv=None):
    """Parse arguments, and say how many seeds a quick run makes do with."""
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds = min(args.seeds, 2)
    return args


def network_params(quick):
    """Defaults of the package, or next to nothing for a quick run."""
    return {"max_epochs": 2, "n_members": 1} if quick else {}


def fit_lightgbm(train, val, seed, quick=False):
    """LightGBM at its best of four settings, chosen and stopped on ``val``.

    Parameters
    ----------
    train, val : (X, y, groups)
        Lists to learn, and lists to choose by.
    seed : int
        Random state.
    quick : bool, default=False
        One setting and few trees.

    Returns
    -------
    ranker : RankerAdapter
        The fitted ranker with the highest NDCG@10 on ``val``.
    """
    from lightgbm import LGBMRanker

    settings = [(o, n) for o in ("lambdarank", "rank_xendcg") for n in (15, 63)]
    rankers = [
        RankerAdapter(
            LGBMRanker(
                objective=objective,
                num_leaves=num_leaves,
                n_estimators=20 if quick else 1000,
                learning_rate=0.05,
                random_state=seed,
                n_jobs=1,
                verbosity=-1,
            ),
            early_stopping_rounds=50,
        )
        for objective, num_leaves in settings[: 1 if quick else None]
    ]
    for ranker in rankers:
        fit_held(ranker, train, val)
    return max(rankers, key=lambda ranker: ranker.score(*val))


def fit_held(ranker, train, held):
    """Fit on ``train``, watching ``held``, both (X, y, groups); return the ranker."""
    X_val, y_val, groups_val = held
    return ranker.fit(*train, X_val=X_val, y_val=y_val, groups_val=groups_val)


def per_list_ndcg(y, scores, groups, k=10):
    """NDCG@k of each list, NaN where there is nothing to find: (n_lists,)."""
    return ndcg_score(y, scores, groups, k=k, reduction="none").value


def each_in_own_columns(arrays):
    """Values of each seed's own lists, for `paired_interval`: (n_seeds, n_all_lists).

    No two seeds share a column, so that NaN stands wherever a list is another seed's.
    """
    ends = np.cumsum([len(values) for values in arrays])
    spread = np.full((len(arrays), ends[-1]), np.nan)
    for row, values, end in zip(spread, arrays, ends, strict=True):
        row[end - len(values) : end] = values
    return spread


def save_figure(figure, path_stem):
    """Write ``docs/results/<stem>.png``."""
    stem = RESULTS / path_stem
    stem.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(stem.with_suffix(".png"), dpi=120)
