"""The agent of a node other than the first, where an attempt runs on several."""

import asyncio
import logging
from collections.abc import Sequence

from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2

from services.training_service import messages
from services.training_service.agent import ending, handover
from services.training_service.agent.ending import Ending
from services.training_service.agent.fetch import LocalInputs
from services.training_service.agent.link import CutOff, Link, Superseded
from services.training_service.agent.orders import Orders
from services.training_service.agent.preparation import Preparation
from services.training_service.agent.ranks import Ranks
from services.training_service.agent.report import shown
from services.training_service.agent.tail import Tail
from services.training_service.domain import Outcome, Progress
from services.training_service.settings import NodeSettings
from services.training_service.trainer import events

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 5.0
_LISTEN_EVERY_S = 0.2
# A broken connection breaks the ranks of all nodes: the first agent, which may still be saving a checkpoint, tells of it.
_LEADER_TELLS_WITHIN_S = 300.0


class Member:
    """Takes part in an attempt: fetches, starts its ranks and waits for them. Lease, events, checkpoints and result are
    the first agent's; only a failure of which that one cannot know is told, and the service has that one end the attempt.
    `run` returns 0 when the service knows the end or will be told by the first agent, 1 when it cannot be reached."""

    def __init__(self, given: handover.Handover, settings: NodeSettings) -> None:
        self._handover = given
        self._settings = settings
        self._link = Link(settings.training_address, given.assignment)
        self._orders = Orders()
        self._ran = False
        self._failures: list[events.Failed] = []
        self._lines: list[str] = []

    async def run(self, stop: asyncio.Event) -> int:
        """Trains. `stop` is SIGTERM: all ranks save, and the first agent gives the job back."""
        status = 0
        preparation = Preparation(self._handover, self._settings, self._link, self._orders, _keep_to_itself)
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(handover.show_pulse(self._handover)),
                    group.create_task(self._look()),
                    group.create_task(self._orders.release_at(stop)),
                ]
                await self._tell(await preparation.run(self._train))
                for helper in helpers:
                    helper.cancel()
        except* Superseded as gone:
            log.info("the attempt is over: %s", gone.exceptions[0])
        except* CutOff as silence:
            log.error("given up: %s", silence.exceptions[0])  # noqa: TRY400 - the message says it all
            status = 1
        finally:
            await self._link.close()
        return status

    async def _look(self) -> None:
        """Whether the attempt still has its job: ranks that wait for a lost node may never notice."""
        while True:
            await self._link.heartbeat(member=True)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _train(self, ranks: Ranks, _: LocalInputs) -> Ending:
        self._ran = True
        said = [Tail(self._handover.output / events.file_name(rank)) for rank in ranks.logs]
        obeying = asyncio.create_task(self._obey(ranks))
        listening = asyncio.create_task(self._end_failed(ranks, said))
        try:
            statuses = await ranks.wait()
        finally:
            obeying.cancel()
            listening.cancel()
            await ranks.end()
        self._listen(said)
        failures = self._failures
        for failed in failures:
            self._lines += ending.lines_of(failed)
        self._lines += ranks.last_words(statuses)
        if not failures and not any(statuses.values()):
            # Its share succeeded. What came of the attempt, the first agent says.
            return Ending(outcome=Outcome.SUCCEEDED)
        if not failures and obeying.done() and not obeying.cancelled():
            return Ending(outcome=Outcome.RELEASED)
        return ending.judge(None, failures, statuses, ranks.first_failed)

    async def _obey(self, ranks: Ranks) -> None:
        """Ends when the ranks were killed because they did not stop in time."""
        await self._orders.next()
        ranks.terminate()
        await asyncio.sleep(self._settings.stop_seconds)
        log.warning("the trainer did not stop within %.0f s and is killed", self._settings.stop_seconds)
        ranks.kill()

    async def _end_failed(self, ranks: Ranks, said: Sequence[Tail]) -> None:
        """Ends the ranks once one has told what failed, since a process may take seconds to go."""
        while not self._failures:
            await asyncio.sleep(_LISTEN_EVERY_S)
            self._listen(said)
        ranks.kill()

    def _listen(self, said: Sequence[Tail]) -> None:
        """Takes in what failed since the last call."""
        told = [events.decode(line).event for file in said for line in file.lines()]
        self._failures += [event for event in told if isinstance(event, events.Failed)]

    async def _tell(self, end: Ending) -> None:
        """Has the attempt ended unless the first agent does so by itself."""
        if end.outcome is Outcome.SUCCEEDED:
            return
        if self._ran and end.outcome is Outcome.INFRASTRUCTURE_FAILURE:
            await asyncio.sleep(_LEADER_TELLS_WITHIN_S)
        request = worker_pb2.FinishAttemptRequest(
            attempt=self._link.attempt,
            outcome=worker_pb2.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{end.outcome}"),
            log=pb.LogLines(lines=map(shown, self._lines)),
            member=True,
        )
        if end.failure is not None:
            request.failure.CopyFrom(messages.failure_to(end.failure))
        await self._link.call(lambda stub: stub.FinishAttempt, request)
        log.info("told of a failure", extra={"attempt": self._link.attempt, "outcome": end.outcome})


def _keep_to_itself(_: Progress) -> None:
    """The first agent tells how far the attempt is."""
