"""The benchmark of whole epochs runs, and both ways make the same updates."""

import re

import pytest

from benchmarks.epoch import main


@pytest.mark.slow
def test_it_prints_both_speeds(capsys):
    options = "--width 8 --layers 1 --steps 2 --rounds 1"
    assert main(options.split()) == 0
    out = capsys.readouterr().out
    assert re.search(r"one loop +[\d,]+ molecules/s\none call a step +[\d,]+ molecules/s", out)
    assert float(out.split()[-1]) < 1e-5
