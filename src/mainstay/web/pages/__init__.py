"""The pages people look at: HTML that is complete without script."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainstay.model.errors import MainstayError, NotSignedIn
from mainstay.web import problems
from mainstay.web.access import signed_in
from mainstay.web.pages import (
    account,
    artifacts,
    audit,
    builds,
    commits,
    home,
    live,
    logs,
    palette,
    people,
    queue,
    rendering,
    reports,
    repositories,
    runners,
    schedules,
    settings,
    signin,
    starts,
    subscriptions,
    tests,
    watch,
)

__all__ = ["error", "routes"]

_ATTEMPT = "/jobs/{job:int}/attempts/{attempt:int}"

routes = [
    Route("/", home.home),
    *rendering.routes,
    *settings.routes,
    Route("/live", live.live),
    Route("/palette", palette.palette),
    Route("/builds/{build:int}", builds.build),
    Route("/builds/{build:int}/cancel", builds.cancel, methods=["POST"]),
    Route("/builds/{build:int}/rerun", builds.rerun, methods=["POST"]),
    Route("/artifacts/{artifact:int}", artifacts.download),
    Route(_ATTEMPT, logs.log),
    Route(f"{_ATTEMPT}/tail", logs.tail),
    Route(f"{_ATTEMPT}/raw", logs.raw),
    Route("/repositories/{name}", repositories.repository),
    Route("/repositories/{name}/look", repositories.look, methods=["POST"]),
    Route("/repositories/{name}/refs", repositories.refs),
    Route("/repositories/{name}/schedules", schedules.of_repository),
    Route("/repositories/{name}/schedules", schedules.start, methods=["POST"]),
    Route("/schedules", schedules.all_schedules),
    Route("/repositories/{name}/commits/{commit}", commits.commit),
    Route("/repositories/{name}/start", starts.start),
    Route("/repositories/{name}/start", starts.started, methods=["POST"]),
    Route("/repositories/{name}/tests", tests.tests),
    Route("/repositories/{name}/tests/{test:path}", tests.test),
    Route("/repositories/{name}/notifications", reports.notifications),
    Route("/repositories/{name}/notifications", reports.add, methods=["POST"]),
    Route("/repositories/{name}/notifications/{action}", reports.act, methods=["POST"]),
    Route("/repositories/{name}/notifications/messages/{message:int}/{action}", reports.message_act, methods=["POST"]),
    Route("/account/messages", subscriptions.mine),
    Route("/account/messages", subscriptions.subscribe, methods=["POST"]),
    Route("/account/messages/authors", subscriptions.as_author, methods=["POST"]),
    Route("/account/messages/again", subscriptions.write_again, methods=["POST"]),
    Route("/account/messages/{subscription:int}/remove", subscriptions.unsubscribe, methods=["POST"]),
    Route("/mail/{token}", reports.way_out),
    Route("/mail/{token}", reports.leave, methods=["POST"]),
    Route("/runners", runners.runners),
    Route("/runners/tokens", runners.new_token, methods=["POST"]),
    Route("/runners/{runner:int}", runners.runner),
    Route("/runners/{runner:int}/{action}", runners.act, methods=["POST"]),
    *watch.routes,
    Route("/queue", queue.queue),
    Route("/queue", queue.act, methods=["POST"]),
    Route("/sign-in", signin.sign_in),
    Route("/sign-in", signin.signed_in, methods=["POST"]),
    Route("/sign-in/openid", signin.to_provider),
    Route(signin.RETURN, signin.from_provider),
    Route("/sign-out", signin.sign_out, methods=["POST"]),
    Route("/welcome", signin.welcome),
    Route("/welcome", signin.welcomed, methods=["POST"]),
    Route("/account", account.account),
    Route("/account/tokens", account.new_token, methods=["POST"]),
    Route("/account/tokens/{token:int}/revoke", account.revoke_token, methods=["POST"]),
    Route("/account/password", account.set_password, methods=["POST"]),
    Route("/account/sessions", account.end_sessions, methods=["POST"]),
    Route("/people", people.people),
    Route("/people", people.add, methods=["POST"]),
    Route("/people/{person}", people.person),
    Route("/people/{person}", people.change, methods=["POST"]),
    Route("/audit", audit.audit),
    Route("/preferences", signin.prefer, methods=["POST"]),
]


async def error(request: Request, problem: Exception) -> Response:
    """What a person reads when something was refused or went wrong; programs that ask for JSON get a problem."""
    if "text/html" not in request.headers.get("accept", ""):
        return await problems.answer(request, problem)
    if isinstance(problem, NotSignedIn):
        return signin.asked(request, problem)
    words, _ = rendering.speak(request)
    status, message = (
        500,
        words.plain("The server made a mistake and has written it to its log. Trying again may help."),
    )
    if isinstance(problem, MainstayError):
        status, message = problem.status, words.refusal(problem.message)
    elif isinstance(problem, HTTPException):
        status, message = problem.status_code, words.plain("There is nothing at this address.")
    try:
        viewer = await signed_in(request)
    except MainstayError:
        viewer = None
    heading = words("This was not found" if status == 404 else "This could not be done")
    title = words.plain("Not found" if status == 404 else "Not done")
    return rendering.render(request, "error.html", viewer, title=title, status=status, heading=heading, message=message)
