"""agent-kernel: agents that do real work inside Jupyter."""
