"""What a worker of Ray does: it holds the engine, and answers one batch of pictures after another.

A worker remembers nothing of the pictures it has seen. So any worker may have any batch, and a batch whose worker has
died is given to it again when it is back.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import torch

from model.config import EngineConfig
from model.engine.device import choose_device, torch_errors
from model.engine.engine import Engine
from model.engine.passage import Lane, Stage
from model.engine.precision import Precision
from model.engine.process import prepare_process
from model.focal.lens import Lens
from model.pixels.metres import resized
from model.weights import load
from stream.errors import WeightsError
from stream.frame import Frame


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame to be computed; fields as in :class:`model.engine.passage.Lane`."""

    frame: Frame
    lens: Lens | None
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the network found in a picture.

    Attributes:
        fov_deg, is_finite: as in :class:`model.engine.passage.Lane`.
        C_HW: canonical inverse depth ``float32 [height, width]``, at the size that was asked for; ``None`` where only
            the field of view was.
        coarse: as in :class:`model.engine.passage.Lane`, ``None`` where it was not asked for.
    """

    fov_deg: float
    is_finite: bool
    C_HW: npt.NDArray[np.float32] | None = None
    coarse: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What must be alike in all workers, but for ``place``, and what an engine is asked about.

    Attributes:
        program, torch: versions.
        weights: a checksum of them.
        device: the card's name, or what the processor can do.
        label, precision, input_size, output_size, trained: as of an :class:`Engine` and its model.
        place: host and process, for people.
    """

    program: str
    torch: str
    weights: str
    device: str
    label: str
    precision: Precision
    input_size: int
    output_size: int
    trained: bool
    place: str


class Worker:
    """An engine in a process of its own. Two threads of Ray call it: one computes while the other sends its results.

    The engine is made by the first call that needs it: what is wrong with it is then that call's error, and no death.

    Args:
        model: as :func:`model.weights.load` takes it.
        config: of the engine.
        threads: that torch computes with on a CPU.
        number: of the worker, from 0.
    """

    def __init__(self, model: str, config: EngineConfig, threads: int, number: int) -> None:
        self._model, self._config, self._threads, self._number = model, config, threads, number
        self._lanes: list[Lane] = []
        self._computing = threading.Lock()

    def about(self) -> About:
        """What it is.

        Raises:
            DepthStreamError: there is no such model here, or it cannot run.
        """
        with self._computing:
            engine, device = self._engine, self._engine.device
            return About(
                program=version("depth-pro-stream"),
                torch=torch.__version__,
                weights=engine.weights,
                device=torch.cuda.get_device_name(device) if device.type == "cuda" else _instructions(),
                label=engine.label,
                precision=engine.precision,
                input_size=engine.input_size,
                output_size=engine.output_size,
                trained=self._trained,
                place=f"{socket.gethostname()}, process {os.getpid()}",
            )

    @cached_property
    def _engine(self) -> Engine:
        torch.set_num_threads(self._threads)
        prepare_process(choose_device(self._config.device))
        try:
            loaded = load(self._model)
        except WeightsError as exc:
            raise WeightsError(f"{exc} (on {socket.gethostname()}, a worker of Ray)") from exc
        self._trained = loaded.trained
        return Engine(loaded, self._config)

    @cached_property
    def _stage(self) -> Stage:
        return self._engine.stage()

    def prepare(self, with_fov: Sequence[bool]) -> None:
        """See :meth:`Engine.prepare`."""
        with self._computing:
            self._engine.prepare(with_fov=with_fov)

    def compute(
        self, pictures: Sequence[Picture], precision: Precision, *, with_fov: bool, with_coarse: bool
    ) -> tuple[int, int, list[Seen]]:
        """The number of this process and of this worker, and what the network found in one batch.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        torch.set_num_threads(self._threads)  # what OpenMP is told holds for the thread that tells it
        with torch_errors(), torch.inference_mode():
            with self._computing:
                streams = self._engine.streams
                self._engine.prepare(with_fov=[with_fov])  # only a worker that has been started anew has not done it
                lanes = self._take_lanes(pictures)
                done = self._stage.compute(lanes, precision, with_fov=with_fov, with_coarse=with_coarse)
                with streams.on("compute"):
                    sized = [resized(lane.C_HW, width=lane.width, height=lane.height) for lane in lanes]
                    ready = streams.mark("compute")
            with streams.on("download"):  # while the other thread has the next batch computed
                streams.wait("download", ready)
                arrays = [C_HW.cpu().numpy() for C_HW in sized]
            done.synchronize()
            seen = [
                Seen(lane.fov_deg, lane.is_finite, C_HW, lane.coarse.numpy().copy() if with_coarse else None)
                for lane, C_HW in zip(lanes, arrays, strict=True)
            ]
            with self._computing:
                self._lanes += lanes
        return os.getpid(), self._number, seen

    def field_of_view(self, picture: Picture) -> tuple[int, int, list[Seen]]:
        """As :meth:`compute`, of the field of view of one picture alone.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        torch.set_num_threads(self._threads)
        with torch_errors(), torch.inference_mode(), self._computing:
            (lane,) = self._take_lanes([picture])
            self._stage.field_of_view(lane).synchronize()
            self._lanes.append(lane)
            return os.getpid(), self._number, [Seen(lane.fov_deg, lane.is_finite)]

    def _take_lanes(self, pictures: Sequence[Picture]) -> list[Lane]:
        lanes = []
        streams = self._engine.streams
        with streams.on("upload"):
            for picture in pictures:
                lane = self._lanes.pop() if self._lanes else Lane(self._engine.device)
                lane.upload(picture.frame, picture.lens, width=picture.width, height=picture.height)
                lanes.append(lane)
            uploaded = streams.mark("upload")
        streams.wait("compute", uploaded)
        return lanes


def _instructions() -> str:
    """The processor's, by which its libraries choose how they add up."""
    return f"cpu with {torch.backends.cpu.get_cpu_capability()}"
