//! A server of the Model Context Protocol: its resources, templates of resources, prompts and tools. Tools are
//! described and never called: the host lets no request through that says anything but what [`READS`] names.
//!
//! The server tells of changes on a stream that belongs to a session, and only while somebody holds that: what came
//! between two sessions nobody hears of. It proves nothing, so everything here is volatile: it is asked for at each
//! open.

mod api;
mod guide;
mod prompt;
mod resource;
mod sse;
mod tool;

use omnifs_sdk::manifest::{Bodies, Credential, Endpoint, Session, Setting};
use omnifs_sdk::*;

/// The JSON-RPC methods that change nothing at the server.
const READS: &[&str] = &[
    "initialize",
    "notifications/initialized",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "tools/list",
];

ids! {
    pub enum Id {
        _: volatile(),
        Root = "root",
        Resources = "resources",
        Resource(uri: String) = "resource",
        /// What one read of a resource brings.
        Contents(uri: String) = "contents",
        /// The `nth` of those with the URI `part`.
        Part(uri: String, part: String, nth: usize) = "part",
        Templates = "templates",
        Template(uri: String) = "template",
        Prompts = "prompts",
        Prompt(name: String) = "prompt",
        Tools = "tools",
        Tool(name: String) = "tool",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => fixed([
                ("resources", Resources),
                ("templates", Templates),
                ("prompts", Prompts),
                ("tools", Tools),
            ]),
            Resources => open_ended((), |()| resource::list(), |(), uri| resource::named(uri)),
            Resource(uri) => object(move || resource::find(&uri)),
            Contents(uri) => listing(move || resource::contents(&uri)),
            Part(uri, part, nth) => file(move || resource::part(&uri, &part, nth)),
            Templates => listing(resource::templates),
            Template(uri) => object(move || resource::template(&uri)),
            Prompts => listing(prompt::list),
            Prompt(name) => object(move || prompt::find(&name)),
            Tools => listing(tool::list),
            Tool(name) => object(move || tool::find(&name)),
        }
    }
}

/// The provider.
#[derive(Debug)]
pub struct Mcp;

impl Provider for Mcp {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[Setting {
            name: "path",
            description: "where the server answers, below the endpoint",
            default: Some("mcp"),
        }],
        endpoints: &[Endpoint {
            allow: api::server::RULES,
            bodies: Some(Bodies { member: "method", values: READS }),
            session: Some(Session {
                header: "mcp-session-id",
                begun_by: "initialize",
                confirmed_by: "notifications/initialized",
            }),
            credentials: &["token"],
            ..Endpoint::new(
                api::server::ENDPOINT,
                "https://localhost:3001",
                "reads resources and prompts, lists tools and calls none",
            )
        }],
        credentials: &[Credential::new(
            "token",
            "https://modelcontextprotocol.io/docs/tutorials/security/authorization",
        )],
        guide: guide::GUIDE,
        ..Manifest::new(
            "mcp",
            env!("CARGO_PKG_VERSION"),
            "Resources, prompts and descriptions of tools of an MCP server",
        )
    };
}

export!(service, Mcp);
