"""A whole report in a folder."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from detection.metrics.analysis import Analysis
from detection.report.page import class_table
from detection.report.report import Subject, write_report
from detection.types import Detections, Target
from tests.html_tables import assert_rows_fit_heads, cells
from tests.report.conftest import evaluation

Make = Callable[..., tuple[Subject, Analysis]]
Evaluation = tuple[list[Detections], list[Target]]


@pytest.fixture
def named(make_subject: Make) -> tuple[Subject, Analysis]:
    return make_subject(class_names=["dining table", "<b>cat", "dog"])


def test_everything_is_written_and_said(
    named: tuple[Subject, Analysis], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject, analysis = named
    words = ["diningtable", *subject.class_names[1:]]
    write_report(tmp_path / "report", subject._replace(words_of_data=words), analysis, num_images=2)
    files = {
        str(path.relative_to(tmp_path / "report"))
        for path in (tmp_path / "report").rglob("*")
        if path.is_file()
    }
    assert {"report.html", "metrics.json", "coco/results.json", "coco/ground_truth.json"} <= files
    assert {f"voc/comp4_det_test_{name}.txt" for name in ("diningtable", "%3Cb%3Ecat", "dog")} <= files
    assert len([name for name in files if re.fullmatch(r"figures/\w+\.png", name)]) == 5
    assert len([name for name in files if re.fullmatch(r"figures/(worst|best)/0[12]_\d{6}\.jpg", name)]) == 4
    said = capsys.readouterr().out
    assert f"Kept in {tmp_path / 'report'}:" in said.replace("\n", "")
    assert "dining table" in said

    figures = json.loads((tmp_path / "report/metrics.json").read_text())
    assert figures["ckpt"] == "runs/ssd/best.ckpt"
    assert figures["voc"]["map_07"] == pytest.approx(analysis.voc.map_07)
    assert figures["classes"]["dog"]["ap_area"] is None, "there is no dog"
    assert figures["classes"]["dining table"]["ap_07"] == pytest.approx(analysis.voc.ap_07[0])
    assert figures["coco"]["map"] == pytest.approx(analysis.coco["map"] if analysis.coco else None)
    assert figures["counts"]["images"] == 12
    assert figures["threshold"] == analysis.threshold


def test_absent_classes_fill_no_table(make_subject: Make) -> None:
    names = [f"class {number}" for number in range(60)]
    _, analysis = make_subject(class_names=names)
    absent = int((analysis.voc.num_gt == 0).sum())
    assert absent > 5
    table = class_table(analysis, names)
    assert len(table.rows) == 60 - absent
    assert table.caption == f"{absent} classes more have no objects here."


def test_the_figures_are_kept_before_anything_is_drawn(
    named: tuple[Subject, Analysis], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr("detection.report.report.make_figures", fail)
    with pytest.raises(RuntimeError, match="no font"):
        write_report(tmp_path, *named, num_images=1)
    assert json.loads((tmp_path / "metrics.json").read_text())["counts"]["images"] == 12


def test_the_page_needs_nothing_else_and_shows_names_as_they_are(make_subject: Make, tmp_path: Path) -> None:
    subject, analysis = make_subject(*evaluation(seed=1), class_names=["dining table", "<b>cat", "dog"])
    assert analysis.confusion[1, 0] == 1, "so there is a table of confusions"
    write_report(tmp_path, subject, analysis, num_images=1)
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r"https?://|@import|url\(", page)
    assert all(source.startswith("data:") for source in re.findall(r'(?:src|srcset|href)="([^"]*)"', page))
    assert "&lt;b&gt;cat" in page
    assert "<b>cat" not in page
    assert_rows_fit_heads(page, tables=4)


def test_a_row_that_does_not_fit_its_head_is_seen() -> None:
    page = "<table><tr><th>a</th><th>b</th></tr><tr><td colspan=2>1</td></tr><tr><td>1</td></tr></table>"
    assert cells(page) == [[2, 2, 1]]
    with pytest.raises(AssertionError):
        assert_rows_fit_heads(page, tables=1)


def test_the_head_says_what_was_evaluated_and_how_it_was_trained(
    named: tuple[Subject, Analysis], tmp_path: Path
) -> None:
    history = tmp_path / "metrics.csv"
    history.write_text("epoch,step,train/loss,val/map_07\n0,9,3.5,\n0,9,,0.2\n")
    subject, analysis = named
    write_report(tmp_path, subject._replace(history=history), analysis, num_images=1)
    page = (tmp_path / "report.html").read_text()
    for words in ("SSD, VGG16", "300 x 300 pixels", "runs/ssd/best.ckpt", "voc07, split val", "The training"):
        assert words in page
    assert f"alone have a mAP (area) of {analysis.map_above:.3f}" in page
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["about"] == {"model": "SSD, VGG16", "input size": "300 x 300 pixels"}


def test_hundreds_of_classes_make_no_endless_page(make_subject: Make, tmp_path: Path) -> None:
    sizes = {}
    for number in (80, 500):
        subject, analysis = make_subject(class_names=[f"class {i}" for i in range(number)], with_coco=False)
        write_report(tmp_path / str(number), subject, analysis, num_images=1)
        sizes[number] = (tmp_path / str(number) / "report.html").stat().st_size
    assert sizes[500] < 3 * sizes[80]


def test_a_report_of_nothing_is_written_too(
    make_subject: Make, nothing_found: Evaluation, tmp_path: Path
) -> None:
    subject, analysis = make_subject(*nothing_found, with_coco=False)
    warning = "Warning: a.ckpt was trained on 1 of the 3 images of val"
    write_report(tmp_path, subject._replace(remarks=[warning]), analysis, num_images=3)
    assert f'<p class="advice">{warning}</p>' in (tmp_path / "report.html").read_text()
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["remarks"] == [warning]
    assert figures["voc"]["map_07"] == 0.0
    assert figures["coco"] is None
    assert figures["calibration_error"] is None
    assert figures["errors"]["missed"] == {"count": 1, "map_cost": 1.0}
    assert math.isclose(figures["threshold"], 0.5)
    assert "COCO AP" not in (tmp_path / "report.html").read_text()
