from __future__ import annotations

import shutil

import pytest
import tensorflow_datasets as tfds

from models.errors import InputError
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.kind import Kind
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.versions import diff
from pipeline.versions.published import Published


class Stub:
    """A published dataset without examples."""

    def __init__(self, kind: Kind):
        self.kind = kind
        self.builder = type("Builder", (), {"info": type("Info", (), {"full_name": f"{kind.name}/tiny/1.0.0"})})


def _published(folder) -> Published:
    return Published(tfds.builder_from_directory(folder))


def test_an_example_with_other_contents_under_its_id_is_changed(copied, tmp_path, tamper):
    kept = shutil.copytree(copied.published / "1.0.0", tmp_path / "kept")
    example_id = tamper(copied, lambda feature: feature["peer_margin"].float_list.value.__setitem__(0, 0.125))
    found = diff.compare(_published(kept), _published(copied.published / "1.0.0"))
    assert found.changed == (example_id,) and found.added == found.dropped == ()
    assert found.unchanged == len(copied.examples()) - 1
    assert f"changed: {example_id}\n" in diff.text(found)


def test_an_example_with_another_id_is_another_one(copied, tmp_path, tamper):
    kept = shutil.copytree(copied.published / "1.0.0", tmp_path / "kept")
    before = set(copied.examples())

    def rename(feature):
        feature["id"].bytes_list.value[0] = b"0" * 32

    tamper(copied, rename)
    found = diff.compare(_published(kept), _published(copied.published / "1.0.0"))
    assert found.added == ("0" * 32,) and {*found.dropped} == before - set(copied.examples())
    assert f"dropped: {found.dropped[0]}\n" in diff.text(found)


def test_datasets_of_different_things_are_not_compared():
    with pytest.raises(InputError, match=r"and 'garbage_images/tiny:1\.0\.0' hold different"):
        diff.compare(Stub(MISTAKES), Stub(GARBAGE))


def test_another_feature_that_was_read_is_another_setting():
    run = {"config": {"run": {"lanes": 1}}, "seeds": "toy:1.0.0", "code_version": "1", "reading": {"image_key": "pic"}}
    settings = diff._settings(run)
    assert settings == {"run.lanes": 1, "seeds": "toy:1.0.0", "code_version": "1", "reading.image_key": "pic"}
