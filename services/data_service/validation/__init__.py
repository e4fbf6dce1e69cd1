"""Checks one file and writes its canonical form, in a process of its own: no database, no credentials, no network."""
