"""Memory that a step frees, kept for the next one."""

import ctypes
import sys

# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> bool:
    """Lets this process keep the memory that it frees, until it ends; for training on a CPU.

    XLA frees the buffers of a step at its end. glibc hands large ones back to the system, which
    gives them out again page by page, filled with zeros: for a network of 10 million parameters a
    fifth of a step (``benchmarks/README.md``). Call it once, before the first computation: what
    other threads have begun to use stays as it is.

    Returns:
        Whether glibc took the settings; without glibc nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    # No block of its own for a large buffer, no heap of its own for a thread (too small for one),
    # none handed back. Each of them returns 0 where it is refused.
    settings = ((_MMAP_MAX, 0), (_ARENA_MAX, 1), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26))
    accepted = [mallopt(name, value) for name, value in settings]
    return all(accepted)
