//! One pass over a mailbox: ship what there is to ship.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::{AdoptStep, Archived, Commit, Database, Salts};
use data_encoding::HEXLOWER;
use files::fault;
use jiff::{SignedDuration, Timestamp};
use model::{MailboxId, ServerId, Term};
use serde::Deserialize;

use super::adopted::adopted;
use super::step::{NewBase, Step, Stepped};
use super::{Line, Made, MailboxState, Outbox, ShipError, States};
use crate::assemble::Source;
use crate::bucket::{Bucket, BucketError, Entry, Object};
use crate::format::envelope::FRONT;
use crate::format::{
    BaseHeader, BaseRef, DataFile, Gap, Head, Header, Manifest, Name, Reason, SegmentHeader, Sha256, Signer, document,
};

/// Steps of one database in one pass; a mailbox that is written faster than this waits for its next turn.
const STEPS: usize = 64;
/// Timelines that one pass may begin.
const FORKS: usize = 3;
/// Bytes of a `keys.json` at most.
const KEYS_MOST: u64 = 1 << 20;
/// A new base is due when so many bytes of frames were shipped since the last one, and no fewer than the file has.
const BASE_BYTES: u64 = 64 << 20;
/// And when anything was shipped since the last one and it is so old.
const BASE_AGE: Duration = Duration::from_hours(7 * 24);

/// Ships the mailboxes of one shard to one bucket.
#[derive(Debug, Clone)]
pub struct Shipper {
    /// Where to.
    pub bucket: Arc<dyn Bucket>,
    /// Below which root.
    pub root: String,
    /// Whose mailboxes.
    pub server: ServerId,
    /// Under which ownership.
    pub term: Term,
    /// The start of this process.
    pub run: String,
    /// Who signs.
    pub signer: Signer,
    /// Tails on their way.
    pub outbox: Outbox,
    /// What is remembered.
    pub states: States,
}

/// Commits that the primary told of, by database and life of its WAL; without a WAL the life is `[0, 0]`.
#[derive(Debug, Clone, Default)]
pub struct Told {
    commits: HashMap<(Database, Salts), Vec<Commit>>,
    /// Nobody can say which number a commit has: count from 0. Where that turns out to be wrong, a new timeline begins.
    pub unnumbered: bool,
}

impl Told {
    /// Adds commits, oldest first.
    pub fn add(&mut self, database: Database, salts: Option<Salts>, commits: &[Commit]) {
        self.commits.entry((database, salts.unwrap_or_default())).or_default().extend_from_slice(commits);
    }

