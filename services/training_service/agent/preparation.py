"""What every agent of an attempt does until its ranks run: takes the devices, fetches the inputs, starts them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from services.core import devices
from services.core.disk import is_full
from services.core.file_cache import DigestMismatch
from services.training_service.agent import ending, job_file
from services.training_service.agent.ending import Ending
from services.training_service.agent.fetch import DiskFull, Fetcher, LocalInputs
from services.training_service.agent.handover import Handover
from services.training_service.agent.link import Link
from services.training_service.agent.node import Node
from services.training_service.agent.orders import Orders
from services.training_service.agent.ranks import Ranks
from services.training_service.domain import Phase, Progress
from services.training_service.settings import NodeSettings
from services.training_service.trainer import swap_folder

log = logging.getLogger(__name__)

# Whoever looks whether a device is free holds it for a moment; ranks of a lost attempt take a few seconds to die.
_DEVICE_WITHIN_S = 15.0

Train = Callable[[Ranks, LocalInputs], Awaitable[Ending]]


class Preparation:
    """Prepares one agent's share of an attempt. `told` hears how far it is."""

    def __init__(
        self, given: Handover, settings: NodeSettings, link: Link, orders: Orders, told: Callable[[Progress], None]
    ) -> None:
        self._handover = given
        self._assignment = given.assignment
        self._settings = settings
        self._link = link
        self._orders = orders
        self._told = told
        self._fetcher = Fetcher(
            link, settings.cache_path, given.directory / "inputs", settings.cache_bounds, self._tell_fetching
        )

    async def run(self, train: Train) -> Ending:
        """Prepares, and trains while it holds the devices. What cannot be prepared is an ending too.

        Raises Superseded or CutOff.
        """
        give_up_at = time.monotonic() + _DEVICE_WITHIN_S
        while True:
            try:
                with devices.holding(self._settings.locks_path, self._handover.devices) as locks:
                    return await self._run(locks, train)
            except OSError as error:
                if not is_full(error):
                    raise
                return ending.disk_full()
            except devices.DevicesTaken as error:
                if time.monotonic() > give_up_at:
                    return ending.infrastructure(
                        "DEVICE_TAKEN",
                        f"{error} is in use by another program.",
                        f"{error} は他のプログラムが使用中です。",
                    )
            await asyncio.sleep(0.2)

    async def _run(self, locks: Sequence[int], train: Train) -> Ending:
        processes, nodes = self._assignment.training_job.spec.processes, self._settings.nodes
        if processes % nodes:
            return ending.uneven(processes, nodes)
        fetched = await self._fetch_unless_stopped()
        if isinstance(fetched, Ending):
            return fetched
        path = self._handover.directory / "job.json"
        disk = self._settings.disk_offload_dir
        job_file.write(path, self._assignment, fetched, disk)
        self._handover.output.mkdir(parents=True, exist_ok=True)
        self._told(Progress(phase=Phase.LOADING_MODEL))
        ranks = await Ranks.start(
            module=self._settings.trainer_module,
            job_file=path,
            output=self._handover.output,
            logs=self._handover.directory / "logs",
            node=self._node(processes // nodes),
            gpus=devices.gpu_indices(self._handover.devices),
            locks=locks,
        )
        try:
            return await train(ranks, fetched)
        finally:
            if disk is not None and disk.is_dir():
                # Of ranks that were killed; the others have removed theirs.
                await asyncio.to_thread(swap_folder.clear, disk)

    def _node(self, processes: int) -> Node:
        return Node(
            processes=processes,
            number=self._settings.node_rank,
            count=self._settings.nodes,
            master_address=self._settings.master_address,
            master_port=self._settings.master_port,
        )

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
        self._tell_fetching(0, 0)
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
        self._told(Progress(phase=Phase.FETCHING, phase_fraction=done / total if total else 0.0))
