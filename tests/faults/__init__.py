"""Faults that are injected: a disk that fails syncs and writes, and loses what it has not synced."""
