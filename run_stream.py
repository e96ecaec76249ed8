"""Command line → configs → objects → ``Pipeline.run``: the only place where stages are wired together."""

from __future__ import annotations

from stream.quiet_start import quiet_start

if __name__ == "__main__":
    quiet_start()

import logging
import signal
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter
from rich.console import Console
from rich.progress import Progress

from model.config import EngineConfig, EstimatorConfig, RayConfig
from model.focal import CameraConfig, FocalConfig, GivenCamera
from model.scale import DepthScaler, ScaleConfig
from sinks import for_camera, open_sink
from sinks.files.journal import Record
from sinks.parts import Parts, PartSink, is_whole
from sinks.places import default_sink, for_video, is_file, make_folder
from sinks.uri import parse_uri, refuse_control_characters
from stream.command_line import DONE, SINK_FAILED, CommandLine, say, with_options
from stream.display import log_to, summary
from stream.errors import ConfigError, DepthStreamError, SinkError, SourceError
from stream.frame import FocalEstimate
from stream.jobs.batch import Job, Place, run_batch
from stream.jobs.clashes import refuse_clashes
from stream.jobs.folder import locked
from stream.jobs.resume import fingerprint, go_past
from stream.jobs.videos import Video, find_videos, is_batch
from stream.pipeline import Pipeline, PipelineConfig, Stream
from stream.ports import Sink, Source, SourceInfo
from stream.sources import SourceConfig, open_source
from stream.sources.excerpt import Excerpt, ExcerptConfig
from stream.sources.names import ALONE, name_sources, refuse_blank
from stream.stats import Status
from stream.watch import ENDINGS, watch

# torch takes seconds to import, and the laboratory has no business in a run: both are imported where they are needed.

_EPILOGUE = """
Examples:

  python run_stream.py demo

  python run_stream.py demo --view

  python run_stream.py walk.mp4 --sink "walk_depth.mp4?view=side-by-side" --sink "walk_mm.mkv?codec=ffv1"

  python run_stream.py webcam:0 --sink zmq+tcp://127.0.0.1:5555 --focal lock

  python run_stream.py rtsp://192.0.2.7/stream --auth-file front.auth --fov 70 --output-size 640x360

  python run_stream.py front=rtsp://192.0.2.7/stream rear=webcam:0 --sink zmq+tcp://127.0.0.1:5555

Exit status: 0 finished, also after Ctrl-C; 1 the run failed; 2 wrong command line; 3 finished, but an output failed;
130 stopped at once, by a second Ctrl-C or while it started. https://arxiv.org/abs/2410.02073 describes the network.
"""

command_line = CommandLine(
    "run_stream.py",
    summary="Sharp metric depth from any video or camera.",
    epilogue=_EPILOGUE,
    interrupted="stopped at once; outputs may be unfinished",
)
_log = logging.getLogger("run_stream")
_HINDSIGHT = 15  # frames of a file that tell of the scale of one before them

if TYPE_CHECKING:
    from model.engine import Engine
    from model.engine.ray_engine import RayEngine
    from model.estimator import DepthProEstimator
    from model.lab.demo import DemoScore

_NETWORK = Group("Network", sort_key=1)
_CAMERA = Group("Focal length and scale", sort_key=2)
_SOURCE = Group("Source", sort_key=3)
_PIPELINE = Group("Pipeline", sort_key=4)


