"""From the graph to compiled code in mid-run: nothing is lost, doubled or reordered, and a failure costs a line."""

from __future__ import annotations

import logging
import threading
import time

import pytest
import torch
from torch import Tensor

from model.engine import Engine, EngineConfig
from model.engine import engine as engine_module
from model.engine.graphs import Network
from stream.pipeline import Pipeline, Stream
from tests.support.doubles import ScriptedSink, ScriptedSource
from tests.support.tiny import make_estimator, tiny_model

SOON = 20.0


class Counted:
    """A network that notes how often it ran."""

    def __init__(self, network: Network) -> None:
        self.runs = 0
        self._network = network

    def __call__(self, x: Tensor, *, with_fov: bool = True) -> tuple[Tensor, Tensor | None]:
        self.runs += 1
        return self._network(x, with_fov=with_fov)


def beside() -> Engine:
    config = EngineConfig(device="cpu", precision="fp32", launch="compile")
    return Engine(tiny_model(), config, compile_beside=True)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    found = Compiler()
    monkeypatch.setattr(engine_module, "choose_launch", lambda _wanted, _device: "compile")
    monkeypatch.setattr(engine_module, "accelerate", found.accelerate)
    return found


class Compiler:
    """Stands for the graphs and the compiler of a GPU: the graph is there at once, compiled code when it is let go."""

    def __init__(self) -> None:
        self.may_finish = threading.Event()
        self.error: Exception | None = None
        self.graph: Counted | None = None
        self.compiled: Counted | None = None

    def accelerate(self, network: Network, launch: str, *_arguments: object, **_options: object) -> Network:
        if launch == "graph":
            self.graph = Counted(network)
            return self.graph
        assert threading.current_thread().name == "compiles"
        assert self.may_finish.wait(SOON)
        if self.error is not None:
            raise self.error
        self.compiled = Counted(network)
        return self.compiled


def test_frames_go_over_to_compiled_code_in_mid_run(compiler: Compiler) -> None:
    def let_go(index: int) -> None:
        if index == 10:
            compiler.may_finish.set()
            deadline = time.monotonic() + SOON
            while compiler.compiled is None and time.monotonic() < deadline:
                time.sleep(0.001)

    sink = ScriptedSink()
    estimator = make_estimator(engine=beside())
    source = ScriptedSource(30, width=lambda _i: 64, hook=let_go)
    Pipeline(Stream(source=source, estimator=estimator, sinks=[sink])).run()
    assert sink.written == list(range(30))
    assert compiler.graph is not None
    assert compiler.compiled is not None
    assert compiler.graph.runs >= 4
    assert compiler.compiled.runs >= 10
    assert compiler.graph.runs + compiler.compiled.runs == 30


def test_a_compiler_that_fails_costs_a_line_and_nothing_else(
    compiler: Compiler, caplog: pytest.LogCaptureFixture
) -> None:
    compiler.error = torch.OutOfMemoryError("no room")
    compiler.may_finish.set()
    sink = ScriptedSink()
    with caplog.at_level(logging.WARNING):
        estimator = make_estimator(engine=beside())
        Pipeline(Stream(source=ScriptedSource(5, width=lambda _i: 64), estimator=estimator, sinks=[sink])).run()
        deadline = time.monotonic() + SOON
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.001)
    assert sink.written == list(range(5))
    (line,) = caplog.messages
    assert line.startswith("compiled code is not ready to be used, going on without: the GPU is out of memory")
