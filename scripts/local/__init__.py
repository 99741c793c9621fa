"""The parts of scripts/local_endpoint.py."""
