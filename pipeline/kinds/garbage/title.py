"""What a garbage image is called where it is shown."""

from __future__ import annotations

from pipeline.config.recorded import Recorded
from pipeline.kinds.kind import Example


def title(example: Example, run: Recorded) -> str:
    """Returns what stands above a garbage image: the class it is taken for, and how surely."""
    return f"{run.class_names[int(example['wrong_class'])]} {100 * example['confidence']:.2f}%"
