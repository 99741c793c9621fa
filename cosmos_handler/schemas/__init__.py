"""What clients say: one pydantic model a body shape, unknown keys refused, no machinery."""
