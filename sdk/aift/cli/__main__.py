"""`python -m aift.cli` is the `aift` command."""

from aift.cli.app import main

if __name__ == "__main__":
    main()
