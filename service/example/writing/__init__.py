"""Write the output of a run: the cleaned table, the lists of changes and flags, and the rules that the table keeps."""
