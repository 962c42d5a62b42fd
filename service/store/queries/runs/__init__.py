"""Queries on runs: lists by filter, and what there is to read of one run."""
