"""The tools that graphs may call: declared with `@tool`, loaded from the user's files."""
