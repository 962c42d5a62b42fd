"""Small notations: ids, paths, JSON Pointers, JSON Merge Patch, tags and trace headers; and why a text is not JSON."""
