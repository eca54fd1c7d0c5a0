"""metrics.jsonl: one line per record, readable while the run goes on."""

import json
import math
from pathlib import Path
from typing import Any


class MetricsLog:
    """Appends records to a file of JSON lines.

    Args:
        path: the file; made when the first record comes.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def write(self, step: int, **values: Any) -> None:
        """Appends ``{"step": step, ...}``; numbers of any kind become plain ones.

        Raises:
            ValueError: a number is NaN or infinite, which JSON does not know.
        """
        record = {"step": int(step)} | {k: _plain(v) for k, v in values.items()}
        bad = [k for k, v in record.items() if isinstance(v, float) and not math.isfinite(v)]
        if bad:
            raise ValueError(f"MetricsLog.write: values must be finite, got {record} ({bad[0]})")
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All records; a last line that was cut off by a crash is left out."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def truncate(self, step: int) -> None:
        """Forgets what was written after ``step``: a resumed run writes it again."""
        if self.path.is_file():
            kept = [record for record in self.read() if record["step"] <= step]
            # Replaced in one go: a run killed meanwhile must not lose what it had written.
            new = self.path.with_suffix(".new")
            new.write_text("".join(json.dumps(record) + "\n" for record in kept))
            new.replace(self.path)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | list | dict) else float(value)
