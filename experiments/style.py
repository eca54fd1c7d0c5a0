"""How pictures look: one style, one set of colours."""

from typing import Any

STYLE: dict[Any, Any] = {
    "figure.dpi": 150,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
}
"""For `matplotlib.pyplot.rc_context`."""

BLUE, GREY, ORANGE = "#2a6f97", "#8d99ae", "#e07a1f"
GREEN, RED = "#3a8f5c", "#b5323e"
