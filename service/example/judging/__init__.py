"""Find the errors in a table, and repairs with their evidence."""
