//! Values that remember where they stand, and fields that may be absent or wrong.
//!
//! A [`Field`] never fails: what is wrong with its value is reported where it stands, and
//! reading goes on. So one pass over the tree finds every problem of form.

use crate::tree::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::marker::PhantomData;

/// The names by which the reader of the tree knows the types of this file.
pub(crate) const SPANNED: &str = "blueprints::Spanned";
pub(crate) const FIELD: &str = "blueprints::Field";

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spanned<T> {
    pub value: T,
    pub at: Span,
}

/// A field of a map: absent, wrong (and reported), or given.
#[derive(Clone, Debug, Default)]
pub(crate) enum Field<T> {
    #[default]
    Absent,
    Wrong,
    Given(Spanned<T>),
}

impl<T> Field<T> {
    /// The value with its place.
    pub fn given(&self) -> Option<&Spanned<T>> {
        match self {
            Self::Given(spanned) => Some(spanned),
            _ => None,
        }
    }

    /// The value.
    pub fn get(&self) -> Option<&T> {
        self.given().map(|s| &s.value)
    }

    /// Whether nothing at all was written.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// This field, or the other where this one is absent.
    pub fn or<'a>(&'a self, other: &'a Self) -> &'a Self {
        if self.is_absent() { other } else { self }
    }
}

impl<T> Field<List<T>> {
    /// The readable items of the list.
    pub fn items(&self) -> impl Iterator<Item = &Spanned<T>> {
        self.get().into_iter().flat_map(|list| list.0.iter().filter_map(Field::given))
    }
}

impl<T> Field<Map<T>> {
    /// The entries of the map whose values are readable.
    pub fn entries(&self) -> impl Iterator<Item = (&Spanned<String>, &Spanned<T>)> {
        let entries = self.get().into_iter().flat_map(|map| &map.0);
        entries.filter_map(|(key, value)| value.given().map(|value| (key, value)))
    }
}

/// A list whose items are read one by one.
pub(crate) type List<T> = Items<Field<T>>;

/// The items of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Items<T>(pub Vec<T>);

/// A map with free keys, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map<T>(pub Vec<(Spanned<String>, Field<T>)>);

/// Reads what [`crate::de`] gives for both names: the start, the end, then the value.
struct Placed<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Placed<T> {
    type Value = (Span, Option<T>);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value with its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let start = seq.next_element::<u64>()?.unwrap_or_default() as usize;
        let end = seq.next_element::<u64>()?.unwrap_or_default() as usize;
        Ok((Span { start, end }, seq.next_element()?))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_newtype_struct(SPANNED, Placed(PhantomData))? {
            (at, Some(value)) => Ok(Self { value, at }),
            (_, None) => Err(D::Error::custom("a value without a place")),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_newtype_struct(FIELD, Placed(PhantomData))? {
            (at, Some(value)) => Self::Given(Spanned { value, at }),
            (_, None) => Self::Wrong,
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Vec::deserialize(deserializer)?))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Map<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Map(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The schema of a wrapper is that of what it wraps.
macro_rules! schema_of {
    ($wrapper:ident, $inner:ty) => {
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                <$inner>::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                <$inner>::schema_name()
            }

            fn schema_id() -> Cow<'static, str> {
                <$inner>::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <$inner>::json_schema(generator)
            }
        }
    };
}

schema_of!(Field, T);
schema_of!(Items, Vec<T>);
schema_of!(Map, std::collections::BTreeMap<String, T>);
