"""Depth of Depth Pro Stream in ROS 2: received over ZeroMQ, published as ROS messages."""
