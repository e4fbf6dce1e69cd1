"""The trainer: a job file and a directory in, events and a model out. It knows no gRPC, SQL or object store.

Start reading at `job` (what goes in), `events` (what comes out), `control` (how it is told to stop) and `run`.
"""
