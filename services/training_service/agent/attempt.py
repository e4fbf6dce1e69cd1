"""One attempt from its assignment to its end."""

import asyncio
import logging
import time
from contextlib import suppress

import aiohttp
from aift.training.v1 import worker_pb2

from services.core import devices
from services.training_service import messages
from services.training_service.agent import ending, handover
from services.training_service.agent.ending import Ending
from services.training_service.agent.fetch import LocalInputs
from services.training_service.agent.gpu_usage import GpuUsage
from services.training_service.agent.link import CutOff, Link, Superseded
from services.training_service.agent.orders import Orders
from services.training_service.agent.preparation import Preparation
from services.training_service.agent.ranks import Ranks
from services.training_service.agent.report import Reporter
from services.training_service.agent.training import Training
from services.training_service.agent.transfer import StoreFull, upload
from services.training_service.agent.wandb_mirror import WandbMirror
from services.training_service.domain import Outcome, Phase, Progress
from services.training_service.settings import NodeSettings, WandbSettings

log = logging.getLogger(__name__)

_TEMPLATE = "template.json"
_BEAT_AT_LEAST_EVERY_S = 5.0
# After ranks have broken off: the agent of another node may know the cause, which the service then puts in ours' place.
_MEMBERS_TELL_WITHIN_S = 5.0


class Attempt:
    """Runs what the worker handed over; where the attempt runs on several nodes, as the agent of the first, beside a
    `Member` on each other. `run` returns the exit status of the agent: 0 when the service knows the end, 1 when it does
    not."""

    def __init__(self, given: handover.Handover, settings: NodeSettings) -> None:
        self._handover = given
        self._assignment = given.assignment
        self._settings = settings
        self._link = Link(settings.training_address, given.assignment)
        self._orders = Orders()
        self._alone = settings.nodes == 1
        self._reporter = Reporter(self._link, lines_per_second=settings.log_lines_per_second, obey=self._orders.take)
        self._mirror = WandbMirror(
            WandbSettings(), settings.state_dir / "wandb", given.directory / "wandb.jsonl", self._reporter.log
        )

    async def run(self, stop: asyncio.Event) -> int:
        """Trains, tells, hands over. `stop` is SIGTERM: save and give the job back."""
        status = 1
        try:
            async with asyncio.TaskGroup() as group:
                pulse = group.create_task(handover.show_pulse(self._handover))
                helpers = [
                    group.create_task(self._beat()),
                    group.create_task(self._reporter.run()),
                    group.create_task(self._orders.release_at(stop)),
                ]
                end = await self._preparation().run(self._train)
                await self._finish(end, helpers)
                await self._mirror.finish(failed=end.failure is not None)
                pulse.cancel()
                status = 0
        except* Superseded as gone:
            log.warning("stopped, another has the job: %s", gone.exceptions[0])
        except* CutOff as silence:
            log.error("given up: %s", silence.exceptions[0])  # noqa: TRY400 - the message says it all
        finally:
            await self._mirror.end()
            await self._link.close()
        return status

    async def _beat(self) -> None:
        """Three heartbeats in each lease or more: they bring commands where no events do."""
        every_s = min(self._assignment.lease.ToTimedelta().total_seconds() / 3, _BEAT_AT_LEAST_EVERY_S)
        while True:
            started = time.monotonic()
            self._orders.take(await self._link.heartbeat())
            self._handover.started.touch()
            await asyncio.sleep(max(every_s - (time.monotonic() - started), 0.05))

    def _preparation(self) -> Preparation:
        return Preparation(
            self._handover,
            self._settings,
            self._link,
            self._orders,
            lambda progress: self._reporter.progress(messages.progress_to(progress)),
        )

    async def _train(self, ranks: Ranks, inputs: LocalInputs) -> Ending:
        await self._mirror.start(self._assignment.training_job)
        training = Training(
            link=self._link,
            reporter=self._reporter,
            orders=self._orders,
            usage=GpuUsage(devices.gpu_indices(self._handover.devices)),
            mirror=self._mirror,
            output=self._handover.output,
            resumed_from=inputs.checkpoint_step,
            alone=self._alone,
            stop_s=self._settings.stop_seconds,
            pause_s=self._settings.pause_seconds,
            stall_s=self._settings.stall_seconds,
        )
        return await training.run(ranks)

    async def _finish(self, end: Ending, helpers: list["asyncio.Task[None]"]) -> None:
        """Hands the result over and tells the end. The lease is kept by heartbeats until just before."""
        request = worker_pb2.FinishAttemptRequest(
            attempt=self._link.attempt,
            outcome=worker_pb2.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{end.outcome}"),
            metrics=end.metrics,
        )
        if not self._alone and end.outcome is Outcome.INFRASTRUCTURE_FAILURE:
            with suppress(TimeoutError):
                async with asyncio.timeout(_MEMBERS_TELL_WITHIN_S):
                    await self._orders.broken_off.wait()
        if end.outcome is Outcome.SUCCEEDED:
            end = await self._hand_over(end, request)
        if end.failure is not None:
            request.failure.CopyFrom(messages.failure_to(end.failure))
        await self._reporter.flush()
        for helper in helpers:
            helper.cancel()
        await self._link.call(lambda stub: stub.FinishAttempt, request)
        log.info("attempt ended", extra={"attempt": self._link.attempt, "outcome": end.outcome})

    async def _hand_over(self, end: Ending, request: worker_pb2.FinishAttemptRequest) -> Ending:
        model = self._handover.output / "model"
        saving = Progress(phase=Phase.SAVING, step=end.step, total_steps=end.total_steps)
        self._reporter.progress(messages.progress_to(saving))
        try:
            request.files.extend(await upload(self._link, model))
            request.template_json = (model / _TEMPLATE).read_text(encoding="utf-8")
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            log.exception("the result cannot be handed over")
            request.ClearField("files")
            request.outcome = worker_pb2.ATTEMPT_OUTCOME_INFRASTRUCTURE_FAILURE
            if isinstance(error, StoreFull):
                return ending.store_full()
            return ending.infrastructure(
                "RESULT_NOT_SAVED", "The result could not be written.", "学習結果を書き込めませんでした。"
            )
        return end
