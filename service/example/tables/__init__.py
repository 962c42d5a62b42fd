"""Store tables as files in the run's folder, and query them with DuckDB."""
