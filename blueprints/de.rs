//! Reads plain serde types from the tree; every error carries its place.

use crate::diagnostic::{Problem, SECRET_ITSELF};
use crate::field::{FIELD, SPANNED};
use crate::tree::{Entry, Kind, Node, Span};
use crate::wording::{Error, list, nearest, one_of, short};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use std::cell::RefCell;

/// The longest text of any field; each host of a range has its own copy.
const MAX_TEXT: usize = 4096;

/// The variants of an enum that is read by the shape of the value: a map, or anything else.
const BY_SHAPE: &[&str] = &["word", "map"];

/// Reads a value from a tree, and whatever is wrong with its fields.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> (Option<T>, Vec<Problem>) {
    let problems = RefCell::new(Vec::new());
    let reader = Reader { at: node.at, source: Source::Kind(&node.kind), problems: &problems };
    let value = match T::deserialize(reader) {
        Ok(value) => Some(value),
        Err(error) => {
            problems.borrow_mut().push(error.at(node.at));
            None
        }
    };
    (value, problems.into_inner())
}

#[derive(Clone, Copy)]
struct Reader<'t> {
    at: Span,
    source: Source<'t>,
    problems: &'t RefCell<Vec<Problem>>,
}

#[derive(Clone, Copy)]
enum Source<'t> {
    Kind(&'t Kind),
    Key(&'t str),
}

impl<'t> Reader<'t> {
    fn of(self, node: &'t Node) -> Self {
        Self { at: node.at, source: Source::Kind(&node.kind), ..self }
    }

    fn key(self, entry: &'t Entry) -> Self {
        Self { at: entry.key_at, source: Source::Key(&entry.key), ..self }
    }

    fn unexpected(&self) -> Unexpected<'t> {
        match self.source {
            Source::Key(text) => Unexpected::Str(text),
            Source::Kind(Kind::Null) => Unexpected::Unit,
            Source::Kind(Kind::Bool(value)) => Unexpected::Bool(*value),
            Source::Kind(Kind::Unsigned(value)) => Unexpected::Unsigned(*value),
            Source::Kind(Kind::Signed(value)) => Unexpected::Signed(*value),
            Source::Kind(Kind::Float(value)) => Unexpected::Float(*value),
            Source::Kind(Kind::Text(text)) => Unexpected::Str(text),
            Source::Kind(Kind::List(_)) => Unexpected::Seq,
            Source::Kind(Kind::Map(_)) => Unexpected::Map,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self.source, Source::Kind(Kind::Null))
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let kind = match self.source {
            Source::Key(key) => return visitor.visit_borrowed_str(key),
            Source::Kind(kind) => kind,
        };
        match kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Unsigned(value) => visitor.visit_u64(*value),
            Kind::Signed(value) => visitor.visit_i64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(text) if text.len() > MAX_TEXT => {
                Err(Error::new(format!("a text of {} bytes, more than {MAX_TEXT}", text.len())))
            }
            Kind::Text(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) => visitor.visit_seq(Walk { reader: self, rest: items.iter() }),
            Kind::Map(entries) => visitor.visit_map(Entries {
                reader: self,
                known: None,
                rest: entries.iter(),
                value: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            return visitor.visit_seq(Walk { reader: self, rest: [].iter() });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            let rest = [].iter();
            return visitor.visit_map(Entries { reader: self, known: None, rest, value: None });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let rest = match self.source {
            Source::Kind(Kind::Map(entries)) => entries.iter(),
            Source::Kind(Kind::Null) => [].iter(),
            _ => return Err(serde::de::Error::invalid_type(self.unexpected(), &visitor)),
        };
        visitor.visit_map(Entries { reader: self, known: Some(fields), rest, value: None })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            SPANNED => visitor.visit_seq(Place { reader: self, recover: false, step: 0 }),
            FIELD => visitor.visit_seq(Place { reader: self, recover: true, step: 0 }),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if variants == BY_SHAPE {
            let map = matches!(self.source, Source::Kind(Kind::Map(_) | Kind::Null));
            let variant = BY_SHAPE[usize::from(map)];
            return visitor.visit_enum(Variant { variant, at: self.at, value: Some(self) });
        }
        if name == "Secret" && !matches!(self.source, Source::Kind(Kind::Map(_))) {
            // What stands here may be the secret itself: it must not be shown.
            let mut error = Error::new(SECRET_ITSELF.to_owned());
            error.help = Some(
                "say where it is: `{ env: NAME }`, `{ file: PATH }` or `{ command: ... }`"
                    .to_owned(),
            );
            return Err(error);
        }
        match self.source {
            Source::Key(word) => {
                visitor.visit_enum(Variant { variant: word, at: self.at, value: None })
            }
            Source::Kind(Kind::Text(word)) => {
                visitor.visit_enum(Variant { variant: word, at: self.at, value: None })
            }
            Source::Kind(Kind::Map(entries)) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant {
                    variant: &entry.key,
                    at: entry.key_at,
                    value: Some(self.of(&entry.value)),
                }),
                _ => Err(Error::new(format!("expected a map with one of {}", list(variants)))),
            },
            _ => {
                let words: Vec<String> = variants.iter().map(|w| format!("`{w}`")).collect();
                Err(serde::de::Error::invalid_type(self.unexpected(), &one_of(&words).as_str()))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// Gives a place and the value there; with `recover`, a value that is wrong is reported and
/// left out.
struct Place<'t> {
    reader: Reader<'t>,
    recover: bool,
    step: u8,
}

impl<'t> SeqAccess<'t> for Place<'t> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'t>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.step += 1;
        match self.step {
            1 => seed.deserialize((self.reader.at.start as u64).into_deserializer()).map(Some),
            2 => seed.deserialize((self.reader.at.end as u64).into_deserializer()).map(Some),
            3 => match seed.deserialize(self.reader) {
                Err(error) if self.recover => {
                    self.reader.problems.borrow_mut().push(error.at(self.reader.at));
                    Ok(None)
                }
                value => value.map(Some),
            },
            _ => Ok(None),
        }
    }
}

struct Walk<'t> {
    reader: Reader<'t>,
    rest: std::slice::Iter<'t, Node>,
}

