r"""How fast, how much memory: this package beside the published style and GBDTs.

Every comparison is made within one run, the contestants taking turns, and reported as
a ratio of medians first: the absolute figures depend on the machine and its mood.

    python benchmarks/speed.py --quick --only padding lengths
    python benchmarks/speed.py --data mq2008.npz mslr.npz --publish \
        --only training padding fit serving lengths
    python benchmarks/speed.py --data mq2008.npz --publish \
        --only profile --name speed_profile
    python benchmarks/speed.py --only requests --threads 1 --publish \
        --name speed_requests
    python benchmarks/speed.py --only growth --rows 3770000 --publish \
        --name speed_growth                                   # Web30K's size, slow
"""

import multiprocessing
import os
import platform
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from _data import list_folds, load_lists, parts_of
from _published import published_epoch
from _report import markdown_table, write_results
from _rivals import fit_best, fit_with_val, gbdt, grid_of, installed
from _run import parse, parser_of
from sklearn.base import clone
from sklearn.utils import Bunch
from skorch.callbacks import Callback
from torch import nn

from sklearn_rankformer import MLPRanker, RankerAdapter, RankFormerRanker
from sklearn_rankformer._auto import auto_batch_items
from sklearn_rankformer._batching import (
    BatchIterator,
    cut_batches,
    draw_batches,
)
from sklearn_rankformer._inference import predict_items, run_network
from sklearn_rankformer._lists import split_lists

# The published example's shape and loss (authors' code): one head, softmax.
SAME = {
    "loss": "softmax",
    "num_layers": 2,
    "nhead": 1,
    "dim_feedforward": 128,
    "n_members": 1,
    "n_bins": 0,
    "list_features": False,
    "dropout": 0.25,
    "feature_dropout": 0.0,
    "validation_fraction": None,
    "random_state": 0,
}

# Where the networks run, ours and the published one alike.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def section(title, rows, columns):
    """A heading and a table, in Markdown."""
    return f"\n## {title}\n\n{markdown_table(rows, columns)}"


def medians(contestants, repeats):
    """Run the contestants in turns; return the median of what each returns."""
    values = {name: [] for name in contestants}
    for _ in range(repeats + 1):
        for name, run in contestants.items():
            values[name].append(run())
    return {name: float(np.median(v[1:])) for name, v in values.items()}


