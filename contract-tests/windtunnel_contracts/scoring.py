"""The scoring contract over HTTP, and that a prediction behind a target is the model's own. Rows 5, 8 and 12."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from windtunnel.interface import Capability

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place, Service

ACCURACY_FLOOR = 0.95
"""Of the digits model on its held-out set; its README has the measured figure."""


AGREEMENT_FLOOR, COSINE_FLOOR = 0.96, 0.99
"""Of predictions in block floating point with those of float32."""
ACCURACY_LOSS = 0.01
"""Microsoft's own claim for mantissas of 2 to 5 bits is a loss of 1 to 2 percent."""


@pytest.mark.requires(Capability.PREDICT)
class ScoringContract:
    """What every service with a scoring URI answers."""

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls, place: Place, digits: Digits) -> Iterator[Service]:
        """The digits model, without a script and without authentication; one for the whole class."""
        with place.shared(digits.model) as service:
            yield service

    def test_predictions_are_those_of_onnxruntime_in_process(
        self, place: Place, service: Service, digits: Digits
    ) -> None:
        answer = service.score({"data": digits.pixels[:50].tolist()})
        got = np.asarray(answer, dtype=np.float32)
        if not place.computes_exactly:
            expected = digits.expected(digits.pixels[:50])
            assert (got.argmax(axis=1) == expected.argmax(axis=1)).mean() >= AGREEMENT_FLOOR
            assert float((got * expected).sum() / (np.linalg.norm(got) * np.linalg.norm(expected))) > COSINE_FLOOR
            return
        np.testing.assert_allclose(got, digits.expected(digits.pixels[:50]), rtol=1e-5, atol=1e-6)

    def test_accuracy_on_held_out_digits_is_the_models_own(
        self, place: Place, service: Service, digits: Digits
    ) -> None:
        answer = np.asarray(service.score({"data": digits.pixels.tolist()}), dtype=np.float32)
        predicted = answer.argmax(axis=1)
        accuracy = float((predicted == digits.labels).mean())
        assert abs(accuracy - digits.accuracy()) <= (0 if place.computes_exactly else ACCURACY_LOSS)
        assert accuracy >= ACCURACY_FLOOR

    @pytest.mark.requires(Capability.HTTP)
    def test_health_is_open_and_says_healthy(self, service: Service) -> None:
        answer = service.request("GET", "/")
        assert (answer.status_code, answer.text) == (200, "Healthy")

    @pytest.mark.requires(Capability.HTTP)
    def test_swagger_describes_the_models_own_inputs(self, service: Service) -> None:
        document = service.request("GET", "/swagger.json").json()
        assert document["swagger"] == "2.0"
        example = document["definitions"]["ServiceInput"]["example"]
        assert service.request("POST", "/score", json=example).status_code == 200

    @pytest.mark.requires(Capability.HTTP)
    @pytest.mark.parametrize("version", ["3", "3.0", "3.1"])
    def test_openapi_is_there_too(self, service: Service, version: str) -> None:
        assert service.request("GET", f"/swagger.json?version={version}").json()["openapi"].startswith("3.")

    @pytest.mark.requires(Capability.HTTP)
    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"{}", b'{"data": "x"}', b'{"data": [[1, 2], [3]]}', b'{"data": [[1]]}', b"\xff"]
    )
    def test_input_that_does_not_fit_the_model_is_the_callers_fault(self, service: Service, body: bytes) -> None:
        answer = service.request("POST", "/score", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["message"]

    @pytest.mark.requires(Capability.HTTP)
    def test_request_ids_are_kept_and_made(self, service: Service, digits: Digits) -> None:
        body = {"data": digits.pixels[:1].tolist()}
        kept = service.request(
            "POST", "/score", json=body, headers={"x-ms-client-request-id": "wing-1", "x-request-id": "wing-2"}
        )
        assert kept.headers["x-ms-client-request-id"] == "wing-1"
        assert kept.headers["x-request-id"] == "wing-2"
        assert kept.headers["x-ms-run-function-failed"] == "False"
        made = service.request("POST", "/score", json=body)
        assert made.headers["x-request-id"]
        assert made.headers["x-request-id"] != service.request("POST", "/score", json=body).headers["x-request-id"]

    @pytest.mark.requires(Capability.HTTP)
    def test_a_request_id_that_is_too_long_is_refused(self, service: Service, digits: Digits) -> None:
        answer = service.request(
            "POST", "/score", json={"data": digits.pixels[:1].tolist()}, headers={"x-request-id": "x" * 101}
        )
        assert answer.status_code == 431

    @pytest.mark.requires(Capability.HTTP)
    def test_unknown_paths_and_methods_are_refused(self, service: Service) -> None:
        assert service.request("GET", "/nowhere").status_code == 404
        assert service.request("DELETE", "/score").status_code == 405

    @pytest.mark.requires(Capability.HTTP, Capability.SCRIPT)
    def test_a_script_decides_what_is_answered(self, place: Place, digits: Digits, tmp_path: Path) -> None:
        with place.shared(digits.model, script=_sum_script(tmp_path)) as service:
            answer = service.request("POST", "/score", json={"data": [[1, 2, 3]]})
            assert answer.json() == {"sum": 6, "model": digits.model.name}

    @pytest.mark.requires(Capability.HTTP, Capability.SCRIPT)
    def test_an_exception_of_the_script_is_a_server_error_that_says_so(
        self, place: Place, digits: Digits, tmp_path: Path
    ) -> None:
        with place.shared(digits.model, script=_sum_script(tmp_path)) as service:
            answer = service.request("POST", "/score", json={"wrong": True})
            assert answer.status_code in {500, 502}
            assert answer.headers["x-ms-run-function-failed"] == "True"
            assert service.request("POST", "/score", json={"data": [[1]]}).status_code == 200


def _sum_script(folder: Path) -> Path:
    path = folder / "score.py"
    path.write_text(
        "import json, os, pathlib\n\n\n"
        "def init():\n    global name\n"
        "    name = next(pathlib.Path(os.environ['AZUREML_MODEL_DIR']).rglob('*.onnx')).name\n\n\n"
        "def run(raw):\n    data = json.loads(raw)['data']\n"
        "    return {'sum': sum(sum(row) for row in data), 'model': name}\n",
        "utf-8",
    )
    return path
