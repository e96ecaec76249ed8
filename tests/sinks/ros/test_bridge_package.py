"""The bridge as a package: what colcon installs, and what its files say."""

from __future__ import annotations

import ast
import dataclasses
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import yaml

from ros2_depth_bridge.parameters import Parameters
from tests.support.process import ROOT

PACKAGE = ROOT / "examples" / "ros2_depth_bridge"
OF_APT = {"zmq": "python3-zmq", "numpy": "python3-numpy", "cv2": "python3-opencv", "tf2_ros": "tf2_ros_py"}


def test_the_file_of_parameters_has_all_of_them_with_their_defaults() -> None:
    text = (PACKAGE / "config" / "depth_bridge.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["/**"]["ros__parameters"] == dataclasses.asdict(Parameters())


def test_package_xml_names_everything_that_is_imported() -> None:
    manifest = ElementTree.parse(PACKAGE / "package.xml").getroot()
    named = {entry.text for entry in manifest.iter("exec_depend")}
    imported: set[str] = set()
    for file in [*(PACKAGE / "ros2_depth_bridge").glob("*.py"), *(PACKAGE / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    imported -= {*sys.stdlib_module_names, "ros2_depth_bridge"}
    assert {OF_APT.get(name, name) for name in imported} == named
    assert manifest.findtext("export/build_type") == "ament_python"
    assert manifest.findtext("name") == PACKAGE.name


def test_what_is_installed_is_what_ros_looks_for(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "out", "./src"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {name.partition(".data/data/")[2] or name for name in archive.namelist()}
        (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert b"depth_bridge = ros2_depth_bridge.main:main" in archive.read(entry_points)
    assert {
        "share/ament_index/resource_index/packages/ros2_depth_bridge",
        "share/ros2_depth_bridge/package.xml",
        "share/ros2_depth_bridge/launch/depth_bridge.launch.py",
        "share/ros2_depth_bridge/config/depth_bridge.yaml",
        "ros2_depth_bridge/node.py",
    } <= files
