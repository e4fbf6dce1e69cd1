"""Keeps base models, trained models, their versions, aliases and lineage."""
