"""``python -m detection.serve`` as its clients meet it: a real server on loopback."""

import base64
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import detection
import detection.serve as command
from detection.serve import serve
from detection.settings import Serve
from tests.started import assert_gone, children, wait_for
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent
CLASSES = ["circle", "square", "star"]
THRESHOLD = 0.4  # an untrained detector believes a little in everything
LIMITS = ("timeout=60", "max_megabytes=1", "max_megapixels=1")
FORM = "multipart/form-data; boundary=line"
FIELD = b'line\r\nContent-Disposition: form-data; name="threshold"\r\n\r\n0.3\r\n--line--'
Answer = tuple[int, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    ckpt: Path, *words: str, python: Sequence[str] = ()
) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    port = free_port()
    program = [*(python or warm_python()), "-m", "detection.serve"]
    process = subprocess.Popen(
        [*program, f"ckpt={ckpt}", f"port={port}", "device=cpu", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            wait_for(process, f"answers at http://127.0.0.1:{port}/predict")
            yield process, port
        finally:
            if process.poll() is None:
                process.terminate()


@pytest.fixture(scope="module")
def ckpt(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ssd"), "quickstart", CLASSES)


@pytest.fixture(scope="module")
def port(ckpt: Path) -> Iterator[int]:
    """One service for all; at its end it is told to end while it has requests."""
    with serving(ckpt, f"threshold={THRESHOLD}", "workers=1", "batch_size=4", *LIMITS) as (process, port):
        yield port
        sigterm_lets_it_answer_what_it_has_taken(process, port)


def picture(seed: int, size: tuple[int, int] = (120, 90), kind: str = "PNG", **options: Any) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(buffer, kind, **options)
    return buffer.getvalue()


def post(port: int, body: bytes, words: str = "", kind: str = "image/png") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", f"/predict{words}", body, {"Content-Type": kind})
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    return response.status, content


def as_form(name: str, content: bytes) -> tuple[bytes, str]:
    head = f'--line\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    return head.encode() + content + b"\r\n--line--\r\n", FORM


def refused(answer: Answer) -> tuple[int, str]:
    status, content = answer
    assert content.keys() == {"detail"}
    assert isinstance(content["detail"], str)
    return status, content["detail"]


def test_it_answers_what_the_detector_finds_however_the_image_is_sent(ckpt: Path, port: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = picture(1, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        expected = detection.load(ckpt, "cpu").predict(image, threshold=THRESHOLD)
    form = as_form("image", content)
    as_json = json.dumps({"image": base64.b64encode(content).decode()}).encode()
    in_lines = b'{"image": "data:image/png;base64,' + base64.encodebytes(content) + b'"}'
    answers = [
        post(port, content),
        post(port, content, kind="application/x-www-form-urlencoded"),  # as curl calls it
        post(port, form[0], kind=form[1]),
        post(port, as_json, kind="application/json"),
        post(port, in_lines, kind="application/json"),
    ]
    status, found = answers[0]
    assert status == 200
    assert answers == [answers[0]] * 5
    assert (found["width"], found["height"]) == (90, 120), "upright"
    assert len(found["detections"]) == len(expected) > 3
    for row, told in zip(found["detections"], expected.to_dicts(), strict=True):
        assert row["class"] == told["class"] == CLASSES[row["label"]]
        assert row["score"] == pytest.approx(told["score"], abs=1e-3)
        assert row["box"] == pytest.approx(told["box"], abs=0.05)


def test_a_request_chooses_threshold_and_classes(port: int) -> None:
    content = picture(2)
    _, everything = post(port, content, "?threshold=0")
    for words, keep in (
        ("?threshold=0.43", lambda row: row["score"] >= 0.43),
        ("?threshold=0&classes=star,circle", lambda row: row["class"] in ("star", "circle")),
        ("?threshold=0&classes=star&classes=circle", lambda row: row["class"] in ("star", "circle")),
        ("", lambda row: row["score"] >= THRESHOLD),
    ):
        expected = [row for row in everything["detections"] if keep(row)]
        assert 0 < len(expected) < len(everything["detections"])
        assert post(port, content, words)[1]["detections"] == expected, words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("?treshold=0.3", "treshold: a request has the parameters threshold and classes; did you mean"),
        ("?threshold=high", "threshold=high: give a number from 0 to 1."),
        ("?threshold=nan", "threshold=nan: give a number from 0 to 1."),
        ("?threshold=1.5", "threshold=1.5: give a number from 0 to 1."),
        ("?classes=sqare", "classes: this detector does not know 'sqare'. Did you mean square?"),
    ],
)
def test_wrong_parameters_are_told_in_a_sentence(words: str, sentence: str, port: int) -> None:
    status, detail = refused(post(port, picture(0), words))
    assert status == 422
    assert detail.startswith(sentence)


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        (b"", "image/png", "There is no image in the request"),
        (b"not a picture", "image/png", "The file is not an image that can be read"),
        (picture(0)[:200], "image/png", "The file cannot be decoded"),
        (picture(0, kind="JPEG")[:-300], "image/jpeg", "The file breaks off before its last pixel"),
        (b"{", "application/json", "The body is not JSON"),
        (b"\xff", "application/json", "The body is not JSON"),
        (b"[" * 100_000, "application/json", "The body is not JSON"),
        (b"[]", "application/json", 'The JSON is not {"image": "<base64>"}'),
        (b'{"image": 3}', "application/json", 'The JSON is not {"image": "<base64>"}'),
        (b'{"image": "?"}', "application/json", "The image in the JSON is not in base64"),
        (b'{"image": "\xc3\xa9"}', "application/json", "The image in the JSON is not in base64"),
        (b"1" * 5000, "application/json", "The body is not JSON"),
        (b'{"image": "a", "threshold": 1}', "application/json", "The JSON is not"),
        (*as_form("photo", picture(0)), 'The form has no file "image"'),
        (b"--" + FIELD, FORM, 'The form has no file "image"'),
        (as_form("image", picture(0))[0].replace(b"line--", FIELD), FORM, 'The form has more than "image"'),
        (b"no form", "multipart/form-data", ""),
        (b"no form", "multipart/form-data; boundary=line", ""),
    ],
)
def test_what_is_no_image_is_told_in_a_sentence(body: bytes, kind: str, sentence: str, port: int) -> None:
    status, detail = refused(post(port, body, kind=kind))
    assert status == 400
    assert detail.startswith(sentence)


def test_what_is_too_large_is_refused(port: int) -> None:
    status, detail = refused(post(port, picture(0, (1200, 900))))
    assert status == 413
    assert detail == "The image has 1200x900 pixels, more than 1 million: shrink it."
    told = (413, "The request has more than 1 MB, the limit: shrink the image.")
    assert refused(post(port, b"x" * 1_500_000)) == told
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)  # without saying how much comes
    connection.request("POST", "/predict", iter([b"x" * 600_000] * 2), encode_chunked=True)
    response = connection.getresponse()
    assert refused((response.status, json.loads(response.read()))) == told
    connection.close()


