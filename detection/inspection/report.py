"""The report of an inspection, for the terminal and as JSON."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detection.data.formats.findings import SEVERITIES, Finding
from detection.inspection.coverage import Coverage
from detection.inspection.duplicates import NearDuplicates, Twins
from detection.inspection.inspect import Inspection
from detection.inspection.statistics import ASPECT_EDGES, SIDE_EDGES, Statistics, histogram, range_label
from detection.system.files import json_of
from detection.system.wording import counted, escaped

COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
MAX_FILES = 3
MAX_CLASSES = 40


def print_report(
    console: Console, inspection: Inspection, statistics: Statistics, coverage: Coverage, model: str
) -> None:
    """Prints what was found, what the dataset holds, and how well anchors fit.

    Args:
        console: where to print.
        inspection: what was found.
        statistics: counts and shapes.
        coverage: overlaps with the anchors.
        model: the network's name.
    """
    for note in inspection.notes:
        console.print(escape(note), highlight=False)
    if inspection.images:
        console.print(_counts_table(inspection, statistics))
    if len(coverage.labels):
        console.print(_coverage_table(coverage, model))
        if coverage.settings:
            console.print(f"Its anchors: {escape(coverage.settings)}", highlight=False, soft_wrap=True)
    if inspection.findings:
        console.print(_findings_table(inspection.findings))
    else:
        console.print("Nothing is wrong with this dataset.", style="green")


def summary(inspection: Inspection, near: NearDuplicates) -> str:
    """How many findings of each severity, in how many images; and near-duplicates across splits, if any."""
    counts = ", ".join(counted(inspection.count(severity), severity) for severity in SEVERITIES)
    objects = sum(len(image.record.objects) for image in inspection.images)
    line = f"{counts} in {counted(len(inspection.images), 'image')} with {counted(objects, 'usable object')}"
    if near.across:
        images = counted(len(near.across), "image")
        line += f"\n{images} that a model is judged by: almost the same as one of train (near-duplicates)"
    return line


def write_json(
    path: Path,
    inspection: Inspection,
    statistics: Statistics,
    coverage: Coverage,
    near: NearDuplicates,
    model: str,
    changes: Sequence[str],
) -> None:
    """Writes everything that is known.

    Args:
        path: file to write.
        inspection: what was found.
        statistics: counts and shapes.
        coverage: overlaps with the anchors.
        near: images that look almost the same.
        model: the network's name.
        changes: what the corrected copy changed, if one was written.
    """
    sides, aspects = histogram(statistics.sides, SIDE_EDGES), histogram(statistics.aspects, ASPECT_EDGES)
    content: dict[str, Any] = {
        "summary": {severity: inspection.count(severity) for severity in SEVERITIES},
        "findings": [{"severity": item.severity, **item._asdict()} for item in inspection.findings],
        "notes": inspection.notes,
        "classes": inspection.classes,
        "images": statistics.images,
        "objects": statistics.objects,
        "images_with": statistics.images_with,
        "difficult": statistics.difficult,
        "side_pixels": dict(zip(sides.labels, sides.counts, strict=True)),
        "aspect": dict(zip(aspects.labels, aspects.counts, strict=True)),
        "near_duplicates": {
            "across": [_twins_content(pair) for pair in near.across],
            "within": [_twins_content(pair) for pair in near.within],
        },
        "anchors": _coverage_content(coverage, model),
        "changes": changes,
    }
    path.write_text(json_of(content, indent=1) + "\n", encoding="utf-8")


def _twins_content(pair: Twins) -> dict[str, Any]:
    return {
        "first": {"split": pair.first.split, "file": pair.first.record.file},
        "second": {"split": pair.second.split, "file": pair.second.record.file},
        "similarity": round(pair.similarity, 4),
    }


def _coverage_content(coverage: Coverage, model: str) -> dict[str, Any]:
    def below(counts: Sequence[int]) -> dict[str, int]:
        pairs = zip(coverage.thresholds, counts, strict=True)
        return {f"iou_below_{bound:g}": count for bound, count in pairs}

    count, counts = coverage.total()
    return {
        "model": model,
        "objects": count,
        **below(counts),
        "by_class": {name: {"objects": n, **below(under)} for name, n, under in coverage.by_class()},
        "by_side": {
            range_label(low, high): {"objects": n, **below(u)} for low, high, n, u in coverage.by_side()
        },
    }


def _counts_table(inspection: Inspection, statistics: Statistics) -> Table:
    table = Table(title="Objects", title_justify="left", title_style="bold")
    table.add_column("class")
    for split in inspection.splits:
        table.add_column(split, justify="right")
    table.add_row("(images)", *(str(statistics.images[split]) for split in inspection.splits), style="dim")
    for name in inspection.classes[:MAX_CLASSES]:
        counts = [statistics.objects[split][name] for split in inspection.splits]
        table.add_row(escape(name), *(str(count) if count else "[yellow]0[/]" for count in counts))
    if len(inspection.classes) > MAX_CLASSES:
        table.add_row(f"({counted(len(inspection.classes) - MAX_CLASSES, 'more class')})", style="dim")
    totals = [sum(statistics.objects[split].values()) for split in inspection.splits]
    table.add_section()
    table.add_row("all", *map(str, totals))
    table.add_row("of these difficult", *(str(statistics.difficult[split]) for split in inspection.splits))
    return table


def _coverage_table(coverage: Coverage, model: str) -> Table:
    title = f"Anchors of {model}: objects that no anchor overlaps enough"
    caption = "Such an object is learned from its single best anchor only."
    table = Table(title=title, title_justify="left", title_style="bold", caption=caption)
    table.add_column("side in the input, pixels")
    table.add_column("objects", justify="right")
    for bound in coverage.thresholds:
        table.add_column(f"best IoU < {bound:g}", justify="right")
    for low, high, count, below in coverage.by_side():
        table.add_row(range_label(low, high), str(count), *(_share(part, count) for part in below))
    total, below = coverage.total()
    table.add_section()
    table.add_row("all", str(total), *(_share(part, total) for part in below))
    worst = sorted(coverage.by_class(), key=lambda row: -row[2][0] / row[1])[:3]
    for name, count, below in worst:
        if below[0]:
            table.add_row(f"worst: {escape(name)}", str(count), *(_share(part, count) for part in below))
    return table


def _findings_table(findings: Sequence[Finding]) -> Table:
    groups: dict[str, list[Finding]] = defaultdict(list)
    for item in findings:
        groups[item.kind].append(item)
    table = Table(title="Findings", title_justify="left", title_style="bold", show_lines=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("number", justify="right")
    table.add_column(f"where and what (the first {MAX_FILES} of each; all are in report.json)")
    for kind, group in groups.items():
        colour = COLOURS[group[0].severity]
        shown = [(escape(escaped(item.file)), escape(item.message)) for item in group[:MAX_FILES]]
        lines = [f"[bold]{file}[/] {message}" for file, message in shown]
        table.add_row(f"[{colour}]{group[0].severity}[/]\n{kind}", str(len(group)), "\n".join(lines))
    return table


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if part else "0"
