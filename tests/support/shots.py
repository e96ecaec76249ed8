"""Short clips of which it is known where they are cut, made of any pictures: noise, light, motion, and cuts.

Pictures are ``uint8 [h, w, 3]``, BGR as OpenCV has them. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
SIZES = ((64, 48), (320, 240))


@dataclass(frozen=True)
class Clip:
    """``cuts``: indices of the first frames after each cut."""

    name: str
    frames: list[Picture]
    cuts: frozenset[int]


class Shots:
    """Labelled clips.

    Args:
        pictures: different scenes, at least three.
        seed: what is drawn of them, and the noise.
    """

    def __init__(self, pictures: Sequence[Picture], seed: int) -> None:
        self._pictures = list(pictures)
        self._rng = np.random.default_rng(seed)

    def all(self) -> Iterator[Clip]:
        """One clip of every kind in every size."""
        for width, height in SIZES:
            for name, frames, cuts in (
                *self._noise(width, height),
                *self._light(width, height),
                *self._motion(width, height),
                *self._cuts(width, height),
            ):
                yield Clip(f"{name}, {width}x{height}", frames, frozenset(cuts))

    def _some(self, width: int, height: int, count: int) -> list[Picture]:
        chosen = self._rng.choice(len(self._pictures), count, replace=False)
        return [
            cv2.resize(self._pictures[i], (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
            for i in chosen
        ]

    def _noisy(self, picture: npt.NDArray[np.generic], std: float) -> Picture:
        noise = std * self._rng.standard_normal(picture.shape, np.float32) if std else 0
        return np.clip(picture.astype(np.float32) + noise, 0, 255).round().astype(np.uint8)

    def _noise(self, width: int, height: int) -> Iterator[tuple[str, list[Picture], set[int]]]:
        (picture,) = self._some(width, height, 1)
        gray = np.full_like(picture, 128)
        for std in (2, 8, 20, 40):
            yield f"still, noise {std}", [self._noisy(picture, std) for _ in range(20)], set()
            yield f"dark, noise {std}", [self._noisy(picture * 0.12, std) for _ in range(20)], set()
            yield f"blank, noise {std}", [self._noisy(gray, std) for _ in range(20)], set()
            balls = []
            for i in range(20):
                ball = np.full_like(picture, 3)
                centre = round(width * (0.3 + 0.02 * i)), round(height * (0.5 + 0.3 * np.sin(i / 3)))
                cv2.circle(ball, centre, width // 16, (255, 255, 255), -1)
                balls.append(jpeg(self._noisy(ball, std), 50))
            yield f"ball, noise {std}, JPEG", balls, set()
        snow = [self._rng.integers(0, 256, (height, width, 1), np.uint8).repeat(3, axis=2) for _ in range(20)]
        yield "snow", snow, set()
        partly = [picture.copy() for _ in snow]
        for frame, flakes in zip(partly, snow, strict=True):
            frame[height // 2 :, width // 3 :] = flakes[height // 2 :, width // 3 :]
        yield "snow in a part", partly, set()

    def _light(self, width: int, height: int) -> Iterator[tuple[str, list[Picture], set[int]]]:
        (picture,) = self._some(width, height, 1)
        fading = np.r_[np.linspace(1, 0, 12), np.zeros(3), np.linspace(0, 1, 12)]
        for name, gains in {
            "exposure drifts": [0.3 + 0.7 * abs(np.cos(i / 8)) for i in range(30)],
            "exposure adjusts itself": [0.5] * 10 + [0.5 * min(2.2, 1.3**i) for i in range(1, 11)],
            "lights on": [0.25] * 10 + [1.0] * 10,
            "flicker": [1 + 0.2 * (-1) ** i for i in range(20)],
            "fade out and in": list(fading),
        }.items():
            yield name, [self._noisy(picture * gain, 3) for gain in gains], set()
        flash = [self._noisy(picture * (1.5 if i == 10 else 0.6) + 40 * (i == 10), 4) for i in range(20)]
        yield "flash", flash, set()

    def _motion(self, width: int, height: int) -> Iterator[tuple[str, list[Picture], set[int]]]:
        for step in (0.02, 0.06, 0.12, 0.2):
            yield f"pan, {step:.0%} a frame", self._pan(width, height, step, 25), set()
        (large,) = self._some(2 * width, 2 * height, 1)
        shaking = []
        for _ in range(20):
            turn = cv2.getRotationMatrix2D((width, height), self._rng.normal(0, 2), self._rng.normal(1, 0.02))
            turn[:, 2] += self._rng.normal(0, 0.03 * width, 2)
            shaken = cv2.warpAffine(large, turn, (2 * width, 2 * height), borderMode=cv2.BORDER_REFLECT)
            shaking.append(self._noisy(cv2.resize(shaken, (width, height), interpolation=cv2.INTER_AREA), 4))
        yield "shaken", shaking, set()
        zooming = []
        for share in np.geomspace(1, 0.25, 20):
            x, y = round(width * (1 - share)), round(height * (1 - share))
            zooming.append(self._noisy(cv2.resize(large[y : 2 * height - y, x : 2 * width - x], (width, height)), 4))
        yield "zoom", zooming, set()
        picture, other = self._some(width, height, 2)
        passing = []
        for i in range(20):
            frame, x = picture.copy(), round((-0.5 + 0.09 * i) * width)
            left, right = max(0, x), min(width, x + round(0.45 * width))
            if left < right:
                frame[height // 6 :, left:right] = other[height // 6 :, left - x : right - x]
            passing.append(self._noisy(frame, 4))
        yield "something large passes", passing, set()

    def _pan(self, width: int, height: int, step: float, count: int) -> list[Picture]:
        (wide,) = self._some(3 * width, 3 * width * 3 // 4, 1)
        wide = np.concatenate([wide, wide[:, ::-1]], axis=1)
        top = (wide.shape[0] - height) // 2
        starts = [int(i * step * width) % (wide.shape[1] - width) for i in range(count)]
        return [self._noisy(wide[top : top + height, x : x + width], 4) for x in starts]

    def _cuts(self, width: int, height: int) -> Iterator[tuple[str, list[Picture], set[int]]]:
        for std, gain in ((std, gain) for gain in (1, 0.4, 0.12) for std in (0, 4, 12, 25) if std <= 100 * gain):
            one, two = self._some(width, height, 2)
            frames = [self._noisy(picture * gain, std) for picture in [one] * 6 + [two] * 6]
            yield f"cut, noise {std}, light {gain:g}", frames, {6}
        one, two = self._some(width, height, 2)
        gray = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None].repeat(3, axis=2) for picture in (one, two)]
        yield "cut, gray", [self._noisy(gray[i // 6], 4) for i in range(12)], {6}
        one, two = self._some(width, height, 2)
        yield "cut, JPEG", [jpeg(self._noisy(picture, 8), 30) for picture in [one] * 6 + [two] * 6], {6}
        pans = self._pan(width, height, 0.06, 8), self._pan(width, height, 0.06, 8)
        yield "cut in a pan", pans[0] + pans[1], {8}
        one, two, three = self._some(width, height, 3)
        yield "cut twice in a row", [one] * 5 + [two] + [three] * 5, {5, 6}
        one, two = self._some(width, height, 2)
        yield "cut to black", [self._noisy(picture, 2) for picture in [one] * 6 + [one * 0 + 2] * 6], {6}
        yield "cut from black", [self._noisy(picture, 2) for picture in [one * 0 + 2] * 6 + [one] * 6], {6}
        yield "cut from light to dark", [self._noisy(picture, 3) for picture in [one] * 6 + [two * 0.2] * 6], {6}


def jpeg(picture: Picture, quality: int) -> Picture:
    """What is left of ``picture`` in a JPEG file."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
