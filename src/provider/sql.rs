//! A statement's parameters and rows: the host's side of `wit/sql.wit`.

/// One run of a declared statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub endpoint: String,
    pub statement: String,
    pub parameters: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    /// Bytes in memory.
    pub fn weight(&self) -> usize {
        size_of::<Value>()
            + match self {
                Value::Text(text) => text.len(),
                Value::Blob(bytes) => bytes.len(),
                Value::Null | Value::Integer(_) | Value::Real(_) => 0,
            }
    }
}

/// All rows of a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    /// Equal where nothing was committed in between.
    pub state: String,
}

impl Rows {
    /// Bytes in memory.
    pub fn weight(&self) -> usize {
        self.rows.iter().flatten().map(Value::weight).sum()
    }
}
