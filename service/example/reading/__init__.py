"""Read a file with certainty: every line is understood, or the run fails and names the option that would help."""
