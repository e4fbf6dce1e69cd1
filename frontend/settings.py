"""Where the page listens, and whether it opens at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """AIFT_PAGE_HOST and AIFT_PAGE_PORT."""

    host: str = "127.0.0.1"
    port: int = 8050

    @classmethod
    def from_environment(cls) -> PageSettings:
        """As the environment says, else the defaults."""
        return cls(
            host=os.environ.get("AIFT_PAGE_HOST", cls.host), port=int(os.environ.get("AIFT_PAGE_PORT", str(cls.port)))
        )

    @property
    def opens_at_once(self) -> bool:
        """On loopback everybody is this machine's user, whose token the environment names; elsewhere people sign in."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
