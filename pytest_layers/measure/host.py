"""Where readings come from: `/proc` on Linux, psutil elsewhere. Both have the same functions; psutil's tell less."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

FORCE_PSUTIL = "_PYTEST_LAYERS_PSUTIL"
"""In the environment of this package's own tests: psutil on Linux too."""
EXACT = sys.platform == "linux" and FORCE_PSUTIL not in os.environ
"""Whether the kernel tells peaks, waiting for cores and shared memory, and keeps a tree together."""

if TYPE_CHECKING or EXACT:
    from pytest_layers.measure import procfs as system
else:
    from pytest_layers.measure import portable as system

__all__ = ["EXACT", "FORCE_PSUTIL", "system"]
