"""What a run counts while it mines: Beam shows it in any runner, and the manifest keeps it."""

from __future__ import annotations

import collections

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import records

NAMESPACE = "peerpressure"
BYTES = "chunk_bytes"
READING, MINING, WRITING = "reading_milliseconds", "mining_milliseconds", "writing_milliseconds"


def of_unit(rows: pa.Table) -> dict[str, int]:
    """Returns what a unit came to.

    Args:
      rows: its chunk, at least the columns `seed_id`, `outcome`, `reason` and `candidates`.

    Returns:
      `units` (1), `seed_images` that were read or not (islands: 0), `trials`, `candidates`, the number of each outcome,
      and of each reason why finds were dropped or seed images set aside ("dropped: the judge disagrees"). What a reason
      says in brackets, of one case, is left out.
    """
    outcomes = collections.Counter(rows["outcome"].to_pylist())
    told = (records.DROPPED, records.SET_ASIDE)
    whys = rows.filter(pc.is_in(rows["outcome"], pa.array(told))).select(["outcome", "reason"]).to_pylist()
    reasons = collections.Counter(f"{row['outcome']}: {row['reason'].partition(' (')[0]}" for row in whys)
    return {
        "units": 1,
        "seed_images": len(set(rows["seed_id"].to_pylist()) - {""}),
        "trials": sum(outcomes[outcome] for outcome in records.TRIAL_OUTCOMES),
        "candidates": pc.sum(rows["candidates"]).as_py() or 0,
        **outcomes,
        **reasons,
    }
