"""What a server does beside its runs: it deletes old ones and sends webhooks."""
