"""The service's own output. Row 13."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel.interface import Capability

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place


class LogsContract:
    """What a service prints can be read."""

    @pytest.mark.requires(Capability.LOGS, Capability.SCRIPT)
    def test_what_a_script_prints_is_in_the_log_and_tail_is_its_end(
        self, place: Place, digits: Digits, tmp_path: Path
    ) -> None:
        script = tmp_path / "score.py"
        script.write_text(
            "def init():\n    print('wings out')\n\n\ndef run(raw):\n    print('lift', raw)\n    return raw\n", "utf-8"
        )
        with place.shared(digits.model, script=script) as service:
            for n in range(3):
                service.ask(f"{n}".encode())
            name = service.deployment.name
            whole = place.backend.logs(place.target, name)
            assert whole.index("wings out") < whole.index("lift 0") < whole.index("lift 2")
            last = place.backend.logs(place.target, name, tail=2)
            assert len(last.splitlines()) <= 2
            assert whole.rstrip().splitlines()[-1:] == last.rstrip().splitlines()[-1:]
