"""Tiny checkpoints with random weights, one module a checkpoint layout; `scripts/make_tiny.py` is the command."""
