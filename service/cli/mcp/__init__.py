"""A server of the Model Context Protocol, through which an assistant looks at runs, starts them and sends signals.

serve    the command `rungraph mcp`
reading  the tools that only read
writing  the tools that start runs and send signals, served only with --allow-writes
cutting  functions that shorten a large result and note what is missing
"""
