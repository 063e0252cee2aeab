"""Answer requests over HTTP with what a detector finds: ``python -m detection.serve --help``."""

import socket

from omegaconf import DictConfig

from detection.checkpoints.notes import notes
from detection.cli.compose import checked_config, errors_in_a_sentence
from detection.cli.entry import run_with_hints
from detection.cli.hydra_versions import hydra_main
from detection.settings import Serve
from detection.system.endings import say_at_the_end
from detection.system.processes import available_memory, num_cores

_BYTES = 1e9  # that a process with a small network takes
_SHARE = 0.8  # of the memory that is left


@hydra_main("serve")
def main(cfg: DictConfig) -> None:
    """Serve a detector until it is told to end."""
    with errors_in_a_sentence():
        serve(Serve.of(checked_config(cfg, Serve)))


def serve(settings: Serve) -> None:
    """Answer requests until the process is told to end.

    Args:
        settings: what to serve, and where.

    Raises:
        ValueError: there is no such class or device, or it is no checkpoint of this project.
        OSError: there is no such checkpoint, or the port is taken.
        ImportError: LitServe is not installed.
    """
    # The user's mistakes first: the network takes seconds to load.
    _refuse_taken_port(settings)
    try:
        import python_multipart  # noqa: F401  # LitServe does not ask for what reads forms

        from detection.serving.server import DRAIN_SECONDS, run
    except ImportError as error:
        raise ImportError(
            f"serve needs litserve and python-multipart ({error}): pip install -e '.[serve]'"
        ) from error
    from detection.checkpoints.loading import load
    from detection.prediction.trained import TrainedDetector

    # Here too, though the network runs in other processes: what is wrong is one sentence.
    detector = load(settings.ckpt, settings.device, settings.plugins)
    on_gpu = False
    if isinstance(detector, TrainedDetector):  # else an exported file
        if told := notes(detector.described, settings.ckpt):
            print(told)
        on_gpu = next(detector.task.network.parameters()).device.type != "cpu"
    class_names = detector.class_names
    del detector
    say_at_the_end(lambda: f"Requests under way had {DRAIN_SECONDS} s to be answered.")
    run(settings, settings.workers or (1 if on_gpu else fitting_workers()), class_names)


def fitting_workers() -> int:
    """How many networks the CPU has cores and memory for."""
    return max(1, min(num_cores(), int(_SHARE * available_memory() / _BYTES)))


def _refuse_taken_port(settings: Serve) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise OSError(
                f"port={settings.port}: it cannot be opened on {settings.host} ({error.strerror}): choose "
                f"another, such as port={settings.port + 1 if settings.port < 65535 else 8000}."
            ) from error


if __name__ == "__main__":
    run_with_hints(main, "serve")
