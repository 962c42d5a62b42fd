"""Work that a server does besides executing runs: deleting runs and sending webhooks."""
