"""Detectors that torchvision and TensorFlow trained on COCO: their weights, under the names of ours."""

from pathlib import Path

from detection.models.backbones.weights import download, read_file
from detection.models.tensorflow_graph import read_graph_file
from detection.models.tensorflow_weights import PUBLISHED_GRAPHS, convert_ssd_mobilenet_v2, download_graph
from detection.models.torchvision_weights import PUBLISHED, State

TORCHVISION, TENSORFLOW = "torchvision/", "tensorflow/"


def published_names() -> list[str]:
    """The names of all published detectors."""
    return [TORCHVISION + name for name in PUBLISHED] + [TENSORFLOW + name for name in PUBLISHED_GRAPHS]


def published_weights(name: str, file: str | None = None) -> State:
    """Gets the weights of a published detector.

    Args:
        name: one of ``published_names``.
        file: where they lie; None to find them in torch hub's folder, or to download them.

    Returns:
        What our network of 80 classes loads.

    Raises:
        ValueError: there is no such detector, or its weights cannot be had or do not fit.
    """
    if name not in published_names():
        raise ValueError(f"There are no weights {name}; there are {', '.join(published_names())}.")
    publisher, _, detector = name.partition("/")
    if publisher == "tensorflow":
        otherwise = f"give {name}:/path/to/frozen_inference_graph.pb, or to the archive with it"
        if file is None:
            return convert_ssd_mobilenet_v2(download_graph(detector, otherwise), name)
        path = Path(file).expanduser()
        if not path.is_file():
            raise ValueError(f"There is no weights file {path}; {otherwise}.")
        return convert_ssd_mobilenet_v2(read_graph_file(path), str(path))
    published = PUBLISHED[detector]
    if file is None:
        state = download(published.url, f"give {name}:/path/to/{published.url.rsplit('/', 1)[-1]}")
    else:
        state = read_file(Path(file).expanduser(), f"give {name}:/path/to/the/weights.pth")
    try:
        return published.convert(state)
    except ValueError as error:
        raise ValueError(f"{file or name}: {error}") from error
