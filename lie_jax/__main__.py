"""The command ``lie-jax``, which is ``python -m lie_jax`` too."""

import sys


def main() -> int:
    """Runs one command; returns the exit status."""
    try:
        from lie_jax.predict.command import main as run
    except ModuleNotFoundError as error:
        print(f'lie-jax: {error}: pip install "lie_jax[predict]"', file=sys.stderr)
        return 1
    return run()


if __name__ == "__main__":
    sys.exit(main())
