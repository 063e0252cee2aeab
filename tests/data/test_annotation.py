from pathlib import Path

import pytest

from detection.data.annotation import Annotation, clip_to_image, parse_annotation
from detection.data.records import AnnotationError, ObjectRecord

BOX = "<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>31</xmax><ymax>41</ymax></bndbox>"
SIZE = "<size><width>100</width><height>50</height><depth>3</depth></size>"


def write(folder: Path, body: str, head: str = "") -> Path:
    path = folder / "a.xml"
    path.write_text(f"{head}<annotation><filename>a.jpg</filename>{SIZE}{body}</annotation>")
    return path


def with_box(xmin: str, ymin: str, xmax: str, ymax: str) -> str:
    corners = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>cat</name><bndbox>{corners}</bndbox></object>"


def test_parses_corners_to_continuous_edges(tmp_path: Path) -> None:
    cat = f"<object><name> cat\n</name><difficult>1</difficult>{BOX}</object>"
    dog = f"<object><name>dog</name>{BOX}</object>"
    box = (10.0, 20.0, 31.0, 41.0)
    assert parse_annotation(write(tmp_path, cat + dog)) == Annotation(
        "a.jpg", (50, 100), (ObjectRecord("cat", box, True), ObjectRecord("dog", box, False))
    )


def test_accepts_float_coordinates_any_order_and_spaces(tmp_path: Path) -> None:
    bndbox = "<bndbox><ymax>9.5</ymax><xmin> 1.25 </xmin><xmax>8</xmax><ymin>2</ymin></bndbox>"
    annotation = parse_annotation(write(tmp_path, f"<object>{bndbox}<name>cat</name></object>"))
    assert annotation.objects == (ObjectRecord("cat", (0.25, 1.0, 8.0, 9.5), False),)


def test_one_pixel_is_the_smallest_box(tmp_path: Path) -> None:
    annotation = parse_annotation(write(tmp_path, with_box(*"1111") + with_box(*"7379")))
    assert [item.box for item in annotation.objects] == [(0, 0, 1, 1), (6, 2, 7, 9)]


def test_boxes_of_body_parts_are_not_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    annotation = parse_annotation(write(tmp_path, f"<object><name>person</name>{part}{BOX}</object>"))
    assert [item.name for item in annotation.objects] == ["person"]
    assert annotation.objects[0].box == (10.0, 20.0, 31.0, 41.0)


def test_image_without_objects(tmp_path: Path) -> None:
    assert parse_annotation(write(tmp_path, "")).objects == ()


@pytest.mark.parametrize(
    "size",
    ["", "<size/>", "<size><width>0</width><height>0</height></size>", "<size><width>?</width></size>"],
)
def test_missing_or_zero_size_is_none(tmp_path: Path, size: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(f"<annotation>{size}</annotation>")
    assert parse_annotation(path) == Annotation("", None, ())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"<object>{BOX}</object>", ["object 1", "no <name>"]),
        (f"<object><name>  </name>{BOX}</object>", ["object 1", "no <name>"]),
        ("<object><name>cat</name></object>", ["object 1 (cat)", "no <bndbox>"]),
        (with_box("", "1", "2", "3"), ["object 1 (cat)", "no <xmin>"]),
        (
            "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax></bndbox></object>",
            ["object 1 (cat)", "no <ymax>"],
        ),
        (with_box("one", "1", "2", "3"), ["object 1 (cat)", "<xmin>one</xmin>", "not a number"]),
        (with_box("1", "nan", "2", "3"), ["object 1 (cat)", "<ymin>nan</ymin>", "not a number"]),
        (with_box("1", "1", "inf", "3"), ["object 1 (cat)", "<xmax>inf</xmax>", "not a number"]),
        (with_box("30", "1", "20", "9"), ["object 1 (cat)", "xmin=30, ymin=1, xmax=20, ymax=9", "swap"]),
        (with_box("5", "1", "4", "9"), ["object 1 (cat)", "empty or inverted"]),
        (with_box("1", "9", "5", "8"), ["object 1 (cat)", "empty or inverted"]),
        (
            with_box("0.25", "0.5", "0.75", "1"),
            ["object 1 (cat)", "fractions of the image's sides"],
        ),
        (with_box("1", "1", "5", "9") + with_box("9", "9", "1", "1"), ["object 2 (cat)", "inverted"]),
    ],
)
def test_errors_name_file_object_and_remedy(tmp_path: Path, body: str, words: list[str]) -> None:
    path = write(tmp_path, body)
    with pytest.raises(AnnotationError) as error:
        parse_annotation(path)
    assert all(word in str(error.value) for word in [str(path), *words]), error.value


@pytest.mark.parametrize("text", ["", "<annotation><object>", "not xml", "<annotation></other>"])
def test_broken_xml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=r"broken.xml is not well-formed XML"):
        parse_annotation(path)


def test_entity_bomb_is_refused(tmp_path: Path) -> None:
    head = '<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;&b;&b;">]>'
    with pytest.raises(AnnotationError, match=r"a.xml declares XML entities.*refused"):
        parse_annotation(write(tmp_path, f"<object><name>&c;</name>{BOX}</object>", head))


def clip(
    box: tuple[float, float, float, float], xml_size: tuple[int, int] | None = (50, 100)
) -> ObjectRecord:
    annotation = Annotation("a.jpg", xml_size, (ObjectRecord("cat", box, False),))
    return clip_to_image(annotation, (50, 100), "a.xml")[0]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((-1, -1, 30, 40), (0, 0, 30, 40)),  # a set that counts from 0
        ((-20, 10, 130, 90), (0, 10, 100, 50)),
    ],
)
def test_clips_boxes_to_the_image(
    box: tuple[float, float, float, float], expected: tuple[float, float, float, float]
) -> None:
    assert clip(box) == ObjectRecord("cat", expected, False)


@pytest.mark.parametrize(
    "box", [(100, 10, 120, 20), (10, 50, 20, 60), (-20, 10, 0, 20), (200, 200, 300, 300)]
)
def test_box_outside_the_image(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(
        AnnotationError, match=r"a.xml: object 1 \(cat\) with box .* outside its image of 100x50"
    ):
        clip(box)


def test_box_of_an_image_of_another_size() -> None:
    with pytest.raises(AnnotationError, match=r"image of 100x50 pixels, while <size> says 400x200.*resized"):
        clip((10, 10, 300, 40), xml_size=(200, 400))
    assert clip((10, 10, 90, 40), xml_size=(200, 400)).box == (10, 10, 90, 40)
    assert clip((10, 10, 300, 40), xml_size=None).box == (10, 10, 100, 40)