@pytest.mark.slow
def test_a_client_that_hangs_is_told_and_holds_up_nobody(ckpt: Path) -> None:
    seconds = 6
    with (
        serving(ckpt, f"timeout={seconds}") as (_, port),
        socket.create_connection(("127.0.0.1", port), timeout=60) as hanging,
    ):
        hanging.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbeginning")
        start = time.monotonic()
        assert post(port, picture(3))[0] == 200
        assert time.monotonic() - start < seconds
        answer = b""
        while not answer.endswith(b"}"):
            answer += hanging.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 408")
    assert json.loads(answer.splitlines()[-1]) == {
        "detail": f"The request did not arrive within {seconds} s."
    }


def test_many_clients_at_once_get_each_their_own_answer(port: int) -> None:
    contents = [picture(seed) for seed in range(32)]
    alone = [post(port, content) for content in contents[:4]]
    start = time.monotonic()
    with ThreadPoolExecutor(32) as clients:
        together = list(clients.map(lambda content: post(port, content), contents))
    assert time.monotonic() - start < 60
    assert [status for status, _ in together] == [200] * 32
    for (_, one), (_, other) in zip(alone, together[:4], strict=True):
        assert len(one["detections"]) == len(other["detections"])
        for row, same in zip(one["detections"], other["detections"], strict=True):
            assert row["class"] == same["class"]
            assert row["box"] == pytest.approx(same["box"], abs=0.05)


