//! The state folder of `sealpost up`.
//!
//! ```text
//! <state>/lock           held while `up` runs
//! <state>/world.json     server id, directory generation, bindings, orphaned objects, runs
//! <state>/pki/           development CAs and certificates
//! <state>/keys/          shard keys, server secret, key bundles of mailboxes
//! <state>/shard-0/       the volume of primary 0
//! <state>/bucket/        a folder for each policy: what copies of mailboxes go to, unless told otherwise
//! <state>/run/           control socket, configurations of the children, credentials of buckets
//! <state>/log/           their logs
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use files::durable;
use model::{Bindings, Generation, ServerId, Term};
use serde::{Deserialize, Serialize};

use super::restore::Asked;
use super::runs;

/// What a primary writes first on a volume.
const IDENTITY: &str = "shard-0/identity.json";

/// The folder, locked for this process.
pub struct StateDir {
    root: PathBuf,
    _lock: files::LockFile,
}

/// What survives a restart of `up`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Version of this file's form.
    pub format: u32,
    /// Names the MailServer; minted once.
    pub server: ServerId,
    /// Of the last directory pushed.
    pub generation: Generation,
    /// What outlives objects.
    pub bindings: Bindings,
    /// Every object last seen, by kind and name: one whose manifest vanishes stays until it is deleted.
    pub objects: BTreeMap<String, serde_json::Value>,
    /// Under which the shard is owned. It rises where another volume takes the place of the one before, as with every
    /// fail-over: archives of both are told apart by it.
    #[serde(default = "first_term")]
    pub term: Term,
    /// The volume that is owned; none before its first start, and in folders of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Restores that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Asked>,
    /// Declared runs, with their uid and status.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub declared_runs: runs::Known,
}

fn first_term() -> Term {
    Term(1)
}

impl Memory {
    /// Takes the volume that was found; true where it is not the one before, and the term was raised.
    pub fn own(&mut self, found: Option<String>) -> bool {
        let same = match (&self.volume, &found) {
            (Some(before), Some(found)) => before == found,
            (Some(_), None) => false,
            // `up` ended before it could write down what its primary had made.
            (None, Some(_)) => true,
            (None, None) => self.generation == Generation::default(),
        };
        if !same {
            self.term = Term(self.term.0 + 1);
        }
        self.volume = found;
        !same
    }
}

impl StateDir {
    /// Creates or opens the folder and takes its lock.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let hint = || {
            format!(
                "cannot use the state folder {}\n  choose a writable one with --state DIR, or mend its permissions",
                root.display()
            )
        };
        durable::create_dir_all(root).with_context(hint)?;
        let root = root.canonicalize().with_context(hint)?;
        let lock = match files::lock_exclusive(&root.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.is_held() => bail!(
                "another `sealpost up` runs on the state folder {}\n  stop it first (Ctrl-C), or choose another folder with --state DIR",
                root.display()
            ),
            Err(error) => return Err(error).with_context(hint),
        };
        for sub in ["pki", "keys", "run", "log", "shard-0"] {
            durable::create_dir_all(&root.join(sub)).with_context(hint)?;
        }
        Ok(Self { root, _lock: lock })
    }

    /// A path inside.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What an earlier run left, or a fresh start.
    pub fn recall(&self) -> anyhow::Result<Memory> {
        let path = self.path("world.json");
        let memory: Memory = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} cannot be read\n  restore it from a copy of the state folder", path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.has_volume() => {
                return Err(self.lost(&path, "another one would give the mail to strangers"));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Memory {
                format: 1,
                server: ServerId(data_encoding::HEXLOWER.encode(&crypto::random::<16>())),
                generation: Generation::default(),
                bindings: Bindings::default(),
                objects: BTreeMap::new(),
                term: first_term(),
                volume: None,
                runs: Vec::new(),
                declared_runs: runs::Known::new(),
            },
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        if memory.format != 1 {
            bail!("{} is of a newer version (format {}); use that version", path.display(), memory.format);
        }
        Ok(memory)
    }

    /// Writes it durably.
    pub fn remember(&self, memory: &Memory) -> anyhow::Result<()> {
        durable::write(&self.path("world.json"), &serde_json::to_vec_pretty(memory)?).context("cannot write world.json")
    }

    /// 32 random bytes in a file, minted at the first call, but never for a volume that was made with another one.
    pub fn secret(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path("keys").join(name);
        let there = path.try_exists().with_context(|| format!("cannot read {}", path.display()))?;
        if !there && self.has_volume() {
            return Err(self.lost(&path, "a new one does not fit the volume"));
        }
        if !there {
            durable::write(&path, &crypto::random::<32>())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(path)
    }

    /// The identity of the volume; none where it is blank.
    pub fn volume(&self) -> anyhow::Result<Option<String>> {
        #[derive(Deserialize)]
        struct Identity {
            volume: String,
        }
        let path = self.path(IDENTITY);
        match std::fs::read(&path) {
            // The primary says what is wrong with one that cannot be read, and does not serve it.
            Ok(text) => Ok(serde_json::from_slice::<Identity>(&text).ok().map(|identity| identity.volume)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// True once a primary has taken the volume; keys and `world.json` are on disk before.
    fn has_volume(&self) -> bool {
        // What cannot be looked at counts as there: nothing is minted on a doubt.
        self.path(IDENTITY).try_exists().unwrap_or(true)
    }

    fn lost(&self, path: &Path, why: &str) -> anyhow::Error {
        anyhow::anyhow!(
            "{} is missing, but the volume {} exists: {why}\n  restore it from a copy of the state folder, or start over in another folder with --state DIR",
            path.display(),
            self.path("shard-0").display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_never_again_for_a_volume() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let key = state.secret("shard-0.key").unwrap();
        let first = std::fs::read(&key).unwrap();
        assert_eq!((first.len(), std::fs::read(state.secret("shard-0.key").unwrap()).unwrap()), (32, first));

        std::fs::write(state.path("shard-0/identity.json"), "{}").unwrap();
        std::fs::remove_file(&key).unwrap();
        let said = state.secret("shard-0.key").unwrap_err().to_string();
        assert!(said.contains("keys/shard-0.key") && said.contains("restore"), "{said}");
        assert!(!key.exists());
        assert!(state.recall().unwrap_err().to_string().contains("world.json"));
    }

    #[test]
    fn another_volume_is_owned_under_a_higher_term() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let mut memory = state.recall().unwrap();
        let mut own = |found: Option<&str>, started: bool| {
            let raised = memory.own(found.map(str::to_owned));
            memory.generation.epoch += u64::from(started);
            (raised, memory.term.0)
        };
        assert_eq!(own(None, true), (false, 1), "the first start");
        assert_eq!(own(Some("a"), true), (false, 1), "made, and not written down yet");
        assert_eq!(own(Some("a"), true), (false, 1));
        assert_eq!(own(None, true), (true, 2), "lost");
        assert_eq!(own(Some("b"), true), (false, 2), "what the primary made in its place");
        assert_eq!(own(Some("a"), true), (true, 3), "the first one was found again");
        assert_eq!(state.volume().unwrap(), None);
        std::fs::write(state.path(IDENTITY), r#"{"format":1,"volume":"a"}"#).unwrap();
        assert_eq!(state.volume().unwrap().as_deref(), Some("a"));
    }
}
