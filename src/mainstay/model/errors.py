"""What can be refused, as values that every layer above may raise and the outermost turns into words or HTTP."""


class MainstayError(Exception):
    """A refusal or failure that a person can act on.

    `code` is a stable word for programs, `message` says what was tried, what was wrong and what to do.
    """

    code = "failed"
    status = 500
    """The HTTP status it becomes."""
    exit_code = 1
    """The exit code it becomes on the terminal."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class BadInput(MainstayError):
    """The request makes no sense as it stands."""

    code, status, exit_code = "bad-input", 422, 2


class NotAllowed(MainstayError):
    """Known, but without the right to do this."""

    code, status, exit_code = "not-allowed", 403, 4


class NotSignedIn(MainstayError):
    """No token, or one that is not known (any more)."""

    code, status, exit_code = "not-signed-in", 401, 4


class NotFound(MainstayError):
    """There is no such thing."""

    code, status, exit_code = "not-found", 404, 5


class Conflict(MainstayError):
    """It does not fit the present state, which the message names."""

    code, status, exit_code = "conflict", 409, 1


class Gone(MainstayError):
    """The speaker is not known as it presents itself: a runner has to say hello (again)."""

    code, status, exit_code = "say-hello", 410, 1


class TooLarge(MainstayError):
    """Over a stated limit."""

    code, status, exit_code = "too-large", 413, 2


class Unavailable(MainstayError):
    """Cannot be done now; trying again later may help."""

    code, status, exit_code = "unavailable", 503, 3
