"""One attempt from its assignment to its end."""

import asyncio
import logging
import time
from collections.abc import Sequence

import aiohttp
from aift.training.v1 import worker_pb2

from services.core import devices
from services.core.cache_room import Bounds
from services.core.file_cache import DigestMismatch
from services.training_service import messages
from services.training_service.agent import ending, handover, job_file
from services.training_service.agent.ending import Ending
from services.training_service.agent.fetch import DiskFull, Fetcher, LocalInputs
from services.training_service.agent.gpu_usage import GpuUsage
from services.training_service.agent.link import CutOff, Link, Superseded
from services.training_service.agent.orders import Order, Orders
from services.training_service.agent.ranks import Ranks
from services.training_service.agent.report import Reporter
from services.training_service.agent.training import Training
from services.training_service.agent.transfer import upload
from services.training_service.agent.wandb_mirror import WandbMirror
from services.training_service.domain import Outcome, Phase, Progress
from services.training_service.settings import AgentSettings, WandbSettings

log = logging.getLogger(__name__)

_TEMPLATE = "template.json"
_BEAT_AT_LEAST_EVERY_S = 5.0
# Whoever looks whether a device is free holds it for a moment; ranks of a lost attempt take a few seconds to die.
_DEVICE_WITHIN_S = 15.0


class Attempt:
    """Runs what the worker handed over. `run` returns the exit status of the agent: 0 when the service knows the
    end, 1 when it does not."""

    def __init__(self, given: handover.Handover, settings: AgentSettings) -> None:
        self._handover = given
        self._assignment = given.assignment
        self._settings = settings
        self._link = Link(settings.training_address, given.assignment)
        self._orders = Orders()
        self._reporter = Reporter(self._link, lines_per_second=settings.log_lines_per_second, obey=self._orders.take)
        self._mirror = WandbMirror(WandbSettings(), settings.state_dir / "wandb", self._reporter.log)
        bounds = Bounds(max_bytes=settings.cache_max_bytes, free_bytes=settings.cache_free_bytes)
        self._fetcher = Fetcher(
            self._link, settings.cache_path, given.directory / "inputs", bounds, self._tell_fetching
        )
        self._output = given.directory / "output"

    async def run(self, stop: asyncio.Event) -> int:
        """Trains, tells, hands over. `stop` is SIGTERM: save and give the job back."""
        status = 1
        try:
            async with asyncio.TaskGroup() as group:
                pulse = group.create_task(self._pulse())
                helpers = [
                    group.create_task(self._beat()),
                    group.create_task(self._reporter.run()),
                    group.create_task(self._release(stop)),
                ]
                end = await self._try()
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

    async def _pulse(self) -> None:
        """Shows the worker that this process moves, also while the service is away."""
        while True:
            self._handover.pulse.touch()
            await asyncio.sleep(handover.PULSE_S)

    async def _release(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._orders.give(Order.RELEASE)

    async def _try(self) -> Ending:
        give_up_at = time.monotonic() + _DEVICE_WITHIN_S
        while True:
            try:
                with devices.holding(self._settings.locks_path, self._handover.devices) as locks:
                    return await self._train(locks)
            except devices.DevicesTaken as error:
                if time.monotonic() > give_up_at:
                    return ending.infrastructure(
                        "DEVICE_TAKEN",
                        f"{error} is in use by another program.",
                        f"{error} は他のプログラムが使用中です。",
                    )
            await asyncio.sleep(0.2)

    async def _train(self, locks: Sequence[int]) -> Ending:
        self._tell_fetching(0, 0)
        fetched = await self._fetch_unless_stopped()
        if isinstance(fetched, Ending):
            return fetched
        path = self._handover.directory / "job.json"
        job_file.write(path, self._assignment, fetched)
        self._output.mkdir(parents=True, exist_ok=True)
        count = self._assignment.training_job.spec.processes
        self._reporter.progress(messages.progress_to(Progress(phase=Phase.LOADING_MODEL)))
        ranks = await Ranks.start(
            module=self._settings.trainer_module,
            job_file=path,
            output=self._output,
            logs=self._handover.directory / "logs",
            count=count,
            gpus=devices.gpu_indices(self._handover.devices),
            locks=locks,
        )
        await self._mirror.start(self._assignment.training_job)
        training = Training(
            link=self._link,
            reporter=self._reporter,
            orders=self._orders,
            usage=GpuUsage(devices.gpu_indices(self._handover.devices)),
            mirror=self._mirror,
            output=self._output,
            resumed_from=fetched.checkpoint_step,
            stop_s=self._settings.stop_seconds,
            pause_s=self._settings.pause_seconds,
            stall_s=self._settings.stall_seconds,
        )
        return await training.run(ranks, count)

    async def _fetch_unless_stopped(self) -> LocalInputs | Ending:
        """Inputs on this machine; an ending where they cannot be had, or where an order came first."""
        fetching = asyncio.create_task(self._fetch())
        ordered = asyncio.create_task(self._orders.next())
        try:
            await asyncio.wait({fetching, ordered}, return_when=asyncio.FIRST_COMPLETED)
            if self._orders.given is not None:
                return Ending(outcome=self._orders.given.outcome)
            return fetching.result()
        finally:
            fetching.cancel()
            ordered.cancel()

    async def _fetch(self) -> LocalInputs | Ending:
        try:
            return await self._fetcher.fetch(self._assignment.inputs)
        except DiskFull as full:
            return ending.infrastructure(
                "DISK_FULL", f"The disk is full: {full}.", f"ディスクの空きが足りません: {full}。"
            )
        except (OSError, DigestMismatch, TimeoutError) as error:
            log.exception("the inputs cannot be fetched")
            what = type(error).__name__
            return ending.infrastructure(
                "INPUTS_UNREADABLE", f"The inputs cannot be fetched ({what}).", f"入力を取得できません ({what})。"
            )

    def _tell_fetching(self, done: int, total: int) -> None:
        fraction = done / total if total else 0.0
        self._reporter.progress(messages.progress_to(Progress(phase=Phase.FETCHING, phase_fraction=fraction)))

    async def _finish(self, end: Ending, helpers: list["asyncio.Task[None]"]) -> None:
        """Hands the result over and tells the end. The lease is kept by heartbeats until just before."""
        request = worker_pb2.FinishAttemptRequest(
            attempt=self._link.attempt,
            outcome=worker_pb2.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{end.outcome}"),
            metrics=end.metrics,
        )
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
        model = self._output / "model"
        self._reporter.progress(messages.progress_to(Progress(phase=Phase.SAVING, step=end.step, total_steps=end.step)))
        try:
            request.files.extend(await upload(self._link, model))
            request.template_json = (model / _TEMPLATE).read_text(encoding="utf-8")
        except (OSError, aiohttp.ClientError, TimeoutError):
            log.exception("the result cannot be handed over")
            failed = ending.infrastructure(
                "RESULT_NOT_SAVED", "The result could not be written.", "学習結果を書き込めませんでした。"
            )
            request.ClearField("files")
            request.outcome = worker_pb2.ATTEMPT_OUTCOME_INFRASTRUCTURE_FAILURE
            return failed
        return end
