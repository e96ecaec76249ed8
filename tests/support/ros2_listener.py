"""A node of another process: prints the first message of each topic, as bytes, and how it was offered.

Run by the Python that has rclpy, with arguments ``TOPIC=PACKAGE/TYPE``. A line per topic: the topic, the publisher's
reliability, and the CDR in base64. Ends when all have come, with status 1 if they have not within a minute.
"""

from __future__ import annotations

import base64
import importlib
import sys
import time

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy


def main() -> int:
    rclpy.init()
    node = rclpy.create_node("listener")
    best_effort = "--best-effort" in sys.argv
    wanted = dict(argument.split("=") for argument in sys.argv[1:] if "=" in argument)
    seen: set[str] = set()
    reliability = ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE

    def listen(topic: str, ros_type: str) -> None:
        package, name = ros_type.split("/")

        def note(data: bytes) -> None:
            if topic in seen:
                return
            seen.add(topic)
            offered = node.get_publishers_info_by_topic(topic)[0].qos_profile
            print(topic, offered.reliability.name, base64.b64encode(data).decode(), flush=True)

        kind = getattr(importlib.import_module(f"{package}.msg"), name)
        node.create_subscription(kind, topic, note, QoSProfile(depth=5, reliability=reliability), raw=True)

    for topic, ros_type in wanted.items():
        listen(topic, ros_type)
    until = time.monotonic() + 60
    while len(seen) < len(wanted) and time.monotonic() < until:
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.shutdown()
    return int(len(seen) < len(wanted))


if __name__ == "__main__":
    sys.exit(main())
