// Providers in JavaScript: what every one of them would write again around the interface. The types are those of
// `wit/` as `jco` names them. docs/languages.md has the two commands.

export const IMMUTABLE = { tag: "immutable" };
// Asked for again at each open: no feed proves that it is still true.
export const VOLATILE = { tag: "volatile" };

// To be thrown where an object is not there.
export const notFound = () => ({ tag: "not-found" });

// To be thrown where the service cannot answer now.
export const unavailable = (why) => ({ tag: "unavailable", val: why });

export const directory = (id, name, coherence = VOLATILE) =>
  node(id, name, "directory", undefined, coherence);

// A file. Without its content, text or bytes, `readFile` is asked for that.
export const file = (id, name, content, coherence = VOLATILE) =>
  node(id, name, "file", bytes(content), coherence);

const bytes = (content) => (typeof content === "string" ? new TextEncoder().encode(content) : content);

function node(id, name, kind, content, coherence) {
  const size = content && BigInt(content.length);
  const held = content && { tag: "held", val: content };
  return { id, name, kind, size, content: held, coherence, complete: false };
}

export const setting = (name, description, defaultValue) => ({ name, description, defaultValue });

// What a component says of itself: `identity` and `root`, and what it has of the rest.
export const description = (said) => ({
  config: [],
  endpoints: [],
  credentials: [],
  feeds: [],
  guide: [],
  ...said,
});

// `lookupChild` of a tree whose directories are small enough to be listed where one name is looked up.
export const lookup = (listChildren) => (parent, name) => {
  const found = listChildren(parent).find((child) => child.name === name);
  if (!found) throw notFound();
  return found;
};
