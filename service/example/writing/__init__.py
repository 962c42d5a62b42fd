"""What a run leaves for people: the cleaned table, what was changed and flagged, and the rules that hold now."""
