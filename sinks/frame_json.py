"""What is known about a frame besides its pixels, as strict JSON. Every sink that writes it writes the same."""

from __future__ import annotations

import orjson

from sinks.camera_info import camera_info
from stream.frame import CameraIntrinsics, DepthFrame, Odometry, ScaleCorrection


def describe(frame: DepthFrame, camera: CameraIntrinsics | None = None) -> dict[str, object]:
    """The fields of ``frame`` other than its arrays, for :func:`to_json`.

    Times keep the source's exact numbers: ``pts`` in units of ``time_base`` = [numerator, denominator] seconds. ``K``,
    ``D``, ``R`` and ``P`` are those of ``sensor_msgs/CameraInfo`` for the depth as it is sized here; ``focal`` is in
    pixels of the source picture.

    Args:
        camera: that of the depth as it is written, where it is resized.
    """
    focal, scale, steady, camera = frame.focal, frame.scale, frame.steady, camera or frame.camera
    info = camera_info(camera)
    return {
        "index": frame.capture.index,
        "pts": frame.capture.pts,
        "time_base": frame.capture.time_base.as_integer_ratio(),
        "capture_time_ns": frame.capture.time_ns,
        "clock": frame.capture.clock,
        "capture_uncertainty_ns": frame.capture.uncertainty_ns,
        "width": camera.width,
        "height": camera.height,
        "K": info.K,
        "distortion_model": info.distortion_model,
        "D": info.D,
        "R": info.R,
        "P": info.P,
        "rectified": info.rectified,
        "source_width": frame.source_width,
        "source_height": frame.source_height,
        "rotation": frame.capture.rotation,
        "focal": {
            "smoothed_px": focal.smoothed_px,
            "raw_px": focal.raw_px,
            "log_std": focal.log_std,
            "source": focal.source,
        },
        "scale": None if scale is None else {"factor": scale.factor, "date": scale.date, "source": scale.source},
        "steady": None if steady is None else describe_correction(steady),
        "odometry": None if frame.odometry is None else _describe_odometry(frame.odometry),
        "scene_cut": frame.scene_cut,
        "model": frame.model,
        "precision": frame.precision,
        "retried": frame.retried,
        "dropped": frame.dropped,
    }


def describe_correction(steady: ScaleCorrection) -> dict[str, object]:
    """The fields of a correction, but for what only a run that goes on needs."""
    return {
        "correction": steady.log,
        "log_std": steady.log_std,
        "inliers": steady.inliers,
        "resets": steady.resets,
        "averaged": steady.averaged,
    }


def _describe_odometry(odometry: Odometry) -> dict[str, object]:
    return {
        "stretch": odometry.stretch,
        "position": odometry.position,
        "orientation": odometry.orientation,
        "covariance": odometry.covariance,
    }


def untrained_notice(frame: DepthFrame) -> str | None:
    """What must be said of ``frame`` to people if its model has random weights."""
    return "untrained weights: not real depth" if "untrained" in frame.model else None


def to_json(record: dict[str, object]) -> bytes:
    """Compact UTF-8 on one line. NaN and infinity, which are not JSON, become ``null``."""
    return orjson.dumps(record)
