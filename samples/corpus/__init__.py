"""Generators of business Japanese: everything is made up from parts, deterministically from a seed."""
