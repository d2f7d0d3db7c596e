"""Settings: what a key of a configuration's section means, its default and its range, in one place.

A section of a configuration is a frozen dataclass whose fields are made by `setting`. Everything else follows from the
fields: checks, messages, and what of a configuration determines a result. Leaf module, and light: a mistake in a
configuration is told before any library is loaded.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

_KEY = "peerpressure"  # under which a field's metadata hold what `setting` was told


@dataclasses.dataclass(frozen=True)
class About:
    """What there is to know of a key besides its type and default.

    Attributes:
      meaning: in a few words, with the unit.
      low, high: least and largest value, in the key's own unit; None where there is none.
      determines: whether the key can change what a trial gives, not only which trials there are or how work is cut.
    """

    meaning: str
    low: float | None = None
    high: float | None = None
    determines: bool = True

    def range(self) -> tuple[float, float]:
        """Returns the least and the largest value; without bounds where there are none."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high


def setting(
    default: Any, meaning: str, *, low: float | None = None, high: float | None = None, determines: bool = True
) -> Any:
    """Returns the field of a section's dataclass for one key; see `About`."""
    return dataclasses.field(default=default, metadata={_KEY: About(meaning, low, high, determines)})


def about(field: dataclasses.Field[Any]) -> About:
    """Returns what `setting` was told of a field."""
    return field.metadata[_KEY]


def determining(section: Any) -> dict[str, Any]:
    """Returns the keys of a section that determine a result and are not at their defaults, with their values.

    A key at its default adds nothing, so that a key that is new, with a default that changes nothing, leaves every
    digest as it was.
    """
    fields = [field for field in dataclasses.fields(section) if about(field).determines]
    values = {field.name: getattr(section, field.name) for field in fields}
    return {field.name: values[field.name] for field in fields if values[field.name] != field.default}
