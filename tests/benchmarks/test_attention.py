"""The attention benchmark runs, counts right, and says in words what it could not measure."""

import io
import json

import pytest

from benchmarks import _attention_report, _attention_run, attention
from benchmarks._attention_case import FAILED, AttentionCase, is_out_of_memory, serve_case
from benchmarks._attention_counts import count
from benchmarks._protocol import WorkerError

KEYS = {
    "seconds", "fastest_seconds", "peak_mib", "compile_seconds", "flops", "bytes",
    "gflops_per_second", "share_of_peak",
}  # fmt: skip
PEAKS = {"peak_gflops_per_second": 100.0, "peak_gbytes_per_second": 10.0}


@pytest.fixture
def _peaks_at_hand(monkeypatch):
    monkeypatch.setattr(attention, "machine_peaks", lambda: PEAKS)


def run_json(capsys, *arguments):
    status = attention.main([*arguments, "--n", "32", "--rounds", "1", "--json"])
    return status, *capsys.readouterr()


def test_machine_has_peaks():
    peaks = _attention_run.machine_peaks()
    assert set(peaks) == set(PEAKS)
    assert all(value > 0 for value in peaks.values())


@pytest.mark.usefixtures("_peaks_at_hand")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--implementation", "tiled", "--group", "T3", "--backward", "--coordinates"),
        pytest.param(
            ("--implementation", "reference", "--group", "SE3", "--neighbours", "4"),
            marks=pytest.mark.slow,
        ),
        ("--implementation", "floor", "--group", "SE2", "--backward"),
    ],
    ids=["tiled", "reference", "floor"],
)
def test_one_case(capsys, arguments):
    status, out, _ = run_json(capsys, *arguments)
    row = json.loads(out)
    assert status == 0
    assert set(row) >= KEYS
    assert all(row[key] > 0 for key in KEYS)
    assert row["fastest_seconds"] <= row["seconds"]
    assert row["gflops_per_second"] == pytest.approx(row["flops"] / row["seconds"] / 1e9)
    assert row["share_of_peak"] == pytest.approx(row["gflops_per_second"] / 100)
    assert row["step_mib"] <= row["peak_mib"]
    details = row["details"]
    assert details["points"] * details["lifts"] == row["n"] == 32
    assert details["rounds"] == 1
    assert details["versions"]["jax"]
    assert f"--implementation {row['implementation']}" in " ".join(arguments)


@pytest.mark.usefixtures("_peaks_at_hand")
def test_what_is_not_available_is_said(capsys):
    arguments = ("--implementation", "floor", "--neighbours", "4")
    status, out, err = run_json(capsys, *arguments)
    assert status == 1
    assert json.loads(out)["seconds"] is None
    assert json.loads(out)["failure"].startswith("not available: floor: ")
    assert "not available" in err


def test_wrong_arguments_are_named(capsys):
    for arguments, words in (
        (["--group", "SE3", "--n", "30"], "n must be a positive multiple of 4"),
        (["--implementation", "tilde"], "invalid choice: 'tilde'"),
        (["--implementation", "pytorch"], "pytorch needs --reference"),
        (["--rounds", "0"], "--rounds: must be at least 1, got 0"),
        (["--neighbours", "0"], "neighbours must be at least 1, got 0"),
        (["--coordinates"], "coordinates needs backward"),
    ):
        with pytest.raises(SystemExit):
            attention.main(arguments)
        assert words in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"implementation must be one of .* got 'tilde'"):
        AttentionCase("T3", 32, "tilde")
    with pytest.raises(ValueError, match="group must be one of"):
        AttentionCase("T4", 32)


def test_missing_reference_is_named(capsys, tmp_path):
    arguments = ["--n", "32", "--implementation", "pytorch", "--reference", str(tmp_path / "none")]
    assert attention.main(arguments) == 1
    assert "none must be a folder" in capsys.readouterr().err


