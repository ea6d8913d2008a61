//! Bindings generated from `wit/`, on every target: natively the types are used and the imports are
//! not (see `host`).
//!
//! The world `offline` is `service` without `http` and `events`, so it borrows types and exports. `database` is
//! `service` without `http`, and with what the last two modules add.
#![allow(missing_debug_implementations, clippy::missing_safety_doc)]

pub mod service {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "service",
        pub_export_macro: true,
        export_macro_name: "export_service",
        runtime_path: "wit_bindgen::rt",
        generate_all,
    });
}

/// Only the description of its world, which the linker hands to the componentizer: the exports are
/// those of `service`.
#[allow(unused)]
pub mod offline {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "offline",
        with: {
            "omnifs:provider/types@1.0.0": super::service::omnifs::provider::types,
            "omnifs:provider/config@1.0.0": super::service::omnifs::provider::config,
            "omnifs:provider/log@1.0.0": super::service::omnifs::provider::log,
            "omnifs:provider/preload@1.0.0": super::service::omnifs::provider::preload,
        },
    });
}

/// What the world `database` imports beside what `service` does. A world with exports would be one that every component
/// has to fit, used or not, unless its macro describes it.
pub mod database {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package omnifs:sdk;
            world queries {
                import omnifs:provider/sql@1.0.0;
            }
        ",
        world: "omnifs:sdk/queries",
        runtime_path: "wit_bindgen::rt",
        with: {
            "omnifs:provider/types@1.0.0": super::service::omnifs::provider::types,
        },
        generate_all,
    });
}

/// What it exports beside that.
pub mod statements {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package omnifs:sdk;
            world statements {
                export omnifs:provider/statements@1.0.0;
            }
        ",
        world: "omnifs:sdk/statements",
        pub_export_macro: true,
        export_macro_name: "export_statements",
        runtime_path: "wit_bindgen::rt",
        generate_all,
    });
}
