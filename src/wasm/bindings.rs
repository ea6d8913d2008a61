//! Bindings generated from `wit/` at build time.
//!
//! World `offline` is `service` without the import `http` and the export `events`, so one set serves
//! both: what a component exports is looked up by interface, and `http` is linked apart.

#![allow(missing_debug_implementations, clippy::all)]

wasmtime::component::bindgen!({
    path: "wit",
    world: "service",
    imports: {
        "omnifs:provider/http.fetch": async | trappable,
        "omnifs:provider/http.fetch-all": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    additional_derives: [PartialEq],
});
