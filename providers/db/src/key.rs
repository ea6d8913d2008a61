//! What tells a row from others of its table: the values of its primary key, or its number.

use omnifs_sdk::sql::{Value, hex};
use std::fmt;
use std::str::FromStr;

/// Values with their types, since `5` and `'5'` may be two keys of one column.
#[derive(Clone, Debug)]
pub struct Key(pub Vec<Value>);

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Key {}

/// `i5,tabc`: a letter for the type and the value, with `~` and commas escaped.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, value) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match value {
                Value::Null => f.write_str("n")?,
                Value::Integer(number) => write!(f, "i{number}")?,
                Value::Real(number) => write!(f, "r{number:?}")?,
                Value::Text(text) => write!(f, "t{}", escape(text))?,
                Value::Blob(bytes) => write!(f, "b{}", hex(bytes))?,
            }
        }
        Ok(())
    }
}

impl FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Key, ()> {
        let value = |part: &str| {
            let mut rest = part.chars();
            let (kind, rest) = (rest.next()?, rest.as_str());
            Some(match kind {
                'n' if rest.is_empty() => Value::Null,
                'i' => Value::Integer(rest.parse().ok()?),
                'r' => Value::Real(rest.parse().ok()?),
                't' => Value::Text(unescape(rest)?),
                'b' => Value::Blob(bytes(rest)?),
                _ => return None,
            })
        };
        text.split(',').map(value).collect::<Option<_>>().map(Key).ok_or(())
    }
}

impl Key {
    /// The name of the row's file: values separated by commas. In a key of several columns, commas within one and
    /// `~` are escaped. Nothing where a value is `NULL`, by which no row can be found.
    pub fn name(&self) -> Option<String> {
        let part = |value: &Value| {
            Some(match value {
                Value::Null => return None,
                Value::Integer(number) => number.to_string(),
                Value::Real(number) => format!("{number:?}"),
                Value::Text(text) if self.0.len() == 1 => text.clone(),
                Value::Text(text) => escape(text),
                Value::Blob(bytes) => format!("x'{}'", hex(bytes)),
            })
        };
        let parts: Option<Vec<String>> = self.0.iter().map(part).collect();
        Some(format!("{}.json", parts?.join(",")))
    }

    /// The keys of so many columns that a name may be of, the likeliest first. A database compares a text with a
    /// column of numbers as a number.
    pub fn named(name: &str, columns: usize) -> Vec<Key> {
        let Some(name) = name.strip_suffix(".json") else { return Vec::new() };
        let parts: Option<Vec<String>> = match columns {
            1 => Some(vec![name.to_owned()]),
            _ => name.split(',').map(unescape).collect(),
        };
        let Some(parts) = parts.filter(|parts| parts.len() == columns) else { return Vec::new() };
        let typed = |text: &String| {
            let inner = || text.strip_prefix("x'")?.strip_suffix('\'');
            let number = text.parse().ok().map(Value::Integer);
            let real = || text.parse().ok().map(Value::Real);
            let blob = || inner().and_then(bytes).map(Value::Blob);
            number.or_else(real).or_else(blob).unwrap_or_else(|| Value::Text(text.clone()))
        };
        let texts = Key(parts.iter().cloned().map(Value::Text).collect());
        let other = Key(parts.iter().map(typed).collect());
        if texts == other { vec![texts] } else { vec![texts, other] }
    }
}

fn escape(text: &str) -> String {
    text.replace('~', "~~").replace(',', "~c")
}

fn unescape(text: &str) -> Option<String> {
    let (mut plain, mut rest) = (String::new(), text.chars());
    while let Some(c) = rest.next() {
        match c {
            '~' => plain.push(match rest.next()? {
                '~' => '~',
                'c' => ',',
                _ => return None,
            }),
            c => plain.push(c),
        }
    }
    Some(plain)
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let even = digits.len().is_multiple_of(2) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if even { (0..digits.len()).step_by(2).map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_with_its_types() {
        let text = |text: &str| Value::Text(text.to_owned());
        for values in [
            vec![Value::Integer(-5)],
            vec![text("5"), Value::Real(1.5)],
            vec![text("a,b~c~"), text(""), Value::Blob(vec![0, 255])],
            vec![Value::Null],
        ] {
            let key = Key(values);
            assert_eq!(key.to_string().parse(), Ok(key.clone()), "{key}");
        }
        for bad in ["", "x", "i", "iX", "b0", "bzz", "t~2", "na"] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_leads_back_to_its_key() {
        let text = |text: &str| Value::Text(text.to_owned());
        for values in [
            vec![Value::Integer(5)],
            vec![text("5")],
            vec![text("a,b")],
            vec![text("a,b"), text("~c")],
            vec![Value::Blob(vec![0, 255])],
            vec![Value::Integer(5), Value::Integer(6)],
        ] {
            let key = Key(values);
            let name = key.name().unwrap();
            assert!(Key::named(&name, key.0.len()).contains(&key), "{name}");
        }
        assert_eq!(Key(vec![Value::Null]).name(), None);
        assert!(Key::named("5", 1).is_empty());
        assert!(Key::named("5,6.json", 3).is_empty());
    }
}
