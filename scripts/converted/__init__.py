"""What the conversions of checkpoints have in common."""
