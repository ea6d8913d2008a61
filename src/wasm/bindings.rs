//! Bindings generated from `wit/` at build time.
//!
//! One set serves all worlds: what a component exports is looked up by interface, and `http` and `sql` are linked
//! apart.

#![allow(missing_debug_implementations, clippy::all)]

wasmtime::component::bindgen!({
    path: "wit",
    inline: "
        package omnifs:host;
        world every {
            include omnifs:provider/service@1.0.0;
            include omnifs:provider/database@1.0.0;
        }
    ",
    world: "omnifs:host/every",
    imports: {
        "omnifs:provider/http.fetch": async | trappable,
        "omnifs:provider/http.fetch-all": async | trappable,
        "omnifs:provider/sql.query": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    additional_derives: [PartialEq],
});
