"""What is wrong with a table, what mends it, and on what evidence."""
