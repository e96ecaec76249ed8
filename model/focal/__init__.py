"""The focal length: what the user knows of the camera, and what becomes of the network's estimates over time."""

from model.focal.given import CameraConfig, GivenCamera
from model.focal.lens import Lens
from model.focal.tracker import FocalConfig, FocalTracker, focal_from_fov, focal_or_none

__all__ = ["CameraConfig", "FocalConfig", "FocalTracker", "GivenCamera", "Lens", "focal_from_fov", "focal_or_none"]
