"""What is read from the function of a tool: how it is called, and the type of its state."""
