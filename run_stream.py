"""Command line → configs → objects → ``Pipeline.run``: the only place where stages are wired together."""

from __future__ import annotations

from stream.command_line import DONE, SINK_FAILED, CommandLine, quiet_start

if __name__ == "__main__":
    quiet_start()

import glob
import logging
import signal
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote, urlsplit

from cyclopts import Group, Parameter
from rich.console import Console

from model.config import EngineConfig, EstimatorConfig
from model.focal import CameraConfig, FocalConfig, GivenCamera
from model.scale import DepthScaler, ScaleConfig
from sinks import for_camera, open_sink
from stream.display import Display, log_to, summary
from stream.errors import ConfigError
from stream.pipeline import Pipeline, PipelineConfig, Stream
from stream.plugins import SOURCES, schemes
from stream.ports import Estimator, Sink, SourceInfo
from stream.sources import SourceConfig, open_source
from stream.sources.address import local_path
from stream.sources.names import name_sources

# torch takes seconds to import, and the laboratory has no business in a run: both are imported where they are needed.

_EPILOGUE = """
Examples:

  python run_stream.py demo

  python run_stream.py walk.mp4 --sink "walk_depth.mp4?view=side-by-side" --sink "walk_mm.mkv?codec=ffv1"

  python run_stream.py webcam:0 --sink zmq+tcp://127.0.0.1:5555 --focal lock

  python run_stream.py rtsp://192.0.2.7/stream --auth-file front.auth --fov 70 --output-size 640x360

  python run_stream.py front=rtsp://192.0.2.7/stream rear=webcam:0 --sink zmq+tcp://127.0.0.1:5555

Exit status: 0 finished, also after Ctrl-C; 1 the run failed; 2 wrong command line; 3 finished, but an output failed;
130 a second Ctrl-C stopped it at once. https://arxiv.org/abs/2410.02073 describes the network.
"""

command_line = CommandLine(
    "run_stream.py",
    summary="Sharp metric depth from any video or camera.",
    epilogue=_EPILOGUE,
    interrupted="stopped at once; outputs may be unfinished",
)
_log = logging.getLogger("run_stream")

if TYPE_CHECKING:
    from model.engine import Engine

# A terminal that closes ends a run as Ctrl-C does.
_ENDINGS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))

_NETWORK = Group("Network", sort_key=1)
_CAMERA = Group("Focal length and scale", sort_key=2)
_SOURCE = Group("Source", sort_key=3)
_PIPELINE = Group("Pipeline", sort_key=4)


