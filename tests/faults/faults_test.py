"""The list of faults fits the code: each one's piece stands in its file exactly once, and its tests are there."""

import pytest

from tests.faults.fault import ROOT, all_faults

FAULTS = all_faults()


def test_every_fault_has_a_name_of_its_own():
    names = [fault.what for fault in FAULTS]
    assert names and len(set(names)) == len(names)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_the_piece_stands_in_its_file_once_and_its_tests_are_there(fault):
    assert (ROOT / fault.file).read_text().count(fault.old) == 1
    assert fault.old != fault.new
    assert fault.tests
    assert all((ROOT / argument.split("::")[0]).exists() for argument in fault.tests if not argument.startswith("-"))
