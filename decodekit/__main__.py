"""``python -m decodekit`` is the command ``decodekit``."""

from decodekit.cli import main

if __name__ == "__main__":
    main()
