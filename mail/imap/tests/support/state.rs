//! Folders, messages and what changed since.

use std::collections::BTreeSet;

use bytes::Bytes;
use model::verbs::{
    Answer, Code, Copied, Copy, Delta, Expunged, Failure, FlagRows, FolderChange, FolderQuery, FolderRow, Found,
    Request, Selected, SpecialUse, Status, Store, StoreMode, Stored, View,
};
use model::{FlagSet, FolderId, Keywords, ModSeq, SystemFlag, Uid, UidSet, UidValidity};

pub struct Message {
    pub uid: u32,
    pub flags: u64,
    pub modseq: u64,
    pub data: Bytes,
    pub date: i64,
}

pub struct Folder {
    pub id: i64,
    pub name: String,
    pub special: Option<SpecialUse>,
    pub uidvalidity: u32,
    pub uidnext: u32,
    pub recent_from: u32,
    pub messages: Vec<Message>,
    gone: Vec<(u64, u32)>,
}

pub struct State {
    pub modseq: u64,
    pub folders: Vec<Folder>,
    pub keywords: Keywords,
    subscribed: BTreeSet<String>,
    next_id: i64,
}

fn missing() -> Failure {
    Failure::new(Code::NonExistent, "No such mailbox")
}

impl State {
    pub fn new() -> Self {
        let mut state =
            Self { modseq: 1, folders: vec![], keywords: Keywords(vec![]), subscribed: BTreeSet::new(), next_id: 1 };
        state.create("INBOX", None).unwrap();
        state.create("Sent", Some(SpecialUse::Sent)).unwrap();
        state
    }

    fn create(&mut self, name: &str, special: Option<SpecialUse>) -> Result<(), Failure> {
        if self.folders.iter().any(|f| f.name == name) {
            return Err(Failure::new(Code::AlreadyExists, "Mailbox already exists"));
        }
        if let Some((parent, _)) = name.rsplit_once('/') {
            let _ = self.create(parent, None);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.folders.push(Folder {
            id,
            name: name.to_owned(),
            special,
            uidvalidity: id as u32,
            uidnext: 1,
            recent_from: 1,
            messages: vec![],
            gone: vec![],
        });
        Ok(())
    }

    pub fn named(&mut self, name: &str) -> Option<&mut Folder> {
        self.folders.iter_mut().find(|f| f.name == name)
    }

    pub fn folder(&self, id: FolderId) -> Option<&Folder> {
        self.folders.iter().find(|f| f.id == id.0)
    }

    fn folder_mut(&mut self, id: FolderId) -> Option<&mut Folder> {
        self.folders.iter_mut().find(|f| f.id == id.0)
    }

    fn bits(&mut self, names: &[&str]) -> u64 {
        let mut bits = 0;
        for name in names {
            if let Some(flag) = SystemFlag::from_name(name) {
                bits |= flag.bit();
                continue;
            }
            if self.keywords.bit(name).is_none() {
                self.keywords.0.push((*name).to_owned());
            }
            bits |= self.keywords.bit(name).unwrap();
        }
        bits
    }

    pub fn add(
        &mut self,
        name: &str,
        data: Bytes,
        flags: &[&str],
        date: Option<i64>,
    ) -> Result<(UidValidity, Uid), Failure> {
        let flags = self.bits(flags);
        self.modseq += 1;
        let modseq = self.modseq;
        let folder = self.named(name).ok_or_else(|| Failure::new(Code::TryCreate, "No such mailbox"))?;
        let uid = folder.uidnext;
        folder.uidnext += 1;
        folder.messages.push(Message { uid, flags, modseq, data, date: date.unwrap_or(1_700_000_000) });
        Ok((UidValidity(folder.uidvalidity), Uid(uid)))
    }

    pub fn delta(&self, view: &View) -> Delta {
        let modseq = ModSeq(self.modseq);
        let Some(folder) = self.folder(view.folder) else {
            return Delta { modseq, deleted: true, ..Delta::default() };
        };
        let mut delta = Delta { modseq, uidnext: Uid(folder.uidnext), ..Delta::default() };
        for message in &folder.messages {
            if message.uid >= view.uidnext.0 {
                delta.appeared.insert(Uid(message.uid));
            } else if message.modseq > view.since.0 {
                delta.changed.push(Uid(message.uid), FlagSet(message.flags), ModSeq(message.modseq));
            }
        }
        delta.vanished = folder.gone.iter().filter(|(at, _)| *at > view.since.0).map(|(_, uid)| Uid(*uid)).collect();
        delta.keywords = (self.keywords.0.len() > view.keywords as usize).then(|| self.keywords.clone());
        delta
    }

    pub fn request(&mut self, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Folders(query) => Ok(Answer::Folders(self.list(&query))),
            Request::FolderChange { change, .. } => self.change(change).map(|()| Answer::Done),
            Request::Select { name, read_only } => self.select(&name, read_only).map(Answer::Selected),
            Request::Sync(view) => Ok(Answer::Synced(self.delta(&view))),
            Request::Store(store) => Ok(Answer::Stored(self.store(&store))),
            Request::Copy(copy) => self.copy(&copy).map(Answer::Copied),
            Request::Expunge { view, only, .. } => Ok(Answer::Expunged(self.expunge(&view, only.as_ref()))),
            Request::Search(search) => {
                let delta = self.delta(&search.view);
                let Some(folder) = self.folder(search.view.folder) else {
                    return Ok(Answer::Found(Found { delta, uids: UidSet::new(), modseq: ModSeq(0) }));
                };
                let hit = |m: &&Message| super::search::matches(m, &search.key, &search.recent, &self.keywords);
                let hits: Vec<&Message> = folder.messages.iter().filter(hit).collect();
                let modseq = ModSeq(hits.iter().map(|m| m.modseq).max().unwrap_or(0));
                Ok(Answer::Found(Found { delta, uids: hits.iter().map(|m| Uid(m.uid)).collect(), modseq }))
            }
            Request::Quota => Ok(Answer::Quota(model::verbs::QuotaUse::default())),
        }
    }

