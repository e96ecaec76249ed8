"""Rerun: depth in its viewer, live, or in its files."""
