"""The one exception that a user's mistake raises."""


class InputError(ValueError):
    """A file or value from the user cannot be used.

    The message is one line that names the file or value and says what to do. The command line prints it and exits with
    status 2; in a notebook it is the last line of the traceback.
    """
