"""What the user can act on: the message names the thing and what to do."""


class UserError(Exception):
    """Ends the command with exit code 1 and its text on standard error."""
