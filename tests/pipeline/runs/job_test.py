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


def test_the_digits_are_made_in_the_workdir_whatever_the_data_dir(config, tmp_path):
    path = config(seeds={"dataset": "digits", "splits": ["test"]})
    task = config_file.load(str(path), registry.methods())
    opened = job.open_job(task, str(tmp_path / "own"), str(tmp_path / "elsewhere"), "cpu")
    assert opened.source.count("test") > 0 and not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "own" / "datasets" / "digits").is_dir()
