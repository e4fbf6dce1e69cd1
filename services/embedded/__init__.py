"""One machine, one command: supervises PostgreSQL, the services, a worker and the page."""
