"""Autoregressive: a video token by token, from an image or its first frames."""
