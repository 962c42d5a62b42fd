"""`python -m service` is `rungraph`."""

from service.cli import main

main()
