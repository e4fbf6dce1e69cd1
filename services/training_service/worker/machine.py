"""The worker: one loop that tells how the machine is, and one that claims jobs while there is room."""

import asyncio
import logging

import grpc
from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2
from google.protobuf.duration_pb2 import Duration

from services.core import devices
from services.core.channels import channel
from services.core.errors import Unavailable
from services.training_service.line import Line
from services.training_service.settings import WorkerSettings
from services.training_service.worker import hardware
from services.training_service.worker.agents import Agent, clear_leftovers
from services.training_service.worker.disk import OfferedDisk

log = logging.getLogger(__name__)

_CLAIM_WAIT_S = 20
_REPORT_WITHIN_S = 10.0
_PAUSE_S = 1.0
# Until the first report is taken: on one machine the worker is up a moment before the service that it reports to.
_STARTING_PAUSE_S = 0.1
# Between an agent's end and the next claim: the lock of its device is free once the process is gone.
_LOOK_AGAIN_S = 0.3
# For an agent whose trainer has stopped or was killed: to hand over what there is and to tell.
_LAST_CALLS_S = 10.0


class Worker:
    """Runs jobs on this machine until told to stop."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._line = Line(lambda: channel(settings.training_address, settings.service_token_file))
        self._agents: dict[asyncio.Task[None], Agent] = {}
        self._gpus: list[pb.Gpu] = []
        self._disk = OfferedDisk(settings.disk_offload_dir) if settings.disk_offload_dir else None
        self._silence = "not asked yet"

    async def check(self) -> None:
        """Whether the training service took the last report. Raises Unavailable."""
        if self._silence:
            raise Unavailable(f"training service ({self._silence})")

    async def run(self, stop: asyncio.Event) -> None:
        """Reports and claims until `stop`; then agents save, give their jobs back, and end."""
        loops = [asyncio.create_task(self._report()), asyncio.create_task(self._claim())]
        stopped = asyncio.create_task(stop.wait())
        preparing = asyncio.create_task(self._disk.prepare()) if self._disk else None
        try:
            done, _ = await asyncio.wait({*loops, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()
        finally:
            for task in (*loops, stopped, *([preparing] if preparing else [])):
                task.cancel()
            await self._drain()
            await self._line.close()

    async def _drain(self) -> None:
        for agent in self._agents.values():
            agent.terminate()
        if self._agents:
            # An agent kills a trainer that does not stop in time; then it still tells the service.
            _, late = await asyncio.wait(self._agents, timeout=self._settings.stop_seconds + _LAST_CALLS_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _report(self) -> None:
        self._settings.worker_path.mkdir(parents=True, exist_ok=True)
        pause_s = _STARTING_PAUSE_S
        while True:
            clear_leftovers(self._settings.worker_path)
            machine = await hardware.status(self._settings.worker_path)
            if self._disk is not None:
                await asyncio.to_thread(self._disk.clear)
                machine.disk_offload.CopyFrom(self._disk.status())
            self._gpus = list(machine.gpus)
            request = worker_pb2.ReportWorkerRequest(worker=self._settings.worker_name, machine=machine)
            stub = self._line.stub
            try:
                answer = await stub.ReportWorker(request, timeout=_REPORT_WITHIN_S)
                self._tell_engines(waits=answer.job_waits)
                self._silence, pause_s = "", _PAUSE_S
            except grpc.aio.AioRpcError as error:
                if self._silence != error.code().name:
                    log.warning("the training service took no report: %s: %s", error.code().name, error.details())
                self._silence = error.code().name
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    self._line.gave_no_answer(stub)
            await asyncio.sleep(pause_s if self._silence else self._settings.report_seconds)

    def _tell_engines(self, *, waits: bool) -> None:
        """Idle engines give their GPUs back while a job waits for them."""
        names = [devices.gpu(gpu.index) for gpu in self._gpus]
        tell = devices.want if waits else devices.want_no_more
        tell(self._settings.locks_path, names)

    async def _claim(self) -> None:
        while True:
            free = self._free()
            if not free or self._silence:
                await asyncio.sleep(_LOOK_AGAIN_S)
                continue
            assignment = await self._ask(len(devices.gpu_indices(free)))
            if assignment is not None:
                self._start(assignment, free)

    def _free(self) -> list[str]:
        """GPUs, or the processor where there are none, that neither our agents nor anybody else have."""
        names = [devices.gpu(gpu.index) for gpu in self._gpus] or [devices.CPU]
        ours = {name for agent in self._agents.values() for name in agent.devices}
        return devices.free(self._settings.locks_path, [name for name in names if name not in ours])

    async def _ask(self, free_gpus: int) -> worker_pb2.Assignment | None:
        request = worker_pb2.ClaimJobRequest(
            worker=self._settings.worker_name, free_gpus=free_gpus, wait=Duration(seconds=_CLAIM_WAIT_S)
        )
        try:
            answer = await self._line.stub.ClaimJob(request, timeout=_CLAIM_WAIT_S + 10)
        except grpc.aio.AioRpcError as error:
            log.warning("no job claimed: %s: %s", error.code().name, error.details())
            await asyncio.sleep(_PAUSE_S)
            return None
        return answer.assignment if answer.HasField("assignment") else None

    def _start(self, assignment: worker_pb2.Assignment, free: list[str]) -> None:
        # One process a GPU; any number of them share the processor.
        names = free[: assignment.training_job.spec.processes] if self._gpus else free
        agent = Agent(assignment, names, self._settings)
        log.info("attempt begins", extra={"attempt": assignment.attempt, "devices": names})
        task = asyncio.create_task(agent.run(), name=assignment.attempt)
        self._agents[task] = agent
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        del self._agents[task]
        if not task.cancelled() and task.exception() is not None:
            log.error("an agent could not be run", exc_info=task.exception())
