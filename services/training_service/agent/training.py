"""A run of the trainer as the agent sees it: events are passed on, checkpoints handed over, commands sent down."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import aiohttp
from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2

from services.training_service import messages
from services.training_service.agent import ending, tail
from services.training_service.agent.ending import Ending
from services.training_service.agent.gpu_usage import GpuUsage
from services.training_service.agent.link import Link
from services.training_service.agent.orders import Order, Orders
from services.training_service.agent.pace import Pace
from services.training_service.agent.ranks import Ranks
from services.training_service.agent.report import Reporter
from services.training_service.agent.transfer import StoreFull, upload
from services.training_service.agent.wandb_mirror import WandbMirror
from services.training_service.domain import Outcome, Phase, Progress
from services.training_service.trainer import control, events

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5


class Training:
    """One run of the trainer, from its start until everything that it said has been taken over."""

    def __init__(
        self,
        *,
        link: Link,
        reporter: Reporter,
        orders: Orders,
        usage: GpuUsage,
        mirror: WandbMirror,
        output: Path,
        resumed_from: int,
        alone: bool,
        stop_s: float,
        pause_s: float,
        stall_s: float,
    ) -> None:
        self._link = link
        self._reporter = reporter
        self._orders = orders
        self._usage = usage
        self._mirror = mirror
        self._output = output
        self._patience_s = {Order.RELEASE: stop_s, Order.PAUSE: pause_s, Order.CANCEL: stop_s}
        self._saving_s = pause_s
        self._newest: events.Checkpoint | None = None
        self._news = asyncio.Event()
        self._ended = False
        self._committed = resumed_from
        self._alone = alone
        self._finished: events.Finished | None = None
        self._failures: list[events.Failed] = []
        self._killed = False
        self._pace = Pace(least_s=stall_s, now=time.monotonic())

    async def run(self, ranks: Ranks) -> Ending:
        """Returns how it ended, once all checkpoints are committed. Raises Superseded or CutOff.

        Whatever happens, no rank is left.
        """
        files = [tail.Tail(self._output / events.file_name(rank)) for rank in ranks.logs]
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(self._follow(files)),
                    group.create_task(self._obey(ranks)),
                    group.create_task(self._usage.watch()),
                ]
                saving = group.create_task(self._commit_checkpoints())
                statuses = await ranks.wait()
                for helper in helpers:
                    helper.cancel()
                self._take(files)
                self._ended = True
                self._news.set()
                await self._finish_saving(saving)
        finally:
            await ranks.end()
        self._reporter.log(ranks.last_words(statuses))
        return self._ending(statuses, ranks.first_failed)

    async def _finish_saving(self, saving: "asyncio.Task[None]") -> None:
        """Returns when checkpoints are committed. One that is on its way while another node has failed, so that the job
        could go on elsewhere, is waited for no longer than a pause would."""
        broken_off = asyncio.create_task(self._orders.broken_off.wait())
        try:
            await asyncio.wait({saving, broken_off}, return_when=asyncio.FIRST_COMPLETED)
            done, _ = await asyncio.wait({saving}, timeout=self._saving_s)
        finally:
            broken_off.cancel()
        if not done:
            log.warning("the checkpoint was not handed over within %.0f s and is given up", self._saving_s)
            saving.cancel()

    def _ending(self, statuses: Mapping[int, int], first_failed: int | None) -> Ending:
        order = self._orders.given
        if self._finished is None and not self._failures and self._killed and order is not None:
            return Ending(outcome=order.outcome)
        end = ending.judge(self._finished, self._failures, statuses, first_failed)
        # Where there are other nodes, the agent of one of them may have been told to end.
        if end.outcome is Outcome.RELEASED and order is not Order.RELEASE and self._alone:
            return ending.infrastructure(
                "INTERRUPTED",
                "The trainer was told to end by another program.",
                "他のプログラムがトレーナーを終了させました。",
            )
        if end.outcome in (Outcome.PAUSED, Outcome.RELEASED) and self._committed < end.step:
            return ending.infrastructure(
                "CHECKPOINT_NOT_SAVED", "The checkpoint could not be saved.", "チェックポイントを保存できませんでした。"
            )
        return end

    async def _follow(self, files: Sequence[tail.Tail]) -> None:
        while True:
            self._take(files)
            stall = self._pace.stall(time.monotonic())
            if stall is not None:
                log.warning("the trainer has stood still for %.0f s at step %d", stall.silent_s, stall.step)
                self._reporter.stall(stall)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _take(self, files: Sequence[tail.Tail]) -> None:
        for file in files:
            for line in file.lines():
                try:
                    said = events.decode(line)
                except ValueError:
                    log.warning("not an event of the trainer: %s", line[:200])
                else:
                    self._pass_on(said.event, datetime.fromisoformat(said.time))

    def _pass_on(self, event: events.Event, at: datetime) -> None:
        match event:
            case events.Progress():
                self._pace.moved(event.phase, event.step, time.monotonic())
                self._reporter.progress(messages.progress_to(_progress(event)), at)
            case events.Metric():
                values = {**event.values, **self._usage.figures()}
                metric = pb.Metric(step=event.step, epoch=event.epoch, values=values)
                self._reporter.metric(metric, at)
                self._mirror.metric(metric)
            case events.Sample():
                self._reporter.sample(pb.Sample(step=event.step, prompt=event.prompt, text=event.text), at)
            case events.Log():
                self._reporter.log([f"{event.level} {line}" for line in event.lines])
            case events.Checkpoint():
                self._newest = event
                self._news.set()
            case events.Finished():
                self._finished = event
            case events.Failed():
                self._failures.append(event)
                self._reporter.log(ending.lines_of(event))

    async def _obey(self, ranks: Ranks) -> None:
        """Passes orders down; what does not stop in time, or has lost another node, is killed."""
        order = await self._orders.next()
        while order is not Order.END:
            if order is Order.RELEASE:
                ranks.terminate()
            else:
                control.send(self._output, "pause" if order is Order.PAUSE else "stop")
            try:
                async with asyncio.timeout(self._patience_s[order]):
                    order = await self._orders.next()
            except TimeoutError:
                log.warning("the trainer did not stop within %.0f s and is killed", self._patience_s[order])
                break
        self._killed = True
        ranks.kill()

    async def _commit_checkpoints(self) -> None:
        """Commits the newest checkpoint; those that it overtook while another was on its way are left out."""
        while True:
            await self._news.wait()
            self._news.clear()
            while (saved := self._newest) is not None:
                self._newest = None
                await self._commit(saved)
            if self._ended:
                return

    async def _commit(self, saved: events.Checkpoint) -> None:
        try:
            files = await upload(self._link, self._output / saved.path)
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            log.exception("checkpoint %d was not saved", saved.step)
            why = error if isinstance(error, StoreFull) else type(error).__name__
            self._reporter.log([f"WARNING checkpoint {saved.step} was not saved: {why}; training goes on"])
            return
        request = worker_pb2.CommitCheckpointRequest(
            attempt=self._link.attempt, step=saved.step, files=files, eval_loss=saved.eval_loss
        )
        # The next attempt goes on from here: what happened before must have been told by then.
        await self._reporter.flush()
        await self._link.call(lambda stub: stub.CommitCheckpoint, request)
        self._committed = max(self._committed, saved.step)


def _progress(event: events.Progress) -> Progress:
    return Progress(
        phase=Phase(event.phase.upper()),
        step=event.step,
        total_steps=event.total_steps,
        phase_fraction=event.fraction,
        loss=event.loss or 0.0,
        tokens_per_second=event.tokens_per_second or 0.0,
        remaining_s=event.remaining_seconds,
    )
