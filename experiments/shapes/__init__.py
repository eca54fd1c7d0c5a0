"""Constellations: count triangles, squares, pentagons and Ls in a cloud of points."""