def test_it_says_whether_it_is_ready_and_what_it_knows(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/health")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"ok")
    connection.request("GET", "/info")
    about = json.loads(connection.getresponse().read())
    assert about["model"] == {"checkpoint": "quickstart.ckpt", "classes": CLASSES}
    connection.request("GET", "/predict")
    assert connection.getresponse().status == 405
    connection.close()


def send(port: int, content: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)
    return connection


def receive(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def sigterm_lets_it_answer_what_it_has_taken(process: "subprocess.Popen[str]", port: int) -> None:
    connections = [send(port, picture(seed)) for seed in range(8)]
    idle = socket.create_connection(("127.0.0.1", port), timeout=60)
    assert connections[0].recv(12) == b"HTTP/1.1 200"  # the others are taken by then
    process.send_signal(signal.SIGTERM)
    assert all(receive(connection).startswith(b"HTTP/1.1 200") for connection in connections[1:])
    assert receive(idle) == b""
    connections[0].close()
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 143, out + errors
    assert errors.split("\n") == ["", "Stopped by SIGTERM.", "Requests under way had 5 s to be answered.", ""]
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def processes(pid: int, words: bytes) -> list[int]:
    """Those that a service has started whose command line has these words."""
    return [child for child in children(pid) if words in Path(f"/proc/{child}/cmdline").read_bytes()]


def computed(pid: int) -> int:
    """The ticks for which a process has computed."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


@pytest.mark.slow
def test_a_network_whose_process_is_killed_tells_whom_it_failed_and_is_started_again(ckpt: Path) -> None:
    large = io.BytesIO()
    Image.new("RGB", (7000, 7000)).save(large, "PNG")
    with serving(ckpt, "workers=1", "timeout=600", python=[sys.executable]) as (process, port):
        (network,) = processes(process.pid, b"spawn_main")
        before = computed(network)
        with ThreadPoolExecutor(1) as client:
            answer = client.submit(post, port, large.getvalue())
            while computed(network) < before + 10:
                time.sleep(0.01)
            os.kill(network, signal.SIGKILL)
            start = time.monotonic()
            status, detail = refused(answer.result())
        assert time.monotonic() - start < 100, "before its time is over"
        assert (status, detail) == (500, "The process of the network ended at this image or one beside it.")
        assert post(port, picture(0))[0] == 200, "it waits for the next network"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["queues", "http"])
def test_a_process_that_cannot_be_replaced_ends_the_service(ckpt: Path, which: str) -> None:
    with serving(ckpt, "workers=1", python=[sys.executable]) as (process, port):
        assert post(port, picture(0))[0] == 200
        together = children(process.pid)
        queues, answering = sorted(processes(process.pid, b"detection.serve"))
        os.kill(queues if which == "queues" else answering, signal.SIGKILL)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert errors.endswith("for lack of memory: lower workers, or batch_size.\n")
    assert_gone(together)


@pytest.mark.slow
def test_a_network_that_does_not_become_ready_is_told(ckpt: Path) -> None:
    words = (f"ckpt={ckpt}", f"port={free_port()}", "workers=2")
    program = [sys.executable, "-m", "detection.serve", *words]
    with subprocess.Popen(program, cwd=ROOT, text=True, stderr=subprocess.PIPE) as process:
        networks: list[int] = []
        while len(networks) < 2 and process.poll() is None:
            networks = processes(process.pid, b"spawn_main")
            time.sleep(0.01)
        os.kill(networks[0], signal.SIGKILL)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert errors.startswith("A process of the service ended.")
    assert_gone(networks[1:])


@pytest.mark.slow
def test_an_exported_file_is_served(ckpt: Path, tmp_path: Path) -> None:
    path = detection.export(ckpt, tmp_path / "best.onnx", num_images=1)
    expected = detection.load(path).predict(Image.open(io.BytesIO(picture(4))), threshold=THRESHOLD)
    with serving(path, f"threshold={THRESHOLD}") as (_, port):
        status, found = post(port, picture(4))
    assert status == 200
    assert [row["class"] for row in found["detections"]] == expected.classes
    assert len(expected) > 3


def test_the_container_copies_what_is_here_and_asks_the_port_of_the_service() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert {name for name in copied if (ROOT / name).exists()} == {*copied}
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} == {line for line in sent if line.startswith("!")}
    (start,) = (
        json.loads(line.removeprefix("ENTRYPOINT")) for line in lines if line.startswith("ENTRYPOINT")
    )
    (words,) = (json.loads(line.removeprefix("CMD")) for line in lines if line.startswith("CMD"))
    assert start[:2] == ["detection", "serve"]
    asked = dict(word.split("=") for word in [*start[2:], *words])
    assert f"127.0.0.1:{Serve(**asked).port}/health" in "".join(lines)
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert {service["command"][0] for service in compose["services"].values()} == {*words}


@pytest.fixture
def settings(tmp_path: Path) -> Serve:
    return Serve(str(tmp_path / "none.ckpt"), port=free_port(), device="cpu")


def test_mistakes_are_told_before_anything_is_loaded(settings: Serve) -> None:
    with socket.socket() as other:
        other.bind((settings.host, settings.port))
        other.listen()
        with pytest.raises(OSError, match=rf"port={settings.port}: it cannot be opened on 127.0.0.1 \(Addr"):
            serve(settings)
    with pytest.raises(FileNotFoundError, match=r"none.ckpt: there is no such checkpoint"):
        serve(settings)


def test_a_missing_package_is_named(settings: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    with pytest.raises(ImportError, match=r"serve needs litserve .*pip install -e '.\[serve\]'"):
        serve(settings)


def test_as_many_networks_as_cores_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, gigabytes, workers in ((4, 16, 4), (4, 3, 2), (2, 0.5, 1)):
        monkeypatch.setattr(command, "num_cores", lambda cores=cores: cores)
        monkeypatch.setattr(command, "available_memory", lambda bytes_=gigabytes * 1e9: bytes_)
        assert command.fitting_workers() == workers


def test_a_class_that_the_detector_does_not_know_is_refused(ckpt: Path) -> None:
    with pytest.raises(ValueError, match="does not know 'dog'"):
        serve(Serve(str(ckpt), port=free_port(), classes=["dog"], device="cpu"))
