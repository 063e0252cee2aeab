"""What a request may ask, and the limits of number and time, where a real server would have to be slow."""

import asyncio
import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from detection.prediction.selection import Selection
from detection.serving.requests import PATH, Defaults, Limits
from detection.settings import Serve

DEFAULTS = Defaults(Selection(0.5), ["cat", "dog"])
SCOPE: Scope = {"type": "http", "path": PATH, "headers": []}


def test_a_request_that_says_nothing_gets_the_defaults() -> None:
    assert DEFAULTS.selection({}) == DEFAULTS.select
    assert DEFAULTS.selection({"threshold": "1"}) == Selection(1.0)
    assert DEFAULTS.selection({"classes": "dog"}) == Selection(0.5, frozenset({1}))


@pytest.mark.parametrize("value", ["", "-0.1", "1.1", "nan", "inf", "0,3", "0.3,0.4"])
def test_a_threshold_is_a_number_from_0_to_1(value: str) -> None:
    with pytest.raises(ValueError, match="give a number from 0 to 1"):
        DEFAULTS.selection({"threshold": value})


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.may_answer.wait()
        self.answered += 1
        await PlainTextResponse("found")(scope, receive, send)


async def ask(app: Limits) -> tuple[int, Any]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(SCOPE, receive, send)
    assert len(sent) == 2, "one answer"
    return sent[0]["status"], sent[1]["body"]


def limits(slow: Slow, **options: Any) -> Limits:
    return Limits(slow, Serve("best.ckpt", **options))


def test_more_requests_than_the_limit_are_refused() -> None:
    async def run() -> None:
        slow = Slow()
        app = limits(slow, max_requests=2)
        first = [asyncio.ensure_future(ask(app)) for _ in range(2)]
        await asyncio.sleep(0)
        status, body = await ask(app)
        assert status == 503
        assert json.loads(body) == {"detail": "2 requests are being answered: try again in a moment."}
        slow.may_answer.set()
        assert [await one for one in first] == [(200, b"found")] * 2
        assert await ask(app) == (200, b"found"), "there is room again"

    asyncio.run(run())


def test_a_late_answer_is_not_waited_for_and_not_lost_sight_of() -> None:
    async def run() -> None:
        slow = Slow()
        app = limits(slow, timeout=1, max_requests=1)
        status, body = await ask(app)
        assert status == 504
        assert json.loads(body) == {"detail": "There was no answer within 2 s."}
        assert (await ask(app))[0] == 503, "it takes its place until it ends"
        slow.may_answer.set()
        await asyncio.sleep(0.1)
        assert slow.answered == 1
        assert await ask(app) == (200, b"found")

    asyncio.run(run())


def test_a_client_that_hangs_is_told() -> None:
    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass

    async def run() -> None:
        parts = [{"type": "http.request", "body": b"beginning", "more_body": True}]

        async def receive() -> Message:
            return parts.pop() if parts else await asyncio.Future()

        async def send(message: Message) -> None:
            raise AssertionError("nothing is sent")

        with pytest.raises(HTTPException) as told:
            await Limits(reading, Serve("best.ckpt", timeout=1))(SCOPE, receive, send)
        assert (told.value.status_code, told.value.detail) == (408, "The request did not arrive within 1 s.")

    asyncio.run(run())