@command_line.app.default
def run(
    *source: str,
    sink: Annotated[list[str], Parameter(consume_multiple=False, show_default=False)] = [],  # noqa: B006 (never changed)
    view: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
    metrics: str | None = None,
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
    excerpt: Annotated[ExcerptConfig, Parameter(name="*", group=_SOURCE)] = ExcerptConfig(),
    reading: Annotated[SourceConfig, Parameter(name="*", group=_SOURCE)] = SourceConfig(),
    model: Annotated[str, Parameter(group=_NETWORK)] = "auto",
    where: Annotated[Literal["local", "ray"], Parameter(name="--engine", group=_NETWORK)] = "local",
    ray: Annotated[RayConfig, Parameter(name="*", group=_NETWORK)] = RayConfig(),
    engine: Annotated[EngineConfig, Parameter(name="*", group=_NETWORK)] = EngineConfig(),
    estimator: Annotated[EstimatorConfig, Parameter(name="*", group=_NETWORK)] = EstimatorConfig(),
    focal: Annotated[Literal["off", "filter", "lock", "shot"], Parameter(group=_CAMERA)] = FocalConfig().mode,
    camera: Annotated[CameraConfig, Parameter(name="*", group=_CAMERA)] = CameraConfig(),
    scaling: Annotated[ScaleConfig, Parameter(name="*", group=_CAMERA)] = ScaleConfig(),
    pipeline: Annotated[PipelineConfig, Parameter(name="*", group=_PIPELINE)] = PipelineConfig(),
) -> int:
    """Read SOURCE, compute depth, write it to every sink.

    Parameters
    ----------
    source
        A video file, an image, a folder or glob of images, webcam:0, /dev/video0, an rtsp:// or http:// address, or
        demo: a rendered scene. Several cameras: give each a name, front=rtsp://… rear=webcam:0. Several files, or a
        folder of videos: one after another, with --out.
    sink
        Where depth goes; repeat it for several. A video file (depth.mp4?view=side-by-side), lossless millimetres
        (depth.mkv?codec=ffv1), view: (a page in the browser), rerun:, foxglove:, zmq+tcp://127.0.0.1:5555,
        zmq+ipc:///tmp/depth, null:.
        {camera} stands for the camera's name. Default: a side-by-side video named after the file, or
        zmq+tcp://127.0.0.1:5555 for a camera.
    view
        Short for --sink view: a page that shows depth live. With demo, the scene comes again and again.
    out
        Folder for the outputs of several videos, in the tree they were found in. {stem} in --sink stands for a video's
        name. What is there already is left alone.
    overwrite
        Replace output files that exist.
    verbose
        Log details, and the traceback of an unexpected error.
    metrics
        host:port to serve /metrics (Prometheus) and /health on; without a host to this machine alone.
    model
        auto, depth-pro, nano, or the path of a checkpoint. auto: depth-pro on a CUDA device, else nano.
    where
        local, or ray, for files: workers here or in the cluster at RAY_ADDRESS.
    focal
        How estimated focal lengths are steadied. off: each frame's own; filter: smooth, follows zooms; lock: for a
        fixed lens, frozen once known; shot, for files: by a look ahead, one for each shot, or a smooth zoom.
    """
    console = Console(stderr=True)
    log_to(console, verbose=verbose)
    settings = _Settings(
        overwrite=overwrite,
        reading=reading if where == "ray" else staying(reading, engine),
        excerpt=excerpt,
        model=model,
        ray=ray if where == "ray" else None,
        engine=engine,
        estimator=estimator,
        focal=FocalConfig() if focal == "shot" else FocalConfig(mode=focal),
        looks_ahead=focal == "shot",
        camera=camera,
        scaling=scaling,
        pipeline=pipeline,
    )
    with ExitStack() as serving:
        running: list[Pipeline] = []
        if metrics is not None:
            from stream.metrics import serve

            told = serve(metrics, lambda: [status for p in running[-1:] for status in p.status()])
            serving.enter_context(closing(told))
        session = serving.enter_context(closing(_Session(settings, console, running)))
        sink = [*sink, "view:"] if view and not _is_shown(sink) else sink
        _refuse_repeated(sink)
        for typed in sink:
            refuse_control_characters(typed)
        refuse_blank(source)
        if out is None and (named := [uri for uri in sink if "{stem}" in uri]):
            raise ConfigError(
                f"{parse_uri(named[0]).text}: {{stem}} is the name of a video of a batch; add `out=FOLDER`"
            )
        if out is None and not is_batch(source):
            return session.run(name_sources(source), sink).status
        videos = find_videos(source, without=out)
        if out is None:
            raise ConfigError(f"{len(videos)} videos need a folder for their outputs, as in `out=depth`")
        return _convert_all(videos, sink, session, out=out, again=overwrite)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What is asked of every run, whatever its sources."""

    overwrite: bool
    reading: SourceConfig
    excerpt: ExcerptConfig
    model: str
    ray: RayConfig | None
    engine: EngineConfig
    estimator: EstimatorConfig
    focal: FocalConfig
    looks_ahead: bool
    camera: CameraConfig
    scaling: ScaleConfig
    pipeline: PipelineConfig


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a run ended, if no error did end it. ``stopped`` by a signal, before its sources ended."""

    status: int
    stopped: bool


