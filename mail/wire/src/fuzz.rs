//! Entries for hostile bytes.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::codec;
use crate::limits::{MAX_DIRECTORY, MAX_REPLY};
use crate::proto::{ToPrimary, ToSecondary};
use crate::socket::MessageReader;

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

/// Reads `input` as what comes over a socket. For fuzz targets; must return for any input. Panics at a message over the limit.
pub fn frames(input: &[u8]) {
    const LIMIT: usize = 1000;
    let mut reader = MessageReader::new(input, LIMIT);
    // There is nothing to wait for.
    while let Poll::Ready(Ok(message)) = pin!(reader.message()).poll(&mut Context::from_waker(Waker::noop())) {
        assert!(message.len() <= LIMIT, "a message of {} octets", message.len());
    }
}

fn unread<T>(message: &impl std::fmt::Debug, error: &crate::WireError) -> T {
    panic!("{message:?} cannot be read again: {error}")
}
