"""Do two processes, each with files of its own, train as one does, and twice as fast?

Lists of days 0 to 5 of EBNeRD, a log of news shown and clicked, are written to Parquet
files of whole lists in a temporary directory. One process fits the default ranker on
all of them in memory; two processes of torchrun fit it on the files dealt to them. Each
process has one thread, and the fits take turns: two cores must be free for the two.
NDCG@10 is measured on day 6 and on 10,000 lists of the second week. Rows a second are
those of training steps, without reading and held-out lists. Seconds of the CPU are
those of whole fits, of both processes together.

Then workers are killed at random moments under ``torchrun --max_restarts``, and what
the last attempt ends with is compared with an undisturbed run.

    python benchmarks/shards.py --data DIR --lists 2000
    python benchmarks/shards.py --data DIR --publish
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from _compare import paired_interval, per_list_ndcg
from _data import load_lists, parts_by_day, parts_of
from _report import markdown_table, write_results
from _run import add_runs, network_params, parse, parser_of

GROUP, LABEL = "qid", "label"
WORKER = Path(__file__).with_name("_shard_worker.py")
TESTS = "day 6", "week two"
N_KILLS = 10
# A worker is killed up to so many seconds after it has started.
LATEST_KILL = 12.0


def write_lists(folder, n_lists, n_shards, data_dir):
    """Write the lists to learn from to shards, those to test on to a file each.

    Returns
    -------
    n_rows : int
        Rows to learn from.
    tests : dict of (y, groups)
    """
    data = load_lists("ebnerd", data_dir)
    ids, first = np.unique(data.groups, return_index=True)
    early, *others = parts_by_day(ids, data.day[first])
    parts = [early[:n_lists], *(part[:n_lists] for part in others)]
    (X, y, groups), *rest = parts_of(data, *(np.isin(data.groups, p) for p in parts))
    (folder / "shards").mkdir()
    shard = np.searchsorted(np.sort(parts[0]), groups) % n_shards
    for i in range(n_shards):
        at = shard == i
        frame_of(X[at], y[at], groups[at]).to_parquet(folder / f"shards/{i}.parquet")
    for name, part in zip(TESTS, rest, strict=True):
        frame_of(*part).to_parquet(folder / f"{name}.parquet")
    return len(y), {n: part[1:] for n, part in zip(TESTS, rest, strict=True)}


def frame_of(X, y, groups):
    """Rows as a frame, numbers in float32 as in the files that `fit` writes."""
    frame = pd.DataFrame(X.astype(np.float32)).add_prefix("f")
    return frame.assign(**{GROUP: groups, LABEL: y})


def start(folder, name, n_processes, n_rows, seed, params, *, restarts=None):
    """Start a fit; return its process and the folder of its results."""
    out = folder / name
    out.mkdir()
    task = {
        "shards": str(folder / "shards"),
        "out": str(out),
        "n_rows": n_rows,
        "seed": seed,
        "params": params,
        "in_memory": n_processes == 1,
        "checkpoint": restarts is not None,
    }
    (out / "task.json").write_text(json.dumps(task), encoding="utf-8")
    command = [sys.executable]
    if n_processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc_per_node", str(n_processes)]
        command += ["--max_restarts", str(restarts or 0)]
    command += [str(WORKER), str(out / "task.json")]
    with open(out / "log", "w", encoding="utf-8") as log:
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=env, stderr=log, stdout=log)
    return process, out


def finish(process, out, n_processes):
    """Wait for a fit; return the results of its processes."""
    if process.wait() != 0:
        raise RuntimeError((out / "log").read_text(encoding="utf-8"))
    paths = [out / f"result-{rank}.npz" for rank in range(n_processes)]
    return [dict(np.load(path)) for path in paths]


def compare(folder, n_rows, tests, seeds, params):
    """One row per seed, and the intervals of the differences over all seeds."""
    rows, ndcg = [], {name: ([], []) for name in TESTS}
    for seed in range(seeds):
        found = {}
        for n in (1, 2):
            run = start(folder, f"fit-{n}-{seed}", n, n_rows, seed, params)
            found[n] = finish(*run, n)
        (one,), two = found[1], found[2]
        check(two, one)
        speeds = float(one["speed"]), float(two[0]["speed"])
        row = {"seed": seed, "one rows/s": speeds[0], "two rows/s": speeds[1]}
        row |= {"ratio": speeds[1] / speeds[0], "one s": float(one["seconds"])}
        row |= {"two s": float(two[0]["seconds"]), "one CPU s": float(one["cpu"])}
        row |= {"two CPU s": sum(float(r["cpu"]) for r in two)}
        for name, (y, groups) in tests.items():
            for result, values in zip((two[0], one), ndcg[name], strict=True):
                values.append(per_list_ndcg(y, result[name], groups))
            row |= {f"{name}, one": np.nanmean(ndcg[name][1][-1])}
            row |= {f"{name}, two": np.nanmean(ndcg[name][0][-1])}
        rows.append(row | {"files": " + ".join(str(len(r["opened"])) for r in two)})
        print(rows[-1], flush=True)
    rng = np.random.default_rng(0)
    gaps = [
        {"test": name, "gap": paired_interval(*map(np.stack, values), rng)}
        for name, values in ndcg.items()
    ]
    return rows, gaps


def check(two, one):
    """Both processes have one ranker, all lists, and files that no other opened."""
    first, second = two
    assert first["digest"] == second["digest"]
    for result in two:
        np.testing.assert_array_equal(result["lists"], one["lists"])
    assert not {*first["opened"]} & {*second["opened"]}


def survive(folder, n_rows, params, n_kills, rng):
    """What ends after random kills, beside an undisturbed run."""
    calm = finish(*start(folder, "calm", 2, n_rows, 0, params), 2)
    process, out = start(folder, "killed", 2, n_rows, 0, params, restarts=10 * n_kills)
    begin, n_killed, last = time.perf_counter(), 0, -1
    while n_killed < n_kills and process.poll() is None:
        attempt, pids = read_pids(out)
        if len(pids) < 2 or attempt == last:
            time.sleep(0.05)
            continue
        last = attempt
        time.sleep(rng.uniform(0, LATEST_KILL))
        try:
            os.kill(rng.choice(pids), signal.SIGKILL)
        except ProcessLookupError:  # it has just ended
            continue
        n_killed += 1
    ended = finish(process, out, 2)
    check(ended, calm[0])
    return {
        "kills": n_killed,
        "attempts": read_pids(out)[0] + 1,
        "seconds": time.perf_counter() - begin,
        "lists": len(ended[0]["lists"]),
        "same weights": str(bool(ended[0]["digest"] == calm[0]["digest"])),
    }


def read_pids(out):
    """The last attempt of which a worker wrote, and the process ids of its workers."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(out.glob("pid-*"))]
    written = [tuple(map(int, text.split())) for text in texts if text]
    last = max((attempt for attempt, _ in written), default=-1)
    return last, [pid for attempt, pid in written if attempt == last]


