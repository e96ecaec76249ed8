"""For colcon: an ament_python package."""

from setuptools import setup

NAME = "ros2_depth_bridge"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", ["launch/depth_bridge.launch.py"]),
        (f"share/{NAME}/config", ["config/depth_bridge.yaml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="Depth Pro Stream maintainers",
    description="Receives metric depth of Depth Pro Stream over ZeroMQ and publishes it as ROS 2 messages.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"depth_bridge = {NAME}.main:main"]},
)
