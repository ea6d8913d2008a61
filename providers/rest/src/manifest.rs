//! What a declared service asks for: its requests one by one, and nothing else.

use crate::feed;
use crate::spec::{By, Object, Spec};
use omnifs_sdk::Manifest;
use omnifs_sdk::manifest::{Credential, Endpoint, Feed, Path, Rule, Search, get};

pub fn of(spec: &'static Spec) -> Manifest {
    let requests = spec.objects.iter().flat_map(|object| {
        let polled = object.feed.iter().filter_map(|feed| match &feed.by {
            By::Lately(lately) => Some(&lately.poll),
            By::Whole => None,
        });
        object.list.iter().chain(&object.get).chain(polled)
    });
    let mut allow: Vec<Rule> = requests.map(|request| get(request.rule)).collect();
    allow.sort_by_key(|rule| rule.path);
    allow.dedup_by_key(|rule| rule.path);
    let credentials: Vec<Credential> = spec
        .credential
        .iter()
        .map(|credential| Credential {
            scheme: credential.scheme,
            environment: &credential.environment,
            ..Credential::new(&spec.name, &credential.help)
        })
        .collect();
    let names: Vec<&str> = credentials.iter().map(|credential| credential.name).collect();
    let endpoint = Endpoint {
        allow: allow.leak(),
        credentials: names.leak(),
        ..Endpoint::new(&spec.name, &spec.url, "reads what the file declares")
    };
    let feeds = spec.objects.iter().filter_map(|object| {
        let scopes = feed::scopes(object, object.feed.as_ref()?).leak();
        Some(Feed::poll(&object.name, scopes, &spec.name))
    });
    Manifest {
        feeds: feeds.collect::<Vec<_>>().leak(),
        endpoints: vec![endpoint].leak(),
        credentials: credentials.leak(),
        guide: spec.objects.iter().map(|object| path(spec, object)).collect::<Vec<_>>().leak(),
        ..Manifest::new(&spec.name, env!("CARGO_PKG_VERSION"), &spec.summary)
    }
}

/// How the object's directory shows. No name of the service's own is known, so an example has names made up.
fn path(spec: &'static Spec, object: &'static Object) -> Path {
    let files = object.files.iter().chain(&object.details).map(|(name, _)| name.clone());
    let here = spec.places.iter().find(|place| place.path == object.path);
    let fixed = here.iter().flat_map(|place| &place.fixed).map(|(name, _)| format!("{name}/"));
    let entries = files.chain(fixed).map(|name| &*name.leak());
    let example =
        object.path.split('/').map(|segment| if segment.starts_with('{') { "1" } else { segment });
    let example = example.collect::<Vec<_>>().join("/") + "/";
    Path {
        entries: entries.take(32).collect::<Vec<_>>().leak(),
        requests: 1,
        page: object.pages.and_then(|pages| u32::try_from(pages.limit()?.1).ok()),
        each_open: !is_kept(object),
        search: Search::Costly,
        ..Path::new(format!("{}/", object.path).leak(), object.name.as_str(), example.leak())
    }
}

/// Whether a look into the object that was known before asks nobody.
fn is_kept(object: &Object) -> bool {
    let sees = object.feed.as_ref().map(|feed| feed.sees);
    sees.is_some_and(|sees| if object.is_listed { sees.all() } else { sees.changes })
}
