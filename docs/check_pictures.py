"""Name the pictures of docs/ that need a browser or CIFAR-10 and are not of the present code; exit code 1 if there are.

    python docs/check_pictures.py

The other pictures are drawn anew by the tests, and compared.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "_site"))

from drawings import stale

if __name__ == "__main__":
    lines = stale()
    print("\n".join(lines) or "every picture is of the present code")
    sys.exit(bool(lines))
