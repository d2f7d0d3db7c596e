"""What the nets of a run learn from, and under which key they are kept; nothing is trained."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
from etils import epath

from models import loading, training
from models.errors import InputError
from models.examples import Held
from models.recipe import Training
from pipeline.config import config
from pipeline.config.method import Method
from pipeline.config.recorded import Recorded
from pipeline.runs import nets
from pipeline.seeds.source import Part, SeedBatch
from pipeline.workdir.ledger import Workdir
from tests.models import nets as small
from tests.pipeline.nets import SHAPE, images

load = loading.load
SIZES = {"train": 20, "test": 6}
HOW = Training(epochs=1)
METHOD = Method("none", {}, lambda sections: None)


class Source:
    """Seed images in memory; their labels are their positions."""

    name = "made_up:1.0.0"
    features = {"image_key": "image", "label_key": "label"}

    def __init__(self, content: str = "", suffix: str = "", size: tuple[int, int, int] = SHAPE, bad: int = 0) -> None:
        self.content, self.suffix, self.size, self.bad = content, suffix, size, bad
        self.read_parts: Part = []

    def count(self, split: str) -> int:
        if split not in SIZES:
            raise InputError(f"no split {split}")
        return SIZES[split]

    def part(self, name: str) -> Part:
        return {
            "train": [("train", range(20))],
            "train[:50%]": [("train", range(10))],
            "train[50%:]": [("train", range(10, 20))],
            "train[:10]+test": [("train", range(10)), ("test", range(6))],
            "test": [("test", range(6))],
        }[name]

    def shape(self) -> tuple[int, int, int]:
        return self.size

    def fingerprint(self, split: str) -> str:
        return f"{split} {self.content}"

    def reading(self) -> dict[str, str]:
        return dict(self.features)

    def class_names(self) -> list[str]:
        return [f"{number}{self.suffix}" for number in range(max(SIZES.values()))]

    def read(self, split: str, positions: range) -> SeedBatch:
        self.read_parts.append((split, positions))
        whole = images(sum(SIZES.values()))[0 if split == "train" else SIZES["train"] :]
        rows = list(positions)[self.bad :]
        failures = [(f"{row}", "broken") for row in positions[: self.bad]]
        return SeedBatch(split, rows, [f"{row}" for row in rows], whole[rows], np.array(rows, np.int32), failures)


def _task(peers: config.Peers, **sections: Any) -> config.Config:
    given = {"seeds": config.Seeds("made_up", splits=("test",)), "peers": peers, "training": HOW} | sections
    common = {name: section() for name, section in config.COMMON.items()} | given
    return config.Config("tiny", METHOD, **common, sections={})


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Prepares a task's nets and returns their files, what each learned from, and the source."""

    def call(
        peers: dict[str, Any], source: Source | None = None, **sections: Any
    ) -> tuple[nets.NetFiles, dict[str, Any], Source]:
        learned: dict[str, Any] = {}

        def remember(path: epath.Path, trained: Any) -> None:
            path.write_text("a net")
            learned[path.name] = trained()

        monkeypatch.setattr(training, "cached", remember)
        monkeypatch.setattr(training, "train", lambda *arguments: arguments[3])
        (tmp_path / "nets").mkdir(exist_ok=True)
        task = _task(config.Peers(**peers), **sections)
        source = source or Source()
        files = nets.prepare(task, Workdir(epath.Path(tmp_path)), source, "cpu", lambda *_: None)
        return files, learned, source

    return call


def _names(files: nets.NetFiles) -> list[str]:
    return [pathlib.Path(net.path).name for net in files.peers]


def test_without_parts_all_learn_from_the_whole_of_train(prepare):
    files, learned, source = prepare({"architectures": ("mlp-3", "mlp-4")})
    assert [name[:6] for name in _names(files)] == ["mlp-3-", "mlp-4-"]
    assert [held.labels.tolist() for held in learned.values()] == [list(range(20))] * 2
    assert source.read_parts == [("train", range(20))], "read once for both"


@pytest.mark.parametrize("key", ["image_key", "label_key"])
def test_nets_that_learned_from_another_feature_of_the_dataset_are_other_nets(prepare, monkeypatch, key):
    usual, _, _ = prepare({"architectures": ("mlp-3", "mlp-4")})
    monkeypatch.setattr(Source, "features", {**Source.features, key: "another"})
    others, learned, _ = prepare({"architectures": ("mlp-3", "mlp-4")})
    assert not set(_names(usual)) & set(_names(others)) and len(learned) == 2


