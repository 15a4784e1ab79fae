"""What an engine writes to disk because memory does not hold it: the size of the files in its spill folder."""

from __future__ import annotations

from pytest_layers.measure.segments import files_in


class Spill:
    """The spill folder of one case, read now and then: what comes and goes in between is not seen."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._base = 0
        self.peak_bytes = 0
        """The most that was there since `begin`, beyond what was there then."""

    def begin(self) -> None:
        """Count from now on."""
        self.peak_bytes = 0
        self._base = self._size()

    def read(self) -> None:
        """Look once."""
        self.peak_bytes = max(self.peak_bytes, self._size() - self._base)

    def _size(self) -> int:
        return sum(files_in(self._folder).values()) if self._folder else 0
