"""Message classes made of the official definitions, which ``rosbags`` carries. ROS 2 is not needed.

They take what ``rclpy``'s take quickly, and nothing else (``rosidl_generator_py/resource/_msg.py.em`` of
ros2/rosidl_python).
"""

from __future__ import annotations

import array
import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_HUMBLE)
BOUNDS = {"uint8": (0, 2**8), "uint32": (0, 2**32), "int32": (-(2**31), 2**31)}
TYPECODES = {"uint8": "B", "float64": "d"}


class Message:
    """A message whose fields have defaults, and refuse what rclpy refuses or takes apart value by value."""

    ROS_TYPE: str

    def __init_subclass__(cls) -> None:
        for name, kind, value in STORE.fielddefs[cls.ROS_TYPE][0]:
            setattr(cls, name, bytes([value]) if kind == "byte" else value)

    def __init__(self) -> None:
        for name, kind in STORE.fielddefs[self.ROS_TYPE][1]:
            object.__setattr__(self, name, default(kind))

    def __setattr__(self, name: str, value: Any) -> None:
        fields = dict(STORE.fielddefs[self.ROS_TYPE][1])
        assert name in fields, name
        check(fields[name], value)
        object.__setattr__(self, name, value)


def default(kind: Any) -> Any:
    node, about = kind
    if node == Nodetype.NAME:
        return message_class(about)()
    if node == Nodetype.BASE:
        return {"string": "", "bool": False, "byte": b"\0"}.get(about[0], 0.0 if about[0].startswith("float") else 0)
    (_, inner), size = about
    if node == Nodetype.ARRAY:
        return np.zeros(size, inner[0])
    return array.array(TYPECODES[inner[0]]) if inner[0] in TYPECODES else []


def check(kind: Any, value: Any) -> None:
    node, about = kind
    if node == Nodetype.NAME:
        assert about == value.ROS_TYPE
    elif node == Nodetype.ARRAY:
        ((_, inner), size) = about
        assert isinstance(value, np.ndarray)
        assert (value.dtype, value.shape) == (np.dtype(inner[0]), (size,))
    elif node == Nodetype.SEQUENCE and about[0][1][0] in TYPECODES:
        assert isinstance(value, array.array)
        assert value.typecode == TYPECODES[about[0][1][0]]
    elif node == Nodetype.SEQUENCE:
        assert all(about[0][1] == v.ROS_TYPE for v in value)
    elif about[0] in BOUNDS:
        low, high = BOUNDS[about[0]]
        assert type(value) is int
        assert low <= value < high
    else:
        assert isinstance(value, {"string": str, "bool": bool, "byte": bytes}.get(about[0], float))


@functools.cache
def message_class(ros_type: str) -> type[Message]:
    return type(ros_type.rpartition("/")[2], (Message,), {"ROS_TYPE": ros_type})


def package(name: str) -> SimpleNamespace:
    """What ``import <name>.msg`` gives."""
    prefix = f"{name}/msg/"
    return SimpleNamespace(
        **{t.removeprefix(prefix): message_class(t) for t in STORE.fielddefs if t.startswith(prefix)}
    )


SENSOR_MSGS, GEOMETRY_MSGS, DIAGNOSTIC_MSGS, NAV_MSGS = map(
    package, ("sensor_msgs", "geometry_msgs", "diagnostic_msgs", "nav_msgs")
)


def over_the_wire(message: Message) -> Any:
    """``message`` serialised and read back."""
    return STORE.deserialize_cdr(STORE.serialize_cdr(to_rosbags(message), message.ROS_TYPE), message.ROS_TYPE)


def to_rosbags(value: Any) -> Any:
    if isinstance(value, Message):
        return STORE.types[value.ROS_TYPE](**{k: to_rosbags(v) for k, v in vars(value).items()})
    if isinstance(value, bytes):
        return value[0]
    if isinstance(value, array.array):
        return np.frombuffer(value, value.typecode) if value else np.zeros(0, value.typecode)
    return [to_rosbags(v) for v in value] if isinstance(value, list) else value
