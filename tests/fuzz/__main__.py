"""`python -m tests.fuzz`: mutations of everything that linprobe reads, in processes of their own.

A case ends well where it is read, or refused by an error of linprobe. A fault is any other exception, the end of the
process, more than 5 seconds of a processor, or more memory than docs/data.md grants.
"""

from __future__ import annotations

import sys

from .run import main

if __name__ == "__main__":
    sys.exit(main())
