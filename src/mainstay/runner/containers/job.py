"""A job moves into its containers: from the plan to a site whose steps run there."""

from collections.abc import Callable
from dataclasses import replace

from mainstay.model.plan import Service
from mainstay.runner import environment
from mainstay.runner.containers.engine import ContainerRefused
from mainstay.runner.containers.stand import Stand, Wish, evaluated
from mainstay.runner.folders import COLLECT, Folders
from mainstay.runner.limits import JobLimits
from mainstay.runner.steps import Site
from mainstay.runner.tools import find_uv


async def move(site: Site, folders: Folders, opened: Callable[[Stand], None]) -> Site:
    """The site within the job's containers. `opened` is told of what has to be closed, before anything is made.

    Raises ContainerRefused, EngineFailed, OSError.
    """
    machine, plan, output = site.machine, site.assignment.plan, site.output
    found = await machine.engines.get()
    if found.engine is None:
        raise ContainerRefused(f"the job asks for containers, and none can be had here: {found.reason}")
    wish = await _wish(site, machine.engines.container_of(plan))
    # Its interpreters are of no use without the rest of them; uv is whole in itself.
    real = find_uv()
    known = (real, real.with_name("uvx")) if real is not None else ()
    tools = {machine.tools / path.name: path.resolve() for path in known if path.exists()}
    place = replace(site.place, readable=tuple(path for path in site.place.readable if path != machine.tools))
    stand = Stand(
        engine=found.engine,
        owner=machine.owner,
        attempt=site.assignment.attempt,
        place=place,
        scripts=folders.scripts,
        files=folders.files,
        pipe=output.pipe or folders.files,
        tools=tools,
        limits=JobLimits(plan.limits.memory_bytes, plan.limits.processes),
        say=output.say,
        stopping=site.stopping,
        everything=machine.engines.everything,
    )
    opened(stand)
    await stand.open(wish)
    site.situation.containers.update(stand.context)
    if stand.inside is None:
        return site
    (folders.home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    site.situation.machine = environment.in_container(
        site.situation.machine, stand.environment, machine.tools, str(COLLECT)
    )
    # The machine's git is of use where the image has none, but only in a sandbox: the job can set what git obeys.
    beside = site.processes if machine.executor.name == "bubblewrap" else None
    return replace(site, processes=stand.inside, container=True, open_files=stand.shared, beside=beside)


async def _wish(site: Site, container: Service | None) -> Wish:
    scope = site.situation.scope()

    async def text(template: str) -> str:
        return await site.rendering.text(template, scope)

    services = {key: await evaluated(each, text) for key, each in site.assignment.plan.services.items()}
    return Wish(
        await evaluated(container, text) if container is not None else None,
        {key: service for key, service in services.items() if service is not None},
    )
