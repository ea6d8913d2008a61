//! The smallest provider: three files from its own settings, for the world without `http`.

use omnifs_sdk::manifest::{Path, Setting};
use omnifs_sdk::*;

ids! {
    /// What there is.
    pub enum Id {
        _: immutable(),
        Root = "root",
        Greeting = "greeting",
        About = "about",
        Version = "version",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        match self {
            Id::Root => fixed([("hello.txt", Id::Greeting), ("about", Id::About)]),
            Id::Greeting => file(|| Ok(scalar(format!("Hello, {}!", name())))),
            Id::About => fixed([("version", Id::Version), ("hello.txt", Id::Greeting)]),
            Id::Version => file(|| Ok(scalar(Hello::MANIFEST.version))),
        }
    }
}

/// Who is greeted.
fn name() -> String {
    config::get("name").unwrap_or_default()
}

/// The provider.
#[derive(Debug)]
pub struct Hello;

impl Provider for Hello {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[Setting { name: "name", description: "Who is greeted", default: Some("world") }],
        guide: &[
            Path::new("hello.txt", "a greeting", "hello.txt"),
            Path {
                entries: &["version", "hello.txt"],
                ..Path::new("about/", "the provider itself", "about/")
            },
        ],
        ..Manifest::new("hello", env!("CARGO_PKG_VERSION"), "A greeting, to start from")
    };
}

export!(offline, Hello);

#[cfg(test)]
mod tests {
    use super::*;
    use omnifs_sdk::testing::{Mount, Recorded};

    #[test]
    fn it_greets_whom_the_setting_names() {
        let mount = Mount::<Hello>::new(Recorded::new());
        assert_eq!(mount.list("").unwrap(), ["about", "hello.txt"]);
        assert_eq!(mount.read("hello.txt").unwrap(), "Hello, world!\n");
        let mount = Mount::<Hello>::new(Recorded::new().setting("name", "omnifs"));
        assert_eq!(mount.read("about/hello.txt").unwrap(), "Hello, omnifs!\n");
        assert_eq!(mount.requests(), Vec::<String>::new());
    }

    #[test]
    fn the_readme_shows_this_source() {
        let source = include_str!("lib.rs").split("\n#[cfg(test)]").next().unwrap();
        assert!(include_str!("../../README.md").contains(source.trim()));
    }
}
