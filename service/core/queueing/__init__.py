"""The queues in which attempts wait for their turn."""
