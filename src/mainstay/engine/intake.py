"""Noticing pushes and turning them into builds. One watcher per repository; looks at the same one never overlap.

What is asked of a look: read where the refs are, compare with the place reached, bring the objects, plan each new commit,
and store the builds of a ref's move in the transaction that moves its reached place. Killed anywhere before, the next
look finds the same difference again; what was stored already is recognised and left out.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta

from mainstay.engine.clock import Clock
from mainstay.engine.planning import Planner
from mainstay.engine.sources import Sources
from mainstay.engine.wake import Wake
from mainstay.flow import intake as intake_flow
from mainstay.flow import supersede
from mainstay.git.mirror import Mirror
from mainstay.model.build import NewBuild
from mainstay.model.errors import MainstayError, NotFound
from mainstay.model.events import Event, EventKind
from mainstay.model.repository import CommitPolicy, RefMove, Repository
from mainstay.store import builds, events, repositories
from mainstay.store.database import Database, Tx

CHUNK = 50
"""Commits that are stored in one transaction: long ones keep everybody else from writing."""
LONGEST_PAUSE_S = 3600.0
"""Back-off of an unreachable remote ends here."""

log = logging.getLogger(__name__)
