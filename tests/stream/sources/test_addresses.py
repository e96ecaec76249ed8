"""Sources against what people really type, and the servers that answer."""

from __future__ import annotations

import contextlib
import functools
import http.server
import itertools
import logging
import os
import socket
import stat
import threading
import time
import traceback
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from stream.errors import ConfigError, SourceError
from stream.sources import SourceConfig, open_source
from stream.sources.address import camera_address, file_address, network_address, redact, redact_unknown
from stream.sources.ffmpeg_errors import source_error
from tests.support import media

# What people get wrong ------------------------------------------------------------------------------------------------


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    (tmp_path / "text.txt").write_text("hello\n" * 100)
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "folder").mkdir()
    (tmp_path / "script.mp4").write_text(f"ffconcat version 1.0\nfile {tmp_path}/text.mp4\n")
    (tmp_path / "script.ffconcat").write_text("ffconcat version 1.0\nfile nowhere.mp4\n")
    cases = {
        str(media.write_audio(tmp_path / "tone.wav")): "sound only",
        str(tmp_path / "empty.mp4"): "empty",
        str(tmp_path / "text.mp4"): "not a video",
        str(tmp_path / "text.txt"): "not a video",
        str(tmp_path / "drawing.svg"): "no decoder",
        str(tmp_path / "script.mp4"): "a concat script",
        str(tmp_path / "script.ffconcat"): "a concat script",
        str(tmp_path / "missing.mp4"): "no such file",
        str(tmp_path / "folder"): "neither pictures nor videos",
        "webcam:93": "no such camera",
        "/dev/video93": "no such camera",
        "gopher://host/video": "cannot read gopher://",
        "srt://host/video": "cannot read srt://",
        "rtsp://127.0.0.1:99999/video": "the port is wrong",
        "http://127.0.0.1:port/video": "the port is wrong",
        "~no-such-user/video": "no such file",
        "a" * 5000: "cannot be opened",
        "": "no source given",
        " ": "no source given",
    }
    for uri, message in cases.items():
        with pytest.raises(SourceError) as caught:
            open_source(uri)
        assert message in str(caught.value), uri
        assert "\n" not in str(caught.value)
        assert Path(uri.strip()).name in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (av.error.PermissionError(13, "Permission denied", "x"), "permission denied"),
        (av.error.HTTPUnauthorizedError(1, "Server returned 401", "x"), "user name and password"),
        (av.error.HTTPNotFoundError(1, "Server returned 404", "x"), "404"),
        (av.error.ExitError(1, "Immediate exit requested", "x"), "no data in time"),
        (av.error.OSError(113, "No route to host", "x"), "No route to host"),
    ],
)
def test_ffmpeg_errors_become_advice(error: av.FFmpegError, message: str) -> None:
    address = network_address("rtsp://user:hunter2@host/s", SourceConfig())
    translated = source_error(error, address)
    assert message in str(translated)
    assert "hunter2" not in str(translated) + str(error) + repr(error)


