"""ZeroMQ: the publisher, its messages and its encryption, and the subscriber that a robot copies."""
