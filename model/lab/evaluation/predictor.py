"""One picture in, depth out: the network as the product runs it, without threads and filters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.engine import Engine
from model.engine.device import torch_errors
from model.focal import focal_or_none
from model.lab.evaluation.metrics import Depth
from model.pixels.metres import metric_depth
from model.pixels.planes import host_tensor, network_input
from stream.errors import ModelError
from stream.frame import Frame


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
        """Metres ``float32 [H, W]`` with the focal length ``f_px``; +Inf beyond 10 km.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        with torch_errors(), torch.inference_mode():
            depth_HW = metric_depth(self.C_SS, focal_ratio=f_px / self.width, width=self.width, height=self.height)
            depth: Depth = depth_HW.cpu().numpy()
        return depth


class Predictor:
    """Runs an engine on one picture after the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        engine.prepare(with_fov=(True,))

    def __call__(self, frame: Frame) -> Prediction:
        """What the network says of a frame.

        Raises:
            ModelError: the network failed, or its output is not finite.
        """
        engine = self._engine
        with torch_errors(), torch.inference_mode(), engine.streams.on("compute"):
            planes = [host_tensor(p).to(engine.device) for p in frame.planes]
            x_13SS = network_input(planes, frame, size=engine.input_size)
            C_1SS, fov_1 = engine.run(x_13SS, engine.precision, with_fov=True)
            assert fov_1 is not None
            finite = bool(torch.isfinite(C_1SS).all() & torch.isfinite(fov_1).all())
            fov_deg = float(fov_1[0])
        if not finite:
            raise ModelError(
                f"the network's output for picture {frame.capture.index} is not finite; try `precision=fp32`"
            )
        raw_f_px = focal_or_none(fov_deg, frame.width)
        return Prediction(C_1SS[0], raw_f_px, frame.width, frame.height)
