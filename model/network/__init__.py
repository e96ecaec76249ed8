"""The Depth Pro network (arXiv 2410.02073), in plain PyTorch on timm's vision transformer."""

from model.network.depth_pro import DepthProNetwork
from model.network.initialise import init_random

__all__ = ["DepthProNetwork", "init_random"]
