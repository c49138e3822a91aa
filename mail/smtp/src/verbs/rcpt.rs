//! RCPT (RFC 5321 section 4.1.1.3): the directory decides, or nobody does for now.

use std::sync::Arc;

use jiff::Timestamp;
use model::{Address, Directory, Domain, MailboxId, Route, Unready};

use crate::Delivery;
use crate::path::Path;
use crate::reply::{Reply, bad_sequence};
use crate::session::State;
use crate::verbs::{To, mail};

impl<D: Delivery> State<D> {
    pub(crate) fn rcpt(&mut self, to: &Path) -> Reply {
        let Some(transaction) = &self.transaction else { return bad_sequence("Give the sender first") };
        if transaction.chunks.is_some() || transaction.broken {
            return bad_sequence("Content has begun");
        }
        if !transaction.utf8 && !to.text().is_ascii() {
            return mail::not_ascii();
        }
        if transaction.recipients.len() >= self.config.max_recipients {
            return Reply::new(452, "4.5.3", "Too many recipients");
        }
        let Some(directory) = self.delivery.directory() else {
            return Reply::new(451, "4.3.0", "Cannot tell recipients at the moment, try again later");
        };
        match recipient(&directory, to, Timestamp::now()) {
            Ok((address, mailboxes)) => self.accept(to, address, mailboxes, directory),
            Err(reply) => {
                self.refused += u32::from(reply.code >= 500);
                reply
            }
        }
    }

    fn accept(&mut self, to: &Path, address: Address, mailboxes: Vec<MailboxId>, from: Arc<Directory>) -> Reply {
        if let Some(transaction) = &mut self.transaction {
            transaction.recipients.push(To { text: to.text().to_owned(), address, mailboxes });
            transaction.directory = Some(from);
        }
        Reply::new(250, "2.1.5", "Recipient ok")
    }
}

fn unknown() -> Reply {
    Reply::new(550, "5.1.1", "No such user here")
}

fn no_relay() -> Reply {
    Reply::new(550, "5.7.1", "Not a domain of ours, and this is no relay")
}

/// Where mail for `to` goes, or the refusal.
fn recipient(directory: &Directory, to: &Path, now: Timestamp) -> Result<(Address, Vec<MailboxId>), Reply> {
    let address = match to {
        Path::Postmaster(_) => postmaster(directory).ok_or_else(unknown)?,
        _ => match to.text().parse::<Address>() {
            Ok(address) => address,
            Err(_) if to.domain().is_some_and(|domain| directory.domains.contains(&domain)) => return Err(unknown()),
            Err(_) => return Err(no_relay()),
        },
    };
    match directory.route(&address, now) {
        Route::Mailboxes(mailboxes) => Ok((address, mailboxes)),
        Route::Unready(why) => Err(unready(why)),
        Route::Reject(reply) => Err(reply.into()),
        Route::DomainNotServed => Err(no_relay()),
        Route::Unknown => Err(unknown()),
    }
}

fn unready(why: Unready) -> Reply {
    match why {
        Unready::Removed | Unready::Suspended | Unready::AwaitingOwner => {
            Reply::new(450, "4.2.1", "Mailbox is not accepting mail at the moment")
        }
        Unready::Fenced => Reply::new(451, "4.3.0", "Mailbox is closed for repair, try again later"),
        Unready::NotSupported | Unready::Dangling => {
            Reply::new(450, "4.3.2", "Cannot deliver to this address at the moment")
        }
    }
}

/// `postmaster` alone (RFC 5321 section 4.5.1): that of our host name's domain, or of the nearest above that is served.
fn postmaster(directory: &Directory) -> Option<Address> {
    let host = directory.hostname.as_str();
    let above = std::iter::successors(Some(host), |name| name.split_once('.').map(|(_, above)| above));
    let served = above.filter_map(|name| name.parse::<Domain>().ok()).find(|d| directory.domains.contains(d))?;
    format!("postmaster@{}", served.as_str()).parse().ok()
}
