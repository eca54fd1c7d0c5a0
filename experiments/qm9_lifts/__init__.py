"""Molecules, by networks that respect rotations in different ways."""
