"""`/metrics`: what Prometheus scrapes. Gauges are read from what is open, counters from what this process has seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from mainstay.engine.tally import BOUNDS_S, Histogram
from mainstay.model.report import ChannelKind
from mainstay.model.runner import Runner
from mainstay.model.states import JobState
from mainstay.store import deliveries, runners
from mainstay.store.database import Tx
from mainstay.store.deliveries import Backlog
from mainstay.store.views import queue, spans
from mainstay.web.access import reader
from mainstay.web.options import Site, site_of

OPEN_METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class _Read:
    """What is asked of the database: open jobs, runners and messages only, never the history."""

    jobs: dict[JobState, int]
    oldest_queued: datetime | None
    runners: list[Runner]
    repositories: int
    unreachable: int
    outbox: dict[ChannelKind, Backlog]


def _read(tx: Tx, now: datetime, lease_s: float) -> _Read:
    watched, unreachable = spans.unreachable(tx)
    return _Read(
        queue.counts(tx),
        spans.oldest_queued(tx),
        runners.all_of(tx, now, lease_s),
        watched,
        unreachable,
        deliveries.backlog(tx),
    )


class _Ours(Collector):
    """Our own figures, as Prometheus has them."""

    def __init__(self, site: Site, read: _Read, now: datetime) -> None:
        self._site, self._read, self._now = site, read, now

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        yield from self._work()
        yield from self._counted()
        yield from self._outbox()

    def _work(self) -> Iterator[Metric]:
        read = self._read
        jobs = GaugeMetricFamily("mainstay_jobs", "Open jobs by state.", labels=["state"])
        for state, count in read.jobs.items():
            jobs.add_metric([state.value], count)
        yield jobs
        yield GaugeMetricFamily(
            "mainstay_queue_oldest_seconds",
            "How long the longest waiting queued job has waited.",
            value=_age(read.oldest_queued, self._now),
        )
        known = GaugeMetricFamily("mainstay_runners", "Runners by state.", labels=["state"])
        for word in ("online", "draining", "offline"):
            known.add_metric([word], sum(_state(each) == word for each in read.runners))
        yield known
        slots = GaugeMetricFamily("mainstay_runner_slots", "Places of online runners, by use.", labels=["use"])
        slots.add_metric(["all"], sum(each.capacity for each in read.runners if each.online))
        slots.add_metric(["busy"], sum(each.running for each in read.runners))
        yield slots
        watched = GaugeMetricFamily("mainstay_repositories", "Watched repositories.", labels=["state"])
        watched.add_metric(["reachable"], read.repositories - read.unreachable)
        watched.add_metric(["unreachable"], read.unreachable)
        yield watched
        yield GaugeMetricFamily("mainstay_open_streams", "Answers that stay open.", value=self._site.streams.size)

    def _counted(self) -> Iterator[Metric]:
        figures = self._site.engine.tally
        for name, said, counter in (
            ("mainstay_builds_ended", "Builds that ended, by state.", figures.builds),
            (
                "mainstay_attempts_ended",
                "Attempts that ended, by state; lost ones are leases that ran out.",
                figures.attempts,
            ),
            ("mainstay_troubles", "Remotes that could no longer be read, failed runners, late ends.", figures.troubles),
        ):
            family = CounterMetricFamily(name, said, labels=["kind" if name.endswith("troubles") else "state"])
            for word, count in sorted(counter.items()):
                family.add_metric([word], count)
            yield family
        yield _histogram("mainstay_job_wait_seconds", "From being queued to the start of an attempt.", figures.waited)
        yield _histogram("mainstay_job_duration_seconds", "From the start of an attempt to its end.", figures.ran)

    def _outbox(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "mainstay_outbox_messages", "Messages that wait, by channel.", labels=["kind", "state"]
        )
        oldest = GaugeMetricFamily("mainstay_outbox_oldest_seconds", "Age of the oldest of them.", labels=["kind"])
        for kind, each in self._read.outbox.items():
            waiting.add_metric([kind.value, "waiting"], each.waiting)
            waiting.add_metric([kind.value, "failing"], each.failing)
            oldest.add_metric([kind.value], _age(each.oldest_at, self._now))
        yield waiting
        yield oldest
        sent = CounterMetricFamily(
            "mainstay_deliveries", "Tries of this server to deliver a message.", labels=["kind", "outcome"]
        )
        for (channel, outcome), count in sorted(self._site.engine.delivering.tried.items()):
            sent.add_metric([channel, outcome], count)
        yield sent


def _histogram(name: str, said: str, figures: Histogram) -> Metric:
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*(f"{each:g}" for each in BOUNDS_S), "+Inf"), figures.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return HistogramMetricFamily(name, said, buckets=buckets, sum_value=figures.total_s)


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _state(runner: Runner) -> str:
    return "offline" if not runner.online else "draining" if runner.draining else "online"


async def metrics(request: Request) -> Response:
    """All figures, in Prometheus' text format."""
    await reader(request, inside=True)
    site = site_of(request)
    now = site.engine.clock.now()
    read = await site.engine.db.read(_read, now, site.engine.lease.seconds)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(_Ours(site, read, now))
    return Response(generate_latest(registry), media_type=OPEN_METRICS)
