"""The curves of a training: their axes, their numbers, and what they say."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detection.drawing.page import LIGHT
from detection.drawing.plots import plot_curves
from detection.drawing.training_curves import draw_training_curves, history_of, plain
from detection.system.files import read_history

HEAD = "epoch,step,lr-SGD,train/loss,train/loss_cls,val/map_07,val/map_area,val/loss"


def run_of(epochs: int, steps: int, every: int) -> list[str]:
    """Rows of a run that logs every few steps; the loss is that of the step."""
    rows = [HEAD]
    for epoch in range(epochs):
        logged = [step for step in range(epoch * steps, (epoch + 1) * steps) if (step + 1) % every == 0]
        rows += [f"{epoch},{step},0.00002,{5 + 100 / (step + 1)},2,,," for step in logged]
        rows.append(f"{epoch},{(epoch + 1) * steps - 1},,,,0.5,0.25,7")
    return rows


def panels(rows: list[str], folder: Path) -> list[Axes]:
    (folder / "metrics.csv").write_text("\n".join(rows))
    figure = Figure(figsize=(14, 4))
    draw_training_curves(figure, LIGHT, history_of(read_history(folder / "metrics.csv")))
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure.axes


def lines(ax: Axes) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata()) for line in ax.lines]


def labels(axis: object) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels() if text.get_text()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("epochs", "steps", "every"), [(1, 60, 10), (7, 3, 3), (300, 40, 10)])
def test_epochs_are_below_and_steps_above(tmp_path: Path, epochs: int, steps: int, every: int) -> None:
    losses, mean_ap, rate = panels(run_of(epochs, steps, every), tmp_path)
    assert losses.get_xlabel() == "epochs done"
    np.testing.assert_allclose(lines(mean_ap)[0][:, 0], np.arange(1, epochs + 1))
    np.testing.assert_allclose(lines(rate)[0][0, 0], every / steps)
    for ax in (losses, mean_ap, rate):
        [above] = ax.child_axes
        assert above.get_xlabel() == "optimizer steps"
        np.testing.assert_allclose(above.get_xlim(), np.array(ax.get_xlim()) * steps, rtol=1e-6)
        assert "e" not in "".join([*labels(ax.yaxis), *labels(above.xaxis)])
        assert ax.yaxis.get_offset_text().get_text() == ""


def test_titles_say_what_is_drawn(tmp_path: Path) -> None:
    losses, mean_ap, rate = panels(run_of(3, 200, 1), tmp_path)
    assert losses.get_title() == "losses (mean of 20; pale: logged steps; dots: validation)"
    assert mean_ap.get_title() == "mAP on the validation images"
    assert rate.get_title() == "learning rate"
    assert [text.get_text() for text in mean_ap.get_legend().get_texts()] == [  # type: ignore[union-attr]
        "AP at IoU 0.5, 11 points (VOC07)",
        "AP at IoU 0.5, area (VOC10+)",
    ]
    assert [line[:, 1].tolist() for line in lines(mean_ap)] == [[0.5] * 3, [0.25] * 3]


def test_losses_are_the_means_that_the_terminal_shows(tmp_path: Path) -> None:
    rows = ["step,epoch,train/loss,train/mean_loss,val/loss"]
    for epoch, of_epoch in enumerate((4.0, 3.0, 2.5)):
        rows += [f"{3 * epoch + i},{epoch},{of_epoch + i - 1},," for i in range(3)]
        rows.append(f"{3 * epoch + 2},{epoch},,{of_epoch},7")
    losses, _, _ = panels(rows, tmp_path)
    mean, raw, _ = lines(losses)
    assert losses.get_title() == "losses (mean of each epoch; pale: logged steps; dots: validation)"
    assert mean.tolist() == [[1, 4.0], [2, 3.0], [3, 2.5]]
    assert len(raw) == 9
    losses, _, _ = panels(rows[:5], tmp_path)  # of one epoch the steps say more
    assert len(lines(losses)[0]) == 3


def test_losses_are_running_means_with_dots_of_the_validation(tmp_path: Path) -> None:
    rows = ["step,train/loss_box,val/loss_box"]
    rows += [f"{10 * i},{i * i + 1}," for i in range(90)]  # a thirtieth of the run is three steps
    losses, _, _ = panels([*rows, "900,,7"], tmp_path)
    mean, raw, validation = lines(losses)
    np.testing.assert_allclose(
        mean[:, 1], [sum((i + d) ** 2 + 1 for d in (-1, 0, 1)) / 3 for i in range(1, 89)]
    )
    assert len(raw) == 90
    assert validation.tolist() == [[1, 7]], "without epochs, the run is one"


def test_a_run_that_resumed_with_other_steps_has_epochs_of_other_lengths(tmp_path: Path) -> None:
    rows = ["epoch,step,val/map_07", "0,99,0.1", "1,199,0.2", "2,249,0.3", "3,299,0.4"]
    _, mean_ap, _ = panels(rows, tmp_path)
    np.testing.assert_allclose(lines(mean_ap)[0], [[1, 0.1], [2, 0.2], [3, 0.3], [4, 0.4]])


def test_numbers_are_plain() -> None:
    numbers = (0.0, 1.0, 0.00002, 0.001, 12.5, 40000.0, 0.30000000000000004)
    assert [plain(x) for x in numbers] == ["0", "1", "0.00002", "0.001", "12.5", "40000", "0.3"]


@pytest.mark.parametrize(
    "text", ["", "epoch,step\n", "epoch,step,train/loss\n0,1,2.5\n", "epoch,step,val/map_07\n0,1,nan\n"]
)
def test_curves_of_a_run_that_logged_little(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    plot_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
