"""The code in the README and in the docs runs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_code(path):
    """The names that the Python blocks of a page define."""
    names = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / path).read_text(), re.DOTALL):
        exec(code, names)
    return names


def test_readme_code():
    names = run_code("README.md")
    assert names["y"].shape == (8, 1)
    assert names["forces"].shape == names["moved"].shape == (8, 20, 3)


def test_code_of_lifts():
    names = run_code("docs/lifts.md")
    assert names["y"].shape == (8, 1)
    assert names["forces"].shape == (8, 20, 1, 3)


def test_code_of_shapes():
    names = run_code("docs/shapes.md")
    assert names["logits"].shape == (100, 4, 3)
    assert names["points"].values.shape == (100, 34, 33)
