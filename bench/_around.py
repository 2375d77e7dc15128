"""What a long history leaves beside its builds: people, what they did and were told, what broke, figures of tests."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import text
from tests.web.filling import sha_of

from mainstay.store.database import Tx

Row = dict[str, Any]

PEOPLE = 300
AUDIT = 100_000
DAY_MS = 86_400_000
KINDS = ("broken", "fixed", "flaky", "finished")
FACTS = '{"repository":"demo","ref":"refs/heads/main","build_id":1,"number":1,"workflow":"ci","state":"failed"}'


def people(made: int) -> Iterator[Row]:
    """Those who can sign in."""
    for n in range(1, PEOPLE + 1):
        yield {"id": n, "name": f"person{n}", "full_name": f"Person {n}", "role": "developer", "created_at": made}


def audit(made: int) -> Iterator[Row]:
    """What they changed; one action and one person are rare."""
    for n in range(1, AUDIT + 1):
        rare = n == AUDIT // 2
        yield {
            "id": n,
            "at": made - (AUDIT - n) * 300_000,
            "action": "repository.remove" if rare else ("build.cancel", "build.rerun", "job.rerun")[n % 3],
            "subject": f"demo#{n}",
            "detail": "",
            "repository_id": 1,
            "person_id": n % PEOPLE + 1,
            "actor": "somebody rare" if rare else f"person{n % PEOPLE + 1}",
        }


def breaks(count: int, made: int) -> Iterator[Row]:
    """One of fifty builds broke its branch; all but the last few are mended."""
    for n in range(50, count, 50):
        at = made - (count - n) * 300_000
        yield {
            "repository_id": 1,
            "ref": "refs/heads/main",
            "source": ".mainstay/ci.yml",
            "job": "test (3.12)",
            "job_key": "test",
            "build_id": n + 1,
            "good": sha_of(str(n - 2)),
            "candidates": f'["{sha_of(str(n))}","{sha_of(str(n - 1))}"]',
            "tests": '["tests/test_part_3.py::test_thing[3]"]',
            "suspect": False,
            "state": "named" if n > count - 300 else "mended",
            "culprit": sha_of(str(n)),
            "opened_at": at,
            "named_at": at,
            "ended_at": None if n > count - 300 else at + DAY_MS,
        }


def reports(count: int, made: int) -> Iterator[Row]:
    """What was told of every fifth build."""
    for n in range(1, count // 5 + 1):
        at = made - (count - 5 * n) * 300_000
        yield {"id": n, "repository_id": 1, "kind": KINDS[n % 4], "at": at, "facts": FACTS}


def messages(count: int, made: int) -> Iterator[Row]:
    """Three of each, sent; a few wait, a few failed long ago."""
    for n in range(1, 3 * (count // 5) + 1):
        state = "failed" if n in (7, 8) else "waiting" if n > 3 * (count // 5) - 20 else "sent"
        at = made - (count - n) * 300_000
        yield {
            "report_id": (n + 2) // 3,
            "repository_id": 1,
            "kind": "mail",
            "recipient": f"person{n % PEOPLE + 1}@example.org",
            "language": "en",
            "state": state,
            "created_at": at,
            "due_at": made + 1000 * DAY_MS if state == "waiting" else None,
        }


DAYS = f"""
    INSERT INTO test_days (test_id, day, runs, failures, trees, flaky, seconds)
    SELECT r.test_id, a.finished_at / {DAY_MS}, count(*), sum(CASE WHEN r.outcome = 'failed' THEN 1 ELSE 0 END),
        count(*), CASE WHEN r.test_id % 40 = 3 THEN 1 ELSE 0 END, sum(r.duration_s)
    FROM test_results r JOIN attempts a ON a.id = r.attempt_id GROUP BY 1, 2
"""
FIGURES = """
    INSERT INTO test_figures (test_id, repository_id, state, build_id, runs, failures, trees, flaky, score, duration_s,
        ran_at, broke_at)
    SELECT test_id, 1, CASE WHEN test_id % 17 = 3 THEN 'failed' ELSE 'passed' END, 1, sum(runs), sum(failures),
        sum(trees), sum(flaky), 1.0 * sum(flaky) / sum(trees), sum(seconds) / sum(runs),
        CAST(max(day) AS BIGINT) * 86400000 + test_id,
        CASE WHEN sum(failures) > 0 THEN CAST(max(day) AS BIGINT) * 86400000 + test_id END
    FROM test_days GROUP BY test_id
"""


def count_tests(tx: Tx) -> None:
    """The days and figures of all results at once; the server counts them attempt by attempt."""
    tx.conn.execute(text(DAYS))
    tx.conn.execute(text(FIGURES))
