"""The table of an export."""

from detection.exporting.measurement import Measured, table


def test_the_table_compares_every_file_with_the_network() -> None:
    rows = [
        Measured("PyTorch", 61.5, 0.67321, 60.0, 73.9),
        Measured("a_detector_with_quite_a_long_name_int8.xml", 16.9, 0.6721, 20.0, 23.04),
    ]
    assert list(table(rows)) == [
        "                                   MB     mAP  ms/image    95 %   times as fast",
        "PyTorch                          61.5   67.32      60.0    73.9   1.00",
        "...uite_a_long_name_int8.xml     16.9   67.21      20.0    23.0   3.00",
    ]
