"""Handwritten digits as point sets, rotated and scaled at test time."""
