"""How fast and in how much memory a file is scored by the command line.

Lists of `make_ranking` are drawn into a Parquet file in a temporary directory. Two
processes score it, by turns and with the same number of threads: the command line
``python -m sklearn_rankformer.score``, and one that reads all rows and calls `predict`.
Resident memory is the peak of the whole process, libraries included, as Linux counts
it. The command line is timed from its start to its end, and once more without what it
needs to start, which is measured on a file of one list; of `predict` the call alone.

    python benchmarks/scoring.py --rows 200000
    python benchmarks/scoring.py --publish                    # 10 million rows, slow
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from _report import markdown_table, write_results
from _run import network_params, parse, parser_of

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.persistence import save

N_FEATURES = 50
BLOCK_LISTS = 5_000

# What the process beside the command line runs: ranker, rows, scores, time.
PREDICT = """
import sys, time
import numpy as np
import pandas as pd
from sklearn_rankformer import persistence

ranker = persistence.load(sys.argv[1])
rows = pd.read_parquet(sys.argv[2])
groups = rows.pop("qid").to_numpy()
X = rows.drop(columns="item")
start = time.perf_counter()
scores = ranker.predict(X, groups=groups)
print(time.perf_counter() - start)
np.save(sys.argv[3], scores)
"""


def write_rows(path, n_rows, seed):
    """Draw lists of about 20 items until there are so many rows; return one block."""
    writer, done, n_lists, first = None, 0, 0, None
    while done < n_rows:
        X, y, groups = make_ranking(
            BLOCK_LISTS, n_features=N_FEATURES, random_state=seed + n_lists
        )
        first = (X, y, groups) if first is None else first
        n = min(len(X), n_rows - done)
        columns = {"qid": groups[:n] + n_lists, "item": np.arange(done, done + n)}
        columns |= {f"f{j}": X[:n, j].astype(np.float32) for j in range(N_FEATURES)}
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        done, n_lists = done + n, n_lists + BLOCK_LISTS
    writer.close()
    return first


def fit_ranker(block, path, quick):
    """Save a ranker of the default shape; barely trained, it is as fast as any."""
    X, y, groups = block
    frame = pd.DataFrame(X.astype(np.float32)).add_prefix("f")
    some = groups < (20 if quick else 500)
    params = {"max_epochs": 1, "random_state": 0, **network_params(quick)}
    ranker = RankFormerRanker(**params).fit(frame[some], y[some], groups=groups[some])
    save(ranker, path)


def run_process(command, threads):
    """Run to the end; return seconds, peak resident MB, and what it printed."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path[1:]])
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
    peak, start = 0.0, time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *map(str, command)], env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            peak = max(peak, peak_mb(process.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        printed = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{command} ended with status {process.returncode}")
    return seconds, peak, printed


def peak_mb(pid):
    """Peak resident memory of a running process so far, as Linux counts it.

    Not by getrusage, in which a child starts with the memory of its parent.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it has just ended
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def measure(folder, rows, threads):
    """One turn of each: seconds and peak resident MB."""
    ranker, scored = folder / "ranker.safetensors", folder / "scored.parquet"
    command = ["-m", "sklearn_rankformer.score", ranker]
    options = ["--group", "qid", "--keep", "item"]
    start_up, *_ = run_process(
        [*command, folder / "one.parquet", scored, *options], threads
    )
    seconds, mb, _ = run_process([*command, rows, scored, *options], threads)
    predicted = folder / "predicted.npy"
    _, predict_mb, printed = run_process(
        ["-c", PREDICT, ranker, rows, predicted], threads
    )
    scores = pq.read_table(scored, columns=["score"])["score"].to_numpy()
    return {
        "seconds": seconds,
        "start_up": start_up,
        "mb": mb,
        "predict_seconds": float(printed),
        "predict_mb": predict_mb,
        "difference": float(np.abs(scores - np.load(predicted)).max()),
    }


def summarise(turns, n_rows, file_mb):
    """Medians over the turns, and ratios of each turn."""

    def median(of):
        return float(np.median([of(turn) for turn in turns]))

    def net(turn):
        return turn["seconds"] - turn["start_up"]

    worst = max(turn["difference"] for turn in turns)
    ours = {
        "way": "command line",
        "rows_per_s": median(lambda t: n_rows / t["seconds"]),
        "share": median(lambda t: t["predict_seconds"] / t["seconds"]),
        "net_share": median(lambda t: t["predict_seconds"] / net(t)),
        "mb": max(turn["mb"] for turn in turns),
    }
    theirs = {
        "way": "`predict` on all rows",
        "rows_per_s": median(lambda t: n_rows / t["predict_seconds"]),
        "mb": max(turn["predict_mb"] for turn in turns),
    }
    return [ours, theirs], {"file_mb": file_mb, "difference": worst}


def page(args, rows, found):
    """The Markdown page."""
    columns = {
        "way": "way",
        "rows_per_s": ("rows/s", ",.0f"),
        "share": ("of `predict`'s rows/s", ".0%"),
        "net_share": ("without the start", ".0%"),
        "mb": ("peak MB", ",.0f"),
    }
    return (
        f"{args.rows:,} rows of {N_FEATURES} features in lists of about 20, a Parquet "
        f"file of {found['file_mb']:,.0f} MB; {args.threads} threads; medians of "
        f"{args.repeats} turns, of memory the most. Scores differ by at most "
        f"{found['difference']:.1e}.\n\n{markdown_table(rows, columns)}"
    )


def main(argv=None):
    """Run, and write the table."""
    parser = parser_of(__doc__, "scoring")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parse(parser, argv)
    if args.quick:
        args.rows, args.repeats = min(args.rows, 5_000), 1
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        rows = folder / "rows.parquet"
        block = write_rows(rows, args.rows, args.seed)
        write_rows(folder / "one.parquet", 20, args.seed)
        fit_ranker(block, folder / "ranker.safetensors", args.quick)
        del block
        turns = []
        for number in range(args.repeats):
            turns.append(measure(folder, rows, args.threads))
            print(f"turn {number + 1}: {turns[-1]}", flush=True)
        table, found = summarise(turns, args.rows, rows.stat().st_size / 2**20)
    text = page(args, table, found)
    print(text)
    write_results(
        args, text, {"rows": args.rows, "ways": table, "turns": turns, **found}
    )


if __name__ == "__main__":
    main()
