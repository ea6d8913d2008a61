//! All that is asked of the database. Names without a schema are those of `pg_catalog`.

use omnifs_sdk::manifest::{ParameterKind as Kind, Statement};

const fn statement(
    name: &'static str,
    text: &'static str,
    parameters: &'static [(&'static str, Kind)],
) -> Statement {
    Statement { name, text, parameters }
}

type Parameter = (&'static str, Kind);

const SCHEMA_NAME: Parameter = ("schema", Kind::Text);
const NAME: Parameter = ("name", Kind::Text);
const SCHEMA: Parameter = ("schema", Kind::Identifier);
const TABLE: Parameter = ("table", Kind::Identifier);
const MOST: Parameter = ("most", Kind::Integer);
const A: Parameter = ("a", Kind::Identifier);
const B: Parameter = ("b", Kind::Identifier);
const C: Parameter = ("c", Kind::Identifier);

/// Name, kind, whether a snapshot tells of it, and the number of columns of its key.
macro_rules! tables {
    ($and:literal) => {
        concat!(
            "SELECT c.relname, c.relkind, ",
            "c.relkind IN ('r', 'm', 'p') AND NOT c.relrowsecurity AND NOT (c.relhassubclass AND EXISTS ",
            "(SELECT 1 FROM pg_inherits AS i JOIN pg_class AS f ON f.oid = i.inhrelid WHERE f.relkind = 'f')), ",
            "coalesce((SELECT cardinality(k.conkey) FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'p'), 0) ",
            "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace ",
            "WHERE n.nspname = {schema} AND c.relkind IN ('r', 'm', 'p', 'v', 'f') ",
            "AND has_table_privilege(c.oid, 'SELECT')",
            $and
        )
    };
}

/// Schemas that a role may use and that are not the server's own.
macro_rules! schemas {
    ($and:literal) => {
        concat!(
            "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg~_%' ESCAPE '~' ",
            "AND nspname <> 'information_schema' AND has_schema_privilege(oid, 'USAGE')",
            $and
        )
    };
}

pub const STATEMENTS: &[Statement] = &[
    statement("state", "SELECT 1", &[]),
    statement("schemas", schemas!(" ORDER BY nspname"), &[]),
    statement("schema", schemas!(" AND nspname = {name}"), &[NAME]),
    statement("tables", tables!(" ORDER BY c.relname"), &[SCHEMA_NAME]),
    statement("table", tables!(" AND c.relname = {name}"), &[SCHEMA_NAME, NAME]),
    statement(
        "columns",
        "SELECT quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), a.attnotnull, \
         pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '', a.attidentity, \
         CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, \
         quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind \
         FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid \
         JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE n.nspname = {schema} AND c.relname = {name} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        &[SCHEMA_NAME, NAME],
    ),
    statement(
        "constraints",
        "SELECT quote_ident(k.conname), pg_get_constraintdef(k.oid) FROM pg_constraint AS k \
         JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname = {schema} AND c.relname = {name} AND k.contype IN ('p', 'u', 'c', 'f', 'x') \
         ORDER BY k.contype = 'p' DESC, k.conname",
        &[SCHEMA_NAME, NAME],
    ),
    statement(
        "indexes",
        "SELECT pg_get_indexdef(i.indexrelid) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid \
         JOIN pg_class AS own ON own.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname = {schema} AND c.relname = {name} AND NOT EXISTS \
         (SELECT 1 FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.conrelid = c.oid) ORDER BY own.relname",
        &[SCHEMA_NAME, NAME],
    ),
    statement(
        "key",
        "SELECT a.attname FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid \
         JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY AS u (number, place) \
         JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.number \
         WHERE k.contype = 'p' AND n.nspname = {schema} AND c.relname = {name} ORDER BY u.place",
        &[SCHEMA_NAME, NAME],
    ),
    statement("count", "SELECT count(*) FROM {schema}.{table}", &[SCHEMA, TABLE]),
    statement("all", "SELECT * FROM {schema}.{table}", &[SCHEMA, TABLE]),
    statement(
        "keyed-1",
        "SELECT jsonb_pretty(to_jsonb(t.*)), t.{a}::text FROM {schema}.{table} AS t ORDER BY t.{a} LIMIT {most}",
        &[SCHEMA, TABLE, MOST, A],
    ),
    statement(
        "keyed-2",
        "SELECT jsonb_pretty(to_jsonb(t.*)), t.{a}::text, t.{b}::text FROM {schema}.{table} AS t \
         ORDER BY t.{a}, t.{b} LIMIT {most}",
        &[SCHEMA, TABLE, MOST, A, B],
    ),
    statement(
        "keyed-3",
        "SELECT jsonb_pretty(to_jsonb(t.*)), t.{a}::text, t.{b}::text, t.{c}::text FROM {schema}.{table} AS t \
         ORDER BY t.{a}, t.{b}, t.{c} LIMIT {most}",
        &[SCHEMA, TABLE, MOST, A, B, C],
    ),
    statement(
        "by-1",
        "SELECT jsonb_pretty(to_jsonb(t.*)), t.{a}::text FROM {schema}.{table} AS t WHERE t.{a} = {is-a}",
        &[SCHEMA, TABLE, A, ("is-a", Kind::Text)],
    ),
    statement(
        "by-2",
        "SELECT jsonb_pretty(to_jsonb(t.*)), t.{a}::text, t.{b}::text FROM {schema}.{table} AS t \
         WHERE t.{a} = {is-a} AND t.{b} = {is-b}",
        &[SCHEMA, TABLE, A, ("is-a", Kind::Text), B, ("is-b", Kind::Text)],
    ),
    statement(
        "by-3",
        "SELECT jsonb_pretty(to_jsonb(t.*)), t.{a}::text, t.{b}::text, t.{c}::text FROM {schema}.{table} AS t \
         WHERE t.{a} = {is-a} AND t.{b} = {is-b} AND t.{c} = {is-c}",
        &[SCHEMA, TABLE, A, ("is-a", Kind::Text), B, ("is-b", Kind::Text), C, ("is-c", Kind::Text)],
    ),
];

/// Columns of a key by which a row can be asked for.
pub const COLUMNS_MAX: i64 = 3;
