//! The octets of a header and of a frame.

use super::checksum::{Checksum, Order};

/// Octets of a log's header.
pub const HEADER: u64 = 32;
/// Octets of a frame's header; the page follows.
pub const FRAME_HEADER: u64 = 24;

/// Magic number of a log that is summed in little-endian words; one more where they are big-endian.
const MAGIC: u32 = 0x377f_0682;
/// The only version of the format there is.
const VERSION: u32 = 3_007_000;

/// What the first octets of a log say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub(super) order: Order,
    /// Octets of a page.
    pub page_size: u32,
    /// Counts the checkpoints; raised by a reset.
    pub sequence: u32,
    /// Random words that name this life of the log.
    pub salts: [u32; 2],
    /// Of this header; the running checksum before the first frame.
    pub checksum: Checksum,
}

impl Header {
    /// Reads it; none where it is not whole: then SQLite sees an empty log too.
    pub fn read(bytes: &[u8; HEADER as usize]) -> Option<Self> {
        let order = match word(bytes, 0).wrapping_sub(MAGIC) {
            0 => Order::Little,
            1 => Order::Big,
            _ => return None,
        };
        let page_size = word(bytes, 8);
        let sound = word(bytes, 4) == VERSION && page_size.is_power_of_two() && (512..=65536).contains(&page_size);
        let checksum = [word(bytes, 24), word(bytes, 28)];
        let whole = order.sum([0, 0], &bytes[..24]) == checksum;
        let salts = [word(bytes, 16), word(bytes, 20)];
        (sound && whole).then_some(Self { order, page_size, sequence: word(bytes, 12), salts, checksum })
    }

    /// Octets of a frame with its page.
    pub fn frame_size(&self) -> u64 {
        FRAME_HEADER + u64::from(self.page_size)
    }

    /// Where a frame, counted from 1, begins in the file.
    pub fn offset_of(&self, frame: u32) -> u64 {
        HEADER + u64::from(frame.saturating_sub(1)) * self.frame_size()
    }

    /// Checks the frame that follows what `before` stands for; none where it does not belong to this life.
    pub fn check(&self, before: Checksum, frame: &[u8]) -> Option<Frame> {
        check(self.order, self.salts, self.page_size, before, frame)
    }
}

fn check(order: Order, salts: [u32; 2], page_size: u32, before: Checksum, frame: &[u8]) -> Option<Frame> {
    let (head, page) = frame.split_at_checked(FRAME_HEADER as usize)?;
    let read = Frame { page: word(head, 0), pages: word(head, 4), checksum: [word(head, 16), word(head, 20)] };
    let ours = [word(head, 8), word(head, 12)] == salts && read.page != 0;
    if !ours || page.len() != page_size as usize {
        return None;
    }
    let sum = order.sum(order.sum(before, &head[..8]), page);
    (sum == read.checksum).then_some(read)
}

/// Checks frames that were copied out of a log, without its header.
#[derive(Debug, Clone)]
pub struct Frames {
    /// Known from the first frame on: only one of the two fits.
    order: Option<Order>,
    salts: [u32; 2],
    page_size: u32,
    checksum: Checksum,
}

impl Frames {
    /// Those behind a place whose running checksum is `checksum`, of the life that `salts` name.
    pub fn behind(salts: [u32; 2], checksum: Checksum, page_size: u32) -> Self {
        Self { order: None, salts, page_size, checksum }
    }

    /// Checks the next frame, header and page; none where it does not follow.
    pub fn follow(&mut self, frame: &[u8]) -> Option<Frame> {
        let orders = self.order.map_or([Order::Little, Order::Big], |order| [order; 2]);
        let fits = |order| Some((order, check(order, self.salts, self.page_size, self.checksum, frame)?));
        let (order, found) = orders.into_iter().find_map(fits)?;
        (self.order, self.checksum) = (Some(order), found.checksum);
        Some(found)
    }

    /// The running checksum behind the last one.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }
}

/// A frame that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Number of its page, counted from 1.
    pub page: u32,
    /// If it ends a transaction: pages of the database after it; otherwise 0.
    pub pages: u32,
    /// The running checksum behind it.
    pub checksum: Checksum,
}

/// The big-endian number at an offset; callers know that it is there.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
