"""What a run is: what changes its results, and what does not."""

import pytest

from pipeline.config import config_file
from pipeline.kinds import registry
from pipeline.runs import identity, job
from pipeline.seeds.tfds_dataset import TfdsSeeds
from tests.pipeline import nets


@pytest.mark.parametrize("other", [{"image_key": "mask"}, {"label_key": "coarse"}, {"pixels": "uint16"}])
def test_another_feature_or_rule_is_another_result(config, tmp_path, monkeypatch, other):
    opened = job.open_job(config_file.load(str(config()), registry.methods()), str(tmp_path / "own"), None, "cpu")
    usual = identity.identity(opened, nets.group(), None)
    monkeypatch.setattr(TfdsSeeds, "reading", lambda source: {**usual["reading"], **other})
    changed = identity.identity(opened, nets.group(), None)
    assert {key for key in usual if changed[key] != usual[key]} == {"reading", "config_digest"}
