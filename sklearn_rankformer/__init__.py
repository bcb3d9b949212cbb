"""RankFormer, a listwide learning-to-rank transformer, for scikit-learn.

This file is the shop window and holds no code of its own. Names are looked up on
first use, so that ``sklearn_rankformer.metrics`` and the GBDT adapters work without
paying for the import of torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "MLPRanker": "_ranker",
    "MissingGroupsWarning": "_groups",
    "RankFormerRanker": "_ranker",
    "RankerAdapter": "adapters",
    "WithinListScaler": "preprocessing",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
