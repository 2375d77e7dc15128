"""For those who operate the server: `/healthz` and `/metrics`."""

import logging
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainstay import __version__
from mainstay.engine.dispatch import LEASE_S
from mainstay.model.errors import MainstayError
from mainstay.model.runner import Runner
from mainstay.model.states import JobState
from mainstay.store import events, runners
from mainstay.store.database import Tx
from mainstay.store.views import queue
from mainstay.web.access import reader
from mainstay.web.options import site_of
from mainstay.web.problems import of_error, problem

OPEN_METRICS = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger(__name__)


async def healthz(request: Request) -> Response:
    """200 while the database answers; 503 with words when it does not."""
    try:
        await site_of(request).engine.db.read(events.last_id)
    except MainstayError as error:
        return of_error(error)
    except Exception:
        log.exception("The database does not answer")
        return problem(503, "unavailable", "the database does not answer; see the server's log")
    return Response(f'{{"status":"ok","version":"{__version__}"}}', media_type="application/json")


async def metrics(request: Request) -> Response:
    """What Prometheus scrapes. Counts are read from open jobs and runners only, never from the history."""
    await reader(request, inside=True)
    site = site_of(request)
    counts, found = await site.engine.db.read(_counted, site.engine.clock.now())
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    jobs = Gauge("mainstay_jobs", "Open jobs by state.", ["state"], registry=registry)
    for state, count in counts.items():
        jobs.labels(state=state.value).set(count)
    known = Gauge("mainstay_runners", "Runners by state.", ["state"], registry=registry)
    for word in ("online", "draining", "offline"):
        known.labels(state=word).set(sum(_state(each) == word for each in found))
    slots = Gauge("mainstay_runner_slots", "Places of online runners, by use.", ["use"], registry=registry)
    slots.labels(use="all").set(sum(each.capacity for each in found if each.online))
    slots.labels(use="busy").set(sum(each.running for each in found))
    Gauge("mainstay_open_streams", "Answers that stay open.", registry=registry).set(site.streams.size)
    return Response(generate_latest(registry), media_type=OPEN_METRICS)


def _counted(tx: Tx, now: datetime) -> tuple[dict[JobState, int], list[Runner]]:
    return queue.counts(tx), runners.all_of(tx, now, LEASE_S)


def _state(runner: Runner) -> str:
    return "offline" if not runner.online else "draining" if runner.draining else "online"


routes = [Route("/healthz", healthz), Route("/metrics", metrics)]