def test_a_whole_split_that_is_named_is_what_nets_learn_from_anyway(prepare):
    plain, _, _ = prepare({"architectures": ("mlp-3", "mlp-4")})
    named, learned, _ = prepare({"architectures": ("mlp-3", "mlp-4"), "trained_on": ("train", "train")})
    assert _names(named) == _names(plain) and not learned


def test_nets_of_one_architecture_learn_each_from_its_part(prepare):
    parts = ("train[:50%]", "train[50%:]", "train[:10]+test")
    files, learned, source = prepare({"architectures": ("mlp-3",) * 3, "trained_on": parts})
    assert [net.name for net in files.peers] == ["mlp-3", "mlp-3.2", "mlp-3.3"]
    expected = [source.part(part) for part in parts]
    for name, part in zip(_names(files), expected, strict=True):
        held = learned[name]
        assert held.labels.tolist() == [row for _, rows in part for row in rows]
        np.testing.assert_array_equal(held.images, np.concatenate([source.read(*piece).images for piece in part]))


@pytest.fixture
def saved(tmp_path):
    """Three files: two nets, and the first of them once more."""
    paths = [tmp_path / f"{name}.keras" for name in ("a", "b", "again")]
    for path, init_seed in zip(paths, (1, 2, 1), strict=True):
        small.seeded("mlp-4", init_seed).save(path)
    return [str(path) for path in paths]


def test_a_net_that_is_there_twice_is_told(saved):
    files = nets.NetFiles(
        tuple(nets.NetFile(str(place), path) for place, path in enumerate(saved)), None, small.SHAPE, 0
    )
    with pytest.raises(InputError, match=r"nets '0' and '2' \(.*again\.keras\) are the same, weight for weight"):
        files.load()
    group, _ = dataclasses.replace(files, peers=files.peers[:2]).load()
    assert group.names == ("0", "1")


def test_a_net_of_many_runs_is_loaded_once(saved, tmp_path, monkeypatch):
    loads = []
    monkeypatch.setattr(loading, "load", lambda path, **given: loads.append(path) or load(path, **given))
    digests = [load(path).digest for path in saved]
    known = [{"name": name, "digest": digest} for name, digest in zip("xy", digests, strict=False)]
    runs = [
        Recorded(
            {"run_id": run_id, "image_shape": small.SHAPE, "nets": known}, METHOD, {}, config.Run(), config.Peers()
        )
        for run_id in ("first", "second")
    ]
    finder = nets.Finder(Workdir(epath.Path(tmp_path)), "dataset/task", saved)
    first, second = (finder.group(run) for run in runs)
    assert first is second and first.names == ("x", "y") and loads == saved[:2]
    with pytest.raises(InputError, match=r"net 'z' of run 'first' \(digest 0{12}\) was not found"):
        finder.nets([{"name": "z", "digest": "0" * 64}], runs[0])


def test_another_part_is_another_key(prepare):
    parts = ("train", "train[:50%]", "train[50%:]", "train[:10]+test")
    files = [prepare({"architectures": ("mlp-3", "mlp-4"), "trained_on": (part, "train")})[0] for part in parts]
    assert len({_names(file)[0] for file in files}) == 4 and len({_names(file)[1] for file in files}) == 1


def test_other_images_classes_or_sizes_of_the_same_name_are_another_key(prepare):
    peers = {"architectures": ("mlp-3", "mlp-4")}
    sources = [Source(), Source(content="replaced"), Source(suffix=" renamed"), Source(size=(9, 8, 1))]
    names = [_names(prepare(peers, source)[0]) for source in sources]
    assert len({name for both in names for name in both}) == 8
    assert _names(prepare(peers)[0]) == names[0]


def test_more_unusable_images_than_may_be_set_aside_train_no_net(prepare):
    peers = {"architectures": ("mlp-3", "mlp-4")}
    with pytest.raises(InputError, match=r"2 of 20 training images of made_up:1\.0\.0 cannot be used, .*broken \(2, "):
        prepare(peers, Source(bad=2))
    _, learned, _ = prepare(peers, Source(bad=1))
    assert [len(held.labels) for held in learned.values()] == [19, 19]


