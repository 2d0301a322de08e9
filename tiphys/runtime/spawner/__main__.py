"""``python -I -S .../tiphys/runtime/spawner SOCKET``: run without site packages, so that it stays small."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tiphys.runtime.spawner.server import main

main()
