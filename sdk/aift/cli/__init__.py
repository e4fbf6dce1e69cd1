"""The `aift` command: one file a noun, a thin layer over aift.Client."""

from aift.cli.app import main

__all__ = ["main"]
