"""benchmarks/zmq_throughput.py from end to end, too short to mean anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.process import ROOT


def test_every_contender_sends_and_the_written_figures_fit(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [sys.executable, "benchmarks/zmq_throughput.py", "--rounds", "1", "--passes", "2", "--seconds", "0.1"]
    only = ["--sizes", "720p", "--encodings", "32FC1", "--json-to", str(result)]
    done = subprocess.run([*command, *only], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "720p 32FC1" in done.stdout
    written = json.loads(result.read_text())
    measured = written["measured"]["720p 32FC1"]
    assert set(measured) == {"ours", "bare pyzmq", "imagezmq PUB/SUB", "imagezmq REQ/REP"}
    assert all(len(of["bursts"]) == 2 and len(of["ages_ms"]) == 6 for of in measured.values())
    assert all(0 < age < 10_000 for of in measured.values() for age in of["ages_ms"])
    rates = {name: [burst["messages_per_s"] for burst in of["bursts"]] for name, of in measured.items()}
    for name, ratios in written["ours_per_message_of"]["720p 32FC1"].items():
        assert ratios == [mine / its for mine, its in zip(rates["ours"], rates[name], strict=True)]
