"""Claim the runs that are due, keep and give up their leases, and take over those of dead servers."""