def test_counts_by_hand():
    case = AttentionCase(
        "T3", 2, "tiled", backward=True, width=4, heads=2, location_hidden=3
    )  # 4 pairs, 8 with heads, of 2 channels
    counted = count(case)
    # Projections: 4 of 2 x 4 x 4 multiply-adds and 2 x 4 biases.
    projections = 4 * (2 * 32 + 8)
    # MLP 3 -> 3 -> 3 -> 1: 9 + 9 + 3 multiply-adds, 7 biases, 6 activations.
    mlp = 2 * 21 + 7 + 6
    dot, add, softmax, mix = 4, 1, 3, 4
    pairs = 4 * 3 + 8 * (mlp + dot + add + softmax)
    assert counted.forward == projections + pairs + 8 * mix
    assert counted.recomputed == pairs
    # Twice every product, but that of the MLP's input (9 multiply-adds), which nobody asks for.
    mlp_back = 4 * 21 - 2 * 9 + 7 + 6
    projections_back = 4 * (4 * 32 + 8)
    assert counted.backward == projections_back + 8 * (mlp_back + 2 * dot + 2 + 2 * mix)
    assert counted.flops == counted.forward + counted.recomputed + counted.backward
    # Coordinates 6; features, output and each intermediate 8; 4 x 20 + 2 x (12 + 12 + 4) numbers.
    forward = 6 + 8 + 136 + 8 + 2 * 4 * 8
    backward = 4 * 8 + 8 + 2 * 4 * 8 + 8 + 136 + 8
    assert counted.bytes == 4 * (forward + backward)


def test_counts_follow_the_options():
    def flops(*args, **kwargs):
        return count(AttentionCase(*args, **kwargs)).flops

    assert count(AttentionCase("T3", 64, "reference", backward=True)).recomputed == 0
    assert count(AttentionCase("T3", 64)).backward == 0
    assert flops("T3", 64, "floor") < flops("T3", 64, normalisation="mean") < flops("T3", 64)
    assert flops("SE3", 64) > flops("SE2", 64) > flops("T3", 64)
    assert flops("T3", 64, neighbours=16) < flops("T3", 64) == flops("T3", 64, neighbours=64)
    with_coordinates = flops("T3", 64, backward=True, coordinates=True)
    assert with_coordinates - flops("T3", 64, backward=True) == 64**2 * (2 * 3 + 8 * 2 * 3 * 16)


def made_up_row(name, n, power=2.0):
    """Takes n^power ns and n^power KiB above a baseline of 100 MiB."""
    case = AttentionCase("T3", n, name)
    seconds, mib = n**power * 1e-9, n**power / 1024
    return _attention_run.failure_row(case, "") | {
        "seconds": seconds, "fastest_seconds": seconds, "peak_mib": 100 + mib, "step_mib": mib,
        "compile_seconds": 1.0, "gflops_per_second": 3.0, "share_of_peak": 0.03,
        "share_of_roofline": 0.03,
        "details": {
            "width": 64, "heads": 8, "normalisation": "softmax", "neighbours": None,
            "machine": "abacus", "device_kind": "beads", "date": "2026-01-01",
        },
    }  # fmt: skip


def without_failure(row):
    return {key: value for key, value in row.items() if key != "failure"}


def made_up_rows():
    sizes = [2**i for i in range(9, 14)]
    rows = [without_failure(made_up_row("pytorch", n)) for n in sizes]
    rows += [without_failure(made_up_row("tiled", n, 1.5)) for n in sizes]
    pallas = AttentionCase("T3", 512, "pallas")
    return [*rows, _attention_run.failure_row(pallas, "not available: lie_attention: no GPU")]


def test_report(tmp_path):
    rows = made_up_rows()
    _attention_report.write(rows, tmp_path / "new" / "folder")
    written = {file.name: file for file in (tmp_path / "new" / "folder").iterdir()}
    assert set(written) == {"results.json", "table.md", "plot.png"}
    assert written["plot.png"].read_bytes().startswith(b"\x89PNG")
    results = json.loads(written["results.json"].read_text())
    assert results["rows"] == rows
    assert results["slopes"]["pytorch"] == pytest.approx({"memory": 2, "time": 2})
    assert results["slopes"]["tiled"] == pytest.approx({"memory": 1.5, "time": 1.5})
    assert results["slopes"]["pallas"] == {"memory": None, "time": None}
    table = written["table.md"].read_text()
    assert "T3, forward, width 64" in table
    assert f"| {512**0.5:.2f}x |" in table  # n^2 against n^1.5
    assert "not available: lie_attention: no GPU" in table
    assert "tiled: memory above the baseline grows as n^1.50" in table
    lengths = {line.count("|") for line in table.splitlines() if line.startswith("|")}
    assert len(lengths) == 1


