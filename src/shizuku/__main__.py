"""`python -m shizuku` is the `shizuku` command."""

from shizuku.cli import main

if __name__ == "__main__":
    main()
