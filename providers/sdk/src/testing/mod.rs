//! Tests a provider natively, without a component and without a network.
//!
//! [`Recorded`] answers the provider's requests from recorded exchanges; [`Mount`] walks the tree by
//! path as the host does, keeps what is offered, and panics where the provider breaks the contract
//! of `wit/`: a request that the manifest does not allow, a name or an id that the host would refuse,
//! a size that is not the content's, a scope that no feed covers. [`odd`] makes answers of which one
//! item is not as expected.
//!
//! ```
//! # use omnifs_sdk::*;
//! # ids! { pub enum Id { _: scoped("all"), Root = "root" } }
//! # impl Tree for Id {
//! #     fn shape(self) -> Shape<Id> {
//! #         listing(|| {
//! #             let names: Items<String> = api::names().json()?;
//! #             Ok(names.map(|name| Entry::file(name, Id::Root).content(scalar(1))))
//! #         })
//! #     }
//! # }
//! # routes! { mod api = "api" { get names() = "/names" } }
//! # struct Names;
//! # impl Provider for Names {
//! #     type Id = Id;
//! #     const ROOT: Id = Id::Root;
//! #     const MANIFEST: Manifest = Manifest {
//! #         endpoints: &[manifest::Endpoint {
//! #             allow: api::RULES,
//! #             ..manifest::Endpoint::new(api::ENDPOINT, "https://api.example", "names")
//! #         }],
//! #         feeds: &[manifest::Feed::poll("changes", "all", "api")],
//! #         ..Manifest::new("names", "0.1.0", "Names")
//! #     };
//! # }
//! use omnifs_sdk::testing::{Mount, Recorded};
//!
//! let upstream = Recorded::new().get("/names", r#"["a", "b"]"#);
//! let mount = Mount::<Names>::new(upstream);
//! assert_eq!(mount.list("").unwrap(), ["a", "b"]);
//! assert_eq!(mount.read("a").unwrap(), "1\n");
//! assert_eq!(mount.requests(), ["GET /names"]);
//! ```

pub(crate) mod host;
mod mount;
mod odd;
mod recorded;

pub use mount::Mount;
pub use odd::odd;
pub use recorded::Recorded;
