"""What this proxy tells control of itself."""

from collections.abc import Mapping, Sequence

from addons.record.backlog import backlog_of
from addons.record.outbox import Outbox
from addons.record.recorder import Recorder
from addons.tenants.snapshot import SnapshotHolder
from contract.proxy_report import ProxyReport
from contract.version import VERSION


def report(
    holder: SnapshotHolder,
    recorder: Recorder,
    outboxes: Sequence[Outbox],
    days: Mapping[str, float],
) -> ProxyReport:
    """The report of now. The first outbox is the one of this process."""
    backlog, own = backlog_of(outboxes), outboxes[0].spool
    return ProxyReport(
        worker=own.worker,
        boot=own.boot,
        version=VERSION,
        spool_bytes=backlog.kept,
        unsent_records=backlog.records,
        unsent_bytes=backlog.bytes,
        oldest_unsent=backlog.oldest,
        unrecorded=sum(recorder.writer.unrecorded.values()),
        spool_full=recorder.writer.full,
        redis=next((one.fault for one in outboxes if one.fault), ""),
        snapshot_version=holder.version,
        snapshot_age=holder.age,
        in_flight=recorder.under_way,
        certificate_days=days.get("ca"),
    )
