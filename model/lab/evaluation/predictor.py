"""One picture in, depth out: the network as the product runs it, without threads, streams and filters."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.engine.device import torch_errors
from model.engine.precision import DTYPES, Precision
from model.focal import focal_from_fov
from model.lab.evaluation.metrics import Depth
from model.network import DepthProNetwork
from model.pixels.metres import metric_depth
from model.pixels.planes import host_tensor, network_input
from model.weights import LoadedModel
from stream.errors import ModelError
from stream.frame import Capture, Frame, Geometry


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of one picture of ``width`` × ``height`` pixels.

    Attributes:
        C_SS: canonical inverse depth, on the network's device.
        raw_f_px: estimated focal length in pixels of the picture; ``None`` for an impossible field of view.
    """

    C_SS: Tensor
    raw_f_px: float | None
    width: int
    height: int

    def depth(self, f_px: float) -> Depth:
        """Metres ``float32 [H, W]`` with the focal length ``f_px``; +Inf beyond 10 km."""
        depth_HW = metric_depth(self.C_SS, focal_ratio=f_px / self.width, width=self.width, height=self.height)
        depth: Depth = depth_HW.cpu().numpy()
        return depth


class Predictor:
    """Runs a network on one picture after the other.

    Args:
        model: weights as :func:`model.weights.load` gives them, which are copied; or a network, for instance one in
            training, which is moved to ``device`` and otherwise used as it is.
        device: where to.
        precision: number type for a :class:`LoadedModel`.
    """

    def __init__(
        self, model: LoadedModel | DepthProNetwork, *, device: torch.device | str = "cpu", precision: Precision = "fp32"
    ) -> None:
        self._device = torch.device(device)
        with torch_errors():
            if isinstance(model, LoadedModel):
                self._network = copy.deepcopy(model.network).to(self._device, DTYPES[precision])
            else:
                self._network = model.to(self._device)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The network is in evaluation mode inside, and afterwards in the mode it was in."""
        training = self._network.training
        self._network.eval()
        try:
            yield
        finally:
            self._network.train(training)

    def __call__(self, frame: Frame) -> Prediction:
        """Run the network on a frame (see :func:`rgb_frame`).

        Raises:
            ModelError: the network failed, or its output is not finite.
        """
        with torch_errors(), torch.inference_mode():
            planes = [host_tensor(p).to(self._device) for p in frame.planes]
            C_1SS, fov_1 = self._network(network_input(planes, frame, size=self._network.config.input_size))
            finite = bool(torch.isfinite(C_1SS).all() & torch.isfinite(fov_1).all())
            fov_deg = float(fov_1[0])
        if not finite:
            raise ModelError(
                f"the network's output for picture {frame.capture.index} is not finite; try --precision fp32"
            )
        raw_f_px = focal_from_fov(fov_deg, frame.width) if 0.1 < fov_deg < 179.9 else None
        return Prediction(C_1SS[0], raw_f_px, frame.width, frame.height)


def rgb_frame(image: npt.NDArray[np.uint8], *, index: int = 0, time_s: float = 0.0) -> Frame:
    """A picture ``uint8 [H, W, 3]``, RGB, as a source would have handed it over."""
    height, width = image.shape[:2]
    return Frame(
        capture=Capture(index=index, pts=None, time_base=Fraction(1, 1000), time_ns=round(time_s * 1e9), clock="media"),
        geometry=Geometry("rgb24", width, height),
        planes=(np.require(image, requirements=["C", "W"]),),
    )
