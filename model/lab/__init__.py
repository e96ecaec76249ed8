"""The laboratory: scenes to learn from, training, evaluation, the demo. Nothing here is on a frame's way."""
