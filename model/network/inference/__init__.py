"""The network as it runs: the same function as the trained one, in fewer operations."""
