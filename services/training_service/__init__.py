"""Training jobs: the queue, the worker and the agent that run them, and the trainer."""
