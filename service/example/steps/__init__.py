"""The tools of the four nodes of the example's graph, one module each."""
