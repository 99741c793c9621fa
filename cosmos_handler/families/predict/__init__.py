"""Predict: text, an image or a clip in, a video out."""
