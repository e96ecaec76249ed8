"""Depth live in a browser: a page, and one WebSocket for each viewer, none of whom can hold up the others.

docs/view.md is the contract with those who receive. :mod:`sinks.view.sink` takes frames, :mod:`sinks.view.camera` keeps
the newest one and encodes it, :mod:`sinks.view.viewer` sends it, :mod:`sinks.view.server` is the thread they meet on.
"""
