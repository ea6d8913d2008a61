// A greeting from JavaScript.

import { get } from "omnifs:provider/config@1.0.0";
import {
  description,
  directory,
  file,
  IMMUTABLE,
  lookup,
  notFound,
  setting,
  unavailable,
} from "./omnifs.js";

const greeting = () => `Hello, ${get("name")}!\n`;

export const manifest = {
  describe: () =>
    description({
      identity: { name: "greeter", version: "1.0.0", summary: "A greeting from JavaScript" },
      root: "root",
      config: [setting("name", "Who is greeted", "world")],
    }),
};

function listChildren(parent) {
  switch (parent) {
    case "root":
      return [
        file("greeting", "hello.txt", greeting(), IMMUTABLE),
        directory("about", "about", IMMUTABLE),
      ];
    case "about":
      return [file("facts", "facts.json"), file("away", "away.txt")];
  }
  throw notFound();
}

function readFile(node) {
  switch (node) {
    case "facts": {
      const facts = { words: greeting().match(/[A-Za-z]+/g), characters: greeting().length };
      return new TextEncoder().encode(JSON.stringify(facts) + "\n");
    }
    case "away":
      throw unavailable("nobody answers");
  }
  throw notFound();
}

export const provider = { listChildren, readFile, lookupChild: lookup(listChildren) };
