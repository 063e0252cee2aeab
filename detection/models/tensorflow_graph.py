"""The constants of a frozen TensorFlow graph, read without TensorFlow.

The file is a GraphDef in protobuf's format. Only the fields that hold constants are described here, by the
numbers of TensorFlow's ``graph.proto``, ``node_def.proto``, ``attr_value.proto`` and ``tensor.proto``; all
others are passed over. Nothing in the file is executed.
"""

import math
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from torch import Tensor

MEMBER = "frozen_inference_graph.pb"
"""The graph's name in an archive of TensorFlow's model zoo."""
_LARGEST = 2**29  # bytes; that of SSD with MobileNetV2 has 70 million
_DT_FLOAT = 1

_FIELD = descriptor_pb2.FieldDescriptorProto
_MESSAGES: dict[str, list[tuple[str, int, int | str, bool]]] = {  # name, number, type, repeated
    "Dim": [("size", 1, _FIELD.TYPE_INT64, False)],
    "Shape": [("dim", 2, "Dim", True)],
    "Tensor": [
        ("dtype", 1, _FIELD.TYPE_INT32, False),
        ("shape", 2, "Shape", False),
        ("content", 4, _FIELD.TYPE_BYTES, False),
        ("floats", 5, _FIELD.TYPE_FLOAT, True),
    ],
    "Value": [("tensor", 8, "Tensor", False)],
    "Attribute": [("key", 1, _FIELD.TYPE_BYTES, False), ("value", 2, "Value", False)],
    "Node": [
        ("name", 1, _FIELD.TYPE_BYTES, False),
        ("op", 2, _FIELD.TYPE_BYTES, False),
        ("attributes", 5, "Attribute", True),
    ],
    "Graph": [("nodes", 1, "Node", True)],
}


@cache
def graph_message() -> Any:
    """The class of a graph's message, with the fields of ``_MESSAGES``."""
    file = descriptor_pb2.FileDescriptorProto(name="graph.proto", package="frozen", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, repeated in fields:
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".frozen.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("frozen.Graph"))


def read_graph_file(path: Path) -> bytes:
    """Reads a frozen graph, or the one in an archive of TensorFlow's model zoo.

    Args:
        path: ``frozen_inference_graph.pb``, or a tar archive with such a file.

    Raises:
        ValueError: the archive is damaged or has no graph, or the graph is larger than any known one.
        OSError: the file cannot be read.
    """
    if not tarfile.is_tarfile(path):
        return _bounded(path.stat().st_size, path) or path.read_bytes()
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and Path(member.name).name == MEMBER:
                    file = archive.extractfile(member)
                    assert file is not None
                    return _bounded(member.size, path) or file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}): fetch it again.") from error
    raise ValueError(f"{path} has no file {MEMBER}: it is another archive.")


def _bounded(size: int, path: Path) -> bytes:
    if size > _LARGEST:
        raise ValueError(f"{path}: a graph of {size} bytes is none that is known here; it is not read.")
    return b""


def read_constants(graph: bytes, source: str) -> dict[str, Tensor]:
    """Reads the float constants of a frozen graph.

    Args:
        graph: the file's content.
        source: its name, for the error message.

    Returns:
        float32 tensors by the names of their nodes, in TensorFlow's layout.

    Raises:
        ValueError: it is no graph, or a constant has not as many numbers as its shape says.
    """
    try:
        nodes = graph_message().FromString(graph).nodes
    except DecodeError as error:
        raise ValueError(f"{source} is damaged, or no frozen TensorFlow graph.") from error
    constants = {}
    for node in nodes:
        if node.op != b"Const":
            continue
        values = [attribute.value.tensor for attribute in node.attributes if attribute.key == b"value"]
        if values and values[0].dtype == _DT_FLOAT:
            name = node.name.decode(errors="replace")
            constants[name] = _as_tensor(values[0], f"{source}: the constant {name}")
    return constants


def _as_tensor(value: Any, who: str) -> Tensor:
    shape = [dim.size for dim in value.shape.dim]
    count = math.prod(shape)
    if value.content:
        numbers = np.frombuffer(value.content[: len(value.content) // 4 * 4], "<f4")
    else:
        numbers = np.array(value.floats, np.float32)
        if len(numbers) == 1 < count <= _LARGEST // 4:  # one number stands for all
            numbers = np.repeat(numbers, count)
    if min(shape, default=0) < 0 or len(numbers) != count:
        raise ValueError(f"{who} has {len(numbers)} numbers, its shape {shape} wants {count}.")
    return torch.from_numpy(numbers.astype(np.float32).reshape(shape))
