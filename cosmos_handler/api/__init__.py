"""HTTP in, HTTP out: each face parses, makes one call to the engine, and renders."""
