"""Who is let in: right, wrong, missing and revoked keys, and connections that speak no ZeroMQ at all."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zmq

from sinks.zeromq.curve import AllowList, load_public, load_secret, make_keys
from sinks.zeromq.depth_subscriber import DepthSubscriber, DepthTimeout, Keys
from sinks.zeromq.keygen import main
from sinks.zeromq.sink import ZmqOptions, ZmqSink
from stream.errors import ConfigError, SinkError
from tests.support.doubles import make_depth_frame


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Keys of a server, of two robots that it lets in, and of a stranger."""
    for name in ("server", "robot", "other", "stranger"):
        make_keys(tmp_path, name)
    (tmp_path / "clients").mkdir()
    for name in ("robot", "other"):
        shutil.copy(tmp_path / f"{name}.key", tmp_path / "clients")
    return tmp_path


@pytest.fixture
def sink(keys: Path) -> Iterator[ZmqSink]:
    options = ZmqOptions(curve=str(keys / "server.key_secret"), clients=str(keys / "clients"))
    publisher = ZmqSink("tcp://127.0.0.1:*", options)
    yield publisher
    publisher.close()


def subscriber(sink: ZmqSink, keys: Path, name: str, server: str = "server") -> DepthSubscriber:
    pair = Keys(secret=keys / f"{name}.key_secret", server=keys / f"{server}.key")
    return DepthSubscriber(sink.endpoint, keys=pair)


def receives(sink: ZmqSink, depths: DepthSubscriber, seconds: float) -> str:
    """``frame`` as soon as one comes, else why none did."""
    until = time.monotonic() + seconds
    reason = ""
    while time.monotonic() < until:
        sink.write(make_depth_frame())
        try:
            depths.latest(0.1)
        except DepthTimeout as exc:
            reason = str(exc)
        else:
            return "frame"
    return reason


def test_the_right_key_receives_and_others_get_nothing(
    sink: ZmqSink, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        subscriber(sink, keys, "robot") as right,
        subscriber(sink, keys, "stranger") as wrong,
        subscriber(sink, keys, "robot", server="other") as misled,
        DepthSubscriber(sink.endpoint) as plain,
        caplog.at_level(logging.WARNING, "sinks"),
    ):
        assert receives(sink, right, 10) == "frame"
        assert "the publisher refuses this key" in receives(sink, wrong, 1.5)
        for depths in (misled, plain):
            assert re.search("no common language|may want encryption", receives(sink, depths, 1.5))
        assert receives(sink, right, 5) == "frame"
        time.sleep(1.2)
        receives(sink, right, 5)
        assert right.status is not None
        assert right.status["refused"] >= 3
    messages = [record.getMessage() for record in caplog.records]
    assert sum("was refused" in m for m in messages) == 1  # not one for every attempt
    assert sum("speak CURVE with this" in m for m in messages) == 1


def test_a_revoked_key_is_cut_off_and_a_new_one_let_in(sink: ZmqSink, keys: Path) -> None:
    with subscriber(sink, keys, "robot") as robot, subscriber(sink, keys, "other") as other:
        assert receives(sink, robot, 10) == "frame"
        assert receives(sink, other, 10) == "frame"
        (keys / "clients" / "other.key").unlink()
        time.sleep(2.5)  # the folder is read every second
        assert receives(sink, robot, 10) == "frame"
        while True:  # what had arrived before
            try:
                other.receive(0.05)
            except DepthTimeout:
                break
        assert "it was taken off the allow-list" in receives(sink, other, 2)
        with subscriber(sink, keys, "stranger") as stranger:
            shutil.copy(keys / "stranger.key", keys / "clients")
            assert receives(sink, stranger, 10) == "frame"


def test_a_revoked_key_is_not_taken_for_silence(sink: ZmqSink, keys: Path) -> None:
    """From the first refusal on, although the last status said a moment ago that all is well."""
    with subscriber(sink, keys, "other") as other, subscriber(sink, keys, "stranger") as never:
        assert receives(sink, other, 10) == "frame"
        until = time.monotonic() + 10
        while other.status is None:
            assert time.monotonic() < until
            receives(sink, other, 1)
        (keys / "clients" / "other.key").unlink()
        reasons: list[str] = []
        while not reasons or "the connection was lost" in reasons[-1]:
            assert time.monotonic() < until
            if (reason := receives(sink, other, 0.3)) != "frame":
                reasons.append(reason)
        assert "let this key in before and refuses it now: it was taken off the allow-list" in reasons[-1]
        assert "the publisher refuses this key; have its .key file put on the allow-list" in receives(sink, never, 2)


def test_an_encrypting_publisher_can_connect_to_a_bound_subscriber(keys: Path) -> None:
    public, secret = load_secret(keys / "robot.key_secret")
    with zmq.Context() as context, context.socket(zmq.SUB) as bound:
        bound.linger = 0
        bound.curve_server = True
        bound.curve_publickey, bound.curve_secretkey = public, secret
        bound.subscribe(b"depth/")
        port = bound.bind_to_random_port("tcp://127.0.0.1")
        options = ZmqOptions(connect=True, curve=str(keys / "server.key_secret"), server=str(keys / "robot.key"))
        sink = ZmqSink(f"tcp://127.0.0.1:{port}", options)
        for _ in range(100):
            sink.write(make_depth_frame())
            if bound.poll(50):
                break
        assert bound.recv_multipart()[0] == b"depth/camera/"
        sink.close()


