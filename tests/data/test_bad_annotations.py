"""Annotations and lists of all kinds, through the loader: read right, refused in a sentence, or left out."""

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.small_set import SIZE, Served, SmallSet, annotation

BOMB = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><annotation><object><name>&i;</name></object></annotation>"
)
EXTERNAL = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>'
PARAMETER = '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]><annotation/>'
TAGS = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
OTHER_SIZE = "<size><width>400</width><height>400</height></size>"
MANY = (
    "".join(
        f"<object><name>cat</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
        f"<xmax>{x + 3}</xmax><ymax>{y + 2}</ymax></bndbox></object>"
        for x in range(1, 41)
        for y in range(1, 41)
    )
    * 6
)


def without(tag: str) -> str:
    whole = annotation()
    return whole.replace(whole[whole.index(f"<{tag}>") : whole.index(f"</{tag}>") + len(tag) + 3], "")


# What the file says, and what is said about it.
UNUSABLE: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "not well-formed XML"),
    "zeros": (bytes(300), "not well-formed XML"),
    "text": ("a cat", "not well-formed XML"),
    "breaks off": (annotation()[:60], "not well-formed XML"),
    "tags that do not match": ("<annotation><object></annotation></object>", "not well-formed XML"),
    "two roots": (annotation() * 2, "not well-formed XML"),
    "another encoding than declared": (
        b'<?xml version="1.0" encoding="utf-8"?>' + annotation(name="möwe").encode("latin-1"),
        "not well-formed XML",
    ),
    "an encoding that does not exist": (
        '<?xml version="1.0" encoding="klingon"?>' + annotation(),
        "not well-formed XML",
    ),
    "an encoding of several bytes": (
        '<?xml version="1.0" encoding="gb2312"?>' + annotation(),
        "not well-formed XML",
    ),
    "entity bomb": (BOMB, "declares XML entities.*refused. Remove its <!DOCTYPE> part"),
    "external entity": (EXTERNAL, "declares XML entities"),
    "external parameter entity": (PARAMETER, "declares XML entities"),
    "nested too deeply to have a meaning": (
        "<annotation>" + "<object>" * 5000 + "</object>" * 5000 + "</annotation>",
        "object 1 has no <name>",
    ),
    "a web page": ("<html><body>404</body></html>", "is not an annotation in VOC's format"),
    "another format": (f"<svg><bndbox>{TAGS}</bndbox></svg>", "is not an annotation in VOC's format"),
    "objects where they do not belong": (
        f"<annotation><objects><object><name>cat</name><bndbox>{TAGS}</bndbox></object></objects></annotation>",
        "is not an annotation in VOC's format",
    ),
    "no name": (without("name"), "object 1 has no <name>"),
    "an empty name": (annotation(name="  "), "object 1 has no <name>"),
    "no box": (without("bndbox"), r"object 1 \(cat\) has no <bndbox>"),
    **{f"no {tag}": (without(tag), f"has no <{tag}>") for tag in ("xmin", "ymin", "xmax", "ymax")},
    "a digit apart": (annotation(("1_0", 5, 40, 40)), "<xmin>1_0</xmin>, which is not a number: correct it"),
    "nan": (annotation(("nan", 5, 40, 40)), "<xmin>nan</xmin>, which is not a number: correct it"),
    "infinity": (annotation((5, 5, "inf", 40)), "<xmax>inf</xmax>, which is not a number"),
    "too large for a number": (annotation((5, 5, "1e999", 40)), "<xmax>1e999</xmax>, which is not a number"),
    "words": (annotation((5, "five", 40, 40)), "<ymin>five</ymin>, which is not a number"),
    "a decimal comma": (annotation((5, "5,5", 40, 40)), "<ymin>5,5</ymin>, which is not a number"),
    "inverted in x": (annotation((40, 5, 5, 40)), "empty or inverted box"),
    "inverted in y": (annotation((5, 40, 40, 5)), "empty or inverted box"),
    "no area": (annotation((5, 5, 4, 40)), "empty or inverted box"),
    "zeros as corners": (annotation((0, 0, 0, 0)), "lies outside its image of 48x48 pixels"),
    "fractions of the sides": (annotation((0.1, 0.25, 0.75, 1)), "in fractions of the image's sides"),
    "negative": (annotation((-40, -40, -5, -5)), "lies outside its image of 48x48 pixels"),
    "outside": (annotation((100, 100, 140, 140)), "lies outside its image of 48x48 pixels"),
    "of another size": (annotation((5, 5, 390, 390), size=OTHER_SIZE), "was the image resized or rotated"),
    "the second of two objects": (annotation(extra="<object><name>dog</name></object>"), r"object 2 \(dog\)"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_annotation_that_is_wrong_stops_the_run(small_set: SmallSet, case: str) -> None:
    content, message = UNUSABLE[case]
    small_set.add("x", xml=content)
    with pytest.raises(ValueError, match=message) as error:
        small_set.module("raise")
    assert "x.xml" in str(error.value)
    assert "data.on_error=skip" in str(error.value)


@pytest.fixture(scope="module")
def skipped(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """All wrong annotations in one set with four good ones, served by two workers."""
    small_set = SmallSet(tmp_path_factory.mktemp("unusable") / "mine")
    small_set.add("d")
    for number, (content, _) in enumerate(UNUSABLE.values()):
        small_set.add(f"u{number}x", xml=content)
    return small_set.serve("skip", workers=2)


def test_wrong_annotations_are_left_out(skipped: Served) -> None:
    assert sorted(skipped.train) == skipped.evaluated == ["mine/a", "mine/b", "mine/c", "mine/d"]


def test_wrong_annotations_are_all_listed(skipped: Served) -> None:
    assert skipped.problems["train"] == skipped.problems["val"]
    assert len(skipped.problems["train"]) == len(UNUSABLE)
    for number, problem in enumerate(skipped.problems["train"]):
        assert f"/u{number}x.xml" in problem


# What the file says, and the number of objects that are read.
READABLE: dict[str, tuple[str | bytes, int]] = {
    "no objects": ("<annotation/>", 0),
    "with a byte order mark": (codecs.BOM_UTF8 + annotation().encode(), 1),
    "utf-16": (
        '<?xml version="1.0" encoding="utf-16"?>'.encode("utf-16") + annotation().encode("utf-16-le"),
        1,
    ),
    "latin-1": (
        b'<?xml version="1.0" encoding="latin-1"?>' + annotation(name="möwe").encode("latin-1"),
        1,
    ),
    "carriage returns": (annotation().replace("><", ">\r\n<"), 1),
    "comments": (annotation().replace("<name>", "<!-- which? --><name><!-- this -->"), 1),
    "character data": (annotation(name="<![CDATA[cat]]>"), 1),
    "tags of others": (annotation(extra="<segmented>1</segmented><object2/>"), 1),
    "one pixel": (annotation((5, 5, 5, 5)), 1),
    "fractions of pixels": (annotation((5.25, 5.5, 40.75, 40.125)), 1),
    "spaces around numbers": (annotation((" 5", "5 ", "\n40", "40\t")), 1),
    "counted from 0": (annotation((0, 0, SIZE, SIZE)), 1),
    "over the border": (annotation((-20, 5, 900, 40)), 1),
    "a size of zero": (
        annotation((5, 5, 900, 40), size="<size><width>0</width><height>0</height></size>"),
        1,
    ),
    "a size that is no number": (annotation(size="<size><width>?</width><height>nan</height></size>"), 1),
    "9,600 objects": (f"<annotation>{MANY}</annotation>", 9600),
    "a part inside of an object": (
        annotation().replace("</object>", f"<part><name>ear</name><bndbox>{TAGS}</bndbox></part></object>"),
        1,
    ),
}


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Served:
    small_set = SmallSet(tmp_path_factory.mktemp("readable") / "mine")
    for number, (content, _) in enumerate(READABLE.values()):
        small_set.add(f"r{number}", xml=content)
    return small_set.serve(workers=2)


@pytest.mark.parametrize("case", READABLE)
def test_odd_annotations_are_read(readable: Served, case: str) -> None:
    image_id = f"mine/r{list(READABLE).index(case)}"
    assert readable.num_objects[image_id] == READABLE[case][1]


@pytest.mark.parametrize(
    "name", ["Möwe 🐦", "a/b", "two words", "a=b,c", "None", "[x]", "x" * 500, "&lt;b&gt;"]
)
def test_odd_class_names_are_classes(small_set: SmallSet, name: str) -> None:
    small_set.add("x", xml=annotation(name=name))
    module = small_set.module()
    assert module.class_names == sorted(["cat", name.replace("&lt;", "<").replace("&gt;", ">")])


@pytest.mark.parametrize("name", ["${oc.env:HOME}", "${x}", "a&#10;b", "a&#9;b", "\u200b"])
def test_names_that_could_do_harm_are_refused(small_set: SmallSet, name: str) -> None:
    small_set.add("x", xml=annotation(name=name))
    with pytest.raises(ValueError, match="cannot be the name of a class: rename it in the annotations"):
        small_set.module("skip")


def test_an_unknown_class_is_not_a_bad_image(small_set: SmallSet) -> None:
    small_set.add("x", xml=annotation(name="dgo"))
    for on_error in ("raise", "skip"):
        with pytest.raises(
            ValueError, match=r"x\.xml: object 1 has the unknown class 'dgo', did you mean 'dog'"
        ):
            small_set.module(on_error, classes=["cat", "dog"])


@pytest.mark.parametrize(
    "filename", ["../../secret.jpg", "/etc/passwd", "..", ".", "a/../../x", "\\\\host\\x.jpg"]
)
def test_filename_leads_nowhere(small_set: SmallSet, filename: str) -> None:
    (small_set.root.parent / "secret.jpg").write_bytes((small_set.root / "JPEGImages/a.jpg").read_bytes())
    small_set.add("x", xml=annotation(extra=f"<filename>{filename}</filename>"), name="")
    with pytest.raises(ValueError, match=r"x\.xml has no image"):
        small_set.module()
    small_set.add("y", xml=annotation(extra=f"<filename>{filename}</filename>"))
    assert small_set.serve("skip").evaluated[-1] == "mine/y", "the image of its own name is used"


LISTS: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "carriage returns": (lambda text: text.replace(b"\n", b"\r\n"), ["a", "b", "c"]),
    "byte order mark": (lambda text: codecs.BOM_UTF8 + text, ["a", "b", "c"]),
    "old carriage returns": (lambda text: text.replace(b"\n", b"\r"), ["a", "b", "c"]),
    "empty lines and spaces": (
        lambda text: b"\n\n " + text.replace(b"\n", b" \n\n\t") + b"\n\n",
        ["a", "b", "c"],
    ),
    "file names": (lambda text: text.replace(b"\n", b".jpg\r\n") + b".XML", ["a", "b", "c"]),
    "paths of Windows": (
        lambda text: b"C:\\set\\JPEGImages\\" + text.replace(b"\n", b".jpg\r\n/other/Annotations/"),
        ["a", "b", "c"],
    ),
    "file names and flags": (lambda text: text.replace(b"\n", b".jpg 1\n"), ["a", "b", "c"]),
    "a second column": (lambda text: text.replace(b"\n", b" -1\n") + b"  1", ["a", "b", "c"]),
}


@pytest.mark.parametrize("case", LISTS)
def test_odd_lists_are_read(small_set: SmallSet, case: str) -> None:
    change, expected = LISTS[case]
    small_set.write_list(change(b"a\nb\nc"))
    assert small_set.module().datasets["train"].image_ids == [f"mine/{image_id}" for image_id in expected]


BAD_LISTS: dict[str, tuple[bytes, str, bool]] = {
    # The content, the message, and whether on_error=skip can do something about it.
    "empty": (b"", "lists no images", False),
    "utf-16": ("a\nb\n".encode("utf-16"), r"all\.txt is not text in UTF-8", False),
    "utf-16 without a mark": ("a\nb\n".encode("utf-16-le"), r"all\.txt is not text in UTF-8", False),
    "latin-1": ("möwe\n".encode("latin-1"), r"all\.txt is not text in UTF-8", False),
    "repeated": (b"a\nb\na\n", "lists the image a 2 times: remove the repeated lines", False),
    "with extensions": (b"a\nb\nq.jpg\n", "ids are listed without an extension", True),
    "with comments": (b"# mine\na\nb\n", "lists have no comments: every line is an id", True),
    "with unknown images": (b"a\nb\nq\n", r"q\.xml is missing", True),
    "with folders": (b"a\nb\nJPEGImages/q\n", "an id is the name of a file in Annotations", True),
    "outside of the set": (b"a\nb\n../../x\n", "an id is the name of a file in Annotations", True),
    "absolute": (b"a\nb\n/etc/passwd\n", "an id is the name of a file in Annotations", True),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_bad_lists_are_refused(small_set: SmallSet, case: str) -> None:
    content, message, can_skip = BAD_LISTS[case]
    small_set.write_list(content)
    with pytest.raises(ValueError, match=message):
        small_set.module("raise")
    if can_skip:
        assert small_set.serve("skip", workers=0).evaluated == ["mine/a", "mine/b"]
    else:
        with pytest.raises(ValueError, match=message):
            small_set.module("skip")


@pytest.mark.parametrize(
    "image_id", ["möwe", "a photo of mine", "日本", "🐦", "a.b", "'quoted' \"too\"", "$HOME", "%s", "-x"]
)
def test_odd_names_of_files(small_set: SmallSet, image_id: str) -> None:
    small_set.add(image_id)
    served = small_set.serve(workers=0)
    assert f"mine/{image_id}" in served.evaluated


def test_odd_names_of_folders(tmp_path: Path) -> None:
    served = SmallSet(tmp_path / "meine Bilder, 'größer' {1}").serve()
    assert len(served.evaluated) == 3


def test_a_set_is_never_written_to(small_set: SmallSet) -> None:
    files = sorted(small_set.root.rglob("*"))
    before = [path.stat().st_mtime_ns for path in files]
    small_set.serve(workers=0)
    assert sorted(small_set.root.rglob("*")) == files
    assert [path.stat().st_mtime_ns for path in files] == before
