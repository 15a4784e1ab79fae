"""How much an engine spills to disk: the size of the files in its spill folder."""

from __future__ import annotations

from pytest_layers.measure.segments import files_in


class Spill:
    """The spill folder of one case, read now and then: files that come and go in between are not seen."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._base = 0
        self.peak_bytes = 0
        """The largest growth of the folder since `begin`."""

    def begin(self) -> None:
        """Start anew: count growth from now on."""
        self.peak_bytes = 0
        self._base = self._size()

    def read(self) -> None:
        """Read the folder's size once."""
        self.peak_bytes = max(self.peak_bytes, self._size() - self._base)

    def _size(self) -> int:
        return sum(files_in(self._folder).values()) if self._folder else 0
