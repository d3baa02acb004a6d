"""``ModelDataCollector``, as azureml-monitoring 0.1.0a21 has it: the same parameters, columns, messages and rules.

Scripts import it as ``from azureml.monitoring import ModelDataCollector``. A collector never raises and never waits:
what goes wrong is counted, and said in the log.
"""

from __future__ import annotations

import os
import threading
import uuid
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from windtunnel_scoring import current
from windtunnel_scoring.collection import tables
from windtunnel_scoring.collection.places import DAY, HOUR, Place, Source, find_source, moment_of
from windtunnel_scoring.collection.settings import NOWHERE, CollectionSettings
from windtunnel_scoring.collection.sinks import BlobSink, FolderSink, SinkError
from windtunnel_scoring.collection.tables import NotTabular
from windtunnel_scoring.collection.writer import Lines, Writer
from windtunnel_scoring.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_scoring.collection.sinks import Sink
    from windtunnel_scoring.collection.tables import Data, Table

CORRELATION_ID: Final = "$aml_dc_correlation_id"
TIMESTAMP: Final = "$aml_dc_scoring_timestamp"
BOUNDARY: Final = "$aml_dc_boundary"
WORKSPACE: Final = "$aml_workspace"
SERVICE_NAME: Final = "$aml_service_name"
MODEL_NAME: Final = "$aml_model_name"
MODEL_VERSION: Final = "$aml_model_version"
REQUEST_ID: Final = "$aml_request_id"
COLUMNS: Final = (
    CORRELATION_ID,
    TIMESTAMP,
    BOUNDARY,
    WORKSPACE,
    SERVICE_NAME,
    MODEL_NAME,
    MODEL_VERSION,
    REQUEST_ID,
)
DESIGNATIONS: Final = ("inputs", "predictions", "labels", "signals", "general")
_PLACED_BY_CORRELATION = ("predictions", "labels", "signals")
_MORE = "(http://aka.ms/amlmodeldatacollection)."
_DISABLED = (
    f"Data collection is not enabled. Set environment variable AML_MODEL_DC_STORAGE_ENABLED to 'true' to enable {_MORE}"
)
_DEBUG = (
    "Data collection is in debug mode. Set environment variable AML_MODEL_DC_STORAGE_ENABLED to 'true' to send data to"
    f" the cloud {_MORE}"
)
# The missing space is theirs; scripts and logs are searched for it.
_NO_STORAGE = (
    "initialize failed: environment variable AML_MODEL_DC_STORAGEmust be set to an Azure storage connection string"
    f" {_MORE}"
)
_WRONG_DESIGNATION = (
    "Incorrect designation value. Supported values: 'default', 'inputs', 'predictions', 'labels', 'signals', 'general'"
)
_WRONG_DATA = (
    "collect failed: input data must be list,numpy array, pandas dataframe, or spark dataframe."
    " Corresponding modules must be installed first."
)


