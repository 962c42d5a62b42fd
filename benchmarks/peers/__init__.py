"""The competitors: one command line, `python -P -m peers.NAME WORKLOAD --folder DIR`, and one line of JSON.

A package, run with `-m`, since as scripts their folder would be first on the path and `import dbos` would find them.
"""
