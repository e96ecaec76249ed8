"""A factor kept in a file: JSON, written once measured, read by later runs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stream.errors import ConfigError, one_line

_SCHEMA = "depth-pro-stream-scale/1"
_LONGEST = 65_536  # bytes; it has some three hundred


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedScale:
    """What a scale file holds.

    Attributes:
        factor: known distance over estimated depth.
        date: when it was measured, ISO 8601.
        camera: name of the source.
        model: name of the network whose depth it scales.
        focal_ratio: focal length over width of the picture, that had scaled the depth.
        x, y, metres: the known distance it was measured at.
    """

    factor: float
    date: str
    camera: str
    model: str
    focal_ratio: float
    x: int
    y: int
    metres: float


def save(path: Path, scale: SavedScale) -> None:
    """Write ``scale`` to ``path``, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    record = asdict(scale)
    record["pixel"] = [record.pop("x"), record.pop("y")]
    text = json.dumps({"schema": _SCHEMA, **record}, indent=1, ensure_ascii=False) + "\n"
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as exc:
        beside.unlink(missing_ok=True)
        raise ConfigError(f"cannot write the scale file {path}: {exc.strerror}") from exc


def load(path: Path) -> SavedScale:
    """Read what :func:`save` wrote.

    Raises:
        ConfigError: the file cannot be read, is damaged or something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
    except OSError as exc:
        raise ConfigError(f"cannot read the scale file {path}: {exc.strerror}") from exc
    try:
        if len(data) > _LONGEST:
            raise ValueError("it is too long")
        record = json.loads(data)
        if not isinstance(record, dict) or record.get("schema") != _SCHEMA:
            raise ValueError(f"its schema is not {_SCHEMA}")
        return _checked(record)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(
            f"{path} is not a scale file, or damaged: {one_line(exc)}; name another one, or remove it and measure "
            "again with `scale_from`"
        ) from exc


def _checked(record: dict[str, Any]) -> SavedScale:
    x, y = _pixel(record.get("pixel"))
    date = _text(record, "date")
    datetime.fromisoformat(date)
    return SavedScale(
        factor=_positive(record, "factor"),
        date=date,
        camera=_text(record, "camera"),
        model=_text(record, "model"),
        focal_ratio=_positive(record, "focal_ratio"),
        x=x,
        y=y,
        metres=_positive(record, "metres"),
    )


def _positive(record: dict[str, Any], name: str) -> float:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number")
    return float(value)


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text")  # noqa: TRY004 (one error for all that is wrong with a file)
    return value


def _pixel(value: object) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(type(v) is int and v >= 0 for v in value):
        return value[0], value[1]
    raise ValueError("pixel must be two whole numbers")
