"""May this go in, may this come out."""
