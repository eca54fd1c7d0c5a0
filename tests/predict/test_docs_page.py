"""The code in docs/predict.md runs."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "predict.md"


def test_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(code, names)
    assert names["prediction"].values.shape == (2, 1)
    assert names["forces"].shape == (6, 3)
    assert names["energy"] < 0
