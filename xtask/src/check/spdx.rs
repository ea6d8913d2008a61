//! SPDX licence expressions: `MIT OR (Apache-2.0 WITH LLVM-exception AND Zlib)`, and cargo's older
//! `MIT/Apache-2.0`.

/// Whether the expression holds when `admits` says which licences do; `None` where it cannot be
/// read. `X WITH Y` is asked as one licence, and as `X`: an exception only ever grants more.
pub fn satisfied(expression: &str, admits: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let verdict = any(&mut words, admits)?;
    words.next().is_none().then_some(verdict)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, admits: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut verdict = all(words, admits)?;
    while words.next_if_eq(&"OR").is_some() {
        verdict |= all(words, admits)?;
    }
    Some(verdict)
}

fn all(words: &mut Words<'_>, admits: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut verdict = one(words, admits)?;
    while words.next_if_eq(&"AND").is_some() {
        verdict &= one(words, admits)?;
    }
    Some(verdict)
}

fn one(words: &mut Words<'_>, admits: &dyn Fn(&str) -> bool) -> Option<bool> {
    match words.next()? {
        "(" => {
            let verdict = any(words, admits)?;
            words.next_if_eq(&")").map(|_| verdict)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        licence if words.next_if_eq(&"WITH").is_some() => {
            let exception = words.next()?;
            Some(admits(licence) || admits(&format!("{licence} WITH {exception}")))
        }
        licence => Some(admits(licence)),
    }
}

#[cfg(test)]
mod tests {
    use super::satisfied;

    #[test]
    fn and_binds_tighter_than_or_and_brackets_bind_tightest() {
        let only = |name: &'static str| move |licence: &str| licence == name;
        assert_eq!(satisfied("MIT", &only("MIT")), Some(true));
        assert_eq!(satisfied("MIT/Apache-2.0", &only("Apache-2.0")), Some(true));
        assert_eq!(satisfied("A OR B AND C", &only("A")), Some(true));
        assert_eq!(satisfied("A OR B AND C", &only("B")), Some(false));
        assert_eq!(satisfied("(A OR B) AND C", &only("A")), Some(false));
        assert_eq!(satisfied("X WITH Y", &only("X WITH Y")), Some(true));
        assert_eq!(satisfied("X WITH Y OR Z", &only("Z")), Some(true));
    }

    #[test]
    fn what_is_not_an_expression_is_neither_true_nor_false() {
        for text in ["", "MIT OR", "(MIT", "MIT)", "AND MIT", "MIT Apache-2.0", "X WITH"] {
            assert_eq!(satisfied(text, &|_| true), None, "{text:?}");
        }
    }
}
