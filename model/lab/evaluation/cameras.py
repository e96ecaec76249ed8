"""The true focal length of pictures: from an option, or from a file beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from model.focal import CameraConfig, GivenCamera
from stream.errors import ConfigError

_YAML_NAMES = ("camera.yaml", "camera.yml", "camera_info.yaml", "camera_info.yml")


class Cameras:
    """Focal lengths of the pictures in a folder.

    Where no option says it, a file in the folder does; the first of these that is there:

    * ``intrinsics.json``: ``{"fx": 525}`` or ``{"K": [[525, 0, 319.5], …]}``, with ``width`` and ``height`` where it is
      for another size than the pictures'; or such an entry for each picture under its name, without ending;
    * ``K.txt``: the nine numbers of the camera matrix;
    * ``camera.yaml`` or ``camera_info.yaml``: a ROS calibration.

    Args:
        folder: where to look.
        fx: focal length in pixels of each picture.
        camera_info: ROS calibration file.

    Raises:
        ConfigError: a file cannot be read or used.
    """

    def __init__(self, folder: Path, *, fx: float | None = None, camera_info: Path | None = None) -> None:
        self._folder = folder
        self._given: GivenCamera | None = None
        self._entries: Mapping[str, object] = {}
        self._json, matrix = folder / "intrinsics.json", folder / "K.txt"
        yaml = next((p for name in _YAML_NAMES if (p := folder / name).is_file()), None)
        if fx is not None:
            self._given = GivenCamera(CameraConfig(focal_px=fx))
        elif camera_info is not None:
            self._given = GivenCamera(CameraConfig(camera_info=camera_info, rectify=False))
        elif self._json.is_file():
            self._entries = _load_json(self._json)
        elif matrix.is_file():
            self._given = GivenCamera(CameraConfig(focal_px=_read_matrix(matrix)))
        elif yaml is not None:
            self._given = GivenCamera(CameraConfig(camera_info=yaml, rectify=False))

    def f_px(self, name: str, width: int, height: int) -> float:
        """True horizontal focal length of the picture ``name``, in its pixels.

        Raises:
            ConfigError: it is unknown, or its entry cannot be used.
        """
        if self._given is not None:
            camera = self._given.intrinsics(width, height)
            assert camera is not None
            return camera.fx
        if not self._entries:
            raise ConfigError(
                f"no intrinsics for {name}: give its focal length in pixels as `fx`, or put intrinsics.json, K.txt or "
                f"camera.yaml into {self._folder}"
            )
        entry = self._entries.get(name, self._entries)
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{self._json}: the entry of {name} is no camera such as {{'fx': 525}}")
        try:
            f_px = _number(entry["fx"]) if "fx" in entry else _first_number(entry["K"])
            calibrated_width = _number(entry.get("width", width))
            if not (f_px > 0 and calibrated_width > 0):
                raise ValueError("not positive")
        except KeyError as exc:
            raise ConfigError(f"{self._json} has no fx and no K for {name}") from exc
        except (TypeError, ValueError) as exc:
            raise ConfigError(f"{self._json}: fx, K and width for {name} must be numbers above zero") from exc
        return f_px * width / calibrated_width


def _load_json(path: Path) -> Mapping[str, object]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"cannot read the intrinsics {path}: {exc}") from exc
    if not isinstance(entries, Mapping) or not entries:
        raise ConfigError(f'the intrinsics {path} hold no named fields, such as {{"fx": 525}}')
    return entries


def _read_matrix(path: Path) -> float:
    try:
        numbers = [float(word) for word in path.read_text(encoding="utf-8").replace(",", " ").split()]
    except (OSError, ValueError) as exc:
        raise ConfigError(f"cannot read the camera matrix {path}: {exc}") from exc
    if len(numbers) != 9:
        raise ConfigError(f"the camera matrix {path} has {len(numbers)} numbers; nine are needed")
    return numbers[0]


def _first_number(value: object) -> float:
    """The first number of a list or of a list of lists."""
    while isinstance(value, list) and value:
        value = value[0]
    return _number(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
