"""Depth averaged over time, pixel by pixel, where the past agrees with the present.

The last average is looked up where each pixel was then: by the camera's motion, the pixel's own depth, and both
cameras. If what is found there is what the pixel's depth foretells, it counts. So edges stay where they are, and what
moves by itself, comes into view or changes is the present's alone.

Its three numbers are those that makers of depth cameras give their filters over time: strength, threshold, persistence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the customary name)
from torch import Tensor

from model.steady.odometry import rotation_of
from stream.frame import CameraIntrinsics, Odometry

_NEVER = 1e-9  # inverse depth, per metre, instead of 0


@dataclass(frozen=True, slots=True)
class _Past:
    """What the last frame has left, ``float32 [3, H, W]``: averaged inverse depth, NaN for none; of how many frames it
    is the average, as far as it matters; for how many frames in a row the present has been overruled."""

    state_3HW: Tensor
    camera: CameraIntrinsics
    pose: Odometry


class DepthAverage:
    """Averages one source's depth. Call :meth:`update` once per frame, in order, on one queue of the device.

    Args:
        strength: weight of the past where it agrees, from 0 to below 1. Noise that is new in every frame and small
            beside ``threshold`` falls to ``sqrt((1 - strength) / (1 + strength))`` of what it was.
        threshold: relative difference of inverse depth, from which on the past counts nothing; at most 1. Up to half of
            it the past counts in full.
        persistence: for so many frames a pixel keeps its past where the present does not agree, or has no depth.
    """

    def __init__(self, *, strength: float, threshold: float, persistence: int) -> None:
        self._strength, self._threshold, self._persistence = strength, threshold, persistence
        self._most = strength / (1 - strength)  # frames, of which each further one counts as much as the strength says
        self._past: _Past | None = None

    def update(
        self, depth_HW: Tensor, camera: CameraIntrinsics, pose: Odometry | None, *, scene_cut: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The average of a frame, and the share of its pixels that the past counts in.

        Args:
            depth_HW: ``float32 [H, W]``, metres; NaN and Inf stay as they are, but for ``persistence``.
            camera: for pictures of this size. Where its lens distorts, nothing is averaged.
            pose: of the camera. Where it is not known, or of another stretch, the average begins anew.
            scene_cut: the frame starts a new shot: so it does there.

        Returns:
            ``float32 [H, W]``, and ``float32 []`` on the same device.
        """
        past, self._past = self._past, None
        pose = None if any(camera.distortion) else pose
        inverse_HW = depth_HW.reciprocal().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        state = inverse_HW, torch.ones_like(inverse_HW), torch.zeros_like(inverse_HW)
        share = inverse_HW.new_zeros(())
        if past is not None and pose is not None and not scene_cut and _goes_on(past, depth_HW, pose):
            state, counts_HW = self._joined(inverse_HW, *_looked_up(past, inverse_HW, camera, pose))
            depth_HW = torch.where(counts_HW, state[0].reciprocal(), depth_HW)
            share = counts_HW.float().mean()
        if pose is not None:
            self._past = _Past(torch.stack((torch.where(state[0] > 0, state[0], torch.nan), *state[1:])), camera, pose)
        return depth_HW, share

    def _joined(
        self, inverse_HW: Tensor, past_HW: Tensor, frames_HW: Tensor, overruled_HW: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """The new state, and where the past counts; ``past_HW`` is what it foretells."""
        off_HW = past_HW / inverse_HW.clamp(min=_NEVER) - 1
        agrees_HW = (2 - off_HW.abs() * (2 / self._threshold)).clamp(0, 1)
        frames_HW = frames_HW.clamp(max=self._most)
        weight_HW = (frames_HW / (frames_HW + 1)) * agrees_HW
        averaged_HW = inverse_HW + weight_HW * (past_HW - inverse_HW)
        counts_HW, frames_HW = weight_HW > 0, 1 + frames_HW * agrees_HW
        if not self._persistence:
            return (averaged_HW, frames_HW, torch.zeros_like(overruled_HW)), counts_HW
        keeps_HW = (agrees_HW == 0) & (past_HW > _NEVER) & (overruled_HW < self._persistence - 0.5)
        averaged_HW = torch.where(keeps_HW, past_HW, averaged_HW)
        overruled_HW = torch.where(keeps_HW, overruled_HW + 1, 0.0)
        return (averaged_HW, frames_HW, overruled_HW), counts_HW | keeps_HW


def _goes_on(past: _Past, depth_HW: Tensor, pose: Odometry) -> bool:
    return past.pose.stretch == pose.stretch and past.state_3HW.shape[1:] == depth_HW.shape


def _looked_up(
    past: _Past, inverse_HW: Tensor, camera: CameraIntrinsics, pose: Odometry
) -> tuple[Tensor, Tensor, Tensor]:
    """The past's state where each pixel was then; its inverse depth is that for the camera of now."""
    before, now = rotation_of(past.pose.orientation), rotation_of(pose.orientation)
    turn = before.T @ now
    shift = before.T @ (np.array(pose.position) - past.pose.position)
    if past.pose.orientation == pose.orientation and not shift.any() and past.camera == camera:
        inverse, frames, overruled = past.state_3HW
        return inverse.nan_to_num(nan=0.0), frames, overruled
    height, width = inverse_HW.shape
    # A point whose inverse depth is q lies in direction d: for the camera of then at (R d + q t) / q.
    to_then = past.camera.matrix @ turn @ np.linalg.inv(camera.matrix)
    moved = past.camera.matrix @ shift
    guess_HW = torch.where(inverse_HW > 0, inverse_HW, past.state_3HW[0].nan_to_num(nan=0.0))
    columns = torch.arange(width, dtype=torch.float32, device=inverse_HW.device)
    rows = torch.arange(height, dtype=torch.float32, device=inverse_HW.device)[:, None]
    x_HW, y_HW, z_HW = (
        float(a) * columns + (float(b) * rows + float(c)) + float(m) * guess_HW
        for (a, b, c), m in zip(to_then, moved, strict=True)
    )
    ahead_HW = z_HW > _NEVER
    over_HW = torch.where(ahead_HW, z_HW, 1.0).reciprocal()
    x_HW, y_HW = x_HW * over_HW, y_HW * over_HW
    inside_HW = ahead_HW & (x_HW >= 0) & (x_HW <= width - 1) & (y_HW >= 0) & (y_HW <= height - 1)
    places_HW2 = torch.stack(((2 * x_HW + 1) / width - 1, (2 * y_HW + 1) / height - 1), dim=-1)  # edges at -1 and 1
    places_HW2 = torch.where(inside_HW[..., None], places_HW2, 2.0)
    inverse, frames, overruled = F.grid_sample(past.state_3HW[None], places_HW2[None], align_corners=False)[0]
    return (inverse * z_HW).nan_to_num(nan=0.0), frames, overruled