def test_an_unknown_host_is_named_as_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    address = network_address("rtsp://host/s", SourceConfig())
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "host name cannot be found" in str(source_error(av.error.OSError(5, "Input/output error"), address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    assert "Input/output error" in str(source_error(av.error.OSError(5, "Input/output error"), address))


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://user:hunter2@127.0.0.1:{port}/stream",
        "RTSP://user:hunter2@127.0.0.1:{port}/stream",
        "rtsp://hunter2@127.0.0.1:{port}/stream",
        "http://user:hunter2@127.0.0.1:{port}/v.mp4?token=hunter2&channel=3",
        "http://127.0.0.1:{port}/v.mp4?channel=3&API_KEY=hunter2&x=1#password=hunter2",
        "rtmp://127.0.0.1:{port}/live/hunter2",
        "rtsp://127.0.0.1:{port}/user=admin_password=hunter2_channel=1.sdp",
    ],
)
def test_credentials_are_never_shown(uri: str, closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceError) as caught:
        next(iter(open_source(uri.format(port=closed_port), config=SourceConfig(open_timeout_s=2, retries=0))))
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value.__cause__)
    assert caught.value.__cause__ is not None
    assert "hunter2" not in shown
    assert str(closed_port) in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://joe:S3CRET/x",  # the host forgotten
        "rtsp:/joe:S3CRET@h/x",
        "rtsp:joe:S3CRET@h/x",
        "rstp//joe:S3CRET@h/x",
        "joe:S3CRET@h/x",
        "joe:S3CRET@h://x",
        "rtsp:/joe:S3CRET*@h/x",
        "rtsp:/h/password=S3CRET/x",
        "file://joe:S3CRET@h/x",
        "joe:S3CRET" + "z" * 5000 + "@h/x",
    ],
)
def test_credentials_in_mistyped_addresses_are_never_shown(uri: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(uri)
    assert "***" in str(caught.value)
    assert "S3CRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtmp://127.0.0.1:9/live/S3CRET", "rtmp://127.0.0.1:9/live/***"),
        ("RTMPS://host/live/S3CRET?x=1", "RTMPS://host/live/***"),
        ("rtmp://host/live/show/S3CRET", "rtmp://host/live/***"),
        ("rtmp://joe:S3CRET@host/live/S3CRET", "rtmp://***@host/live/***"),
        ("rtmp://host/live", "rtmp://host/live"),
    ],
)
def test_stream_keys_are_never_shown(uri: str, shown: str) -> None:
    assert redact(uri) == redact_unknown(uri) == shown
    assert "S3CRET" not in redact_unknown(f"front={uri}")
    assert "S3CRET" not in repr(network_address(uri, SourceConfig()))


def test_redact_keeps_what_tells_cameras_apart() -> None:
    assert redact("rtsp://u:p@ss@[::1]:554/cam?channel=1&subtype=0") == "rtsp://***@[::1]:554/cam?channel=1&subtype=0"
    assert redact("rtsp://u:pass/word@host/cam") == "rtsp://***@host/cam"
    for password in ("12/S3CRET", "12#S3CRET", "12?S3CRET", "p@ss/S3CRET"):
        assert redact(f"rtsp://joe:{password}@host:9/x") == "rtsp://***@host:9/x"
    assert redact("http://host/a@b.mp4") == "http://host/a@b.mp4"
    assert redact("http://10.0.0.5:8080/a@b.mp4") == "http://10.0.0.5:8080/a@b.mp4"
    assert redact("rtsp://camera:554/cam?channel=1") == "rtsp://camera:554/cam?channel=1"
    assert redact("udp://@:1234") == "udp://***@:1234"
    assert redact("http://h/v?X-Amz-Signature=abc&t=1") == "http://h/v?X-Amz-Signature=***&t=1"
    assert redact("/home/me/token=1.mp4") == "/home/me/token=1.mp4"
    assert "secret" not in repr(network_address("rtsp://u:secret@h/", SourceConfig()))


@pytest.mark.parametrize(
    "uri", ["rtsp://", "http://", "https:///v.mp4", "rtsp://:554/x", "rtmp://?x=1", "rtsps://joe:S3CRET@/x", "udp://"]
)
def test_an_address_without_a_host_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"names no host; write it as in [a-z]+://192") as caught:
        open_source(uri)
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("uri", ["udp://:1234", "udp://@:1234", "rtp://:5004", "tcp://:9?listen", "rtsp://[::1]/x"])
def test_a_port_may_be_enough(uri: str) -> None:
    assert network_address(uri, SourceConfig()).target == uri


def test_config_rejects_nonsense() -> None:
    nonsense = [("open_timeout_s", 0), ("rtsp_transport", "pigeon"), ("capture_clock", "sun"), ("camera_size", (0, 1))]
    nonsense += [("image_rate", rate) for rate in (-1, 0, 1e-9, 1e9, float("nan"))]
    for option, value in nonsense:
        with pytest.raises(ConfigError, match=f"`{option}`"):
            SourceConfig(**{option: value})  # type: ignore[arg-type]


