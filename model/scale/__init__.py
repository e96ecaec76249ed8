"""The scale of depth, from one distance that the user knows."""

from model.scale.known_distance import KnownDistance, ScaleConfig
from model.scale.scaler import DepthScaler

__all__ = ["DepthScaler", "KnownDistance", "ScaleConfig"]
