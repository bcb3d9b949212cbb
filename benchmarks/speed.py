"""How fast, how much memory: this package beside the published style and GBDTs.

Every comparison is made within one run, the contestants taking turns, and reported as
a ratio of medians first: the absolute figures depend on the machine and its mood.

    python benchmarks/speed.py --data mq2008.npz mslr.npz    # all but the large ones
    python benchmarks/speed.py --only growth --rows 3770000  # Web30K's size, slow
    python benchmarks/speed.py --help
"""

import argparse
import multiprocessing
import os
import platform
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from _common import fit_held, list_folds, write_results
from accuracy import GRIDS, gbdt
from sklearn.base import clone
from torch import nn
from torch.nn import functional as F

from sklearn_rankformer import MLPRanker, RankerAdapter, RankFormerRanker
from sklearn_rankformer import _training as training
from sklearn_rankformer._batching import (
    BatchIterator,
    cut_batches,
    make_batch,
    ordered_batches,
    padding_share,
    training_batches,
)
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
    "early_stopping": False,
    "random_state": 0,
}


# Where the networks run, ours and the published one alike.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

PAGE = []


def say(*lines):
    """Print, and keep for the results page."""
    for line in lines:
        print(line)
        PAGE.append(f"{line}\n")


def medians(contestants, repeats):
    """Run the contestants in turns; return the median of what each returns."""
    values = {name: [] for name in contestants}
    for _ in range(repeats + 1):
        for name, run in contestants.items():
            values[name].append(run())
    return {name: float(np.median(v[1:])) for name, v in values.items()}


def synthetic(n_rows, n_features=136, mean_length=120, seed=0):
    """Lists of Web30K's shape: float32, grouped, labels 0 to 4."""
    rng = np.random.default_rng(seed)
    n_lists = max(1, n_rows // mean_length)
    lengths = np.maximum(1, rng.gamma(3.0, mean_length / 3, n_lists)).astype(int)
    groups = np.repeat(np.arange(n_lists), lengths)[:n_rows]
    X = rng.standard_normal((len(groups), n_features), dtype=np.float32)
    y = np.digitize(X[:, 0] + rng.standard_normal(len(groups)), [0.5, 1.5, 2.2, 3.0])
    return X, y, groups


# The published style -----------------------------------------------------------------


class PublishedStyle(nn.Module):
    """RankFormer as published code has it: width = features, padded by list."""

    def __init__(self, n_features, n_thresholds):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            n_features, 1, 128, 0.25, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.cls = nn.Parameter(torch.randn(n_features))
        self.item_head = _published_head(2 * n_features, n_features, 1)
        self.list_head = _published_head(n_features, n_features, n_thresholds)

    def forward(self, X, lengths):
        lists = torch.split(X, lengths)
        size = max(lengths) + 1
        padded = X.new_zeros(len(lists), size, X.shape[1])
        padding = torch.ones(len(lists), size, dtype=torch.bool, device=X.device)
        for i, items in enumerate(lists):
            padded[i, 0] = self.cls
            padded[i, 1 : len(items) + 1] = items
            padding[i, : len(items) + 1] = False
        z = self.encoder(padded, src_key_padding_mask=padding)
        joined = [
            torch.cat([z[i, 1 : n + 1], z[i, :1].expand(n, -1)], 1)
            for i, n in enumerate(lengths)
        ]
        return self.item_head(torch.cat(joined)).squeeze(-1), self.list_head(z[:, 0])


def _published_head(n_in, n_hidden, n_out):
    return nn.Sequential(
        nn.Linear(n_in, n_hidden),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(n_hidden, n_out),
    )


def published_loss(scores, logits, y, lengths):
    """Softmax loss list by list, lists of zero loss dropped, plus the ordinal loss."""
    losses, tops = [], []
    for s, labels in zip(
        torch.split(scores, lengths), torch.split(y, lengths), strict=True
    ):
        loss = -(labels * F.log_softmax(s, 0)).mean()
        if loss.abs() > 0:
            losses.append(loss)
        tops.append(labels.max())
    above = torch.stack(
        [(torch.stack(tops) > k).float() for k in range(logits.shape[1])], 1
    )
    value = F.binary_cross_entropy_with_logits(logits, above)
    return torch.stack(losses).mean() + value if losses else value


def published_epoch(X, y, lists, batch_lists=32):
    """Return a function that trains one epoch in the published style."""
    module = PublishedStyle(X.shape[1], int(y.max())).to(DEVICE)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.1)
    X, y = (torch.from_numpy(a).float().to(DEVICE) for a in (X, y))
    rng = np.random.default_rng(0)

    def epoch():
        start = time.perf_counter()
        module.train()
        order = rng.permutation(lists.n_lists)
        for at in range(0, len(order), batch_lists):
            chosen = order[at : at + batch_lists]
            lengths = lists.lengths[chosen].tolist()
            rows = torch.from_numpy(lists.rows(chosen))
            optimizer.zero_grad()
            loss = published_loss(*module(X[rows], lengths), y[rows], lengths)
            loss.backward()
            optimizer.step()
        return finished() - start

    return epoch


