"""The child process that compares two versions: `python -m services.data_service.differences REQUEST`."""
