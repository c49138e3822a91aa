//! STORE and UID STORE (RFC 3501 section 6.4.6, RFC 7162 section 3.1.3).

use model::verbs::{Answer, Request, Store as Ask, Stored};
use model::{ModSeq, Uid, UidSet};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ImapError;
use crate::backend::Accounts;
use crate::parse::Store;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn store(&mut self, store: Store) -> Result<Reply, Stop> {
        self.condstore |= store.unchanged_since.is_some();
        let seq = self.next_seq()?;
        let folder = self.selected()?;
        if folder.read_only {
            return Ok(Reply::no("Mailbox is read-only").code("NOPERM"));
        }
        let Ok(wanted) = folder.resolve(&store.set, store.uid) else { return Ok(Reply::bad("No such message")) };
        let uids = wanted.minus(folder.held());
        if uids.is_empty() {
            self.sync(store.uid).await?;
            return Ok(if wanted.is_empty() || store.uid {
                Reply::ok("Nothing to store")
            } else {
                Self::expunge_issued()
            });
        }
        let ask = Ask {
            seq,
            view: folder.view(),
            uids,
            mode: store.mode,
            flags: store.flags.into_iter().filter(|flag| flag != "\\Recent").collect(),
            unchanged_since: store.unchanged_since.map(ModSeq),
        };
        let Answer::Stored(stored) = self.ask(Request::Store(ask)).await? else {
            return Err(ImapError::Answer("Store").into());
        };
        let told: u64 = stored.rows.len() as u64 + stored.modified.len();
        let modified = stored.modified.clone();
        self.take_stored(stored, store.silent).await?;
        // Numbers are those the client used: before any EXPUNGE of this answer.
        let modified = self.name_messages(&modified, store.uid)?;
        self.announce(store.uid)?;
        let reply =
            if told < wanted.len() && !store.uid { Self::expunge_issued() } else { Reply::ok("Store completed") };
        Ok(match modified {
            Some(set) => Reply { text: "Conditional store failed".into(), ..reply }.code(format!("MODIFIED {set}")),
            None => reply,
        })
    }

    async fn take_stored(&mut self, stored: Stored, silent: bool) -> Result<(), Stop> {
        let condstore = self.condstore;
        let folder = self.selected()?;
        folder.absorb(stored.delta);
        folder.since = folder.since.max(stored.modseq);
        let mut foreign = false;
        for (uid, flags, modseq) in stored.rows.iter() {
            foreign |= folder.is_foreign(flags);
            if silent {
                folder.note_silent(uid, flags, modseq, condstore);
            } else {
                folder.note_flags(uid, flags, modseq);
            }
        }
        // The first use of a keyword: its name has to be told before its flag.
        if foreign {
            let view = folder.view();
            if let Answer::Synced(delta) = self.ask(Request::Sync(view)).await? {
                self.selected()?.absorb(delta);
            }
        }
        Ok(())
    }

    /// As a set of UIDs or numbers.
    fn name_messages(&mut self, uids: &UidSet, uid: bool) -> Result<Option<UidSet>, Stop> {
        let folder = self.selected()?;
        let named: UidSet =
            if uid { uids.clone() } else { uids.iter().filter_map(|uid| folder.number(uid)).map(Uid).collect() };
        Ok(Some(named).filter(|named| !named.is_empty()))
    }
}
