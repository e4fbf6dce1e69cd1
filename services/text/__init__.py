"""Rows, templates and supervision: one code path for preview, training and serving. Never imports torch."""
