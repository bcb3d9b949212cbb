"""RankFormer, a listwide learning-to-rank transformer, for scikit-learn.

This file is the shop window and holds no code of its own. Names are looked up on
first use, so that ``sklearn_rankformer.metrics`` and the GBDT adapters work without
paying for the import of torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._mixin import RankerMixin
    from ._ranker import MLPRanker, RankFormerRanker
    from ._warnings import CutListsWarning, MissingGroupsWarning
    from .adapters import RankerAdapter
    from .distillation import DistilledRanker
    from .ensemble import StackingRanker, VotingRanker
    from .preprocessing import WithinListScaler

__version__ = "0.1.0"

# Type checkers read the imports above, and `__all__` as it stands here.
__all__ = [
    "CutListsWarning",
    "DistilledRanker",
    "MLPRanker",
    "MissingGroupsWarning",
    "RankFormerRanker",
    "RankerAdapter",
    "RankerMixin",
    "StackingRanker",
    "VotingRanker",
    "WithinListScaler",
    "__version__",
]

_HOME = {
    "CutListsWarning": "_warnings",
    "DistilledRanker": "distillation",
    "MLPRanker": "_ranker",
    "MissingGroupsWarning": "_warnings",
    "RankFormerRanker": "_ranker",
    "RankerAdapter": "adapters",
    "RankerMixin": "_mixin",
    "StackingRanker": "ensemble",
    "VotingRanker": "ensemble",
    "WithinListScaler": "preprocessing",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
