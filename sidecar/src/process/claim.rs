//! Whose archives they are: the owner marker of a shard in a bucket.

use files::fault;
use jiff::Timestamp;
use model::{ServerId, ShardId, Term};

use crate::assemble::{AssembleError, Source};
use crate::bucket::{Bucket, BucketError, Object};
use crate::format::{FORMAT, Name, Owner, Signer, document};

/// What the marker says, or will say.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which MailServer.
    pub server: ServerId,
    /// Which of its shards.
    pub shard: ShardId,
    /// The volume's own identity.
    pub volume: String,
    /// Under which ownership.
    pub term: Term,
    /// The start of this process.
    pub run: String,
    /// Who signs.
    pub signer: Signer,
}

/// Whether this process may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It may.
    Ours,
    /// Another volume has this shard's archives under this very term: this one is a clone of it, or it of this one.
    Clone {
        /// The volume that has them.
        volume: String,
    },
    /// A later term was issued: this process is a writer that came back.
    Superseded {
        /// The later term.
        term: Term,
    },
    /// The marker of this term cannot be read.
    Damaged {
        /// Its key, and why.
        reason: String,
    },
}

/// Puts the marker of this term where none is, and looks for later ones.
pub async fn claim(bucket: &dyn Bucket, root: &str, claim: &Claim) -> Result<Claimed, AssembleError> {
    let Claim { server, shard, volume, term, run, signer } = claim;
    let owner = Owner {
        format: FORMAT,
        server: server.clone(),
        shard: *shard,
        volume: volume.clone(),
        term: *term,
        run: run.clone(),
        signer: signer.public(),
        time: Timestamp::now(),
    };
    let key = Name::Owner { shard: *shard, term: *term }.key(root);
    let object = Object::of_bytes(document::write(&owner, signer).0, run);
    match bucket.put_if_absent(&key, &object).await {
        Ok(_) | Err(BucketError::Conflict { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    fault::point("claim.put.after");
    let source = Source::open(bucket, root).await?;
    if let Some(damage) = source.damages.iter().find(|damage| damage.object == key) {
        return Ok(Claimed::Damaged { reason: damage.to_string() });
    }
    Ok(judge(&owner, &source.owners))
}

/// What the markers mean for this owner.
fn judge(owner: &Owner, markers: &[Owner]) -> Claimed {
    let of_shard = || markers.iter().filter(|marker| marker.shard == owner.shard);
    if let Some(later) = of_shard().map(|marker| marker.term).max().filter(|term| *term > owner.term) {
        return Claimed::Superseded { term: later };
    }
    let same = |marker: &&Owner| marker.term == owner.term;
    match of_shard().find(same) {
        Some(marker) if marker.volume != owner.volume || marker.signer != owner.signer => {
            Claimed::Clone { volume: marker.volume.clone() }
        }
        _ => Claimed::Ours,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bucket::Memory;

    fn of(volume: &str, term: u64, seed: u8) -> Claim {
        Claim {
            server: ServerId("0123abcd".to_owned()),
            shard: ShardId(0),
            volume: volume.to_owned(),
            term: Term(term),
            run: format!("{seed}"),
            signer: Signer::from_seed(&[seed; 32]),
        }
    }

    #[tokio::test]
    async fn one_volume_writes_and_the_highest_term_wins() {
        let bucket: Arc<dyn Bucket> = Arc::new(Memory::default());
        let ask = async |who: Claim| claim(bucket.as_ref(), "local.mail.0123abcd", &who).await.unwrap();
        assert_eq!(ask(of("a", 1, 1)).await, Claimed::Ours);
        assert_eq!(ask(of("a", 1, 1)).await, Claimed::Ours, "another start of the same");
        assert_eq!(ask(of("b", 1, 2)).await, Claimed::Clone { volume: "a".to_owned() });
        assert_eq!(ask(of("a", 1, 2)).await, Claimed::Clone { volume: "a".to_owned() }, "with a key of its own");
        assert_eq!(ask(of("b", 2, 2)).await, Claimed::Ours, "it was failed over");
        assert_eq!(ask(of("a", 1, 1)).await, Claimed::Superseded { term: Term(2) }, "the old writer came back");
    }
}
