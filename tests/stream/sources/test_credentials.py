"""Passwords of cameras: told by a file, the environment or the address, right for any character, and shown nowhere."""

from __future__ import annotations

import base64
import hashlib
import http.server
import logging
import os
import re
import socket
import stat
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from stream.errors import ConfigError, DepthStreamError, SourceError
from stream.sources import SourceConfig, open_source
from stream.sources.address import network_address
from stream.sources.credentials import PASSWORD, USER, find
from tests.support import media

SECRET = "p@ss/w#rd:?%&"
ENCODED = "p%40ss%2Fw%23rd%3A%3F%25&"


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(USER, raising=False)
    monkeypatch.delenv(PASSWORD, raising=False)


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


# In the address ------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("something was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("av.open", refuse)


@pytest.mark.usefixtures("no_look_up")
@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://joe:p@ss/w#rd@camera.test/stream",
        "http://joe:p@ss/w#rd@camera.test:80/video.mjpg",
        "rtsp://joe:12/w#rd@camera.test/stream",
        "rtsp://joe:12?w#rd@camera.test/stream",
        "rtsp://joe:w/rd@camera.test/stream",
        "rtsp://joe:w?rd@camera.test:554/stream",
        "rtsp://joe:w#rd@camera.test/stream",
        "rtsp://j/oe:w@camera.test/stream",
        "rtsp://j@oe:p@ss:1/w#rd@camera.test/stream",
    ],
)
def test_a_raw_password_is_refused_with_what_to_write_instead(uri: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(uri)
    message = str(caught.value)
    assert "@ : / ? # % as %40 %3A %2F %3F %23 %25" in message
    assert "`auth_file`" in message
    assert message.startswith(f"{uri.partition('://')[0]}://***@camera.test")
    assert not re.search(r"\bss\b|w#rd|w/rd|w\?rd|joe", message)


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://joe:p@ss@camera.test/stream",  # FFmpeg takes the last @ before the path
        f"rtsp://joe:{ENCODED}@camera.test/stream",
        "http://camera.test/a@b.mp4",
        "http://10.0.0.5:8080/a@b.mp4",
        "http://camera.test/v?mail=a@b.test",
        "udp://@:1234",
    ],
)
def test_an_address_that_means_one_thing_is_left_as_it_is(uri: str) -> None:
    assert network_address(uri, SourceConfig()).target == uri


def test_an_at_sign_in_a_path_is_clear_once_the_password_stands_elsewhere(tmp_path: Path) -> None:
    config = SourceConfig(auth_file=write(tmp_path / "auth", "joe:pw"))
    assert network_address("http://camera.test:80/a@b", config).target == "http://joe:pw@camera.test:80/a@b"


# In a file or the environment ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "encoded"),
    [
        (f"joe\n{SECRET}\n", f"joe:{ENCODED}"),
        (f"joe:{SECRET}\n", f"joe:{ENCODED}"),
        (f"joe:{SECRET}", f"joe:{ENCODED}"),
        (b"\xef\xbb\xbfjoe\r\np ss\r\n\r\n", "joe:p%20ss"),
        ("joe:\n", "joe:"),
        ("j@oe:pâss", "j%40oe:p%C3%A2ss"),
        (" joe\n p ", "%20joe:%20p%20"),
    ],
)
def test_a_file_tells_user_and_password(tmp_path: Path, content: str | bytes, encoded: str) -> None:
    config = SourceConfig(auth_file=write(tmp_path / "auth", content))
    for scheme in ("rtsp", "rtsps", "http", "https"):
        address = network_address(f"{scheme}://camera.test:80/s", config)
        assert address.target == f"{scheme}://{encoded}@camera.test:80/s"
        assert address.name == f"{scheme}://camera.test:80/s"