class ModelDataCollector:
    """Collects data of one model under one designation."""

    AML_DC_CORRELATION_HEADER = CORRELATION_ID
    AML_DC_SCORING_TIMESTAMP_HEADER = TIMESTAMP
    AML_DC_BOUNDARY_HEADER = BOUNDARY
    AML_WORKSPACE_HEADER = WORKSPACE
    AML_SERVICE_NAME_HEADER = SERVICE_NAME
    AML_MODEL_NAME_HEADER = MODEL_NAME
    AML_MODEL_VERSION_HEADER = MODEL_VERSION
    AML_REQUEST_ID_HEADER = REQUEST_ID

    def __init__(
        self,
        model_name: str,
        designation: str = "default",
        feature_names: Sequence[str] | None = None,
        workspace: str = NOWHERE,
        webservice_name: str = "default",
        model_version: str = "default",
        collection_name: str = "default",
    ) -> None:
        """A collector that cannot work says so, and does nothing from then on."""
        self._writer: Writer | None = None
        self._works = False
        self._debug = False
        self._header = [str(name) for name in feature_names] if feature_names is not None else []
        self._correlated = False
        try:
            settings = CollectionSettings.from_environment(os.environ)
        except SettingError as error:
            warnings.warn(f"initialize failed: {error}", stacklevel=2)
            return
        self._debug = settings.debug
        if settings.debug:
            print(_DEBUG)
        elif not settings.enabled:
            print(_DISABLED)
            return
        if designation != "default" and designation not in DESIGNATIONS:
            print(_WRONG_DESIGNATION)
            return
        self._designation = "general" if designation == "default" else designation
        given = Source(workspace=workspace, service=webservice_name, model=str(model_name), version=str(model_version))
        self._boundary = HOUR if settings.hourly else DAY
        self._source = find_source(settings, given)
        named = self._designation if self._designation not in ("signals", "general") else collection_name
        self._file = f"{named}.csv" if settings.package_files else "data.csv"
        if settings.enabled:
            try:
                self._writer = shared_writer(settings)
            except SinkError as error:
                warnings.warn(f"{_NO_STORAGE} {error}" if settings.storage else _NO_STORAGE, stacklevel=2)
                if not settings.debug:
                    return
        self._works = True
        self._correlated = self._designation == "inputs"

    def collect(self, input_data: Data, user_correlation_id: str = "") -> dict[str, object] | None:
        """Collect; for ``inputs`` gives the correlation, with which predictions can be found again."""
        if not self._works:
            return None
        correlations = self.correlation(user_correlation_id) if self._designation == "inputs" else None
        try:
            data = self.add_correlations(input_data, correlations) if correlations else input_data
            copied, size = tables.snapshot(data)
        except NotTabular:
            warnings.warn(_WRONG_DATA, stacklevel=2)
            return None
        except Exception as error:  # of the user's own types; a request must not fail for what is collected
            warnings.warn(f"collect failed: {type(error).__name__}: {error}", stacklevel=2)
            return None
        now = datetime.now(UTC)
        if self._debug:
            found = tables.table(copied)
            print((tables.header_line(self._header_of(found)) + found.csv()).decode())
        if self._writer is not None:
            self._writer.offer(lambda: self.lines(tables.table(copied), now), size)
        return correlations

    @property
    def writer(self) -> Writer | None:
        """None when nothing is stored."""
        return self._writer

    @property
    def debugs(self) -> bool:
        """Whether collections are printed."""
        return self._works and self._debug

    def add_correlations(self, input_data: Data, correlations: Mapping[str, object] | None) -> Data:
        """The data with the eight columns of a correlation at the end of every row."""
        if not correlations:
            return input_data
        self._correlated = True
        try:
            return tables.with_columns(input_data, COLUMNS, [correlations.get(name, "") for name in COLUMNS])
        except NotTabular:
            warnings.warn(_WRONG_DATA, stacklevel=2)
            return input_data

    def correlation(self, user_correlation_id: str = "") -> dict[str, object]:
        """A new one."""
        source, own = self._source, str(uuid.uuid4())
        return {
            CORRELATION_ID: f"{user_correlation_id}-{own}" if user_correlation_id else own,
            TIMESTAMP: datetime.now(UTC).replace(tzinfo=None).isoformat(),
            BOUNDARY: self._boundary,
            WORKSPACE: source.workspace,
            SERVICE_NAME: source.service,
            MODEL_NAME: source.model,
            MODEL_VERSION: source.version,
            REQUEST_ID: current.request_id.get(),
        }

    def _header_of(self, found: Table) -> tuple[str, ...]:
        if found.header:
            return found.header
        return (*self._header, *(COLUMNS if self._correlated else ())) if self._header else ()

    def lines(self, found: Table, now: datetime) -> list[Lines]:
        """What goes into which files."""
        names = self._header_of(found)
        header = tables.header_line(names)
        if self._designation not in _PLACED_BY_CORRELATION or not set(COLUMNS) & set(names):
            path = self._place(self._source).path(now, self._boundary)
            return [Lines(path=path, header=header, lines=found.csv())]
        by_path: dict[str, list[Sequence[object]]] = {}
        for row in found.rows:
            values = dict(zip(names, row, strict=False))
            moment = moment_of(str(values[TIMESTAMP])) if TIMESTAMP in values else now
            source = Source(
                workspace=str(values.get(WORKSPACE, self._source.workspace)),
                service=str(values.get(SERVICE_NAME, self._source.service)),
                model=str(values.get(MODEL_NAME, self._source.model)),
                version=str(values.get(MODEL_VERSION, self._source.version)),
                storage_path=self._source.storage_path,
            )
            boundary = HOUR if str(values.get(BOUNDARY, self._boundary)) == str(HOUR) else DAY
            by_path.setdefault(self._place(source).path(moment, boundary), []).append(row)
        return [Lines(path=path, header=header, lines=tables.Table(rows=r).csv()) for path, r in by_path.items()]

    def _place(self, source: Source) -> Place:
        return Place(source=source, designation=self._designation, file=self._file)


_lock = threading.Lock()
writers: dict[str, Writer] = {}
"""By storage: one queue for all collectors of a process."""


def shared_writer(settings: CollectionSettings) -> Writer:
    """Raises ``SinkError``."""
    with _lock:
        writer = writers.get(settings.storage)
        if writer is None:
            writer = Writer(_sink(settings), most=settings.queue, flush_s=settings.flush_s)
            writers[settings.storage] = writer
        return writer


def _sink(settings: CollectionSettings) -> Sink:
    if not settings.storage:
        raise SinkError("AML_MODEL_DC_STORAGE is not set")
    folder = settings.folder
    return FolderSink(folder) if folder is not None else BlobSink(settings.storage)
