"""The pure core: the meaning of a graph and the rules by which a run advances. No I/O, no clock, no randomness."""
