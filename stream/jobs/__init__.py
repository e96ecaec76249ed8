"""Conversions of many videos: what they are, where their outputs go, which are done already."""
