//! One entry for hostile bytes.

use crate::codec;
use crate::limits::{MAX_DIRECTORY, MAX_REPLY};
use crate::proto::{ToPrimary, ToSecondary};

/// Reads `input` as a message of either side. For fuzz targets; must return for any input. Panics if a message that was
/// read is not the same once written and read again.
pub fn parse(input: &[u8]) {
    if let Ok(message) = codec::decode::<ToPrimary>(input)
        && let Ok(written) = codec::encode(&message, MAX_REPLY)
    {
        let again: ToPrimary = codec::decode(&written).unwrap_or_else(|error| unread(&message, &error));
        assert_eq!(format!("{again:?}"), format!("{message:?}"));
    }
    if let Ok(message) = codec::decode::<ToSecondary>(input)
        && let Ok(written) = codec::encode(&message, MAX_DIRECTORY)
    {
        let again: ToSecondary = codec::decode(&written).unwrap_or_else(|error| unread(&message, &error));
        assert_eq!(format!("{again:?}"), format!("{message:?}"));
    }
}

fn unread<T>(message: &impl std::fmt::Debug, error: &crate::WireError) -> T {
    panic!("{message:?} cannot be read again: {error}")
}
