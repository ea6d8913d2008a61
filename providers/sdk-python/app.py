"""A greeting from Python, and what its standard library makes of it."""

import hashlib
import json

import omnifs
from wit_world import exports
from wit_world.imports import config


def greeting() -> bytes:
    return f"Hello, {config.get('name')}!\n".encode()


class Manifest(exports.Manifest):
    def describe(self):
        name = omnifs.setting("name", "Who is greeted", "world")
        return omnifs.description("greeter", "1.0.0", "A greeting from Python", "root", config=[name])


class Provider(omnifs.Provider):
    def list_children(self, parent):
        match parent:
            case "root":
                return [
                    omnifs.file("greeting", "hello.txt", greeting(), omnifs.IMMUTABLE),
                    omnifs.directory("about", "about", omnifs.IMMUTABLE),
                ]
            case "about":
                return [omnifs.file("facts", "facts.json"), omnifs.file("away", "away.txt")]
        raise omnifs.not_found()

    def read_file(self, node):
        match node:
            case "facts":
                facts = {"sha256": hashlib.sha256(greeting()).hexdigest(), "bytes": len(greeting())}
                return (json.dumps(facts) + "\n").encode()
            case "away":
                raise omnifs.unavailable("nobody answers")
        raise omnifs.not_found()
