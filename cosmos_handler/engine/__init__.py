"""Who runs what, when: jobs, the backlog, and the processes that hold the weights."""
