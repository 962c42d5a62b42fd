"""Choose the way of a run: evaluate conditions, choose an edge, catch errors, and test another graph's edges."""
