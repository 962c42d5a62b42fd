"""Pure functions for schedules and webhooks: which ticks start a run, and how a delivery is signed."""
