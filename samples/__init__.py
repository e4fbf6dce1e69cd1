"""Self-written Japanese samples, and the tiny base model that the demo fine-tunes."""
