"""Revisions of the schema `data`."""
