"""The code in the documentation runs, and a user's group takes less than 30 lines."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_own_group():
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "groups.md").read_text(), re.DOTALL)
    assert sum(bool(line.strip()) for line in code.splitlines()) < 30
    names = {}
    exec(code, names)
    assert repr(names["group"]) == "SO(1, 2)"
    assert names["group"].exp_is_surjective


def test_own_system():
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "dynamics.md").read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    assert names["losses"][-1] < names["losses"][0]
    assert names["energy"].shape == (16,)
