"""A resumed training begins in its data where it ended."""

import pickle
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from types import SimpleNamespace as Having
from typing import Any

import pytest
import torch
from lightning_fabric.utilities.types import _Stateful

from detection.data import position
from detection.data.position import Position, ResumableLoader, same_share, start_of_worker
from detection.data.sampling import GroupedBatchSampler, TrainSampler
from detection.system import endings


def a_trainer(started: int, processed: int, batches: int, parts: int = 1) -> Any:
    epochs = Having(current=Having(started=started, processed=processed))
    loop = Having(batch_progress=Having(current=Having(processed=batches)))
    return Having(fit_loop=Having(epoch_progress=epochs, epoch_loop=loop), accumulate_grad_batches=parts)


def test_it_counts_steps_of_the_epoch_that_is_begun() -> None:
    assert Position.of(a_trainer(3, 2, 6, parts=2), 10) == Position(2, 3, 10)
    assert Position.of(a_trainer(3, 2, 0), 10) == Position(2, 0, 10)
    assert Position.of(a_trainer(3, 3, 20, parts=2), 10) == Position(3, 0, 10)


def test_it_keeps_the_share() -> None:
    assert [Position(0, 3, 10).steps_done(now) for now in (10, 20, 5, 1)] == [3, 6, 1, 0]
    assert same_share(10, 10, 7) == 7


def test_the_trainer_takes_a_loader_for_resumable() -> None:
    loader = ResumableLoader([1, 2])  # type: ignore[arg-type]
    assert isinstance(loader, _Stateful)
    loader.load_state_dict(loader.state_dict())


@pytest.mark.parametrize("groups", [None, [0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1]])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("rank", [0, 1])
def test_the_steps_that_are_done_are_left_out_in_their_epoch_alone(
    groups: list[int] | None, parts: int, rank: int
) -> None:
    def batches(epoch: int, *begin: int) -> list[Any]:
        sampler = TrainSampler(11, seed=3)
        sampler.set_epoch(epoch)
        made = GroupedBatchSampler(sampler, groups, 4, rank=rank, world_size=2, parts=parts)
        if begin:
            made.begin(*begin)
            assert len(made) == 2 * parts, "the trainer counts whole epochs"
        return list(made)

    assert batches(5, 5, 0) == batches(5)
    assert batches(5, 5, 1) == batches(5)[parts:]
    assert batches(5, 5, 2) == []
    assert batches(6, 5, 1) == batches(6)


@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (1, 2), (2, 1), (4, 1), (2, 2)])
@pytest.mark.parametrize("groups", [None, [0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1]])
def test_another_number_of_processes_resumes_with_the_same_samples_in_the_same_order(
    groups: list[int] | None, processes: int, parts: int
) -> None:
    """Two processes have trained a step of the epoch; what is left is what they would have trained."""

    def steps(world_size: int, parts: int, done: int) -> list[Any]:
        of_ranks = []
        for rank in range(world_size):
            sampler = TrainSampler(11, seed=3)
            sampler.set_epoch(5)
            made = GroupedBatchSampler(sampler, groups, 4, rank=rank, world_size=world_size, parts=parts)
            position = Position.of(a_trainer(6, 5, 1), made.num_steps)  # of those two
            made.begin(5, position.steps_done(made.num_steps) if done else 0)
            batches = list(made)
            of_ranks.append([[*chain(*batches[i : i + parts])] for i in range(0, len(batches), parts)])
        return [[*chain(*step)] for step in zip(*of_ranks, strict=True)]

    assert steps(processes, parts, 1) == steps(2, 1, 0)[1:]


@pytest.mark.parametrize("hears", [True, False])
def test_a_worker_that_is_not_forked_knows_whether_signals_are_heard(
    monkeypatch: pytest.MonkeyPatch, hears: bool
) -> None:
    """Ctrl-C is not for the workers of a command; of who imports this package, that is left to him."""
    monkeypatch.setattr(endings._state, "hears", hears)
    start = pickle.loads(pickle.dumps(start_of_worker()))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=start, initargs=(0,)) as pool:
        handler = pool.submit(signal.getsignal, signal.SIGINT).result()
    assert (handler == signal.SIG_IGN) == hears


def test_processes_fork_a_moment_after_a_collective(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    position._wait_before_fork()
    assert waited == [], "one process has no threads of gloo"
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    position._wait_before_fork()
    assert waited == [0.02]
