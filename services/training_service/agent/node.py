"""Where an agent stands: alone, or on one of several nodes that train an attempt together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node of an attempt. Ranks are numbered node by node."""

    processes: int
    """Ranks of this node; every node has as many."""
    number: int = 0
    """Counted from 0; the agent of node 0 leads the attempt."""
    count: int = 1
    """Nodes in all."""
    master_address: str = "127.0.0.1"
    """Where all ranks meet rank 0."""
    master_port: int = 0
    """Its port there; 0: a free one, which ranks of other nodes cannot know."""

    @property
    def ranks(self) -> range:
        """The numbers of this node's ranks."""
        first = self.number * self.processes
        return range(first, first + self.processes)

    @property
    def world(self) -> int:
        """Ranks of all nodes."""
        return self.count * self.processes
