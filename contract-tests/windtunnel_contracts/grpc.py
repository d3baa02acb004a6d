"""The scoring contract over gRPC: what the FPGA service answers, and when its clients must not try again. Rows 3, 4, 5,
8, 9, 11 and 13."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from windtunnel.errors import DeploymentFailed, Timeout
from windtunnel.interface import Capability, ServiceState
from windtunnel_contracts import models

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place, Service


class GrpcContract:
    """Where predictions are asked for by gRPC."""

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls, place: Place, digits: Digits) -> Iterator[Service]:
        """The digits model; one for the whole class."""
        with place.shared(digits.model) as service:
            yield service

    @pytest.mark.requires(Capability.GRPC)
    @pytest.mark.parametrize(
        "body",
        [
            {"data": [[1]]},
            {"data": []},
            {"data": 1},
            {"inputs": {"wings": [[0.0] * 64]}},
            {"inputs": {}},
            b"\x89PNG\r\n\x1a\nno picture",
        ],
        ids=["width", "nothing", "scalar", "name", "no inputs", "picture"],
    )
    def test_input_that_does_not_fit_the_model_is_refused_for_good(
        self, service: Service, body: dict[str, object] | bytes
    ) -> None:
        answer = service.ask(body)
        assert answer.headers["grpc-status"] == "INVALID_ARGUMENT"
        assert answer.headers["request_id"]

    @pytest.mark.requires(Capability.GRPC)
    def test_an_answer_says_how_long_the_device_would_have_taken_and_that_a_model_says_so(
        self, service: Service, digits: Digits
    ) -> None:
        headers = service.ask(digits.request(1)).headers
        npu, queue, total = (int(headers[f"x-fpga-sim-{what}-us"]) for what in ("npu", "queue", "total"))
        assert 0 < npu < total
        assert queue >= 0
        assert headers["x-fpga-sim-source"] == "model"

    @pytest.mark.requires(Capability.GRPC)
    def test_more_requests_than_devices_wait_and_are_all_answered(self, service: Service, digits: Digits) -> None:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(service.ask, [digits.request(8)] * 64))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1

    @pytest.mark.requires(Capability.GRPC, Capability.LOGS)
    def test_a_request_is_in_the_log_by_its_id(self, place: Place, service: Service, digits: Digits) -> None:
        request_id = service.ask(digits.request(1)).headers["request_id"]
        assert request_id in place.log_with(service.deployment.name, request_id)


class DevicesContract:
    """Services that come and go: apart from the others, since a place may have room for one only."""

    @pytest.mark.requires(Capability.GRPC, Capability.SCALE)
    def test_devices_are_added_and_taken_away(self, place: Place, digits: Digits) -> None:
        with place.shared(digits.model) as service:
            name = service.deployment.name
            for replicas in (3, 1):
                place.backend.scale(place.target, name, replicas).result(place.patience_s)
                service.wait_until_healthy()
                assert place.backend.get(place.target, name).replicas == replicas
                assert service.ask(digits.request(1)).status == 200

    @pytest.mark.requires(Capability.GRPC, Capability.LOGS)
    def test_a_model_that_the_device_does_not_run_ends_as_failed_with_the_reason(
        self, place: Place, tmp_path: Path
    ) -> None:
        name = place.fresh_name()
        with pytest.raises(DeploymentFailed) as failed:
            place.deploy(models.write(models.identity(), tmp_path), name=name)
        assert "the device runs nothing of" in failed.value.log
        assert place.backend.get(place.target, name).state is ServiceState.FAILED

    @pytest.mark.requires(Capability.GRPC)
    def test_waiting_has_a_limit_and_names_the_state(self, place: Place, digits: Digits) -> None:
        with pytest.raises(Timeout, match=r"exceeded timeout|Current status"):
            place.deploy(digits.model, timeout_s=1e-6)
