"""VOC's words and COCO's for one thing."""

from detection.data.voc import VOC_CLASSES
from detection.models.synonyms import find_same, in_words_of
from detection.models.torchvision_weights import COCO_CLASSES
from detection.models.transfer import match_classes
from detection.prediction.selection import find_labels

OTHER_WORDS = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def test_every_class_of_voc_is_one_of_coco_and_back() -> None:
    expected = {name: OTHER_WORDS.get(name, name) for name in VOC_CLASSES}
    assert find_same(VOC_CLASSES, COCO_CLASSES) == expected
    back = find_same(COCO_CLASSES, VOC_CLASSES)
    assert back == {coco: voc for voc, coco in expected.items()}
    kept = match_classes(COCO_CLASSES, VOC_CLASSES)
    assert {VOC_CLASSES[new]: COCO_CLASSES[old] for new, old in kept.items()} == expected


def test_case_spaces_hyphens_and_underscores_do_not_matter() -> None:
    names = ["Potted-Plant", "dining_table", " TV ", "traffic_light"]
    assert list(find_same(names, COCO_CLASSES).values()) == [
        "potted plant",
        "dining table",
        "tv",
        "traffic light",
    ]
    assert find_same(["plane", "tvs", ""], COCO_CLASSES) == {}


def test_the_nearest_name_counts() -> None:
    assert find_same(["Sofa", "couch"], ["couch", "sofa", "Sofa"]) == {"Sofa": "Sofa", "couch": "couch"}
    assert find_same(["SOFA"], ["couch", "sofa"]) == {"SOFA": "sofa"}
    assert find_same(["television"], ["tv", "tvmonitor"]) == {"television": "tv"}


def test_what_a_user_gives_wins_over_the_table() -> None:
    assert match_classes(["couch", "chair"], ["sofa"], {"sofa": "chair"}) == {0: 1}


def test_predict_takes_either_word() -> None:
    assert find_labels(["sofa", "TV"], COCO_CLASSES) == frozenset({57, 62})


def test_names_are_said_in_the_words_of_the_data() -> None:
    assert in_words_of(["sofa", "cat"], ["cat", "dog", "couch"]) == ["cat", "dog", "sofa"]
    assert in_words_of(["couch", "Sofa"], ["sofa", "couch"]) == ["Sofa", "couch"]
    assert in_words_of(["tv", "tvmonitor"], ["tvmonitor"]) == ["tvmonitor"]
    assert in_words_of(["television", "tv"], ["Tv"]) == ["tv"]
