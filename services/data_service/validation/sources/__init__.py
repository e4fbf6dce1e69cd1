"""Rows out of files of each format, as blocks that can be checked."""
