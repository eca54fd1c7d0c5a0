"""How the measuring process talks to the one that is measured.

Each implementation runs in a process of its own, so that its peak memory is its own and so that
the other one sleeps meanwhile. A worker prints JSON lines: first what getting ready took, then
one per round that it is asked for. It must import nothing but the standard library here: the
reference runs in another environment.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def serve(prepare: Callable[[], tuple[Callable[[], int], int]]) -> None:
    """The worker's side: answers on stdout until stdin ends.

    Args:
        prepare: builds everything and runs each shape once; gives a function that runs one
            round to its end and says how many steps that were, and the number of parameters.
    """
    # Whatever the measured code prints must not mix with the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    started = time.perf_counter()
    run, parameters = prepare()
    ready = {"prepare_seconds": time.perf_counter() - started, "parameters": parameters}
    print(json.dumps(ready), file=answers, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        steps = run()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak_mib = peak / (2**20 if sys.platform == "darwin" else 2**10)
        answer = {"seconds": seconds, "steps": steps, "peak_mib": peak_mib}
        print(json.dumps(answer), file=answers, flush=True)


class WorkerError(RuntimeError):
    """A worker ended early; the message holds the end of what it printed."""


class Worker:
    """A process that serves rounds; use it in a ``with`` statement.

    Args:
        name: how it is called in messages.
        command: Python program and its arguments.
        log: file for what it prints besides its answers.
        environment: variables to add.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        environment: dict[str, str] | None = None,
    ):
        self.name, self.log = name, log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=ROOT,
                env=os.environ | (environment or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            ready = self._answer()
        except BaseException:
            self.close()
            raise
        self.prepare_seconds: float = ready["prepare_seconds"]
        self.parameters: int = ready["parameters"]

    def round(self) -> dict:
        """Runs one round; seconds, steps and peak_mib."""
        assert self._process.stdin is not None
        # Where the process has ended, the answer that does not come says why.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            tail = "\n".join(self.log.read_text().splitlines()[-15:])
            raise WorkerError(f"benchmark: the {self.name} process ended with {code}:\n{tail}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self.close()
