//! Which MailboxBackups the API server admits.

use crate::harness::admit;

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn the_api_server_admits_every_mailboxbackup_that_it_should_and_no_other() {
    admit::check("MailboxBackup");
}
