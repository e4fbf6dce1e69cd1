"""The page of settings is complete and the same wherever it is written."""

import subprocess
import sys

from services.core.settings_reference import classes, own_fields, render


def test_every_setting_is_told_with_its_meaning() -> None:
    page = render()
    for kind in classes():
        assert f"## {kind.__name__}\n" in page
        for name, field in own_fields(kind).items():
            assert field.description, f"{kind.__name__}.{name} has no description"
            assert f"| `{kind.model_config['env_prefix']}{name.upper()}` |" in page


def test_services_are_found() -> None:
    names = [kind.__name__ for kind in classes()]
    assert names[:2] == ["ProcessSettings", "Settings"]
    assert "DataSettings" in names


def test_nothing_of_this_machine_is_in_it() -> None:
    argv = [sys.executable, "-m", "services.core.settings_reference"]
    elsewhere = subprocess.run(argv, env={"HOME": "/nowhere", "AIFT_LISTEN": "x:1"}, capture_output=True, check=True)
    assert elsewhere.stdout.decode() == render()
    assert "/nowhere" not in render()
    assert "/root" not in render()
