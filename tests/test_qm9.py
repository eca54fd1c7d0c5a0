"""QM9: values, splits, units, sources, cache, builder, features."""

import json
import tarfile
import time
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax.data import Batch, Batches, bucket_edges, qm9
from lie_jax.data.qm9 import molecules as molecules_module
from lie_jax.data.qm9 import source
from lie_jax.data.qm9.features import atom_features

LITERATURE = [
    "alpha", "gap", "homo", "lumo", "mu", "Cv", "G", "H", "r2", "U", "U0", "zpve",
]  # fmt: skip
TWENTY = json.loads((Path(__file__).parent / "data" / "qm9_twenty.json").read_text())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("qm9")


@pytest.fixture(scope="module")
def molecules(data_dir):
    return qm9.load(data_dir)


def test_all_characterised_molecules(molecules):
    assert len(molecules) == 130_831
    assert (np.diff(molecules.index) > 0).all()
    assert molecules.index[-1] == 133_885
    sizes = molecules.num_atoms.astype(float)
    assert sizes.max() == 29
    np.testing.assert_allclose(sizes.mean(), 18.03, atol=0.005)
    np.testing.assert_allclose((sizes**2).mean(), 333.8, atol=0.05)
    np.testing.assert_array_equal((molecules.charges > 0).sum(1), molecules.num_atoms)


@pytest.mark.parametrize("wanted", TWENTY, ids=lambda m: str(m["index"]))
def test_twenty_molecules(molecules, wanted):
    wanted = dict(wanted)
    row = wanted.pop("row")
    assert molecules.index[row] == wanted.pop("index")
    charges = wanted.pop("charges")
    n = len(charges)
    assert molecules.charges[row].tolist() == charges + [0] * (29 - n)
    np.testing.assert_allclose(molecules.positions[row, 0], wanted.pop("first"), atol=2e-6)
    np.testing.assert_allclose(molecules.positions[row, n - 1], wanted.pop("last"), atol=2e-6)
    for name, value in wanted.items():
        np.testing.assert_allclose(molecules.values[name][row], value, rtol=1e-9, err_msg=name)


def test_units(molecules):
    # Methane's atomisation energy, -17.17 eV, tells that the atomic references fit.
    methane = molecules.values["U0_atomization"][0] * qm9.PROPERTIES["U0"].scale / 1000
    np.testing.assert_allclose(methane, -17.172, atol=5e-4)
    gap = molecules.values["lumo"] - molecules.values["homo"] - molecules.values["gap"]
    assert np.abs(gap).max() < 2e-4  # hartree: the three are rounded to 1e-4
    assert list(qm9.PROPERTIES) == LITERATURE


@pytest.mark.parametrize(
    ("config", "sizes", "first"),
    [
        ("original", [130_831], [[1, 2, 3, 4, 5]]),
        (
            "cormorant",
            [100_000, 17_748, 13_083],
            [
                [133161, 70467, 8226, 26624, 20504],
                [70434, 125892, 29477, 74427, 11907],
                [117980, 92051, 68086, 72921, 105219],
            ],
        ),
        (
            "dimenet",
            [110_000, 10_000, 10_831],
            [
                [114631, 102124, 57491, 13082, 35113],
                [91851, 91240, 46212, 45997, 81501],
                [24660, 21361, 31451, 26706, 106153],
            ],
        ),
    ],
)
def test_splits(molecules, config, sizes, first):
    parts = list(qm9.split_rows(config).values())
    assert [len(part) for part in parts] == sizes
    assert [molecules.index[part[:5]].tolist() for part in parts] == first
    assert sorted(np.concatenate(parts)) == list(range(130_831))


def test_the_cache_is_read_and_made_anew_when_damaged(molecules, data_dir, monkeypatch):
    def not_again(*_):
        raise AssertionError("the source was read although there is a cache")

    with monkeypatch.context() as patch:
        patch.setattr(source, "read", not_again)
        again = qm9.load(data_dir)
    chex.assert_trees_all_equal(molecules.values, again.values)
    np.testing.assert_array_equal(molecules.positions, again.positions)
    (path,) = data_dir.iterdir()
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        with monkeypatch.context() as patch:
            patch.setattr(source, "read", not_again)
            with (
                pytest.warns(UserWarning, match="cannot be read"),
                pytest.raises(AssertionError, match="source was read"),
            ):
                qm9.load(data_dir)
    finally:
        path.write_bytes(whole)


