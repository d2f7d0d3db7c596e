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
from pipeline.versions.statuses import Kept, Net, Recheck, Rechecked, keep, newest, nothing_new, read

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
    assert [one.recheck for one in read(folder)] == kept
    assert [(one.asked, one.runs, one.nets, one.counts()) for one in read(folder)] == [
        (one.asked, one.runs, one.nets, one.counts()) for one in kept
    ]
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".json") == [
        f"{n:06d}.json" for n in range(3)
    ]


def test_what_was_left_half_written_is_not_there_and_is_written_over(folder):
    keep(folder, _recheck((A,), x="healed"), FILES)
    (folder / "000001.parquet").write_bytes(b"half")
    (folder / "000001.json.0123.tmp").write_bytes(b"half")
    assert len(read(folder)) == 1
    keep(folder, _recheck((B,), x="shared"), FILES)
    assert newest(read(folder), ["x"]) == {"x": "shared"} and len(list(folder.iterdir())) == 4


def test_statuses_that_were_changed_are_refused(folder):
    keep(folder, _recheck((A,), x="healed"), FILES)
    path = folder / "000000.parquet"
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(InputError, match=r"000000\.parquet is not what the recheck wrote"):
        newest(read(folder), ["x"])
    path.unlink()
    with pytest.raises(InputError, match="is not what the recheck wrote"):
        newest(read(folder), ["x"])


def test_what_a_recheck_of_before_the_counts_kept_is_counted(folder):
    keep(folder, _recheck((A,), x="healed", y="lost"), FILES)
    (kept,) = read(folder)
    older = Kept({key: told for key, told in kept.about.items() if key != "counts"}, kept.path)
    assert older.counts() == kept.counts() == {"mlp-4": {"healed": 1, "lost": 1}}


def test_the_files_of_the_nets_and_the_version_asked_are_told(folder):
    keep(folder, _recheck((A, B), x="healed"), FILES)
    told = json.loads((folder / "000000.json").read_text())
    assert (told["asked"], told["runs"]) == ("1.0.0", 1)
    assert told["nets"] == [{**net._asdict(), "source": FILES[net.digest]} for net in (A, B)]


@pytest.fixture
def kept(folder):
    """Keeps rechecks in a ledger of their own, and returns them as they are read back."""

    def keep_all(*rechecks: Recheck) -> list[Kept]:
        for path in folder.iterdir() if folder.exists() else ():
            path.unlink()
        for recheck in rechecks:
            keep(folder, recheck, FILES)
        return read(folder)

    return keep_all


def test_the_last_word_counts_and_the_rest_stays(kept):
    rechecks = [_recheck((A,), x="healed", y="remaining"), _recheck((B,), y="shared", z="lost")]
    assert newest(kept(*rechecks), "xyzw") == {"x": "healed", "y": "shared", "z": "lost"}
    assert newest(kept(*rechecks[::-1]), "xyzw") == {"x": "healed", "y": "remaining", "z": "lost"}
    assert newest(kept(*rechecks), "xy") == {"x": "healed", "y": "shared"}


def test_rechecks_that_later_ones_answer_all_of_are_not_read(kept, folder):
    rechecks = kept(_recheck((A,), x="healed", y="remaining"), _recheck((B,), x="lost", y="shared"))
    (folder / "000000.parquet").unlink()
    assert newest(rechecks, "xy") == {"x": "lost", "y": "shared"}
    assert nothing_new(rechecks[1].recheck, rechecks, MISTAKES)


def test_nothing_is_new_if_the_same_nets_were_the_last_to_say_all_of_it(kept):
    def known(recheck: Recheck, *before: Recheck) -> bool:
        return nothing_new(recheck, kept(*before), MISTAKES)

    first, second = _recheck((A,), x="healed", y="remaining"), _recheck((B,), z="lost")
    assert known(first, first) and known(first, first, second) and known(second, first, second)
    assert not known(first)
    assert not known(dataclasses.replace(first, nets=(B,)), first)  # by other nets
    assert not known(_recheck((A,), x="healed", y="shared"), first)  # otherwise
    assert not known(_recheck((A,), x="healed", w="healed"), first)  # of another example
    assert not known(first, first, _recheck((B,), y="remaining"))  # others spoke last


def test_only_mistakes_are_shown_to_all_nets(kept):
    both, one = _recheck((A, B), x="healed"), _recheck((A,), x="healed")  # x was made for A's predecessor
    assert nothing_new(one, kept(both), PAIRS) and nothing_new(both, kept(one), GARBAGE)
    assert not nothing_new(one, kept(both), MISTAKES)
    assert not nothing_new(_recheck((A._replace(digest="newer"),), x="healed"), kept(both), PAIRS)


def test_statuses_are_counted_by_target_net():
    found = (Rechecked("x", "a", "healed"), Rechecked("y", "a", "healed"), Rechecked("z", "b", "lost"))
    assert Recheck("1.0.0", 1, (A,), found).counts() == {"a": {"healed": 2}, "b": {"lost": 1}}
