"""The one exception that a user's mistake raises."""


class InputError(ValueError):
    """A mistake in what the user gave, told in one sentence: what, where, what was expected, what to do.

    The command line prints it without a stack trace.

    Attributes:
      exit_code: with which the command line ends.
    """

    exit_code = 2
