//! What a manifest says of the user's own machine: where an endpoint may be there, and which other program has a
//! login. Nothing of it is read or run but by `omnifs setup` and `omnifs auth login`, and only of a component that
//! ships with this program.

use super::{Fault, environment, header, line, name, pointer, raw, refuse, short, unique, web};
use crate::names::Quoted;

pub(super) fn check(
    endpoints: &[raw::Endpoint],
    credentials: &[raw::Credential],
) -> Result<(), Fault> {
    endpoints.iter().filter_map(|endpoint| endpoint.nearby.as_ref()).try_for_each(nearby)?;
    for credential in credentials {
        credential.scopes.as_ref().map_or(Ok(()), scopes)?;
        short(&credential.logins, "logins of other programs")?;
        credential.logins.iter().try_for_each(|login| other_login(login, endpoints))?;
    }
    Ok(())
}

/// `/PATH`, `~/PATH` or `$NAME/PATH`. It leads nowhere above what it begins with.
fn path(text: &str) -> Result<(), Fault> {
    line(text, "path of a user's file")?;
    let rest = text.strip_prefix('~').or_else(|| {
        let rest = text.strip_prefix('$')?;
        let (variable, _) = rest.split_once('/')?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let own = variable.starts_with("OMNIFS_");
        let right = !variable.is_empty() && !own && variable.bytes().all(plain);
        right.then(|| &rest[variable.len()..])
    });
    let rest = rest.unwrap_or(text);
    let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !rest.strip_prefix('/').is_some_and(|rest| rest.split('/').all(inside)) {
        return refuse(format_args!(
            "{} is no path of a user's file: use /PATH, ~/PATH or $NAME/PATH",
            Quoted(text)
        ));
    }
    Ok(())
}

fn paths(list: &[String]) -> Result<(), Fault> {
    short(list, "paths")?;
    list.iter().try_for_each(|text| path(text))
}

fn nearby(nearby: &raw::Nearby) -> Result<(), Fault> {
    short(&nearby.sockets, "sockets")?;
    for socket in &nearby.sockets {
        match socket.strip_prefix("unix://") {
            Some(place) => path(place)?,
            None => return refuse(format_args!("{} is no unix:///PATH", Quoted(socket))),
        }
    }
    let Some(contexts) = &nearby.contexts else { return Ok(()) };
    paths(&contexts.files)?;
    paths(&contexts.chosen_files)?;
    contexts.chosen_environment.as_deref().map_or(Ok(()), environment)?;
    [&contexts.name, &contexts.address, &contexts.chosen].into_iter().try_for_each(|p| pointer(p))
}

fn scopes(scopes: &raw::Scopes) -> Result<(), Fault> {
    header(&scopes.header)?;
    short(&scopes.needed, "scopes")?;
    unique(scopes.needed.iter().map(|scope| scope.name.as_str()), "scope")?;
    for scope in &scopes.needed {
        line(&scope.purpose, "purpose of a scope")?;
        short(&scope.held_by, "scopes")?;
        for text in scope.held_by.iter().chain([&scope.name]) {
            line(text, "scope")?;
            if text.is_empty() || text.contains([' ', ',']) {
                return refuse(format_args!("{} is no scope", Quoted(text)));
            }
        }
    }
    Ok(())
}

fn other_login(login: &raw::OtherLogin, endpoints: &[raw::Endpoint]) -> Result<(), Fault> {
    // A name alone: it is looked for in the user's PATH and nowhere else.
    name(&login.program, "program")?;
    short(&login.arguments, "arguments")?;
    login.arguments.iter().try_for_each(|text| line(text, "argument of a program"))?;
    paths(&login.files)?;
    [&login.secret, &login.user].into_iter().try_for_each(|p| pointer(p))?;
    web(&format!("https://{}", login.own_host), "host of a login")?;
    short(&login.other_hosts, "hosts")?;
    for host in &login.other_hosts {
        line(&host.ends_with, "host of a login")?;
        web(&host.url.replace("{host}", "host.example"), "URL of a host")?;
        if !endpoints.iter().any(|endpoint| endpoint.name == host.endpoint) {
            return refuse(format_args!(
                "a login is for the endpoint {}, which is not declared",
                Quoted(&host.endpoint)
            ));
        }
    }
    Ok(())
}
