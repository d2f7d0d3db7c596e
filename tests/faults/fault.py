"""A fault: a piece of a file replaced by a wrong one, and the tests that have to notice."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One entry `[[fault]]` of a list in this folder.

    Attributes:
      what: what is wrong with the code then, in a few words; unique.
      file: the file, from the root of the project.
      old: a piece of it that stands there exactly once.
      new: what takes its place.
      tests: pytest's arguments: the tests that have to notice.
    """

    what: str
    file: str
    old: str
    new: str
    tests: list[str]

    def put_into(self, tree: pathlib.Path) -> None:
        """Puts the fault into a copy of the project; raises ValueError if its piece does not stand there once."""
        path = tree / self.file
        text = path.read_text() if path.exists() else ""
        if text.count(self.old) != 1:
            raise ValueError(f"'{self.what}': {self.file} holds the piece {text.count(self.old)} times, expected once")
        path.write_text(text.replace(self.old, self.new))


def all_faults() -> list[Fault]:
    """Returns the faults of all lists, by file name and place."""
    lists = sorted(pathlib.Path(__file__).parent.glob("*.toml"))
    return [Fault(**entry) for path in lists for entry in tomllib.loads(path.read_text()).get("fault", [])]
