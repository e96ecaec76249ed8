"""A folder with ``index.html``: every picture with its depth, its truth, the error and its figures. Needs no network.

Depth and truth of a picture share one scale of colours, near red and far blue, spaced evenly in log depth over the
truth's own range. The error is ``|d - t| / t``, black 0 and yellow 50 % or more. Gray: no truth; white: sky.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from model.lab.evaluation.metrics import Depth, DepthErrors, Mask, valid_truth
from model.lab.evaluation.report import PictureFigures, Report, counted
from model.lab.evaluation.run import Outcome
from sinks.video.colormap import NO_ESTIMATE_RGB, DepthColormap
from stream.errors import ConfigError, SinkError

Picture = npt.NDArray[np.uint8]
Order = Literal["worst", "given"]

_WIDTH = 480  # pixels, at most, of what is stored
_WHITE = 255
_WORST_ERROR = 0.5

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1500px; padding: 0 1rem; }
section { border-top: 1px solid #8886; padding: .7rem 0 1rem; }
h2 { font-size: 1rem; margin: 0 0 .1rem; }
p { margin: 0 0 .5rem; font-variant-numeric: tabular-nums; }
.row { display: grid; grid-template-columns: repeat(4, 1fr); gap: .5rem; }
figure { margin: 0; }
img { width: 100%; display: block; border-radius: 3px; }
figcaption { font-size: .85rem; opacity: .7; }
"""


class Page:
    """Collects pictures with :meth:`add` and is finished by :meth:`write`.

    Args:
        folder: for ``index.html`` and ``pictures/``; made where it does not exist.
        overwrite: write into a folder that holds something.

    Raises:
        ConfigError: the folder holds something, or is a file.
        SinkError: it cannot be made.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self._folder = folder
        self._images: list[list[tuple[str, str]]] = []
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file; `page` takes a folder")
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise ConfigError(f"the folder {folder} is not empty; name another, or add `overwrite=True`")
        try:
            (folder / "pictures").mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SinkError(f"cannot make the folder {folder}: {exc.strerror}") from exc

    def add(self, outcome: Outcome, *, max_depth_m: float) -> None:
        """Store the pictures of one outcome. Call it for every picture of the report, in order.

        Raises:
            SinkError: they cannot be written.
        """
        sample = outcome.sample
        views = {"picture": sample.image}
        if sample.depth is None:
            near_far = depth_range(outcome.depth)
            views["depth"] = colours(outcome.depth, *near_far)
        else:
            valid = valid_truth(sample.depth, max_depth_m)
            near_far = depth_range(sample.depth[valid])
            views["depth"] = colours(outcome.depth, *near_far)
            views["truth"] = colours(sample.depth, *near_far)
            views["error"] = error_colours(outcome.depth, sample.depth, valid)
        if sample.matte is not None:
            views["matte"] = np.repeat((sample.matte[..., None] * 255).astype(np.uint8), 3, axis=2)
        number = len(self._images)
        captions = {"depth": "depth {:.3g} … {:.3g} m".format(*near_far)}
        self._images.append(
            [(captions.get(what, what), self._store(f"{number:05d}_{what}", view)) for what, view in views.items()]
        )

    def write(self, report: Report, *, title: str, order: Order = "worst") -> Path:
        """Write ``index.html``; ``worst`` puts the greatest AbsRel first. Returns its path.

        Raises:
            SinkError: it cannot be written.
        """
        places = list(range(len(self._images)))
        if order == "worst":
            places.sort(key=lambda i: -_badness(report.pictures[i]))
        sections = "\n".join(_section(report.pictures[i], self._images[i]) for i in places)
        page = (
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
            f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n"
            f"<p>{counted(len(places))}{', worst first' if order == 'worst' else ''}. Depth and truth of a picture "
            f"have the same colours: near red, far blue, over the range beneath; sky white, no truth gray. Error: "
            f"black 0, yellow {_WORST_ERROR:.0%} or more.</p>\n{sections}\n</html>\n"
        )
        path = self._folder / "index.html"
        try:
            path.write_text(page, encoding="utf-8")
        except OSError as exc:
            raise SinkError(f"cannot write {path}: {exc.strerror}") from exc
        return path

    def _store(self, name: str, view: Picture) -> str:
        """Write a JPEG and return its address within the page."""
        height, width = view.shape[:2]
        if width > _WIDTH:
            size = (_WIDTH, max(1, round(height * _WIDTH / width)))
            view = np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA), np.uint8)
        address = f"pictures/{name}.jpg"
        done, data = cv2.imencode(".jpg", view[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        assert done
        try:
            (self._folder / address).write_bytes(data.tobytes())
        except OSError as exc:
            raise SinkError(f"cannot write {self._folder / address}: {exc.strerror}") from exc
        return address


def depth_range(depth: Depth) -> tuple[float, float]:
    """The middle 96 % of finite depths above zero, in metres."""
    with np.errstate(invalid="ignore"):
        known = depth[np.isfinite(depth) & (depth > 0)]
    if not known.size:
        return 1.0, 10.0
    near, far = np.percentile(known, (2, 98))
    return float(near), max(float(far), float(near) * 1.01)


def colours(depth: Depth, near: float, far: float) -> Picture:
    """RGB ``uint8 [H, W, 3]``, the video sink's colours over another range: +Inf is white, no truth gray."""
    picture = DepthColormap(min_m=near, max_m=far).rgb(depth).copy()
    with np.errstate(invalid="ignore"):
        picture[~(depth > 0)] = NO_ESTIMATE_RGB
    picture[np.isposinf(depth)] = _WHITE
    return picture


def error_colours(predicted: Depth, truth: Depth, valid: Mask) -> Picture:
    """RGB ``uint8 [H, W, 3]`` of the relative error: black 0 … yellow at 50 %; gray where there is no truth."""
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.abs(predicted - truth) / truth
    level = np.nan_to_num(np.clip(error / _WORST_ERROR, 0, 1)) * 255
    colors = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture = np.asarray(colors[..., ::-1], np.uint8).copy()
    picture[~valid] = NO_ESTIMATE_RGB
    return picture


def _badness(figures: PictureFigures) -> float:
    return figures.metric.abs_rel if figures.metric is not None else 1 - (figures.matte_recall or 0.0)


def _section(figures: PictureFigures, images: list[tuple[str, str]]) -> str:
    shown = "".join(
        f'<figure><img loading="lazy" src="{address}" alt="{what}"><figcaption>{what}</figcaption></figure>'
        for what, address in images
    )
    return f'<section><h2>{escape(figures.name)}</h2><p>{_line(figures)}</p><div class="row">{shown}</div></section>'


def _line(figures: PictureFigures) -> str:
    parts = [f"{figures.width}×{figures.height}"]
    if figures.kind:
        parts.append(escape(figures.kind))
    if figures.true_f_px is not None and figures.focal_error is not None:
        parts.append(f"f {figures.f_px:.0f} px, true {figures.true_f_px:.0f} ({figures.focal_error:.1%} off)")
    errors: tuple[tuple[str, DepthErrors | None], ...] = (
        ("", figures.metric),
        ("known f: ", figures.known_focal),
        ("median-scaled: ", figures.median_scaled),
    )
    parts += [f"{what}AbsRel {e.abs_rel:.3f}, δ1 {e.delta1:.3f}" for what, e in errors if e is not None]
    if figures.boundary is not None:
        parts.append(f"boundary F1 {figures.boundary.f1:.3f}")
    if figures.matte_recall is not None:
        parts.append(f"matte recall {figures.matte_recall:.3f}")
    return " · ".join(parts)
