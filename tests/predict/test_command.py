"""The command line: what it reads, what it prints, and its exit status."""

import csv
import dataclasses
import io
import json
import runpy
import sys

import numpy as np
import pytest
from ase.io import write

from lie_jax.predict import command, output, read
from lie_jax.predict.command import main


@pytest.fixture
def run(tiny, capsys):
    """Runs a command with the tiny checkpoint; returns status, output and errors."""

    def run(*arguments, checkpoint=True):
        chosen = ["--checkpoint", str(tiny[0])] if checkpoint else []
        status = main([*map(str, arguments[:1]), *chosen, *map(str, arguments[1:])])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def xyz(molecules, tmp_path):
    path = tmp_path / "three.xyz"
    write(path, molecules[:3])
    return path


def test_all_frames_as_a_table(run, xyz, predictor, molecules):
    status, out, err = run("predict", xyz)
    assert status == 0
    header, *lines = out.splitlines()
    assert header.split() == ["molecule", "formula", "homo", "[meV]", "U0", "[meV]"]
    assert [line.split()[0] for line in lines] == [f"{xyz}#{i}" for i in range(3)]
    assert [line.split()[1] for line in lines] == ["CH4", "C2H6", "CH4O"]
    value = predictor(molecules[0])["homo"][0]
    assert f"{value:.0f} ± 10" in lines[0]
    assert "± holds the true value of 90%" in err


def test_csv_and_json(run, xyz, predictor, molecules, tmp_path):
    wanted = predictor(molecules[:3])
    target = tmp_path / "out.csv"
    status, out, _ = run("predict", xyz, "--format", "csv", "--output", target)
    assert (status, out) == (0, "")
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    found = [float(row["U0 [meV]"]) for row in rows]
    np.testing.assert_allclose(found, wanted["U0"], rtol=1e-7)
    assert rows[0]["U0 half_width"] == "3"
    assert rows[0]["U0 spread"] == ""
    status, out, _ = run("predict", xyz, "CH4.xyz", "--format", "json")
    assert status == 1
    rows = json.loads(out)
    assert rows[1]["properties"]["homo"]["unit"] == "meV"
    assert rows[1]["properties"]["homo"]["spread"] is None
    assert rows[3]["refused"].startswith("it is neither a file nor a SMILES")


def test_numbers_that_are_not_known_and_spreads(predictor, molecules):
    prediction = dataclasses.replace(
        predictor(molecules[:3]), samples=(2, 1), spread=np.full((3, 2), 0.25),
        half_width=np.array([[np.nan, 0.0]] * 3),
    )  # fmt: skip
    entries = [read.Entry(str(i), atoms=atoms) for i, atoms in enumerate(molecules[:3])]
    table = output.write("table", entries, prediction, [None] * 3)
    assert "nan" not in table
    assert table.count(" (0.25)") == 3
    assert table.count("± 0.000") == 3
    rows = json.loads(output.write("json", entries, prediction, [None] * 3))
    assert rows[2]["properties"]["homo"]["half_width"] is None
    assert rows[2]["properties"]["homo"]["spread"] == 0.25
    assert rows[2]["properties"]["U0"]["spread"] is None


def test_refused_ones_are_left_out_and_said(run, xyz, molecules, tmp_path):
    bad = molecules[0].copy()
    bad.numbers[1] = 17
    write(tmp_path / "bad.xyz", [molecules[0], bad])
    (tmp_path / "broken.xyz").write_text("what is this\n")
    status, out, err = run("predict", tmp_path / "bad.xyz", tmp_path / "broken.xyz", xyz)
    assert status == 1
    assert len(out.splitlines()) == 5
    assert "nan" not in out
    assert "bad.xyz (frame 1) is refused: atom 1 (Cl) is none of" in err
    assert "broken.xyz is refused: ASE cannot read it" in err
    status, out, _ = run("predict", tmp_path / "broken.xyz")
    assert (status, out) == (1, "")


def test_smiles_get_a_geometry(run):
    pytest.importorskip("rdkit")
    status, out, err = run("predict", "CO", "--format", "json")
    assert status == 0, err
    assert json.loads(out)[0]["formula"] == "CH4O"
    assert "MMFF94" in err
    status, _, err = run("predict", "[NH4+]", "C(C", "[Xe]")
    assert status == 1
    assert "[NH4+] is refused: it has the charge +1" in err
    assert "C(C is refused: it is neither a file nor a SMILES" in err
    assert "[Xe] is refused" in err


def test_sdf_with_several_molecules(run, molecules, tmp_path, monkeypatch):
    pytest.importorskip("rdkit")
    path = tmp_path / "two.sdf"
    text = ""
    for atoms in molecules[:2]:
        write(tmp_path / "one.sdf", atoms)
        text += (tmp_path / "one.sdf").read_text().rstrip().removesuffix("$$$$") + "$$$$\n"
    path.write_text(text)
    status, out, err = run("predict", path, "--format", "json")
    assert status == 0, err
    assert [row["formula"] for row in json.loads(out)] == ["CH4", "C2H6"]
    # Without rdkit the others would be passed over in silence.
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert "it holds several molecules" in (read.read(str(path))[0].problem or "")
    path.write_text(text.split("$$$$")[0])
    assert read.read(str(path))[0].formula == "CH4"
    assert "there is no such file; to read it as SMILES" in (read.read("CO")[0].problem or "")


def test_files_without_molecules(tmp_path):
    pytest.importorskip("rdkit")
    empty = tmp_path / "empty.sdf"
    empty.write_text("")
    assert read.read(str(empty))[0].problem is not None


def test_card_and_models(tiny, capsys, monkeypatch):
    assert main(["card", str(tiny[0])]) == 0
    out = capsys.readouterr().out
    assert out.startswith("tiny: LieTransformer-T3\n")
    assert "homo: orbital energy, 120 meV" in out
    assert "U0: atomisation, not known" in out
    assert "domain: molecules of H, C, N, O, F, 3 to 14 atoms" in out
    assert main(["card", str(tiny[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["targets"][0]["std"] == 500
    monkeypatch.setattr(command, "shipped", lambda: {"tiny": tiny[0]})
    assert main(["models"]) == 0
    wanted = "tiny: homo (test error 120 meV), U0 (test error not known)\n"
    assert capsys.readouterr().out == wanted
    monkeypatch.setattr(command, "shipped", dict)
    assert main(["models"]) == 0
    assert "came without checkpoints" in capsys.readouterr().out


def test_errors(run, capsys, tmp_path):
    assert run("predict")[0] == 1
    status, _, err = run("predict", "CO", "--output", tmp_path / "no" / "out")
    assert status == 1
    assert "output must be in a folder that exists" in err
    assert main(["card", "nowhere"]) == 1
    assert "nowhere is neither a file nor" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["guess"])
    capsys.readouterr()


def test_without_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lie_jax.predict.command", None)
    with pytest.raises(SystemExit, match="1"):
        runpy.run_module("lie_jax", run_name="__main__")
    assert 'pip install "lie_jax[predict]"' in capsys.readouterr().err


def test_interrupts(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "load", stop)
    assert main(["predict", "CO"]) == 130
    assert "interrupted" in capsys.readouterr().err
