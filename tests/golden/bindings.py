"""The bindings of one gin file as it stands, includes not followed; read by gin's own parser."""

from gin import config_parser


class _Reference(str):
    """A reference or macro, which is not to be taken for a string of the same characters."""

    def __repr__(self):
        return str(self)


class _AsWritten(config_parser.ParserDelegate):
    """Leaves references as they are, so that nothing has to be registered."""

    def configurable_reference(self, scoped_name, evaluate):
        return _Reference(f"@{scoped_name}{'()' if evaluate else ''}")

    def macro(self, macro_name):
        return _Reference(f"%{macro_name}")


def parse_value(text):
    """The value that gin reads from `text`, a right-hand side."""
    return config_parser.ConfigParser(text, _AsWritten()).parse_value()


def read(path):
    """(parameter, value) of every line of a gin file, in their order.

    `Grid.axes` gives one for each choice, as `Grid.axes/width/x3`; an include is a parameter
    called 'include', and one bound in a scope begins with it, as 'actor/create_optimizer.eps'.
    """
    with path.open() as file:
        parsed = list(config_parser.ConfigParser(file, _AsWritten()))
    return [row for statement in parsed for row in _rows(statement)]


def _rows(statement):
    if isinstance(statement, config_parser.IncludeStatement):
        return [("include", statement.filename)]
    assert isinstance(statement, config_parser.BindingStatement), statement
    scope = f"{statement.scope}/" if statement.scope else ""
    name = scope + ".".join(part for part in (statement.selector, statement.arg_name) if part)
    if name != "Grid.axes":
        return [(name, statement.value)]
    return [
        (f"{name}/{axis}/{label}", flags)
        for axis, choices in statement.value
        for label, flags in choices.items()
    ]