    /// What was told of a life.
    pub fn of(&self, database: Database, salts: Salts) -> &[Commit] {
        self.commits.get(&(database, salts)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Forgets the commits of a database up to that one.
    pub fn forget(&mut self, database: Database, commit: u64) {
        self.commits.retain(|(of, _), commits| {
            commits.retain(|known| *of != database || known.commit > commit);
            !commits.is_empty()
        });
    }
}

/// What a pass did.
#[derive(Debug, Clone, Default)]
pub struct Passed {
    /// What is in the bucket now.
    pub archived: Vec<Archived>,
    /// Bytes of objects that were uploaded.
    pub uploaded: u64,
    /// Bytes of the WALs.
    pub wal_bytes: HashMap<DataFile, u64>,
    /// What a person must know: `Gap` or `Fork`, and why.
    pub troubles: Vec<(&'static str, String)>,
    /// A database whose commits nobody has numbered yet: somebody has to ask the primary.
    pub unnumbered: Option<DataFile>,
    /// There is more.
    pub more: bool,
}

enum Outcome {
    Done,
    Forked(String),
}

impl Shipper {
    /// What [`MailboxState::destination`] is for this bucket.
    pub fn destination(&self) -> String {
        format!("{} {}", self.bucket.describe(), self.root)
    }

    /// Ships what is committed in the mailbox of this folder. After an error the state is as it was at the last success.
    pub async fn pass(&self, folder: &Path, state: &mut MailboxState, told: &Told) -> Result<Passed, ShipError> {
        let mut passed = Passed::default();
        self.keys(folder, state, &mut passed).await?;
        self.send_tails(state, &mut passed).await?;
        self.follow_restore(folder, state).await?;
        for _ in 0..FORKS {
            let mut forked = None;
            for file in DataFile::ALL {
                if let Outcome::Forked(reason) = self.database(folder, state, file, told, &mut passed).await? {
                    forked = Some(reason);
                    break;
                }
            }
            let Some(reason) = forked else { break };
            passed.troubles.push(("Fork", reason));
            *state = state.forked();
            self.manifest(state, Reason::Fork, |_| {}).await?;
        }
        for file in DataFile::ALL {
            passed.archived.extend(state.line(file).map(|line| Archived {
                mailbox: state.archive.mailbox,
                database: file.database(),
                commit: line.commit,
            }));
        }
        Ok(passed)
    }

    /// Copies the frames behind the line into the outbox, up to `end`, behind which a hold keeps writers away. True if all of
    /// the WAL is on disk elsewhere now, so that it may be folded in.
    pub async fn tail(
        &self,
        folder: &Path,
        state: &mut MailboxState,
        file: DataFile,
        told: &Told,
        end: control::WalPosition,
    ) -> Result<bool, ShipError> {
        let step = self.step(folder, state, file, told);
        let (made, whole) = blocking(move || step.tail(end)).await?;
        if let (Some(made), Some(line)) = (made, state.line_mut(file))
            && let Header::Segment(segment) = &made.header
        {
            line.advance(segment, made.hash);
        }
        Ok(whole)
    }

    /// After a restore the archive goes on in a timeline of its own.
    async fn follow_restore(&self, folder: &Path, state: &mut MailboxState) -> Result<(), ShipError> {
        let place = folder.to_owned();
        let record = blocking(move || adopted(&place)).await?;
        let Some(run) = record.filter(|it| it.step == AdoptStep::Done).map(|it| it.asked.run) else { return Ok(()) };
        if state.manifest.restored.as_ref() == Some(&run) {
            return Ok(());
        }
        let mut next = state.restored(&run);
        if next.archive != state.archive {
            self.manifest(&mut next, Reason::Restore, |_| {}).await?;
        }
        *state = next;
        Ok(())
    }

    /// Uploads `keys.json` if it is newer than what the bucket has.
    async fn keys(&self, folder: &Path, state: &mut MailboxState, passed: &mut Passed) -> Result<(), ShipError> {
        let folder = folder.to_owned();
        let Some(Keys { version, keyset, bytes }) = blocking(move || keys_of(&folder)).await? else { return Ok(()) };
        let mailbox = state.archive.mailbox;
        if keyset.is_some() && state.manifest.keyset != keyset {
            if state.manifest.keyset.is_some() {
                state.keys = 0;
            }
            state.manifest.keyset.clone_from(&keyset);
        }
        if version > state.keys {
            let object = Object::of_bytes(Bytes::from(bytes), &self.run);
            passed.uploaded += object.size();
            if !self.put_keys(mailbox, version, keyset.as_deref(), &object).await? {
                // The volume went back to an earlier version and forward again: the bucket keeps what it has.
                let reason = format!("version {version} of the keys is in the bucket with other content");
                passed.troubles.push(("Damaged", reason));
            }
            fault::point("ship.keys.after");
            state.keys = version;
        }
        passed.archived.push(Archived { mailbox, database: Database::Keys, commit: state.keys });
        Ok(())
    }

    /// Stores a version of the keys; false where the bucket has another one of that number. A keyset that took the place of
    /// one that was lost, with its volume, counts its versions from 1 again, so it has names of its own then.
    async fn put_keys(
        &self,
        mailbox: MailboxId,
        version: u64,
        keyset: Option<&str>,
        object: &Object,
    ) -> Result<bool, ShipError> {
        let key = Name::Keys { mailbox, version }.key(&self.root);
        match self.bucket.put_if_absent(&key, object).await {
            Ok(_) => return Ok(true),
            Err(BucketError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let theirs = self.bucket.get(&key, 0..KEYS_MOST).await?;
        let theirs = Keys::read(theirs.into()).and_then(|keys| keys.keyset);
        let Some(named) = keyset.filter(|keyset| theirs.as_deref() != Some(*keyset)) else { return Ok(false) };
        let decoded = HEXLOWER.decode(named.as_bytes()).ok().and_then(|keyset| keyset.try_into().ok());
        let Some(keyset) = decoded else { return Ok(false) };
        let key = Name::OtherKeys { mailbox, keyset, version }.key(&self.root);
        match self.bucket.put_if_absent(&key, object).await {
            Ok(_) => Ok(true),
            Err(BucketError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Uploads what was copied out of WALs before they were folded in.
    async fn send_tails(&self, state: &MailboxState, passed: &mut Passed) -> Result<(), ShipError> {
        for tail in self.outbox.tails(state.archive.mailbox)? {
            let made = tail.made(&self.root, &self.run)?;
            passed.uploaded += made.object.size();
            fault::point("ship.tail.before");
            self.upload(&made).await?;
            fault::point("ship.tail.after");
            tail.remove()?;
        }
        Ok(())
    }

    async fn database(
        &self,
        folder: &Path,
        state: &mut MailboxState,
        file: DataFile,
        told: &Told,
        passed: &mut Passed,
    ) -> Result<Outcome, ShipError> {
        for _ in 0..STEPS {
            let step = self.step(folder, state, file, told);
            match blocking(move || step.take()).await? {
                Stepped::Absent => return Ok(Outcome::Done),
                Stepped::Idle { wal_bytes } => {
                    passed.wal_bytes.insert(file, wal_bytes);
                    return self.rebase(folder, state, file, told, passed).await;
                }
                Stepped::Segment { made, whole } => {
                    passed.uploaded += made.object.size();
                    fault::point("ship.segment.before");
                    let uploaded = self.segment(&made).await?;
                    fault::point("ship.segment.after");
                    let Some((header, hash)) = uploaded else {
                        let reason = format!("{} is in the bucket with other frames", made.key);
                        return Ok(Outcome::Forked(reason));
                    };
                    if let Some(line) = state.line_mut(file) {
                        line.advance(&header, hash);
                    }
                    if let Some(wal_bytes) = whole {
                        // What came since is for the next turn: a busy mailbox holds up no other one.
                        passed.wal_bytes.insert(file, wal_bytes);
                        return self.rebase(folder, state, file, told, passed).await;
                    }
                }
                Stepped::Enter { epoch } => {
                    if let Some(line) = state.line_mut(file) {
                        line.enter(epoch);
                    }
                    self.manifest(state, Reason::Epoch, |_| {}).await?;
                }
                Stepped::Begin { gap, base } => self.begin(state, file, gap, &base, passed).await?,
                Stepped::Unnumbered => {
                    passed.unnumbered = Some(file);
                    return Ok(Outcome::Done);
                }
                Stepped::Fork { reason } => return Ok(Outcome::Forked(reason)),
            }
        }
        passed.more = true;
        Ok(Outcome::Done)
    }

    fn step(&self, folder: &Path, state: &MailboxState, file: DataFile, told: &Told) -> Step {
        Step {
            archive: state.archive.clone(),
            root: self.root.clone(),
            signer: self.signer.clone(),
            run: self.run.clone(),
            folder: folder.to_owned(),
            file,
            line: state.line(file).cloned(),
            restored: state.manifest.restored.clone(),
            told: told.clone(),
            outbox: self.outbox.clone(),
        }
    }

    /// Uploads a base with which the archive of a database begins, or begins again behind a gap.
    async fn begin(
        &self,
        state: &mut MailboxState,
        file: DataFile,
        gap: Option<String>,
        base: &NewBase,
        passed: &mut Passed,
    ) -> Result<(), ShipError> {
        let (header, hash, size) = self.base(&base.made, passed).await?;
        let before = state.line(file).cloned();
        let floor = before.as_ref().map_or(Timestamp::UNIX_EPOCH, |line| line.time);
        let gap = gap.zip(before.clone()).map(|(reason, line)| Gap {
            database: file.database(),
            after: line.commit,
            from: Some(line.time),
            until: Some(header.commit),
            to: Some(header.time),
            reason,
        });
        *state.line_mut(file) = Some(Line::behind_base(&header, hash, base.before, base.start, floor));
        let reason = if gap.is_some() { Reason::Gap } else { Reason::Base };
        passed.troubles.extend(gap.iter().map(|gap| {
            (
                "Gap",
                format!("commits {} to {} of {}: {}", gap.after + 1, header.commit, file.database().name(), gap.reason),
            )
        }));
        let reference = reference(&header, hash, size);
        let written = self.manifest(state, reason, |manifest| {
            manifest.bases.push(reference.clone());
            manifest.gaps.extend(gap.clone());
        });
        let written = written.await;
        if written.is_err() {
            // No segment may follow a base that no manifest names: the gap before it would be lost.
            *state.line_mut(file) = before;
        }
        written
    }

    /// Uploads a fresh base where restoring from the last one would take long.
    async fn rebase(
        &self,
        folder: &Path,
        state: &mut MailboxState,
        file: DataFile,
        told: &Told,
        passed: &mut Passed,
    ) -> Result<Outcome, ShipError> {
        let now = Timestamp::now();
        if state.line(file).is_some_and(|line| is_due(line, now)) {
            self.base_again(folder, state, file, told, passed).await?;
        }
        Ok(Outcome::Done)
    }

    /// Uploads a fresh base for a line that goes on; false where the line has not come to the end of the WAL.
    pub(super) async fn base_again(
        &self,
        folder: &Path,
        state: &mut MailboxState,
        file: DataFile,
        told: &Told,
        passed: &mut Passed,
    ) -> Result<bool, ShipError> {
        let step = self.step(folder, state, file, told);
        let Some(base) = blocking(move || step.base_again()).await? else { return Ok(false) };
        let (header, hash, size) = self.base(&base.made, passed).await?;
        if let Some(line) = state.line_mut(file) {
            line.base.time = header.time;
            line.base.size = header.pages * u64::from(header.page_size);
            line.base.shipped = 0;
        }
        let reference = reference(&header, hash, size);
        self.manifest(state, Reason::Base, |manifest| manifest.bases.push(reference.clone())).await?;
        Ok(true)
    }

    async fn base(&self, made: &Made, passed: &mut Passed) -> Result<(BaseHeader, Sha256, u64), ShipError> {
        passed.uploaded += made.object.size();
        let (header, hash) = self.upload(made).await?;
        fault::point("ship.base.after");
        if let Some(file) =
            made.object.file.as_ref().filter(|part| part.path.extension().is_some_and(|end| end == "tmp"))
        {
            // A leftover is overwritten by the next one.
            let _ = tokio::fs::remove_file(&file.path).await;
        }
        match header {
            Header::Base(base) => Ok((base, hash, made.object.size())),
            Header::Segment(_) => Err(ShipError::Foreign { key: made.key.clone() }),
        }
    }

    /// Uploads a segment; none where another one of ours has its name.
    async fn segment(&self, made: &Made) -> Result<Option<(SegmentHeader, Sha256)>, ShipError> {
        let (Header::Segment(theirs), hash) = self.upload(made).await? else {
            return Err(ShipError::Foreign { key: made.key.clone() });
        };
        let Header::Segment(ours) = &made.header else { return Err(ShipError::Foreign { key: made.key.clone() }) };
        let place = |it: &SegmentHeader| (it.salts, it.checksum_before, it.checksum_after, it.previous);
        Ok((place(ours) == place(&theirs)).then_some((theirs, hash)))
    }

    /// Uploads an object. If its key is taken by one that this key signed, the answer is what that one says.
    async fn upload(&self, made: &Made) -> Result<(Header, Sha256), ShipError> {
        match self.bucket.put_if_absent(&made.key, &made.object).await {
            Ok(_) => Ok((made.header.clone(), made.hash)),
            Err(BucketError::Conflict { .. }) => {
                let Some(entry) = self.bucket.head(&made.key).await? else {
                    return Err(BucketError::NotFound { key: made.key.clone() }.into());
                };
                let source = Source::trusting(self.bucket.as_ref(), &self.root, vec![self.signer.public()]);
                let front = source.objects.front(&entry, FRONT).await;
                let (front, _) = front.map_err(|_| ShipError::Foreign { key: made.key.clone() })?;
                Ok((front.header, front.hash))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the next manifest, and then what is remembered.
    pub(super) async fn manifest(
        &self,
        state: &mut MailboxState,
        reason: Reason,
        change: impl Fn(&mut Manifest),
    ) -> Result<(), ShipError> {
        loop {
            let mut next = Manifest {
                number: state.manifest.number + 1,
                previous: state.manifest_hash,
                term: self.term,
                run: self.run.clone(),
                time: Timestamp::now(),
                reason,
                heads: heads(state),
                ..state.manifest.clone()
            };
            change(&mut next);
            let (bytes, hash) = document::write(&next, &self.signer);
            let (mailbox, timeline) = (state.archive.mailbox, state.archive.timeline);
            let key = Name::Manifest { mailbox, timeline, number: next.number }.key(&self.root);
            match self.bucket.put_if_absent(&key, &Object::of_bytes(bytes, &self.run)).await {
                Ok(_) => {
                    fault::point("ship.manifest.after");
                    (state.manifest, state.manifest_hash) = (next, Some(hash));
                    self.save(state).await?;
                    fault::point("ship.saved.after");
                    return Ok(());
                }
                // Written by us: the answer was lost, or what is remembered is older.
                Err(BucketError::Conflict { .. }) => {
                    let (theirs, hash) = self.their_manifest(&key, next.number).await?;
                    let same = Manifest { time: next.time, run: next.run.clone(), ..theirs.clone() } == next;
                    (state.manifest, state.manifest_hash) = (theirs, hash);
                    if same {
                        return self.save(state).await;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn their_manifest(&self, key: &str, number: u64) -> Result<(Manifest, Option<Sha256>), ShipError> {
        let foreign = || ShipError::Foreign { key: key.to_owned() };
        let entry: Entry = self.bucket.head(key).await?.ok_or_else(foreign)?;
        let source = Source::trusting(self.bucket.as_ref(), &self.root, vec![self.signer.public()]);
        let read = source.objects.manifest_at(number, &entry).await.map_err(|_| foreign())?;
        Ok((read.document, Some(read.hash)))
    }

    /// Writes durably what is remembered.
    pub async fn save(&self, state: &MailboxState) -> Result<(), ShipError> {
        let (states, state) = (self.states.clone(), state.clone());
        blocking(move || states.save(&state)).await
    }

    /// What was written down of a mailbox's archive in this bucket.
    pub async fn remembered(&self, mailbox: MailboxId) -> Result<Option<MailboxState>, ShipError> {
        let (states, destination) = (self.states.clone(), self.destination());
        let state = blocking(move || states.load(mailbox)).await?;
        Ok(state.filter(|state| state.destination == destination && state.archive.server == self.server))
    }

    /// What is remembered of a mailbox, brought up to date.
    pub async fn load(&self, mailbox: MailboxId) -> Result<MailboxState, ShipError> {
        let states = self.states.clone();
        let remembered = blocking(move || states.load(mailbox)).await?;
        self.resume(mailbox, remembered).await
    }
}

/// What is to be known of a `keys.json`.
pub(super) struct Keys {
    pub version: u64,
    /// Its id, in hexadecimal digits.
    pub keyset: Option<String>,
    bytes: Vec<u8>,
}

impl Keys {
    /// None where it makes no sense.
    fn read(bytes: Vec<u8>) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Said {
            version: u64,
            keyset_id: Option<String>,
        }
        let said = serde_json::from_slice::<Said>(&bytes).ok()?;
        Some(Self { version: said.version, keyset: said.keyset_id, bytes })
    }
}

/// `keys.json` of a mailbox's folder; none where there is none that can be read.
pub(super) fn keys_of(folder: &Path) -> Result<Option<Keys>, ShipError> {
    let path = folder.join("keys.json");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(files::FilesError::Io { action: "read", path, source }.into()),
    };
    Ok(Keys::read(bytes))
}

fn is_due(line: &Line, now: Timestamp) -> bool {
    let age = SignedDuration::try_from(BASE_AGE).unwrap_or(SignedDuration::MAX);
    let much = line.base.shipped > line.base.size.max(BASE_BYTES);
    much || (line.base.shipped > 0 && now.duration_since(line.base.time) > age)
}

fn reference(header: &BaseHeader, hash: Sha256, size: u64) -> BaseRef {
    BaseRef {
        database: header.database,
        epoch: header.epoch,
        frame: header.frame,
        commit: header.commit,
        time: header.time,
        header: hash,
        size,
    }
}

fn heads(state: &MailboxState) -> Vec<Head> {
    let lines = DataFile::ALL.into_iter().filter_map(|file| Some((file, state.line(file)?)));
    let head = |(file, line): (DataFile, &Line)| Head {
        database: file.database(),
        epoch: line.epoch,
        frame: line.at.frame,
        commit: line.commit,
        header: line.head,
    };
    lines.map(head).collect()
}

/// Work with files, on a thread that may wait for them.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ShipError> + Send + 'static,
) -> Result<T, ShipError> {
    let lost = |error: tokio::task::JoinError| files::FilesError::Io {
        action: "read",
        path: PathBuf::from("the volume"),
        source: error.into(),
    };
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}