@pytest.mark.usefixtures("molecules")
def test_the_cache_loads_in_less_than_three_seconds(data_dir):
    def seconds():
        start = time.perf_counter()
        qm9.load(data_dir)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 3  # the best of three: the machine may be busy


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("LIE_JAX_DATA", str(tmp_path))
    assert molecules_module.cache_dir() == tmp_path
    monkeypatch.delenv("LIE_JAX_DATA")
    assert molecules_module.cache_dir() == Path.home() / ".cache" / "lie_jax"
    assert molecules_module.cache_dir("x") == Path("x")


def test_a_missing_qm9pack_says_what_to_install(monkeypatch):
    monkeypatch.setattr(source.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="pip install 'lie_jax\\[data\\]'"):
        source.read("qm9pack")


def test_source_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"qm9_part1\.csv is missing"):
        source.read_qm9pack(tmp_path)
    with pytest.raises(ValueError, match="manual_dir must be given"):
        source.read("download")
    with pytest.raises(ValueError, match='source must be "qm9pack" or "download"'):
        source.read("web")  # pyright: ignore
    with pytest.raises(FileNotFoundError, match=r"uncharacterized\.txt is missing"):
        source.read("download", tmp_path)
    (tmp_path / "uncharacterized.txt").write_text("header\n")
    with pytest.raises(FileNotFoundError, match="dsgdb9nsd"):
        source.read("download", tmp_path)
    with pytest.raises(ValueError, match="config must be one of"):
        qm9.split_rows("mine")


