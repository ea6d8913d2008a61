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