class _Session:
    """Runs pipelines, one after another, with one network. ``running`` gets each when it starts."""

    def __init__(self, settings: _Settings, console: Console, running: list[Pipeline]) -> None:
        self._settings, self._console, self._running = settings, console, running
        self._network: Engine | RayEngine | None = None

    def close(self) -> None:
        """Let workers of Ray go."""
        if self._network is not None:
            self._network.close()

    def run(self, named: dict[str, str], sinks: Sequence[str], *, place: Place | None = None) -> _Ending:
        """From ``named`` sources to ``sinks``, to the end.

        Raises:
            DepthStreamError: it could not begin, or ended early.
        """
        with ExitStack() as opened:  # closes what is open when something later cannot be opened
            demo = _demo(named, sinks)
            streams, parts = self._streams(named, sinks, demo, opened)
            if not streams:
                return _Ending(DONE, stopped=False)
            pipeline = Pipeline(*streams, config=self._settings.pipeline)
            opened.pop_all()  # from here on the pipeline closes them
        self._running.append(pipeline)
        stopped = watch(pipeline, [stream.source.info for stream in streams], self._console, place)
        statuses = pipeline.status()
        for stream, status, files in zip(streams, statuses, parts, strict=True):
            files.publish(_unfinished(stream, status, stopped=stopped))
        statuses = [_told_where(stream, status) for stream, status in zip(streams, statuses, strict=True)]
        say(summary(statuses))
        try:
            pipeline.result()
        except ConfigError as exc:
            if place is None:
                raise
            raise DepthStreamError(str(exc)) from exc  # of what is in this video: the others of the batch may do
        if demo is not None:
            say(demo.summary())
        failed = any(sink.error is not None for status in statuses for sink in status.sinks)
        return _Ending(SINK_FAILED if failed else DONE, stopped)

    def _streams(
        self, named: dict[str, str], sinks: Sequence[str], demo: DemoScore | None, opened: ExitStack
    ) -> tuple[list[Stream], list[Parts]]:
        """Everything opened, in the order in which mistakes are told soonest: sources, sinks, network.

        A source whose outputs are whole already has no stream. Each stream has its files.
        """
        s, several = self._settings, len(named) > 1
        if several and s.scaling.scale_from is not None:
            raise ConfigError(
                "`scale_from` is a point in one camera's picture; measure each camera in a run of its own"
            )
        scales = [replace(s.scaling, scale_file=_path_for(s.scaling.scale_file, name)) for name in named]
        givens = [GivenCamera(replace(s.camera, camera_info=_path_for(s.camera.camera_info, name))) for name in named]
        endless = _is_shown(sinks)
        sources = [opened.enter_context(closing(self._open(uri, endless=endless))) for uri in named.values()]
        if s.looks_ahead and (live := [source.info.name for source in sources if source.info.live]):
            raise ConfigError(f"{live[0]} is a camera, and `focal=shot` looks ahead; use filter or lock")
        if s.ray is not None:
            _check_for_ray(s.estimator, [source.info for source in sources])
        outputs = [
            self._sinks(name, uri, sinks, source.info, several=several, opened=opened)
            for (name, uri), source in zip(named.items(), sources, strict=True)
        ]
        kept = {str(config.scale_file): {config.scale_file} for config in scales if config.scale_file is not None}
        refuse_clashes(named.values(), [sink for made in outputs for sink in made], kept)
        parts = [Parts(made) for made in outputs]
        for files in parts:
            files.look()
        scalers = [
            _scaler(config, source.info, made) for config, source, made in zip(scales, sources, outputs, strict=True)
        ]
        if self._network is None:
            from model.engine.opening import open_engine

            infos = [source.info for source in sources]
            may_download = "demo" not in named.values()
            self._network = open_engine(s.model, s.engine, s.ray, infos=infos, may_download=may_download)
        for files in parts:  # with all modules imported: until then, Ctrl-C ends the program and removes nothing
            opened.callback(files.release, forget=False)
            files.claim()
        streams, writing = [], []
        for (name, uri), source, given, scaler, made, files in zip(
            named.items(), sources, givens, scalers, outputs, parts, strict=True
        ):
            config = estimator_config_for(source.info, s.estimator, measures=scaler.may_change)
            done = self._earlier(uri, files, config)
            if not (left := files.unfinished(made)):
                _log.info("%s: all outputs are there", source.info.name)
                files.publish({})
                source.close()
                continue
            foreseen = None
            if s.looks_ahead and not given.is_given:
                foreseen = _foresee(self._open(uri), self._network, s.focal, self._console)
            estimator = _estimator(self._network, given, s.focal, config, scaler, foreseen)
            rest, captures = go_past(source, estimator, done) if done else (source, [])
            files.begin(done, captures)
            score = [demo] if demo is not None else []
            streams.append(Stream(source=rest, estimator=estimator, sinks=[*left, *score], name=name))
            writing.append(files)
        return streams, writing

    def _open(self, uri: str, *, endless: bool = False) -> Source:
        if uri == "demo":
            from model.lab.demo import DemoLoop, DemoSource

            source: Source = DemoLoop(DemoSource()) if endless else DemoSource()
        else:
            source = open_source(uri, config=self._settings.reading)
        return source if self._settings.excerpt.is_all else Excerpt(source, self._settings.excerpt)

    def _earlier(self, uri: str, files: Parts, config: EstimatorConfig) -> Sequence[Record]:
        """The frames that an earlier run has made of a source and that every file keeps."""
        if not files:
            return ()
        assert self._network is not None
        s = self._settings
        asked = [s.excerpt, s.engine, config, s.focal, s.camera, s.scaling]
        given = {field.name: getattr(config, field.name) for config in asked for field in fields(config)}
        options = {name: None if value is None else str(value) for name, value in given.items()}
        network = self._network
        label = {"model": network.label, "weights": network.weights, "precision": network.precision}
        identity = {**fingerprint(uri), **label, **options, "image_rate": s.reading.image_rate, "shot": s.looks_ahead}
        done = files.earlier(identity, batch=s.engine.batch)
        if done and s.scaling.scale_from is not None and done[-1].scale is None:
            _log.info("the distance was still being measured when the earlier run ended; it begins anew")
            return ()
        return () if uri == "demo" else done  # whose score is of a whole run

    def _sinks(
        self, name: str, uri: str, sinks: Sequence[str], info: SourceInfo, *, several: bool, opened: ExitStack
    ) -> list[Sink]:
        overwrite = self._settings.overwrite or (uri == "demo" and not sinks)  # the demo's video is its own
        made = []
        outputs = [for_camera(given, name, several=several) for given in sinks]
        for output in outputs or [default_sink(uri, info, name=name if several else None)]:
            part = not info.live and is_file(output)
            sink = PartSink(output, overwrite=overwrite) if part else open_sink(output, overwrite=overwrite)
            made.append(opened.enter_context(closing(sink)))
        return made


