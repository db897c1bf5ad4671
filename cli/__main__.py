"""``python -m tombolo.cli`` is ``tombolo``."""

from tombolo.cli.app import main

if __name__ == "__main__":
    main()