# Keys -----------------------------------------------------------------------------------------------------------------


def test_keygen_writes_secrets_for_their_owner_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "keys"), "server", "robot"]) == 0
    for name in ("server", "robot"):
        public, secret = tmp_path / "keys" / f"{name}.key", tmp_path / "keys" / f"{name}.key_secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert load_public(public) == load_secret(secret)[0]
        assert load_secret(secret)[1].decode() not in public.read_text()
        assert str(secret) in capsys.readouterr().out or name == "robot"
    before = secret.read_bytes()
    assert main([str(tmp_path / "keys"), "robot"]) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    assert secret.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 65])
def test_names_that_are_no_file_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name of a key"):
        make_keys(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot write keys"):
        make_keys(tmp_path / "file" / "keys", "robot")


def test_files_that_are_no_keys(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match="holds no secret key"):
        load_secret(keys / "robot.key")
    (keys / "broken.key").write_text('curve\n    public-key = "short"\n')
    with pytest.raises(ConfigError, match="40 characters"):
        load_public(keys / "broken.key")
    (keys / "binary.key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no ZeroMQ certificate"):
        load_public(keys / "binary.key")
    with pytest.raises(ConfigError, match="is no folder"):
        AllowList(keys / "nowhere")
    robot, other = (load_public(keys / f"{name}.key").decode() for name in ("robot", "other"))
    mixed = (keys / "robot.key_secret").read_text().replace(robot, other)
    (keys / "mixed.key_secret").write_text(mixed)
    with pytest.raises(ConfigError, match="do not belong together"):
        load_secret(keys / "mixed.key_secret")
    (keys / "robot.key_secret").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load_secret(keys / "robot.key_secret")
        (keys / "empty").mkdir()
        AllowList(keys / "empty")
        shutil.copy(keys / "server.key_secret", keys / "empty" / "server.key")
        AllowList(keys / "empty")
    assert "chmod 600" in caplog.text
    assert "nobody is let in" in caplog.text
    assert "belongs to its owner alone" in caplog.text


@pytest.mark.parametrize(
    ("secret", "server", "message"),
    [
        ("robot.key", "server.key", "holds no secret key"),
        ("robot.key_secret", "server.key_secret", "the publisher's secret, which it must keep"),
        ("broken", "server.key", "is no ZeroMQ certificate"),
        ("missing", "server.key", "No such file"),
        ("short", "server.key", "40 characters"),
    ],
)
def test_a_subscriber_with_the_wrong_files_says_which(keys: Path, secret: str, server: str, message: str) -> None:
    (keys / "broken").write_text("nothing")
    (keys / "short").write_text('public-key = "x"\nsecret-key = "y"\n')
    with pytest.raises((ValueError, OSError), match=message):
        DepthSubscriber("tcp://127.0.0.1:9", keys=Keys(secret=keys / secret, server=keys / server))


def test_a_half_copied_key_is_not_let_in_and_harms_nobody(keys: Path) -> None:
    clients = AllowList(keys / "clients")
    (keys / "clients" / "new.key").write_text("curve\n")
    assert clients.refresh() is False
    assert clients.callback("depth", load_public(keys / "robot.key"))
    assert not clients.callback("depth", load_public(keys / "stranger.key"))
    assert clients.refused == 1
    (keys / "clients" / "robot.key").write_text("curve\n")
    assert clients.refresh() is True
    assert not clients.callback("depth", load_public(keys / "robot.key"))


# Hostile input --------------------------------------------------------------------------------------------------------

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"


def hostile_bytes(rng: np.random.Generator) -> bytes:
    """Noise, half a greeting, or a proper start with nonsense behind it."""
    noise = rng.integers(0, 256, rng.integers(1, 3000), dtype=np.uint8).tobytes()
    start = (b"", GREETING[: rng.integers(1, 64)], GREETING, GREETING + READY, GREETING + READY + b"\x00\x01\x01")
    return start[rng.integers(len(start))] + noise


@pytest.mark.parametrize("encrypted", [False, True])
def test_hostile_input_neither_crashes_nor_silences_the_publisher(keys: Path, encrypted: bool) -> None:
    options = ZmqOptions()
    if encrypted:
        options = ZmqOptions(curve=str(keys / "server.key_secret"), clients=str(keys / "clients"))
    sink = ZmqSink("tcp://127.0.0.1:*", options)
    host, port = sink.endpoint.removeprefix("tcp://").split(":")
    rng = np.random.default_rng(5)
    pair = Keys(secret=keys / "robot.key_secret", server=keys / "server.key") if encrypted else None
    with DepthSubscriber(sink.endpoint, keys=pair) as depths:
        assert receives(sink, depths, 10) == "frame"
        for _ in range(150):
            # An error is right: it was hung up on.
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=5) as attacker:
                attacker.sendall(hostile_bytes(rng))
            sink.write(make_depth_frame())
        # A topic so long that keeping it, letter by letter, would exhaust the stack.
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=5) as endless:
            endless.sendall(GREETING + READY + b"\x02" + (1_000_001).to_bytes(8, "big") + b"\x01" + bytes(1_000_000))
            assert endless.recv(100_000) is not None
        assert receives(sink, depths, 10) == "frame"
    sink.close()
