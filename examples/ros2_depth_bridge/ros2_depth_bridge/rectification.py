"""The picture that a lens without distortion would have made, as R and P of the calibration want it."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ros2_depth_bridge.camera import projection, rectification
from ros2_depth_bridge.client import DepthMessage

MODELS = ("plumb_bob", "rational_polynomial", "equidistant")


def can_rectify(frame: DepthMessage) -> bool:
    """Whether the lens is one whose model OpenCV knows."""
    return frame.header["rectified"] or frame.header["distortion_model"] in MODELS


def rectify_depth(frame: DepthMessage) -> DepthMessage:
    """``frame`` without distortion and without its picture. Depth is picked, not averaged: between near and far is
    nothing. Where R turns the camera, depth is along the turned axis."""
    if frame.header["rectified"]:
        return frame
    x, y, stretch = _maps(frame)
    no_estimate = 0 if frame.header["encoding"] == "16UC1" else np.nan
    values = cv2.remap(frame.values, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=no_estimate)
    if stretch is not None:
        values = _stretched(values, stretch, frame.header)
    K = projection(frame)[:, :3]
    header = {**frame.header, "rectified": True, "K": K.ravel().tolist()}
    return dataclasses.replace(frame, header=header, values=values, image=None)


def rectify_picture(pixels: npt.NDArray[np.uint8], frame: DepthMessage) -> npt.NDArray[np.uint8]:
    """``pixels``, the picture of ``frame``, without distortion."""
    if frame.header["rectified"]:
        return pixels
    x, y, _ = _maps(frame)
    return cv2.remap(pixels, x, y, cv2.INTER_LINEAR)


def _stretched(values: npt.NDArray[Any], stretch: npt.NDArray[np.float32], header: dict[str, Any]) -> npt.NDArray[Any]:
    if values.dtype == np.float32:
        return values * stretch
    codes = (values == header["no_estimate"]) | (values == header["beyond_range"])
    with np.errstate(invalid="ignore"):
        millimetres = np.nan_to_num(np.rint(values * stretch), nan=header["no_estimate"])
    # The last number is the code for beyond range, and true of what is beyond.
    return np.where(codes, values, np.clip(millimetres, 0, header["beyond_range"]).astype(np.uint16))


def _maps(
    frame: DepthMessage,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    height, width = frame.values.shape
    return _maps_of(
        frame.header["distortion_model"],
        tuple(frame.header["D"]),
        tuple(frame.K.ravel()),
        tuple(rectification(frame).ravel()),
        tuple(projection(frame)[:, :3].ravel()),
        (width, height),
    )


@lru_cache(maxsize=2)
def _maps_of(
    model: str,
    D: tuple[float, ...],
    K: tuple[float, ...],
    R: tuple[float, ...],
    P: tuple[float, ...],
    size: tuple[int, int],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Where each rectified pixel lies in the raw picture, and by what its depth changes: ``None`` for not at all."""
    K_33, R_33, P_33 = (np.reshape(m, (3, 3)) for m in (K, R, P))
    make = cv2.fisheye.initUndistortRectifyMap if model == "equidistant" else cv2.initUndistortRectifyMap
    x, y = make(K_33, np.array(D), R_33, P_33, size, cv2.CV_32FC1)
    if np.array_equal(R_33, np.eye(3)):
        return x, y, None
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    rays = (
        np.stack([columns, rows, np.ones_like(columns)], axis=-1) @ np.linalg.inv(P_33).T
    )  # z = 1 in the turned frame
    z = (rays @ R_33)[..., 2]  # of the same ray in the camera's
    return x, y, np.where(z > 0, 1 / np.maximum(z, 1e-9), np.nan).astype(np.float32)
