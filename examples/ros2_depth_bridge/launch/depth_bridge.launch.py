"""``ros2 launch ros2_depth_bridge depth_bridge.launch.py url:=tcp://192.0.2.7:5555 camera:=front``"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PACKAGE = "ros2_depth_bridge"
OVERRIDES = {
    "url": "where depth is published, instead of what the file of parameters says",
    "camera": "name of the camera there, likewise",
    "link_frame": "frame that a static transform places the optical one in, likewise",
}


def node(context: LaunchContext) -> list[Node]:
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    # A camera may be called 7.
    overrides = {name: ParameterValue(text, value_type=str) for name, text in given.items() if text}
    return [
        Node(
            package=PACKAGE,
            executable="depth_bridge",
            name="depth_bridge",
            namespace=LaunchConfiguration("namespace"),
            output="screen",
            parameters=[LaunchConfiguration("params"), overrides],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    params = Path(get_package_share_directory(PACKAGE)) / "config" / "depth_bridge.yaml"
    return LaunchDescription(
        [
            DeclareLaunchArgument("params", default_value=str(params), description="file of parameters"),
            DeclareLaunchArgument("namespace", default_value="", description="of the node and its topics"),
            *(DeclareLaunchArgument(n, default_value="", description=text) for n, text in OVERRIDES.items()),
            OpaqueFunction(function=node),
        ]
    )
