"""Counts what a GPU would have to do, on any machine: kernels, and reads that make the host wait.

The numbers are deterministic, so ordinary tests assert them.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from detection.ops import processor

# Run nothing on the device: views that their schema does not declare, and memory without values.
_FREE = {"_unsafe_view", "lift_fresh", "empty", "empty_like", "new_empty", "empty_strided"}
# Operations whose result, or its size, the host must wait for.
_READS = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "is_nonzero",
    "masked_select",
    "nms",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
    "_unique",
    "_unique2",
}
# A tensor on a CPU hands its values over without an operation.
_READING_METHODS = {Tensor.tolist, Tensor.cpu, Tensor.numpy}


class CountOperations:
    """Counts the operations inside its ``with`` block, those of a backward pass included.

    Attributes:
        kernels: operations that compute something; views are free.
        syncs: operations whose result the host waits for: ``nonzero``, an index that is a mask, ``item``,
            ``tolist``, ``nms`` and their like.
        peak_bytes: most memory that tensors made in the block held at once.
        reads: names of the operations in ``syncs``.
    """

    def __init__(self) -> None:
        self.kernels, self.peak_bytes = 0, 0
        self.reads: list[str] = []
        self._held: dict[int, int] = {}
        self._modes = ExitStack()

    @property
    def syncs(self) -> int:
        return len(self.reads)

    def __enter__(self) -> "CountOperations":
        self._modes.enter_context(_Functions(self))
        self._modes.enter_context(_Operations(self))
        return self

    def __exit__(self, *exception: object) -> None:
        self._modes.close()

    def saw_operation(self, operation: Any, arguments: tuple[Any, ...], outputs: Any) -> None:
        """Count an operation of torch's dispatcher."""
        name = operation._schema.name.partition("::")[2]
        if not operation.is_view and name not in _FREE:
            self.kernels += 1
        if name in _READS or _indexes_by_mask(name, arguments):
            self.reads.append(name)
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        if key not in self._held:
            self._held[key] = storage.nbytes()
            weakref.finalize(storage, self._held.pop, key)
            self.peak_bytes = max(self.peak_bytes, sum(self._held.values()))


def _indexes_by_mask(name: str, arguments: tuple[Any, ...]) -> bool:
    if name not in ("index", "index_put", "index_put_"):
        return False
    return any(
        isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in arguments[1]
    )


class _Operations(TorchDispatchMode):
    def __init__(self, count: CountOperations) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = count

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        self.count.saw_operation(func, args, outputs)
        return outputs


class _Functions(TorchFunctionMode):
    def __init__(self, count: CountOperations) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _READING_METHODS:
            self.count.reads.append(func.__name__)
        return func(*args, **(kwargs or {}))


def count_operations(run: Callable[[], Any]) -> CountOperations:
    """Run a function once and count its operations."""
    with CountOperations() as count:
        run()
    return count


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Compute on a CPU in the way that a GPU would be given, so that its operations can be counted."""
    with patch.object(processor, "on_cpu", lambda tensor: False):
        yield
