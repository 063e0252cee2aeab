"""Runs the benchmarks of this folder, one thread, and prints their table: ``make benchmark ROWS=1,4``."""

import argparse
import importlib
import pkgutil
import time
from pathlib import Path

import torch

from benchmarks import table
from benchmarks.harness import Benchmark, Result


def benchmarks() -> dict[str, Benchmark]:
    """The rows of all ``bench_*`` modules here, by number."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names if name.startswith("bench_")]
    rows = {number: run for module in modules for number, run in module.ROWS.items()}
    return dict(sorted(rows.items(), key=lambda row: int(row[0])))


def main() -> None:
    """Run the rows that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", default="", help="numbers of rows, separated by commas; all by default")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    arguments = parser.parse_args()
    rows = benchmarks()
    chosen = [number.strip() for number in arguments.rows.split(",") if number.strip()] or list(rows)
    if unknown := [number for number in chosen if number not in rows]:
        parser.error(f"There is no row {', '.join(unknown)}; there are {', '.join(rows)}.")

    torch.set_num_threads(1)
    results: list[Result] = []
    for i, number in enumerate(chosen, start=1):
        print(f"row {number} ({i} of {len(chosen)}) ...", end="", flush=True)
        start = time.perf_counter()
        results += rows[number]()
        print(f" {time.perf_counter() - start:.0f} s", flush=True)
    print()
    print(table.as_text(results))
    if arguments.json:
        arguments.json.write_text(table.as_json(results))
    if arguments.markdown:
        arguments.markdown.write_text(table.as_markdown(results))


if __name__ == "__main__":
    main()