impl<'t> SeqAccess<'t> for Walk<'t> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'t>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.rest.next().map(|node| seed.deserialize(self.reader.of(node))).transpose()
    }
}

/// The entries of a map; unknown keys are reported and left out where the known ones are given.
struct Entries<'t> {
    reader: Reader<'t>,
    known: Option<&'static [&'static str]>,
    rest: std::slice::Iter<'t, Entry>,
    value: Option<&'t Node>,
}

impl<'t> MapAccess<'t> for Entries<'t> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'t>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        for entry in self.rest.by_ref() {
            if let Some(known) = self.known
                && !known.contains(&entry.key.as_str())
            {
                let key = &entry.key;
                let mut problem =
                    Problem::error(entry.key_at, format!("unknown field `{}`", short(key)));
                match nearest(key, known) {
                    Some(word) => problem.label = Some(format!("did you mean `{word}`?")),
                    None => problem.help = Some(format!("known fields: {}", list(known))),
                }
                self.reader.problems.borrow_mut().push(problem);
                continue;
            }
            self.value = Some(&entry.value);
            return seed.deserialize(self.reader.key(entry)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<S::Value, Error> {
        match self.value.take() {
            Some(node) => seed.deserialize(self.reader.of(node)),
            None => Err(Error::new("a value without its key".to_owned())),
        }
    }
}

/// A variant of an enum: a word, or a key with a value.
struct Variant<'t> {
    variant: &'t str,
    at: Span,
    value: Option<Reader<'t>>,
}

impl<'t> EnumAccess<'t> for Variant<'t> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let variant = seed.deserialize(self.variant.into_deserializer());
        let variant = variant.map_err(|error: Error| Error { at: Some(self.at), ..error })?;
        Ok((variant, self))
    }
}

impl<'t> VariantAccess<'t> for Variant<'t> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.value {
            Some(value) if !value.is_null() => {
                Err(Error::new(format!("`{}` takes no settings", self.variant)))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<S::Value, Error> {
        match self.value {
            Some(value) => seed
                .deserialize(value)
                .map_err(|error| Error { at: error.at.or(Some(value.at)), ..error }),
            None => Err(needs_map(self.variant)),
        }
    }

    fn tuple_variant<V: Visitor<'t>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::new(format!("`{}` is no list", self.variant)))
    }

    fn struct_variant<V: Visitor<'t>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Some(value) => value.deserialize_struct("", fields, visitor),
            None => Err(needs_map(self.variant)),
        }
    }
}

/// A word where a map of settings belongs, which may be empty.
fn needs_map(variant: &str) -> Error {
    let mut error = Error::new(format!("`{variant}` needs a map of its settings"));
    error.help = Some(format!("`{{ {variant}: {{ ... }} }}`"));
    error
}
