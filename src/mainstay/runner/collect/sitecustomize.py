# This folder is on the PYTHONPATH of jobs, so every Python that a job starts reads this file first: it must be quick,
# must parse under any Python, and must never fail. What it is for stands in _mainstay_start.
try:
    import _mainstay_start  # type: ignore[import-not-found]
except Exception:  # noqa: BLE001  (an old Python, or an odd one: the job goes on without us)
    _mainstay_start = None
if _mainstay_start is not None:
    _mainstay_start.load_shadowed(__file__)