    fn select(&mut self, name: &str, read_only: bool) -> Result<Selected, Failure> {
        let (modseq, keywords) = (ModSeq(self.modseq), self.keywords.clone());
        let folder = self.named(name).ok_or_else(missing)?;
        let recent_from = Uid(folder.recent_from);
        if !read_only {
            folder.recent_from = folder.uidnext;
        }
        Ok(Selected {
            folder: FolderId(folder.id),
            uidvalidity: UidValidity(folder.uidvalidity),
            uidnext: Uid(folder.uidnext),
            modseq,
            uids: folder.messages.iter().map(|m| Uid(m.uid)).collect(),
            first_unseen: folder.messages.iter().find(|m| m.flags & SystemFlag::Seen.bit() == 0).map(|m| Uid(m.uid)),
            recent_from,
            keywords,
            read_only: false,
        })
    }

    fn store(&mut self, store: &Store) -> Stored {
        let delta = self.delta(&store.view);
        let names: Vec<&str> = store.flags.iter().map(String::as_str).collect();
        let bits = self.bits(&names);
        let (mut rows, mut modified, next) = (FlagRows::default(), UidSet::new(), self.modseq + 1);
        let mut highest = self.modseq;
        if let Some(folder) = self.folder_mut(store.view.folder) {
            for m in folder.messages.iter_mut().filter(|m| store.uids.contains(Uid(m.uid))) {
                if store.unchanged_since.is_some_and(|since| m.modseq > since.0) {
                    modified.insert(Uid(m.uid));
                    continue;
                }
                let flags = match store.mode {
                    StoreMode::Replace => bits,
                    StoreMode::Add => m.flags | bits,
                    StoreMode::Remove => m.flags & !bits,
                };
                if flags != m.flags {
                    (m.flags, m.modseq, highest) = (flags, next, next);
                }
                rows.push(Uid(m.uid), FlagSet(m.flags), ModSeq(m.modseq));
            }
        }
        self.modseq = highest;
        Stored { delta, rows, modified, modseq: ModSeq(highest) }
    }

    fn copy(&mut self, copy: &Copy) -> Result<Copied, Failure> {
        let delta = self.delta(&copy.view);
        if self.named(&copy.target).is_none() {
            return Err(Failure::new(Code::TryCreate, "No such mailbox"));
        }
        self.modseq += 1;
        let modseq = self.modseq;
        let source = self.folder_mut(copy.view.folder).ok_or_else(missing)?;
        let taken: Vec<(u32, u64, Bytes, i64)> = source
            .messages
            .iter()
            .filter(|m| copy.uids.contains(Uid(m.uid)))
            .map(|m| (m.uid, m.flags, m.data.clone(), m.date))
            .collect();
        if copy.remove {
            source.messages.retain(|m| !copy.uids.contains(Uid(m.uid)));
            source.gone.extend(taken.iter().map(|t| (modseq, t.0)));
        }
        let source_id = source.id;
        let target = self.named(&copy.target).ok_or_else(missing)?;
        let (mut from, mut to) = (vec![], vec![]);
        for (uid, flags, data, date) in taken {
            from.push(uid);
            to.push(target.uidnext);
            target.messages.push(Message { uid: target.uidnext, flags, modseq, data, date });
            target.uidnext += 1;
        }
        let same = target.id == source_id;
        let appeared = if same { to.iter().map(|&uid| Uid(uid)).collect() } else { UidSet::new() };
        let uidvalidity = UidValidity(target.uidvalidity);
        Ok(Copied { delta, uidvalidity, from, to, modseq: ModSeq(modseq), appeared })
    }

