"""NVIDIA's own checkpoint files: which they are, what is in them, and what their tensors are called elsewhere."""
