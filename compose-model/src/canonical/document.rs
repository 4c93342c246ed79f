//! The value that the writers print: like JSON, but a structure (fields in a fixed order) differs
//! from a mapping with names of the user's (sorted by each writer in its own way).

use std::borrow::Cow;

use serde::ser::{self, Serialize};

/// The name of an entry; names of fields are those of the types, and are not copied.
pub type Key = Cow<'static, str>;

/// A printable value.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// Nothing.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond [`i64`].
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// A point in time: text that YAML shows without quotes.
    Verbatim(String),
    /// A list.
    Sequence(Vec<Self>),
    /// Fields in the order in which they are printed.
    Structure(Vec<(Key, Self)>),
    /// Entries by name; a writer sorts them.
    Mapping(Vec<(Key, Self)>),
}

impl Document {
    /// The printable form of a value. Types of this crate cannot fail; should one do so, the
    /// message takes the value's place.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        value.serialize(Builder).unwrap_or_else(|error| Self::Text(error.0))
    }

    /// Whether there is nothing in it: null, or an empty list or mapping.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Sequence(items) => items.is_empty(),
            Self::Structure(entries) | Self::Mapping(entries) => entries.is_empty(),
            _ => false,
        }
    }

    /// The entries of a structure or mapping.
    pub(super) fn entries_mut(&mut self) -> Option<&mut Vec<(Key, Self)>> {
        match self {
            Self::Structure(entries) | Self::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entry of a structure or mapping.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.entries_mut()?.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Takes an entry out of a structure or mapping.
    pub(super) fn take(&mut self, key: &str) -> Option<Self> {
        let entries = self.entries_mut()?;
        let index = entries.iter().position(|(name, _)| name == key)?;
        Some(entries.remove(index).1)
    }
}

/// A type that cannot be printed.
#[derive(Debug)]
pub(super) struct Unprintable(String);

impl std::fmt::Display for Unprintable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unprintable {}

impl ser::Error for Unprintable {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Builder;

type Built = Result<Document, Unprintable>;

impl ser::Serializer for Builder {
    type Ok = Document;
    type Error = Unprintable;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = ser::Impossible<Document, Unprintable>;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = ser::Impossible<Document, Unprintable>;

    fn serialize_bool(self, value: bool) -> Built {
        Ok(Document::Bool(value))
    }
    fn serialize_i8(self, value: i8) -> Built {
        Ok(Document::Int(value.into()))
    }
    fn serialize_i16(self, value: i16) -> Built {
        Ok(Document::Int(value.into()))
    }
    fn serialize_i32(self, value: i32) -> Built {
        Ok(Document::Int(value.into()))
    }
    fn serialize_i64(self, value: i64) -> Built {
        Ok(Document::Int(value))
    }
    fn serialize_u8(self, value: u8) -> Built {
        Ok(Document::Int(value.into()))
    }
    fn serialize_u16(self, value: u16) -> Built {
        Ok(Document::Int(value.into()))
    }
    fn serialize_u32(self, value: u32) -> Built {
        Ok(Document::Int(value.into()))
    }
    fn serialize_u64(self, value: u64) -> Built {
        Ok(i64::try_from(value).map_or(Document::Uint(value), Document::Int))
    }
    fn serialize_f32(self, value: f32) -> Built {
        // Through text, so that 0.7 stays 0.7 and does not become 0.699999988079071.
        Ok(Document::Float(value.to_string().parse().unwrap_or_else(|_| f64::from(value))))
    }
    fn serialize_f64(self, value: f64) -> Built {
        Ok(Document::Float(value))
    }
    fn serialize_char(self, value: char) -> Built {
        Ok(Document::Text(value.to_string()))
    }
    fn serialize_str(self, value: &str) -> Built {
        Ok(Document::Text(value.to_owned()))
    }
    fn serialize_bytes(self, _: &[u8]) -> Built {
        Err(ser::Error::custom("bytes have no printed form"))
    }
    fn serialize_none(self) -> Built {
        Ok(Document::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Built {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Built {
        Ok(Document::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Built {
        Ok(Document::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Built {
        Ok(Document::Text(variant.to_owned()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Built {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Built {
        value.serialize(self)
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Items, Unprintable> {
        Ok(Items(Vec::with_capacity(length.unwrap_or(0))))
    }
    fn serialize_tuple(self, length: usize) -> Result<Items, Unprintable> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Items, Unprintable> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unprintable> {
        Err(ser::Error::custom(format!("{variant} has no printed form")))
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Entries, Unprintable> {
        Ok(Entries { entries: Vec::with_capacity(length.unwrap_or(0)), key: None, is_structure: false })
    }
    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Entries, Unprintable> {
        Ok(Entries { entries: Vec::with_capacity(length), key: None, is_structure: true })
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unprintable> {
        Err(ser::Error::custom(format!("{variant} has no printed form")))
    }
}

struct Items(Vec<Document>);

impl ser::SerializeSeq for Items {
    type Ok = Document;
    type Error = Unprintable;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unprintable> {
        self.0.push(value.serialize(Builder)?);
        Ok(())
    }
    fn end(self) -> Built {
        Ok(Document::Sequence(self.0))
    }
}

impl ser::SerializeTuple for Items {
    type Ok = Document;
    type Error = Unprintable;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unprintable> {
        ser::SerializeSeq::serialize_element(self, value)
    }
    fn end(self) -> Built {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeTupleStruct for Items {
    type Ok = Document;
    type Error = Unprintable;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unprintable> {
        ser::SerializeSeq::serialize_element(self, value)
    }
    fn end(self) -> Built {
        ser::SerializeSeq::end(self)
    }
}

struct Entries {
    entries: Vec<(Key, Document)>,
    key: Option<Key>,
    is_structure: bool,
}

impl ser::SerializeMap for Entries {
    type Ok = Document;
    type Error = Unprintable;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unprintable> {
        self.key = match key.serialize(Builder)? {
            Document::Text(text) => Some(Cow::Owned(text)),
            _ => return Err(ser::Error::custom("a key is no text")),
        };
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unprintable> {
        let key = self.key.take().unwrap_or_default();
        self.entries.push((key, value.serialize(Builder)?));
        Ok(())
    }
    fn end(self) -> Built {
        Ok(if self.is_structure { Document::Structure(self.entries) } else { Document::Mapping(self.entries) })
    }
}

impl ser::SerializeStruct for Entries {
    type Ok = Document;
    type Error = Unprintable;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Unprintable> {
        self.entries.push((Cow::Borrowed(key), value.serialize(Builder)?));
        Ok(())
    }
    fn end(self) -> Built {
        ser::SerializeMap::end(self)
    }
}
