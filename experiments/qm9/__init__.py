"""QM9: twelve properties of 130,831 molecules."""
