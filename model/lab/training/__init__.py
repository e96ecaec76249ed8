"""Training Depth Pro networks on rendered scenes, by the paper's protocol (arXiv 2410.02073, "Training")."""
