//! SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2), CONDSTORE (RFC 7162 section 3.1.8).

use std::io::Write;

use model::verbs::{Answer, Request, Selected};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ImapError;
use crate::backend::Accounts;
use crate::folder::Folder;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn select(&mut self, name: &[u8], read_only: bool, condstore: bool) -> Result<Reply, Stop> {
        self.condstore |= condstore;
        if self.folder.take().is_some() {
            self.io.out.extend_from_slice(b"* OK [CLOSED] Previous mailbox is now closed\r\n");
        }
        let name = super::folder_name(name)?;
        let Answer::Selected(selected) = self.ask(Request::Select { name: name.clone(), read_only }).await? else {
            return Err(ImapError::Answer("Select").into());
        };
        let folder = self.introduce(name, read_only, selected);
        let text = if read_only { "Examine completed" } else { "Select completed" };
        let reply = Reply::ok(text).code(if folder.read_only { "READ-ONLY" } else { "READ-WRITE" });
        self.folder = Some(folder);
        Ok(reply)
    }

    fn introduce(&mut self, name: String, read_only: bool, selected: Selected) -> Folder {
        let (uidnext, modseq, first_unseen) = (selected.uidnext, selected.modseq, selected.first_unseen);
        let folder = Folder::new(name, read_only, selected);
        let out = &mut self.io.out;
        folder.write_flag_lists(out);
        let _ = write!(out, "* {} EXISTS\r\n* {} RECENT\r\n", folder.exists(), folder.recent().len());
        if let Some(number) = first_unseen.and_then(|uid| folder.number(uid)) {
            let _ = write!(out, "* OK [UNSEEN {number}] First unseen\r\n");
        }
        let _ = write!(out, "* OK [UIDVALIDITY {}] UIDs valid\r\n", folder.uidvalidity);
        let _ = write!(out, "* OK [UIDNEXT {uidnext}] Predicted next UID\r\n");
        // Zero is no modseq (RFC 7162 section 7); an untouched mailbox has one all the same.
        let _ = write!(out, "* OK [HIGHESTMODSEQ {}] Highest\r\n", modseq.0.max(1));
        folder
    }
}
