"""Processes that render rows with a model's tokenizer: a warm one for previews, one for counting all rows."""
