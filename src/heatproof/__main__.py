"""`python -m heatproof`, the same as `heatproof`."""

from heatproof.cli import main

main()
