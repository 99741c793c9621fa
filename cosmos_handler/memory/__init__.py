"""Where the weights live, minute by minute."""
