"""How each family of Cosmos turns a request into an output; one folder a family."""
