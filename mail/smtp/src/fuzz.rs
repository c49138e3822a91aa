//! One entry for hostile bytes of every kind.

use bytes::Bytes;

use crate::{command, data::DataReader, head};

/// Runs every parser over `input`: as a command line, as content of DATA, as a message. For fuzz targets; must return
/// for any input. Panics if content depends on how it was cut into reads.
pub fn parse(input: &[u8]) {
    let _ = command::command(input);
    let whole = content(std::iter::once(input));
    assert_eq!(whole, content(input.chunks(3)), "content depends on the cut");
    let _ = head::examine(input.chunks(7).map(Bytes::copy_from_slice).collect(), "mx.example.org");
}

fn content<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
    let (mut reader, mut message) = (DataReader::new(), Vec::new());
    for piece in pieces {
        if reader.feed(piece, |bytes| message.extend_from_slice(bytes)).1 {
            return (message, true);
        }
    }
    (message, false)
}
