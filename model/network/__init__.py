"""The Depth Pro network (arXiv 2410.02073), in plain PyTorch on timm's vision transformer, and the form it runs in."""

from model.network.depth_pro import DepthProNetwork
from model.network.inference.network import InferenceNetwork
from model.network.initialise import init_random

__all__ = ["DepthProNetwork", "InferenceNetwork", "init_random"]
