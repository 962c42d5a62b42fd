"""Small notations: paths, tags in filters, JSON Merge Patch, and messages about text that is not JSON."""
