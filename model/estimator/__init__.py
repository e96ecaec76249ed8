"""Frames in, metric depth out."""

from model.estimator.estimator import DepthProEstimator
from model.estimator.passing import Made

__all__ = ["DepthProEstimator", "Made"]
