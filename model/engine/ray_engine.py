"""The engine in other processes: a machine's, or a cluster's, by Ray. Its interface is that of :class:`Engine`.

::

    this process                                    workers, each with an Engine
    decoder → ring → estimator ─ batches of planes ──► planes → network → inverse depth at the size of the depth
    sinks ◄─ metres ◄─ filters ◄─ inverse depth, field of view ──┘

The line is cut where a frame remembers nothing: cuts, focal lengths, steadied scale and outputs depend on the frames
before, and stay one after another here; the network does not, and nearly all of the time is its. So the result is that
of one machine, bit for bit, and a run that was killed goes on as ever. Why whole segments are not sent to be decoded
elsewhere is told, with figures, in ``docs/films.md``.

Ray starts the workers, finds them GPUs, moves the arrays, starts those anew that die and repeats what they had to do.
What is done here is to hand the next batch to the worker with the fewest, and to bound how many are on their way.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import torch

from model.config import EngineConfig, RayConfig
from model.engine.device_streams import streams_for
from model.engine.passage import Lane, Stage
from model.engine.precision import Precision
from model.pixels.planes import host_tensor
from model.weights import resolve_auto
from stream.errors import ConfigError, DepthStreamError, ModelError, one_line
from stream.ports import Event

if TYPE_CHECKING:
    from model.engine.ray_worker import About, Picture, Seen

_PER_WORKER = 3  # batches: one is computed, one comes or goes, one may wait
_RESTARTS, _RETRIES = 20, 3  # of a worker in a run, and of a batch that kills whoever has it
_CONNECT_S, _ANSWER_S = 5.0, 10.0  # of a machine, and of Ray on it
_TELL_S = 30.0
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody is told of this run
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # nor warned of what Ray means to change
}
_log = logging.getLogger(__name__)


class RayEngine:
    """Runs batches of pictures on workers. To be closed.

    Args:
        model: as :func:`model.weights.load` takes it, on each worker's machine.
        config: of each worker's engine; ``device`` is ``cpu``, ``auto`` or ``cuda``.
        ray: how many workers, and what each of them gets.
        may_download: whether ``model=auto`` may mean one that workers have to download.

    Attributes:
        workers: how many there are.
        config, device, label, weights, precision, input_size, output_size, streams: as of an :class:`Engine`. The
            device is the one that metres are made on: this machine's CPU.

    Raises:
        ConfigError: Ray is not installed, not reachable or too small, workers are not alike, or an option needs frames
            to come one after another.
        ModelError: a worker cannot run the network.
    """

    def __init__(
        self,
        model: str,
        config: EngineConfig | None = None,
        ray: RayConfig | None = None,
        *,
        may_download: bool = True,
    ) -> None:
        config, asked = config or EngineConfig(), ray or RayConfig()
        if config.reuse_tiles is not None:
            raise ConfigError("`reuse_tiles` compares a frame with the one before, which another worker may have had")
        if config.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"Ray chooses each worker's GPU; leave out `device={config.device}`")
        self._ray = _ray()
        self._pending: dict[Any, int] = {}  # batches by what Ray calls them, and who has them
        self._processes: dict[int, int] = {}  # of workers
        _connect(self._ray)
        try:
            count, gpus, cpus = worker_sizes(self._ray.cluster_resources(), config, asked)
            config = replace(config, device="cuda" if gpus else "cpu")
            if model == "auto":
                model, reason = resolve_auto(cuda_available=gpus > 0, may_download=may_download)
                _log.info("model %s. %s", model, reason)
            _log.info("workers of Ray: %d; each has %d of the cores and %g of the GPUs", count, cpus, gpus)
            self._workers = self._start(model, config, count, gpus, cpus)
            about = self._about = self._alike()
        except BaseException:
            self.close()
            raise
        self.config, self.workers = config, count
        self.device = torch.device("cpu")
        self.streams = streams_for(self.device)
        self.label, self.weights = about.label, about.weights
        self.precision, self.trained = about.precision, about.trained
        self.input_size, self.output_size = about.input_size, about.output_size

    def stage(self) -> Stage:
        """See :meth:`Engine.stage`."""
        return _RayStage(self)

    def prepare(self, *, with_fov: Sequence[bool]) -> None:
        """See :meth:`Engine.prepare`; returns before it is done."""
        for worker in self._workers:
            worker.prepare.remote(list(with_fov))

    def allocate(self, size: int) -> npt.NDArray[np.uint8]:
        """See :meth:`Engine.allocate`."""
        return np.empty(size, np.uint8)

    def close(self) -> None:
        """Let the workers go, and a Ray that was started here end."""
        self._pending.clear()
        self._ray.shutdown()

    def submit(self, method: str, *arguments: object, **options: object) -> Any:
        """Hand work to the worker that has least to do. Returns what :meth:`result` takes."""
        with _ray_errors(self._ray):
            if self._pending:
                done, _ = self._ray.wait(
                    list(self._pending), num_returns=len(self._pending), timeout=0, fetch_local=False
                )
                for reference in done:
                    del self._pending[reference]
            busy = list(self._pending.values())
            number = min(range(self.workers), key=busy.count)
            reference = getattr(self._workers[number], method).remote(*arguments, **options)
        self._pending[reference] = number
        return reference

    def result(self, reference: Any) -> list[Seen]:
        """Wait for what a worker has found.

        Raises:
            ConfigError: it has been started anew where depth would be another.
            ModelError: it cannot run the network, or dies whenever it tries.
        """
        with _ray_errors(self._ray):
            process, number, seen = self._ray.get(reference)
        if self._processes.setdefault(number, process) != process:
            self._processes[number] = process
            with _ray_errors(self._ray):
                about: About = self._ray.get(self._workers[number].about.remote())
            _log.warning("worker %d of Ray has died and was started anew (%s)", number + 1, about.place)
            check_alike([self._about, about])  # it may be on another machine now
        found: list[Seen] = seen
        return found

    def _start(self, model: str, config: EngineConfig, count: int, gpus: float, cpus: int) -> list[Any]:
        from model.engine.ray_worker import Worker

        remote = self._ray.remote(Worker).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=_RESTARTS,
            max_task_retries=_RETRIES,
            max_concurrency=2,
        )
        with _ray_errors(self._ray):
            return [remote.remote(model, config, cpus, number) for number in range(count)]

    def _alike(self) -> About:
        """What all workers are, once all are there."""
        abouts = [worker.about.remote() for worker in self._workers]
        with _ray_errors(self._ray):
            while True:
                there, missing = self._ray.wait(abouts, num_returns=len(abouts), timeout=_TELL_S)
                found = self._ray.get(there)  # an error of one ends it, whoever is missing
                if not missing:
                    break
                _log.info("waiting for %d of %d workers of Ray", len(missing), len(abouts))
        check_alike(found)
        first: About = found[0]
        return first


def worker_sizes(there: Mapping[str, float], config: EngineConfig, asked: RayConfig) -> tuple[int, float, int]:
    """How many workers, and the GPUs and cores of each.

    Args:
        there: the cluster's ``CPU`` and ``GPU``, as Ray counts them.
        config: of their engines.
        asked: by the user.

    Raises:
        ConfigError: they do not fit.
    """
    all_gpus, all_cpus = there.get("GPU", 0.0), there.get("CPU", 0.0)
    gpus = asked.worker_gpus
    if gpus is None:
        gpus = 1.0 if all_gpus and config.device != "cpu" else 0.0
    if config.device == "cuda" and not gpus:
        raise ConfigError("`device=cuda` needs GPUs, and the workers of Ray get none; leave it out")
    cpus = asked.worker_cpus or (1 if gpus else min(torch.get_num_threads(), max(int(all_cpus), 1)))
    room = int(min(all_cpus // cpus, all_gpus // gpus if gpus else all_cpus))
    count = asked.workers or max(room, 1)
    if count > room:
        raise ConfigError(
            f"workers that do not fit: {count} with {cpus} cores and {gpus:g} GPUs each, and Ray has {all_cpus:g} "
            f"cores and {all_gpus:g} GPUs; choose other `workers`, `worker_cpus` or `worker_gpus`"
        )
    return count, gpus, cpus


def check_alike(workers: Sequence[About]) -> None:
    """Whether depth is the same whoever computes it.

    Raises:
        ConfigError: a worker is not as the first one, or runs another version than this process.
    """
    first, here = workers[0], version("depth-pro-stream")
    if first.program != here:
        raise ConfigError(
            f"the worker at {first.place} runs version {first.program}, this is {here}; install one on all machines"
        )
    for other in workers[1:]:
        for name in (field.name for field in fields(other) if field.name != "place"):
            if (one := getattr(first, name)) != (another := getattr(other, name)):
                raise ConfigError(
                    f"workers of Ray are not alike, {name}: {one} at {first.place}, {another} at {other.place}; "
                    "make the machines alike, or use one kind of them"
                )


class _RayStage:
    """The network of all workers; see :class:`model.engine.passage.Stage`."""

    def __init__(self, engine: RayEngine) -> None:
        self._engine = engine

    def capacity(self, in_flight: int) -> int:  # noqa: ARG002 (workers have a number of their own)
        return self._engine.config.batch * self._engine.workers * _PER_WORKER

    def compute(self, lanes: Sequence[Lane], precision: Precision, *, with_fov: bool, with_coarse: bool) -> Event:
        pictures = [_picture(lane) for lane in lanes]
        reference = self._engine.submit("compute", pictures, precision, with_fov=with_fov, with_coarse=with_coarse)
        return _Answer(self._engine, reference, lanes)

    def field_of_view(self, lane: Lane) -> Event:
        return _Answer(self._engine, self._engine.submit("field_of_view", _picture(lane)), [lane])


class _Answer:
    """Happens when a worker has answered; then lanes hold what it found."""

    def __init__(self, engine: RayEngine, reference: Any, lanes: Sequence[Lane]) -> None:
        self._engine, self._lanes = engine, lanes
        self._reference: Any = reference

    def synchronize(self) -> None:
        if self._reference is None:
            return
        for lane, seen in zip(self._lanes, self._engine.result(self._reference), strict=True):
            lane.fov_and_finite[0], lane.fov_and_finite[1] = seen.fov_deg, float(seen.is_finite)
            if seen.C_HW is not None:
                lane.C_HW = host_tensor(seen.C_HW)
            if seen.coarse is not None:
                lane.coarse = torch.from_numpy(seen.coarse.copy())
        self._reference = None


def _picture(lane: Lane) -> Picture:
    from model.engine.ray_worker import Picture

    dtype = lane.frame.geometry.format.dtype  # which torch does not have
    planes = tuple(plane.numpy().view(dtype) for plane in lane.planes)
    return Picture(replace(lane.frame, planes=planes), lane.lens, lane.width, lane.height)


def _ray() -> Any:
    """Ray's module.

    Raises:
        ConfigError: it is not installed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as exc:
        raise ConfigError("`engine=ray` needs the Python package ray: pip install -e '.[ray]'") from exc
    return ray


