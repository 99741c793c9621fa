"""All that the two processes say to each other: tasks, results, and the messages that carry them."""
