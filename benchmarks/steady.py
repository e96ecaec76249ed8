"""Measure the steadied scale and the odometry where the truth is known: prints the tables of docs/steady.md.

python benchmarks/steady.py [--seconds 6] [--odometry | --average | --hindsight 15 | --figure docs/figures/steady.png]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the benchmarks run from a checkout, installed or not

from model.config import EstimatorConfig  # noqa: E402
from model.lab.evaluation.temporal import PosedDepth, alignment_error, log_scale  # noqa: E402
from model.lab.scenes.box_room import BoxRoom  # noqa: E402
from model.lab.scenes.renderer.camera import Camera, rotation  # noqa: E402
from model.steady import DepthAverage, MotionTracker, Steadied, Steadier, with_hindsight  # noqa: E402
from model.steady.odometry import rotation_of  # noqa: E402
from stream.frame import CameraIntrinsics, Odometry  # noqa: E402

Array = npt.NDArray[np.float64]
WIDTH, HEIGHT, FOCAL_PX, RATE = 320, 180, 250.0, 30
FLIGHTS = ("still", "handheld", "light", "walk", "orbit", "zoom", "passer", "wall", "cut", "pan")
ERRORS = ("none", "white", "correlated", "all", "wild")
JITTER, OUTLIERS = 0.04, 0.05


@dataclass(frozen=True)
class Shot:
    """Every frame of a flight: grey picture, true depth, focal length over width, pose, whether a shot starts."""

    luma: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    focal_px: float
    pose: Array
    cut: bool


def way(flight: str, t: float, sway: Array) -> tuple[Array, Array, float]:
    """Position, rotation and focal length after ``t`` seconds."""
    position, turn, focal = np.zeros(3), (0.0, 0.0, 0.0), FOCAL_PX
    if flight in ("handheld", "light", "walk", "orbit", "zoom", "passer", "cut", "wall"):
        position = position + np.array([0.012, 0.01, 0.004]) * sway[:3]
        turn = (0.008 * sway[3], 0.007 * sway[4], 0.006 * sway[5])
    if flight in ("walk", "cut", "wall"):  # there and back
        phase = t % 8
        position = position + np.array([0.0, 0.015 * math.sin(11 * t), 1.1 * min(phase, 8 - phase) - 4])
    if flight == "orbit":
        angle = 0.5 * math.sin(0.6 * t)
        position = position + np.array([0.0, 0.0, 4.0]) - 4.0 * np.array([math.sin(angle), 0.0, math.cos(angle)])
        turn = (turn[0] + angle, turn[1], turn[2])
    if flight == "zoom":
        focal *= 2 ** (0.5 - 0.5 * math.cos(math.pi * min(max((t % 10 - 3) / 2, 0), 1)))
    if flight == "pan":
        turn = (0.9 * math.sin(1.6 * t), 0.0, 0.0)
    return position, rotation(*turn), focal


def fly(flight: str, seconds: float, *, rate: int = RATE) -> list[Shot]:
    """A flight of ``rate`` frames a second. Walls have hardly any pattern, and what is panned fast is blurred.

    In ``light``, the exposure goes up and down by a quarter, and a lamp flickers.
    """
    rooms = [BoxRoom(k, contrast=0.5 if flight == "wall" else 30.0) for k in range(2)]
    phases = np.random.default_rng(5).uniform(0, 6, 6)
    rates = np.array([0.31, 0.53, 0.41, 0.67, 0.37, 0.59])
    shots = []
    for index in range(round(seconds * rate)):
        t = index / rate
        swing = 2 * math.pi * rates * t
        sway = 0.6 * np.sin(swing + phases) + 0.4 * np.sin(2.3 * swing + 2 * phases)
        second = flight == "cut" and t >= seconds / 2
        lumas = []
        for part in np.linspace(0, 0.5, 5) if flight == "pan" else (0.0,):  # half of the time the shutter is open
            position, turn, focal = way(flight, t + (part - 0.25 * (flight == "pan")) / rate, sway)
            if second:
                turn = turn @ rotation(2.5)
            camera = Camera(position=position, rotation=turn, f_px=focal, width=WIDTH, height=HEIGHT)
            passer = math.sin(0.9 * t) if flight == "passer" else None
            view = rooms[second].draw(camera, passer_x=passer)
            lumas.append(view.image[..., 0].astype(np.float32))
            if part in (0.0, 0.25):
                depth, pose = view.depth, np.eye(4)
                pose[:3, :3], pose[:3, 3] = turn, position
        exposure = 1 + 0.25 * math.sin(4.4 * t) + 0.05 * math.sin(82 * t) if flight == "light" else 1.0
        luma = np.clip(exposure * np.mean(lumas, axis=0), 0, 255).astype(np.uint8)
        cut = second and not (t - 1 / rate >= seconds / 2)
        shots.append(Shot(luma, depth[1::2, 1::2].copy(), focal, pose, cut))
    return shots


def errors(kind: str, count: int, shape: tuple[int, ...], rate: float, seed: int = 3) -> Iterator[Array]:
    """Factors ``[h, w]`` that a network's depth is wrong by, frame by frame."""
    rng = np.random.default_rng(seed)
    size = 10 if kind == "wild" else 1  # of the errors
    keep = math.exp(-1 / (rate * 0.3)) if kind in ("correlated", "wild") else 0.0
    keep_field = math.exp(-1 / (rate * 0.5))
    jitter, field = rng.normal(0, size * JITTER), rng.normal(0, size * 0.04, (4, 6))
    for _ in range(count):
        jitter = keep * jitter + math.sqrt(1 - keep**2) * rng.normal(0, size * JITTER)
        field = keep_field * field + math.sqrt(1 - keep_field**2) * rng.normal(0, size * 0.04, (4, 6))
        outlier = rng.uniform(-0.4, 0.4) if rng.random() < OUTLIERS else 0.0
        factor = np.zeros(shape) if kind == "none" else np.full(shape, jitter + outlier)
        if kind in ("all", "wild"):
            factor = factor + cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC)
            factor = factor + rng.normal(0, 0.02, shape)
        yield np.exp(factor)