def timed(call):
    """Seconds until the device has done all that a call gives it."""
    start = time.perf_counter()
    call()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def synthetic(n_rows, n_features=136, mean_length=120, seed=0):
    """Lists of Web30K's shape: float32, grouped, labels 0 to 4."""
    rng = np.random.default_rng(seed)
    n_lists = max(1, n_rows // mean_length)
    lengths = np.maximum(1, rng.gamma(3.0, mean_length / 3, n_lists)).astype(int)
    groups = np.repeat(np.arange(n_lists), lengths)[:n_rows]
    X = rng.standard_normal((len(groups), n_features), dtype=np.float32)
    y = np.digitize(X[:, 0] + rng.standard_normal(len(groups)), [0.5, 1.5, 2.2, 3.0])
    return X, y, groups


# Training ----------------------------------------------------------------------------


def skorch_epoch(ranker, X, y, groups):
    """Return a function that trains one epoch the way `fit` does."""

    def epoch():
        # skorch's timer starts after checks and transforms, and stops with the loss
        # of the last batch, which waits for the device.
        return ranker.partial_fit(X, y, groups).history_[-1]["dur"]

    return epoch


class Capture(Callback):
    """Keeps the net and the dataset of a training."""

    def on_train_begin(self, net, X=None, **kwargs):
        self.net, self.dataset = net, X


def bare_epoch(ranker, X, y, groups, compiled=False):
    """Return a function that does the same steps without skorch."""
    capture = Capture()
    clone(ranker).set_params(callbacks=[capture]).partial_fit(X, y, groups)
    net, dataset = capture.net, capture.dataset
    module, criterion, optimizer = net.module_, net.criterion_, net.optimizer_
    if compiled:
        module.compile(dynamic=True)

    def epoch():
        module.train()
        dataset.epoch += 1
        total = 0.0
        for x, target in BatchIterator(dataset, ranker.batch_items):
            optimizer.zero_grad()
            output = run_network(module, x["x"], x["mask"], net.precision)
            loss = criterion(output, target)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            total += loss.item()

    return epoch


def larger_batches(ranker):
    """The same ranker, with batches of twice as many items."""
    return clone(ranker).set_params(batch_items=2 * ranker.batch_items)


def bench_training(args):
    """Training docs/s beside the published style and beside a bare loop."""
    return for_each(train_all, args)


def for_each(bench, args):
    """Run a benchmark on each data set: what was measured, and the pages, joined."""
    found = {data.name: bench(data, args) for data in map(load, args.data)}
    figures = {name: measured for name, (measured, _) in found.items()}
    return figures, "".join(text for _, text in found.values())


def train_all(data, args):
    """One epoch in every style, on one data set."""
    X, y, groups = np.nan_to_num(data.X), data.y, data.groups
    lists = split_lists(groups)
    items = auto_batch_items(len(X))
    same = RankFormerRanker(**SAME, d_model=X.shape[1], batch_items=items)
    default = RankFormerRanker(
        validation_fraction=None, batch_items=items, random_state=0
    )
    rankers = {
        "ours, published shape": same,
        "ours, default": default,
        "ours, published shape, larger batches": larger_batches(same),
        "ours, default, larger batches": larger_batches(default),
    }
    standard = (X - X.mean(0)) / (X.std(0) + 1e-6)
    bare = {
        "the same, bare torch loop": bare_epoch(same, X, y, groups),
        "published style": published_epoch(standard, y, lists, DEVICE),
    }
    if args.compile:
        bare["the same, torch.compile"] = bare_epoch(same, X, y, groups, compiled=True)
    contestants = {
        name: skorch_epoch(ranker, X, y, groups) for name, ranker in rankers.items()
    } | {name: partial(timed, epoch) for name, epoch in bare.items()}
    seconds = medians(contestants, args.repeats)
    padding = padding_of(rankers, lists)
    rows = [
        {
            "name": name,
            "ratio": seconds["published style"] / s,
            "rate": len(X) / s,
            "padding": padding.get(name, padding["ours, published shape"]),
        }
        for name, s in seconds.items()
    ]
    columns = {
        "name": "",
        "ratio": ("times published", ".1f"),
        "rate": ("items/s", ",.0f"),
        "padding": ("padding", ".1%"),
    }
    title = f"Training, one epoch: {data.name}, {lists.n_lists} lists"
    ratio = seconds["ours, published shape"] / seconds["the same, bare torch loop"]
    text = section(title, rows, columns) + f"\nskorch loop / bare loop: {ratio:.3f}\n"
    return {"seconds": seconds, "padding": padding, "skorch/bare": ratio}, text


def padding_of(rankers, lists):
    """Share of padding in an epoch of each ranker, and in the published style."""
    everything, rng = np.arange(lists.n_lists), np.random.default_rng(0)
    shuffled = rng.permutation(lists.n_lists)
    shares = {
        name: padding_share(
            lists, draw_batches(lists, everything, ranker.batch_items, rng)
        )
        for name, ranker in rankers.items()
    }
    at_random = (shuffled[i : i + 32] for i in range(0, lists.n_lists, 32))
    return shares | {"published style": padding_share(lists, at_random)}


def padding_share(lists, batches):
    """Share of computed items that are padding; batches hold positions of lists."""
    real = computed = 0
    for chosen in batches:
        lengths = lists.lengths[chosen]
        real += lengths.sum()
        computed += len(lengths) * lengths.max()
    return float((computed - real) / computed)


# Beside GBDTs ------------------------------------------------------------------------


def gbdts(n_threads):
    """The GBDT rankers that are installed, with one common setting."""
    common = {"n_trees": 500, "learning_rate": 0.05, "n_threads": n_threads}
    return {
        name: RankerAdapter(gbdt(name, **common), early_stopping_rounds=50)
        for name in installed()
    }


def bench_fit(args):
    """Seconds of a whole default fit, and the NDCG it reaches."""
    return for_each(fit_all, args)


def fit_all(data, args):
    """Fit every model on one data set, a fold to stop by and one to test."""
    fold = list_folds(data.groups)
    train, val, test = parts_of(data, fold > 1, fold == 1, fold == 0)
    tried = grid_of("LightGBM", n_threads=args.threads)
    models = {
        "RankFormer": RankFormerRanker(random_state=0),
        "MLP": MLPRanker(random_state=0),
        "LightGBM, tuned": fit_best(tried, train, val),
        **gbdts(args.threads),
    }
    result = {}
    for name, model in models.items():
        times = []
        for _ in range(min(args.repeats, 3)):
            start = time.perf_counter()
            fit_with_val(model, train, val)
            times.append(time.perf_counter() - start)
        result[name] = {"seconds": float(np.median(times)), "ndcg": model.score(*test)}
    fast = result["LightGBM, tuned"]["seconds"]
    rows = [
        {"name": name, "ratio": found["seconds"] / fast, **found}
        for name, found in result.items()
    ]
    columns = {
        "name": "",
        "ratio": ("times tuned LightGBM", ".1f"),
        "seconds": ("fit s", ".2f"),
        "ndcg": "NDCG@10",
    }
    title = f"A whole fit, early stopping included: {data.name}"
    return result, section(title, rows, columns)


def bench_serving(args):
    """Latency of one list of 50 items, and throughput, each model in its process."""
    result = {
        name: in_child(serve, name, args.serve_rows, args.threads)
        for name in ("RankFormer", "RankFormer, ONNX", "MLP", *installed())
    }
    columns = {
        "name": "",
        "p50_ms": ("one list of 50, p50 ms", ".2f"),
        "p99_ms": ("p99 ms", ".2f"),
        "rows_per_s": ("rows/s in bulk", ",.0f"),
    }
    rows = [{"name": name, **found} for name, found in result.items()]
    return result, section("Serving", rows, columns)


def bench_requests(args):
    """Latency of one list of 32 items, by the form in which a request comes."""
    X, y, groups = synthetic(20_000, n_features=20, mean_length=50)
    forms = request_forms(X)
    one, ids = slice(0, 32), np.zeros(32, dtype=int)
    calls = {}
    for name, (table, request) in forms.items():
        ranker = RankFormerRanker(max_epochs=1, random_state=0)
        ranker.fit(table, y, groups=groups)
        given = request.iloc[one] if hasattr(request, "iloc") else request[one]
        calls[name] = {
            "predict": partial(ranker.predict, given, groups=ids),
            "both": partial(both_answers, ranker, given, ids),
            "predict_all": partial(ranker.predict_all, given, groups=ids),
        }
    flat = {(name, kind): c for name, one in calls.items() for kind, c in one.items()}
    seconds = medians(
        {key: partial(timed, call) for key, call in flat.items()}, 40 * args.repeats
    )
    rows = [
        {"name": name, **{kind: 1e3 * seconds[name, kind] for kind in kinds}}
        for name, kinds in calls.items()
    ]
    columns = {
        "name": "one list of 32, 20 features",
        "predict": ("predict, ms", ".2f"),
        "both": ("predict and predict_list_value, ms", ".2f"),
        "predict_all": ("predict_all, ms", ".2f"),
    }
    return rows, section("Requests, p50", rows, columns)


def request_forms(X):
    """What a ranker is fitted on, and what a request comes as, by name."""
    import pandas as pd

    frame = pd.DataFrame(X).rename(columns="f{}".format)
    colours = np.array(["blue", "green", "red"])
    coloured = frame.assign(
        a=pd.Categorical(colours[np.digitize(X[:, 0], [-1, 1])]),
        b=pd.Categorical(colours[np.digitize(X[:, 1], [-1, 1])]),
    )
    return {
        "array": (X, X),
        "frame": (frame, frame),
        "frame with two categories": (coloured, coloured),
        "the same, as objects": (coloured, coloured.astype({"a": object, "b": object})),
    }


def both_answers(ranker, X, groups):
    """Scores and list value, by two calls."""
    ranker.predict(X, groups=groups)
    ranker.predict_list_value(X, groups=groups)


def serve(name, n_rows, n_threads):
    """Fit one model, then time its predictions."""
    torch.set_num_threads(n_threads)
    X, y, groups = synthetic(20_000, n_features=46, mean_length=50)
    if name.startswith("RankFormer"):
        model = RankFormerRanker(max_epochs=1, random_state=0)
    elif name == "MLP":
        model = MLPRanker(max_epochs=1, random_state=0)
    else:
        common = {"n_trees": 100, "learning_rate": 0.05, "n_threads": n_threads}
        model = RankerAdapter(gbdt(name, **common))  # the one library, no other
    model.fit(X, y, groups=groups)
    if "ONNX" in name:
        model = as_onnx(model, n_threads)
    one, ids = X[:50], np.zeros(50, dtype=int)
    times = []
    for _ in range(500):
        start = time.perf_counter()
        model.predict(one, groups=ids)
        times.append(1e3 * (time.perf_counter() - start))
    p50, p99 = np.percentile(times[50:], [50, 99])
    X, _, groups = synthetic(n_rows, n_features=46, mean_length=50)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        model.predict(X, groups=groups)
        seconds.append(time.perf_counter() - start)
    rate = len(X) / float(np.median(seconds))
    return {"p50_ms": p50, "p99_ms": p99, "rows_per_s": rate}


def as_onnx(ranker, n_threads):
    """The ranker's ONNX graph, run by onnxruntime."""
    from sklearn_rankformer.export import to_onnx
    from sklearn_rankformer.runtime import OnnxRanker

    with TemporaryDirectory() as place:
        to_onnx(ranker, f"{place}/ranker.onnx")
        return OnnxRanker(f"{place}/ranker.onnx", n_threads=n_threads)


# Where a step goes -------------------------------------------------------------------


def bench_profile(args):
    """Share of each operation in training steps of the default."""
    data = load(args.data[0])
    ranker = RankFormerRanker(validation_fraction=None, random_state=0)
    epoch = skorch_epoch(ranker, data.X, data.y, data.groups)
    epoch()
    with torch.profiler.profile() as profile:
        epoch()
    spent = {e.key: e.self_cpu_time_total for e in profile.key_averages()}
    total = sum(spent.values())
    shares = {name: spent[name] / total for name in sorted(spent, key=spent.get)[::-1]}
    rows = [{"name": f"`{name}`", "share": share} for name, share in shares.items()]
    columns = {"name": "operation", "share": ("share", ".1%")}
    title = f"Where an epoch of the default goes: {data.name}"
    return shares, section(title, rows[:12], columns)


# Memory and growth -------------------------------------------------------------------


def resident(field):
    """A line of this process's memory in MB: VmRSS now, or VmHWM, its peak."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(field))
    return int(line.split()[1]) / 1024


def forget_peak():
    """Let VmHWM start anew from the present level."""
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")


def in_child(function, *arguments):
    """Run in a fresh process, so that memory is that of one task."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(function, arguments)


def measured_fit(ranker, X, y, groups):
    """Fit; return seconds, and memory above the level before.

    Of a memory-mapped X the pages of the file that were read count too, though the
    system takes them back whenever it needs them.
    """
    before = resident("VmRSS")
    forget_peak()
    start = time.perf_counter()
    ranker.fit(X, y, groups=groups)
    seconds = time.perf_counter() - start
    return {
        "rows": len(X),
        "seconds": seconds,
        "epoch_seconds": ranker.history_[-1]["dur"],
        "X_MB": X.nbytes / 2**20,
        "added_MB": resident("VmHWM") - before,
    }


def bench_growth(args):
    """Seconds per million items and memory, from small to large."""
    sizes = (100_000, "array"), (args.rows, "array"), (10**6, "map")
    result = [
        {"kind": kind, **in_child(fit_web30k, min(n_rows, args.rows), kind)}
        for n_rows, kind in sizes
    ]
    rows = [one | {"rate": 1e6 * one["seconds"] / one["rows"]} for one in result]
    columns = {
        "rows": ("rows", ",d"),
        "kind": "X",
        "rate": ("s per million", ".1f"),
        "X_MB": ("X MB", ".0f"),
        "added_MB": ("added MB", ".0f"),
    }
    title = "Growth: Web30K-like lists, one epoch of the default"
    return result, section(title, rows, columns)


def fit_web30k(n_rows, kind):
    """One epoch on lists of Web30K's shape, X an array or mapped from a file."""
    X, y, groups = synthetic(n_rows)
    ranker = RankFormerRanker(max_epochs=1, random_state=0)
    small = slice(0, 2000)
    ranker.fit(X[small], y[small], groups=groups[small])  # imports, thread pools
    if kind == "map":
        with TemporaryDirectory() as place:
            np.save(f"{place}/X.npy", X)
            X = np.load(f"{place}/X.npy", mmap_mode="r")
    return measured_fit(ranker, X, y, groups)


def bench_lengths(args):
    """Cost by list length, the number of items held fixed."""
    result = [
        {"length": length, **in_child(fit_equal, 20_000, length)}
        for length in (10, 100, 1_000, 10_000)
    ]
    rows = [one | {"rate": one["rows"] / one["epoch_seconds"]} for one in result]
    columns = {
        "length": ("list length", ",d"),
        "rate": ("items/s", ",.0f"),
        "added_MB": ("added MB", ".0f"),
    }
    title = "Length of lists: 20,000 items, one epoch of the default"
    return result, section(title, rows, columns)


def fit_equal(n_rows, length):
    """One epoch on lists of one length."""
    X, y, _ = synthetic(n_rows, 46)
    groups = np.arange(len(X)) // length
    ranker = RankFormerRanker(max_epochs=1, validation_fraction=None, random_state=0)
    ranker.fit(X[:2000], y[:2000], groups=groups[:2000] // 10)
    return measured_fit(ranker, X, y, groups)


def bench_padding(args):
    """Padding share of training batches, on the data given."""
    result = {}
    for data in map(load, args.data):
        items = auto_batch_items(len(data.y))
        lists = split_lists(data.groups)
        everything, rng = np.arange(lists.n_lists), np.random.default_rng(0)
        epochs = [
            padding_share(lists, draw_batches(lists, everything, items, rng))
            for _ in range(10)
        ]
        at_once = predict_items(torch.device("cpu"))
        ordered = cut_batches(lists.lengths, lists.lengths, at_once)
        result[data.name] = {
            "training": float(np.mean(epochs)),
            "prediction": padding_share(lists, ordered),
            "batches": len(cut_batches(lists.lengths, lists.lengths, items)),
        }
    columns = {
        "name": "",
        "training": ("training", ".1%"),
        "prediction": ("prediction", ".1%"),
        "batches": "batches an epoch",
    }
    rows = [{"name": name, **found} for name, found in result.items()]
    return result, section("Padding, share of computed items", rows, columns)


def load(path):
    """The data given, or synthetic lists of MQ2008's shape."""
    if path is not None:
        return load_lists(path.resolve())
    X, y, groups = synthetic(15_211, n_features=46, mean_length=19)
    return Bunch(name="synthetic", X=X, y=y, groups=groups)


BENCHMARKS = {
    "training": bench_training,
    "profile": bench_profile,
    "padding": bench_padding,
    "fit": bench_fit,
    "serving": bench_serving,
    "requests": bench_requests,
    "lengths": bench_lengths,
    "growth": bench_growth,
}


def main(argv=None):
    """Run the benchmarks asked for, print and write their tables."""
    parser = parser_of(__doc__, "speed")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[None],
        help=".npz files or LETOR folders; the first one is profiled",
    )
    parser.add_argument(
        "--compile", action="store_true", help="also train with torch.compile"
    )
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS)
    )
    parser.add_argument(
        "--rows", type=int, default=400_000, help="of the largest growth"
    )
    parser.add_argument("--serve-rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parse(parser, argv)
    if args.quick:
        args.rows, args.serve_rows, args.repeats = 20_000, 10_000, 1
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    figures, page = (
        {},
        [
            f"torch {torch.__version__}, {args.threads} threads, "
            f"{platform.machine()}, device: {DEVICE}\n"
        ],
    )
    print(*page, end="")
    for name in args.only:
        figures[name], text = BENCHMARKS[name](args)
        print(text, end="", flush=True)
        page.append(text)
    write_results(args, "".join(page), figures)


if __name__ == "__main__":
    main()
