//! Sizes as Kubernetes writes them: `50Gi`, `1.5M`, `1048576`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// Longest text of a size; the schema says the same.
const MAX_TEXT: usize = 24;
/// What a size looks like; the schema's pattern.
const PATTERN: &str = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$";
const UNITS: [(&str, u64); 10] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

/// A number of bytes as its author wrote it, so that an object reads back unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Size {
    text: String,
    /// It was a number, without quotes.
    bare: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl From<Written> for Size {
    fn from(written: Written) -> Self {
        match written {
            Written::Number(number) => Self { text: number.to_string(), bare: true },
            Written::Text(text) => Self { text, bare: false },
        }
    }
}

impl Size {
    /// A size written so.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), bare: false }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes; none if the text is no size or beyond what 64 bits hold.
    pub fn bytes(&self) -> Option<u64> {
        let text = self.text.as_str();
        if text.len() > MAX_TEXT {
            return None;
        }
        let (number, unit) =
            UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit))).unwrap_or((text, 1));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty()
            || fraction.is_empty()
            || !(whole.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = fraction.parse::<u128>().ok()?.checked_mul(u128::from(unit))? / scale;
        let bytes = whole.parse::<u128>().ok()?.checked_mul(u128::from(unit))?.checked_add(part)?;
        u64::try_from(bytes).ok()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.text.parse::<u64>() {
            Ok(number) if self.bare => s.serialize_u64(number),
            _ => s.serialize_str(&self.text),
        }
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "pattern": PATTERN,
            "maxLength": MAX_TEXT,
            "x-kubernetes-int-or-string": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1048576", Some(1 << 20)),
            ("50Mi", Some(50 << 20)),
            ("1.5Gi", Some(3 << 29)),
            ("2k", Some(2_000)),
            ("16383Pi", Some(16_383 << 50)),
            ("16384Pi", None),
            ("5GB", None),
            ("Gi", None),
            ("-1", None),
            ("1.", None),
            ("1e3", None),
        ] {
            assert_eq!(Size::new(text).bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn a_bare_number_needs_no_quotes_and_gets_none() {
        for written in ["4096", "\"4096\"", "\"4Ki\""] {
            let size = serde_json::from_str::<Size>(written).unwrap();
            assert_eq!((size.bytes(), serde_json::to_string(&size).unwrap()), (Some(4096), written.to_owned()));
        }
    }
}
