"""Weights: where they are, how their files are read, and the network they make. ``load("nano")`` gives one to run."""

from model.weights.loader import LoadedModel, checksum, load, resolve_auto, save, untrained

__all__ = ["LoadedModel", "checksum", "load", "resolve_auto", "save", "untrained"]