def main(argv=None):
    """Run, print and write the tables."""
    parser = parser_of(__doc__, "shards")
    add_runs(parser, seeds=3)
    parser.add_argument("--lists", type=int, help="of each part (default: all)")
    parser.add_argument("--shards", type=int, default=8, help="files to write")
    parser.add_argument("--only", choices=["compare", "kill"])
    args = parse(parser, argv)
    params = network_params(args.quick)
    n_lists = 200 if args.quick else args.lists
    results, pages = {}, []
    with TemporaryDirectory() as name:
        folder = Path(name)
        n_rows, tests = write_lists(folder, n_lists, args.shards, args.data)
        if args.only != "kill":
            rows, gaps = compare(folder, n_rows, tests, args.seeds, params)
            results |= {"seeds": rows, "gaps": gaps}
            shown = {key: (key, FORMATS.get(key, "")) for key in rows[0]}
            pages.append(markdown_table(rows, shown))
            heading = {"test": "NDCG@10 on", "gap": "two processes less one [95 %]"}
            pages.append(markdown_table(gaps, heading))
        if args.only != "compare":
            n_kills = 2 if args.quick else N_KILLS
            row = survive(folder, n_rows, params, n_kills, random.Random(0))
            results["killed"] = row
            shown = {key: (key, FORMATS.get(key, "")) for key in row}
            pages.append(markdown_table([row], shown))
    page = "\n".join(pages)
    print(page)
    write_results(args, page, results)


SECONDS = ["one s", "two s", "one CPU s", "two CPU s", "seconds"]
FORMATS = dict.fromkeys(["one rows/s", "two rows/s"], ",.0f")
FORMATS |= {"ratio": ".2f", **dict.fromkeys(SECONDS, ".1f")}

if __name__ == "__main__":
    main()
