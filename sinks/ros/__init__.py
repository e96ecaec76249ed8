"""ROS 2: messages made of frames, and recordings of them."""
