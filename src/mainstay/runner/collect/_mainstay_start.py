"""What happens when a job's Python starts: the `sitecustomize` that ours hides is loaded, and unittest will be watched.

Standard library only, Python 3.8 to 3.14, nothing imported that a bare Python has not imported anyway.
"""

from __future__ import annotations

import os
import sys

FOLDER = "MAINSTAY_TESTS_DIR"


class WatchUnittest:
    """A finder that finds nothing, but has unittest's runner patched when it is imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """Called for every import until unittest.runner comes by."""
        if name != "unittest.runner":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)  # type: ignore[arg-type]
            if spec is not None:
                self._watch(spec)
                return spec
        return None

    @staticmethod
    def _watch(spec: object) -> None:
        loader = spec.loader  # type: ignore[attr-defined]
        plain = loader.exec_module

        def exec_module(module: object) -> None:
            plain(module)
            try:
                import _mainstay_unittest  # type: ignore[import-not-found]  # noqa: PLC0415  (only now is it needed)

                _mainstay_unittest.patch(module)
            except Exception:  # noqa: BLE001, S110  (the job's tests matter more than our counting)
                pass

        try:  # noqa: SIM105  (contextlib is not imported yet)
            loader.exec_module = exec_module
        except AttributeError:
            pass  # a loader of somebody else's that cannot be changed


def load_shadowed(ours: str) -> None:
    """Run the `sitecustomize` that would have been found without this folder. Its errors are its own."""
    here = os.path.dirname(os.path.abspath(ours))
    rest = [path for path in sys.path if os.path.abspath(path or ".") != here]
    for finder in sys.meta_path:
        if getattr(finder, "__name__", "") == "PathFinder":
            spec = finder.find_spec("sitecustomize", rest)
            if spec is not None and spec.loader is not None:
                from importlib.util import module_from_spec  # noqa: PLC0415  (rare, and slow to import)

                module = module_from_spec(spec)
                sys.modules["sitecustomize"] = module
                spec.loader.exec_module(module)
            return


if os.environ.get(FOLDER):
    sys.meta_path.insert(0, WatchUnittest())  # type: ignore[arg-type]
