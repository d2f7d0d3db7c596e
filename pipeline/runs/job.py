"""A task in a workdir, on a device, with its seed images: what a run starts from."""

from __future__ import annotations

import dataclasses
import importlib

from models import devices
from models.errors import InputError
from pipeline.config.config import Config, SeededSearch
from pipeline.kinds import registry
from pipeline.kinds.kind import Kind
from pipeline.seeds.fitting import Fitting
from pipeline.seeds.folder import FolderSeeds, check_split_name
from pipeline.seeds.source import SeedSource
from pipeline.seeds.tfds_dataset import TfdsSeeds, find_builder
from pipeline.workdir import ledger, lock
from pipeline.workdir.ledger import Workdir

_OURS = ("digits",)  # datasets that need no download


@dataclasses.dataclass(frozen=True)
class Job:
    """A task in a workdir, on a device, with its seed images."""

    config: Config
    workdir: Workdir
    source: SeedSource
    device: str

    @property
    def kind(self) -> Kind:
        """The kind of dataset that the task makes."""
        return registry.of(self.config)

    @property
    def dataset_name(self) -> str:
        """ "dataset/task", as TFDS has it."""
        return registry.dataset_name(self.config)


def open_job(config: Config, workdir: str, data_dir: str | None, device: str) -> Job:
    """Checks the workdir and finds the seed images; prepares them where that needs no download.

    Raises:
      InputError: the workdir cannot be written to, the seed images, a split or their labels are not there, the dataset
        leaves open which feature they are, or a split has a name that the dataset's cannot have.
    """
    directory = Workdir.at(workdir)
    directory.check_writable()
    devices.device_name(device)
    source, search = _source(config, directory, data_dir), config.sections["search"]
    source.reading()  # tells at once which choice a dataset leaves open
    for split in config.seeds.splits:
        source.count(split)
        if config.seeds.image_folder and registry.of(config).seeded:  # else the dataset's splits are not these
            check_split_name(config.seeds.image_folder, split)
    if isinstance(search, SeededSearch) and search.class_from == "label" and not source.class_names():
        raise InputError(
            f"[seeds] {source.name} has no class labels; set labeled = false and [search] class_from = 'consensus'."
        )
    return Job(config, directory, source, device)


def _source(config: Config, workdir: Workdir, data_dir: str | None) -> SeedSource:
    seeds = config.seeds
    fitting = Fitting(seeds.resize, seeds.size, seeds.background)
    if seeds.image_folder:
        return FolderSeeds.look_at(seeds.image_folder, seeds.labeled, seeds.splits, fitting)
    prepared = _prepared(seeds.dataset, workdir) or data_dir
    return TfdsSeeds(seeds.dataset, prepared, seeds.labeled, seeds.image_key, seeds.label_key, fitting)


def _prepared(dataset: str, workdir: Workdir) -> str | None:
    """Prepares one of our own datasets in the workdir; others stay where TFDS, or `data_dir`, has them."""
    name = dataset.split(":")[0]
    if name not in _OURS:
        return None
    importlib.import_module(f"tfds_builders.{name}.{name}_dataset_builder")
    builder = find_builder(dataset, str(workdir.datasets))
    if not builder.is_prepared():
        with lock.hold(workdir.lock(name), name, "a run that prepares it", wait=True), ledger.io_errors():
            ledger.sweep_builds(workdir.datasets / name)
            ledger.build(builder)
    return str(workdir.datasets)
