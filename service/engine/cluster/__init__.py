"""Tools on a Dask cluster: the server's connection to the scheduler, and what runs on the workers."""
