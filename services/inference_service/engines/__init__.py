"""Engines: child processes that hold weights and write text. Only modules here import torch."""
