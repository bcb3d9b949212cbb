"""Where displays draw; matplotlib is imported once something is drawn."""

from typing import Any


def axes_or_new(ax: Any) -> Any:
    """Return the axes to draw on.

    Parameters
    ----------
    ax : matplotlib Axes or None
        What the caller gave; None makes a figure.

    Returns
    -------
    ax : matplotlib Axes
        The same, or those of the new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        # Not needed for the numbers alone.
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib: pip install sklearn-rankformer[plot]."
        ) from error
    return plt.subplots(layout="constrained")[1] if ax is None else ax
