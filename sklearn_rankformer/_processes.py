"""Processes that train together, and what they must agree on.

`torchrun` starts a process per GPU or core, and torch.distributed joins them. The rows
to learn from come to them in one of two ways:

- Each process has all rows (X, y and groups given to `fit`). All draw the same batches,
  and each takes its share of the lists of a batch. Whatever follows from the rows is
  the same everywhere, so that it need not be agreed.
- Each process has rows of its own (`datasets.ParquetLists`). Whatever follows from the
  rows, such as quantiles, categories or the number of lists, is agreed among `Peers`.

So code that computes something of rows asks ``rows.peers``, and is written once: where
a process has all rows its peers are `ALONE`, one process that agrees with itself.
`everyone` is for what concerns all processes in either case, such as the size of a
batch of all together. Numbers of the training itself, its losses and seeds, are shared
in either case by plain functions on the device: `summed`, `agreed`.
"""

import importlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import torch
import torch.distributed as dist

Value = TypeVar("Value")

# What torchrun and its like set.
_VARIABLES = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}

# How long a process waits for the first, as torch.distributed does, and how often it
# looks.
MOST_SECONDS, POLL_SECONDS = 1800.0, 0.01


def process_rank() -> tuple[int, int]:
    """Return this process's rank among those that train together, and their number."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def agreed(value: float, device: torch.device) -> float:
    """Return the first process's value in all processes that train together."""
    if process_rank()[1] == 1:
        return value
    # In float64: a seed has more digits than float32 holds.
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return shared.item()


def summed(value: float, device: torch.device) -> float:
    """Return the sum of the values of all processes that train together."""
    if process_rank()[1] == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return total.item()


@dataclass(frozen=True)
class Peers:
    """The processes among which rows are divided.

    All of them must call each method but `seed` and `share` at the same point.

    Attributes
    ----------
    rank : int
        Of this process, from 0.
    n : int
        How many there are; 1 where each process has all rows.
    """

    rank: int = 0
    n: int = 1

    def gather(self, value: Value) -> list[Value]:
        """Values of all, in the order of their ranks, as objects that are pickled."""
        if self.n == 1:
            return [value]
        values: list[Any] = [None] * self.n
        dist.all_gather_object(values, value)
        return values

    def first(self, value: Value) -> Value:
        """The value of rank 0."""
        return self.gather(value)[0]

    def join(self, values: np.ndarray) -> np.ndarray:
        """Arrays of all, one after the other."""
        if self.n == 1:
            return values
        return np.concatenate(self.gather(np.asarray(values)))

    def total(self, value: Any) -> Any:
        """Sum of a number, added up in the same order everywhere."""
        return value if self.n == 1 else sum(self.gather(value))

    def most(self, value: Any) -> Any:
        """Largest of a number."""
        return max(self.gather(value))

    def quota(self, n_mine: int, most: int) -> int:
        """How many of `n_mine` to give for at most `most` of all, in proportion."""
        ends = np.cumsum(self.gather(n_mine))
        if ends[-1] <= most:
            return n_mine
        shares = np.diff(ends * most // ends[-1], prepend=0)
        return int(shares[self.rank])

    def seed(self, *numbers: int) -> tuple[int, ...]:
        """Entropy for draws that differ from process to process."""
        return numbers if self.n == 1 else (*numbers, self.rank)

    def share(self, number: int) -> int:
        """Part of a number of items that is this process's, at least 1."""
        return max(1, number // self.n)

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Raise in all if what stands inside raises in one: nobody waits for it.

        Inside, processes must not wait for one another.

        Raises
        ------
        ValueError
            Where only others raised: what, and which of them.
        """
        failed = None
        try:
            yield
        except Exception as error:
            failed = error
        messages = self.gather(failed and f"{type(failed).__name__}: {failed}")
        if failed is not None:
            if self.n > 1:
                failed.add_note(f"This is process {self.rank} of {self.n}, from 0.")
            raise failed
        for rank, message in enumerate(messages):
            if message is not None:
                raise ValueError(
                    f"Process {rank} of {self.n} (from 0) cannot go on, so none does. "
                    f"{message}"
                )


# A process whose rows no other has to know of.
ALONE = Peers()


def everyone() -> Peers:
    """All processes that train together, whichever rows they have."""
    return Peers(*process_rank())


@cache
def _meet(*address: str) -> "tuple[dist.Store, int, int]":
    """Where the processes of this address meet, this one's rank, and their number.

    Kept as long as the process lives: if each fit had a store of its own, a process
    that is early would find that of the fit before, which is about to be closed.
    """
    return next(dist.rendezvous("env://"))


def name_of_meeting(store: "dist.Store", rank: int, n: int) -> str:
    """A name that just the processes that are here now have agreed on.

    A store may hold what others left in it: torchrun keeps one through all restarts,
    and an address of a process that was killed leads to nobody. So the first process
    makes up a name, the others answer with names of their own, and a process joins only
    where its answer was heard.

    Raises
    ------
    TimeoutError
        If the first process does not come.
    """
    own = uuid4().hex
    if rank == 0:
        store.set("name", own)
        answers = [store.get(f"{own} {other}").decode() for other in range(1, n)]
        store.set(own, " ".join(answers))
        return own
    end, answered = time.monotonic() + MOST_SECONDS, ""
    while time.monotonic() < end:
        name = store.get("name").decode()
        if name != answered:
            store.set(f"{name} {rank}", own)
            answered = name
        if store.check([name]) and own in store.get(name).decode().split():
            return name
        time.sleep(POLL_SECONDS)
    raise TimeoutError(
        f"Process {rank} of {n} (from 0) waited {MOST_SECONDS:g} seconds in vain for "
        f"process 0. Start all of them together, or again."
    )


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, unless the caller has done so."""
    started = dist.is_available() and os.environ.keys() >= _VARIABLES
    if not started or dist.is_initialized() or os.environ["WORLD_SIZE"] == "1":
        yield
        return
    # The optimiser imports it, and imported after the processes have joined it keeps
    # their group: connections stay open, and nobody learns that this process failed.
    importlib.import_module("torch._dynamo")
    backend = "gloo"
    if device.type == "cuda":
        # Each its own card for gradients; what is gathered lies in main memory.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    store, rank, n = _meet(*(os.environ[name] for name in sorted(_VARIABLES)))
    store = dist.PrefixStore(name_of_meeting(store, rank, n), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=n)
    try:
        yield
    finally:
        dist.destroy_process_group()
