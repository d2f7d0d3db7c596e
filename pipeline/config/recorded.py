"""What a run's manifest says of its configuration, read by format number: old datasets outlive the code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from models.errors import InputError
from pipeline import formats
from pipeline.config.config import Peers, Run
from pipeline.config.method import Method, Sections


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A run that made published examples, as its manifest tells of it.

    Attributes:
      manifest: all of it.
      method: that made the examples.
      sections: the method's settings as they were.
      run, peers: [run] and [peers], likewise.
    """

    manifest: Mapping[str, Any]
    method: Method
    sections: Sections
    run: Run
    peers: Peers

    def __getitem__(self, key: str) -> Any:
        """Returns an entry of the manifest."""
        return self.manifest[key]

    @property
    def class_names(self) -> list[str]:
        """The names of the classes; their numbers where they have none."""
        return self.manifest["class_names"] or [str(number) for number in range(self.manifest["num_classes"])]


def recorded(manifest: Mapping[str, Any], methods: Mapping[str, Method]) -> Recorded:
    """Returns the run that a manifest tells of.

    A key that came later has its default, which is what was done before there was the key; a key that is gone is
    passed over.

    Raises:
      InputError: its format is another, or there is no such method here.
    """
    run_id = manifest.get("run_id", "?")
    formats.check(manifest, f"run '{run_id}'", "package it anew in a new workdir")
    config = manifest["config"]
    name = config["search"]["method"]
    if name not in methods:
        raise InputError(f"run '{run_id}' was made by the method '{name}', which is not known here; upgrade it.")
    method = methods[name]
    sections = {section: _settings(method, section, config.get(section, {})) for section in method.sections}
    return Recorded(manifest, method, sections, _keys(Run, config["run"]), _keys(Peers, config["peers"]))


def _settings(method: Method, section: str, keys: Mapping[str, Any]) -> Any:
    choices = {getattr(cls, "name", ""): cls for cls in method.choices(section)}
    return _keys(choices[keys.get("name", next(iter(choices)))], keys)


def _keys(cls: Any, keys: Mapping[str, Any]) -> Any:
    names = {field.name for field in dataclasses.fields(cls)}
    return cls(**{key: _tuples(value) for key, value in keys.items() if key in names})


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
