"""The processes of AIFT: the shared kernel, four services and the embedded supervisor."""
