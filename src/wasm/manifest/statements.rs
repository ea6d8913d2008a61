//! The statements that a manifest names, as they are checked before a user is asked to approve them.

use super::super::bindings::exports::omnifs::provider::statements as raw;
use super::{Fault, line, name, refuse, short, unique};
use crate::capability::sql;
use crate::capability::{Base, Placed};
use crate::names::Quoted;
use crate::provider::{Endpoint, Manifest, Parameter, ParameterKind, Statement};

/// Statements that an endpoint may have.
const STATEMENTS_MAX: usize = 64;

/// The manifest with its statements. Each endpoint that is a database has some, and no other.
pub fn with_statements(
    mut manifest: Manifest,
    databases: Vec<raw::Database>,
    imports_sql: bool,
) -> Result<Manifest, Fault> {
    unique(databases.iter().map(|database| database.endpoint.as_str()), "database")?;
    for database in databases {
        let named = |endpoint: &&mut Endpoint| endpoint.name == database.endpoint;
        let Some(endpoint) = manifest.endpoints.iter_mut().find(named) else {
            return refuse(format_args!(
                "it has statements for the endpoint {}, which it does not declare",
                Quoted(&database.endpoint)
            ));
        };
        if database.statements.is_empty() || database.statements.len() > STATEMENTS_MAX {
            return refuse(format_args!("a database has 1 to {STATEMENTS_MAX} statements"));
        }
        unique(database.statements.iter().map(|one| one.name.as_str()), "statement")?;
        endpoint.statements =
            database.statements.into_iter().map(statement).collect::<Result<_, _>>()?;
    }
    for endpoint in &manifest.endpoints {
        let base = Base::parse(&endpoint.default_url, &Placed::Default);
        let is_database = base.is_ok_and(|base| base.is_database());
        let (name, has) = (Quoted(&endpoint.name), !endpoint.statements.is_empty());
        if is_database != has {
            let why = if has { "is no database and has" } else { "is a database without" };
            return refuse(format_args!("the endpoint {name} {why} statements"));
        }
        let http = !endpoint.allow.is_empty()
            || !endpoint.redirect_hosts.is_empty()
            || endpoint.bodies.is_some()
            || endpoint.session.is_some();
        if is_database && http {
            return refuse(format_args!("the database {name} asks for requests over HTTP"));
        }
    }
    if imports_sql && manifest.endpoints.iter().all(|endpoint| endpoint.statements.is_empty()) {
        return refuse("the component imports omnifs:provider/sql and declares no statement");
    }
    Ok(manifest)
}

fn statement(raw: raw::Statement) -> Result<Statement, Fault> {
    name(&raw.name, "statement")?;
    line(&raw.text, "text of a statement")?;
    short(&raw.parameters, "parameters of a statement")?;
    unique(raw.parameters.iter().map(|parameter| parameter.name.as_str()), "parameter")?;
    for parameter in &raw.parameters {
        name(&parameter.name, "parameter")?;
    }
    let kind = |kind| match kind {
        raw::ParameterKind::Value => ParameterKind::Value,
        raw::ParameterKind::Integer => ParameterKind::Integer,
        raw::ParameterKind::Text => ParameterKind::Text,
        raw::ParameterKind::Identifier => ParameterKind::Identifier,
    };
    let parameter = |raw: raw::Parameter| Parameter { name: raw.name, kind: kind(raw.kind) };
    let statement = Statement {
        name: raw.name,
        text: raw.text,
        parameters: raw.parameters.into_iter().map(parameter).collect(),
    };
    sql::check(&statement)
        .or_else(|why| refuse(format_args!("the statement {}: {why}", Quoted(&statement.name))))?;
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(default_url: &str) -> Manifest {
        let endpoint =
            Endpoint { name: "a".into(), default_url: default_url.into(), ..Endpoint::default() };
        Manifest { endpoints: vec![endpoint], ..Manifest::default() }
    }

    fn database(endpoint: &str, text: &str) -> raw::Database {
        let key = raw::Parameter { name: "key".into(), kind: raw::ParameterKind::Value };
        let parameters = if text.contains("{key}") { vec![key] } else { Vec::new() };
        let statement = raw::Statement { name: "one".into(), text: text.into(), parameters };
        raw::Database { endpoint: endpoint.into(), statements: vec![statement] }
    }

    #[test]
    fn a_database_has_statements_that_read_and_nothing_else_has() {
        let good = || database("a", "SELECT {key}");
        for url in ["sqlite:", "postgres://localhost/a"] {
            let checked = with_statements(manifest(url), vec![good()], true).unwrap();
            assert_eq!(checked.endpoints[0].statements[0].text, "SELECT {key}");
        }
        let mut requests = manifest("sqlite:");
        requests.endpoints[0].redirect_hosts = vec!["a.example".into()];
        let with = |change: &dyn Fn(&mut raw::Database)| {
            let mut database = good();
            change(&mut database);
            (manifest("sqlite:"), vec![database])
        };
        for (manifest, databases) in [
            (manifest("sqlite:"), vec![]),
            (manifest("https://a.example"), vec![good()]),
            (manifest("sqlite:"), vec![good(), good()]),
            (manifest("sqlite:"), vec![good(), database("b", "SELECT 1")]),
            (requests, vec![good()]),
            (manifest("sqlite:"), vec![database("a", "DELETE FROM t")]),
            with(&|database| database.statements.clear()),
            with(&|database| database.statements.extend(good().statements)),
            with(&|database| database.statements[0].name = "One".into()),
            with(&|database| database.statements[0].text.push('\u{202e}')),
            with(&|database| database.statements[0].text.push_str(&" ".repeat(2_000))),
            with(&|database| database.statements[0].parameters.clear()),
            with(&|database| database.statements[0].parameters[0].name = "a}".into()),
        ] {
            let shown = format!("{databases:?}");
            assert!(with_statements(manifest, databases, true).is_err(), "{shown}");
        }
        assert!(with_statements(manifest("https://a.example"), vec![], true).is_err());
        assert!(with_statements(manifest("https://a.example"), vec![], false).is_ok());
    }
}
