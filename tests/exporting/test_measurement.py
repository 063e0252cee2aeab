"""The table of an export."""

from detection.exporting.measurement import MeanAPs, Measured, Unmeasured, losses, table


def test_the_table_compares_every_file_with_the_network() -> None:
    rows: list[Measured | Unmeasured] = [
        Measured("PyTorch", 61.5, MeanAPs(0.67321, 0.69, 0.4), 60.0, 73.9),
        Unmeasured("torch.compile", "there is no C++ compiler (c++)"),
        Measured("a_detector_with_quite_a_long_name_int8.xml", 16.9, MeanAPs(0.6721, 0.688, None), 20, 23.04),
    ]
    assert list(table(rows)) == [
        "                             MB mAP 07   area   COCO ms/image   95 %  speed",
        "PyTorch                    61.5 0.6732 0.6900 0.4000     60.0   73.9  1.00x",
        "torch.compile                 - there is no C++ compiler (c++)",
        "..._a_long_name_int8.xml   16.9 0.6721 0.6880      -     20.0   23.0  3.00x",
    ]


def test_a_loss_of_more_than_a_point_is_told() -> None:
    rows: list[Measured | Unmeasured] = [Measured("PyTorch", 61.5, MeanAPs(0.673, 0.69, None), 60.0, 73.9)]
    rows += [Unmeasured("torch.compile", "there is no C++ compiler (c++)")]
    for name, mean in (("a.onnx", 0.673), ("a_half.xml", 0.664), ("a_int8.xml", 0.651), ("more.xml", 0.7)):
        rows.append(Measured(name, 16.9, MeanAPs(mean, 0.69, None), 20, 23))
    assert {name: round(points, 1) for name, points in losses(rows).items()} == {"a_int8.xml": 2.2}