LABELS_LINE = (
    "gdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\t"
    "0.044749\t-40.47893\t-40.476062\t-40.475117\t-40.498597\t6.469\t"
)
METHANE = f"""5
{LABELS_LINE}
C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689
H\t 0.002150416\t-0.0060313176\t 0.0019761204\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 2.765748*^-4\t 0.133922
H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923
1341.307\t1341.3284\t1341.365\t1562.6731\t1562.7453\t3038.3205\t3151.6034\t3151.6788\t3151.7078
C\tC\t
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""


@pytest.mark.parametrize("packed", [False, True])
def test_the_original_files_give_the_same(molecules, tmp_path, packed):
    other = METHANE.replace("gdb 1\t", "gdb 2\t")
    for i, text in ((1, METHANE), (2, other)):
        (tmp_path / f"dsgdb9nsd_{i:06d}.xyz").write_text(text)
    (tmp_path / "uncharacterized.txt").write_text("Index  Smiles\n    2  C  C 0.1\n")
    if packed:
        with tarfile.open(tmp_path / "dsgdb9nsd.xyz.tar.bz2", "w:bz2") as tar:
            for path in tmp_path.glob("*.xyz"):
                tar.add(path, path.name)
                path.unlink()
    columns = source.read_download(tmp_path)
    assert columns["index"].tolist() == [1]  # the second is listed as uncharacterised
    assert columns["SMILES_relaxed"] == ["C"]
    assert columns["frequencies"][0].shape == (9,)
    read = molecules_module.from_columns(columns)
    np.testing.assert_array_equal(read.positions[0], molecules.positions[0])
    for name, value in read.values.items():
        assert value[0] == molecules.values[name][0], name
    with pytest.raises(ValueError, match="must hold 130831 characterised molecules, got 1"):
        source.read("download", tmp_path)


def test_files_of_another_format_are_named(tmp_path):
    (tmp_path / "uncharacterized.txt").write_text("")
    (tmp_path / "dsgdb9nsd_000001.xyz").write_text(METHANE.replace("gdb 1\t", "gdb\t"))
    with pytest.raises(ValueError, match=r"dsgdb9nsd_000001\.xyz does not have the format"):
        source.read_download(tmp_path)


def test_what_is_not_finite_or_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="numbers of atoms, symbols"):
        source._atoms(np.array([2]), np.array([1]), np.zeros(3), np.zeros(1))
    columns = source._atoms(np.array([1]), np.array([1]), np.zeros(3), np.zeros(1))
    columns |= {"index": np.array([7])} | {k: np.array([np.nan]) for k in ("U0", "U", "H", "G")}
    with pytest.raises(ValueError, match="U0 of molecule 7 is not finite"):
        source._finish(columns)


def small_columns():
    whole = source.read_qm9pack(source.qm9pack_folder())
    return {
        name: column[:50]
        if not isinstance(column, source._Lazy)
        else source._Lazy(column._items[:50], column._make)
        for name, column in whole.items()
    }


def test_the_builder_writes_and_reads_without_tensorflow(molecules, tmp_path, monkeypatch):
    from lie_jax.data.qm9.builder import Qm9

    columns = small_columns()
    monkeypatch.setattr(source, "read", lambda *_: columns)
    builder = Qm9(config="original", data_dir=str(tmp_path))
    assert sorted(builder.builder_configs) == ["cormorant", "dimenet", "original"]
    builder.download_and_prepare()
    examples: list = list(builder.as_data_source("train"))
    assert len(examples) == 50
    assert builder.info.file_format.value == "array_record"
    for row, example in enumerate(examples):
        assert example["index"] == molecules.index[row]
        np.testing.assert_array_equal(example["positions"], molecules.positions[row])
        np.testing.assert_array_equal(example["charges"], molecules.charges[row])
        for name, column in molecules.values.items():
            assert example[name] == np.float32(column[row])
    assert examples[0]["SMILES"] == b"C"
    assert examples[0]["tag"] == b"gdb"
    assert len(examples[0]["frequencies"]) == 9


@pytest.mark.parametrize("config", ["cormorant", "dimenet"])
def test_the_builder_makes_the_splits(config, molecules, tmp_path, monkeypatch):
    from lie_jax.data.qm9 import builder as module

    def few(config, count):
        assert count == 50
        rows = np.random.default_rng(len(config)).permutation(count)
        return {"train": rows[:30], "validation": rows[30:40], "test": rows[40:]}

    columns = small_columns()
    monkeypatch.setattr(source, "read", lambda *_: columns)
    monkeypatch.setattr(module, "split_rows", few)
    builder = module.Qm9(config=config, data_dir=str(tmp_path))
    builder.download_and_prepare()
    for name, rows in few(config, 50).items():
        examples: list = list(builder.as_data_source(name))
        assert [int(e["index"]) for e in examples] == molecules.index[rows].tolist()
        for row, example in zip(rows, examples, strict=True):
            np.testing.assert_array_equal(example["positions"], molecules.positions[row])


def test_the_builder_reads_the_official_files(molecules, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    from lie_jax.data.qm9.builder import Qm9

    manual = tmp_path / "manual"
    manual.mkdir()
    (manual / "dsgdb9nsd_000001.xyz").write_text(METHANE)
    (manual / "uncharacterized.txt").write_text("")
    monkeypatch.setattr(source, "CHARACTERISED", 1)
    builder = Qm9(config="original", data_dir=str(tmp_path / "data"), source="download")
    download = tfds.download.DownloadConfig(manual_dir=manual)
    builder.download_and_prepare(download_config=download)
    (example,) = builder.as_data_source("train")
    assert example["index"] == 1
    np.testing.assert_array_equal(example["positions"], molecules.positions[0])
    assert example["U0"] == np.float32(molecules.values["U0"][0])


def test_features():
    charges = jnp.array([[6, 1, 9, 0]], jnp.uint8)
    features = np.asarray(atom_features(charges))[0]
    assert features.shape == (4, 15)
    np.testing.assert_allclose(features[0, 3:6], [1, 6 / 9, 36 / 81], rtol=1e-6)
    np.testing.assert_allclose(features[1, 0:3], [1, 1 / 9, 1 / 81], rtol=1e-6)
    np.testing.assert_allclose(features[2, 12:15], [1, 1, 1], rtol=1e-6)
    assert (features != 0).sum() == 9


def test_gather_on_the_device(molecules):
    some = molecules.take(np.arange(40))
    arrays = qm9.to_device(some, some.values["alpha"])
    batches = Batches(some.num_atoms, 8, bucket_edges(some.num_atoms, 2), seed=0)
    gather = jax.jit(chex.assert_max_traces(qm9.gather, n=2))
    for epoch in range(2):
        for batch in batches.epoch(epoch):
            points, targets = gather(arrays, batch)
            assert points.coords.shape == (8, batch.size, 3)
            rows = np.asarray(batch.indices)
            np.testing.assert_array_equal(points.mask.sum(1), some.num_atoms[rows])
            np.testing.assert_allclose(targets[:, 0], some.values["alpha"][rows], rtol=1e-6)
            mean = (points.coords * points.mask[..., None]).sum(1)
            assert jnp.abs(mean).max() < 1e-4
            i, j = 0, 1
            here = points.coords[0, i] - points.coords[0, j]
            there = some.positions[rows[0], i] - some.positions[rows[0], j]
            np.testing.assert_allclose(here, there, atol=1e-5)
    with pytest.raises(ValueError, match="targets must be finite"):
        qm9.to_device(some, np.full(40, np.nan))
    assert qm9.atom_counts(some)[0].tolist() == [4, 1, 0, 0, 0]
    assert isinstance(batches.epoch()[0], Batch)
