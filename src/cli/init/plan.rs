//! What a new provider shows, before it is text.

/// One list of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One line: what it shows.
    pub summary: String,
    /// Where the service is.
    pub url: String,
    /// `/items`.
    pub list: String,
    /// `/items/*`.
    pub item: String,
    /// The member of the list's answer that holds them. Absent: the answer is the list.
    pub member: Option<String>,
    /// What an item's path is made with.
    pub key: Field,
    /// The others.
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As the service calls it.
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Whole,
    Number,
    Truth,
}

impl Plan {
    pub fn blank() -> Plan {
        let field = |name: &str, kind| Field { name: name.to_owned(), kind };
        Plan {
            summary: "Items".to_owned(),
            url: "https://api.example.com".to_owned(),
            list: "/items".to_owned(),
            item: "/items/*".to_owned(),
            member: None,
            key: field("id", Kind::Whole),
            fields: vec![field("title", Kind::Text), field("done", Kind::Truth)],
        }
    }
}

impl Kind {
    pub fn rust(self) -> &'static str {
        match self {
            Kind::Text => "String",
            Kind::Whole => "i64",
            Kind::Number => "f64",
            Kind::Truth => "bool",
        }
    }

    /// A value for a test: as JSON, and as the file shows it.
    pub fn sample(self, name: &str) -> (String, String) {
        match self {
            Kind::Text => (format!("\"a {name}\""), format!("a {name}")),
            Kind::Whole => ("7".to_owned(), "7".to_owned()),
            Kind::Number => ("1.5".to_owned(), "1.5".to_owned()),
            Kind::Truth => ("true".to_owned(), "true".to_owned()),
        }
    }
}
