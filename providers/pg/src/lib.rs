//! A PostgreSQL database: a directory for each schema, and one in it for each table and view. An instance is one database.
//!
//! Everything is part of the root and of one scope, which a poll covers by the snapshot that its answer was read by: it says
//! that some transaction ended, and not what it changed. What no transaction of the database changes is volatile: foreign
//! tables, views, and tables with policies for rows, all of which may show the time or what is elsewhere.

mod guide;
mod row;
mod schema;
mod statements;
mod table;

use omnifs_sdk::manifest::{Credential, Endpoint, Feed, Scheme, Setting};
use omnifs_sdk::*;
use statements::STATEMENTS;

pub const DATABASE: &str = "database";

ids! {
    pub enum Id {
        _: scoped(DATABASE),
        Root = "root": volatile(),
        Schema(schema: String) = "schema",
        Table(schema: String, name: String) = "table",
        /// Without a key, or with one of too many columns.
        Keyless(schema: String, name: String) = "keyless",
        /// Of what no snapshot tells.
        View(schema: String, name: String) = "view",
        Definition(schema: String, name: String) = "definition",
        Csv(schema: String, name: String) = "csv",
        Count(schema: String, name: String) = "count",
        ShownCsv(schema: String, name: String) = "shown-csv": volatile(),
        ShownCount(schema: String, name: String) = "shown-count": volatile(),
        Rows(schema: String, table: String) = "rows",
        /// The key as its file is named.
        Row(schema: String, table: String, key: String) = "row",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => searchable((), |()| schema::list(), |(), name| schema::find(name)),
            Schema(schema) => searchable(
                schema,
                |schema| table::list(schema),
                |schema, name| table::find(schema, name),
            ),
            Table(schema, name) => fixed([
                ("count", Count(schema.clone(), name.clone())),
                ("rows", Rows(schema.clone(), name.clone())),
                ("rows.csv", Csv(schema.clone(), name.clone())),
                ("schema.sql", Definition(schema, name)),
            ]),
            Keyless(schema, name) => fixed([
                ("count", Count(schema.clone(), name.clone())),
                ("rows.csv", Csv(schema.clone(), name.clone())),
                ("schema.sql", Definition(schema, name)),
            ]),
            View(schema, name) => fixed([
                ("count", ShownCount(schema.clone(), name.clone())),
                ("rows.csv", ShownCsv(schema.clone(), name.clone())),
                ("schema.sql", Definition(schema, name)),
            ]),
            Definition(schema, name) => file(move || table::definition(&schema, &name)),
            Csv(schema, name) | ShownCsv(schema, name) => file(move || table::csv(&schema, &name)),
            Count(schema, name) | ShownCount(schema, name) => {
                file(move || table::count(&schema, &name))
            }
            Rows(schema, table) => open_ended(
                (schema, table),
                |(schema, table)| row::list(schema, table),
                |(schema, table), name| row::find(schema, table, name),
            ),
            Row(schema, table, key) => file(move || row::read(&schema, &table, &key)),
        }
    }

    fn whole(&self) -> Option<Id> {
        (*self != Id::Root).then_some(Id::Root)
    }
}

/// The provider.
#[derive(Debug)]
pub struct Pg;

impl Provider for Pg {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[Setting {
            name: "listing-bound",
            description: "how many rows rows/ lists of a table, at most 50000; others are found by name",
            default: Some("1000"),
        }],
        endpoints: &[Endpoint {
            statements: STATEMENTS,
            credentials: &["role"],
            ..Endpoint::new(
                DATABASE,
                "postgres://localhost/postgres",
                "reads the tables of a database",
            )
        }],
        credentials: &[Credential {
            scheme: Scheme::Basic(None),
            ..Credential::new("role", "https://www.postgresql.org/docs/current/sql-createrole.html")
        }],
        feeds: &[Feed::poll("changes", DATABASE, DATABASE)],
        guide: guide::GUIDE,
        ..Manifest::new(
            "pg",
            env!("CARGO_PKG_VERSION"),
            "Schemas, tables and rows of a PostgreSQL database",
        )
    };

    fn poll(position: &Position) -> Result<Progress> {
        Ok(sql::poll(position, &sql::query(DATABASE, "state", &[])?, Id::Root))
    }
}

export!(database, Pg);
