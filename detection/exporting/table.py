"""The comparison as a table for the terminal."""

from detection.exporting.verification import LEAST_COMMON_PROPOSALS, Result


def _line(name: str, *cells: str) -> str:
    return f"{name:<30} " + " ".join(f"{cell:>10}" for cell in cells)


HEADING = _line("image", "input", "batch", "found", "in file", "box, px", "score", "borderline")


def row(result: Result) -> str:
    """One image: its size, detections of both, largest differences, and a reason if they are too large."""
    difference = result.difference
    line = _line(
        result.name if len(result.name) <= 30 else f"...{result.name[-27:]}",
        f"{result.size[1]}x{result.size[0]}",
        str(result.batch),
        str(difference.count),
        str(difference.file_count),
        f"{difference.box:.5f}",
        f"{difference.score:.7f}",
        str(difference.borderline),
    )
    return line if result.tolerable else f"{line}   {_reason(result)}"


def summary(results: list[Result]) -> str:
    """The largest differences of all images."""
    differences = [result.difference for result in results]
    shares = [result.common_proposals for result in results if result.common_proposals is not None]
    proposals = f", at least {min(shares):.1%} of proposals in common" if shares else ""
    borderline = sum(difference.borderline for difference in differences)
    doubtful = f", {borderline} borderline detections" if borderline else ""
    return (
        f"boxes within {max(difference.box for difference in differences):.5f} px, "
        f"scores within {max(difference.score for difference in differences):.7f}{proposals}{doubtful}"
    )


def _reason(result: Result) -> str:
    difference = result.difference
    if difference.unexplained:
        return f"<- {difference.unexplained} detections have no partner"
    if result.common_proposals is not None and result.common_proposals < LEAST_COMMON_PROPOSALS:
        return f"<- only {result.common_proposals:.0%} of the proposals are the same"
    return "<- differs too much"
