"""What retraining experiments claim, on made-up records: luck, the wrong control, and other garbage prove nothing."""

import types

from pipeline.reproduce.retrainings import GarbageRounds, Pool, SelectiveDropout

SEEDS = 8


def _records(measures, training=None):
    """Records of a recipe; a measure is a number for each seed, or one for all."""
    columns = {name: value if isinstance(value, list) else [value] * SEEDS for name, value in measures.items()}
    return [
        {"measured": {name: column[seed] for name, column in columns.items()}, "training": training or {}}
        for seed in range(SEEDS)
    ]


def _selective(errors, steps=None):
    """Records of selective dropout: errors on held-out twins, and steps to 95%, recipe by recipe."""
    return {
        name: _records({"group_error": error, "original_error": 0.5}, {"steps_to_95": (steps or {}).get(name, 40)})
        for name, error in errors.items()
    }


def _claims(errors, steps=None):
    return SelectiveDropout().claims(_selective(errors, steps), None)


def test_a_share_of_units_is_ahead_only_where_that_is_sure():
    control = [10.0 + seed for seed in range(SEEDS)]
    lucky = [error + (-3 if seed % 2 else 2) for seed, error in enumerate(control)]
    better = [error - 1 for error in control]
    assert _claims({"all": control, "most-.2": lucky})[1].held is False
    assert _claims({"all": control, "most-.2": better})[1].held is True
    assert _claims({"all": control, "most-.2": [error + 1 for error in control]})[1].held is False


def test_one_lucky_share_of_many_is_none_after_the_correction():
    control = [10.0] * SEEDS
    near = [9.0] * (SEEDS - 1) + [10.5]  # p = 2 / 2 ** 8 * (1 + 1) alone
    others = {f"most-.{many}": [10.0 + (-1) ** seed for seed in range(SEEDS)] for many in range(1, 8)}
    assert _claims({"all": control, "most-.9": near})[1].held is True
    assert _claims({"all": control, "most-.9": near, **others})[1].held is False


def test_the_most_volatile_units_are_compared_with_as_many_of_the_same_layer():
    errors = {"all": 10.0, "most-fc-.2": 9.0, "most-conv-.2": 5.0, "least-fc-.2": 8.0}
    claim = _claims(errors)[2]
    assert claim.held is False and "than least-fc-.2 by -1.00" in claim.found
    assert _claims({**errors, "least-fc-.2": 9.5})[2].held is True
    assert _claims({"all": 10.0, "most-.2": 9.0})[2].held is None


def test_a_net_that_never_reads_the_twins_takes_no_fewer_steps():
    assert _claims({"all": 10.0, "most-.2": 9.0}, {"all": 60, "most-.2": 20})[0].held is True
    never = _selective({"all": 10.0, "most-.2": 9.0}, {"all": 60, "most-.2": 20})
    for record in never["most-.2"][: SEEDS // 2 + 1]:
        record["training"] = {"steps_to_95": None}
    claim = SelectiveDropout().claims(never, None)[0]
    assert claim.held is False and "most-.2 inf" in claim.found


def test_the_pool_that_is_told_is_said_to_be_the_best_of_several():
    records = {name: _records({"clean_error": error, "distortion": 0.1}) for name, error in (("nothing", 1.6),)}
    records["pool-a"] = _records({"clean_error": 1.1, "distortion": 0.2})
    (alone, *_) = Pool().claims(records, None)
    assert alone.held is True and "best of" not in alone.found
    records["pool-b"] = _records({"clean_error": 1.3, "distortion": 0.2})
    (best, *_) = Pool().claims(records, None)
    assert best.held is True and "pool-a: 1.10%. The best of 2 pools" in best.found


def test_garbage_of_another_encoding_does_not_fool_for_the_one_that_was_learned():
    from pipeline.kinds.garbage.methods import METHODS

    direct = next(method for method in METHODS if method.name == "direct")
    plan = types.SimpleNamespace(mined=types.SimpleNamespace(sections={"garbage": direct.choices("garbage")[0]()}))
    measures = {"direct_fooled": 0.0, "cppn_fooled": 80.0}
    rounds = {"rounds": [{"fooled": 100.0}, {"fooled": 0.0}]}
    (claim,) = GarbageRounds().claims({"garbage-class": _records(measures, rounds)}, plan)
    assert claim.held is False and "cppn, which it has not learned from: 80.00" in claim.found
    measures["direct_fooled"] = 10.0
    assert GarbageRounds().claims({"garbage-class": _records(measures, rounds)}, plan)[0].held is True
