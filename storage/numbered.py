"""The numbers of files that rise and are each given once, without listing a folder every time.

Snapshots of refs and the manifests of a name are created under the next free number, if it is
absent. So a process that has listed their folder once finds what others add under the numbers that
follow. It looks for several of them, and for those missing shortly before the newest, since
a number can be left out: a damaged file is set aside, a lost one is not given again, and a file
may be created while the folder is listed. If the newest is gone, or many are new, it lists again.

A number stays known after its file is removed, so reading that file then fails. If more than WINDOW
numbers in a row were removed, the numbers after this gap are not found until the folder is listed
again: call `forget` first if a ref says that such a number exists, or before anything is deleted
because it was *not* found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from storage import listing

WINDOW = 8
"""How many numbers after the newest are looked for, and before it if they are not known."""


class Numbered:
    """The files `<prefix>000123.json` of one folder, as one process knows them. Thread-safe."""

    def __init__(
        self,
        names: Callable[[], Iterable[str]],
        present: Callable[[list[str]], set[str]],
        prefix: str = "",
        few: int = 0,
    ) -> None:
        """
        Args:
            names: Lists the files of the folder.
            present: Those of the given names that are files of the folder.
            few: Up to so many files, a listing costs less than looking for single ones.
        """
        self._names, self._present = names, present
        self._prefix, self._few = prefix, few
        self._known: frozenset[int] = frozenset()
        self._lock = Lock()

    def look(self) -> frozenset[int]:
        """All numbers that exist now; also some whose files were removed meanwhile.

        Raises:
            StoreError: the folder cannot be read.
        """
        with self._lock:
            if len(self._known) <= self._few or not self._add_new():
                self._known = frozenset(listing.numbers(self._names(), self._prefix))
            return self._known

    def newest(self) -> int | None:
        """The highest of `look`; None if there is none."""
        return max(self.look(), default=None)

    def forget(self) -> None:
        """List the folder at the next look."""
        with self._lock:
            self._known = frozenset()

    def _add_new(self) -> bool:
        """Add the numbers around the newest that are new; False if only a listing tells."""
        newest = max(self._known)
        while True:
            around = range(max(1, newest - WINDOW), newest + WINDOW + 1)
            names = {self.name(n): n for n in around if n == newest or n not in self._known}
            there = {names[name] for name in self._present(list(names))}
            if newest not in there or len(there) > WINDOW:
                return False
            if len(there) == 1:
                return True
            self._known |= there
            newest = max(there)

    def name(self, number: int) -> str:
        """The file that has a number."""
        return f"{self._prefix}{number:06d}.json"
