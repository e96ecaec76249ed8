"""A real RTSP camera for tests: GStreamer's server with a test picture. Run by the system's Python, which has ``gi``.

Usage: ``/usr/bin/python3 tests/support/rtsp_server.py [--play MP4] [--port N] [--digest] [USER PASSWORD]``. Prints its
port, then serves ``rtsp://127.0.0.1:PORT/camera`` until it is killed: Motion JPEG, 320 × 240, 25 frames per second, or
MP4's H.264. Its RTCP sender reports tell the time of this machine. The password is asked for in the clear, or as a
digest.
"""

import argparse

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 (the versions have to be named first)

parser = argparse.ArgumentParser()
parser.add_argument("--play", metavar="MP4")
parser.add_argument("--port", default="0")
parser.add_argument("--digest", action="store_true")
parser.add_argument("credentials", nargs="*", metavar="USER PASSWORD")
arguments = parser.parse_args()
picture = (
    f'filesrc location="{arguments.play}" ! qtdemux ! rtph264pay config-interval=-1'
    if arguments.play
    else "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1"
    " ! jpegenc ! rtpjpegpay"
)

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(arguments.port)

factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( {picture} name=pay0 )")
factory.set_shared(True)
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
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
