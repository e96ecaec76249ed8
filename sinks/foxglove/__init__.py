"""Foxglove: depth on its live server."""
