"""Warnings that point at the user's line, however deep they are raised.

Between that line and ours lie pipelines, searches, thread pools: a fixed stacklevel
would blame one of those.
"""

import sys
import warnings
from types import FrameType

# What stands between the user's line and ours, as top-level packages and modules.
NOT_THE_USER = frozenset(
    {
        __name__.partition(".")[0],
        "sklearn",
        "skorch",
        "joblib",
        "torch",
        "concurrent",
        "contextlib",
        "multiprocessing",
        "threading",
    }
)


class MissingGroupsWarning(UserWarning):
    """Rows came without list ids and were taken for one single list."""


class CutListsWarning(UserWarning):
    """In a cross-validation, a list was trained on in part and scored in part.

    Splitters of rows do that: ``cv=3``, `KFold`, `ShuffleSplit`. The score is then not
    that of whole lists, and too good where the rows of a list have something in common.
    Use `GroupKFold`, `sklearn_rankformer.model_selection.ListKFold` or others that keep
    lists whole. Two cases go unnoticed: lists cut into halves of equal length, and
    lists thinned out in the training data alone, as by a halving search whose resource
    is rows. Give such a search another resource, such as ``resource="max_epochs"``.
    """


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn as `warnings.warn` does, pointing at the user's line.

    Parameters
    ----------
    message : str
        What is wrong, and what to do about it.
    category : type, default=UserWarning
        Class of the warning.
    """
    frame, level = sys._getframe(1), 2
    # In a worker all frames may be foreign: then the outermost one is shown.
    while frame.f_back is not None and _top_level(frame) in NOT_THE_USER:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _top_level(frame: FrameType) -> str:
    """Top-level package of the code that runs in a frame."""
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def in_cross_validation() -> bool:
    """Return whether scikit-learn is fitting and scoring the parts of a split.

    Only there do equal ids in training and test data mean the same list: files often
    number their lists from 0, each for itself.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # All searches and validation functions fit and score in this module.
        if frame.f_globals.get("__name__") == "sklearn.model_selection._validation":
            return True
        frame = frame.f_back
    return False


def warn_missing_groups(estimator: object, method: str) -> None:
    """Warn that all rows are taken for one list.

    Parameters
    ----------
    estimator : estimator
        Whose method goes without groups.
    method : str
        Name of the method.
    """
    column = (
        " Or set group_column=... to name the column of X that holds the ids."
        if hasattr(estimator, "group_column")
        else ""
    )
    warn_user(
        f"{type(estimator).__name__}.{method} got no groups and takes all rows for one "
        f"list. Pass groups=... with one list id per row; a pipeline or search hands "
        f"them on only after sklearn.set_config(enable_metadata_routing=True).{column}",
        MissingGroupsWarning,
    )
