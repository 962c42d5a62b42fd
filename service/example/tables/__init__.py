"""Tables as files of the run, and DuckDB over them."""
