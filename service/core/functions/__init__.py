"""Inspect the function of a tool: how to call it, and the type of its state."""
