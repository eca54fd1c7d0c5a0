"""metrics.jsonl: one line per record, readable while the run goes on."""

import itertools
import json
import math
from pathlib import Path
from typing import Any


class MetricsLog:
    """Appends records to a file of JSON lines.

    Args:
        path: the file; made when the first record comes.
        labels: stand in every record of this log. Logs of one file that differ in them see, and
            forget, their own records only: several trainings may share a file.
    """

    def __init__(self, path: str | Path, **labels: str):
        self.path = Path(path)
        self.labels = labels

    def write(self, step: int, **values: Any) -> None:
        """Appends ``{"step": step, ...}``; numbers of any kind become plain ones.

        Raises:
            ValueError: a number is NaN or infinite, which JSON does not know.
        """
        record = {"step": int(step)} | self.labels | {k: _plain(v) for k, v in values.items()}
        bad = [k for k, v in record.items() if isinstance(v, float) and not math.isfinite(v)]
        if bad:
            raise ValueError(f"MetricsLog.write: values must be finite, got {record} ({bad[0]})")
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All records of this log; a last line that was cut off by a crash is left out."""
        return [record for record in self._whole_file() if self._is_own(record)]

    def seconds(self) -> float:
        """How long the steps of all sessions took, by their ``steps_per_second``."""
        records = [r for r in self.read() if "steps_per_second" in r]
        ends = [0, *(r["step"] for r in records)]
        steps = [end - start for start, end in itertools.pairwise(ends)]
        return sum(n / r["steps_per_second"] for n, r in zip(steps, records, strict=True))

    def truncate(self, step: int) -> None:
        """Forgets what was written after ``step``: a resumed run writes it again."""
        if self.path.is_file():
            kept = [r for r in self._whole_file() if r["step"] <= step or not self._is_own(r)]
            # Replaced in one go: a run killed meanwhile must not lose what it had written.
            new = self.path.with_suffix(".new")
            new.write_text("".join(json.dumps(record) + "\n" for record in kept))
            new.replace(self.path)

    def _whole_file(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        lines = self.path.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def _is_own(self, record: dict[str, Any]) -> bool:
        return self.labels.items() <= record.items()


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | list | dict) else float(value)
