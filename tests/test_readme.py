"""The code in the README runs."""

import re
from pathlib import Path


def test_readme_code():
    text = (Path(__file__).parents[1] / "README.md").read_text()
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)
    assert names["y"].shape == (8, 1)
    assert names["forces"].shape == names["moved"].shape == (8, 20, 3)
