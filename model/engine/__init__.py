"""How a device runs the network best: number type, launch, streams, memory."""
