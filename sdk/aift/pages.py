"""Lists that come in pages, as one iterator."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


Page = TypeVar("Page", bound=_Page)
Item = TypeVar("Item")


def every(fetch: Callable[[str], Page], items: Callable[[Page], Iterable[Item]]) -> Iterator[Item]:
    """All items; a page is fetched when the one before is used up."""
    token = ""
    while True:
        page = fetch(token)
        yield from items(page)
        token = page.next_page_token
        if not token:
            return
