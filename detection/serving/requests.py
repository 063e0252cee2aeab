"""What a request says, and what is refused before the network sees it, each time by one sentence in JSON."""

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from detection.prediction.selection import Selection, find_labels
from detection.settings import Serve
from detection.system.wording import are, counted
from detection.validation.suggestions import did_you_mean

PATH = "/predict"
_PARAMETERS = ("threshold", "classes")
_IN_ADDRESS = "parameters stand in the address, ?threshold=0.3"
_HOW = 'send its bytes, a form with the field "image", or JSON, {"image": "<base64>"}'


@dataclass(frozen=True)
class Wanted:
    """What a request asks for."""

    content: bytes
    """Of an image file."""
    select: Selection
    """What to answer of what is found."""


@dataclass(frozen=True)
class Defaults:
    """What holds where a request does not say.

    Args:
        select: which detections to answer.
        class_names: the detector's, in label order.
    """

    select: Selection
    class_names: Sequence[str]

    def selection(self, parameters: Mapping[str, str]) -> Selection:
        """What the parameters of a request select.

        Args:
            parameters: those of its address.

        Raises:
            ValueError: there is no such parameter, or its value cannot be.
        """
        for name in parameters:
            if name not in _PARAMETERS:
                raise ValueError(
                    f"{name}: a request has the parameters {' and '.join(_PARAMETERS)}"
                    f"{did_you_mean(name, _PARAMETERS)}"
                )
        threshold, labels = self.select.threshold, self.select.labels
        if "threshold" in parameters:
            threshold = _share(parameters["threshold"])
        if "classes" in parameters:
            labels = find_labels(parameters["classes"].split(","), self.class_names)
        return Selection(threshold, labels)


def _share(value: str) -> float:
    try:
        threshold = float(value)
    except ValueError:
        threshold = -1
    if not 0 <= threshold <= 1:  # which not-a-number is not either
        raise ValueError(f"threshold={value}: give a number from 0 to 1.")
    return threshold


async def read_request(request: Request) -> Wanted:
    """Read a request to its end, for FastAPI; the application's state has the ``Defaults``.

    Args:
        request: whose body is an image, a form or JSON.

    Raises:
        HTTPException: 400 where there is no image in it, 422 where a parameter is wrong; and what reading
            raises, see ``Limits``.
    """
    defaults: Defaults = request.app.state.defaults
    try:
        given = request.query_params
        select = defaults.selection({name: ",".join(given.getlist(name)) for name in given})
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        content = await _of_form(request)
    elif kind == "application/json":
        content = _of_json(await request.body())
    else:
        content = await request.body()
    if not content:
        raise HTTPException(400, f"There is no image in the request: {_HOW}.")
    return Wanted(content, select)


async def _of_form(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=10) as form:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise HTTPException(400, 'The form has no file "image": curl -F image=@photo.jpg sends one.')
        if len(form) > 1:
            raise HTTPException(400, f'The form has more than "image"; {_IN_ADDRESS}.')
        return await image.read()


def _of_json(body: bytes) -> bytes:
    try:
        content: Any = json.loads(body, strict=False)  # base64 may stand in several lines
    except (ValueError, RecursionError) as error:  # a deep nesting is one
        raise HTTPException(400, f"The body is not JSON, as its Content-Type says: {_HOW}.") from error
    if not isinstance(content, dict) or content.keys() != {"image"} or type(content["image"]) is not str:
        raise HTTPException(400, f'The JSON is not {{"image": "<base64>"}}; {_IN_ADDRESS}.')
    text = "".join(content["image"].rpartition(",")[2].split())  # after data:image/jpeg;base64,
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise HTTPException(400, f"The image in the JSON is not in base64 ({error}).") from error


class Limits:
    """Holds requests to limits of number, bytes and time, around an ASGI application.

    Args:
        app: what answers.
        settings: the limits.
    """

    def __init__(self, app: ASGIApp, settings: Serve) -> None:
        self.app = app
        self.most_bytes = settings.max_megabytes * 1_000_000
        self.most_requests = settings.max_requests
        self.timeout = settings.timeout
        self.running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self.app(scope, receive, send)
        elif len(self.running) >= self.most_requests:
            busy = f"{counted(self.most_requests, 'request')} {are(self.most_requests)}"
            refusal = f"{busy} being answered: try again in a moment."
            await _refuse(503, refusal, scope, receive, send)
        elif _declared(scope) > self.most_bytes:
            await _refuse(413, self._too_large(), scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_late = has_begun = False

        async def send_in_time(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if not is_late:
                await send(message)

        # One that goes on when it is late: LitServe keeps a place for its answer until that comes.
        task = asyncio.ensure_future(self.app(scope, self._limited(receive), send_in_time))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        # What has waited for too long before the network takes it is refused there, after half of this.
        await asyncio.wait({task}, timeout=2 * self.timeout)
        if not task.done() and not has_begun:
            is_late = True
            await _refuse(504, f"There was no answer within {2 * self.timeout} s.", scope, receive, send)
        else:
            await task

    def _limited(self, receive: Receive) -> Receive:
        """The messages of a body, up to the limits."""
        deadline = asyncio.get_running_loop().time() + self.timeout
        total, is_whole = 0, False

        async def limited() -> Message:
            nonlocal total, is_whole
            if is_whole:
                return await receive()  # that the client has gone
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, f"The request did not arrive within {self.timeout} s.") from error
            total += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if total > self.most_bytes:
                raise HTTPException(413, self._too_large())
            return message

        return limited

    def _too_large(self) -> str:
        return f"The request has more than {self.most_bytes // 1_000_000} MB, the limit: shrink the image."


def _declared(scope: Scope) -> int:
    """The bytes that a request announces; 0 where it does not say."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(status: int, sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"detail": sentence}, status)(scope, receive, send)
