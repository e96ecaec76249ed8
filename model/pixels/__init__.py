"""What is done to pixels: decoded planes to the network's input, and its prediction to metres."""