def _is_shown(sinks: Sequence[str]) -> bool:
    """Whether somebody may look while it runs."""
    return any(parse_uri(uri).scheme == "view" for uri in sinks)


def _refuse_repeated(sinks: Sequence[str]) -> None:
    """The same twice could only be in its own way."""
    for uri in sinks:
        if sinks.count(uri) > 1 and parse_uri(uri).scheme not in ("null", "memory"):
            raise ConfigError(f"{parse_uri(uri).text} is given twice as an output; leave one out")


def _demo(named: dict[str, str], sinks: Sequence[str]) -> DemoScore | None:
    """What counts how right the demo is, with its source, if that is what runs. One that is looked at has no end."""
    if "demo" not in named.values():
        return None
    if len(named) > 1:
        raise ConfigError("demo has a run of its own; leave out the other sources")
    if _is_shown(sinks):
        return None
    from model.lab.demo import DemoScore, DemoSource

    return DemoScore(DemoSource())


def _unfinished(stream: Stream, status: Status, *, stopped: bool) -> dict[Sink, bool]:
    """The sinks whose outputs are not whole, and whether it is for the same command to go on with them.

    A source that breaks off has come to its end. Whatever else ends a stream leaves its outputs unfinished.
    """
    is_over = not stopped and (status.error is None or isinstance(status.error, SourceError))
    goes_on = not isinstance(status.error, ConfigError)
    told = zip(stream.sinks, status.sinks, strict=True)
    return {sink: goes_on for sink, its in told if not is_over or its.error is not None}


def _told_where(stream: Stream, status: Status) -> Status:
    """``status`` with the names that files have in the end: what is not whole is a part."""
    named = [
        replace(told, name=sink.is_there_as) if isinstance(sink, PartSink) else told
        for sink, told in zip(stream.sinks, status.sinks, strict=True)
    ]
    return replace(status, sinks=tuple(named))


