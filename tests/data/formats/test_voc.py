from pathlib import Path

import pytest

from detection.data.formats.index import Annotation
from detection.data.formats.judging import keep_inside
from detection.data.formats.records import AnnotationError, Box, ImageRecord, ObjectRecord, Reading
from detection.data.formats.voc import as_written, read_annotation

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
    objects = (ObjectRecord("cat", box, True, 1), ObjectRecord("dog", box, False, 2))
    assert read_annotation(write(tmp_path, cat + dog)) == Annotation("a.jpg", (50, 100), objects, ())


def test_accepts_float_coordinates_any_order_and_spaces(tmp_path: Path) -> None:
    bndbox = "<bndbox><ymax>9.5</ymax><xmin> 1.25 </xmin><xmax>8</xmax><ymin>2</ymin></bndbox>"
    annotation = read_annotation(write(tmp_path, f"<object>{bndbox}<name>cat</name></object>"))
    assert annotation.objects == (ObjectRecord("cat", (0.25, 1.0, 8.0, 9.5), False, 1),)


def test_one_pixel_is_the_smallest_box(tmp_path: Path) -> None:
    annotation = read_annotation(write(tmp_path, with_box(*"1111") + with_box(*"7379")))
    assert [item.box for item in annotation.objects] == [(0, 0, 1, 1), (6, 2, 7, 9)]


def test_boxes_of_body_parts_are_not_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    annotation = read_annotation(write(tmp_path, f"<object><name>person</name>{part}{BOX}</object>"))
    assert [item.name for item in annotation.objects] == ["person"]
    assert annotation.objects[0].box == (10.0, 20.0, 31.0, 41.0)


def test_turned_boxes_of_cvat_and_polygons_are_read_as_the_box_around_them(tmp_path: Path) -> None:
    turned = "<attributes><attribute><name>rotation</name><value>90.0</value></attribute></attributes>"
    long = "<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>50</xmax><ymax>30</ymax></bndbox>"
    polygon = "<polygon><x1>5</x1><y1>6</y1><x2>9</x2><y2>7</y2><x3>8</x3><y3>9</y3></polygon>"
    bodies = [f"<object><name>cat</name>{part}</object>" for part in (turned + long, polygon)]
    first, second = read_annotation(write(tmp_path, "".join(bodies))).objects
    assert first.box == pytest.approx((25, 5, 35, 45))
    assert second.box == (5, 6, 9, 9)


def test_image_without_objects(tmp_path: Path) -> None:
    assert read_annotation(write(tmp_path, "")).objects == ()


@pytest.mark.parametrize(
    "size",
    ["", "<size/>", "<size><width>0</width><height>0</height></size>", "<size><width>?</width></size>"],
)
def test_missing_or_zero_size_is_none(tmp_path: Path, size: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(f"<annotation>{size}</annotation>")
    annotation = read_annotation(path)
    assert annotation[:3] == ("", None, ())
    assert [kind for kind, _, _ in annotation.remarks] == ["missing-size"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"<object>{BOX}</object>", ["object 1", "no <name>"]),
        (f"<object><name>  </name>{BOX}</object>", ["object 1", "no <name>"]),
        ("<object><name>cat</name></object>", ["object 1 (cat)", "no <bndbox>"]),
        (f"<object><name>cat</name>{BOX}{BOX}</object>", ["object 1 (cat) has 2 <bndbox>", "of its own"]),
        (with_box("", "1", "2", "3"), ["object 1 (cat)", "no <xmin>"]),
        (
            "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax></bndbox></object>",
            ["object 1 (cat)", "no <ymax>"],
        ),
        (with_box("one", "1", "2", "3"), ["object 1 (cat)", "<xmin>one</xmin>", "not a number"]),
        (with_box("1", "nan", "2", "3"), ["object 1 (cat)", "<ymin>nan</ymin>", "not a number"]),
        (with_box("1", "1", "inf", "3"), ["object 1 (cat)", "<xmax>inf</xmax>", "not a number"]),
        (
            with_box("0.25", "0.5", "0.75", "1"),
            ["object 1 (cat)", "fractions of the image's sides"],
        ),
    ],
)
def test_remarks_name_the_object_and_the_remedy(tmp_path: Path, body: str, words: list[str]) -> None:
    annotation = read_annotation(write(tmp_path, body + f"<object><name>dog</name>{BOX}</object>"))
    ((_, message, number),) = annotation.remarks
    assert number == 1
    assert all(word in message for word in words), message
    assert [item.name for item in annotation.objects] == ["dog"]


def test_tags_of_any_case_and_words_for_numbers(tmp_path: Path) -> None:
    text = f"<Object><Name>cat</Name><Difficult>True</Difficult>{BOX.replace('bndbox', 'BndBox')}</Object>"
    annotation = read_annotation(write(tmp_path, text))
    assert annotation.objects == (ObjectRecord("cat", (10, 20, 31, 41), True, 1),)


