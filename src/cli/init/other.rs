//! Projects in languages whose components others' tools make.

use super::Language;

/// Of PyPI and npm; other versions may import what no provider gets.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const COMPONENTIZE_JS: &str =
    "@bytecodealliance/componentize-js@0.23.0 @bytecodealliance/jco@1.35.0";

/// The provider interface.
const WIT: [(&str, &str); 9] = [
    ("wit/events.wit", include_str!("../../../wit/events.wit")),
    ("wit/http.wit", include_str!("../../../wit/http.wit")),
    ("wit/manifest.wit", include_str!("../../../wit/manifest.wit")),
    ("wit/preload.wit", include_str!("../../../wit/preload.wit")),
    ("wit/provider.wit", include_str!("../../../wit/provider.wit")),
    ("wit/sql.wit", include_str!("../../../wit/sql.wit")),
    ("wit/support.wit", include_str!("../../../wit/support.wit")),
    ("wit/types.wit", include_str!("../../../wit/types.wit")),
    ("wit/worlds.wit", include_str!("../../../wit/worlds.wit")),
];

/// What a project is made of, and how it is built.
pub struct Project {
    pub files: Vec<(&'static str, String)>,
    /// The two commands, to be given in its directory.
    pub build: [String; 2],
    pub component: String,
}

/// A project of this name. `None` of Rust.
pub fn project(name: &str, language: Language) -> Option<Project> {
    let component = format!("{name}.wasm");
    let (own, build) = match language {
        Language::Rust => return None,
        Language::Python => (
            [
                ("app.py", include_str!("../../../providers/sdk-python/app.py")),
                ("omnifs.py", include_str!("../../../providers/sdk-python/omnifs.py")),
            ],
            [
                format!("pip install {COMPONENTIZE_PY}"),
                format!("componentize-py -d wit -w offline componentize app -o {component}"),
            ],
        ),
        Language::Javascript => (
            [
                ("app.js", include_str!("../../../providers/sdk-javascript/app.js")),
                ("omnifs.js", include_str!("../../../providers/sdk-javascript/omnifs.js")),
            ],
            [
                format!("npm install {COMPONENTIZE_JS}"),
                format!(
                    "npx componentize-js app.js --wit wit -n offline --disable http fetch-event \
                     -o {component}"
                ),
            ],
        ),
    };
    let named = |text: &str| text.replace("\"greeter\"", &format!("\"{name}\""));
    let own = own.into_iter().map(|(file, text)| (file, named(text)));
    let wit = WIT.into_iter().map(|(file, text)| (file, text.to_owned()));
    Some(Project { files: own.chain(wit).collect(), build, component })
}

#[cfg(test)]
mod tests {
    use super::WIT;

    #[test]
    fn a_project_has_all_of_the_interface() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> =
            files.map(|name| format!("wit/{}", name.to_str().unwrap())).collect();
        names.sort();
        assert_eq!(names, WIT.map(|(name, _)| name));
    }
}
