"""Chooses what reads the system: `/proc` on Linux, psutil elsewhere. Both modules have the same functions."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

FORCE_PSUTIL = "_PYTEST_LAYERS_PSUTIL"
"""Set in the environment by this package's own tests: read through psutil on Linux too."""
EXACT = sys.platform == "linux" and FORCE_PSUTIL not in os.environ
"""Whether the kernel tells peaks, waiting for cores and shared memory, and has orphans adopted (Linux)."""

if TYPE_CHECKING or EXACT:
    from pytest_layers.measure import procfs as system
else:
    from pytest_layers.measure import portable as system

__all__ = ["EXACT", "FORCE_PSUTIL", "system"]
