"""Bytes ↔ frames: references become files of decoded frames, frames become files that are answers."""
