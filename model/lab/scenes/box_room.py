"""A room of textured boxes, drawn in a hundredth of a second: for long flights, where the renderer takes hours.

It has no light and no materials; what it has is exact: depth, focal length, pose, and what moves by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from model.lab.scenes.renderer.camera import Camera

Array = npt.NDArray[np.float64]

_TEXTURE = 512
_TEXTURE_M = 4.0  # a texture's side; it repeats
_BOXES = (  # low and high corner, metres; the first is the room itself, seen from inside
    ((-4.0, -2.5, -6.0), (4.0, 1.5, 10.0)),
    ((-3.0, -0.2, 3.0), (-1.6, 1.5, 4.5)),
    ((1.2, 0.3, 2.2), (2.6, 1.5, 3.4)),
    ((-0.6, 0.6, 5.5), (0.8, 1.5, 6.6)),
    ((2.4, -2.0, 6.0), (4.0, 1.5, 7.5)),
    ((-4.0, -2.5, 7.0), (-2.8, 1.5, 8.0)),
)
_PASSER_M = 2.0  # how far away something large passes


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """``image``: uint8 ``[H, W, 3]`` grey; ``depth``: float32 ``[H, W]``, metres along the optical axis."""

    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]


class BoxRoom:
    """Some boxes in a room, each side with a pattern of its own.

    Args:
        seed: of the patterns and the noise.
        contrast: of the patterns; 0: bare walls.
        noise: standard deviation of the picture's noise, in levels of 255.
    """

    def __init__(self, seed: int = 0, *, contrast: float = 30.0, noise: float = 2.0) -> None:
        self._rng = np.random.default_rng(seed)
        self._noise = noise
        self._textures = [self._pattern(contrast) for _ in range(8)]

    def draw(self, camera: Camera, *, passer_x: float | None = None) -> View:
        """What ``camera`` sees. ``passer_x``: where something as wide as a third of the picture passes, -1 … 1."""
        v, u = np.indices((camera.height, camera.width), np.float64)
        x = (u - (camera.width - 1) / 2) / camera.f_px
        y = (v - (camera.height - 1) / 2) / camera.f_px
        rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.asarray(camera.rotation).T  # of z = 1
        origin = np.asarray(camera.position, np.float64)
        depth, face = np.full(x.shape, np.inf), np.zeros(x.shape, np.int64)
        with np.errstate(divide="ignore"):
            inverse = 1 / rays
        for number, (low, high) in enumerate(_BOXES):
            near = np.minimum((np.array(low) - origin) * inverse, (np.array(high) - origin) * inverse)
            far = np.maximum((np.array(low) - origin) * inverse, (np.array(high) - origin) * inverse)
            enter, leave = near.max(axis=-1), far.min(axis=-1)
            hit, side = (leave, far.argmin(axis=-1)) if number == 0 else (enter, near.argmax(axis=-1))
            seen = (hit > 0.05) & (hit < depth) & ((number == 0) | (enter < leave))
            depth[seen], face[seen] = hit[seen], (3 * number + side)[seen]
        places = origin + rays * np.where(np.isfinite(depth), depth, 0.0)[..., None]
        image = self._painted(places, face)
        if passer_x is not None:
            left = x * camera.f_px / (camera.width / 2) - passer_x
            passing = (np.abs(left) < 0.35) & (depth > _PASSER_M)
            depth[passing] = _PASSER_M
            own = cv2.remap(
                self._textures[7],
                ((left * 500) % _TEXTURE).astype(np.float32),
                ((y * 500) % _TEXTURE).astype(np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            )
            image[passing] = np.asarray(own)[passing]
        image = image + self._noise * self._rng.standard_normal(image.shape)
        grey = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        return View(image=np.repeat(grey[..., None], 3, axis=2), depth=depth.astype(np.float32))

    def _painted(self, places: Array, face: npt.NDArray[np.int64]) -> Array:
        image = np.zeros(face.shape)
        for one in np.unique(face):
            mask = face == one
            across, down = [axis for axis in range(3) if axis != one % 3]
            offset = 97.0 * one
            s, t = (
                ((places[..., axis][mask] * (_TEXTURE / _TEXTURE_M) + offset) % _TEXTURE).astype(np.float32)
                for axis in (across, down)
            )
            texture = self._textures[int(one) % 7]
            square = -(-len(s) // 256), 256  # OpenCV takes no long columns
            painted = cv2.remap(
                texture, np.resize(s, square), np.resize(t, square), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
            )
            image[mask] = np.asarray(painted).ravel()[: len(s)] + 6.0 * (int(one) % 5)
        return image

    def _pattern(self, contrast: float) -> npt.NDArray[np.float32]:
        """Noise of several sizes and some rectangles, float32, around 110; its borders meet."""
        total = np.zeros((_TEXTURE, _TEXTURE), np.float32)
        for size, share in ((4, 0.5), (9, 0.6), (22, 0.5)):
            white = self._rng.standard_normal((_TEXTURE, _TEXTURE)).astype(np.float32)
            wide = np.tile(white, (3, 3))[_TEXTURE // 2 : -_TEXTURE // 2, _TEXTURE // 2 : -_TEXTURE // 2]
            soft = np.asarray(cv2.GaussianBlur(wide, (0, 0), size), np.float32)
            soft = soft[_TEXTURE // 2 : -_TEXTURE // 2, _TEXTURE // 2 : -_TEXTURE // 2]
            total += share * soft / soft.std()
        for _ in range(25):
            x, y = self._rng.integers(0, _TEXTURE - 60, 2)
            w, h = self._rng.integers(15, 60, 2)
            total[y : y + h, x : x + w] += self._rng.normal(0, 1.2)
        return (110 + contrast * np.asarray(cv2.GaussianBlur(total, (0, 0), 1.5))).astype(np.float32)
