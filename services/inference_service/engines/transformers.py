"""The engine on transformers and PEFT: ``python -m services.inference_service.engines.transformers DIRECTORY``.

Reads requests from stdin and writes answers to stdout, one JSON object a line (see ``protocol``); logs go to stderr.
Ends when stdin closes. Requests in flight are batched, rows of different adapters together.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import IO

import torch
from transformers.utils import logging

from services.core import lifeline
from services.inference_service.engines import protocol
from services.inference_service.engines.batch import Row
from services.inference_service.engines.detokenizer import Detokenizer
from services.inference_service.engines.sampler import Choice
from services.inference_service.engines.scheduler import Scheduler
from services.inference_service.engines.weights import Weights
from services.text.template import TemplateError, parse_template, prompt_ids


class Engine:
    """Obeys the messages of one inbox until it closes."""

    def __init__(self, weights: Weights, inbox: queue.SimpleQueue[protocol.Message | None], out: IO[bytes], rows: int):
        self._weights = weights
        self._inbox = inbox
        self._out = out
        self._scheduler = Scheduler(weights, rows, self.send)

    def send(self, message: protocol.Message) -> None:
        """Writes one line at once."""
        self._out.write(protocol.encode(message))
        self._out.flush()

    def run(self) -> None:
        """Alternates between taking messages and making tokens; sleeps while there is nothing to do."""
        while True:
            while not (self._scheduler.busy and self._inbox.empty()):
                message = self._inbox.get()
                if message is None:
                    return
                self._obey(message)
            self._scheduler.step()

    def _obey(self, message: protocol.Message) -> None:
        match message:
            case protocol.Generate():
                self._generate(message)
            case protocol.Cancel():
                self._scheduler.cancel(message.request)
            case protocol.LoadAdapter():
                self._load_adapter(message)
            case protocol.UnloadAdapter():
                self._weights.unload_adapter(message.digest)
            case _:
                raise ValueError(f"not a message for an engine: {message}")

    def _load_adapter(self, message: protocol.LoadAdapter) -> None:
        try:
            self._weights.load_adapter(message.digest, Path(message.directory))
        except (ValueError, OSError, RuntimeError, KeyError) as error:
            self.send(protocol.AdapterFailed(digest=message.digest, detail=str(error)[:2000]))
        else:
            self.send(protocol.AdapterLoaded(digest=message.digest))

    def _generate(self, message: protocol.Generate) -> None:
        try:
            template = None if message.raw else parse_template(message.template_json)
            ids = prompt_ids(template, message.prompt, message.system, self._weights.tokenizer)
        except TemplateError as error:
            self.send(protocol.Refused(request=message.request, reason="TEMPLATE_UNUSABLE", detail=str(error)[:2000]))
            return
        context = self._weights.context_tokens
        if len(ids) + message.max_new_tokens > context:
            self.send(
                protocol.Refused(
                    request=message.request, reason="PROMPT_TOO_LONG", prompt_tokens=len(ids), context_tokens=context
                )
            )
            return
        self._scheduler.add(
            Row(
                request=message.request,
                adapter=message.adapter,
                prompt_ids=ids,
                max_new_tokens=message.max_new_tokens,
                choice=Choice(
                    temperature=message.temperature,
                    top_p=message.top_p,
                    top_k=message.top_k,
                    repetition_penalty=message.repetition_penalty,
                    seed=message.seed,
                ),
                detokenizer=Detokenizer(self._weights.tokenizer, ids, message.stop),
                stop_tokens=self._weights.stop_tokens_with(template.stop if template else ()),
                arrived=time.monotonic(),
            )
        )


def _read(stream: IO[bytes], inbox: queue.SimpleQueue[protocol.Message | None]) -> None:
    for line in stream:
        inbox.put(protocol.decode(line))
    inbox.put(None)


def main() -> int:
    """Loads the weights and serves until stdin closes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="base or full model: safetensors, config and tokenizer")
    parser.add_argument("--max-rows", type=int, default=32, help="requests in one batch")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 takes torch's default")
    arguments = parser.parse_args()
    lifeline.attach()
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not mix with messages
    logging.disable_progress_bar()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    inbox: queue.SimpleQueue[protocol.Message | None] = queue.SimpleQueue()
    try:
        weights = Weights(arguments.directory)
    except (ValueError, OSError, RuntimeError, KeyError) as error:
        out.write(protocol.encode(protocol.LoadFailed(detail=str(error)[:2000])))
        out.flush()
        return 1
    engine = Engine(weights, inbox, out, arguments.max_rows)
    threading.Thread(target=_read, args=(sys.stdin.buffer, inbox), daemon=True).start()
    engine.send(protocol.Ready(context_tokens=weights.context_tokens))
    engine.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
