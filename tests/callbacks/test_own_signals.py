"""Which signals end a run, and how Slurm is asked to queue it again."""

import signal
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

from detection.callbacks.own_signals import announcing, keep_own_signals, queue_again
from detection.system import endings


@pytest.fixture
def trainer() -> pl.Trainer:
    return pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for Slurm's, and writes down what it is asked."""
    asked, program = tmp_path / "asked", tmp_path / "scontrol"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nopen({str(asked)!r}, 'w').write(' '.join(sys.argv[1:]))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return asked


def test_a_job_is_queued_again(trainer: pl.Trainer, scontrol: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert queue_again(trainer) == ""
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert queue_again(trainer) == "Slurm queues job 17 again, which then resumes by itself."
    assert scontrol.read_text() == "requeue 17"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "5")
    assert "job 12_5 again" in queue_again(trainer)
    assert scontrol.read_text() == "requeue 12_5"


def test_slurm_may_refuse(trainer: pl.Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Slurm does not queue job 17 again ([Errno 2] No such file" in queue_again(trainer)
    program = tmp_path / "scontrol"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('Requested operation is disabled')\n")
    program.chmod(0o755)
    assert "again (Requested operation is disabled): submit it" in queue_again(trainer)


def test_the_signal_is_the_one_that_slurm_is_told_to_send() -> None:
    for asked in (signal.SIGUSR1, signal.SIGUSR2):
        plugin = SLURMEnvironment(requeue_signal=asked)
        options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
        assert announcing(pl.Trainer(plugins=[plugin], **options)) == asked  # type: ignore[arg-type]


def test_a_trainer_hears_it_while_it_works(trainer: pl.Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_state", endings._State())
    keep_own_signals(trainer)
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
    trainer._signal_connector.register_signal_handlers()
    try:
        assert signal.getsignal(signal.SIGTERM) == before[1]
        with pytest.raises(endings.ToldToEnd) as told:
            signal.raise_signal(signal.SIGUSR1)
        assert told.value.code == 128 + signal.SIGUSR1
    finally:
        trainer._signal_connector.teardown()
    assert signal.getsignal(signal.SIGUSR1) == before[0]