def test_image_rates_are_exact() -> None:
    rates = {25: Fraction(25), 29.97: Fraction(2997, 100), 1 / 3600: Fraction(1, 3600), 1e-5: Fraction(1, 100_000)}
    assert {rate: SourceConfig(image_rate=rate).image_rate_exact for rate in rates} == rates


@pytest.mark.parametrize(
    ("uri", "platform", "target", "format"),
    [
        ("webcam:0", "linux", "/dev/video0", "v4l2"),
        ("webcam:2", "linux", "/dev/video2", "v4l2"),
        ("webcam", "linux", "/dev/video0", "v4l2"),
        ("/dev/video3", "linux", "/dev/video3", "v4l2"),
        ("webcam:1", "darwin", "1:none", "avfoundation"),
        ("webcam:HD Camera", "win32", "video=HD Camera", "dshow"),
    ],
)
def test_cameras_of_each_platform(uri: str, platform: str, target: str, format: str) -> None:
    config = SourceConfig(camera_size=(1280, 720), camera_rate=30)
    address = camera_address(uri, config, platform)
    assert (address.target, address.format, address.live) == (target, format, True)
    assert address.options["video_size"] == "1280x720"
    assert address.options["framerate"] == "30"


def test_local_addresses_survive_ffmpegs_reading_of_names() -> None:
    assert file_address(Path("a:b%d.png")).target == "file:a:b%d.png"