def test_report_without_any_figure(tmp_path):
    _attention_report.write(made_up_rows()[-1:], tmp_path)
    assert (tmp_path / "plot.png").is_file()


@pytest.fixture
def _made_up_measurements(monkeypatch):
    def measure(cases, _settings):
        def row(case):
            if case.implementation == "pallas":
                return _attention_run.failure_row(case, "not available: no GPU")
            return without_failure(made_up_row(case.implementation, case.n))

        return [row(case) for case in cases]

    monkeypatch.setattr(_attention_run, "measure", measure)


@pytest.mark.usefixtures("_made_up_measurements", "_peaks_at_hand")
def test_table_stops_in_time(tmp_path, capsys):
    arguments = ["--implementation", "tiled", "pallas", "--out", str(tmp_path)]
    assert attention.main([*arguments, "--memory", "0.5", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == json.loads((tmp_path / "results.json").read_text())["rows"]
    sizes = [row["n"] for row in rows if row["implementation"] == "tiled"]
    # 100 MiB and 1024^2 KiB are more than half a GiB.
    assert sizes == [32, 64, 128, 256, 512, 1024]
    assert rows[-1]["failure"] == "not run: would need about 1.1 GiB"
    assert [row["n"] for row in rows if row["implementation"] == "pallas"] == [32]

    assert attention.main([*arguments, "--budget", "1e-3", "--memory", "1000"]) == 0
    out, err = capsys.readouterr()
    assert "not run: a step of n = 1024 took" in out
    assert "n = 32, pallas: not available: no GPU" in err


class FakeWorker:
    """Stands in for a process; the tuned allocator is twice as fast, but for one that breaks."""

    prepare_seconds, parameters = 1.0, 10

    def __init__(self, name, command, _log, environment=None):
        self.seconds = 1.0 if environment else 2.0
        if name == "pallas":
            raise WorkerError("benchmark: the pallas process ended with -9:\n")
        facts = {"baseline_mib": 60.0, "prepare_peak_mib": 150.0, "device_peak_mib": None}
        with open(command[4], "w") as file:
            json.dump(facts, file)

    def round(self):
        return {"seconds": self.seconds, "steps": 1, "peak_mib": 100.0}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_the_better_allocator_counts(monkeypatch):
    monkeypatch.setattr(_attention_run, "Worker", FakeWorker)
    cases = [AttentionCase("T3", 32, name) for name in ("tiled", "pytorch", "pallas")]
    settings = _attention_run.Settings(rounds=3, budget=1.5, peaks=PEAKS)
    tiled, pytorch, pallas = _attention_run.measure(cases, settings)
    assert pytorch["seconds"] == 1
    assert pytorch["details"]["allocator"] == "tuned"
    assert pytorch["details"]["seconds_by_allocator"] == {"default": 2, "tuned": 1}
    # Two seconds are more than the budget: one round.
    assert (tiled["details"]["rounds"], pytorch["details"]["rounds"]) == (1, 2)
    assert (tiled["peak_mib"], tiled["step_mib"]) == (150, 40)
    assert pallas["failure"].startswith("failed: benchmark: the pallas process ended with -9")
    monkeypatch.setattr(FakeWorker, "parameters", property(lambda self: self.seconds))
    with pytest.raises(WorkerError, match="layers must be the same"):
        _attention_run.measure(cases[:2], settings)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotImplementedError("pallas: no GPU"), "not available: pallas: no GPU"),
        (MemoryError(), "out of memory: MemoryError"),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 TiB"), "out of memory: RESOURCE_EXHAUSTED: 9 TiB"),
    ],
    ids=["not implemented", "memory", "xla"],
)
def test_worker_says_why_it_ends(tmp_path, error, words, monkeypatch):
    def build(_case):
        raise error

    # serve puts stderr in its place.
    monkeypatch.setattr("sys.stdout", io.StringIO())
    facts = tmp_path / "facts.json"
    with pytest.raises(SystemExit) as ended:
        serve_case(
            ['{"group": "T3", "n": 32}', str(facts), "1"],
            build,
            facts={"device": "accelerator"},  # no limit is set for the process of the tests
            device_peak_mib=lambda: None,
        )
    assert ended.value.code == FAILED
    assert json.loads(facts.read_text())["failure"] == words
    assert not is_out_of_memory(ValueError("shapes"))
