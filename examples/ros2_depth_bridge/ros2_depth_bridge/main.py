"""``ros2 run ros2_depth_bridge depth_bridge``. Whatever is missing is told in one line."""

from __future__ import annotations

import sys
from importlib import import_module

_REMEDIES = {
    "numpy": "install it with: sudo apt install python3-numpy",
    "zmq": "install it with: sudo apt install python3-zmq",
    "cv2": "install it with: sudo apt install python3-opencv",
    "depth_subscriber": "the bridge needs a copy of sinks/zeromq/depth_subscriber.py in its folder ros2_depth_bridge",
    "rclpy": "ROS 2 must be sourced first, such as: source /opt/ros/jazzy/setup.bash",
}
_OTHERWISE = "install what package.xml names with: rosdep install --from-paths src --ignore-src -y"


def main() -> None:
    """Run until Ctrl-C."""
    try:
        for name in ("numpy", "zmq", "cv2", "ros2_depth_bridge.client", "rclpy"):
            import_module(name)
        from ros2_depth_bridge.node import run

        run()
    except ImportError as exc:
        # Without a name it is the client's: depth is compressed, and it says what to install.
        remedy = "" if exc.name is None else f"; {_REMEDIES.get(exc.name.partition('.')[0], _OTHERWISE)}"
        sys.exit(f"{exc}{remedy}")


if __name__ == "__main__":
    main()