def _convert_all(videos: Sequence[Video], sinks: Sequence[str], session: _Session, *, out: Path, again: bool) -> int:
    """Convert one video after another into ``out``. Returns the exit status."""
    handlers = {number: signal.getsignal(number) for number in ENDINGS}

    def convert(job: Job, missing: Sequence[str], place: Place) -> bool:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for uri in missing:
            make_folder(uri)
        ending = session.run({ALONE: job.source}, missing, place=place)
        if ending.status != DONE:
            raise SinkError("an output failed; see above")
        return not ending.stopped

    wanted = sinks or ["{stem}_depth.mp4?view=side-by-side"]
    jobs = [
        Job(
            name=video.name,
            source=video.source,
            sinks=[for_video(uri, out=out, folder=video.folder, stem=video.stem) for uri in wanted],
            trouble=video.trouble,
        )
        for video in videos
    ]
    with locked(out):
        outcome = run_batch(jobs, convert, is_there=lambda uri: not again and is_whole(uri))
    say(with_options(str(outcome)))
    return SINK_FAILED if outcome.failed else DONE


@command_line.app.command(name="--list-cameras", group=_SOURCE)
def list_cameras() -> int:
    """Name this machine's cameras and what they can do."""
    from stream.sources import local_cameras

    print(local_cameras.described(local_cameras.list_cameras()))
    return DONE


def _check_for_ray(config: EstimatorConfig, infos: Sequence[SourceInfo]) -> None:
    """Frames must not depend on how many are on their way, nor be worth less when they come later."""
    if live := [info.name for info in infos if info.live]:
        raise ConfigError(f"{live[0]} is a camera, and `engine=ray` is for files; leave it out")
    if config.fov_every > 1:
        raise ConfigError("`fov_every` waits for the frames before, and with `engine=ray` they are elsewhere")


def estimator_config_for(info: SourceInfo, config: EstimatorConfig, *, measures: bool = False) -> EstimatorConfig:
    """``config`` as it suits a source, and a run in which a distance may be measured.

    There is nothing that a single picture could be steadied by, and frames of a camera wait for no later ones.

    Raises:
        ConfigError: they are asked to.
    """
    if info.frame_count == 1:
        return replace(config, steady="off")
    if config.steady_hindsight is None:
        return replace(config, steady_hindsight=0 if info.live or measures else _HINDSIGHT)
    if info.live and config.steady_hindsight:
        raise ConfigError(f"{info.name} is a camera, and `steady_hindsight` waits for later frames; leave it out")
    return config


def staying(reading: SourceConfig, engine: EngineConfig) -> SourceConfig:
    """``reading`` with pictures of NVIDIA's decoder left on the network's device, if it is one of CUDA."""
    if reading.decode != "cuda":
        return reading
    from model.engine.device import choose_device

    device = choose_device(engine.device)
    return replace(reading, stay_on=device.index or 0) if device.type == "cuda" else reading


def _scaler(config: ScaleConfig, info: SourceInfo, outputs: Sequence[Sink]) -> DepthScaler:
    """What scales one source's depth, also by what people who look at it say."""
    asking = [output for output in outputs if getattr(output, "calibrates", False)]
    scaler = DepthScaler(config, camera=info.name, may_be_asked=bool(asking))
    for output in asking:
        output.calibrate_by(scaler.ask)  # type: ignore[attr-defined]
    return scaler


def _estimator(
    network: Engine | RayEngine,
    camera: GivenCamera,
    focal: FocalConfig,
    config: EstimatorConfig,
    scaler: DepthScaler,
    foreseen: Sequence[FocalEstimate] | None,
) -> DepthProEstimator:
    """What makes depth of one source's frames."""
    from model.estimator import DepthProEstimator

    return DepthProEstimator(
        engine=network, camera=camera, focal=focal, config=config, scaler=scaler, foreseen=foreseen
    )


def _foresee(source: Source, network: Engine | RayEngine, config: FocalConfig, console: Console) -> list[FocalEstimate]:
    """The focal length of each frame of a file that is opened for this."""
    from model.lookahead import foresee

    _log.info("%s: looking ahead for its focal lengths", source.info.name)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("looking ahead", total=source.info.frame_count)
        return foresee(source, network, config, progress=lambda count: progress.update(task, completed=count))


def _path_for(path: Path | None, name: str) -> Path | None:
    """A file of its own for each camera, where ``{camera}`` is in its name."""
    return None if path is None else Path(str(path).replace("{camera}", name))


main = command_line.main
command = command_line.run  # the program that is installed

if __name__ == "__main__":
    command()
