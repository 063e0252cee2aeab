"""Steps are the same for all who take part, and for a run that is resumed."""

import pytest

from detection.data.sampling import GroupedBatchSampler, TrainSampler
from detection.data.stepped import Step, SteppedBatchSampler


def steps(epoch: int, rank: int = 0, parts: int = 1, begin: int = 0, num_steps: int = 15) -> list[Step]:
    """The step of each batch of a process; an epoch has five of four images."""
    sampler = TrainSampler(20, seed=3)
    batches = GroupedBatchSampler(sampler, None, 4, rank, world_size=2, parts=parts)
    batches.begin(2, begin)
    stepped = SteppedBatchSampler(batches, num_steps)
    stepped.sampler.set_epoch(epoch)
    drawn = list(stepped)
    assert len(stepped) == 5 * parts
    assert [[key for key, _ in batch] for batch in drawn] == list(batches)
    assert all(len({step for _, step in batch}) == 1 for batch in drawn)
    return [batch[0].step for batch in drawn]


def test_processes_and_parts_of_a_step_share_it() -> None:
    alone = steps(2)
    assert steps(2, rank=1) == alone
    assert steps(2, parts=2) == [step for step in alone for _ in range(2)]


def test_a_resumed_run_goes_on_with_the_same_steps() -> None:
    assert steps(2, begin=3) == steps(2)[3:]
    assert steps(2, begin=3, parts=2) == steps(2, parts=2)[6:]


def test_steps_differ_and_know_how_far_the_run_is() -> None:
    run = [*steps(0), *steps(1), *steps(2)]
    assert len({step.seed for step in run}) == 15
    assert [step.done for step in run] == pytest.approx([number / 15 for number in range(15)])
    short = SteppedBatchSampler(GroupedBatchSampler(TrainSampler(20, seed=3), None, 4), 4, of_epoch=2)
    short.sampler.set_epoch(1)
    assert [batch[0].step.done for batch in short][:2] == [0.5, 0.75], "epochs that end after two steps"
    assert [step.done for step in steps(2, num_steps=12)] == pytest.approx([10 / 12, 11 / 12, 1, 1, 1])