@command_line.app.default
def run(
    *source: str,
    sink: Annotated[list[str], Parameter(consume_multiple=False, show_default=False)] = [],  # noqa: B006 (never changed)
    overwrite: bool = False,
    verbose: bool = False,
    metrics: str | None = None,
    reading: Annotated[SourceConfig, Parameter(name="*", group=_SOURCE)] = SourceConfig(),
    model: Annotated[str, Parameter(group=_NETWORK)] = "auto",
    engine: Annotated[EngineConfig, Parameter(name="*", group=_NETWORK)] = EngineConfig(),
    estimator: Annotated[EstimatorConfig, Parameter(name="*", group=_NETWORK)] = EstimatorConfig(),
    focal: Annotated[Literal["off", "filter", "lock"], Parameter(group=_CAMERA)] = FocalConfig().mode,
    camera: Annotated[CameraConfig, Parameter(name="*", group=_CAMERA)] = CameraConfig(),
    scaling: Annotated[ScaleConfig, Parameter(name="*", group=_CAMERA)] = ScaleConfig(),
    pipeline: Annotated[PipelineConfig, Parameter(name="*", group=_PIPELINE)] = PipelineConfig(),
) -> int:
    """Read SOURCE, compute depth, write it to every sink.

    Parameters
    ----------
    source
        A video file, an image, a folder or glob of images, webcam:0, /dev/video0, an rtsp:// or http:// address, or
        demo: a rendered scene. Several cameras: give each a name, front=rtsp://… rear=webcam:0.
    sink
        Where depth goes; repeat it for several. A video file (depth.mp4?view=side-by-side), lossless millimetres
        (depth.mkv?codec=ffv1), zmq+tcp://127.0.0.1:5555, zmq+ipc:///tmp/depth, null:. {camera} stands for the camera's
        name. Default: a side-by-side video named after the file, or zmq+tcp://127.0.0.1:5555 for a camera.
    overwrite
        Replace output files that exist.
    verbose
        Log details, and the traceback of an unexpected error.
    metrics
        host:port to serve /metrics (Prometheus) and /health on; without a host to this machine alone.
    model
        auto, depth-pro, nano, or the path of a checkpoint. auto: depth-pro on a CUDA device, else nano.
    focal
        How estimated focal lengths are steadied. off: each frame's own; filter: smooth, follows zooms; lock: for a
        fixed lens, frozen once known.
    """
    console = Console(stderr=True)
    log_to(console, verbose=verbose)
    running: list[Pipeline] = []
    with ExitStack() as serving, ExitStack() as opened:  # closes what is open when something later cannot be opened
        if metrics is not None:
            from stream.metrics import serve

            told = serve(metrics, lambda: [status for p in running for status in p.status()])
            serving.enter_context(closing(told))
        named = name_sources(source)
        demo = None
        several = len(named) > 1
        if "demo" in named.values():
            if several:
                raise ConfigError("demo has a run of its own; leave out the other sources")
            from model.lab.demo import DemoScore, DemoSource

            demo = DemoSource()
        if several and scaling.scale_from is not None:
            raise ConfigError(
                "`scale_from` is a point in one camera's picture; measure each camera in a run of its own"
            )
        scales = [replace(scaling, scale_file=_path_for(scaling.scale_file, name)) for name in named]
        givens = [GivenCamera(replace(camera, camera_info=_path_for(camera.camera_info, name))) for name in named]
        sources = {
            name: opened.enter_context(closing(demo or open_source(uri, config=reading))) for name, uri in named.items()
        }
        overwrite |= demo is not None and not sink  # the demo's video is its own
        sinks: dict[str, list[Sink]] = {}
        for name, uri in named.items():
            uris = sink or [_default_sink(uri, sources[name].info, name=name if several else None)]
            sinks[name] = [
                opened.enter_context(closing(open_sink(uri, overwrite=overwrite)))
                for uri in (for_camera(uri, name, several=several) for uri in uris)
            ]
        kept = [str(config.scale_file) for config in scales if config.scale_file is not None]
        _refuse_clashes(named.values(), [*(s.name for made in sinks.values() for s in made), *kept])
        scalers = [
            DepthScaler(config, camera=sources[name].info.name) for name, config in zip(named, scales, strict=True)
        ]
        score = None if demo is None else DemoScore(demo)
        network = _network(model, engine, infos=[s.info for s in sources.values()], may_download=demo is None)
        streams = []
        for name, given, scaler in zip(named, givens, scalers, strict=True):
            config = estimator_config_for(sources[name].info, estimator)
            depth = _estimator(network, given, FocalConfig(mode=focal), config, scaler)
            made = sinks[name] if score is None else [*sinks[name], score]
            streams.append(Stream(source=sources[name], estimator=depth, sinks=made, name=name))
        stages = Pipeline(*streams, config=pipeline)
        opened.pop_all()  # from here on the pipeline closes them
        running.append(stages)
        status = _watch(stages, [s.info for s in sources.values()], console)
    if score is not None:
        print(score.summary(), flush=True)
    return status


@command_line.app.command(name="--list-cameras", group=_SOURCE)
def list_cameras() -> int:
    """Name this machine's cameras and what they can do."""
    from stream.sources import local_cameras

    print(local_cameras.described(local_cameras.list_cameras()))
    return DONE


