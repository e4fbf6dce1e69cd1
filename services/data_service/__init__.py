"""Takes files in, checks them, and keeps them as immutable versions of data sets."""
