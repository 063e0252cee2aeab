"""The processes of the service: LitServe's, and how they end.

One process speaks HTTP, others have a network each, one keeps the queues between them, and the first has
started them all. When one that has a network is killed, what it held is answered and another takes its place;
when another one is, or when no network becomes ready, the service ends.
"""

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import litserve
from litserve.utils import WorkerSetupStatus

from detection.prediction.selection import Selection, find_labels
from detection.serving.requests import PATH, Defaults, Limits
from detection.serving.service import DetectionAPI, refusal
from detection.settings import Serve
from detection.system.processes import end_with_parent
from detection.system.wording import counted

DRAIN_SECONDS = 5
"""For what is being answered when the service is told to end: the process is gone after eight."""
_ENDED = (
    "A process of the service ended. What it said is above; without a word, it was killed, mostly for lack "
    "of memory: lower workers, or batch_size."
)


class _Server(litserve.LitServer):  # type: ignore[misc]  # LitServe has no types
    def verify_worker_status(self) -> None:
        # LitServe's own way waits for ever where a process was killed before its network was ready, and
        # leaves the others behind where a signal ends the waiting.
        try:
            while WorkerSetupStatus.READY not in self.workers_setup_status.values():
                if not all(process.is_alive() for process in self.inference_workers):
                    raise ChildProcessError(_ENDED)
                time.sleep(0.05)
        except BaseException:
            for process in self.inference_workers:
                process.terminate()
            raise

    def launch_single_inference_worker(self, lit_api: DetectionAPI, worker_id: int) -> BaseProcess:
        # LitServe calls it where a process with a network has ended. It marks what that held in its own
        # memory, not in that of the process which speaks HTTP.
        for uid in lit_api.held[worker_id].value.decode().split():
            lost = "The process of the network ended at this image or one beside it."
            lit_api.loop.put(self._transport, uid, refusal(500, lost))
        lit_api.held[worker_id].value = b""
        ended: BaseProcess = self.inference_workers[worker_id]
        status = self.workers_setup_status[f"{PATH.removeprefix('/')}_{worker_id}"]
        if status == WorkerSetupStatus.READY:
            ended = super().launch_single_inference_worker(lit_api, worker_id)
        else:  # it would not become ready the next time either
            self.end()
        return ended

    def end(self) -> None:
        """Let ``run`` return."""
        with suppress(Exception):  # the process that keeps the event may have gone
            self._shutdown_event.set()

    def _perform_graceful_shutdown(self, *args: Any, **options: Any) -> None:
        # A signal has ended the main thread's question to the process that keeps the queues, and its answer
        # would be taken for that to the next one. Another thread has a connection of its own.
        ending = threading.Thread(target=self._end_all, args=args, kwargs=options, daemon=True)
        ending.start()
        ending.join()

    def _end_all(self, *args: Any, **options: Any) -> None:
        self.end()  # or LitServe's monitor starts the processes that end here again
        super()._perform_graceful_shutdown(*args, **options)


def run(settings: Serve, workers: int, class_names: Sequence[str]) -> None:
    """Answer requests until the process is told to end.

    Args:
        settings: what to serve, and where.
        workers: how many processes with a network there are.
        class_names: the detector's, in label order.

    Raises:
        ValueError: the settings name a class that the detector does not know.
        ChildProcessError: a process ended that cannot be replaced, or no network became ready.
    """
    server = _Server(
        DetectionAPI(settings, workers),
        accelerator="cpu",  # where a network runs is the detector's business
        workers_per_device=workers,
        timeout=settings.timeout,
        model_metadata={"checkpoint": os.path.basename(settings.ckpt), "classes": list(class_names)},
        middlewares=[(Limits, {"settings": settings})],
        disable_openapi_url=True,
        restart_workers=True,
    )
    server.uvicorn_graceful_timeout = DRAIN_SECONDS
    select = Selection(settings.threshold, find_labels(settings.classes, class_names))
    server.app.state.defaults = Defaults(select, class_names)
    os.register_at_fork(after_in_child=end_with_parent)
    threading.Thread(target=_watch, args=(server, settings, len(class_names)), daemon=True).start()
    with suppress(EOFError, ConnectionError):  # of the process that keeps the queues
        server.run(
            settings.host,
            settings.port,
            num_api_servers=1,
            log_level="warning",
            generate_client_file=False,
        )
    raise ChildProcessError(_ENDED)


def _watch(server: _Server, settings: Serve, num_classes: int) -> None:
    """Say where the service is, once it is there, and end it with a process that LitServe does not watch."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    while True:  # networks come before the address is open
        with suppress(OSError), socket.create_connection((host, settings.port), timeout=1):
            break
        time.sleep(0.05)
    address = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    print(
        f"{settings.ckpt} ({counted(num_classes, 'class')}) answers at {address}{PATH}. Ctrl-C ends it.",
        flush=True,
    )
    networks = server.inference_workers
    wait([process.sentinel for process in multiprocessing.active_children() if process not in networks])
    server.end()
