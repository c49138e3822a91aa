//! A `.eml` file per message: `<folder>/<uid>.eml`, and everything else in the manifest.

mod read;
mod write;

pub(crate) use read::EmlSource;
pub(crate) use write::EmlWriter;
