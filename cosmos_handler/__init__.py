"""Serves NVIDIA Cosmos models on Amazon SageMaker; the map of this package is its README.md."""

__version__ = "0.1.0"