def finished():
    """The time when the device has done all it was given."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


# Training ----------------------------------------------------------------------------


def prepared(ranker, X, y, groups):
    """A ranker made ready to train, and its dataset."""
    rows = ranker._check_training_rows(X, y, groups, None, None, keep=False)
    with ranker._seeded():
        ranker._prepare(rows)
    return ranker._dataset(rows, np.arange(rows.lists.n_lists))


def skorch_epoch(ranker, dataset):
    """Return a function that trains one epoch the way `fit` does."""

    def epoch():
        start = time.perf_counter()
        schedule = training.Schedule(1e-3, 10**6, 10)
        training.train(ranker.net_, dataset, 1, [schedule])
        return finished() - start

    return epoch


def bare_epoch(ranker, dataset):
    """Return a function that does the same steps without skorch."""
    module, net = ranker.module_, ranker.net_
    criterion, optimizer = net.criterion_, net.optimizer_

    def epoch():
        start = time.perf_counter()
        module.train()
        dataset.epoch += 1
        total = 0.0
        for x, target in BatchIterator(dataset, ranker.batch_items):
            optimizer.zero_grad()
            output = training.run_network(module, x["x"], x["mask"], net.precision)
            loss = criterion(output, target)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        return finished() - start

    return epoch


def larger_batches(ranker):
    """The same ranker, with batches of twice as many items."""
    return clone(ranker).set_params(batch_items=2 * ranker.batch_items)


def bench_training(args):
    """Training docs/s beside the published style and beside a bare loop."""
    return {name_of(path): train_all(path, args) for path in args.data}


def train_all(path, args):
    """One epoch in every style, on one data set."""
    X, y, groups = load(path)
    X = np.nan_to_num(X)
    lists = split_lists(groups)
    same = RankFormerRanker(**SAME, d_model=X.shape[1])
    default = RankFormerRanker(early_stopping=False, random_state=0)
    rankers = {
        "ours, published shape": same,
        "ours, default": default,
        "ours, published shape, larger batches": larger_batches(same),
        "ours, default, larger batches": larger_batches(default),
    }
    contestants = {
        name: skorch_epoch(ranker, prepared(ranker, X, y, groups))
        for name, ranker in rankers.items()
    } | {
        "the same, bare torch loop": bare_epoch(same, prepared(same, X, y, groups)),
        "published style": published_epoch(
            (X - X.mean(0)) / (X.std(0) + 1e-6), y, lists
        ),
    }
    if args.compile:
        compiled = clone(default)
        epoch = skorch_epoch(compiled, prepared(compiled, X, y, groups))
        compiled.module_.compile(dynamic=True)
        contestants["ours, default, torch.compile"] = epoch
    seconds = medians(contestants, args.repeats)
    everything = np.arange(lists.n_lists)
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(lists.n_lists)
    padding = {
        name: padding_share(
            training_batches(lists, everything, ranker.batch_items, rng)
        )
        for name, ranker in rankers.items()
    }
    padding["published style"] = padding_share(
        make_batch(lists, shuffled[i : i + 32]) for i in range(0, lists.n_lists, 32)
    )
    slow = seconds["published style"]
    say(f"\n## Training, one epoch: {name_of(path)}, {lists.n_lists} lists\n")
    say("| | times published | items/s | padding |\n|---|---|---|---|")
    for name, s in seconds.items():
        share = padding.get(name, padding["ours, published shape"])
        say(f"| {name} | {slow / s:.1f} | {len(X) / s:,.0f} | {share:.1%} |")
    ratio = seconds["ours, published shape"] / seconds["the same, bare torch loop"]
    say(f"\nskorch loop / bare loop: {ratio:.3f}")
    return {"seconds": seconds, "padding": padding, "skorch/bare": ratio}


# Beside GBDTs ------------------------------------------------------------------------


def gbdts(seed, only=None):
    """The GBDT rankers that are installed, or one of them, with a common setting."""
    common = {"n_estimators": 500, "learning_rate": 0.05, "random_state": seed}
    own = {
        "LightGBM": ("lightgbm", "LGBMRanker", {"verbosity": -1, "n_jobs": 2}),
        "XGBoost": ("xgboost", "XGBRanker", {"objective": "rank:ndcg", "n_jobs": 2}),
        "CatBoost": (
            "catboost",
            "CatBoostRanker",
            {"verbose": False, "thread_count": 2, "allow_writing_files": False},
        ),
    }
    made = {}
    for name, (library, ranker, params) in own.items():
        if only in (None, name) and find_spec(library):
            kind = getattr(import_module(library), ranker)
            made[name] = RankerAdapter(
                kind(**common, **params), early_stopping_rounds=50
            )
    return made


def bench_fit(args):
    """Seconds of a whole default fit, and the NDCG it reaches."""
    return {name_of(path): fit_all(path, args.repeats) for path in args.data}


def fit_all(path, repeats):
    """Fit every model on one data set, a fold to stop by and one to test."""
    X, y, groups = load(path)
    fold = list_folds(groups)
    train, held, test = (
        (X[rows], y[rows], groups[rows]) for rows in (fold > 1, fold == 1, fold == 0)
    )
    models = {
        "RankFormer": RankFormerRanker(random_state=0),
        "MLP": MLPRanker(random_state=0),
        "LightGBM, tuned": tuned_lightgbm(train, held),
        **gbdts(0),
    }
    say(f"\n## A whole fit, early stopping included: {name_of(path)}\n")
    say("| | times tuned LightGBM | fit s | NDCG@10 |\n|---|---|---|---|")
    result = {}
    for name, model in models.items():
        times = []
        for _ in range(min(repeats, 3)):
            start = time.perf_counter()
            fit_held(model, train, held)
            times.append(time.perf_counter() - start)
        ndcg = model.score(*test)
        result[name] = {"seconds": float(np.median(times)), "ndcg": ndcg}
    fast = result["LightGBM, tuned"]["seconds"]
    for name, found in result.items():
        s = found["seconds"]
        say(f"| {name} | {s / fast:.1f} | {s:.2f} | {found['ndcg']:.4f} |")
    return result


def tuned_lightgbm(train, held):
    """The setting of `accuracy.py` with the highest NDCG@10 on the validation lists."""
    tried = [gbdt("LightGBM", params) for params in GRIDS["LightGBM"]]
    for ranker in tried:
        ranker.estimator.set_params(n_jobs=2)
        fit_held(ranker, train, held)
    return max(tried, key=lambda ranker: ranker.score(*held))


def bench_serving(args):
    """Latency of one list of 50 items, and throughput, each model in its process."""
    say("\n## Serving\n")
    say("| | one list of 50, p50 ms | p99 ms | rows/s in bulk |\n|---|---|---|---|")
    result = {}
    for name in ("RankFormer", "RankFormer, ONNX", "MLP", *gbdts(0)):
        found = in_child(serve, name, args.serve_rows, args.threads)
        result[name] = found
        say(
            f"| {name} | {found['p50_ms']:.2f} | {found['p99_ms']:.2f} "
            f"| {found['rows_per_s']:,.0f} |"
        )
    return result


def serve(name, n_rows, n_threads):
    """Fit one model, then time its predictions."""
    torch.set_num_threads(n_threads)
    X, y, groups = synthetic(20_000, n_features=46, mean_length=50)
    if name.startswith("RankFormer"):
        model = RankFormerRanker(max_epochs=1, random_state=0)
    elif name == "MLP":
        model = MLPRanker(max_epochs=1, random_state=0)
    else:
        model = gbdts(0, only=name)[name]
        model.set_params(early_stopping_rounds=None, estimator__n_estimators=100)
    model.fit(X, y, groups=groups)
    predict = onnx_session(model, n_threads) if "ONNX" in name else model.predict
    one, ids = X[:50], np.zeros(50, dtype=int)
    times = []
    for _ in range(500):
        start = time.perf_counter()
        predict(one, groups=ids)
        times.append(1e3 * (time.perf_counter() - start))
    p50, p99 = np.percentile(times[50:], [50, 99])
    if "ONNX" in name:
        n_rows //= 10  # it is the slow one in bulk, and its rate the same
    X, _, groups = synthetic(n_rows, n_features=46, mean_length=50)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        predict(X, groups=groups)
        seconds.append(time.perf_counter() - start)
    rate = len(X) / float(np.median(seconds))
    return {"p50_ms": p50, "p99_ms": p99, "rows_per_s": rate}


def onnx_session(ranker, n_threads):
    """`predict` of the ranker's ONNX graph; lists lie together, as it asks."""
    import onnxruntime

    from sklearn_rankformer.export import to_onnx

    with TemporaryDirectory() as place:
        to_onnx(ranker, f"{place}/ranker.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        session = onnxruntime.InferenceSession(f"{place}/ranker.onnx", options)

    def predict(X, groups):
        # A graph pads all lists to one length: a thousand at a time.
        lengths = np.unique(groups, return_counts=True)[1]
        parts = np.array_split(lengths, max(1, len(lengths) // 1000))
        ends = np.cumsum([part.sum() for part in parts])[:-1]
        return np.concatenate(
            [
                session.run(["scores"], {"X": rows, "lengths": part})[0]
                for rows, part in zip(np.split(X, ends), parts, strict=True)
            ]
        )

    return predict


# Where a step goes -------------------------------------------------------------------


def bench_profile(args):
    """Share of each operation in training steps of the default."""
    X, y, groups = load(args.data[0])
    ranker = RankFormerRanker(early_stopping=False, random_state=0)
    epoch = skorch_epoch(ranker, prepared(ranker, X, y, groups))
    epoch()
    with torch.profiler.profile() as profile:
        epoch()
    spent = {e.key: e.self_cpu_time_total for e in profile.key_averages()}
    total = sum(spent.values())
    say(f"\n## Where an epoch of the default goes: {name_of(args.data[0])}\n")
    say("| operation | share |\n|---|---|")
    for name, time_ in sorted(spent.items(), key=lambda item: -item[1])[:12]:
        say(f"| `{name}` | {time_ / total:.1%} |")
    return {name: time_ / total for name, time_ in spent.items()}


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


def fit_once(n_rows, n_features, mean_length, kind):
    """Fit one epoch on synthetic lists; return seconds and memory above the start.

    Of a memory-mapped X the pages of the file that were read count too, though the
    system takes them back whenever it needs them.
    """
    X, y, groups = synthetic(n_rows, n_features, mean_length)
    ranker = RankFormerRanker(max_epochs=1, random_state=0)
    small = slice(0, 2000)
    ranker.fit(X[small], y[small], groups=groups[small])  # imports, thread pools
    if kind == "map":
        with TemporaryDirectory() as place:
            np.save(f"{place}/X.npy", X)
            X = np.load(f"{place}/X.npy", mmap_mode="r")
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
    say("\n## Growth: Web30K-like lists, one epoch of the default\n")
    say("| rows | X | s per million | X MB | added MB |\n|---|---|---|---|---|")
    result = []
    sizes = (100_000, "array"), (args.rows, "array"), (min(args.rows, 10**6), "map")
    for n_rows, kind in sizes:
        found = in_child(fit_once, n_rows, 136, 120, kind)
        result.append({"kind": kind, **found})
        per_million = 1e6 * found["seconds"] / found["rows"]
        say(
            f"| {found['rows']:,} | {kind} | {per_million:.1f} | {found['X_MB']:.0f} "
            f"| {found['added_MB']:.0f} |",
        )
    return result


def bench_lengths(args):
    """Cost by list length, the number of items held fixed."""
    say("\n## Length of lists: 20,000 items, one epoch of the default\n")
    say("| list length | items/s | added MB |\n|---|---|---|")
    result = []
    for length in (10, 100, 1_000, 10_000):
        found = in_child(fit_equal, 20_000, length)
        result.append({"length": length, **found})
        rate = found["rows"] / found["epoch_seconds"]
        say(f"| {length:,} | {rate:,.0f} | {found['added_MB']:.0f} |")
    return result


def fit_equal(n_rows, length):
    """As `fit_once`, with lists of one length."""
    X, y, _ = synthetic(n_rows, 46)
    groups = np.arange(len(X)) // length
    ranker = RankFormerRanker(max_epochs=1, early_stopping=False, random_state=0)
    ranker.fit(X[:2000], y[:2000], groups=groups[:2000] // 10)
    before = resident("VmRSS")
    forget_peak()
    ranker.fit(X, y, groups=groups)
    return {
        "rows": len(X),
        "epoch_seconds": ranker.history_[-1]["dur"],
        "added_MB": resident("VmHWM") - before,
    }


def bench_padding(args):
    """Padding share of training batches, on the data given."""
    say("\n## Padding, share of computed items\n")
    say("| | training | prediction | batches an epoch |\n|---|---|---|---|")
    result = {}
    items = RankFormerRanker().batch_items
    for path in args.data:
        lists = split_lists(load(path)[2])
        everything = np.arange(lists.n_lists)
        rng = np.random.default_rng(0)
        epochs = [
            padding_share(training_batches(lists, everything, items, rng))
            for _ in range(10)
        ]
        found = {
            "training": float(np.mean(epochs)),
            "prediction": padding_share(
                ordered_batches(lists, everything, training.PREDICT_ITEMS)
            ),
            "batches": len(cut_batches(lists.lengths, lists.lengths, items)),
        }
        result[name_of(path)] = found
        say(
            f"| {name_of(path)} | {found['training']:.1%} "
            f"| {found['prediction']:.1%} | {found['batches']} |"
        )
    return result


def load(path):
    """The data given, or synthetic lists of MQ2008's shape."""
    if path is None:
        return synthetic(15_211, n_features=46, mean_length=19)
    with np.load(path) as file:
        return file["X"], file["y"].astype(np.int64), file["qid"]


def name_of(path):
    """What to call a data set."""
    return "synthetic" if path is None else path.stem


BENCHMARKS = {
    "training": bench_training,
    "profile": bench_profile,
    "padding": bench_padding,
    "fit": bench_fit,
    "serving": bench_serving,
    "lengths": bench_lengths,
    "growth": bench_growth,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[None],
        help=".npz files with X, y, qid; the first one is profiled",
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
    parser.add_argument("--name", help="write docs/results/NAME.md and .json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    say(
        f"torch {torch.__version__}, {args.threads} threads, "
        f"{platform.machine()}, device: {DEVICE}"
    )
    figures = {name: BENCHMARKS[name](args) for name in args.only}
    if args.name:
        write_results(args.name, figures, "".join(PAGE))


if __name__ == "__main__":
    main()
