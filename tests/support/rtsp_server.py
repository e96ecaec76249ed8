"""A real RTSP camera for tests: GStreamer's server with a test picture. Run by the system's Python, which has ``gi``.

Usage: ``/usr/bin/python3 tests/support/rtsp_server.py [--play MP4 | --dated] [--size WxH] [--rate N] [--port N]
[--clock-ahead SECONDS] [--digest] [USER PASSWORD]``. Prints its port, then serves ``rtsp://127.0.0.1:PORT/camera``
until it is killed: Motion JPEG, 320 × 240, 25 frames per second, or MP4's H.264. Its RTCP sender reports tell the time
of this machine, or that of a clock so many seconds ahead of it. The password is asked for in the clear, or as a digest.

``--dated`` draws into each picture when it was made, as :mod:`tests.support.dated` reads it.
"""

import argparse
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, GObject, Gst, GstRtsp, GstRtspServer  # noqa: E402 (the versions have to be named first)

parser = argparse.ArgumentParser()
parser.add_argument("--play", metavar="MP4")
parser.add_argument("--dated", action="store_true")
parser.add_argument("--size", default="320x240")
parser.add_argument("--rate", type=int, default=25)
parser.add_argument("--port", default="0")
parser.add_argument("--clock-ahead", type=int)
parser.add_argument("--digest", action="store_true")
parser.add_argument("credentials", nargs="*", metavar="USER PASSWORD")
arguments = parser.parse_args()
width, height = map(int, arguments.size.split("x"))
caps = f"width={width},height={height},framerate={arguments.rate}/1"
if arguments.play:
    picture = f'filesrc location="{arguments.play}" ! qtdemux ! rtph264pay config-interval=-1'
elif arguments.dated:
    picture = (
        f"appsrc name=dated is-live=true do-timestamp=true format=time caps=video/x-raw,format=GRAY8,{caps}"
        " ! videoconvert ! video/x-raw,format=I420 ! jpegenc ! rtpjpegpay"
    )
else:
    picture = f"videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,{caps} ! jpegenc ! rtpjpegpay"


def dated() -> bytes:
    """A grey picture of 8 × 4 fields: the milliseconds since 1970, 32 bits of them, the highest first, white for 1."""
    now = int(time.time() * 1000) & 0xFFFFFFFF
    rows = []
    for row in range(4):
        bits = [now >> (31 - (row * 8 + column)) & 1 for column in range(8)]
        line = bytes(230 if bits[x * 8 // width] else 20 for x in range(width))
        rows += [line] * ((row + 1) * height // 4 - row * height // 4)
    return b"".join(rows)


def show_dates(_factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
    source = media.get_element().get_by_name("dated")

    def push() -> bool:
        """Returns whether to go on: not once nobody watches any more."""
        return source.emit("push-buffer", Gst.Buffer.new_wrapped(dated())) == Gst.FlowReturn.OK

    GLib.timeout_add(1000 // arguments.rate, push)


NTP_IN_1970_S = 2_208_988_800


def shift_clock(_factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
    """Have a clock of its own drive the media, and the sender reports tell that one's time."""
    clock = GObject.new(Gst.SystemClock.__gtype__, clock_type=Gst.ClockType.REALTIME)
    clock.set_calibration(0, (NTP_IN_1970_S + arguments.clock_ahead) * Gst.SECOND, 1, 1)
    media.set_clock(clock)

    def tell_its_time(_pipeline: Gst.Pipeline, element: Gst.Element) -> None:
        if element.find_property("ntp-time-source"):
            element.set_property("ntp-time-source", "clock-time")

    media.get_element().get_parent().connect("element-added", tell_its_time)


Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(arguments.port)

factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( {picture} name=pay0 )")
factory.set_shared(True)
if arguments.dated:
    factory.connect("media-configure", show_dates)
if arguments.clock_ahead is not None:
    factory.connect("media-configure", shift_clock)
if arguments.credentials:
    user, password = arguments.credentials
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if arguments.digest:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.from_string("viewer,media.factory.access=true,media.factory.construct=true")[0]
    )
server.get_mount_points().add_factory("/camera", factory)
# A port that is to be taken again may still be held, by the server before or by somebody's connection in between.
given_up = time.monotonic() + 15
while not server.attach(None):
    if time.monotonic() > given_up:
        sys.exit(f"port {arguments.port} is taken")
    time.sleep(0.05)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
