"""The command line: arguments in, text or JSON and an exit code out."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.core.imports import uncollected
from services.embedded.errors import EmbeddedError
from services.embedded.language import text
from services.embedded.layout import StateDir
from services.embedded.settings import EmbeddedSettings

# Each command loads what it needs when it runs: `status` in a loop should not load a database driver.
_ROLES = ("viewer", "editor", "admin", "worker", "service")
Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit code: 0 well, 1 failed, 2 wrong usage, 5 not running, as the whole `aift` says it."""
    options = parser().parse_args(arguments)
    try:
        command: Command = options.run
        return command(options)
    except EmbeddedError as error:
        if options.json:
            _print_json({"error": {"reason": error.reason, "message": str(error)}})
        else:
            sys.stderr.write(f"{error}\n")
        return error.exit_code
    except BrokenPipeError:  # the reader, such as `head`, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state-dir", type=Path, help=text("where everything is kept", "状態ディレクトリ"))
    common.add_argument("--json", action="store_true", help=text("machine-readable output", "JSON で出力"))
    top = argparse.ArgumentParser(prog="aift", description=text("AIFT on this machine.", "このマシンの AIFT。"))
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Command, en: str, ja: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[common], help=text(en, ja), description=text(en, ja))
        made.set_defaults(run=run)
        return made

    _up_options(add("up", _up, "Start everything and keep it running.", "すべてを起動し、動かし続けます。"))
    add("down", _down, "Stop everything.", "すべてを停止します。")
    add("status", _status, "What runs, and how well.", "動いているものとその状態。")
    logs = add("logs", _logs, "A process's output.", "プロセスの出力。")
    logs.add_argument("name", help="postgres, data, training, registry, inference, worker, page, migrate")
    logs.add_argument("--follow", "-f", action="store_true", help=text("go on as it grows", "追記を表示し続ける"))
    logs.add_argument(
        "-n", "--lines", type=int, default=50, help=text("last lines first (50)", "最初に表示する行数(50)")
    )
    add("doctor", _doctor, "What this machine has and lacks.", "このマシンにあるものと足りないもの。")
    _token_options(add("token", _token_list, "Tokens for people and workers.", "利用者とワーカーのトークン。"), common)
    return top


def _up_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--ports", choices=["auto"], help=text("take free ports", "空いているポートを使う"))
    made.add_argument(
        "--port-base", type=int, help=text("services on N, N+1, N+2, N+3", "サービスのポート N から 4 つ")
    )
    made.add_argument("--page-port", type=int, help=text("port of the page (8050)", "ページのポート(8050)"))
    made.add_argument("--no-page", action="store_true", help=text("without the web page", "ページなしで起動"))
    made.add_argument("--detach", action="store_true", help=text("return when all is healthy", "起動後に制御を返す"))


