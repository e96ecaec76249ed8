"""What a frame is on its way through the estimator: looked at, queued, computed, judged."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from model.engine.passage import Lane
from model.engine.precision import Precision
from model.focal import Lens
from model.steady import Steadied, Tracks
from stream.frame import CameraIntrinsics, DepthScale, FocalEstimate, Frame, Odometry, ScaleCorrection
from stream.ports import Event


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of a frame before its network.

    Attributes:
        scene_cut: it starts a new shot.
        is_blank: it shows nothing.
        given: its camera, where the user knows it.
        lens: to be rectified.
        with_fov: whether its field of view is to be estimated.
        tracks: of motion into it, where scale is steadied.
    """

    scene_cut: bool
    is_blank: bool
    given: CameraIntrinsics | None
    lens: Lens | None
    with_fov: bool
    tracks: Future[Tracks] | None


@dataclass(frozen=True, slots=True)
class Queued:
    """A frame whose planes are on their way to the device, before its network."""

    frame: Frame
    lane: Lane
    looked: Looked
    dropped: int
    with_image: bool


@dataclass(frozen=True, slots=True)
class Computed:
    """A frame whose network runs or has run; ``done`` happens when what it found is in the frame's lane."""

    queued: Queued
    precision: Precision
    done: Event
    retried: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A frame of which all is known that makes metres of its depth.

    Attributes:
        computed: the frame.
        focal: how its focal length is known.
        camera: that it makes, of the source picture.
        scale: what depth is multiplied with because a distance is known.
        steadied: what steadies its scale, as far as the frames up to it tell; ``None`` where that is not wanted.
    """

    computed: Computed
    focal: FocalEstimate
    camera: CameraIntrinsics
    scale: DepthScale | None
    steadied: Steadied | None


@dataclass(frozen=True, slots=True)
class Reference:
    """A frame of an earlier run that later ones are followed from, until its depth has been computed again.

    ``place`` is that in its batch.
    """

    frame: Frame
    place: int
    lens: Lens | None
    camera: CameraIntrinsics
    replayed: tuple[Tracks, ScaleCorrection]


class Made(Protocol):
    """What an earlier run has found in a frame.

    Attributes:
        raw_px: the focal length the network saw in it, :attr:`stream.frame.FocalEstimate.raw_px`.
        ratio, ratio_std: those of its :class:`stream.frame.ScaleCorrection`.
        odometry: where the camera was, if later frames were followed from this one.
        scale: what its depth was multiplied with because a distance is known.
    """

    @property
    def raw_px(self) -> float | None: ...

    @property
    def ratio(self) -> float | None: ...

    @property
    def ratio_std(self) -> float: ...

    @property
    def odometry(self) -> Odometry | None: ...

    @property
    def scale(self) -> DepthScale | None: ...
