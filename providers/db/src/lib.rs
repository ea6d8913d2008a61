//! A SQLite database: a directory for each table and view. An instance is one file, which the user names.
//!
//! Everything is part of the root and of one scope, which a poll covers by the database's own change counter: it says
//! that something was committed, and not what. Views and virtual tables may show what no commit changes, such as
//! the time; so what they hold is volatile.

mod guide;
mod key;
mod row;
mod table;

use key::Key;
use omnifs_sdk::manifest::{Endpoint, Feed, ParameterKind as Kind, Setting, Statement};
use omnifs_sdk::*;

pub const DATABASE: &str = "database";

ids! {
    pub enum Id {
        _: scoped(DATABASE),
        Root = "root": volatile(),
        Table(name: String) = "table",
        View(name: String) = "view",
        Schema(name: String) = "schema",
        Csv(name: String) = "csv",
        Count(name: String) = "count",
        /// Of a view or a virtual table.
        ShownCsv(name: String) = "shown-csv": volatile(),
        ShownCount(name: String) = "shown-count": volatile(),
        Rows(table: String) = "rows",
        Row(table: String, key: Key) = "row",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => searchable((), |()| table::list(), |(), name| table::find(name)),
            Table(name) => fixed([
                ("count", Count(name.clone())),
                ("rows", Rows(name.clone())),
                ("rows.csv", Csv(name.clone())),
                ("schema.sql", Schema(name)),
            ]),
            View(name) => fixed([
                ("count", ShownCount(name.clone())),
                ("rows.csv", ShownCsv(name.clone())),
                ("schema.sql", Schema(name)),
            ]),
            Schema(name) => file(move || table::schema(&name)),
            Csv(name) | ShownCsv(name) => file(move || table::csv(&name)),
            Count(name) | ShownCount(name) => file(move || table::count(&name)),
            Rows(table) => {
                open_ended(table, |table| row::list(table), |table, name| row::find(table, name))
            }
            Row(table, key) => file(move || row::read(&table, &key)),
        }
    }

    fn whole(&self) -> Option<Id> {
        (*self != Id::Root).then_some(Id::Root)
    }
}

const fn statement(
    name: &'static str,
    text: &'static str,
    parameters: &'static [(&'static str, Kind)],
) -> Statement {
    Statement { name, text, parameters }
}

const NAME: (&str, Kind) = ("name", Kind::Text);
const TABLE: (&str, Kind) = ("table", Kind::Identifier);
const MOST: (&str, Kind) = ("most", Kind::Integer);

const STATEMENTS: &[Statement] = &[
    statement("state", "SELECT 1", &[]),
    statement(
        "tables",
        "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' \
         ORDER BY name",
        &[],
    ),
    statement(
        "table",
        "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name = {name} \
         AND name NOT LIKE 'sqlite~_%' ESCAPE '~'",
        &[NAME],
    ),
    statement(
        "schema",
        "SELECT sql FROM sqlite_schema WHERE tbl_name = {name} AND sql IS NOT NULL ORDER BY rowid",
        &[NAME],
    ),
    statement("columns", "SELECT name, pk FROM pragma_table_xinfo({name})", &[NAME]),
    statement("count", "SELECT count(*) FROM {table}", &[TABLE]),
    statement("all", "SELECT * FROM {table}", &[TABLE]),
    statement("keyed", "SELECT * FROM {table} LIMIT {most}", &[TABLE, MOST]),
    statement(
        "numbered",
        "SELECT {number}, * FROM {table} ORDER BY {number} LIMIT {most}",
        &[("number", Kind::Identifier), TABLE, MOST],
    ),
    statement(
        "by-number",
        "SELECT {number}, * FROM {table} WHERE {number} = {is}",
        &[("number", Kind::Identifier), TABLE, ("is", Kind::Value)],
    ),
    statement(
        "by-1",
        "SELECT * FROM {table} WHERE {a} = {is-a}",
        &[TABLE, ("a", Kind::Identifier), ("is-a", Kind::Value)],
    ),
    statement(
        "by-2",
        "SELECT * FROM {table} WHERE {a} = {is-a} AND {b} = {is-b}",
        &[
            TABLE,
            ("a", Kind::Identifier),
            ("is-a", Kind::Value),
            ("b", Kind::Identifier),
            ("is-b", Kind::Value),
        ],
    ),
    statement(
        "by-3",
        "SELECT * FROM {table} WHERE {a} = {is-a} AND {b} = {is-b} AND {c} = {is-c}",
        &[
            TABLE,
            ("a", Kind::Identifier),
            ("is-a", Kind::Value),
            ("b", Kind::Identifier),
            ("is-b", Kind::Value),
            ("c", Kind::Identifier),
            ("is-c", Kind::Value),
        ],
    ),
];

/// The provider.
#[derive(Debug)]
pub struct Db;

impl Provider for Db {
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
            ..Endpoint::new(DATABASE, "sqlite:", "reads the tables of a file that you name")
        }],
        feeds: &[Feed::poll("changes", DATABASE, DATABASE)],
        guide: guide::GUIDE,
        ..Manifest::new(
            "db",
            env!("CARGO_PKG_VERSION"),
            "Tables, views and rows of a SQLite database",
        )
    };

    fn poll(position: &Position) -> Result<Progress> {
        Ok(sql::poll(position, &sql::query(DATABASE, "state", &[])?, Id::Root))
    }
}

export!(database, Db);
