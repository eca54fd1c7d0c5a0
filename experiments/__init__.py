"""The experiments: recipes, command line, evaluation, plots. Uses the public lie_jax only."""