# Network --------------------------------------------------------------------------------------------------------------


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; ``/live.mjpg`` is a camera that hangs up after 20 pictures, ``/silent`` says nothing,
    ``/to/…`` is somewhere else."""

    timeout = 20  # seconds without a word from the reader

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/locked":
            self.send_error(401)
        elif self.path == "/silent":
            with contextlib.suppress(ConnectionResetError):
                self.rfile.read(1)  # until the reader hangs up
        elif self.path == "/live.mjpg":
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
            self.end_headers()
            for n in range(20):
                time.sleep(0.05)
                jpeg = (Path(self.directory) / f"{n}.jpg").read_bytes()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # whoever has only looked is gone
                    self.wfile.write(b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                    self.wfile.write(jpeg + b"\r\n")
        else:
            super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the reader had enough
            super().copyfile(source, outputfile)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(_Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as httpd:
        return int(httpd.server_address[1])


def test_file_over_http_is_a_file(tmp_path: Path, server: str) -> None:
    media.numbered_video(tmp_path / "v.mp4", 20, container_options={"movflags": "faststart"})
    source = open_source(f"{server}/v.mp4?token=hunter2")
    assert (source.info.live, source.info.frame_count) == (False, 20)
    assert source.info.name == f"{server}/v.mp4?token=***"
    assert [media.number(f) for f in source] == list(range(20))
    source.close()


@pytest.mark.parametrize(("name", "codec"), [("v.ts", "libx264"), ("v.h264", "libx264"), ("v.mjpeg", "mjpeg")])
def test_a_file_over_http_without_a_duration_is_a_file(tmp_path: Path, server: str, name: str, codec: str) -> None:
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    media.numbered_video(tmp_path / name, 20, codec=codec, pixel_format=pixel_format)
    source = open_source(f"{server}/{name}")
    assert not source.info.live
    assert [media.number(f) for f in source] == list(range(20))
    source.close()


def test_what_a_length_says_can_be_overruled(tmp_path: Path, server: str) -> None:
    media.numbered_video(tmp_path / "v.ts", 20)
    live = open_source(f"{server}/v.ts", config=SourceConfig(live=True, retries=0))
    assert live.info.live
    live.close()
    for n in range(20):
        Image.fromarray(media.numbered(n)).save(tmp_path / f"{n}.jpg", quality=95)
    file = open_source(f"{server}/live.mjpg", config=SourceConfig(live=False))
    assert not file.info.live
    assert [media.number(f) for f in itertools.islice(file, 19)] == list(range(19))  # each, not the newest
    file.close()


def test_picture_over_http_is_a_file(tmp_path: Path, server: str) -> None:
    media.save_as_camera(tmp_path / "p.jpg", media.oriented())
    source = open_source(f"{server}/p.jpg")
    assert not source.info.live
    assert len(list(source)) == 1
    source.close()


def test_mjpeg_camera_over_http_is_live(tmp_path: Path, server: str) -> None:
    for n in range(20):
        Image.fromarray(media.numbered(n)).save(tmp_path / f"{n}.jpg", quality=95)
    before = time.monotonic_ns()
    source = open_source(f"{server}/live.mjpg", config=SourceConfig(retries=0))
    assert (source.info.live, source.info.frame_count) == (True, None)
    frames = []
    with pytest.raises(SourceError, match=r"\(last good frame: \d+\)"):
        frames.extend(media.kept(f) for f in source)
    source.close()
    numbers = [media.number(f) for f in frames]
    assert numbers == list(range(numbers[0], 20))
    assert 0 < numbers[0] < 12  # what had been waiting when it was opened is old
    assert {f.capture.clock for f in frames} == {"host-monotonic"}
    times = [f.capture.time_ns for f in frames]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.monotonic_ns()


def test_http_errors(server: str) -> None:
    for path, message in (("locked", "401"), ("nowhere.mp4", "404")):
        with pytest.raises(SourceError, match=message):
            open_source(f"{server}/{path}")


@pytest.mark.parametrize("elsewhere", ["file:///v.mp4", "rtsp://127.0.0.1/v", "data:,v"])
def test_a_server_that_redirects_to_no_server_of_its_kind_is_not_waited_for(server: str, elsewhere: str) -> None:
    with pytest.raises(SourceError, match="redirects to an address that is not allowed; only http:// and"):
        open_source(f"{server}/to/{elsewhere}")


def test_redirects_are_followed(tmp_path: Path, server: str) -> None:
    media.numbered_video(tmp_path / "v.mp4", 2)
    assert len(media.read(f"{server}/to/{server}/v.mp4")) == 2


@pytest.mark.parametrize(
    ("uri", "told"), [("http://[fe80::1]/v", False), ("http://[zz]/v", False), ("http://host/v", True)]
)
def test_an_invalid_address_is_no_redirect(uri: str, told: bool) -> None:
    error = av.error.ArgumentError(22, "Invalid argument", uri)
    assert ("redirects" in str(source_error(error, network_address(uri, SourceConfig())))) is told


def test_schemes_ignore_case(tmp_path: Path, server: str) -> None:
    media.numbered_video(tmp_path / "v.mp4", 2)
    assert len(media.read(server.replace("http", "HTTP") + "/v.mp4")) == 2
    assert len(media.read((tmp_path / "v.mp4").as_uri().replace("file", "File"))) == 2


def test_a_camera_that_accepts_and_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as camera:
        uri = f"rtsp://127.0.0.1:{camera.getsockname()[1]}/x"
        with pytest.raises(SourceError, match="no data in time"):
            next(iter(open_source(uri, config=SourceConfig(open_timeout_s=0.2, retries=0))))


def test_a_silent_server_times_out(server: str) -> None:
    start = time.monotonic()
    with pytest.raises(SourceError, match="no data in time"):
        open_source(f"{server}/silent", config=SourceConfig(open_timeout_s=0.3, retries=0))
    assert time.monotonic() - start < 5


def test_a_link_to_a_camera_is_a_camera(tmp_path: Path) -> None:
    device = Path("/dev/video97")
    try:
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(81, 97))
    except (AttributeError, OSError):
        pytest.skip("device files can be made by root on Linux only")
    try:
        (tmp_path / "front").symlink_to(device)
        with pytest.raises(SourceError, match="/dev/video97: ") as caught:
            open_source(str(tmp_path / "front"))
        assert "not a file" not in str(caught.value)
    finally:
        device.unlink()