@dataclass(frozen=True)
class Figures:
    """Of one flight with one kind of error, before and after. Standard deviations of steps, alignment, AbsRel in %."""

    step: tuple[float, float]
    alignment: tuple[float, float, float]  # of the truth, before, after
    attainable: float  # alignment of the truth with no error but the one that is `unknowable`
    abs_rel: tuple[float, float]
    steadied: float  # share of frames
    resets: int
    drift: float  # mean log of after against before, of the last half
    cut_is_own: bool
    scales: tuple[Array, Array]
    host_ms: float


@dataclass(frozen=True)
class SteadiedFlight:
    """Frames of a flight, their depth with errors, what is found in each, and how long that took."""

    shots: list[Shot]
    depths: list[npt.NDArray[np.float32]]
    found: list[Steadied]
    host_s: list[float]


def steady(
    shots: list[Shot], kind: str, *, rate: float = RATE, every: int = 1, known_focal: bool = True, seed: int = 3
) -> SteadiedFlight:
    """Put errors of ``kind`` on every so-manyth frame of a flight of ``rate`` frames a second, and steady them."""
    shots = [
        Shot(s.luma, s.depth, s.focal_px, s.pose, any(o.cut for o in shots[max(0, k - every + 1) : k + 1]))
        for k, s in enumerate(shots)
        if k % every == 0
    ]
    rate = rate / every
    tracker, steadier = MotionTracker(), Steadier()
    made = SteadiedFlight(shots, [], [], [])
    for index, (shot, factor) in enumerate(
        zip(shots, errors(kind, len(shots), shots[0].depth.shape, rate, seed), strict=True)
    ):
        depth = (shot.depth * factor).astype(np.float32)
        camera = CameraIntrinsics.from_focal(shot.focal_px if known_focal else FOCAL_PX, WIDTH, HEIGHT)
        start = time.perf_counter()
        tracks = tracker.update(shot.luma, scene_cut=shot.cut)
        found = steadier.update(tracks, depth, camera, time_s=index / rate, scene_cut=shot.cut, zooms=not known_focal)
        made.host_s.append(time.perf_counter() - start)
        made.found.append(found)
        made.depths.append(depth)
    return made


def unknowable(log_scales: Array, cuts: list[int]) -> Array:
    """What is left of white errors if geometry is exact, outliers are known, and nothing but the past is.

    The mean of all frames of the shot so far: the best unbiased estimate of its scale, by Gauss and Markov.
    """
    left = np.empty_like(log_scales)
    for shot, part in zip(np.split(left, cuts), np.split(log_scales, cuts), strict=True):
        usual = np.abs(part) < 3 * JITTER
        usual[0] = True  # there is no other
        shot[:] = np.cumsum(np.where(usual, part, 0.0)) / np.cumsum(usual)
    return left


