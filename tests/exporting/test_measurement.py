"""The table of an export."""

from detection.exporting.measurement import MeanAPs, Measured, Unmeasured, table


def test_the_table_compares_every_file_with_the_network() -> None:
    rows: list[Measured | Unmeasured] = [
        Measured("PyTorch", 61.5, MeanAPs(0.67321, 0.69, 0.4), 60.0, 73.9),
        Unmeasured("torch.compile", "there is no C++ compiler (c++)"),
        Measured("a_detector_with_quite_a_long_name_int8.xml", 16.9, MeanAPs(0.6721, 0.688, None), 20, 23.04),
    ]
    assert list(table(rows)) == [
        "                                  MB  mAP 07    area    COCO  ms/image    95 %   times as fast",
        "PyTorch                         61.5   67.32   69.00   40.00      60.0    73.9   1.00",
        "torch.compile                      - there is no C++ compiler (c++)",
        "...uite_a_long_name_int8.xml    16.9   67.21   68.80       -      20.0    23.0   3.00",
    ]
