//! The directories that the objects' paths lead through.

use super::{Fault, Lines, Object};
use std::collections::BTreeSet;
use toml::Spanned;

/// A directory, wherever its enclosing objects are.
#[derive(Debug, Default)]
pub struct Place {
    /// `projects/{project}/issues`. Empty: the instance's own directory.
    pub path: String,
    /// What it shows, by its number. `None`: a directory of names alone.
    pub object: Option<usize>,
    /// The objects whose ids it takes to ask for anything in it, its own last, as they follow in the path.
    pub keys: Vec<usize>,
    /// Directories in it that have a name of their own.
    pub fixed: Vec<(String, usize)>,
    /// The place of the object that it lists.
    pub listed: Option<usize>,
}

/// The objects that a path leads through, and whether it ends in the object's own name in braces.
///
/// # Errors
/// What is wrong with the path.
pub fn enclosing(names: &[String], own: &str, path: &str) -> Result<(Vec<usize>, bool), String> {
    let (mut enclosing, mut is_listed) = (Vec::new(), false);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:@+~".contains(c);
    for segment in path.split('/') {
        if is_listed {
            return Err(format!(
                "the path goes on after {{{own}}}: its files are declared by name"
            ));
        }
        match segment.strip_prefix('{').map(|rest| rest.strip_suffix('}')) {
            Some(Some(name)) if name == own => is_listed = true,
            Some(name) => {
                let found = name.and_then(|name| names.iter().position(|known| known == name));
                let Some(found) = found else {
                    return Err(format!("`{segment}` of the path is no object of this file"));
                };
                enclosing.push(found);
            }
            None if segment.is_empty()
                || segment.starts_with('.')
                || !segment.chars().all(plain) =>
            {
                return Err(format!(
                    "`{segment}` of the path is no name: use letters, digits, - and _"
                ));
            }
            None => {}
        }
    }
    Ok((enclosing, is_listed))
}

/// The places of all objects. `paths` are theirs as the file has them.
///
/// # Errors
/// What of a path cannot be beside the others.
pub(super) fn build(
    lines: Lines<'_>,
    objects: &[Object],
    paths: &[Spanned<String>],
) -> Result<Vec<Place>, Fault> {
    let mut places = vec![Place::default()];
    // What leads through another object comes after that.
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by_key(|at| objects[*at].path.split('/').count());
    for at in order {
        insert(&mut places, objects, at).map_err(|why| lines.refuse(&paths[at], why))?;
    }
    for (place, path) in places.iter().filter_map(|place| Some((place, &paths[place.object?]))) {
        let Some(object) = place.object.map(|at| &objects[at]) else { continue };
        let mut files = object.files.iter().chain(&object.details).map(|(name, _)| name);
        if let Some(twice) = files.find(|name| place.fixed.iter().any(|(own, _)| own == *name)) {
            let why = format!("{twice:?} is a file of {} and a directory", object.path);
            return Err(lines.refuse(path, why));
        }
    }
    find_keys(&mut places, objects);
    for (place, path) in places.iter().filter_map(|place| Some((place, &paths[place.object?]))) {
        let Some(object) = place.object.map(|at| &objects[at]) else { continue };
        let Some(feed) = &object.feed else { continue };
        let mut enclosing = place.keys.iter().filter(|key| place.object != Some(**key));
        if let Some(unsaid) = enclosing.find(|key| !feed.fields.contains(key)) {
            let (name, unsaid) = (&object.name, &objects[*unsaid].name);
            let why = format!(
                "{name} is asked for with {{{unsaid}}}, and its feed is not: it does not say whose a change is"
            );
            return Err(lines.refuse(path, why));
        }
    }
    Ok(places)
}

fn insert(places: &mut Vec<Place>, objects: &[Object], at: usize) -> Result<(), String> {
    let object = &objects[at];
    let segments: Vec<&str> = object.path.split('/').collect();
    let mut here = 0;
    for (depth, segment) in segments.iter().enumerate() {
        let is_last = depth + 1 == segments.len();
        let path = segments[..=depth].join("/");
        let shown = is_last.then_some(at);
        let new = Place { path, object: shown, ..Place::default() };
        let next = places.len();
        if !segment.starts_with('{') {
            if let Some(listed) = places[here].listed {
                return Err(format!(
                    "`{segment}` would be among the names of {}",
                    places[listed].path
                ));
            }
            let known = places[here].fixed.iter().find(|(name, _)| name == segment);
            here = match known.map(|(_, known)| *known) {
                Some(_) if is_last => return Err(format!("the path {} is taken", object.path)),
                Some(known) => known,
                None => {
                    places[here].fixed.push(((*segment).to_owned(), next));
                    places.push(new);
                    next
                }
            };
            continue;
        }
        here = match places[here].listed {
            Some(_) if is_last => {
                return Err(format!("two objects list what is in {}", places[here].path));
            }
            // One place for each name in braces, and two objects have none.
            Some(known) if places[known].path == new.path => known,
            _ if !is_last => {
                return Err(format!(
                    "no object has the path {}, through which this leads",
                    new.path
                ));
            }
            None if places[here].object.is_some() => {
                return Err(format!("put a name before {segment}, as in NAME/{segment}"));
            }
            None if !places[here].fixed.is_empty() => {
                return Err(format!("{segment} would be among names that are declared"));
            }
            _ => {
                places[here].listed = Some(next);
                places.push(new);
                next
            }
        };
    }
    Ok(())
}

/// Says of each place which ids it needs. Places below another come after it.
fn find_keys(places: &mut [Place], objects: &[Object]) {
    let mut needs: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); places.len()];
    for at in (0..places.len()).rev() {
        let mut own = BTreeSet::new();
        if let Some(object) = places[at].object.map(|object| &objects[object]) {
            own.extend(
                object
                    .get
                    .iter()
                    .chain(match object.get {
                        Some(_) => None,
                        None => object.list.as_ref(),
                    })
                    .flat_map(|request| request.needs()),
            );
            own.extend(object.feed.iter().flat_map(|feed| &feed.fields));
        }
        for (_, below) in &places[at].fixed {
            own.extend(&needs[*below]);
        }
        if let Some(listed) = places[at].listed
            && let Some(object) = places[listed].object
        {
            own.extend(objects[object].list.iter().flat_map(|request| request.needs()));
            own.extend(needs[listed].iter().filter(|needed| **needed != object));
        }
        needs[at] = own;
    }
    let depth = |object: usize| objects[object].path.split('/').count();
    for (place, needs) in places.iter_mut().zip(needs) {
        let own = place.object.filter(|object| objects[*object].is_listed);
        let mut keys: Vec<usize> = needs.into_iter().filter(|key| Some(*key) != own).collect();
        keys.sort_by_key(|key| depth(*key));
        keys.extend(own);
        place.keys = keys;
    }
}
