"""Which ticks of a schedule start a run, and what webhooks are: pure."""
