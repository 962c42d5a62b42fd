"""The tools that graphs may call, declared with `@tool` and loaded from the user's files."""
