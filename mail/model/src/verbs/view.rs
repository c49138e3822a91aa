//! A session's view of a folder and what changed since.

use serde::{Deserialize, Serialize};

use crate::{FlagSet, FolderId, Keywords, ModSeq, Uid, UidSet, UidValidity, columns};

/// What a session knows of its selected folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The folder; survives RENAME.
    pub folder: FolderId,
    /// Everything up to this modseq is known to the session.
    pub since: ModSeq,
    /// UIDs from here on are not.
    pub uidnext: Uid,
    /// How many keywords of the mailbox it knows.
    pub keywords: u32,
}

/// What a session has to learn about its folder, of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delta {
    /// The mailbox's modseq at the snapshot: the view's next `since`.
    pub modseq: ModSeq,
    /// The folder's UIDNEXT at the snapshot: the view's next `uidnext`.
    pub uidnext: Uid,
    /// Messages at or above the view's `uidnext`.
    pub appeared: UidSet,
    /// Messages below the view's `uidnext` whose flags changed.
    pub changed: FlagRows,
    /// Messages that are gone. May name UIDs the session never knew.
    pub vanished: UidSet,
    /// All keywords, where there are more than the view knows.
    pub keywords: Option<Keywords>,
    /// The folder does not exist any more; everything else is empty.
    pub deleted: bool,
}

/// Flags of some messages, as columns of equal length, ascending by UID.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlagRows {
    /// Which messages.
    #[serde(with = "columns::u32s")]
    pub uids: Vec<u32>,
    /// Their flags, see [`FlagSet`].
    #[serde(with = "columns::u64s")]
    pub flags: Vec<u64>,
    /// Their modseqs.
    #[serde(with = "columns::u64s")]
    pub modseqs: Vec<u64>,
}

impl FlagRows {
    /// Appends a row.
    pub fn push(&mut self, uid: Uid, flags: FlagSet, modseq: ModSeq) {
        self.uids.push(uid.0);
        self.flags.push(flags.0);
        self.modseqs.push(modseq.0);
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = (Uid, FlagSet, ModSeq)> + '_ {
        let columns = self.uids.iter().zip(&self.flags).zip(&self.modseqs);
        columns.map(|((&uid, &flags), &modseq)| (Uid(uid), FlagSet(flags), ModSeq(modseq)))
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.uids.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }
}

/// A folder as SELECT finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// Names the folder in every later request.
    pub folder: FolderId,
    /// RFC 9051 section 2.3.1.1.
    pub uidvalidity: UidValidity,
    /// The next UID to be given.
    pub uidnext: Uid,
    /// The mailbox's modseq at the snapshot; HIGHESTMODSEQ (one counter serves all folders).
    pub modseq: ModSeq,
    /// All messages.
    pub uids: UidSet,
    /// The first without `\Seen`.
    pub first_unseen: Option<Uid>,
    /// Messages from here on are `\Recent` to this session.
    pub recent_from: Uid,
    /// All keywords of the mailbox.
    pub keywords: Keywords,
    /// The mailbox refuses changes (`state: ReadOnly`).
    pub read_only: bool,
}
