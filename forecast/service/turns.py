"""Requests take turns in one thread; those that wait together and ask the same forecaster are answered together."""

import asyncio
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from forecast.service.limits import busy


class Turn(NamedTuple):
    """A question that waits; those with the same key may be answered together (None: not)."""

    answer: Callable[[Sequence[Any]], Sequence[Any]]
    question: Any
    key: Hashable
    future: Future[Any]


class Turns:
    """One thread, so that memory and results don't depend on how many ask; `together` are answered at once at most."""

    def __init__(self, together: int):
        self.together, self.waiting, self.lock = together, list[Turn](), threading.Lock()
        self.thread = ThreadPoolExecutor(1, "forecast")

    async def ask(
        self, answer: Callable[[Sequence[Any]], Sequence[Any]], question: Any, key: Hashable, seconds: float
    ) -> Any:
        """What `answer` makes of the question, or of several at once; an error in the place of an answer is raised.

        Turned away after some seconds; what still waits then is not asked any more.
        """
        turn = Turn(answer, question, key, Future())
        with self.lock:
            self.waiting.append(turn)
        self.thread.submit(self.next)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(turn.future)
        except TimeoutError:
            raise busy(f"there was no answer within {seconds:g} seconds; fewer rows take less time") from None

    def next(self) -> None:
        """Answers the turn that waits longest, and others of its key; runs in the thread."""
        turns, others = list[Turn](), list[Turn]()
        with self.lock:
            for turn in self.waiting:
                alike = not turns or (turn.key is not None and turn.key == turns[0].key)
                if not alike or len(turns) == self.together:
                    others.append(turn)
                elif turn.future.set_running_or_notify_cancel():
                    turns.append(turn)
            self.waiting = others
        if not turns:
            return
        try:
            answers = turns[0].answer([turn.question for turn in turns])
        except BaseException as error:
            answers = [error] * len(turns)
        for turn, answer in zip(turns, answers, strict=True):
            if isinstance(answer, BaseException):
                turn.future.set_exception(answer)
            else:
                turn.future.set_result(answer)

    def close(self) -> None:
        self.thread.shutdown(cancel_futures=True)
