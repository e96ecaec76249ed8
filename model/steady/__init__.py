"""Depth that holds still: what the network's scale jitters by from frame to frame, seen by how the camera moves."""

from model.steady.average import DepthAverage
from model.steady.hindsight import with_hindsight
from model.steady.motion import MotionTracker, Tracks
from model.steady.stage import SteadyStage
from model.steady.steadier import Steadied, Steadier

__all__ = ["DepthAverage", "MotionTracker", "Steadied", "Steadier", "SteadyStage", "Tracks", "with_hindsight"]
