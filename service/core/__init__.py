"""The pure core: what a graph means and how a run moves. No I/O, no clock, no chance."""
