"""What rectifying costs: one frame with and without it, through the same engine, by turns.

    python benchmarks/rectify.py --model nano --size 1920x1080

Prints the median time of a frame, with the 10th and 90th percentile, with depth alone and with the picture beside it,
and the ratio. Depth has the size of the source.
"""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import cyclopts
import numpy as np

from model.config import EngineConfig, EstimatorConfig
from model.engine import Engine, prepare_process
from model.engine.device import choose_device
from model.estimator import DepthProEstimator
from model.focal import CameraConfig, GivenCamera
from model.weights import load
from stream.frame import Capture, Frame, Geometry


class Lease:
    """A frame that no ring waits for."""

    dropped = 0

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def release(self, *, after: object = None) -> None:
        pass


def main(*, model: str = "nano", device: str = "auto", size: str = "1920x1080", rounds: int = 15) -> None:
    """Time frames with and without rectification.

    Parameters
    ----------
    model
        nano, depth-pro or a checkpoint.
    device
        auto, cpu, cuda or cuda:N.
    size
        Of the frames, in pixels.
    rounds
        Frames of each kind.
    """
    width, height = map(int, size.split("x"))
    prepare_process(choose_device(device))
    engine = Engine(load(model), EngineConfig(device=device))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "camera.yaml"
        path.write_text(
            f"image_width: {width}\nimage_height: {height}\ndistortion_model: plumb_bob\n"
            f"camera_matrix: {{data: [{0.7 * width}, 0, {width / 2}, 0, {0.7 * width}, {height / 2}, 0, 0, 1]}}\n"
            "distortion_coefficients: {data: [-0.28, 0.09, 0.001, -0.0008, 0]}\n"
        )
        cameras = [GivenCamera(CameraConfig(camera_info=path, rectify=rectify)) for rectify in (False, True)]
    estimators = [DepthProEstimator(engine=engine, camera=camera, config=EstimatorConfig()) for camera in cameras]
    geometry = Geometry("nv12", width, height)
    rng = np.random.default_rng(0)
    frame = Frame(
        capture=Capture(index=0, pts=0, time_base=Fraction(1, 30), time_ns=0, clock="media"),
        geometry=geometry,
        planes=tuple(rng.integers(0, 256, shape, np.uint8) for shape in geometry.plane_shapes),
    )
    for with_image in (False, True):
        times: list[list[float]] = [[], []]
        for turn in range(rounds + 2):
            for estimator, taken in zip(estimators, times, strict=True):
                start = time.perf_counter()
                estimator.submit(Lease(frame), with_image=with_image)
                estimator.collect()
                if turn >= 2:
                    taken.append(time.perf_counter() - start)
        without, rectified = (np.percentile(taken, [10, 50, 90]) * 1e3 for taken in times)
        print(
            f"{engine.label} on {engine.device}, {size}, {'depth and picture' if with_image else 'depth'}: "
            f"{without[1]:.1f} ms [{without[0]:.1f}, {without[2]:.1f}] as it is, "
            f"{rectified[1]:.1f} ms [{rectified[0]:.1f}, {rectified[2]:.1f}] rectified, "
            f"ratio {np.median(np.divide(times[1], times[0])):.3f}"
        )


if __name__ == "__main__":
    cyclopts.run(main)