def compare(flight: SteadiedFlight, *, hindsight: int = 0) -> Figures:
    """Hold a flight against the truth, with so many later frames for each."""
    shots, depths, found = flight.shots, flight.depths, flight.found
    corrections = [with_hindsight(found[k : k + 1 + hindsight]) for k in range(len(found))]
    raw = np.array([log_scale(d, s.depth, max_depth_m=100.0) for d, s in zip(depths, shots, strict=True)], float)
    cuts = [k for k, shot in enumerate(shots) if shot.cut]
    out, rel = [], []
    aligned: list[list[float]] = [[], [], [], []]
    before: list[PosedDepth] = []
    for shot, depth, told, left in zip(shots, depths, corrections, unknowable(raw, cuts), strict=True):
        steadied = depth * np.float32(math.exp(told.log))
        out.append(log_scale(steadied, shot.depth, max_depth_m=100.0))
        rel.append([float(np.mean(np.abs(d - shot.depth) / shot.depth)) for d in (depth, steadied)])
        valid = np.ones(depth.shape, bool)
        now = [
            PosedDepth(d, valid, shot.focal_px / 2, shot.pose)
            for d in (shot.depth, depth, steadied, shot.depth * np.float32(math.exp(left)))
        ]
        if before and not shot.cut:
            for errors_of, one, other in zip(aligned, before, now, strict=True):
                error = alignment_error(one, other)
                if error is not None:
                    errors_of.append(error)
        before = now
    steadied_scale = np.array(out, float)
    half = len(raw) // 2
    truth, own, made, attainable = (float(np.mean(a)) for a in aligned)
    return Figures(
        step=tuple(float(np.std(np.delete(np.diff(a), [c - 1 for c in cuts]))) for a in (raw, steadied_scale)),
        alignment=(truth, own, made),
        attainable=attainable,
        abs_rel=tuple(100 * float(v) for v in np.mean(rel, axis=0)),
        steadied=sum(told.inliers > 0 for told in corrections) / len(shots),
        resets=corrections[-1].resets,
        drift=float(np.mean(steadied_scale[half:]) - np.mean(raw[half:])),
        cut_is_own=all(told.log == 0 for shot, told in zip(shots, corrections, strict=True) if shot.cut),
        scales=(raw, steadied_scale),
        host_ms=1000 * float(np.median(flight.host_s)),
    )


@dataclass(frozen=True)
class Drift:
    """How far the longest stretch's last pose is off from the truth, and how well its covariance foretells that."""

    share: float  # of the flight's frames
    walked_m: float
    off_m: float
    walked_deg: float
    off_deg: float
    stretches: int
    foretold: float  # share of its poses whose errors, all six, are within the ellipsoid of 95 %


_WITHIN = 12.59  # the 95 % quantile of chi squared with 6 degrees of freedom


def drift(flight: SteadiedFlight) -> Drift:
    """Compare poses with those of the flight, both seen from where the longest stretch begins."""
    shots, told = flight.shots, [found.odometry for found in flight.found]
    stretches = [pose.stretch for pose in told if pose is not None]
    longest = max(set(stretches), key=stretches.count)
    seen = [(shot.pose, pose) for shot, pose in zip(shots, told, strict=True) if pose and pose.stretch == longest]
    first, begin = seen[0][0], _matrix(seen[0][1])
    walked = turned = 0.0
    before, within = np.eye(4), []
    for truth_pose, pose in seen:
        truth = begin @ np.linalg.inv(first) @ truth_pose
        here = _matrix(pose)
        walked += float(np.linalg.norm(truth[:3, 3] - before[:3, 3]))
        turned += float(np.linalg.norm(_turn(truth[:3, :3] @ before[:3, :3].T)))
        error = np.concatenate([truth[:3, 3] - here[:3, 3], _turn(truth[:3, :3] @ here[:3, :3].T)])
        covariance = np.reshape(pose.covariance, (6, 6)) + 1e-12 * np.eye(6)
        within.append(error @ np.linalg.solve(covariance, error) < _WITHIN)
        before = truth
    return Drift(
        share=len(seen) / len(shots),
        walked_m=walked,
        off_m=float(np.linalg.norm(error[:3])),
        walked_deg=math.degrees(turned),
        off_deg=math.degrees(float(np.linalg.norm(error[3:]))),
        stretches=len(set(stretches)),
        foretold=float(np.mean(within)),
    )


