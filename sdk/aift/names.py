"""Resource names as people write them, short or whole."""

import re
import unicodedata
import uuid

_NOT_IN_ID = re.compile(r"[^a-z0-9]+")


def qualified(collection: str, name: str) -> str:
    """The whole name: "demo" and "models/demo" both become "models/demo"."""
    return name if name.startswith(f"{collection}/") else f"{collection}/{name}"


def model_name(name: str) -> str:
    """A model to generate with: as it is when it names its collection, else as one of the trained models."""
    return name if name.startswith(("models/", "baseModels/")) else f"models/{name}"


def slug(text: str) -> str:
    """The nearest id to a file's or folder's name, or "" when nothing of it can stand in an id (such as 日本語)."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return _NOT_IN_ID.sub("-", plain).strip("-")[:63].strip("-")


def stem(filename: str) -> str:
    """A file's name without folders, compression and format: "data/questions.jsonl.gz" is "questions"."""
    name = filename.rstrip("/").replace("\\", "/").rpartition("/")[2]
    for compression in (".gz", ".zst"):
        name = name.removesuffix(compression)
    before, dot, _ = name.rpartition(".")
    return before if dot and before else name


def request_id() -> str:
    """A fresh id for one intent; the same intent made again under the same id has the first one's result."""
    return str(uuid.uuid4())
