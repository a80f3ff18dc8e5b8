"""The one error of this package."""


class GuestError(ValueError):
    """A quantised model of another make cannot be read; the message names the operator, what it has and what is known."""
