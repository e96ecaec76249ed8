"""Scenes of the procedural renderer that no training has seen, as pictures and as videos with poses."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from model.lab import scenes
from model.lab.evaluation.sample import Sample, rgb_frame
from stream.errors import ConfigError, SourceError


def held_out(spec: str, numbers: str) -> Sequence[int]:
    """Seeds that ``numbers`` picks among the held-out ones: ``200`` the first two hundred, ``0-199`` these.

    Raises:
        ConfigError: it is neither, or there are not so many.
    """
    scheme = spec.partition(":")[0]
    first, dash, last = numbers.partition("-")
    available = len(scenes.HELD_OUT_SEEDS)
    if first.isdecimal() and (last.isdecimal() or not dash):
        start, stop = (int(first), int(last) + 1) if dash else (0, int(first))
        if start < stop <= available:
            return scenes.HELD_OUT_SEEDS[start:stop]
    raise ConfigError(
        f"{spec!r} is not a number or range of held-out scenes, such as {scheme}:3 or {scheme}:0-2, below {available}"
    )


def stills(seeds: Sequence[int], *, long_side: int, samples: int, cache: Path | None, device: str) -> Iterator[Sample]:
    """Render picture after picture, or take it from ``cache`` where an earlier run left it.

    Raises:
        SourceError: the cache folder cannot be used.
    """
    version = _renderer()
    for seed in seeds:
        number = seed - scenes.HELD_OUT_SEEDS[0]
        file = None if cache is None else cache / f"still_{number}_{long_side}_{samples}_{version}.npz"
        still = None if file is None else _load(file)
        if still is None:
            still = scenes.still(seed, long_side=long_side, samples=samples, device=device)
            if file is not None:
                _store(file, still)
        yield Sample(
            name=f"{still.kind} {number}",
            frame=rgb_frame(still.image),
            depth=still.depth,
            f_px=still.f_px,
            kind=still.kind,
        )


def flights(
    seeds: Sequence[int], *, frames: int, long_side: int, frame_rate: float, samples: int, device: str
) -> Iterator[Sample]:
    """Render video after video, 16:9, with poses. Each moves otherwise than the one before: walks, orbits, zooms, …"""
    height = round(long_side * 9 / 16)
    for seed in seeds:
        number = seed - scenes.HELD_OUT_SEEDS[0]
        motion = scenes.MOTIONS[number % len(scenes.MOTIONS)]
        flight = scenes.flight(
            seed, frames=frames, width=long_side, height=height, frame_rate=frame_rate, motion=motion
        )
        for index in range(frames):
            frame = flight.render(index, samples=samples, device=device)
            yield Sample(
                name=f"{motion} {number}, frame {index}",
                frame=rgb_frame(frame.image, index=index, time_s=index / frame_rate),
                depth=frame.depth,
                f_px=frame.f_px,
                kind=motion,
                sequence=f"{motion} {number}",
                cut=index in flight.cuts,
                pose=frame.pose,
            )


def _load(file: Path) -> scenes.Still | None:
    """What an earlier run left, ``None`` where there is nothing, or only half of it."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            return scenes.Still(
                image=stored["image"],
                depth=stored["depth"],
                f_px=float(stored["f_px"]),
                kind=str(stored["kind"]),
                seed=int(stored["seed"]),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _store(file: Path, still: scenes.Still) -> None:
    part = file.with_name(f"{file.stem}.{os.getpid()}.part.npz")  # renamed when whole: another run may be reading
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(part, image=still.image, depth=still.depth, f_px=still.f_px, kind=still.kind, seed=still.seed)
        part.replace(file)
    except OSError as exc:
        raise SourceError(f"cannot write to the cache {file.parent}: {exc.strerror}") from exc


def _renderer() -> str:
    """Changes whenever the code of the renderer does, so that no picture of an older one is taken for its."""
    digest = hashlib.sha256()
    for source in sorted(Path(scenes.__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:8]
