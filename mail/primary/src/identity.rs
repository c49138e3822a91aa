//! Whose volume this is: `identity.json`, written once and compared at every start.
//!
//! A volume of another server or shard is never served: its mail would get keys and addresses of strangers. A volume
//! that holds mailboxes but no identity is not served either: something was lost. (An empty folder for them is no mailbox:
//! whoever mounts parts of the volume elsewhere makes it.)

use std::path::Path;

use model::{ServerId, ShardId};
use serde::{Deserialize, Serialize};

use crate::PrimaryError;

const FORMAT: u32 = 1;

/// The contents of `identity.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Version of this file; 1.
    pub format: u32,
    /// Whose mail is here.
    pub server: ServerId,
    /// Which shard of that server.
    pub shard: ShardId,
    /// Random, made with the volume: 32 hexadecimal digits.
    pub volume: String,
}

/// Reads the identity of the volume, or gives a blank volume its own.
pub fn claim(data: &Path, server: &ServerId, shard: ShardId) -> Result<Identity, PrimaryError> {
    let path = data.join("identity.json");
    let found = match std::fs::read(&path) {
        Ok(text) => parse(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return mint(data, &path, server, shard),
        Err(source) => return Err(PrimaryError::Read { path, source }),
    };
    if found.server != *server || found.shard != shard {
        return Err(PrimaryError::ForeignVolume {
            path: data.to_owned(),
            found: format!("shard {} of server {}", found.shard, found.server),
            asked: format!("shard {shard} of server {server}"),
        });
    }
    Ok(found)
}

fn parse(text: &[u8]) -> Result<Identity, PrimaryError> {
    let identity: Identity =
        serde_json::from_slice(text).map_err(|source| PrimaryError::Damaged { what: "identity.json", source })?;
    if identity.format != FORMAT {
        return Err(PrimaryError::Format { what: "identity.json", found: identity.format, known: FORMAT });
    }
    Ok(identity)
}

fn mint(data: &Path, path: &Path, server: &ServerId, shard: ShardId) -> Result<Identity, PrimaryError> {
    let mailboxes = data.join("mailboxes");
    let holds = match std::fs::read_dir(&mailboxes) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(source) => return Err(PrimaryError::Read { path: mailboxes, source }),
    };
    if holds || data.join("directory.sqlite").exists() {
        return Err(PrimaryError::IdentityLost(data.to_owned()));
    }
    let volume = model::BootId(crypto::random()).to_string();
    let identity = Identity { format: FORMAT, server: server.clone(), shard, volume };
    let text = serde_json::to_vec_pretty(&identity)
        .map_err(|source| PrimaryError::Damaged { what: "identity.json", source })?;
    files::durable::write(path, &text)?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerId {
        ServerId(name.to_owned())
    }

    #[test]
    fn a_volume_serves_only_the_shard_that_it_was_made_for() {
        let data = tempfile::tempdir().unwrap();
        let made = claim(data.path(), &server("a"), ShardId(0)).unwrap();
        assert_eq!(claim(data.path(), &server("a"), ShardId(0)).unwrap(), made);
        let foreign = claim(data.path(), &server("b"), ShardId(0)).unwrap_err().to_string();
        assert!(foreign.contains("shard 0 of server a") && foreign.contains("server b"), "{foreign}");
        assert!(matches!(claim(data.path(), &server("a"), ShardId(1)), Err(PrimaryError::ForeignVolume { .. })));
    }

    #[test]
    fn mailboxes_without_an_identity_are_not_adopted() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(data.path().join("mailboxes/ab")).unwrap();
        assert!(matches!(claim(data.path(), &server("a"), ShardId(0)), Err(PrimaryError::IdentityLost(_))));
    }
}
