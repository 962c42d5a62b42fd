"""Choose where a run goes next: evaluate conditions, choose an edge, catch errors, and test another graph's edges."""