    pub fn expunge(&mut self, view: &View, only: Option<&UidSet>) -> Expunged {
        let delta = self.delta(view);
        let next = self.modseq + 1;
        let mut uids = UidSet::new();
        if let Some(folder) = self.folder_mut(view.folder) {
            let dead = |m: &Message| {
                m.flags & SystemFlag::Deleted.bit() != 0 && only.is_none_or(|only| only.contains(Uid(m.uid)))
            };
            uids = folder.messages.iter().filter(|m| dead(m)).map(|m| Uid(m.uid)).collect();
            folder.messages.retain(|m| !dead(m));
            folder.gone.extend(uids.iter().map(|uid| (next, uid.0)));
        }
        if !uids.is_empty() {
            self.modseq = next;
        }
        Expunged { delta, uids, modseq: ModSeq(self.modseq) }
    }

    fn list(&self, query: &FolderQuery) -> Vec<FolderRow> {
        let existing: BTreeSet<&str> = self.folders.iter().map(|f| f.name.as_str()).collect();
        let mut names: BTreeSet<&str> = existing.clone();
        if query.subscribed {
            names = self.subscribed.iter().map(String::as_str).collect();
        }
        let wanted = names.into_iter().filter(|name| query.patterns.iter().any(|p| p.matches(name)));
        let rows = wanted.map(|name| {
            let folder = self.folders.iter().find(|f| f.name == name);
            let below = format!("{name}/");
            FolderRow {
                name: name.to_owned(),
                id: folder.map(|f| FolderId(f.id)),
                special: folder.and_then(|f| f.special),
                subscribed: self.subscribed.contains(name),
                has_children: existing.iter().any(|other| other.starts_with(&below)),
                status: folder.filter(|_| query.status).map(|f| self.status(f)),
            }
        });
        rows.filter(|row| !query.special_use || row.special.is_some()).collect()
    }

    fn status(&self, folder: &Folder) -> Status {
        let count = |test: &dyn Fn(&Message) -> bool| folder.messages.iter().filter(|m| test(m)).count() as u64;
        Status {
            messages: folder.messages.len() as u64,
            unseen: count(&|m| m.flags & SystemFlag::Seen.bit() == 0),
            deleted: count(&|m| m.flags & SystemFlag::Deleted.bit() != 0),
            recent: count(&|m| m.uid >= folder.recent_from),
            bytes: folder.messages.iter().map(|m| m.data.len() as u64).sum(),
            uidnext: Uid(folder.uidnext),
            uidvalidity: UidValidity(folder.uidvalidity),
            modseq: ModSeq(self.modseq),
        }
    }

    fn change(&mut self, change: FolderChange) -> Result<(), Failure> {
        match change {
            FolderChange::Create { name, special } => self.create(&name, special),
            FolderChange::Delete { name } if name == "INBOX" => Err(Failure::new(Code::Cannot, "INBOX stays")),
            FolderChange::Delete { name } => {
                self.named(&name).ok_or_else(missing)?;
                self.folders.retain(|f| f.name != name);
                self.modseq += 1;
                Ok(())
            }
            FolderChange::Rename { from, to } => {
                self.named(&from).ok_or_else(missing)?;
                let below = format!("{from}/");
                for folder in &mut self.folders {
                    if folder.name == from {
                        folder.name.clone_from(&to);
                    } else if let Some(rest) = folder.name.strip_prefix(&below) {
                        folder.name = format!("{to}/{rest}");
                    }
                }
                Ok(())
            }
            FolderChange::Subscribe { name, on: true } => {
                self.subscribed.insert(name);
                Ok(())
            }
            FolderChange::Subscribe { name, on: false } => {
                self.subscribed.remove(&name);
                Ok(())
            }
        }
    }
}