def _matrix(pose: Odometry) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation_of(pose.orientation), pose.position
    return matrix


def _turn(rotation_33: Array) -> Array:
    return np.asarray(cv2.Rodrigues(rotation_33)[0], np.float64).ravel()


def print_drift(flights: list[str], seconds: float) -> None:
    """The table of odometry, each the mean of three draws of errors."""
    print("| flight | frames/s | error | of frames | walked | off | turned | off | stretches | within 95 % |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for flight in flights:
        shots = fly(flight, seconds)
        for every in (1, 3, 6):
            for kind in ("none", "white", "all"):
                drifts = [
                    drift(steady(shots, kind, every=every, seed=seed))
                    for seed in ((3,) if kind == "none" else (3, 4, 5))
                ]
                mean = {name: float(np.mean([getattr(d, name) for d in drifts])) for name in Drift.__annotations__}
                cells = (
                    flight,
                    f"{RATE // every}",
                    kind,
                    f"{mean['share']:.0%}",
                    f"{mean['walked_m']:.2f} m",
                    f"{1000 * mean['off_m']:.1f} mm"
                    + (f" ({100 * mean['off_m'] / mean['walked_m']:.1f} %)" if mean["walked_m"] > 1e-3 else ""),
                    f"{mean['walked_deg']:.0f}°",
                    f"{mean['off_deg']:.2f}°",
                    f"{mean['stretches']:.1f}",
                    f"{mean['foretold']:.0%}",
                )
                print("| " + " | ".join(cells) + " |", flush=True)


@dataclass(frozen=True)
class Averaged:
    """Of one flight with all errors, with ``scale`` and with ``full``: each in percent."""

    flicker: tuple[float, float]  # deviation of the change of a pixel's log error from frame to frame
    abs_rel: tuple[float, float]
    alignment: tuple[float, float]
    wrong: tuple[float, float]  # pixels that are off by more than 15 %, as ghosts are
    share: float  # of pixels that are averaged


def measure_average(shots: list[Shot], *, rate: float, seed: int = 3) -> Averaged:
    """Put all errors on a flight of ``rate`` frames a second, steady its scale, and average its pixels."""
    usual = EstimatorConfig()
    averaging = DepthAverage(
        strength=usual.steady_strength,
        threshold=usual.steady_threshold,
        persistence=usual.steady_persistence,
    )
    tracker, steadier = MotionTracker(), Steadier()
    figures: list[list[tuple[float, float]]] = [[], [], [], []]
    shares, before = [], None
    for index, (shot, factor) in enumerate(
        zip(shots, errors("all", len(shots), shots[0].depth.shape, rate, seed), strict=True)
    ):
        depth = (shot.depth * factor).astype(np.float32)
        whole = CameraIntrinsics.from_focal(shot.focal_px, WIDTH, HEIGHT)
        tracks = tracker.update(shot.luma, scene_cut=shot.cut)
        found = steadier.update(tracks, depth, whole, time_s=index / rate, scene_cut=shot.cut, zooms=False)
        depth *= np.float32(math.exp(found.correction.log))
        rows, columns = depth.shape
        camera = CameraIntrinsics(  # of every second pixel, from the second on
            fx=whole.fx / 2, fy=whole.fy / 2, cx=(whole.cx - 1) / 2, cy=(whole.cy - 1) / 2, width=columns, height=rows
        )
        averaged, share = averaging.update(torch.from_numpy(depth), camera, found.odometry, scene_cut=shot.cut)
        made = depth, averaged.numpy()
        off = [np.log(d / shot.depth) for d in made]
        valid = np.ones(depth.shape, bool)
        now = [PosedDepth(d, valid, shot.focal_px / 2, shot.pose) for d in made]
        figures[1].append((np.abs(np.expm1(off[0])).mean(), np.abs(np.expm1(off[1])).mean()))
        figures[3].append(((np.abs(off[0]) > 0.15).mean(), (np.abs(off[1]) > 0.15).mean()))
        shares.append(float(share))
        if before is not None and not shot.cut:
            figures[0].append(tuple(float(np.std(a - b)) for a, b in zip(off, before[0], strict=True)))
            aligned = [alignment_error(a, b) for a, b in zip(before[1], now, strict=True)]
            figures[2].append((aligned[0] / 100, aligned[1] / 100))
        before = off, now
    flicker, abs_rel, alignment, wrong = (tuple((100 * np.mean(f, axis=0)).tolist()) for f in figures)
    return Averaged(flicker, abs_rel, alignment, wrong, float(np.mean(shares)))


def print_averages(flights: list[str], seconds: float) -> None:
    """The table of ``--steady full``."""
    print("| flight | frames/s | flicker of pixels | AbsRel | alignment | off by more than 15 % | averaged |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for flight in flights:
        shots = fly(flight, seconds)
        for every in (1, 3, 6):
            f = measure_average(shots[::every], rate=RATE / every)
            pairs = [f"{a:.2f} → {b:.2f}" for a, b in (f.flicker, f.abs_rel, f.alignment, f.wrong)]
            print("| " + " | ".join([flight, f"{RATE // every}", *pairs, f"{f.share:.0%}"]) + " |", flush=True)


def print_hindsight(flights: list[str], seconds: float, hindsight: int) -> None:
    """The table of what later frames add, each the mean of three draws of errors."""
    print("| flight | frames/s | error | σ of step, % | alignment: truth, causal, hindsight | AbsRel, % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for flight in flights:
        shots = fly(flight, seconds)
        for every in (1, 3, 6):
            for kind in ERRORS[1:]:
                drawn = [steady(shots, kind, every=every, seed=seed) for seed in (3, 4, 5)]
                both = [[compare(flight, hindsight=count) for flight in drawn] for count in (0, hindsight)]
                step, aligned, rel = (
                    [float(np.mean([getattr(f, name)[-1] for f in made])) for made in both]
                    for name in ("step", "alignment", "abs_rel")
                )
                truth = float(np.mean([f.alignment[0] for f in both[0]]))
                raw = float(np.mean([f.step[0] for f in both[0]]))
                cells = (
                    flight,
                    f"{RATE // every}",
                    kind,
                    " → ".join(f"{100 * a:.2f}" for a in (raw, *step)),
                    f"{truth:.2f}, {aligned[0]:.2f}, {aligned[1]:.2f}",
                    f"{rel[0]:.2f} → {rel[1]:.2f}",
                )
                print("| " + " | ".join(cells) + " |", flush=True)


def draw(figures: Figures, path: Path) -> None:
    """The scale of a walk before and after."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    for scales, name, style in zip(
        figures.scales,
        ("the network's own", "steadied"),
        ({"color": "0.7", "lw": 1}, {"color": "C0", "lw": 2}),
        strict=True,
    ):
        axes.plot(np.arange(len(scales)) / RATE, 100 * (np.exp(scales) - 1), label=name, **style)
    axes.axhline(0, color="k", lw=0.5)
    axes.set(xlabel="seconds of a walk, 30 frames a second", ylabel="depth is too large by, %")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--flights", default=",".join(FLIGHTS))
    parser.add_argument("--odometry", action="store_true", help="how far the camera's way is off")
    parser.add_argument("--average", action="store_true", help="what --steady full does to pixels")
    parser.add_argument("--hindsight", type=int, metavar="FRAMES", help="what so many later frames add")
    parser.add_argument("--figure", type=Path, help="draw the walk instead")
    options = parser.parse_args()
    if options.figure is not None:
        draw(compare(steady(fly("walk", options.seconds), "all")), options.figure)
        return
    if options.odometry:
        print_drift(options.flights.split(","), options.seconds)
        return
    if options.average:
        print_averages(options.flights.split(","), options.seconds)
        return
    if options.hindsight is not None:
        print_hindsight(options.flights.split(","), options.seconds, options.hindsight)
        return
    print(
        "| flight | frames/s | error | σ of step, % (ratio) | alignment: truth, before, after; attainable "
        "| AbsRel, % | steadied |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for flight in options.flights.split(","):
        shots = fly(flight, options.seconds)
        for every in (1, 3, 6):
            for kind in ERRORS:
                f = compare(steady(shots, kind, every=every))
                ratio = f.step[1] / f.step[0] if f.step[0] > 1e-9 else math.nan
                cells = (
                    f"{flight}",
                    f"{RATE // every}",
                    kind,
                    f"{100 * f.step[0]:.2f} → {100 * f.step[1]:.2f} ({ratio:.2f})",
                    ", ".join(f"{a:.2f}" for a in f.alignment) + f"; {f.attainable:.2f}",
                    f"{f.abs_rel[0]:.2f} → {f.abs_rel[1]:.2f}",
                    f"{f.steadied:.0%}, {f.resets} resets" + ("" if f.cut_is_own else ", a cut was not its own"),
                )
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
