"""`python -m tract.cli`."""

from tract.cli.app import main

main()