def test_the_environment_tells_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER, "joe")
    monkeypatch.setenv(PASSWORD, SECRET)
    address = network_address("rtsp://camera.test/s", SourceConfig())
    assert address.target == f"rtsp://joe:{ENCODED}@camera.test/s"
    assert network_address("udp://camera.test:1234", SourceConfig()).target == "udp://camera.test:1234"
    monkeypatch.setenv(USER, "")
    monkeypatch.setenv(PASSWORD, "")  # as compose files set what is empty
    assert network_address("rtsp://camera.test/s", SourceConfig()).target == "rtsp://camera.test/s"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("joe", "holds no password"),
        ("", "holds no password"),
        (f"joe\n{SECRET}\nmore", "too many lines"),
        (f":{SECRET}", "name is empty"),
        (f"j:oe\n{SECRET}", "colon"),
        (f"joe:{SECRET}\0", "control characters"),
        (b"joe:\xff" + SECRET.encode(), "not UTF-8"),
        (f"joe:{SECRET}" * 1000, "more than 4096 bytes"),
        (f"joe:{SECRET * 10}", "too long"),
    ],
)
def test_a_file_that_makes_no_sense_gets_one_line(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = write(tmp_path / "auth", content)
    with pytest.raises(ConfigError) as caught:
        network_address("rtsp://camera.test/s", SourceConfig(auth_file=path))
    assert says in str(caught.value)
    assert f"`auth_file={path}`" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.skipif(os.name != "posix", reason="access rights of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "auth", "joe:pw", mode)
    with pytest.raises(ConfigError, match=f"other users may read it; run: chmod 600 {path}"):
        network_address("rtsp://camera.test/s", SourceConfig(auth_file=path))
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.name != "posix", reason="access rights of POSIX")
def test_a_credential_of_systemd_may_show_the_mask_of_its_access_list(tmp_path: Path) -> None:
    path = write(tmp_path / "camera", "joe:pw", 0o440)
    found = find("rtsp", path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert found is not None
    assert found.encoded() == "joe:pw"
    with pytest.raises(ConfigError, match="other users"):
        find("rtsp", path, {"CREDENTIALS_DIRECTORY": str(tmp_path / "elsewhere")})


def test_what_is_given_twice_or_by_half_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SourceConfig(auth_file=write(tmp_path / "auth", f"joe:{SECRET}"))
    with pytest.raises(ConfigError, match="in the address and in `auth_file="):
        network_address("rtsp://joe:hush@camera.test/s", config)
    with pytest.raises(ConfigError, match="not for udp://"):
        network_address("udp://camera.test:1234", config)
    with pytest.raises(ConfigError, match=r"`auth_file=.*cannot be read.*No such file"):
        network_address("rtsp://camera.test/s", SourceConfig(auth_file=tmp_path / "missing"))
    monkeypatch.setenv(USER, "joe")
    with pytest.raises(ConfigError, match=f"{USER} is set and {PASSWORD} is not"):
        network_address("rtsp://camera.test/s", SourceConfig())
    monkeypatch.setenv(PASSWORD, SECRET)
    with pytest.raises(ConfigError, match=f"by `auth_file` and by {USER}"):
        network_address("rtsp://camera.test/s", config)
    with pytest.raises(ConfigError, match=f"in the address and in {USER}"):
        network_address("rtsp://joe:hush@camera.test/s", SourceConfig())
    monkeypatch.delenv(USER)
    with pytest.raises(ConfigError, match=f"{PASSWORD} is set and {USER} is not"):
        network_address("rtsp://camera.test/s", SourceConfig())


def test_what_ffmpeg_would_cut_off_is_refused() -> None:
    address = "rtsp://joe:{}@camera.test/s"
    network_address(address.format("x" * 123), SourceConfig())
    with pytest.raises(ConfigError, match="FFmpeg takes 127 bytes"):
        network_address(address.format("x" * 124), SourceConfig())


# Servers that ask for it ---------------------------------------------------------------------------------------------


class _Locked(http.server.BaseHTTPRequestHandler):
    """``/basic`` and ``/digest`` serve one video to joe with SECRET, and refuse everybody else."""

    video: bytes
    challenges = {  # noqa: RUF012 (never changed)
        "/basic": 'Basic realm="cameras"',
        "/digest": 'Digest realm="cameras", nonce="n0nce", qop="auth", algorithm=MD5',
    }

    def do_GET(self) -> None:
        kind, _, told = self.headers.get("Authorization", "").partition(" ")
        right = self.basic(told) if self.path == "/basic" else self.digest(told)
        if kind.lower() != self.path[1:] or not right:
            self.send_response(401)
            self.send_header("WWW-Authenticate", self.challenges[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.video)))
        self.end_headers()
        self.wfile.write(self.video)

    def basic(self, told: str) -> bool:
        return told == base64.b64encode(f"joe:{SECRET}".encode()).decode()

    def digest(self, told: str) -> bool:
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', told))

        def md5(*parts: str) -> str:
            return hashlib.md5(":".join(parts).encode()).hexdigest()

        middle = [fields.get(name, "") for name in ("nonce", "nc", "cnonce", "qop")]
        right = md5(md5("joe", "cameras", SECRET), *middle, md5("GET", self.path))
        return fields.get("username") == "joe" and fields.get("response") == right

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    video = media.numbered_video(tmp_path / "v.mp4", 3, container_options={"movflags": "faststart"})
    handler = type("Handler", (_Locked,), {"video": video.read_bytes()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["basic", "digest"])
def test_a_server_is_told_the_password_however_it_asks(
    locked: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = SourceConfig(auth_file=write(tmp_path / "auth", f"joe\n{SECRET}\n"))
    source = open_source(f"{locked}/{kind}", config=config)
    assert [media.number(f) for f in source] == [0, 1, 2]
    source.close()
    assert source.info.name == f"{locked}/{kind}"
    wrong = SourceConfig(auth_file=write(tmp_path / "auth", f"joe\n{SECRET}x\n"))
    with pytest.raises(DepthStreamError, match="user name and password") as caught:
        open_source(f"{locked}/{kind}", config=wrong)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value.__cause__) + repr(wrong)
    for secret in (SECRET, ENCODED, "joe"):
        assert secret not in shown
