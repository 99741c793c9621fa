"""Which files make a model, and where they lie."""
