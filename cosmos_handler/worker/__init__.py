"""The process that holds the weights."""
