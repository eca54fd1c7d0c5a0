"""Spring systems: learn the energy, roll out, test."""
