"""The parts of the data page, one noun each."""
