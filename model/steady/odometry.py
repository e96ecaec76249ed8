"""The camera's way: motions from reference to reference, one put behind the other. A state machine.

A pose is that of the camera's optical axes in those of the first camera of its stretch. Errors are small shifts of the
position and small turns, both about the axes of the stretch; they grow with every change of reference, as nothing is
ever recognised again.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from model.steady.pose import Array, CameraMotion
from stream.frame import Odometry

_NOWHERE = Odometry(stretch=0, position=(0.0,) * 3, orientation=(0.0, 0.0, 0.0, 1.0), covariance=(0.0,) * 36)


class Odometer:
    """Follows one source's camera. Call :meth:`update`, or :meth:`replay`, once per frame, in order."""

    def __init__(self) -> None:
        self._reference = _NOWHERE  # pose of the frame that others are followed from
        self._told = -1  # the last stretch that a pose was told of
        self._unit = 1.0

    def update(
        self,
        motion: CameraMotion | None,
        *,
        log_scale: float,
        log_std: float,
        begins: bool,
        is_reference: bool,
        unit: float,
    ) -> Odometry | None:
        """The pose of a frame; ``None`` where it is not known.

        Args:
            motion: from the reference to this frame; ``None``: not known.
            log_scale, log_std: logarithm of what its shift must be multiplied with, and the deviation of that.
            begins: where ``motion`` is not known, a stretch begins here.
            is_reference: later frames are followed from this one. Where its ``motion`` is not known, the way is lost.
            unit: metres that a unit of depth is.
        """
        self._take_unit(unit)
        pose = (
            None
            if motion is None
            else _after(self._reference, motion, log_std=log_std, unit=unit * math.exp(log_scale))
        )
        return self._step(pose, begins=begins, is_reference=is_reference)

    def replay(self, pose: Odometry | None, *, is_known: bool, begins: bool, is_reference: bool, unit: float) -> None:
        """Take note of a frame whose pose was told before.

        Args:
            pose: if it is a reference and its motion was known; else it does not matter.
            is_known: whether its motion was.
            begins, is_reference, unit: as for :meth:`update`.
        """
        self._take_unit(unit)
        known = (pose or self._reference) if is_known else None
        self._step(known, begins=begins, is_reference=is_reference)

    def _step(self, pose: Odometry | None, *, begins: bool, is_reference: bool) -> Odometry | None:
        if pose is None and is_reference:
            # Unless it begins a stretch, it is told of only when a frame has been followed from it: on a bare wall
            # each frame is a reference, and none is.
            self._reference = replace(_NOWHERE, stretch=self._told + 1)
            pose = self._reference if begins else None
        if pose is not None:
            pose = replace(pose, is_reference=is_reference)
            self._told = pose.stretch
            self._reference = pose if is_reference else self._reference
        return pose

    def _take_unit(self, unit: float) -> None:
        if unit != self._unit:
            reference, ratio = self._reference, unit / self._unit
            units = np.array([ratio] * 3 + [1.0] * 3)
            covariance = np.reshape(reference.covariance, (6, 6)) * np.outer(units, units)
            x, y, z = reference.position
            self._unit = unit
            self._reference = replace(
                reference,
                stretch=self._told + 1,
                position=(ratio * x, ratio * y, ratio * z),
                covariance=tuple(covariance.ravel().tolist()),
            )


def _after(reference: Odometry, motion: CameraMotion, *, log_std: float, unit: float) -> Odometry:
    """The pose of a camera that has moved by ``motion`` since it had that of ``reference``."""
    R = rotation_of(reference.orientation)
    back = motion.turn.T  # from the camera's axes to those of the reference
    way = R @ (-back @ (motion.shift * unit))
    turned = R @ back
    # Where X is seen at A X + t, and A is off by exp(a), t by b in the camera's axes, the camera is off by -A'b and
    # turned by -A'a in those of the reference.
    carried = np.eye(6)
    carried[:3, 3:] = -_cross(way)
    own = np.zeros((6, 6))
    own[:3, :3], own[3:, 3:] = -unit * turned, -turned
    covariance = carried @ np.reshape(reference.covariance, (6, 6)) @ carried.T
    covariance = covariance + own @ motion.covariance @ own.T
    covariance[:3, :3] += log_std**2 * np.outer(way, way)
    x, y, z = (np.array(reference.position) + way).tolist()
    return Odometry(
        stretch=reference.stretch,
        position=(x, y, z),
        orientation=quaternion_of(turned),
        covariance=tuple(((covariance + covariance.T) / 2).ravel().tolist()),
    )


def rotation_of(quaternion: tuple[float, float, float, float]) -> Array:
    """``float64 [3, 3]`` of a unit quaternion x, y, z, w."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_of(rotation: Array) -> tuple[float, float, float, float]:
    """Unit quaternion x, y, z, w of a rotation ``float64 [3, 3]``, with w not negative.

    By its largest part, which is told best (Shepperd, J. Guidance and Control 1978).
    """
    trace = float(np.trace(rotation))
    squares = [*(1 - trace + 2 * rotation[i, i] for i in range(3)), 1 + trace]  # four times each part's square
    largest = int(np.argmax(squares))
    (x, y, z), R = (rotation[2, 1], rotation[0, 2], rotation[1, 0]), rotation
    if largest == 3:
        parts = [x - R[1, 2], y - R[2, 0], z - R[0, 1], squares[3]]
    elif largest == 0:
        parts = [squares[0], R[0, 1] + R[1, 0], R[0, 2] + R[2, 0], R[2, 1] - R[1, 2]]
    elif largest == 1:
        parts = [R[0, 1] + R[1, 0], squares[1], R[1, 2] + R[2, 1], R[0, 2] - R[2, 0]]
    else:
        parts = [R[0, 2] + R[2, 0], R[1, 2] + R[2, 1], squares[2], R[1, 0] - R[0, 1]]
    length = math.copysign(math.hypot(*parts), parts[3])
    x, y, z, w = (float(part) / length for part in parts)
    return x, y, z, w


def _cross(vector: Array) -> Array:
    """``[v]×``, so that ``[v]× u = v × u``."""
    x, y, z = vector.tolist()
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
