import math
from xml.etree.ElementTree import fromstring

import pytest

from detection.data.formats.outlines import box_around_turned, outline_of, rotation_in, rotation_of


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 180, 217.5, -60])
def test_the_box_around_a_turned_one_holds_its_corners(degrees: float) -> None:
    x1, y1, x2, y2 = 10.0, 20.0, 70.0, 30.0
    angle, x, y = math.radians(degrees), 40.0, 25.0
    corners = [
        (
            x + (across - x) * math.cos(angle) - (down - y) * math.sin(angle),
            y + (across - x) * math.sin(angle) + (down - y) * math.cos(angle),
        )
        for across in (x1, x2)
        for down in (y1, y2)
    ]
    xs, ys = zip(*corners, strict=True)
    assert box_around_turned((x1, y1, x2, y2), degrees) == pytest.approx((min(xs), min(ys), max(xs), max(ys)))


def test_a_box_that_is_not_turned_stays_to_the_bit() -> None:
    box = (0.1, 0.2, 0.7, 0.3)
    assert box_around_turned(box, 0) is box
    assert box_around_turned(box, -180.0) is box


@pytest.mark.parametrize(
    ("attributes", "degrees"),
    [
        ({"rotation": 30.5}, 30.5),
        ({"rotation": "30.5"}, 30.5),
        ({"occluded": True}, 0),
        ({"rotation": "left"}, 0),
        ({"rotation": True}, 0),
        ({"rotation": "nan"}, 0),
        (None, 0),
        ([1], 0),
    ],
)
def test_rotations_of_attributes(attributes: object, degrees: float) -> None:
    assert rotation_in(attributes) == degrees


def test_rotations_and_outlines_in_xml() -> None:
    said = "<attribute><name>occluded</name><value>1</value></attribute>"
    turned = "<attribute><name>rotation</name><value>45.0</value></attribute>"
    assert rotation_of(fromstring(f"<object><attributes>{said}{turned}</attributes></object>")) == 45
    assert rotation_of(fromstring(f"<object><attributes>{said}</attributes></object>")) == 0
    sides = "<cx>40</cx><cy>25</cy><w>60</w><h>10</h>"
    upright = fromstring(f"<object><robndbox>{sides}<angle>{math.pi / 2}</angle></robndbox></object>")
    assert outline_of(upright) == pytest.approx((35, -5, 45, 55))
    points = "<x1>20</x1><y1>30.5</y1><x2>60</x2><y2>30</y2><x3>50</x3><y3>70</y3>"
    assert outline_of(fromstring(f"<object><polygon>{points}</polygon></object>")) == (20, 30, 60, 70)
    labelme = "<pt><x>3</x><y>4</y></pt><pt><x>5</x><y>9</y></pt>"
    assert outline_of(fromstring(f"<object><polygon>{labelme}</polygon></object>")) == (3, 4, 5, 9)
    for nothing in ("<polygon/>", "<polygon><x1>a</x1></polygon>", "<robndbox><cx>1</cx></robndbox>", ""):
        assert outline_of(fromstring(f"<object>{nothing}</object>")) is None
