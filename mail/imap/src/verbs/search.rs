//! SEARCH and UID SEARCH (RFC 3501 section 6.4.4).

use std::io::Write;

use model::verbs::{Answer, Request, Search as Ask, SearchKey};
use model::{ModSeq, UidSet};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ImapError;
use crate::backend::Accounts;
use crate::folder::Folder;
use crate::parse::{Search, SearchTerm};
use crate::reply::{Reply, Stop};
use crate::session::Session;

/// Most ranges in all sets of one search, after sets are narrowed to the messages there are: `1:*` said thousands of times
/// over a folder with many holes would fill the memory.
const MAX_RANGES: usize = 1 << 20;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn search(&mut self, search: Search) -> Result<Reply, Stop> {
        if search.charset.as_deref().is_some_and(|name| !matches!(name, "US-ASCII" | "UTF-8")) {
            return Ok(Reply::no("Unknown charset").code("BADCHARSET (US-ASCII UTF-8)"));
        }
        let modseq_wanted = search.terms.iter().any(uses_modseq);
        self.condstore |= modseq_wanted;
        let folder = self.selected()?;
        let mut room = MAX_RANGES;
        let keys = match search.terms.into_iter().map(|term| key(term, folder, &mut room)).collect() {
            Ok(keys) => keys,
            Err(Unasked::NotText) => {
                return Ok(Reply::no("Text is not UTF-8").code("BADCHARSET (US-ASCII UTF-8)"));
            }
            Err(Unasked::TooManyRanges) => {
                return Ok(Reply::no("Search names too many ranges of messages").code("LIMIT"));
            }
        };
        let ask = Ask { view: folder.view(), key: SearchKey::And(keys), recent: folder.recent() };
        let Answer::Found(found) = self.ask(Request::Search(ask)).await? else {
            return Err(ImapError::Answer("Search").into());
        };
        self.selected()?.absorb(found.delta);
        self.announce(false)?;
        let Some(folder) = &self.folder else { return Err(Stop::Gone) };
        let out = &mut self.io.out;
        out.extend_from_slice(b"* SEARCH");
        let mut any = false;
        for uid in found.uids.iter() {
            let Some(number) = folder.number(uid) else { continue };
            let _ = write!(out, " {}", if search.uid { uid.0 } else { number });
            any = true;
        }
        if modseq_wanted && any {
            let _ = write!(out, " (MODSEQ {})", found.modseq);
        }
        out.extend_from_slice(b"\r\n");
        self.announce(search.uid)?;
        Ok(Reply::ok("Search completed"))
    }
}

fn uses_modseq(term: &SearchTerm) -> bool {
    match term {
        SearchTerm::ModSeq(_) => true,
        SearchTerm::And(terms) => terms.iter().any(uses_modseq),
        SearchTerm::Or(a, b) => uses_modseq(a) || uses_modseq(b),
        SearchTerm::Not(term) => uses_modseq(term),
        _ => false,
    }
}

/// Why a search is not even asked.
enum Unasked {
    /// A text that is not UTF-8.
    NotText,
    /// See [`MAX_RANGES`].
    TooManyRanges,
}

fn text(bytes: Vec<u8>) -> Result<String, Unasked> {
    String::from_utf8(bytes).map_err(|_| Unasked::NotText)
}

/// Takes a set out of the room there is for all sets of one search.
fn within(room: &mut usize, uids: UidSet) -> Result<SearchKey, Unasked> {
    *room = room.checked_sub(uids.runs().len()).ok_or(Unasked::TooManyRanges)?;
    Ok(SearchKey::Uids(uids))
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

/// With sequence numbers turned into UIDs.
fn key(term: SearchTerm, folder: &Folder, room: &mut usize) -> Result<SearchKey, Unasked> {
    Ok(match term {
        SearchTerm::All => SearchKey::All,
        SearchTerm::And(terms) => {
            SearchKey::And(terms.into_iter().map(|term| key(term, folder, room)).collect::<Result<_, _>>()?)
        }
        SearchTerm::Or(a, b) => SearchKey::Or(Box::new(key(*a, folder, room)?), Box::new(key(*b, folder, room)?)),
        SearchTerm::Not(term) => not(key(*term, folder, room)?),
        SearchTerm::Sequence(set) => within(room, folder.resolve_leniently(&set, false))?,
        SearchTerm::Uid(set) => within(room, folder.resolve_leniently(&set, true))?,
        SearchTerm::Flag(name) => SearchKey::Flag(name),
        SearchTerm::Unflag(name) => not(SearchKey::Flag(name)),
        SearchTerm::New => SearchKey::And(vec![SearchKey::Recent, not(SearchKey::Flag("\\Seen".into()))]),
        SearchTerm::Old => not(SearchKey::Recent),
        SearchTerm::Recent => SearchKey::Recent,
        SearchTerm::Larger(n) => SearchKey::Larger(n),
        SearchTerm::Smaller(n) => SearchKey::Smaller(n),
        SearchTerm::Before(day) => SearchKey::Before(day),
        SearchTerm::On(day) => SearchKey::On(day),
        SearchTerm::Since(day) => SearchKey::Since(day),
        SearchTerm::SentBefore(day) => SearchKey::SentBefore(day),
        SearchTerm::SentOn(day) => SearchKey::SentOn(day),
        SearchTerm::SentSince(day) => SearchKey::SentSince(day),
        SearchTerm::Older(seconds) => SearchKey::Older(seconds),
        SearchTerm::Younger(seconds) => SearchKey::Younger(seconds),
        SearchTerm::Header(name, value) => SearchKey::Header(text(name)?, text(value)?),
        SearchTerm::Body(value) => SearchKey::Body(text(value)?),
        SearchTerm::Text(value) => SearchKey::Text(text(value)?),
        SearchTerm::ModSeq(n) => SearchKey::ModSeq(ModSeq(n)),
    })
}
