"""Where experiments work: tasks are trained, mined, published and retrained in a workdir, each only once."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

from models.classifier import PeerGroup
from pipeline import mappings
from pipeline.config import config_file
from pipeline.config.config import Config
from pipeline.kinds import registry
from pipeline.reproduce import papers
from pipeline.retrain import session, settings, subjects
from pipeline.retrain.mistakes.rounds_tables import Chains
from pipeline.retrain.session import Retrained
from pipeline.retrain.settings import Plan
from pipeline.runs import job as jobs
from pipeline.runs import steps
from pipeline.runs.job import Job
from pipeline.runs.nets import Finder
from pipeline.versions import package, published
from pipeline.versions.published import Published
from pipeline.workdir import lock
from pipeline.workdir.ledger import RunFolder, Workdir


@dataclasses.dataclass(frozen=True)
class Bench:
    """A workdir, where to look for seed images, and a device.

    Attributes:
      workdir: where all is kept.
      data_dir: TFDS's; None for TFDS's own.
      device: where nets are trained and asked.
    """

    workdir: Workdir
    data_dir: str | None
    device: str

    def task(self, path: str) -> Config:
        """Reads the configuration of a task; `path` is relative to the experiments' files."""
        return config_file.load(os.path.join(papers.folder(), path), registry.methods())

    def job(self, task: Config) -> Job:
        """Opens a task in the workdir, with its seed images."""
        return jobs.open_job(task, str(self.workdir.path), self.data_dir, self.device)

    def nets(self, task: Config) -> tuple[PeerGroup, PeerGroup | None]:
        """Returns the nets of a task, and its judge if it has one; trains those that are missing."""
        return steps.train(self.job(task)).load()

    def mined(self, task: Config) -> RunFolder:
        """Returns a task's run, which is mined if it is not finished."""
        mappings.check()
        with self._alone(task) as job:
            return steps.mine(job, "", [])

    def published(self, task: Config) -> Published:
        """Returns a task's dataset, which is mined and packaged if there is none with its run."""
        folder = self.mined(task)
        name = registry.dataset_name(task)
        with self._alone(task):
            package.package(self.workdir, registry.of(task).name, task.task)
        dataset = published.open_dataset(name, self.workdir.datasets)
        assert folder.run_id in dataset.runs
        return dataset

    def group(self, dataset: Published) -> PeerGroup:
        """Returns the nets that a dataset was made with."""
        run = next(iter(dataset.runs.values()))
        return Finder(self.workdir, dataset.name).group(run)

    def retrained(self, path: str) -> Retrained:
        """Retrains nets by a retraining file, relative to the experiments' files; mines what they learn from first."""
        plan = self._plan(path)
        self.published(plan.mined)
        return session.carry_out(plan, self.workdir, self.data_dir, self.device, wait=True)

    def rounds(self, path: str) -> Chains:
        """Mines and retrains in rounds by a retraining file, relative to the experiments' files."""
        return session.carry_out_rounds(self._plan(path), self.workdir, self.data_dir, self.device, wait=True)

    def _plan(self, path: str) -> Plan:
        return settings.load(os.path.join(papers.folder(), path), registry.methods(), subjects.of)

    @contextlib.contextmanager
    def _alone(self, task: Config) -> Iterator[Job]:
        name = registry.dataset_name(task)
        self.workdir.check_writable()
        with lock.hold(self.workdir.lock(name), name, "`peerpressure reproduce`", wait=True):
            yield self.job(task)


def with_keys(task: Config, name: str, **sections: Mapping[str, Any]) -> Config:
    """Returns a task under another name, "TASK_NAME", with keys of some sections changed."""
    changed = dataclasses.replace(task, task=f"{task.task}_{name}")
    for section, keys in sections.items():
        if section in changed.sections:
            changed = changed.with_section(section, **keys)
        else:
            common: Any = {section: dataclasses.replace(getattr(changed, section), **keys)}
            changed = dataclasses.replace(changed, **common)
    return changed