def test_an_encoding_that_is_not_declared_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.write_bytes(with_box(*"1111").replace("cat", "möwe").encode("windows-1252"))
    with pytest.raises(AnnotationError, match=r"declares no encoding, but is not UTF-8"):
        read_annotation(path)


@pytest.mark.parametrize("text", ["", "<annotation><object>", "not xml", "<annotation></other>"])
def test_broken_xml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=r"^is not well-formed XML"):
        read_annotation(path)


def test_entity_bomb_is_refused(tmp_path: Path) -> None:
    head = '<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;&b;&b;">]>'
    with pytest.raises(AnnotationError, match=r"^declares XML entities.*refused"):
        read_annotation(write(tmp_path, f"<object><name>&c;</name>{BOX}</object>", head))


def judged(box: Box, xml_size: tuple[int, int] | None = (50, 100)) -> Reading:
    """A box of an image of 50 rows and 100 columns."""
    reading, objects = Reading("the images"), (ObjectRecord("cat", box, False, 1),)
    record = ImageRecord("a", "a.jpg", (50, 100), objects, "a.xml")
    keep_inside(reading, record, as_written, xml_size)
    return reading


@pytest.mark.parametrize(
    ("box", "expected", "kinds"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40), []),
        ((-1, -1, 30, 40), (0, 0, 30, 40), []),  # a set that counts from 0
        ((-20, 10, 130, 90), (0, 10, 100, 50), ["box-past-border"]),
    ],
)
def test_boxes_are_cut_at_the_borders(box: Box, expected: Box, kinds: list[str]) -> None:
    reading = judged(box)
    assert reading.records[0].objects == (ObjectRecord("cat", expected, False, 1),)
    assert [finding.kind for finding in reading.findings] == kinds


@pytest.mark.parametrize(
    ("box", "kind", "words"),
    [
        ((100, 10, 120, 20), "box-outside", "outside its image of 100x50"),
        ((10, 50, 20, 60), "box-outside", "outside its image of 100x50"),
        ((-20, 10, 0, 20), "box-outside", "outside its image of 100x50"),
        ((200, 200, 300, 300), "box-outside", "outside its image of 100x50"),
        ((29, 0, 20, 9), "empty-box", "xmin=30, ymin=1, xmax=20, ymax=9 is an empty or inverted box: swap"),
        ((0, 8, 5, 8), "empty-box", "empty or inverted"),
    ],
)
def test_boxes_that_cannot_be_used(box: Box, kind: str, words: str) -> None:
    reading = judged(box)
    (finding,) = reading.findings
    assert (finding.kind, finding.file, finding.image, finding.object) == (kind, "a.xml", "a", 1)
    assert finding.message.startswith("object 1 (cat) with box xmin=")
    assert words in finding.message
    assert reading.records[0].objects == ()


def test_box_of_an_image_of_another_size() -> None:
    foreign = judged((10, 10, 300, 40), xml_size=(200, 400))
    assert [finding.kind for finding in foreign.findings][:2] == ["size-mismatch", "box-of-another-size"]
    assert "image of 100x50 pixels, while the annotation is for one of 400x200" in foreign.findings[1].message
    fitting = judged((10, 10, 90, 40), xml_size=(200, 400))
    assert [finding.kind for finding in fitting.findings] == ["size-mismatch"]
    uncertain = judged((10, 10, 300, 40), xml_size=None)
    boxes = [reading.records[0].objects[0].box for reading in (fitting, uncertain)]
    assert boxes == [(10, 10, 90, 40), (10, 10, 100, 40)]


def test_a_namespace_is_no_other_format(tmp_path: Path) -> None:
    path = write(tmp_path, with_box("1", "1", "5", "5"))
    path.write_text(path.read_text().replace("<annotation>", '<annotation xmlns="http://example.org/voc">'))
    assert read_annotation(path).objects == (ObjectRecord("cat", (0, 0, 5, 5), False, 1),)


def test_cvats_own_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<annotations><image id='0' name='a.jpg'/></annotations>")
    with pytest.raises(AnnotationError, match="is in CVAT's own format: export the task as PASCAL VOC"):
        read_annotation(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("mark", "difficult"),
    [
        *((mark, True) for mark in ("1", "1.0", "yes", "True")),
        *((mark, False) for mark in ("0", "0.0", "Unspecified", "", "no", "nan")),
    ],
)
def test_marks_of_difficult_objects(tmp_path: Path, mark: str, difficult: bool) -> None:
    body = f"<object><name>cat</name><difficult>{mark}</difficult>{BOX}</object>"
    assert read_annotation(write(tmp_path, body)).objects[0].difficult is difficult
