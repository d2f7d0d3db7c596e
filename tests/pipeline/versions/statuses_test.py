"""What rechecks said, as the ledger keeps it: read back as kept, whole or not at all; the last word counts."""

from __future__ import annotations

import dataclasses
import json

import pytest
from etils import epath

from models.errors import InputError
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.pairs.kind import PAIRS
from pipeline.versions.statuses import Net, Recheck, Rechecked, keep, newest, nothing_new, read

A, B = Net("mlp-4", "of a"), Net("mlp-8", "of b")
FILES = {"of a": "a.keras", "of b": "b.keras"}


def _recheck(nets: tuple[Net, ...], **statuses: str) -> Recheck:
    return Recheck("1.0.0", 1, nets, tuple(Rechecked(name, "mlp-4", status) for name, status in statuses.items()))


@pytest.fixture
def folder(tmp_path):
    return epath.Path(tmp_path) / "rechecks" / "tiny"


def test_what_is_kept_is_read_back_in_its_order(folder):
    assert read(folder) == []
    kept = [_recheck((A,), x="healed", a="remaining"), _recheck((A, B), x="shared"), _recheck((B,))]
    for recheck in kept:
        keep(folder, recheck, FILES)
    assert read(folder) == kept
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".json") == [
        f"{n:06d}.json" for n in range(3)
    ]


def test_what_was_left_half_written_is_not_there_and_is_written_over(folder):
    keep(folder, _recheck((A,), x="healed"), FILES)
    (folder / "000001.parquet").write_bytes(b"half")
    (folder / "000001.json.0123.tmp").write_bytes(b"half")
    assert len(read(folder)) == 1
    keep(folder, _recheck((B,), x="shared"), FILES)
    assert newest(read(folder)) == {"x": "shared"} and len(list(folder.iterdir())) == 4


def test_statuses_that_were_changed_are_refused(folder):
    keep(folder, _recheck((A,), x="healed"), FILES)
    path = folder / "000000.parquet"
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(InputError, match=r"000000\.parquet is not what the recheck wrote"):
        read(folder)
    path.unlink()
    with pytest.raises(InputError, match="is not what the recheck wrote"):
        read(folder)


def test_the_files_of_the_nets_and_the_version_asked_are_told(folder):
    keep(folder, _recheck((A, B), x="healed"), FILES)
    told = json.loads((folder / "000000.json").read_text())
    assert (told["asked"], told["runs"]) == ("1.0.0", 1)
    assert told["nets"] == [{**net._asdict(), "source": FILES[net.digest]} for net in (A, B)]


def test_the_last_word_counts_and_the_rest_stays():
    rechecks = [_recheck((A,), x="healed", y="remaining"), _recheck((B,), y="shared", z="lost")]
    assert newest(rechecks) == {"x": "healed", "y": "shared", "z": "lost"}
    assert newest(rechecks[::-1]) == {"x": "healed", "y": "remaining", "z": "lost"}


def test_nothing_is_new_if_the_same_nets_were_the_last_to_say_all_of_it():
    def known(recheck: Recheck, *before: Recheck) -> bool:
        return nothing_new(recheck, before, MISTAKES)

    first, second = _recheck((A,), x="healed", y="remaining"), _recheck((B,), z="lost")
    assert known(first, first) and known(first, first, second) and known(second, first, second)
    assert not known(first)
    assert not known(dataclasses.replace(first, nets=(B,)), first)  # by other nets
    assert not known(_recheck((A,), x="healed", y="shared"), first)  # otherwise
    assert not known(_recheck((A,), x="healed", w="healed"), first)  # of another example
    assert not known(first, first, _recheck((B,), y="remaining"))  # others spoke last


def test_only_mistakes_are_shown_to_all_nets():
    both, one = _recheck((A, B), x="healed"), _recheck((A,), x="healed")  # x was made for A's predecessor
    assert nothing_new(one, [both], PAIRS) and nothing_new(both, [one], GARBAGE)
    assert not nothing_new(one, [both], MISTAKES)
    assert not nothing_new(_recheck((A._replace(digest="newer"),), x="healed"), [both], PAIRS)


def test_statuses_are_counted_by_target_net():
    found = (Rechecked("x", "a", "healed"), Rechecked("y", "a", "healed"), Rechecked("z", "b", "lost"))
    assert Recheck("1.0.0", 1, (A,), found).counts() == {"a": {"healed": 2}, "b": {"lost": 1}}
