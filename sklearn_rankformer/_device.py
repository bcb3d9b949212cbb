"""Where networks run: the device, its precision, and the threads of a process.

Nothing here knows a network or an estimator.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def pick_device(device: str | torch.device) -> torch.device:
    """Return the torch device that was asked for; "auto" takes the fastest kind.

    Raises
    ------
    ValueError
        If torch knows no such device. Whether this machine has it is not checked.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device={device!r} is no torch device. Use 'auto', 'cpu', 'cuda', "
            f"'cuda:1' or 'mps'."
        ) from error


def check_device(device: str | torch.device) -> None:
    """Raise ValueError unless this machine has the device."""
    try:
        # Only an allocation shows whether the device can be used, and only a copy
        # whether it holds data: "meta" does not.
        torch.empty(0, device=pick_device(device)).cpu()
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"device={device!r} is not there: {error}. Use device='auto'."
        ) from error


def usable_device(device: str | torch.device) -> torch.device:
    """Return the device, or the best one of this machine where it has no such."""
    # What was fitted on a GPU must load where there is none.
    try:
        check_device(device)
    except ValueError:
        return pick_device("auto")
    return pick_device(device)


def pick_precision(precision: str, device: torch.device) -> str:
    """Return "float32" or "bfloat16"; "auto" takes the latter where it is fast.

    No CPU counts as such: matrix units (AMX) gain in some shapes what they lose in
    others, and with several threads they lose.
    """
    if precision != "auto":
        return precision
    is_fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return "bfloat16" if is_fast else "float32"


# Processes that were forked -----------------------------------------------------------

_is_forked = False


def _note_fork() -> None:
    global _is_forked
    _is_forked = True


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def use_threads_that_exist() -> None:
    """Keep torch to one thread in a process that was forked.

    A fork copies only the thread that forks. torch's pool of threads is gone in the
    child, and the first operation that wants it would wait for ever. With one thread
    torch needs no pool.
    """
    if _is_forked and torch.get_num_threads() > 1:
        torch.set_num_threads(1)


@contextmanager
def ordinary_torch() -> Iterator[None]:
    """Build and train as usual, whatever mode of torch or numpy the caller has set."""
    use_threads_that_exist()
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
        np.errstate(all="ignore"),
    ):
        yield
