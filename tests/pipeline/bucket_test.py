"""A workdir in a bucket: the whole job by TensorFlow's own client of gs://, against a made-up storage."""

from __future__ import annotations

import numpy as np
import pytest
from etils import epath

from models.errors import InputError
from pipeline import records
from pipeline.seeds.folder import FolderSeeds
from tests.pipeline import nets, storage
from tests.pipeline.conftest import DATASET


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A made-up storage, which TensorFlow takes for Google's."""
    with (
        storage.serve(tmp_path_factory.mktemp("storage")) as (served, environment),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield served


@pytest.fixture
def bucket(service):
    """An empty bucket."""
    service.empty()
    return epath.Path("gs://bucket")


@pytest.fixture
def workdir(bucket, service, finished):
    """A workdir in the bucket with the trained nets and the seed images, and no run."""
    for local in [*(finished.path / "nets").iterdir(), *(finished.datasets / "digits").rglob("*")]:
        if local.is_file():
            service.put(f"bucket/work/{local.relative_to(finished.path).as_posix()}", local.read_bytes())
    return bucket / "work"


@pytest.mark.slow
def test_the_whole_job_runs_in_a_bucket_as_on_the_disk(
    workdir, service, finished, rechecked, peerpressure, config, tree
):
    command = ("run", "--config", config(), "--workdir", workdir, "--run_id", "first")
    assert peerpressure(*command).code == 0
    before = service.files("bucket/work")
    assert service.files(f"bucket/work/datasets/{DATASET}") == tree(finished.published)
    chunks = tree(finished.ledger / "first" / "chunks")
    assert len(chunks) == 6 and service.files(f"bucket/work/ledger/{DATASET}/first/chunks") == chunks

    assert "nothing to do" in peerpressure(*command).out and service.files("bucket/work") == before
    checked = peerpressure("verify", DATASET, "--workdir", workdir)
    assert checked.code == 0 and f"{finished.manifest('first')['examples']:,} examples checked" in checked.out

    large = next(path for path in (workdir / "nets").iterdir() if path.name.startswith("mlp-12-"))
    again = ("recheck", DATASET, "--workdir", workdir, "--peers", f"mlp-4={large}", "--publish")
    assert peerpressure(*again).code == 0
    assert service.files(f"bucket/work/datasets/{DATASET}") == tree(rechecked.published)


def test_a_dataset_that_is_not_in_the_bucket_is_told(bucket, peerpressure):
    outcome = peerpressure("verify", DATASET, "--workdir", bucket)
    assert outcome.code == 2 and f"dataset '{DATASET}' was not found in {bucket}/datasets" in outcome.err


def test_a_bucket_that_refuses_is_told_in_one_sentence(bucket, service, peerpressure, config):
    service.refuse("^POST")
    outcome = peerpressure("run", "--config", config(), "--workdir", bucket / "work")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert f"--workdir {bucket}/work cannot be written to (" in outcome.err and "no access" in outcome.err


@pytest.mark.parametrize("workdir", ["s3://bucket/work", "memory://work", "file:///work"])
def test_a_kind_of_path_that_cannot_be_reached_is_told(peerpressure, config, workdir):
    for command in (["run", "--config", config()], ["verify", DATASET]):
        outcome = peerpressure(*command, "--workdir", workdir)
        assert outcome.code == 2
        assert outcome.err == (
            f"peerpressure: error: --workdir {workdir} cannot be reached; expected a local folder or "
            "gs://BUCKET/FOLDER.\n"
        )


def test_an_image_folder_in_a_bucket_is_what_it_is_on_the_disk(bucket, tmp_path):
    pictures = dict(zip(("train/b/0.png", "train/a/1.png", "train/a/.hidden.png"), nets.images(3), strict=True))
    for name, image in pictures.items():
        for root in (bucket / "pictures", epath.Path(tmp_path)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(records.encode_png(image))
    ours, local = FolderSeeds(str(bucket / "pictures")), FolderSeeds(str(tmp_path))
    assert ours.fingerprint("train") == local.fingerprint("train")
    assert ours.notes(["train"])[1:] == local.notes(["train"])[1:]
    batch = ours.read("train", range(2))
    assert batch.ids == ["train/a/1.png", "train/b/0.png"] and batch.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(batch.images, local.read("train", range(2)).images)
    with pytest.raises(InputError, match=r"image_folder gs://bucket/none does not exist"):
        FolderSeeds(str(bucket / "none")).count("train")
