"""Whether two checkouts give the same depth: one clip through both command lines, every message compared bit by bit.

    python benchmarks/same_depth.py ../before . walk.mp4

Each checkout runs ``run_stream.py`` with nano into an MCAP file, once in each number type; what is compared is the
depth of every frame in metres, its time and its camera. Needs the extra ``mcap``. Exit status 1 if anything differs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

from cyclopts import App
from mcap.reader import make_reader

app = App(name="same_depth.py", help=__doc__)
PRECISIONS = ("fp32", "bf16")


@app.default
def same_depth(before: Path, after: Path, clip: Path, /) -> int:
    """Compare the depth of CLIP by two checkouts.

    Parameters
    ----------
    before, after
        Folders with a run_stream.py each; both run in this Python environment.
    clip
        A video file.
    """
    differ = False
    for precision in PRECISIONS:
        with tempfile.TemporaryDirectory() as folder:
            old, new = (
                record(checkout, clip.resolve(), Path(folder) / f"{name}.mcap", precision)
                for name, checkout in (("before", before), ("after", after))
            )
        different = sum(one != other for one, other in zip_longest(old, new))
        print(f"{precision}: {len(old)} and {len(new)} messages, {different} of them different")
        differ |= different > 0 or not old
    return int(differ)


def record(checkout: Path, clip: Path, target: Path, precision: str) -> list[tuple[str, int, bytes]]:
    """Topic, time and bytes of every message that a checkout makes of a clip."""
    sink = f"{target}?encoding=32FC1&image=none&compress=none"
    command = [sys.executable, "run_stream.py", str(clip), "--model", "nano", "--precision", precision, "--sink", sink]
    subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    with target.open("rb") as file:
        return [
            (channel.topic, message.log_time, message.data) for _, channel, message in make_reader(file).iter_messages()
        ]


if __name__ == "__main__":
    sys.exit(app())