def _network(model: str, config: EngineConfig, *, infos: Sequence[SourceInfo], may_download: bool) -> Engine:
    """The network, ready to run, for all sources."""
    from model.engine import Engine, prepare_process
    from model.engine.device import choose_device
    from model.weights import load, resolve_auto

    device = choose_device(config.device)
    prepare_process(device)
    if model == "auto":
        model, reason = resolve_auto(cuda_available=device.type == "cuda", may_download=may_download)
        _log.info("model %s. %s", model, reason)
    loaded = load(model)
    running = Engine(loaded, config, compile_beside=any(info.live for info in infos))
    if not loaded.trained:
        _log.warning("%s is untrained: its depth means nothing yet, and every output says so", loaded.name)
    for info in infos:
        _log.info("%s: %s in %s on %s", info.name, loaded.name, running.precision, running.device)
    return running


def estimator_config_for(info: SourceInfo, config: EstimatorConfig) -> EstimatorConfig:
    """``config`` as it suits a source: there is nothing that a single picture could be steadied by."""
    return replace(config, steady="off") if info.frame_count == 1 else config


def _estimator(
    network: Engine, camera: GivenCamera, focal: FocalConfig, config: EstimatorConfig, scaler: DepthScaler
) -> Estimator:
    """What makes depth of one source's frames."""
    from model.estimator import DepthProEstimator

    return DepthProEstimator(engine=network, camera=camera, focal=focal, config=config, scaler=scaler)


def _path_for(path: Path | None, name: str) -> Path | None:
    """A file of its own for each camera, where ``{camera}`` is in its name."""
    return None if path is None else Path(str(path).replace("{camera}", name))


def _default_sink(source: str, info: SourceInfo, *, name: str | None = None) -> str:
    """Where depth goes when nothing is said: to a video named after the file, or onto ZeroMQ from a camera.

    ``name`` is that of one of several sources.
    """
    if info.live:
        return "zmq+tcp://127.0.0.1:5555"
    if name is not None:
        return f"./{quote(name)}_depth.mp4?view=side-by-side"
    path = Path(source)
    if "://" in source:
        stem = Path(urlsplit(source).path).stem  # nothing else of an address: it may hold secrets
    elif (scheme := source.partition(":")[0]).lower() in schemes(SOURCES) and not path.exists():
        stem = scheme  # of a plug-in, whose address may hold secrets too
    else:
        folder = path.parent if glob.has_magic(path.name) and not path.exists() else path
        stem = folder.resolve().name if folder.is_dir() or folder != path else path.stem
    return f"./{quote(stem or 'stream')}_depth.mp4?view=side-by-side"


def _refuse_clashes(sources: Iterable[str], outputs: list[str]) -> None:
    """Two outputs in one place, or an output on top of an input, would destroy each other."""
    files = [output for output in outputs if not output.startswith(("zmq+", "null:", "memory:"))]  # may be shared
    places = [Path(output).resolve() for output in files]  # not files all of them, but then no harm is done
    inputs = [local_path(source).resolve() for source in sources]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise ConfigError(f"{files[i]} is named twice as an output; give each output a name of its own")
        if place in inputs:
            raise ConfigError(f"{files[i]} is the input; give the output another name")


def _watch(pipeline: Pipeline, infos: Sequence[SourceInfo], console: Console) -> int:
    """Run to the end with signals handled and the status shown."""
    signals = 0

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            raise KeyboardInterrupt
        _log.info("stopping: finishing the outputs; once more to stop at once")
        pipeline.stop()

    for number in _ENDINGS:
        signal.signal(number, on_signal)
    pipeline.start()
    with Display(infos, console) as display:
        while not pipeline.wait(0.1):
            display.show(pipeline.status())
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)  # everything is written; what is left is to say so
    statuses = pipeline.status()
    with suppress(OSError):  # nobody reads it, as in `… | true`: that does not undo the run
        print(summary(statuses), flush=True)
    pipeline.result()
    return SINK_FAILED if any(s.error is not None for status in statuses for s in status.sinks) else DONE


main = command_line.main
command = command_line.run  # the program that is installed

if __name__ == "__main__":
    command()
