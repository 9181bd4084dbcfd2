"""`python -m tract.cli`."""

from tract.cli.app import main

if __name__ == "__main__":  # not where all modules are imported
    main()
