"""A workdir that is not on the disk: the whole job in TensorFlow's in-memory file system, which stands for a bucket."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from etils import epath
from etils.epath import backend, gpath, register

from models.errors import InputError
from pipeline import records
from pipeline.seeds import FolderSeeds
from tests.pipeline import nets

DATASET = "high_value_mistakes/tiny"


class _Bucket(type(backend.tf_backend)):  # type: ignore[misc]
    """TensorFlow's file systems; folders can be renamed in memory, too, as they can in gs://."""

    def rename(self, path, dst):
        if not self.isdir(path):
            super().rename(path, dst)
            return
        for folder, _, names in list(self.walk(path)):
            to = dst + folder.rstrip("/").removeprefix(path)
            self.gfile.makedirs(to)
            for name in names:
                self.gfile.rename(f"{folder.rstrip('/')}/{name}", f"{to}/{name}")
        self.gfile.rmtree(path)


@pytest.fixture
def bucket(monkeypatch):
    """A folder ram://bucket, which `epath` takes for one in a bucket."""
    monkeypatch.setattr(gpath, "_URI_PREFIXES", (*gpath._URI_PREFIXES, "ram://"))
    monkeypatch.setattr(gpath, "_URI_SCHEMES", {*gpath._URI_SCHEMES, "ram"})
    monkeypatch.setitem(gpath._URI_MAP_ROOT, "ram://", "/ram/")
    monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, "ram", backend.tf_backend)
    monkeypatch.setitem(register._URI_PREFIXES_TO_CLS, "ram://", gpath.PosixGPath)
    monkeypatch.setattr(backend, "tf_backend", _Bucket())
    folder = epath.Path("ram://bucket")
    folder.mkdir()
    yield folder
    folder.rmtree()


def _tree(folder) -> dict[str, bytes]:
    found = {}
    for path in folder.iterdir():
        if path.is_dir():
            found.update({f"{path.name}/{name}": data for name, data in _tree(path).items()})
        else:
            found[path.name] = path.read_bytes()
    return found


@pytest.fixture
def workdir(bucket, finished):
    """A workdir in the bucket with the trained nets and the seed images, and no run."""
    for local in [*(finished.path / "nets").iterdir(), *(finished.datasets / "digits").rglob("*")]:
        if local.is_file():
            path = bucket / "work" / local.relative_to(finished.path).as_posix()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(local.read_bytes())
    return bucket / "work"


def test_the_whole_job_runs_in_a_bucket_as_on_the_disk(workdir, finished, rechecked, peerpressure, config, tree):
    command = ("run", "--config", config(), "--workdir", workdir, "--run_id", "first")
    assert peerpressure(*command).code == 0
    before = _tree(workdir)
    assert _tree(workdir / "datasets" / DATASET) == tree(finished.published)
    chunks = tree(finished.ledger / "first" / "chunks")
    assert len(chunks) == 6 and _tree(workdir / "ledger" / DATASET / "first" / "chunks") == chunks

    assert "nothing to do" in peerpressure(*command).out and _tree(workdir) == before
    checked = peerpressure("verify", DATASET, "--workdir", workdir)
    assert checked.code == 0 and f"{finished.manifest('first')['examples']} examples checked" in checked.out

    large = next(path for path in (workdir / "nets").iterdir() if path.name.startswith("mlp-12-"))
    again = ("recheck", DATASET, "--workdir", workdir, "--peers", f"mlp-4={large}", "--publish")
    assert peerpressure(*again).code == 0
    assert _tree(workdir / "datasets" / DATASET) == tree(rechecked.published)


def test_a_dataset_that_is_not_in_the_bucket_is_told(bucket, peerpressure):
    outcome = peerpressure("verify", DATASET, "--workdir", bucket)
    assert outcome.code == 2 and f"dataset '{DATASET}' was not found in {bucket}/datasets" in outcome.err


def test_a_bucket_that_refuses_is_told_in_one_sentence(bucket, peerpressure, config, monkeypatch):
    def refuse(*_, **__):
        raise tf.errors.PermissionDeniedError(None, None, "403:\n\tno access")

    monkeypatch.setattr(_Bucket, "makedirs", refuse)
    outcome = peerpressure("run", "--config", config(), "--workdir", bucket / "work")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert f"--workdir {bucket}/work cannot be written to (403: no access)" in outcome.err


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
    assert (
        ours.fingerprint("train") == local.fingerprint("train")
        and ours.notes(["train"])[1:] == (local.notes(["train"])[1:])
    )
    batch = ours.read("train", range(2))
    assert batch.ids == ["train/a/1.png", "train/b/0.png"] and batch.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(batch.images, local.read("train", range(2)).images)
    with pytest.raises(InputError, match=r"image_folder ram://bucket/none does not exist"):
        FolderSeeds(str(bucket / "none")).count("train")
