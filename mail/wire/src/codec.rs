//! Values to messages and back.

mod skim;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::WireError;
use crate::limits::MAX_DEPTH;

/// The message that carries `value`.
pub fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Bytes, WireError> {
    let bytes = rmp_serde::to_vec_named(value)?;
    if bytes.len() > limit {
        return Err(WireError::TooBig { size: bytes.len(), limit });
    }
    Ok(Bytes::from(bytes))
}

/// The value that a message carries, and nothing behind it.
pub fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T, WireError> {
    if !skim::is_shallow(message, MAX_DEPTH) {
        return Err(WireError::Protocol("a message that is cut off or nests too deep"));
    }
    let mut rest = message;
    let value = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))?;
    if rest.is_empty() { Ok(value) } else { Err(WireError::Protocol("bytes behind a message")) }
}

#[cfg(test)]
mod tests;
