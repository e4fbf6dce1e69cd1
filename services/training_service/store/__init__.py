"""What the training service keeps in PostgreSQL: one module for each kind of row."""
