"""The RPCs of data.proto by what they are about; `servicer` puts them together."""
