"""The command line: ``lie-jax predict molecule.xyz``."""

import sys
from pathlib import Path

import jax
import tyro

from lie_jax.data.cache import cache_dir
from lie_jax.predict.card import Card, Target
from lie_jax.predict.checkpoint import read_checkpoint, shipped
from lie_jax.predict.output import FormatName, write
from lie_jax.predict.predictor import Predictor, load
from lie_jax.predict.read import SMILES_NOTE, Entry, read


def predict(
    molecules: tyro.conf.Positional[tuple[str, ...]],
    /,
    *,
    checkpoint: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    format: FormatName = "table",
    output: Path | None = None,
    samples: int | None = None,
    check: bool = True,
) -> int:
    """Predict the properties of molecules.

    Refused molecules are listed on stderr with the reason, and the exit status is then 1.

    Args:
        molecules: Files that ASE reads (all frames), SDF files, or SMILES in quotes.
        checkpoint: Name of a checkpoint of this package (see: lie-jax models) or its path; may be
            given several times. All of the package if none is given.
        format: Of the output.
        output: File to write to; standard output if none is given.
        samples: Rotations to average over; as the checkpoints' cards say if none is given.
        check: Refuse molecules unlike those of the training data.
    """
    if not molecules:
        raise ValueError("predict: molecules must be files or SMILES, got none")
    if output is not None and not output.absolute().parent.is_dir():
        raise ValueError(f"predict: output must be in a folder that exists, got {output}")
    predictor = load(*checkpoint)
    entries = [entry for argument in molecules for entry in read(argument)]
    given = [entry.atoms for entry in entries if entry.atoms is not None]
    prediction = None
    if given:
        prediction = predictor(given, progress=True, samples=samples, check=check, refused="keep")
    found = iter(prediction.refused if prediction else ())
    reasons = [entry.problem if entry.atoms is None else next(found) for entry in entries]
    text = write(format, entries, prediction, reasons)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)
    _notes(predictor, entries, reasons, format)
    return int(any(reason is not None for reason in reasons))


def card(name: tyro.conf.Positional[str], /, *, json: bool = False) -> int:
    """Print the model card of a checkpoint: data, recipe, scores, limits.

    Args:
        name: Of a checkpoint of this package (see: lie-jax models), or its path.
        json: As JSON, whole.
    """
    checkpoint = read_checkpoint(name)
    text = checkpoint.card.to_json() if json else _card(checkpoint.name, checkpoint.card)
    print(text)
    return 0


def models() -> int:
    """List the checkpoints that came with this package."""
    paths = shipped()
    if not paths:
        print("this package came without checkpoints: give the path of one, see lie-jax --help")
    for name, path in paths.items():
        targets = read_checkpoint(path).card.targets
        print(f"{name}: {', '.join(_score(target) for target in targets)}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        # The same few programs are needed at every start.
        jax.config.update("jax_compilation_cache_dir", str(cache_dir() / "compiled"))
    try:
        return tyro.extras.subcommand_cli_from_dict(
            {"predict": predict, "card": card, "models": models},
            prog="lie-jax",
            description="Properties of molecules by trained networks.",
            args=sys.argv[1:] if arguments is None else arguments,
        )
    except (FileNotFoundError, FloatingPointError, ValueError, OSError) as error:
        print(f"lie-jax: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlie-jax: interrupted", file=sys.stderr)
        return 130


def _notes(
    predictor: Predictor, entries: list[Entry], reasons: list[str | None], form: FormatName
) -> None:
    """What the reader of the numbers should know, on stderr."""
    for entry, reason in zip(entries, reasons, strict=True):
        if reason is not None:
            place = f" (frame {entry.frame})" if entry.frame else ""
            print(f"lie-jax: {entry.source}{place} is refused: {reason}", file=sys.stderr)
    left = [entry for entry, reason in zip(entries, reasons, strict=True) if reason is None]
    if any(entry.from_smiles for entry in left):
        print(f"lie-jax: {SMILES_NOTE}", file=sys.stderr)
    if form != "table" or not left:
        return
    known = [n.card.uncertainty for n in predictor.networks if n.card.uncertainty]
    shares = sorted({f"{u.coverage:.0%}" for u in known})
    if shares:
        print(
            f"± holds the true value of {' or '.join(shares)} of molecules like those of the "
            "training data; in brackets: spread over rotations, where there are several",
            file=sys.stderr,
        )
    notes = {t.name: t.scale_note for n in predictor.networks for t in n.card.targets}
    for name, note in notes.items():
        if note:
            print(f"{name}: {note}", file=sys.stderr)


def _score(target: Target) -> str:
    if target.test_mae is None:
        return f"{target.name} (test error not known)"
    return f"{target.name} (test error {target.test_mae:.3g} {target.unit})"


def _card(name: str, card: Card) -> str:
    model, domain = card.model, card.domain
    lines = [
        f"{name}: {model['kind']}-{model['group']}",
        "",
        "targets, mean error on test molecules",
    ]
    for target in card.targets:
        error = "not known" if target.test_mae is None else f"{target.test_mae:.4g} {target.unit}"
        lines.append(f"  {target.name}: {target.meaning}, {error}  {target.scale_note}".rstrip())
    sizes = f"{domain.atoms[0]} to {domain.atoms[1]} atoms"
    lines += ["", f"domain: molecules of {', '.join(domain.elements)}, {sizes}"]
    if card.uncertainty:
        lines.append(f"intervals: {card.uncertainty.coverage:.0%}, calibrated by number of atoms")
    if card.augmentations > 1:
        lines.append(f"averaged over {card.augmentations} rotations")
    for field in ("data", "recipe", "limits", "licence", "commit"):
        if getattr(card, field):
            lines.append(f"{field}: {getattr(card, field)}")
    if card.trained:
        lines.append("trained: " + ", ".join(f"{k} {v}" for k, v in card.trained.items()))
    return "\n".join(lines)
