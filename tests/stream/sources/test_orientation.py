"""Pictures stand upright, with pixels of the right shape: display matrices, mirrored ones too, and pixel aspects."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from stream.frame import CameraIntrinsics
from tests.support import media

ONE, UNIT = 1 << 16, 1 << 30
# a, b, c, d: what is at column p and row q of the stored picture is shown at column a·p + c·q and row b·p + d·q
# (ISO/IEC 14496-12, 6.2.2), moved into the picture.
MATRICES = [(s, 0, 0, t) for s in (1, -1) for t in (1, -1)] + [(0, s, t, 0) for s in (1, -1) for t in (1, -1)]


def shown(stored: npt.NDArray[np.generic], matrix: tuple[int, int, int, int]) -> npt.NDArray[np.generic]:
    """``stored`` as ``matrix`` shows it, pixel by pixel."""
    a, b, c, d = matrix
    rows, columns = np.indices(stored.shape[:2])
    across, down = a * columns + c * rows, b * columns + d * rows
    across, down = across - across.min(), down - down.min()
    result = np.zeros((down.max() + 1, across.max() + 1, *stored.shape[2:]), stored.dtype)
    result[down, across] = stored[rows, columns]
    return result


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_display_matrix_shows_the_picture_as_it_was_taken(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    a, b, c, d = (ONE * value for value in matrix)
    pictures = [media.oriented(), media.oriented()]
    plain = media.write_video(tmp_path / "plain.mp4", pictures)
    turned = media.write_video(tmp_path / "turned.mp4", pictures, matrix=(a, b, 0, c, d, 0, 0, 0, UNIT))
    (stored, _), (frame, _) = media.read(plain), media.read(turned)
    upright = [np.rot90(plane, frame.capture.rotation // 90) for plane in frame.planes]
    for plane, before in zip(upright, stored.planes, strict=True):
        np.testing.assert_array_equal(plane, shown(before, matrix))
    assert (frame.width, frame.height) == upright[0].shape[1::-1]


def anamorphic(path: Path, aspect: Fraction, *, rotation: int = 0) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for i in range(2):
            picture = av.VideoFrame.from_ndarray(np.full((576, 720, 3), 90 + i, np.uint8))
            picture.pts, picture.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("told", "rotation", "aspect"),
    [
        (Fraction(64, 45), 0, Fraction(64, 45)),
        (Fraction(64, 45), 90, Fraction(45, 64)),
        (Fraction(1), 0, Fraction(1)),
        (Fraction(0), 0, Fraction(1)),
        (Fraction(1, 200), 0, Fraction(1)),
    ],
)
def test_the_shape_of_pixels_comes_with_the_frame(
    tmp_path: Path, told: Fraction, rotation: int, aspect: Fraction
) -> None:
    frame, *_ = media.read(anamorphic(tmp_path / "a.mp4", told, rotation=rotation))
    assert frame.capture.pixel_aspect == aspect


def test_wide_pixels_make_the_vertical_focal_length_longer() -> None:
    camera = CameraIntrinsics.from_focal(800.0, 720, 576, pixel_aspect=Fraction(64, 45))
    assert (camera.fx, camera.fy) == (800.0, 800.0 * 64 / 45)
    square = camera.resized(1024, 576)  # the same picture in square pixels
    assert square.fx == pytest.approx(square.fy)


# NAL unit 6, message 47, display orientation (H.264, D.1.27): a quarter turn, from now on.
_TURN = bytes.fromhex("00000001 06 2f 03 08 00 09 80")


def test_what_a_stream_tells_of_a_frame_holds_until_the_next_key_frame(tmp_path: Path) -> None:
    path = tmp_path / "turned.h264"
    media.write_video(path, [media.oriented()] * 12, options={"g": "6", "bf": "0"})
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    packets[2] = _TURN + packets[2]
    path.write_bytes(b"".join(packets))
    frames = media.read(path)
    assert [frame.capture.rotation for frame in frames] == [0] * 2 + [90] * 4 + [0] * 6
    assert {frame.width for frame in frames[2:6]} == {media.HEIGHT}
