//! Which mailbox a purge means, and whether it may be had: decided here, done by the sidecar and the primary.
//!
//! * Only a mailbox that nobody declares is purged: its object is deleted first.
//! * What is taken up is written down as purged together with the run, before anybody hears of it. From then on a Mailbox with its
//!   address gets a mailbox of its own.

use model::{Address, Bindings, MailboxId};

use crate::control::Retained;

/// The mailbox to be purged; why not and what to do otherwise. `object` finds the Mailbox object of an address.
pub fn find(
    bindings: &Bindings,
    wanted: &Retained,
    object: impl Fn(&Address) -> Option<String>,
) -> Result<MailboxId, String> {
    let declared = |address: &Address| match object(address) {
        Some(name) => Err(format!(
            "{address} is still declared\n  remove its manifest, then: sealpost delete Mailbox {name}\n  and then purge it"
        )),
        None => Err(format!("{address} is being deleted\n  try again in a moment")),
    };
    match wanted {
        Retained::Id(id) => match (bindings.mailboxes.get(id), bindings.purged.get(id)) {
            (Some(binding), _) if binding.owner.is_some() => declared(&binding.address),
            (Some(_), _) => Ok(*id),
            (None, Some(purge)) => match purge.done {
                Some(done) => Err(format!("mailbox {id} is gone: it was purged by {done}")),
                // It did not come to its end.
                None => Ok(*id),
            },
            (None, None) => Err(format!("there is no mailbox {id}, and none of that id was purged")),
        },
        Retained::Address(address) => {
            let all = bindings.mailboxes.iter().filter(|(_, binding)| binding.address == *address);
            let (owned, kept): (Vec<_>, Vec<_>) = all.partition(|(_, binding)| binding.owner.is_some());
            match (owned.as_slice(), kept.as_slice()) {
                ([], [(id, _)]) => Ok(**id),
                ([], []) => Err(format!(
                    "nothing is kept of {address}: it was never a mailbox here, or it is gone\n  what was purged is known by its id"
                )),
                ([], several) | ([_, ..], several @ [_, ..]) => {
                    let ids: Vec<String> = several.iter().map(|(id, _)| id.to_string()).collect();
                    Err(format!(
                        "{address} means several mailboxes; those that nobody declares: {}\n  name one of them",
                        ids.join(", ")
                    ))
                }
                ([_, ..], []) => declared(address),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::{Binding, ShardId};

    use super::*;

    fn id(n: u8) -> MailboxId {
        MailboxId::from_random([n; 17])
    }

    fn bindings() -> Bindings {
        let of = |address: &str, owner: Option<&str>| Binding {
            address: address.parse().unwrap(),
            shard: ShardId(0),
            owner: owner.map(str::to_owned),
            retained_at: None,
            quota: None,
        };
        let all = [
            (id(1), of("ann@example.org", Some("Mailbox/ann"))),
            (id(2), of("bob@example.org", None)),
            (id(3), of("eve@example.org", None)),
            (id(4), of("eve@example.org", None)),
        ];
        Bindings { mailboxes: all.into(), ..Bindings::default() }
    }

    fn find_in(bindings: &Bindings, wanted: &str) -> Result<MailboxId, String> {
        find(bindings, &wanted.parse().unwrap(), |_| Some("ann".to_owned()))
    }

    #[test]
    fn only_what_nobody_declares_is_purged_and_a_refusal_says_what_to_do() {
        let mut all = bindings();
        for declared in ["ann@example.org".to_owned(), id(1).to_string()] {
            let said = find_in(&all, &declared).unwrap_err();
            assert!(said.contains("still declared") && said.contains("sealpost delete Mailbox ann"), "{said}");
        }
        assert_eq!(find_in(&all, "bob@example.org"), Ok(id(2)));
        assert_eq!(find_in(&all, &id(4).to_string()), Ok(id(4)));
        let said = find_in(&all, "eve@example.org").unwrap_err();
        assert!(said.contains(id(3).as_str()) && said.contains(id(4).as_str()), "{said}");
        assert!(find_in(&all, "dave@example.org").unwrap_err().contains("nothing is kept"));

        assert!(!all.purge(id(1), Timestamp::UNIX_EPOCH), "it is owned");
        assert!(all.purge(id(2), Timestamp::UNIX_EPOCH) && !all.purge(id(2), Timestamp::UNIX_EPOCH));
        assert_eq!(find_in(&all, id(2).as_str()), Ok(id(2)), "it goes on");
        assert!(all.purged(id(2), Timestamp::UNIX_EPOCH) && !all.purged(id(2), Timestamp::UNIX_EPOCH));
        assert!(find_in(&all, id(2).as_str()).unwrap_err().contains("is gone"));
        assert!(find_in(&all, "bob@example.org").unwrap_err().contains("is gone"));
    }
}
