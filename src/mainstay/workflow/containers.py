"""Reading `container` and `services`."""

from mainstay.model.plan import Service
from mainstay.workflow.reading import Reading
from mainstay.workflow.yaml import Node, Scalar

KEYS = ("image", "credentials", "env", "ports", "volumes", "options")
SERVICE_KEYS = (*KEYS, "entrypoint", "command")
CONTAINER = "jobs.<job_id>.container"
SERVICES = "jobs.<job_id>.services"


def read_container(reading: Reading, node: Node | None) -> Service | None:
    """The container that the steps of a job run in."""
    if node is None or (isinstance(node, Scalar) and not node.text):
        return None
    return _service(reading, node, CONTAINER, CONTAINER, '"container"')


def read_services(reading: Reading, node: Node | None) -> dict[str, Service]:
    """The containers that run beside a job, by name."""
    if node is None:
        return {}
    found = {}
    for name, value in reading.entries(node, '"services"'):
        service = _service(reading, value, SERVICES, f"{SERVICES}.<service_id>", f'the service "{name.text}"')
        if service is not None:
            found[name.text] = service
    return found


def _service(reading: Reading, node: Node, key: str, inner: str, what: str) -> Service | None:
    if isinstance(node, Scalar):
        image = reading.template(node, key, what)
        return Service(image.removeprefix("docker://")) if image else None
    found = reading.mapping(node, what, SERVICE_KEYS if key == SERVICES else KEYS)
    if found is None:
        return None
    entries = found.entries
    image = reading.template(entries.get("image"), key, f'"image" of {what}')
    if not image:
        reading.problems.error(node, f'{what} needs an "image"')
        return None

    def listed(name: str) -> tuple[str, ...]:
        value = entries.get(name)
        items = reading.items(value, f'"{name}" of {what}') if value is not None else ()
        texts = (reading.template(item, key, f'"{name}" of {what}') for item in items)
        return tuple(text for text in texts if text is not None)

    return Service(
        image=image.removeprefix("docker://"),
        env=reading.templates(entries.get("env"), f"{inner}.env.<env_id>", f'"env" of {what}'),
        ports=listed("ports"),
        volumes=listed("volumes"),
        options=reading.template(entries.get("options"), key, f'"options" of {what}') or "",
        entrypoint=reading.template(entries.get("entrypoint"), key, f'"entrypoint" of {what}') or "",
        command=reading.template(entries.get("command"), key, f'"command" of {what}') or "",
        credentials=reading.templates(entries.get("credentials"), f"{inner}.credentials", f'"credentials" of {what}'),
    )
