"""The service under load beside the bare exported file, on the same cores: ``python -m benchmarks.serving``.

The file alone runs in onnxruntime on pixels that are ready. The service decodes and resizes JPEGs, and its
clients share the cores. Both are measured in turns, so that a drift of the machine hits both.
"""

import argparse
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmarks.pictures import photographs
from detection.checkpoints.loading import load
from detection.data.image_files import decode_image
from detection.prediction.exported import ExportedDetector
from detection.system.processes import num_cores

_PICTURES = 64
_OUTPUTS = ["boxes", "scores", "labels", "num_detections"]


def bare(path: str, inputs: list[NDArray[Any]], sessions: int) -> Callable[[int], float]:
    """Runs the file in sessions that share the cores; gives the images per second of so many images."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, num_cores() // sessions)
    opened = [
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for _ in range(sessions)
    ]

    def work(session: Any, count: int) -> None:
        for number in range(count):
            session.run(_OUTPUTS, {"images": inputs[number % len(inputs)]})

    def measure(images: int) -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(sessions) as pool:
            list(pool.map(work, opened, [images // sessions] * sessions))
        return images // sessions * sessions / (time.perf_counter() - start)

    return measure


@contextmanager
def served(path: str, workers: str) -> Iterator[int]:
    """A service in processes of its own; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = [f"ckpt={path}", f"port={port}", f"workers={workers}"]
    command = [sys.executable, "-m", "detection.serve", *words]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            if not any("answers at" in line for line in process.stdout):
                raise SystemExit("The service did not start.")
            yield port
        finally:
            process.send_signal(signal.SIGTERM)


def load_of(port: int, pictures: list[bytes], clients: int, images: int) -> tuple[float, list[float]]:
    """Posts pictures from clients at once; gives images per second, and the seconds of each."""

    def client(first: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        seconds = []
        for number in range(first, images, clients):
            start = time.perf_counter()
            connection.request("POST", "/predict", pictures[number % len(pictures)])
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise SystemExit(f"An answer of status {response.status}: nothing may be lost.")
            seconds.append(time.perf_counter() - start)
        connection.close()
        return seconds

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = [one for some in pool.map(client, range(clients)) for one in some]
    return images / (time.perf_counter() - start), seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("file", help="an ONNX file that detection.export wrote")
    parser.add_argument("--workers", default="null", help="of the service, by default its own default")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--images", type=int, default=640, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    detector = load(given.file)
    if not isinstance(detector, ExportedDetector):
        parser.error(f"{given.file} is no ONNX file.")
    with photographs(_PICTURES) as records:
        pictures = [Path(record.path).read_bytes() for record in records]
    inputs = [
        detector.prepare(decode_image(content, upright=True))
        .image.numpy()[None]
        .astype(detector.reader.dtype)
        for content in pictures
    ]
    about = f"{num_cores()} cores, workers={given.workers}, {given.clients} clients"
    print(f"{os.path.basename(given.file)}, {about}")
    alone = {count: bare(given.file, inputs, count) for count in {1, num_cores()}}
    with served(given.file, given.workers) as port:
        load_of(port, pictures, given.clients, given.clients)  # warm
        _compare(given, alone, port, pictures)


def _compare(
    given: argparse.Namespace, alone: dict[int, Callable[[int], float]], port: int, pictures: list[bytes]
) -> None:
    ratios, seconds = [], []
    for number in range(given.rounds):
        rates = {count: measure(given.images // 2) for count, measure in alone.items()}
        rate, some = load_of(port, pictures, given.clients, given.images)
        seconds += some
        ratios.append(rate / max(rates.values()))
        told = ", ".join(f"{count} session(s) {value:.1f}" for count, value in sorted(rates.items()))
        print(
            f"round {number + 1}: file alone, images/s: {told}; service {rate:.1f}: {ratios[-1]:.2f} x",
            flush=True,
        )
    cuts = statistics.quantiles(seconds, n=100)
    print(
        f"{statistics.median(ratios):.2f} x the faster of the file alone; {len(seconds)} answers, none lost; "
        f"seconds of an answer: median {statistics.median(seconds):.2f}, 95th percentile {cuts[94]:.2f}, "
        f"99th {cuts[98]:.2f}"
    )


if __name__ == "__main__":
    main()
