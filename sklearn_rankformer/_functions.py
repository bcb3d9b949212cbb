"""Functions of the user, known again by their code and by the values that it reads."""

import dis
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

_PLAIN = bool | int | float | complex | str | bytes | np.generic | None
_NAMED = FunctionType | BuiltinFunctionType | ModuleType | np.ufunc | type


def digest_function(function: Callable) -> str:
    """Fingerprint a function, so that an edited one of the same name is another.

    Parameters
    ----------
    function : function or functools.partial of one
        What counts is its bytecode, its defaults, and what it reads from around it:
        plain values, arrays, and functions of the same module with theirs. Of modules,
        classes and functions from elsewhere only the name counts.

    Returns
    -------
    digest : str
        Equal in other processes with the same version of Python.

    Raises
    ------
    TypeError
        If it is no function, or reads an object that cannot be compared.
    """
    inner = function
    while isinstance(inner, partial):
        inner = inner.func
    if not isinstance(inner, FunctionType):
        raise TypeError(f"{inner!r} is no function")
    digest = hashlib.blake2b(digest_size=16)
    for part in _parts(function, inner.__module__, set()):
        digest.update(f"{len(part)} {part}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _parts(value: Any, module: str, seen: set[FunctionType]) -> Iterator[str]:
    """Name all that tells a value from another one, as texts."""
    yield f"{type(value).__name__} {_name(value)}"
    if isinstance(value, set | frozenset):
        # Their order depends on the process.
        yield from sorted("".join(_parts(one, module, seen)) for one in value)
        return
    if isinstance(value, FunctionType):
        if value.__module__ != module or value in seen:
            return
        seen.add(value)
    for one in _inside(value):
        yield from _parts(one, module, seen)


def _name(value: Any) -> str:
    if isinstance(value, _NAMED):
        return f"{getattr(value, '__module__', '')}.{value.__name__}"
    return repr(value) if isinstance(value, _PLAIN) else ""


def _inside(value: Any) -> list[Any]:
    """The values that a value consists of; none for plain and named ones."""
    if isinstance(value, FunctionType):
        given = value.__defaults__, value.__kwdefaults__
        return [value.__code__, *given, _read_by(value)]
    if isinstance(value, _PLAIN | _NAMED):
        return []
    if isinstance(value, CodeType):
        names = value.co_names, value.co_varnames, value.co_freevars
        return [value.co_code, *names, value.co_consts]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, list | tuple):
        return [len(value), *value]
    if isinstance(value, dict):
        return [len(value), *value.items()]
    if hasattr(value, "tolist"):  # arrays and tensors
        return [str(value.dtype), value.tolist()]
    raise TypeError(f"it reads {value!r}, which is no plain value")


def _read_by(function: FunctionType) -> dict[str, Any]:
    """Values from around a function that its code names."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    around = {name: cell.cell_contents for name, cell in cells}
    known = function.__globals__
    names = [name for name in _global_names(function.__code__) if name in known]
    return around | {name: known[name] for name in names}


def _global_names(code: CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL":
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _global_names(inner)
