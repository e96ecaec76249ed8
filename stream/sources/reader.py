"""The thread that reads one connection to a camera, and says of each picture when it was taken.

It may hang in a driver or a server for as long as it likes: whoever waits for its pictures does not wait with it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from fractions import Fraction

import av

from stream.channel import Channel
from stream.errors import SourceError
from stream.frame import Clock
from stream.sources.address import Address
from stream.sources.camera_clock import RTP_FORMATS, CameraClock, uncertainty_ns
from stream.sources.config import SourceConfig
from stream.sources.connection import FALLBACK_RATE, Connection
from stream.sources.ffmpeg_errors import Interruption, source_error
from stream.sources.pacer import SEGMENTED_FORMATS, Pacer
from stream.sources.punctuality import Punctuality

_SHORTEST_WINDOW_S = 30.0
_MOST_ARRIVALS = 256  # packets whose pictures the decoder may still hold


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A decoded picture and its times; fields as in :class:`stream.frame.Capture`.

    Attributes:
        pts_s: presentation time in seconds, ``None`` where there is none.
        clock_offset_s: as in :class:`stream.frame.SourceState`.
    """

    picture: av.VideoFrame
    time_base: Fraction
    pts_s: float | None
    time_ns: int
    clock: Clock
    uncertainty_ns: int | None
    received_ns: int
    late_ns: int
    pixel_aspect: Fraction
    clock_offset_s: float | None


class Reader:
    """Opens a camera and reads it until it breaks off or is given up.

    Args:
        address: of the camera.
        config: timeouts and clocks.
        first_index: number of the first picture, for what is said of damage.
        clock_is_known_wrong: it was told before that the camera's clock is wrong.

    Attributes:
        items: :class:`Opened`, then pictures in order, then a ``SourceError``.
    """

    def __init__(self, address: Address, config: SourceConfig, *, first_index: int, clock_is_known_wrong: bool) -> None:
        self._address, self._config, self._first_index = address, config, first_index
        # As soon as one picture waits the next one is read: whoever takes them is quick, or wants every single one.
        self.items: Channel[Opened | Shot | SourceError] = Channel(capacity=2, policy="block")
        self._clock = CameraClock(address.name, quiet=clock_is_known_wrong)
        # A stall that ends the connection is not survived by it, so what came before it is known for longer than that.
        self._punctuality = Punctuality(max(_SHORTEST_WINDOW_S, 2 * config.read_timeout_s))
        self._arrivals: dict[int, int] = {}  # of packets, by their timestamps
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reads {address.name}", daemon=True)
        self._thread.start()

    @property
    def clock_is_wrong(self) -> bool:
        """Whether it was told that the camera's clock is wrong."""
        return self._clock.is_wrong

    def give_up(self) -> None:
        """Take no more of it; the thread ends when it comes out of where it is. Safe from any thread."""
        self._given_up.set()
        self.items.cancel()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, at most ``timeout`` seconds."""
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._read()
        except SourceError as error:
            self.items.put(error)
        except Exception as error:  # noqa: BLE001 (a thread's last resort: whoever waits is told, and tries again)
            failed = SourceError(f"{self._address.name}: {type(error).__name__}: {error}")
            failed.__cause__ = error
            self.items.put(failed)
        finally:
            self.items.close()

    def _read(self) -> None:
        connection = Connection(self._address, self._config, first_index=self._first_index)
        try:
            self.items.put(Opened())
            name = connection.container.format.name
            reports = self._config.capture_clock == "auto" and name in RTP_FORMATS
            pacer = Pacer() if name in SEGMENTED_FORMATS else None
            for packet in connection.packets():
                received_ns = time.monotonic_ns()
                if pacer is not None:
                    if self._given_up.wait(pacer.wait_s(packet, received_ns * 1e-9)):
                        return
                    if pacer.is_behind:
                        behind = f"{self._address.name}: segments come late; the stream is joined again at its end"
                        raise SourceError(behind) from Interruption()
                    received_ns = time.monotonic_ns()
                self._note_arrival(packet, received_ns)
                if reports:
                    self._clock.observe(packet)
                for picture in connection.decode(packet):
                    if not self.items.put(self._shot(picture, received_ns, connection)):
                        return
            raise SourceError(f"{self._address.name}: the stream ended; check the camera or server") from Interruption()
        except av.FFmpegError as exc:
            raise source_error(exc, self._address) from exc
        finally:
            connection.close()

    def _note_arrival(self, packet: av.Packet[av.VideoStream], received_ns: int) -> None:
        if packet.pts is None:
            return
        self._arrivals[packet.pts] = received_ns
        while len(self._arrivals) > _MOST_ARRIVALS:
            del self._arrivals[next(iter(self._arrivals))]

    def _shot(self, picture: av.VideoFrame, received_ns: int, connection: Connection) -> Shot:
        time_base = picture.time_base or connection.stream.time_base or 1 / FALLBACK_RATE
        pts_s = None
        if picture.pts is not None:
            pts_s = float(picture.pts * time_base) if connection.is_timed else None
            # A decoder that puts pictures in order gives one when a later one has come: each has its own arrival.
            received_ns = self._arrivals.pop(picture.pts, received_ns)
        late_ns = round(self._punctuality.late_s(pts_s, received_ns * 1e-9) * 1e9)
        punctual_ns = received_ns - late_ns
        camera_ns = self._clock.capture_time_ns(picture.pts, time_base, punctual_ns)
        by_camera = camera_ns is not None
        return Shot(
            picture=picture,
            time_base=time_base,
            pts_s=pts_s,
            time_ns=punctual_ns if camera_ns is None else camera_ns,
            clock="camera-rtcp" if by_camera else "host-monotonic",
            uncertainty_ns=uncertainty_ns(time_base) if by_camera else None,  # how long it was on its way is unknown
            received_ns=received_ns,
            late_ns=late_ns,
            pixel_aspect=connection.pixel_aspect,
            clock_offset_s=self._clock.offset_s,
        )
