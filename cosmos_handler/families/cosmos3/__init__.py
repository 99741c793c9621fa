"""Cosmos 3: pictures, videos and answers in words out of one set of weights."""
