"""Providers in Python: what every one of them would write again around the generated bindings.

`componentize-py` makes the modules `wit_world` and `componentize_py_types` of `wit/`, which say what each type
means. docs/languages.md has the two commands.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import manifest
from wit_world.imports import types

IMMUTABLE = types.Coherence_Immutable()
# Asked for again at each open: no feed proves that it is still true.
VOLATILE = types.Coherence_Volatile()


def not_found() -> Err:
    """To be raised where an object is not there."""
    return Err(types.Error_NotFound())


def unavailable(why: str) -> Err:
    """To be raised where the service cannot answer now."""
    return Err(types.Error_Unavailable(why))


def directory(id: str, name: str, coherence=VOLATILE) -> types.Node:
    return _node(id, name, types.Kind.DIRECTORY, None, coherence)


def file(id: str, name: str, content: bytes | None = None, coherence=VOLATILE) -> types.Node:
    """A file. Without its content, `read_file` is asked for that."""
    return _node(id, name, types.Kind.FILE, content, coherence)


def _node(id, name, kind, content, coherence):
    return types.Node(
        id=id,
        name=name,
        kind=kind,
        size=None if content is None else len(content),
        modified=None,
        version=None,
        content=None if content is None else types.Body_Held(content),
        coherence=coherence,
        part_of=None,
        complete=False,
    )


def setting(name: str, description: str, default: str | None = None) -> manifest.ConfigKey:
    return manifest.ConfigKey(name=name, description=description, default_value=default)


def description(
    name, version, summary, root, config=(), endpoints=(), credentials=(), feeds=(), guide=()
) -> manifest.Description:
    """What a component says of itself."""
    return manifest.Description(
        identity=manifest.Identity(name=name, version=version, summary=summary),
        root=root,
        config=list(config),
        endpoints=list(endpoints),
        credentials=list(credentials),
        feeds=list(feeds),
        guide=list(guide),
    )


class Provider(exports.Provider):
    """A tree whose directories are small enough to be listed where one name is looked up."""

    def lookup_child(self, parent: str, name: str) -> types.Node:
        for child in self.list_children(parent):
            if child.name == name:
                return child
        raise not_found()
