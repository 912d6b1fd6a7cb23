//! Template: texts with values in them, `"{slot}/{port}"`, and lists of them of which the first that is complete is taken.

use serde::{Deserialize, Deserializer};

use crate::extract::expr::{Scope, Val};

/// One or several texts with names in braces.
#[derive(Clone, Debug, Default)]
pub struct Template(Vec<Vec<Piece>>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Name(String),
}

impl Template {
    /// Reads one text.
    ///
    /// # Errors
    /// When a brace is not closed or a name is none.
    pub fn parse(text: &str) -> Result<Template, String> {
        alternative(text).map(|pieces| Template(vec![pieces]))
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of its texts of which every name has a value; `None` when there is no such text.
    pub fn text(&self, scope: &dyn Scope) -> Option<String> {
        self.0.iter().find_map(|pieces| {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(plain) => text.push_str(plain),
                    Piece::Name(name) => match scope.value(name) {
                        value if value.is_something() => text.push_str(value.to_string().trim()),
                        _ => return None,
                    },
                }
            }
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        })
    }

    /// The value of its one name when it is nothing but that, else its text: so a number stays a number.
    pub fn value(&self, scope: &dyn Scope) -> Val {
        match self.0.as_slice() {
            [pieces] => match pieces.as_slice() {
                [Piece::Name(name)] => scope.value(name),
                _ => self.text(scope).map_or(Val::Null, Val::Text),
            },
            _ => self.text(scope).map_or(Val::Null, Val::Text),
        }
    }

    /// Every name it uses.
    pub fn names(&self) -> Vec<&str> {
        let names = self.0.iter().flatten().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        });
        names.collect()
    }
}

fn alternative(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].to_owned()));
        }
        let after = &rest[open + 1..];
        let close = after.find('}').ok_or_else(|| format!("{text:?}: a {{ is not closed"))?;
        let name = after[..close].trim();
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.') {
            return Err(format!("{text:?}: {name:?} is no name; write for example {{ifName}}"));
        }
        pieces.push(Piece::Name(name.to_owned()));
        rest = &after[close + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Template, D::Error> {
        let texts = crate::params::OneOrMany::deserialize(deserializer)?.0;
        texts
            .iter()
            .map(|text| alternative(text))
            .collect::<Result<Vec<_>, _>>()
            .map(Template)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row;
    impl Scope for Row {
        fn value(&self, name: &str) -> Val {
            match name {
                "slot" => Val::Num(1.0),
                "name" => Val::Text(" fan ".into()),
                "blank" => Val::Text("  ".into()),
                _ => Val::Null,
            }
        }
    }

    #[test]
    fn the_first_complete_text_is_taken() {
        let texts = |texts: &[&str]| Template(texts.iter().map(|text| alternative(text).unwrap()).collect());
        assert_eq!(texts(&["{alias}", "{blank}", "{slot}/{name}"]).text(&Row).as_deref(), Some("1/fan"));
        assert_eq!(texts(&["{alias} of {slot}"]).text(&Row), None);
        assert_eq!(texts(&["Fan {slot}"]).text(&Row).as_deref(), Some("Fan 1"));
        for wrong in ["{", "{a", "{}", "{a b}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
