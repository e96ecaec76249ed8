"""One known distance → the factor that all depth is multiplied with.

Depth from one picture is right in its proportions and may be wrong as a whole: the network guesses how large things
are, and depth grows with the focal length that was assumed. For a camera that stands still one distance, measured with
a tape, tells by how much. Depth around its pixel is watched for the first second in which the focal length is steady;
the factor is the median of known over estimated depth.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from model.scale.known_distance import KnownDistance, ScaleConfig
from model.scale.scale_file import SavedScale, load, save
from stream.errors import ConfigError
from stream.frame import DepthScale

Told = Callable[[str], None]
"""Called with one line for people: what became of a measurement."""

_log = logging.getLogger(__name__)
_MEASURED_S = 1.0
_FEWEST_FRAMES = 5
_WINDOW = 0.005  # half its side, as a share of the picture's width; at least one pixel
_SCATTER = 0.10  # between the 10th and the 90th percentile, of the median
_LEAST_VALID = 0.5
_PATIENCE_S = 10.0  # before it is said that nothing has been measured yet
_SAME_FOCAL = 0.03  # relative


class DepthScaler:
    """Finds the factor of one source, or has it from a file. Call :meth:`update` once per frame, in order.

    Args:
        config: what the user knows.
        camera: name of the source, for the file.
        may_be_asked: whether :meth:`ask` may be called; then the file need not be there yet.

    Attributes:
        scale: the factor; ``None`` until it is known.
        known: the distance that is still to be measured; ``None`` where there is nothing to measure.

    Raises:
        ConfigError: the file is damaged, missing or cannot be written, or says something else than ``scale_from``.
    """

    def __init__(self, config: ScaleConfig | None = None, *, camera: str = "", may_be_asked: bool = False) -> None:
        config = config or ScaleConfig()
        self._path, self._camera = config.scale_file, camera
        self.scale: DepthScale | None = None
        self.known = None if config.scale_from is None else KnownDistance.parse(config.scale_from)
        self._saved: SavedScale | None = None
        self._model = ""
        self._windows: list[npt.NDArray[np.float32]] = []  # of the steady frames so far
        self._focal_ratios: list[float] = []
        self._began_s = self._first_s = math.nan
        self._warned = False
        self._may_be_asked = may_be_asked
        self._asked: tuple[KnownDistance, Told] | None = None
        self._told: Told | None = None  # of the measurement that goes on, where somebody asked for it
        if self._path is not None:
            if self._path.exists():
                self._use_file(load(self._path))
            else:
                self._check_folder()

    @property
    def may_change(self) -> bool:
        """Whether the factor may become another in mid-run, by what is seen of the frames so far."""
        return self.known is not None or self._may_be_asked

    def begin(self, model: str) -> None:
        """Say which network's depth it is, before the first frame.

        Raises:
            ConfigError: the file's factor is that of another network.
        """
        self._model = model
        if self._saved is not None and self._saved.model != model:
            raise ConfigError(
                f"{self._path} was measured with {self._saved.model}, and this is {model}, whose depth has another "
                "scale; remove it and measure again with `scale_from`, or name another file"
            )

    def resume(self, scale: DepthScale) -> None:
        """Go on with the factor that an earlier run of the same source has measured."""
        self.scale, self.known, self._saved = scale, None, None

    def ask(self, x: int, y: int, metres: float, told: Told) -> None:
        """Measure in mid-run, also anew. Called by any thread; takes the place of what was asked before.

        Args:
            x, y, metres: as in :class:`KnownDistance`.
            told: called once, by the thread that calls :meth:`update`. What goes wrong is told, and ends nothing.
        """
        self._asked = (KnownDistance(x, y, metres), told)

    def answer(self, text: str) -> bool:
        """Tell whoever asked for the measurement what became of it. Returns whether anybody did."""
        told, self._told = self._told, None
        if told is None:
            return False
        self.known = None
        told(text)
        return True

    def update(
        self,
        depth_HW: npt.NDArray[np.float32],
        *,
        at: tuple[float, float],
        time_s: float,
        focal_ratio: float,
        steady: bool,
        scene_cut: bool = False,
    ) -> None:
        """Look at a frame, whose depth is scaled by ``scale``. Does nothing once the factor is known.

        Args:
            depth_HW: ``float32 [H, W]``, metres.
            at: x and y of the known distance, in pixels of ``depth_HW``.
            time_s: capture time in seconds.
            focal_ratio: focal length over width, that scaled this depth.
            steady: whether the focal length is well known.
            scene_cut: this frame starts a new shot.

        Raises:
            ConfigError: there is no depth at the pixel, it is scattered, or the file cannot be written.
        """
        if self._saved is not None and steady:
            self._compare_focal(focal_ratio)
        if self._asked is not None:
            self._begin_asked()  # with the next frame, in which it will be known where the pixel lies
            return
        if self.known is None:
            return
        if math.isnan(self._first_s):
            self._first_s = time_s
        if not steady or scene_cut or (self._windows and time_s < self._began_s):
            self._windows, self._focal_ratios = [], []
        if not steady:
            self._warn_once(time_s)
            return
        if not self._windows:
            self._began_s = time_s
        self._windows.append(_window(depth_HW, *at))
        self._focal_ratios.append(focal_ratio)
        if time_s - self._began_s >= _MEASURED_S and len(self._windows) >= _FEWEST_FRAMES:
            known, self.known = self.known, None  # whatever comes of it, this was the measurement
            self._measure(known)

    def close(self) -> None:
        """The run is over.

        Raises:
            ConfigError: it was too short to measure.
        """
        if self.answer("the run has ended before it was measured"):
            return
        if self.known is not None and not math.isnan(self._first_s):
            raise ConfigError(
                f"`scale_from={self.known}`: the run ended before there was a second of depth with a steady focal "
                "length, so nothing was scaled; run longer (one that is told, as with `fov`, is steady at once)"
            )

    def _begin_asked(self) -> None:
        assert self._asked is not None
        (known, told), self._asked = self._asked, None
        self.answer("something else was asked for meanwhile")
        self.known, self._told = known, told
        self._windows, self._focal_ratios, self._first_s, self._warned = [], [], math.nan, False

    def _use_file(self, saved: SavedScale) -> None:
        known = self.known
        if known is not None and (known.x, known.y, known.metres) != (saved.x, saved.y, saved.metres):
            raise ConfigError(
                f"`scale_from={known}` contradicts {self._path}, which was measured at "
                f"{saved.x},{saved.y}={saved.metres:g}; leave out `scale_from`, or remove the file to measure again"
            )
        if saved.camera != self._camera:
            _log.warning("%s was measured with %s, and this is %s", self._path, saved.camera, self._camera)
        self._saved, self.known = saved, None
        self.scale = DepthScale(factor=saved.factor, date=saved.date, source="file")
        _log.info("depth is scaled by %.4g, measured %s", saved.factor, saved.date)

    def _check_folder(self) -> None:
        """Find out now, and not after a second of the run, whether the file can be written."""
        assert self._path is not None
        if self.known is None and not self._may_be_asked:
            raise ConfigError(f"{self._path} is not there; measure with `scale_from`, which also writes it")
        if not os.access(self._path.absolute().parent, os.W_OK):
            raise ConfigError(f"cannot write the scale file {self._path}: its folder is missing or not writable")

    def _compare_focal(self, focal_ratio: float) -> None:
        assert self._saved is not None
        if not self._warned and abs(math.log(focal_ratio / self._saved.focal_ratio)) > _SAME_FOCAL:
            change = focal_ratio / self._saved.focal_ratio - 1
            _log.warning(
                "the focal length is %+.0f %% off that of the measurement in %s, and depth with it; tell it in both "
                "runs, or measure again",
                100 * change,
                self._path,
            )
        self._warned = True

    def _warn_once(self, time_s: float) -> None:
        if not self._warned and time_s - self._first_s > _PATIENCE_S:
            self._warned = True
            if self.answer("not measured: the focal length is not steady; tell it, if you know it"):
                return
            _log.warning("depth is not scaled yet: the focal length is not steady; tell it, if you know it")

    def _measure(self, known: KnownDistance) -> None:
        values = np.concatenate([window.ravel() for window in self._windows])
        valid = _is_valid(values)
        if valid.mean() < _LEAST_VALID:
            raise ConfigError(
                f"`scale_from={known}`: {1 - valid.mean():.0%} of what is around this pixel has no depth; choose a "
                "pixel in the middle of something solid"
            )
        low, middle, high = np.percentile(values[valid], [10, 50, 90])
        if high - low > _SCATTER * middle:
            raise ConfigError(
                f"`scale_from={known}`: depth around this pixel is scattered from {low:.2f} to {high:.2f} m; choose a "
                "pixel in the middle of something flat that does not move"
            )
        medians = [np.median(seen) for window in self._windows if (seen := window[_is_valid(window)]).size]
        before = 1.0 if self.scale is None else self.scale.factor
        factor = before * float(np.median(known.metres / np.array(medians)))
        date = datetime.now(UTC).isoformat(timespec="seconds")
        if self._path is not None:
            save(
                self._path,
                SavedScale(
                    factor=factor,
                    date=date,
                    camera=self._camera,
                    model=self._model,
                    focal_ratio=float(np.median(self._focal_ratios)),
                    x=known.x,
                    y=known.y,
                    metres=known.metres,
                ),
            )
        self.scale = DepthScale(factor=factor, date=date, source="measured")
        self._windows, self._focal_ratios, self._saved = [], [], None
        text = (
            f"depth is scaled by {factor:.4g}: {known.metres:.3g} m at {known.x},{known.y} were {middle / before:.3g} m"
        )
        _log.info("%s", text)
        self.answer(text if self._path is None else f"{text}; kept in {self._path}")


def _is_valid(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    return np.isfinite(depth) & (depth > 0)


def _window(depth_HW: npt.NDArray[np.float32], x: float, y: float) -> npt.NDArray[np.float32]:
    """A copy of what is around ``x``, ``y``."""
    height, width = depth_HW.shape
    column, row = min(max(round(x), 0), width - 1), min(max(round(y), 0), height - 1)
    reach = max(1, round(_WINDOW * width))
    return depth_HW[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1].copy()
