"""Run the command `ott`: `python scripts/ott --help`."""

import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    # The folder of the package, not the package's own, whose modules have names like others'.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    # Stop on SIGTERM as on Ctrl-C, so that processes end and temporary files are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    from ott.cli import main

    sys.exit(main())
