"""What is told before any work: a task whose seed images are not there."""

import pytest

from models.errors import InputError
from pipeline.config import config_file
from pipeline.kinds import registry
from pipeline.runs import job


@pytest.mark.parametrize(
    ("key", "given", "message"),
    [
        ("image_key", "pic", "[seeds] image_key: in digits, there is no feature 'pic'; expected 'image'."),
        ("label_key", "image", "[seeds] label_key: in digits, 'image' is of type Image; expected 'label'."),
    ],
)
def test_a_feature_that_there_is_not_is_told_before_any_work(config, tmp_path, key, given, message):
    path = config(seeds={"dataset": "digits", "splits": ["test"], key: given})
    task = config_file.load(str(path), registry.methods())
    with pytest.raises(InputError) as told:
        job.open_job(task, str(tmp_path / "own"), None, "cpu")
    assert str(told.value) == message
