"""Coverage data that another job wrote knows that job's files by their whole paths, which begin with its work tree.

On GitHub's machines all jobs have their work tree at the same place, so a later job can combine what earlier ones
measured. Here each has its own; so the paths in what is downloaded are made those of the job that downloads.
"""

from pathlib import Path

from mainstay.runner.actions.call import Call

MOST_FILES = 200
SCRIPT = r"""
import re, sqlite3, sys
tree = re.compile(r"/.*?/trees/\d+/\d+/work(?=/)")
work = sys.argv[1]
for name in sys.argv[2:]:
    try:
        db = sqlite3.connect(name)
        for number, path in db.execute("select id, path from file").fetchall():
            found = tree.match(path)
            if found and not path.startswith(work + "/"):
                db.execute("update or ignore file set path = ? where id = ?", (work + path[found.end():], number))
        db.commit()
        db.close()
    except sqlite3.Error:
        pass
"""


async def mend(call: Call, folder: Path) -> None:
    """Look at coverage's data files in a folder that was just filled. They are the job's: its own Python opens them."""
    found = await call.machine.threads.run(_found, folder)
    if not found:
        return
    code, _ = await call.programs.read(["python3", "-I", "-c", SCRIPT, str(call.place.work), *found], cwd=call.temp)
    if code:
        call.warn("the paths in downloaded coverage data are those of the job that wrote it: there is no python3 here")


def _found(folder: Path) -> list[str]:
    names = (path for path in folder.rglob(".coverage*") if path.is_file() and not path.is_symlink())
    return [str(path) for path, _ in zip(names, range(MOST_FILES), strict=False)]
