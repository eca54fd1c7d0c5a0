"""The table of groups is complete, and its figures are those of exact methods."""

import json

import pytest

from benchmarks import groups


@pytest.mark.slow
def test_one_group(capsys):
    assert groups.main(["--group", "T(3)", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["lift"] == "one"
    assert max(row[f"{column}_float64"] for column in groups._COLUMNS) <= 1e-10
    assert max(row[f"{column}_float32"] for column in groups._COLUMNS) <= 1e-4
    assert row["milliseconds"] > 0
    assert len(groups.cells(row)) == len(groups._HEADS)


def test_methods():
    """Every method by which points lift exactly, then what they are compared with."""
    assert groups._methods(groups.GROUPS["SL2"]) == ["one"]
    assert groups._methods(groups.GROUPS["T(2) x C8"]) == ["all", "frame", "given", "random"]
    wanted = ["frame", "weighted_frame", "given", "random"]
    assert groups._methods(groups.GROUPS["Lorentz"]) == wanted
