"""Cameras whose lenses distort, in every model, and the models' equations once more, as the standards write them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.frame import CameraIntrinsics

Array = npt.NDArray[np.float64]


def camera(model: str, coefficients: tuple[float, ...], *, focal: float = 420.0) -> CameraIntrinsics:
    """A 640 × 480 camera, off centre, with pixels that are not quite square."""
    return CameraIntrinsics(
        fx=focal,
        fy=1.01 * focal,
        cx=325.0,
        cy=236.0,
        width=640,
        height=480,
        distortion_model=model,
        distortion=coefficients,
    )


LENSES = {
    "barrel": camera("plumb_bob", (-0.28, 0.09, 0.001, -0.0008, -0.01)),
    "barrel of four": camera("plumb_bob", (-0.2, 0.04, 0.0005, 0.001)),
    "pincushion": camera("plumb_bob", (0.15, 0.05, -0.001, 0.0005, 0.0)),
    "rational": camera("rational_polynomial", (0.5, 0.02, 0.0005, -0.0005, 0.001, 0.85, 0.1, 0.01)),
    "equidistant": camera("equidistant", (-0.02, 0.003, -0.001, 0.0002), focal=340.0),
    "fisheye": camera("fisheye", (0.01, -0.004, 0.0, 0.0), focal=200.0),
}


def distort(raw: CameraIntrinsics, rays_HW2: Array) -> Array:
    """Pixels ``[..., 2]`` of the raw picture that see directions x/z, y/z."""
    x, y = rays_HW2[..., 0], rays_HW2[..., 1]
    d = raw.distortion
    if raw.distortion_model in ("equidistant", "fisheye"):  # Kannala & Brandt
        r = np.hypot(x, y)
        theta = np.arctan(r)
        bent = theta * (1 + d[0] * theta**2 + d[1] * theta**4 + d[2] * theta**6 + d[3] * theta**8)
        factor = np.where(r > 1e-9, bent / np.maximum(r, 1e-9), 1.0)
        x, y = x * factor, y * factor
    else:  # Brown & Conrady
        k1, k2, p1, p2, k3, k4, k5, k6 = (*d, 0.0, 0.0, 0.0, 0.0)[:8]
        r2 = x * x + y * y
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    return np.stack([raw.fx * x + raw.cx, raw.fy * y + raw.cy], axis=-1)


def directions(camera: CameraIntrinsics) -> Array:
    """x/z and y/z of every pixel of a pinhole camera, ``[H, W, 2]``."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy], axis=-1)
