"""Reason: text about images and videos."""