def test_a_net_whose_training_diverges_is_named_and_not_kept(tmp_path):
    how = Training(epochs=20, batch_size=2, learning_rate=1e38, optimizer="sgd", momentum=0.9)
    task = _task(config.Peers(("mlp-3", "mlp-4")), training=how)
    work = Workdir(epath.Path(tmp_path))
    with pytest.raises(InputError, match=r"^Net 'mlp-3': The training diverged in epoch \d+: .*; lower learning_rate"):
        nets.prepare(task, work, Source(), "cpu", lambda *_: None)
    assert list(tmp_path.rglob("*.keras")) == []


def test_what_nets_learn_from_is_known_before_they_do():
    def learned(peers: dict[str, Any], judge: str = "") -> tuple[str, ...]:
        return nets.learned_splits(_task(config.Peers(**peers), judge=config.Judge(judge)), Source())

    trained, files = {"architectures": ("mlp-3", "mlp-4")}, {"files": ("a.keras",)}
    assert learned(files) == () and learned(trained) == ("train",)
    assert learned(files, "cnn") == ("train",)
    parts = {**trained, "trained_on": ("train[:10]+test", "train[:50%]")}
    assert learned(parts) == ("train", "test")
    assert learned({**trained, "trained_on": ("test",) * 2}, "cnn") == ("test", "train")


def test_the_judge_learns_from_the_whole(prepare):
    _, learned, _ = prepare(
        {"architectures": ("mlp-3", "mlp-4"), "trained_on": ("train[:50%]", "train[50%:]")},
        judge=config.Judge(architecture="cnn"),
    )
    assert [len(held.labels) for held in learned.values()] == [10, 10, 20]


@pytest.fixture
def little_memory(monkeypatch):
    """Lets a process hold ten images to learn from."""
    monkeypatch.setattr(nets.memory, "learned_images", lambda run, shape: 10)


def test_more_images_than_fit_are_read_as_they_are_learned_from(prepare, little_memory):
    parts = ("train[:50%]", "train", "train[:10]+test")
    _, learned, source = prepare({"architectures": ("mlp-3",) * 3, "trained_on": parts})
    held, streamed, of_two = learned.values()
    assert isinstance(held, Held) and held.count == 10
    assert (streamed.count, streamed.shape, streamed.held) == (20, SHAPE, 10) and of_two.count == 16
    assert source.read_parts == [("train", range(10))], "nothing but what fits is read at once"
    places, shown, labels = of_two.read(8, 13)
    assert places.tolist() == [8, 9, 10, 11, 12] and labels.tolist() == [8, 9, 0, 1, 2]
    np.testing.assert_array_equal(shown, images(26)[[8, 9, 20, 21, 22]])


def test_places_are_of_the_part_and_not_of_the_split(prepare, little_memory, monkeypatch):
    monkeypatch.setattr(Source, "part", lambda self, name: [("train", range(4, 20, 2)), ("test", range(1, 6))])
    task = {"architectures": ("mlp-3", "mlp-4"), "trained_on": ("odd", "odd")}
    _, learned, _ = prepare(task, Source(bad=1), run=config.Run(max_set_aside=1.0))
    places, _, labels = next(iter(learned.values())).read(6, 12)
    assert labels.tolist() == [18, 2, 3, 4] and places.tolist() == [7, 9, 10, 11]


def test_nets_that_streamed_are_other_nets_than_those_that_held_all_or_held_more(prepare, monkeypatch):
    peers = {"architectures": ("mlp-3", "mlp-4")}

    def names(held):
        monkeypatch.setattr(nets.memory, "learned_images", lambda run, shape: held)
        return tuple(_names(prepare(peers)[0]))

    assert len({names(10), names(11), names(20)}) == 3
    assert names(20) == names(1000), "what fits is learned from as ever"


def test_too_many_unusable_images_end_the_training_of_what_streams(prepare, little_memory):
    _, learned, _ = prepare({"architectures": ("mlp-3", "mlp-4")}, Source(bad=1))
    streamed = next(iter(learned.values()))
    assert streamed.read(0, 5).places.tolist() == [1, 2, 3, 4]
    with pytest.raises(InputError, match=r"2 of 20 training images of made_up:1\.0\.0 cannot be used, .*broken \(2, "):
        streamed.read(5, 10)


def test_a_label_that_is_no_class_is_told_when_it_streams(prepare, little_memory, monkeypatch):
    monkeypatch.setattr(Source, "class_names", lambda self: ["one", "two"])
    _, learned, _ = prepare({"architectures": ("mlp-3", "mlp-4")})
    with pytest.raises(InputError, match="Training labels run from 0 to 4, but the net has 2 classes"):
        next(iter(learned.values())).read(0, 5)
