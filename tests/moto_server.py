"""moto's server, which takes every instance type: its own list ends years before g6e."""

import sys

from moto.sagemaker.models import FakeEndpointConfig
from moto.server import main

FakeEndpointConfig.validate_instance_type = lambda self, instance_type: None

if __name__ == "__main__":
    main(sys.argv[1:])
