"""Shared kernel of the services. It knows no word of their domains."""