def _token_options(made: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    verbs = made.add_subparsers(metavar="create|revoke|list")
    create = verbs.add_parser(
        "create", parents=[common], help=text("a new token, shown once", "新しいトークン(一度だけ表示)")
    )
    create.add_argument("--role", required=True, choices=_ROLES)
    create.add_argument("--name", required=True, help=text("whose it is", "使う人やプロセスの名前"))
    create.add_argument("--tenant", default="default")
    create.add_argument("--days", type=float, default=365.0, help=text("how long it is good (365)", "有効日数(365)"))
    create.set_defaults(run=_token_create)
    revoke = verbs.add_parser("revoke", parents=[common], help=text("end a token", "トークンを無効にする"))
    revoke.add_argument("id")
    revoke.set_defaults(run=_token_revoke)
    verbs.add_parser("list", parents=[common], help=text("all tokens", "トークンの一覧")).set_defaults(run=_token_list)


def _settings(options: argparse.Namespace) -> EmbeddedSettings:
    given: dict[str, Any] = {}
    if options.state_dir is not None:
        given["state_dir"] = options.state_dir
    settings = EmbeddedSettings(**given)
    changes: dict[str, Any] = {}
    names = ("data_port", "training_port", "registry_port", "inference_port")
    if getattr(options, "ports", None) == "auto":
        changes = dict.fromkeys((*names, "page_port"), 0)
    if getattr(options, "port_base", None):
        changes |= {name: options.port_base + number for number, name in enumerate(names)}
    if getattr(options, "page_port", None) is not None:
        changes["page_port"] = options.page_port
    if getattr(options, "no_page", False):
        changes["page"] = False
    return EmbeddedSettings.model_validate({**settings.model_dump(), **changes})


def _state(options: argparse.Namespace) -> StateDir:
    return StateDir(_settings(options).state_dir.expanduser().absolute())


def _up(options: argparse.Namespace) -> int:
    with uncollected():
        from services.embedded import up

    settings = _settings(options)
    if options.detach:
        up.detached(settings, _without_detach(sys.argv[2:]), as_json=options.json)
    else:
        up.foreground(settings, as_json=options.json)
    return 0


def _without_detach(arguments: list[str]) -> list[str]:
    return [argument for argument in arguments if argument not in ("--detach", "--json")]


def _down(options: argparse.Namespace) -> int:
    from services.embedded import down

    pid = down.stop(_state(options))
    if options.json:
        _print_json({"stopped": pid})
    else:
        _print(text(f"AIFT (pid {pid}) has stopped.", f"AIFT(pid {pid})を停止しました。"))
    return 0


def _status(options: argparse.Namespace) -> int:
    from services.embedded.overview import overview

    seen = overview(_state(options))
    if options.json:
        _print_json(seen.as_json())
    else:
        _print(seen.as_text())
    return 0 if seen.healthy else 1


def _logs(options: argparse.Namespace) -> int:
    from services.embedded.follow import show

    show(_state(options), options.name, lines=max(0, options.lines), follow=options.follow)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from services.embedded import doctor
    from services.embedded.lock import SupervisorLock

    settings, state = _settings(options), _state(options)
    running = SupervisorLock(state.lock).holder() is not None
    report = doctor.examine(state.root, settings.host, settings.ports(), running=running)
    if options.json:
        _print_json(report.as_json())
    else:
        _print(report.as_text())
    return 0 if report.able else 1


def _token_create(options: argparse.Namespace) -> int:
    from services.embedded.identities import Identities
    from services.embedded.tokens import DAY_S, Ledger

    state = _state(options)
    state.create()
    issued = Ledger(state.ledger, state.auth).issue(
        Identities(state).signing_key(),
        name=options.name,
        role=options.role,
        tenant=options.tenant,
        ttl_s=options.days * DAY_S,
    )
    if options.json:
        _print_json({"token": issued.token, **vars(issued.record)})
    else:
        _print(issued.token)
        sys.stderr.write(
            text(
                f"Its id is {issued.record.id}; the token is not shown again.\n",
                f"ID は {issued.record.id} です。トークンは再表示されません。\n",
            )
        )
    return 0


def _token_revoke(options: argparse.Namespace) -> int:
    from services.embedded.tokens import Ledger

    state = _state(options)
    record = Ledger(state.ledger, state.auth).revoke(options.id)
    if options.json:
        _print_json({"revoked": record.id})
    else:
        _print(text(f"Revoked: {record.id} ({record.name})", f"無効にしました: {record.id}({record.name})"))
    return 0


def _token_list(options: argparse.Namespace) -> int:
    from services.embedded.tokens import Ledger

    state = _state(options)
    ledger = Ledger(state.ledger, state.auth)
    revoked = ledger.revoked()
    listed = [{**vars(record), "revoked": record.id in revoked} for record in ledger.records()]
    if options.json:
        _print_json({"tokens": listed})
        return 0
    for entry in listed:
        until = datetime.fromtimestamp(float(entry["expires"]), UTC).date().isoformat()
        note = text("revoked", "無効") if entry["revoked"] else text(f"until {until}", f"{until} まで")
        _print(f"{entry['id']}  {entry['role']:<8} {entry['tenant']:<12} {entry['name']:<20} {note}")
    return 0


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


def _print_json(content: dict[str, Any]) -> None:
    _print(json.dumps(content, ensure_ascii=False))