def _connect(ray: Any) -> None:
    """Join the cluster that RAY_ADDRESS names, or start Ray on this machine.

    Raises:
        ConfigError: nobody answers there.
    """
    address = os.environ.get("RAY_ADDRESS") or "local"
    if address not in ("local", "auto"):
        _check_reachable(address)
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as exc:
        raise ConfigError(f"Ray at RAY_ADDRESS={address} cannot be joined: {one_line(exc)[:300]}") from exc


def _check_reachable(address: str) -> None:
    if address.startswith("ray://"):
        raise ConfigError(
            f"RAY_ADDRESS={address} is for Ray's client; start this on a machine of the cluster, with host:port"
        )
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
        if host is None or port is None:
            raise ValueError
    except ValueError:
        raise ConfigError(f"RAY_ADDRESS={address} is not host:port, such as 192.0.2.7:6379, or auto") from None
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as exc:
        raise ConfigError(
            f"nobody answers at RAY_ADDRESS={address} ({exc.strerror or exc}); start the cluster with `ray start "
            "--head`, or leave RAY_ADDRESS out for Ray on this machine"
        ) from exc
    # Ray's own question, as its containers are asked: joining would try for a minute, and tell of each attempt.
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_ANSWER_S)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"what answers at RAY_ADDRESS={address} is not Ray") from None
    except subprocess.CalledProcessError as exc:
        if b"AuthenticationError" in exc.stderr:
            raise ConfigError(
                f"the cluster at RAY_ADDRESS={address} asks for its token; have it in ~/.ray/auth_token and set "
                "RAY_AUTH_MODE=token"
            ) from None
        raise ConfigError(f"what answers at RAY_ADDRESS={address} is not Ray, or not its version here") from None


@contextmanager
def _ray_errors(ray: Any) -> Iterator[None]:
    """The one place where Ray's errors become ours."""
    try:
        yield
    except ray.exceptions.RayTaskError as exc:
        cause = exc.cause
        if isinstance(cause, DepthStreamError):
            raise cause from exc
        raise ModelError(f"a worker of Ray failed: {type(cause).__name__}: {one_line(cause)[:300]}") from exc
    except ray.exceptions.RayActorError as exc:
        raise ModelError(
            f"workers of Ray die again and again, their machines may be out of memory: {one_line(exc)[:300]}"
        ) from exc
    except ray.exceptions.RayError as exc:
        raise ModelError(f"Ray failed: {one_line(exc)[:300]}") from exc
