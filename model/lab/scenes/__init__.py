"""Procedural scenes with exact depth: rooms, streets, squares, tables, rendered by casting rays, decided by a seed.

A scene is built of boxes, ellipsoids, frusta and cards in metres. ``still(seed)`` gives a picture as a camera would
take it and its depth; ``flight(seed, …)`` a camera's way through a scene. World axes are those of a ROS optical frame:
+x right, +y DOWN, +z forward; the ground is y = 0.
"""

from __future__ import annotations

from model.lab.scenes.flights import MOTIONS, Flight, FlightFrame, demo_flight, flight
from model.lab.scenes.generate import (
    HELD_OUT_SEEDS,
    KINDS,
    TRAIN_SEEDS,
    Shot,
    Still,
    finish,
    shot,
    still,
)
from model.lab.scenes.renderer.camera import Camera, rotation
from model.lab.scenes.renderer.render import View, depth, render, render_batch
from model.lab.scenes.renderer.scene import Scene, SceneBuilder
from model.lab.scenes.renderer.sensor import develop

__all__ = [
    "HELD_OUT_SEEDS",
    "KINDS",
    "MOTIONS",
    "TRAIN_SEEDS",
    "Camera",
    "Flight",
    "FlightFrame",
    "Scene",
    "SceneBuilder",
    "Shot",
    "Still",
    "View",
    "demo_flight",
    "depth",
    "develop",
    "finish",
    "flight",
    "render",
    "render_batch",
    "rotation",
    "shot",
    "still",
]
